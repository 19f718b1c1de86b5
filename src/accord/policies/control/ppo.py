"""Proximal policy optimisation: Schulman et al., arXiv:1707.06347, equation 7, with the advantages of arXiv:1506.02438.

Differs from the paper in: advantages and values are normalised (Andrychowicz et al., arXiv:2006.05990; van Hasselt et
al., arXiv:1602.07714); a time limit is bootstrapped with the value of the state it cut; actor and critic share no
weights; an epoch stops early when the policy has moved too far; minibatches are thousands of rows, for speed.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Real
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.functional.objectives import clipped_surrogate, squared_error
from accord.functional.returns import generalised_advantage
from accord.functional.scaling import Scale, merged, scaled
from accord.policies.control.distributions import Categorical, Gaussian
from accord.policies.control.nets import ActorCritic, PictureActorCritic
from accord.policies.memoryless import Memoryless
from accord.policies.shaping import shaped
from accord.ranges import inside
from accord.types import Acting, InputError, LearnedReward, Metrics, NotFinite, Signal, StepBatch, Task

LEAST_INSIDE = 0.01  # share of rows
ROW_PASSES = (
    900_000  # 3 epochs at 227,000 Pendulum steps and 2 at 1,000,000 CartPole-v1 steps end as 4 do, in less time
)

LEAST_ROWS = 64  # of a rollout, though the budget has less left: one row has no spread to normalise advantages by


@dataclass(frozen=True)
class PPOConfig:
    """None is "chosen for the task" by `resolved`; sources beside the defaults."""

    steps: int = 100_000  # of the whole run: schedules run over them, however often `improve` is called
    hidden: tuple[int, ...] = (64, 64)  # stable-baselines3, rl-zoo
    rollout: int | None = None  # ticks between updates; None: 32, or as many as make 2,048 rows
    minibatch: int | None = None  # rows; None: an eighth of a rollout, 256 to 1,024
    epochs: int | None = (
        None  # None: 10 (stable-baselines3; pictures: 4), fewer where that passes 900,000 rows, at least 2
    )
    learning_rate: float | None = None  # falls to a tenth; None: 2e-3 (pictures: 2.5e-4) at 256 rows, as sqrt(rows)
    gamma: float = 0.98  # rl-zoo's CartPole
    lambda_: float = 0.95  # arXiv:1707.06347, table 3
    clip: float = 0.2  # arXiv:1707.06347, table 3
    entropy: float = 0.01  # coefficient (imitation #771); falls linearly to 0
    target_kl: float = 0.03  # the epochs end where the policy has moved so far (0.01 to 0.05 in the field)
    gradient_norm: float = 0.5  # arXiv:2006.05990
    log_sd: float = 0.0  # of the first Gaussian policy, in units of half the action's range

    def __post_init__(self) -> None:
        inside("policy.steps", self.steps, 1, 10**12)
        inside("policy.rollout", self.rollout, 1, 10**6)
        inside("policy.minibatch", self.minibatch, 2, 10**7)
        inside("policy.epochs", self.epochs, 1, 100)
        inside("policy.learning_rate", self.learning_rate, 1e-8, 1.0)
        inside("policy.gamma", self.gamma, 0.0, 1.0)
        inside("policy.lambda", self.lambda_, 0.0, 1.0)
        inside("policy.clip", self.clip, 1e-3, 10.0)
        inside("policy.entropy", self.entropy, 0.0, 10.0)
        inside("policy.target_kl", self.target_kl, 0.0, float("inf"))
        inside("policy.gradient_norm", self.gradient_norm, 1e-6, float("inf"))
        inside("policy.log_sd", self.log_sd, -20.0, 2.0)
        for width in self.hidden:
            inside("policy.hidden", width, 1, 65_536)


@dataclass(frozen=True)
class Schedule:
    """What a configuration leaves to be chosen, chosen."""

    rollout: int
    minibatch: int
    epochs: int
    learning_rate: float


def resolved(config: PPOConfig, envs: int, pictures: bool = False) -> Schedule:
    """The configuration's own values, and for each None the choice that its comment names.

    Pictures: rl-zoo's Atari settings, on the way of arXiv:1707.06347, table 5.
    """
    rollout = config.rollout or max(32, 2048 // envs)
    minibatch = config.minibatch or min(1024, max(256, rollout * envs // 8))
    most, rate = (4, 2.5e-4) if pictures else (10, 2e-3)
    epochs = config.epochs or min(most, max(2, ROW_PASSES // config.steps))
    return Schedule(rollout, minibatch, epochs, config.learning_rate or rate * (minibatch / 256) ** 0.5)


@dataclass(frozen=True, eq=False)
class Rollout:
    """What one stretch of acting left behind; `real` marks the rows that may be learned from."""

    observation: Real[Tensor, "time env observation"]  # float32; uint8 where it is a picture
    action: Tensor  # [time, env] of choices, or [time, env, action] of numbers
    log_prob: Float[Tensor, "time env"]
    final: Real[Tensor, "time env observation"]
    terminated: Bool[Tensor, "time env"]
    truncated: Bool[Tensor, "time env"]
    real: Bool[Tensor, "time env"]
    serial: Int[Tensor, "time env"]


class PPO:
    """The `Policy` protocol for control."""

    def __init__(self, task: Task, config: PPOConfig, seed: int) -> None:
        self.task, self.config = task, config
        spec = task.spec
        self.pictures = spec.picture is not None
        self.schedule = resolved(config, spec.envs, self.pictures)
        generator, size, log_sd = torch.Generator().manual_seed(seed), spec.action.size, config.log_sd
        self.net: ActorCritic | PictureActorCritic
        if spec.picture is None:
            self.net = ActorCritic(spec.observation_size, size, config.hidden, log_sd, generator)
        else:
            self.net = PictureActorCritic(spec.picture, size, log_sd, generator)
        self.law = Categorical(spec.action.size) if spec.action.discrete else Gaussian(spec.action)
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=self.schedule.learning_rate, eps=1e-5, fused=True)
        self.scale = Scale.unit(0 if self.pictures else spec.observation_size)
        self.returns = Scale.unit(1)
        self.version = self.steps = 0
        self.reward_version: int | None = None

    @torch.no_grad()
    def act(self, observation: Real[np.ndarray, "env observation"], seed: int | None = None) -> np.ndarray:
        """The most likely action; a draw from the policy where a seed is given."""
        out = self.net.actor(self._scaled(torch.from_numpy(observation)))
        if seed is None:
            return self.law.to_env(self.law.mode(out))
        noise = self.law.noise((len(observation),), torch.Generator().manual_seed(seed))
        return self.law.to_env(self.law.sample(out, self.net.log_sd, noise))

    def acting(self) -> Acting:
        """Nothing is remembered."""
        return Memoryless(self)

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """Learns for at least `budget` environment steps, in whole rollouts."""
        if not isinstance(signal, LearnedReward):
            raise InputError("PPO improves on a reward, not on answers: choose a reward model or the dpo algorithm.")
        began, steps_before, updates, extra = time.perf_counter(), self.steps, 0, {}
        if signal.reward.version != self.reward_version:
            self.reward_version = signal.reward.version
            self.returns = replace(self.returns, count=0.0)  # a new scale
        generator = torch.Generator().manual_seed(seed)
        observation = self.task.reset(seed)
        while self.steps - steps_before < budget:
            rollout, observation = self._act_for_a_while(observation, budget - (self.steps - steps_before), generator)
            done, extra = self._update(rollout, signal, generator)
            updates += done
        self.version += 1
        return Metrics(self.steps - steps_before, time.perf_counter() - began, updates, extra)

    @torch.no_grad()
    def _act_for_a_while(
        self, observation: Real[np.ndarray, "env observation"], left: int, generator: torch.Generator
    ) -> tuple[Rollout, Real[np.ndarray, "env observation"]]:
        envs = self.task.spec.envs
        ticks = min(self.schedule.rollout, -(-max(left, LEAST_ROWS) // envs))
        if self.scale.count == 0 and not self.pictures:
            self.scale = merged(self.scale, torch.from_numpy(observation))
        noise = self.law.noise((ticks, envs), generator)
        columns: list[list[Tensor]] = [[] for _ in range(8)]
        for t in range(ticks):
            seen = torch.from_numpy(observation)
            out = self.net.actor(self._scaled(seen))
            action = self.law.sample(out, self.net.log_sd, noise[t])
            step = self.task.step(self.law.to_env(action))
            observation = step.observation
            parts = (step.final, step.terminated, step.truncated, step.real, step.serial)
            for column, part in zip(columns, (seen, action, out, *map(torch.from_numpy, parts)), strict=True):
                column.append(part)
        seen, action, out, *rest = map(torch.stack, columns)
        self.steps += int(rest[3].sum())
        return Rollout(seen, action, self.law.log_prob(out, self.net.log_sd, action), *rest), observation

    def _update(
        self, rollout: Rollout, signal: LearnedReward, generator: torch.Generator
    ) -> tuple[int, dict[str, float]]:
        config, schedule, progress = self.config, self.schedule, min(1.0, self.steps / self.config.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = schedule.learning_rate * (1 - 0.9 * progress)
        entropy_coefficient = config.entropy * (1 - progress)
        advantage, target = self._advantages(rollout, _score(rollout, signal, self.law))
        rows = rollout.real.reshape(-1).nonzero()[:, 0]
        observation = self._scaled(rollout.observation.flatten(0, 1)[rows])
        action, log_prob = rollout.action.flatten(0, 1)[rows], rollout.log_prob.flatten()[rows]
        advantage, target = advantage.flatten()[rows], target.flatten()[rows]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        batches = max(1, round(len(rows) / schedule.minibatch))
        kl = surrogate = value_loss = entropy = out = log_ratio = torch.zeros(1)
        updates = 0
        for _ in range(schedule.epochs):
            for b in torch.randperm(len(rows), generator=generator).tensor_split(batches):
                out, value = self.net(observation[b])
                log_ratio = self.law.log_prob(out, self.net.log_sd, action[b]) - log_prob[b]
                surrogate = clipped_surrogate(log_ratio, advantage[b], config.clip).mean()
                value_loss = squared_error(value, target[b]).mean()
                loss = value_loss - surrogate
                if entropy_coefficient:
                    entropy = self.law.entropy(out, self.net.log_sd).mean()
                    loss = loss - entropy_coefficient * entropy
                self.optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.gradient_norm, foreach=True)
                self.optimiser.step()
                updates += 1
            kl = (log_ratio.detach().expm1() - log_ratio.detach()).mean()  # k3 of functional/kl.py, on the last batch
            if kl > config.target_kl:
                break
        if not self.pictures:
            self.scale = merged(self.scale, self._inside(rollout.observation.flatten(0, 1)[rows]))
        extra = {"kl": kl.item(), "surrogate": surrogate.item(), "value_loss": value_loss.item()}
        if not all(np.isfinite(list(extra.values()))):
            raise NotFinite(f"PPO's loss became {extra} after {self.steps} steps: lower policy.learning_rate.")
        return updates, {**extra, "entropy": self.law.entropy(out, self.net.log_sd).mean().item()}

    @torch.no_grad()
    def _advantages(
        self, rollout: Rollout, reward: Float[Tensor, "time env"]
    ) -> tuple[Float[Tensor, "time env"], Float[Tensor, "time env"]]:
        """Advantages, and targets in the critic's normalised units."""
        time, envs = reward.shape
        ended = rollout.terminated | rollout.truncated
        mean, sd = self.returns.mean, self.returns.variance.sqrt()
        seen = torch.cat([rollout.observation.flatten(0, 1), rollout.final[-1]])
        value = (self.net.critic(self._scaled(seen)) * sd + mean).view(time + 1, envs)
        value_tp1 = value[1:].clone()
        cut = rollout.truncated.nonzero(as_tuple=True)
        if len(cut[0]):
            value_tp1[cut] = self.net.critic(self._scaled(rollout.final[cut])) * sd + mean
        discount = self.config.gamma * (~rollout.terminated)
        advantage = generalised_advantage(reward, value[:-1], value_tp1, discount, ended, self.config.lambda_)
        target = advantage + value[:-1]
        self._rescale(target[rollout.real])
        return advantage, (target - self.returns.mean) / self.returns.variance.sqrt()

    def _rescale(self, target: Float[Tensor, "row"]) -> None:
        """Takes the targets' scale, and rewrites the critic's last layer so that its values stay what they were."""
        old = self.returns
        new = merged(old, target[:, None], memory=10.0 * len(target))
        new = replace(new, variance=new.variance.clamp(min=1e-6))
        ratio = (old.variance / new.variance).sqrt()
        weight, bias = self.net.value_layer()
        weight *= ratio
        bias.copy_((bias * old.variance.sqrt() + old.mean - new.mean) / new.variance.sqrt())
        self.returns = new

    def _scaled(self, rows: Real[Tensor, "row observation"]) -> Real[Tensor, "row observation"]:
        """By what was seen so far; pictures stay bytes, which their net divides by 255."""
        return rows if self.pictures else scaled(self.scale, rows)

    def _inside(self, rows: Float[Tensor, "row observation"]) -> Float[Tensor, "some observation"]:
        """Rows within the declared range: a pole that fell and spins says nothing of the scale of one that stands.

        All rows where hardly any is inside (a range whose edges are ordinary values, such as 0 or 1).
        """
        low, high = torch.from_numpy(self.task.spec.low), torch.from_numpy(self.task.spec.high)
        if not len(low):
            return rows
        inside = ((rows > low) & (rows < high)).all(1)
        return rows[inside] if inside.float().mean() >= LEAST_INSIDE else rows

    def save(self, folder: Path) -> None:
        """Weights and optimiser as safetensors, counters as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"net.{name}": tensor.contiguous() for name, tensor in self.net.state_dict().items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": tensor for name, tensor in state.items()}
        for name, scale in (("scale", self.scale), ("returns", self.returns)):
            tensors |= {f"{name}.mean": scale.mean, f"{name}.variance": scale.variance}
        save_file(tensors, folder / "policy.safetensors")
        counters = {
            "algorithm": "ppo",
            "version": self.version,
            "steps": self.steps,
            "reward_version": self.reward_version,
        }
        counters |= {"scale_count": self.scale.count, "returns_count": self.returns.count}
        (folder / "policy.json").write_text(json.dumps(counters))

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / "policy.safetensors").items()}
        counters = json.loads((folder / "policy.json").read_text())
        self.net.load_state_dict({name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, i, key = name.split(".")
                state.setdefault(int(i), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.scale, self.returns = (
            replace(old, mean=tensors[f"{n}.mean"], variance=tensors[f"{n}.variance"], count=counters[f"{n}_count"])
            for n, old in (("scale", self.scale), ("returns", self.returns))
        )
        self.version, self.steps, self.reward_version = (counters[k] for k in ("version", "steps", "reward_version"))


def _score(rollout: Rollout, signal: LearnedReward, law: Categorical | Gaussian) -> Float[Tensor, "time env"]:
    """The signal's reward for every step, as it reads them: copy by copy, in sequence."""
    ended = rollout.terminated | rollout.truncated
    action = law.to_env_rows(rollout.action)
    batch = StepBatch(
        rollout.observation.transpose(0, 1), action.transpose(0, 1), rollout.real.T, rollout.serial.T, ended.T
    )
    return shaped(signal, batch).T
