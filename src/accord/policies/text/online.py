"""Learning from one's own responses, on one page: PPO with a critic, RLOO, GRPO with its options.

    ppo    Schulman et al., arXiv:1707.06347, equation 7, as for language in Stiennon et al., arXiv:2009.01325: the
           reward of a token is -beta k1, the score comes at the end, a critic gives advantages (arXiv:1506.02438)
    rloo   Ahmadian et al., arXiv:2402.14740: the score less -beta times the response's k1, less its siblings' mean
    grpo   Shao et al., arXiv:2402.03300, equation 3: the score less its group's mean, over a deviation; beta k3 in the
           loss. `scale` and `average` make it Dr. GRPO (arXiv:2503.20783) or, with `clip_high`, DAPO (arXiv:2503.14476)

Differs from the papers in: the old log-probabilities are those of sampling, not of another pass, and how far the
learner's own are from them is told (`guard`); the critic reads the frozen reference's hidden states, which the penalty
needs anyway, so it costs no pass; deviations and counts are of the whole minibatch, however it is cut for memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.backbones.batches import Batch, foretold, micro_batches, table
from accord.backbones.memory import Room
from accord.durable import decode, write_json
from accord.functional import kl
from accord.functional.objectives import clipped_surrogate, truncated_ratio
from accord.functional.returns import generalised_advantage, group_relative, leave_one_out
from accord.policies.shaping import valued
from accord.policies.text.actor import Actor
from accord.policies.text.critic import Critic
from accord.policies.text.rollout import Sampled, Sampling
from accord.ranges import within
from accord.types import InputError, LearnedReward, Metrics, Reply, Shaping, Signal

Algorithm = Literal["ppo", "rloo", "grpo"]
CRITIC, COUNTED = "critic.safetensors", "learner.json"
RANGES = {
    "steps": (1, 10**9),
    "prompts": (1, 10**6),
    "group": (1, 10**4),
    "epochs": (1, 100),
    "minibatch": (1, 10**6),
    "kl": (0.0, 10.0),
    "clip": (1e-3, 10.0),
    "clip_high": (1e-3, 10.0),
    "gamma": (0.0, 1.0),
    "lambda_": (0.0, 1.0),
    "unfinished": (0.0, 100.0),
    "temperature": (0.01, 10.0),
    "tokens": (1, 10**6),
    "memory": (1, 10**9),
    "truncate": (0.01, 1e6),
}


@dataclass(frozen=True)
class OnlineConfig:
    """None is "chosen for the algorithm or the model" by `resolved`; sources beside the defaults."""

    algorithm: Algorithm = "rloo"
    steps: int = 2_000  # responses of the whole run
    prompts: int = 16  # of a batch
    group: int | None = None  # responses to each; None: 4 (rloo: arXiv:2402.14740, k of 2 and 4; grpo: 8; ppo: 1)
    epochs: int = 1  # over a batch (OpenRLHF, verl; four of arXiv:2009.01325 went further for the same score)
    minibatch: int = 64  # responses an update
    kl: float = 0.05  # beta (trl 1.12's PPO, trl 1.16's RLOO)
    clip: float = 0.2  # arXiv:1707.06347
    clip_high: float | None = None  # arXiv:2503.14476 has .28; None: as `clip`
    scale: Literal["group", "batch", "none"] = "batch"  # of grpo; arXiv:2508.08221 found batch the steadiest
    average: Literal["sequence", "token", "length"] = "token"  # of grpo: its own, DAPO's, Dr. GRPO's
    gamma: float = 1.0  # arXiv:2009.01325
    lambda_: float = 1.0  # OpenRLHF, verl: a young critic is no ground to stand on
    unfinished: float = 1.0  # taken from the score of a response that was cut off, in standard deviations
    temperature: float = 1.0
    tokens: int = 64
    memory: int = 4096  # tokens of a micro-batch
    truncate: float = (
        2.0  # most that a token of a server's counts, which is as likely as that by the learner (trl 1.16)
    )

    def __post_init__(self) -> None:
        within("policy", self, RANGES)
        if self.algorithm != "ppo" and self.group == 1:
            raise InputError(
                f'policy.group is 1, and "{self.algorithm}" compares responses to one prompt: give 2 or more.'
            )

    def resolved(self) -> OnlineConfig:
        """With a value in place of every None but the rate."""
        group = self.group or {"ppo": 1, "rloo": 4, "grpo": 8}[self.algorithm]
        high = self.clip if self.clip_high is None else self.clip_high
        return replace(self, group=group, clip_high=high)


class Prompts(Protocol):
    """Where prompts come from; it counts the responses."""

    def draw(self, count: int, seed: int) -> list[str]: ...
    def took(self, responses: int) -> None: ...


@dataclass(frozen=True, eq=False)
class Experience:
    """A batch of responses with all that is learned from them, [reply, time] where it is by the token."""

    prompts: list[list[int]]  # one a reply
    responses: list[list[int]]
    valid: Bool[Tensor, "reply time"]
    log_prob: Float[Tensor, "reply time"]  # at sampling
    reference: Float[Tensor, "reply time"]
    score: Float[Tensor, "reply"]
    state: Float[Tensor, "reply time width"] | None  # the reference's hidden states, which a critic reads
    trust: Float[Tensor, "reply time"] | None = None  # what each token counts, where a server wrote it


class Online:
    """The `Policy` protocol for text, learning from a reward."""

    def __init__(self, task: Prompts, actor: Actor, config: OnlineConfig, seed: int) -> None:
        self.task, self.actor, self.config = task, actor, config.resolved()
        self.sampling = Sampling(config.temperature, tokens=config.tokens)
        width, device = actor.decoder.shape.width, actor.decoder.embedding.device
        self.critic = Critic(width, seed, device) if config.algorithm == "ppo" else None
        self.room = Room(config.memory)
        self.version = self.steps = 0
        self.kl = 0.0  # nats a response, of the last batch
        self.beta: float | None = None  # where it is adapted: what it has come to

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """Learns from at least `budget` responses, in whole batches; ends early beyond the budget of KL."""
        if not isinstance(signal, LearnedReward):
            raise InputError(
                f"{self.config.algorithm} improves on a reward, not on answers: choose dpo, or fit a reward."
            )
        began, before, updates, extra = time.perf_counter(), self.steps, 0, {}
        shaping = signal.shaping
        if shaping.kl_target is not None and self.beta is not None:
            shaping = replace(shaping, kl_coefficient=self.beta)
        most = float("inf") if shaping.kl_budget is None else shaping.kl_budget
        number = 0
        while self.steps - before < budget:
            experience = self._experience(signal, seed + number)
            if self.kl > most:
                break
            done, extra = self._learn(experience, shaping, seed + number)
            updates, number = updates + done, number + 1
            if shaping.kl_target is not None:
                self.beta = kl.adapted(shaping.kl_coefficient, self.kl, shaping.kl_target)
                shaping = replace(shaping, kl_coefficient=self.beta)
        self.version += 1
        return Metrics(self.steps - before, time.perf_counter() - began, updates, extra)

    def save(self, folder: Path) -> None:
        """The model's weights, the critic, and what was counted."""
        self.actor.save(folder)
        if self.critic is not None:
            save_file(self.critic.tensors(), folder / CRITIC)
        write_json(folder / COUNTED, {"version": self.version, "steps": self.steps, "beta": self.beta})

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        self.actor.load(folder)
        if self.critic is not None:
            self.critic.restore(load_file(folder / CRITIC))
        counted = decode(folder / COUNTED)
        self.version, self.steps = int(counted["version"]), int(counted["steps"])
        self.beta = counted.get("beta")

    def _experience(self, signal: LearnedReward, seed: int) -> Experience:
        """Responses to fresh prompts, scored, with the reference's opinion of them."""
        config, actor = self.config, self.actor
        assert config.group is not None
        asked = self.task.draw(config.prompts, seed)
        ids = [actor.tokenizer.asked(prompt) for prompt in asked]
        sampled = actor.engine.sample(ids, config.group, self.sampling, seed)
        self.task.took(len(sampled.tokens))
        self.steps += len(sampled.tokens)
        responses, valid = sampled.responses, sampled.valid
        prompts = [prompt for prompt in ids for _ in range(config.group)]
        replies = actor.replies([prompt for prompt in asked for _ in range(config.group)], responses)
        score = self._score(signal, replies, sampled)
        reference, state, shaping = sampled.log_prob, None, signal.shaping
        if self.critic is not None or shaping.kl_coefficient or shaping.kl_target or shaping.kl_budget is not None:
            states, longest = self.critic is not None, max(map(len, prompts)) + valid.shape[1]
            reference, state = self.room.within(
                lambda tokens: actor.reference(prompts, responses, valid, config.temperature, tokens, states),
                actor.forget,
                longest,
            )
        log_prob, trust = sampled.log_prob, None
        if actor.served is not None:
            log_prob = self._own(prompts, responses, valid)
            trust = truncated_ratio(log_prob - sampled.log_prob, config.truncate) * valid
            reference = log_prob if reference is sampled.log_prob else reference
        self.kl = float(kl.sequence_sum(kl.k1(log_prob, reference), valid).mean())
        return Experience(prompts, responses, valid, log_prob, reference, score, state, trust)

    def _own(self, prompts: list[list[int]], responses: list[list[int]], valid: Tensor) -> Float[Tensor, "reply time"]:
        """The learner's log-probabilities of what a server wrote."""

        def work(tokens: int) -> Tensor:
            batches = micro_batches(prompts, responses, budget=tokens)
            return table(self.actor.decoder, batches, (len(prompts), valid.shape[1]), self.config.temperature)

        return self.room.within(work, self.actor.forget, max(map(len, prompts)) + valid.shape[1])

    def _score(self, signal: LearnedReward, replies: Sequence[Reply], sampled: Sampled) -> Float[Tensor, "reply"]:
        """What the signal says of the responses, those that were cut off worth less. Raises NotFinite."""
        score = valued(signal, replies).to(sampled.tokens.device, torch.float32)
        return score - self.config.unfinished * score.std() * (~sampled.ended)

    def _advantages(self, made: Experience, beta: float) -> tuple[Tensor, Tensor | None]:
        """Of every token, [reply, time]; and what the critic is to foretell."""
        config, valid = self.config, made.valid
        penalty = kl.k1(made.log_prob, made.reference) * valid
        if config.algorithm == "ppo":
            assert self.critic is not None and made.state is not None
            last = torch.nn.functional.pad(valid, (0, 1))[:, 1:] != valid  # the last token of each
            reward = -beta * penalty + last * made.score[:, None]
            value = self.critic.value(made.state) * valid
            after = torch.nn.functional.pad(value, (0, 1))[:, 1:]
            discount = config.gamma * (valid & ~last)
            advantage = generalised_advantage(
                reward.T, value.T, after.T, discount.T, last.T, config.lambda_
            ).T  # time first
            target = advantage + value
            mean, sd = advantage[valid].mean(), advantage[valid].std()
            return (advantage - mean) / (sd + 1e-8) * valid, target
        assert config.group is not None
        score = made.score
        if config.algorithm == "rloo":
            score = score - beta * penalty.sum(1)
        grouped = score.view(-1, config.group)
        found = leave_one_out(grouped) if config.algorithm == "rloo" else group_relative(grouped, config.scale)
        return found.view(-1, 1) * valid, None

    def _weights(self, valid: Bool[Tensor, "reply time"]) -> Float[Tensor, "reply time"]:
        """What each token weighs in the objective of a minibatch; they sum to 1 where all responses are longest."""
        config = self.config
        way = {"ppo": "token", "rloo": "sum"}.get(config.algorithm, config.average)
        many = valid.sum(1, keepdim=True)
        if way == "token":
            return valid / many.sum()
        if way == "sequence":
            return valid / (many * len(valid))
        return valid / (len(valid) * (config.tokens if way == "length" else 1))

    def _learn(self, made: Experience, shaping: Shaping, seed: int) -> tuple[int, dict[str, float]]:
        """The epochs over one batch."""
        config, beta = self.config, shaping.kl_coefficient
        advantage, target = self._advantages(made, beta)
        advantage = advantage if made.trust is None else advantage * made.trust
        rng, updates, seen = np.random.default_rng(seed), 0, _Seen()
        for _ in range(config.epochs):
            order = rng.permutation(len(made.prompts))
            for some in np.array_split(order, max(1, round(len(order) / config.minibatch))):
                weight = torch.zeros_like(made.log_prob)
                rows = torch.from_numpy(some).to(weight.device)
                weight[rows] = self._weights(made.valid[rows])
                self._descend(some.tolist(), made, advantage, weight, beta, seen)
                self.actor.step()
                updates += 1
        if self.critic is not None and made.state is not None and target is not None:
            seen.sums["value_loss"] = self.critic.learn(made.state[made.valid], target[made.valid], config.epochs, seed)
        self.actor.refresh()
        return updates, {**seen.means(), "kl": self.kl, "score": float(made.score.mean()), "beta": beta}

    def _descend(
        self, some: list[int], made: Experience, advantage: Tensor, weight: Tensor, beta: float, seen: _Seen
    ) -> None:
        """A minibatch's gradient, in as many micro-batches as memory asks for."""

        def work(tokens: int) -> None:
            for batch, counts in self.actor.share.of(micro_batches(made.prompts, made.responses, some, tokens)):
                self._backward(batch.to(weight.device), made, advantage, counts * weight, beta, seen)

        self.room.within(work, self.actor.forget, max(len(made.prompts[k]) + len(made.responses[k]) for k in some))

    def _backward(
        self, batch: Batch, made: Experience, advantage: Tensor, weight: Tensor, beta: float, seen: _Seen
    ) -> None:
        """Adds a micro-batch's share of the gradient."""
        config, at = self.config, (batch.reply, batch.time)
        log_prob, entropy, _ = foretold(self.actor.decoder, batch, config.temperature)
        log_ratio = log_prob - made.log_prob[at]
        gain = clipped_surrogate(log_ratio, advantage[at], config.clip, config.clip_high)
        if config.algorithm == "grpo" and beta:
            gain = gain - beta * kl.k3(log_prob, made.reference[at])
        (-(gain * weight[at]).sum()).backward()
        seen.add(log_ratio.detach(), entropy, config.clip)


class _Seen:
    """Running means over the tokens that were learned from."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count, self.guard = 0, 0.0

    def add(self, log_ratio: Tensor, entropy: Tensor, clip: float) -> None:
        if not self.count:  # before any step the two are the same policy
            self.guard = float(log_ratio.abs().max())
        self.count += len(log_ratio)
        for name, value in (("entropy", entropy), ("clipped", (log_ratio.expm1().abs() > clip).float())):
            self.sums[name] = self.sums.get(name, 0.0) + float(value.sum())

    def means(self) -> dict[str, float]:
        whole = {"entropy", "clipped"}
        return {k: v / self.count if k in whole else v for k, v in self.sums.items()} | {"guard": self.guard}
