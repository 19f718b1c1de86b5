"""Learning from the answers themselves, on one page: DPO, IPO, KTO; and DPO on one's own responses.

    dpo   Rafailov et al., arXiv:2305.18290, equation 7: the log-likelihood of the answers (`likelihood.compare`) where
          a response's value is beta log(pi / ref), so ties and strengths count as they do for a reward
    ipo   Azar et al., arXiv:2310.12036, equation 17, with means over tokens
    kto   Ethayarajh et al., arXiv:2402.01306, equation 8, from approvals; a comparison is one good and one bad

With a reward as its signal instead of answers, any of them learns from pairs of its own responses, the best and the
worst of a group (Guo et al., arXiv:2402.04792, with a reward as the judge). Nothing holds it near its start but beta,
and new pairs pull on: it ends at the budget of KL, where the signal's shaping has one.

Differs from the papers in: beta can be another for every improvement (`Feedback.beta`); a comparison counts in KTO too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from accord.backbones.batches import WHOLE, cut, foretold, micro_batches, table
from accord.backbones.memory import Room
from accord.durable import decode, write_json
from accord.functional import likelihood, preferences
from accord.policies.shaping import valued
from accord.policies.text.actor import Actor
from accord.policies.text.online import COUNTED, Prompts
from accord.policies.text.rollout import Sampling
from accord.ranges import within
from accord.types import (
    Approvals,
    Comparisons,
    Evidence,
    InputError,
    LearnedReward,
    Metrics,
    Reply,
    Signal,
)

Algorithm = Literal["dpo", "ipo", "kto"]
RANGES = {
    "steps": (1, 10**9),
    "beta": (1e-6, 100.0),
    "epochs": (1, 100),
    "minibatch": (1, 10**6),
    "flips": (0.0, 0.49),
    "losses": (0.0, 100.0),
    "prompts": (1, 10**6),
    "group": (2, 10**4),
    "temperature": (0.01, 10.0),
    "tokens": (1, 10**6),
    "memory": (1, 10**9),
}


@dataclass(frozen=True)
class OfflineConfig:
    """Sources beside the defaults."""

    algorithm: Algorithm = "dpo"
    steps: int = 2_000  # responses of the whole run, where it learns from its own
    beta: float = 0.1  # arXiv:2305.18290, section 6
    epochs: int = 1  # over the answers of an improvement (arXiv:2305.18290)
    minibatch: int = 32  # answers an update
    flips: float = 0.0  # share of answers thought to be turned round (arXiv:2403.00409); dpo alone
    losses: float = 1.0  # weight of a bad response in kto (arXiv:2402.01306, section 4.3)
    prompts: int = 16  # of a batch of its own responses
    group: int = 4  # responses to each, of which the best and the worst are a pair
    temperature: float = 1.0
    tokens: int = 64
    memory: int = 4096  # tokens of a micro-batch

    def __post_init__(self) -> None:
        within("policy", self, RANGES)


@dataclass(frozen=True, eq=False)
class Judged:
    """Responses, and what was said of them: comparisons of two, and single ones that are good or bad."""

    prompts: list[list[int]]
    responses: list[list[int]]
    first: np.ndarray
    second: np.ndarray
    level: np.ndarray
    levels: np.ndarray
    single: np.ndarray
    good: np.ndarray


class Offline:
    """The `Policy` protocol for text, learning from answers."""

    def __init__(self, task: Prompts, actor: Actor, config: OfflineConfig) -> None:
        self.task, self.actor, self.config = task, actor, config
        self.sampling = Sampling(config.temperature, tokens=config.tokens)
        self.room = Room(config.memory)
        self.version = self.steps = 0
        self.kl = 0.0  # nats a response, of the last batch of its own

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """All answers, `epochs` times; or, on a reward, pairs of its own from at least `budget` responses."""
        began, before, updates, extra = time.perf_counter(), self.steps, 0, {}
        if isinstance(signal, LearnedReward):
            budgeted, number = signal.shaping.kl_budget, 0
            while self.steps - before < budget:
                judged, log_prob = self._own(signal, seed + number)
                reference = self._reference(judged.prompts, judged.responses).sum(1)
                self.kl = float((log_prob - reference).mean())
                if budgeted is not None and self.kl > budgeted:
                    break
                done, extra = self._learn(judged, reference, self.config.beta, seed + number)
                updates, number = updates + done, number + 1
            extra = {**extra, "kl": self.kl}
        else:
            judged = self._told(signal.answers)
            reference = self._reference(judged.prompts, judged.responses).sum(1)
            updates, extra = self._learn(judged, reference, signal.beta, seed)
        self.version += 1
        return Metrics(self.steps - before, time.perf_counter() - began, updates, extra)

    def save(self, folder: Path) -> None:
        """The model's weights, and what was counted."""
        self.actor.save(folder)
        write_json(folder / COUNTED, {"version": self.version, "steps": self.steps})

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        self.actor.load(folder)
        counted = decode(folder / COUNTED)
        self.version, self.steps = int(counted["version"]), int(counted["steps"])

    def _told(self, answers: Evidence) -> Judged:
        """The recorded answers. Raises InputError for segments that are no replies, or answers of another kind."""
        tokenizer, replies = self.actor.tokenizer, [one for one in answers.segments if isinstance(one, Reply)]
        if len(replies) < len(answers.segments):
            raise InputError(f"{self.config.algorithm} learns from replies, and some answers are about something else.")
        known = [one.tokenizer_hash == tokenizer.hash and bool(one.token_ids) for one in replies]
        responses = [
            list(one.token_ids) if kept else [*tokenizer.encode(one.response), tokenizer.end]
            for one, kept in zip(replies, known, strict=True)
        ]
        pairs = [part for part in answers.parts if isinstance(part, Comparisons)]
        alone = [part for part in answers.parts if isinstance(part, Approvals)]
        if not pairs and (self.config.algorithm != "kto" or not alone):
            raise InputError(f"{self.config.algorithm} has no answers that it can learn from: ask people to compare.")

        def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
            return np.concatenate([*parts, np.zeros(0, np.int64)]).astype(np.int64)

        return Judged(
            [tokenizer.asked(one.prompt) for one in replies],
            responses,
            joined([part.first for part in pairs]),
            joined([part.second for part in pairs]),
            joined([part.level for part in pairs]),
            joined([np.full(len(part.level), part.levels) for part in pairs]),
            joined([part.item for part in alone]),
            joined([part.approved for part in alone]).astype(bool),
        )

    def _own(self, signal: LearnedReward, seed: int) -> tuple[Judged, Float[Tensor, "reply"]]:
        """Fresh responses, of each group the best against the worst; and how likely each was to be written."""
        config, actor = self.config, self.actor
        asked = self.task.draw(config.prompts, seed)
        ids = [actor.tokenizer.asked(prompt) for prompt in asked]
        sampled = actor.engine.sample(ids, config.group, self.sampling, seed)
        self.task.took(len(sampled.tokens))
        self.steps += len(sampled.tokens)
        responses = sampled.responses
        replies = actor.replies([prompt for prompt in asked for _ in range(config.group)], responses)
        score = valued(signal, replies).view(-1, config.group)
        start = torch.arange(len(score)) * config.group
        best, worst = (start + score.argmax(1)).numpy(), (start + score.argmin(1)).numpy()
        none = np.zeros(0, np.int64)
        ones = np.ones(len(best), np.int64)
        prompts = [prompt for prompt in ids for _ in range(config.group)]
        judged = Judged(prompts, responses, best, worst, ones, 2 * ones, none, none.astype(bool))
        return judged, (sampled.log_prob * sampled.valid).sum(1)

    def _learn(
        self, judged: Judged, reference: Float[Tensor, "reply"], beta: float, seed: int
    ) -> tuple[int, dict[str, float]]:
        """The epochs. A minibatch's gradient is taken so that memory does not grow with it."""
        config, actor = self.config, self.actor
        many = torch.tensor([len(one) for one in judged.responses], device=reference.device)
        rng, updates, sums = np.random.default_rng(seed), 0, np.zeros(3)
        count = len(judged.first) + len(judged.single)
        for _ in range(config.epochs):
            order = rng.permutation(count)
            for some in np.array_split(order, max(1, round(count / config.minibatch))):
                sums += self._update(judged, some, reference, many, beta)
                updates += 1
        actor.refresh()
        loss, right, weight = sums / max(1, updates)
        return updates, {"loss": loss, "accuracy": right, "gradient": weight}

    def _update(self, judged: Judged, some: np.ndarray, reference: Tensor, many: Tensor, beta: float) -> np.ndarray:
        """One step."""
        pairs = torch.from_numpy(some[some < len(judged.first)])
        alone = torch.from_numpy(some[some >= len(judged.first)] - len(judged.first))

        def work(tokens: int) -> tuple[Tensor, float]:
            if self.config.algorithm == "kto":
                return self._twice(judged, pairs, alone, reference, many, beta, tokens)
            return self._once(judged, pairs, reference, many, beta, tokens)

        longest = max(map(len, judged.prompts)) + 2 * int(many.max())
        ratio, loss = self.room.within(work, self.actor.forget, longest)
        size = self.actor.step()
        first, second = torch.from_numpy(judged.first)[pairs], torch.from_numpy(judged.second)[pairs]
        level, levels = torch.from_numpy(judged.level)[pairs], torch.from_numpy(judged.levels)[pairs]
        told = (2 * level - (levels - 1)).sign()
        right = ((ratio[first] - ratio[second]) * told > 0).float()[told != 0]
        return np.array([loss, float(right.mean()) if len(right) else float("nan"), size])

    def _once(
        self, judged: Judged, pairs: Tensor, reference: Tensor, many: Tensor, beta: float, tokens: int
    ) -> tuple[Float[Tensor, "reply"], float]:
        """The gradient, some pairs at a time: a pair's loss hangs on no other's. With the log-ratios and the loss."""
        config, actor = self.config, self.actor
        first, second = torch.from_numpy(judged.first), torch.from_numpy(judged.second)
        ratio, times, loss = torch.zeros(len(reference)), torch.zeros(len(reference)), 0.0
        if config.algorithm == "ipo":  # which says nothing of ties
            level, levels = torch.from_numpy(judged.level)[pairs], torch.from_numpy(judged.levels)[pairs]
            pairs = pairs[2 * level != levels - 1]
        for part, counts in actor.share.of(self._parts(judged, pairs, tokens)):
            used = torch.cat([first[part], second[part]]).unique()
            (batch,) = micro_batches(judged.prompts, judged.responses, used.tolist(), WHOLE)
            batch = batch.to(reference.device)
            log_prob = foretold(actor.decoder, batch, config.temperature)[0]
            found = (torch.zeros_like(reference).index_add(0, batch.reply, log_prob) - reference).cpu()
            lost = self._loss(judged, found, many.cpu(), part, part[:0], beta) * (counts * len(part) / len(pairs))
            lost.backward()
            ratio[used] += counts * found.detach()[used]
            times[used] += counts
            loss += float(lost.detach())
        total, times = actor.share.summed(torch.stack([ratio, times]))
        mean = total / times.clamp(min=1.0)  # a response stands in several pairs, and is the same in all of them
        return mean, float(actor.share.summed(torch.tensor(loss)))

    def _parts(self, judged: Judged, pairs: Tensor, tokens: int) -> list[Tensor]:
        """Pairs of so many tokens together, those of one prompt side by side; one at least."""

        def long(pair: int) -> int:
            one, other = int(judged.first[pair]), int(judged.second[pair])
            return len(judged.prompts[one]) + len(judged.responses[one]) + len(judged.responses[other])

        order = sorted(pairs.tolist(), key=lambda pair: (long(pair), judged.prompts[int(judged.first[pair])]))
        return [torch.tensor(part) for part in cut(order, long, tokens)]

    def _twice(
        self, judged: Judged, pairs: Tensor, alone: Tensor, reference: Tensor, many: Tensor, beta: float, tokens: int
    ) -> tuple[Float[Tensor, "reply"], float]:
        """The same where a response's loss hangs on all: its slope in each comes first, then that in their tokens."""
        config, actor = self.config, self.actor
        first, second, single = (torch.from_numpy(x) for x in (judged.first, judged.second, judged.single))
        used = torch.cat([first[pairs], second[pairs], single[alone]]).unique()
        batches = micro_batches(judged.prompts, judged.responses, used.tolist(), tokens)
        with torch.no_grad():
            total = torch.zeros(len(reference), device=reference.device)
            for batch in (one.to(total.device) for one in batches):
                total.index_add_(0, batch.reply, foretold(actor.decoder, batch, config.temperature)[0])
        ratio = (total - reference).cpu().requires_grad_()
        loss = self._loss(judged, ratio, many.cpu(), pairs, alone, beta)
        loss.backward()
        assert ratio.grad is not None
        slope = ratio.grad.to(total.device)
        for batch, counts in actor.share.of([one.to(total.device) for one in batches]):
            (counts * foretold(actor.decoder, batch, config.temperature)[0] * slope[batch.reply]).sum().backward()
        return ratio.detach(), float(loss.detach())

    def _loss(
        self,
        judged: Judged,
        ratio: Float[Tensor, "reply"],
        many: Tensor,
        pairs: Tensor,
        alone: Tensor,
        beta: float,
    ) -> Float[Tensor, ""]:
        """Mean over the minibatch's answers."""
        config = self.config
        first, second = torch.from_numpy(judged.first)[pairs], torch.from_numpy(judged.second)[pairs]
        level, levels = torch.from_numpy(judged.level)[pairs], torch.from_numpy(judged.levels)[pairs]
        if config.algorithm == "dpo":
            return -compared(beta * ratio[first], beta * ratio[second], level, levels, config.flips).mean()
        told = (2 * level - (levels - 1)).sign()  # 1: the first is better
        decided = told != 0
        better = torch.where(told > 0, first, second)[decided]
        worse = torch.where(told > 0, second, first)[decided]
        if config.algorithm == "ipo":
            mean = ratio / many
            return preferences.identity_loss(mean[better] - mean[worse], beta).mean()
        item = torch.cat([better, worse, torch.from_numpy(judged.single)[alone]])
        good = torch.cat(
            [torch.ones(len(better)), torch.zeros(len(worse)), torch.from_numpy(judged.good)[alone].float()]
        ).bool()
        reward = beta * ratio[item]
        reference = torch.tensor(beta * self._mismatched(judged, item.tolist()))
        return preferences.prospect_loss(reward, reference, good, config.losses).mean()

    def _valid(self, responses: list[list[int]]) -> Bool[Tensor, "reply time"]:
        """Which places of a table of responses are tokens."""
        device = self.actor.decoder.embedding.device
        many = torch.tensor([len(one) for one in responses], device=device)
        return torch.arange(int(many.max()), device=device) < many[:, None]

    def _reference(self, prompts: list[list[int]], responses: list[list[int]]) -> Float[Tensor, "reply time"]:
        """The reference's log-probabilities, 0 beyond a response's end."""
        actor, longest = self.actor, max(len(a) + len(b) for a, b in zip(prompts, responses, strict=True))
        valid = self._valid(responses)
        return self.room.within(
            lambda tokens: actor.reference(prompts, responses, valid, self.config.temperature, tokens)[0],
            actor.forget,
            longest,
        )

    @torch.no_grad()
    def _mismatched(self, judged: Judged, items: Sequence[int]) -> float:
        """KL(pi || ref) as KTO estimates it: the mean log-ratio of responses to the next one's prompt, at least 0."""
        prompts = [judged.prompts[k] for k in (*items[1:], items[0])]
        responses, actor, config = [judged.responses[k] for k in items], self.actor, self.config
        reference = self._reference(prompts, responses)
        batches = micro_batches(prompts, responses, budget=self.room.tokens)
        ours = table(actor.decoder, batches, (len(items), reference.shape[1]), config.temperature)
        return max(0.0, float((ours - reference).sum(1).mean()))


def compared(
    first: Float[Tensor, "pair"], second: Float[Tensor, "pair"], level: Tensor, levels: Tensor, flips: float
) -> Float[Tensor, "pair"]:
    """The log-likelihood of answers on scales of any length, with thresholds a unit apart."""
    found = torch.zeros_like(first)
    for many in levels.unique().tolist():
        rows = levels == many
        cuts = None if many == 2 else likelihood.symmetric_cuts(torch.zeros((many - 1) // 2), many)
        if cuts is not None:
            cuts = cuts.expand(int(rows.sum()), -1)
        one, zero = torch.ones(int(rows.sum())), torch.zeros(int(rows.sum()))

        def log(
            level: Tensor, cuts: Tensor | None = cuts, rows: Tensor = rows, one: Tensor = one, zero: Tensor = zero
        ) -> Tensor:
            return likelihood.compare(first[rows], second[rows], level, cuts, one, zero)

        given = log(level[rows])
        if flips:
            given = preferences.robust(given, log(many - 1 - level[rows]), flips)
        found = found.index_put((rows.nonzero()[:, 0],), given)
    return found
