"""What SAC and TD3 share: a step into the memory, a batch out of it, an update; and how they are kept.

Source: Lillicrap et al., arXiv:1509.02971, algorithm 1 (the loop). Differs from it in: rewards are those of today's
signal, computed as a batch is read; a time limit is bootstrapped with the value of the state that it cut.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.policies.control.captured import learning_on
from accord.policies.control.replay import Batch, Replay
from accord.policies.control.stack import Learned, Stack
from accord.policies.memoryless import Memoryless
from accord.policies.shaping import shaped
from accord.ranges import inside, within
from accord.runtime import device, products
from accord.types import Acting, InputError, LearnedReward, Metrics, NotFinite, Signal, StepBatch, Task, TaskSpec

WIDE = 128  # hidden units from which bfloat16 products save more than their conversions cost
RANGES = {
    "steps": (1, 10**12),
    "batch": (2, 10**6),
    "capacity": (2, 10**9),
    "warmup": (1, 10**9),
    "learning_rate": (1e-8, 1.0),
    "gamma": (0.0, 1.0),
    "tau": (1e-6, 1.0),
    "near": (0.0, 1.0),
    "newest": (1, 10**9),
}


@dataclass(frozen=True)
class OffPolicyConfig:
    """What SAC and TD3 are told alike; sources beside the defaults."""

    steps: int = 50_000  # of the whole run
    hidden: tuple[int, ...] = (256, 256)  # arXiv:1812.05905, table 1
    batch: int = 256  # arXiv:1812.05905, table 1
    capacity: int = 1_000_000  # transitions remembered; arXiv:1812.05905, table 1
    warmup: int = 1_000  # first steps, with random actions; B-Pref (arXiv:2111.03026)
    learning_rate: float = 3e-4  # of actor and critic; arXiv:1812.05905, table 1
    gamma: float = 0.99  # arXiv:1812.05905, table 1
    tau: float = 0.005  # share by which the target nets follow at every update; arXiv:1812.05905, table 1
    near: float = 0.0  # share of a batch from the newest steps (hybrid replay of QPA, arXiv:2305.17400: .5)
    newest: int = 10_000  # how many steps those are; QPA: ten episodes of a thousand
    refit: Literal["keep", "reset"] = "keep"  # critics when the reward was fitted anew; "reset" is PEBBLE's
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of products: bfloat16 where native and nets are wide
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where it learns: a GPU where there is one, by captured graphs

    def __post_init__(self) -> None:
        within("policy", self, RANGES)
        if not self.hidden:
            raise InputError("policy.hidden is empty; one layer is needed at least: leave it out for 256, 256.")
        for width in self.hidden:
            inside("policy.hidden", width, 1, 65_536)

    @property
    def dtype(self) -> torch.dtype:
        """Of the products."""
        auto = self.precision == "auto" and products().bfloat16 and min(self.hidden) >= WIDE
        return torch.bfloat16 if auto or self.precision == "bfloat16" else torch.float32


def refuse_pictures(spec: TaskSpec, algorithm: str) -> None:
    """Raises InputError where observations are pictures."""
    if spec.picture is not None:
        raise InputError(
            f'policy.algorithm is "{algorithm}", which reads rows of numbers, and {spec.id} shows pictures: '
            'choose "ppo".'
        )


class OffPolicy(ABC):
    """The `Policy` protocol for an algorithm that learns from a memory. A subclass is one algorithm's page."""

    name: ClassVar[str]
    actor: Stack

    def __init__(self, task: Task, config: OffPolicyConfig, seed: int) -> None:
        refuse_pictures(task.spec, self.name)
        if config.device == "cuda" and not torch.cuda.is_available():
            raise InputError('policy.device is "cuda", and PyTorch finds no GPU here: choose "auto" or "cpu".')
        self.task, self.config, self.device = task, config, device(config.device)
        self.replay = Replay(task.spec, config.capacity)
        self.learned: dict[str, Learned] = {}
        self.seed = seed
        self.version = self.steps = self.updates = 0
        self.reward_version: int | None = None

    @abstractmethod
    def explore(
        self, observation: Float[Tensor, "env observation"], generator: torch.Generator
    ) -> Float[Tensor, "env action"]:
        """Actions to learn from, as the memory counts them."""

    @abstractmethod
    def to_env(self, action: Float[Tensor, "env action"]) -> np.ndarray:
        """The same as the environment takes them."""

    @abstractmethod
    def as_scored(self, action: Float[Tensor, "batch action"]) -> Float[Tensor, "batch action"]:
        """The same as rewards take them."""

    @abstractmethod
    def any_action(self, rows: int, generator: torch.Generator) -> Float[Tensor, "env action"]:
        """Uniformly random ones."""

    @property
    def climbs(self) -> bool:
        """Whether the actor learns in this update too."""
        return True

    @abstractmethod
    def noise(self, batch: int, generator: torch.Generator) -> Float[Tensor, "draw action"]:
        """Of the actions that an update draws: standard normal."""

    @abstractmethod
    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One update from one batch; what is worth telling of it. Nothing here may wait for a number of a GPU."""

    @abstractmethod
    def start_critic(self, generator: torch.Generator) -> None:
        """A critic that knows nothing, and its target."""

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """Learns for at least `budget` environment steps: one update a step, once the first were taken at random."""
        if not isinstance(signal, LearnedReward):
            raise InputError(f"{self.name} improves on a reward, not on answers: choose a reward model or dpo.")
        began, taken, before, told = time.perf_counter(), 0, self.updates, {}
        generator = torch.Generator().manual_seed(seed)
        self._meet(signal.reward.version, generator)
        observation = torch.from_numpy(self.task.reset(seed))
        with learning_on(self.device, self.learned, self.actor, self.update) as learner:
            while taken < budget:
                early = self.steps < self.config.warmup
                learner.wait()
                with torch.no_grad():
                    rows = len(observation)
                    action = self.any_action(rows, generator) if early else self.explore(observation, generator)
                step = self.task.step(self.to_env(action))
                self.replay.add(observation, action, step)
                observation = torch.from_numpy(step.observation)
                real = int(step.real.sum())
                taken, self.steps = taken + real, self.steps + real
                for _ in range(0 if self.steps < self.config.warmup else real):
                    batch = self._batch(signal, generator)
                    self.updates += 1
                    told |= learner.update(batch, self.climbs)
        extra = {name: float(value) for name, value in told.items()}
        if not all(np.isfinite(list(extra.values()))):
            raise NotFinite(
                f"{self.name}'s losses became {extra} after {self.steps} steps: lower policy.learning_rate."
            )
        self.version += 1
        return Metrics(taken, time.perf_counter() - began, self.updates - before, extra)

    def _batch(self, signal: LearnedReward, generator: torch.Generator) -> Batch:
        """Out of the memory, by the reward of today."""
        config = self.config
        rows = self.replay.draw(config.batch, generator, round(config.near * config.batch), config.newest)
        one = torch.ones(len(rows.serial_t), 1, dtype=torch.bool)  # steps alone: each a sequence of one
        action = self.as_scored(rows.action_t).unsqueeze(1)
        batch = StepBatch(rows.observation_t.unsqueeze(1), action, one, rows.serial_t.unsqueeze(1), one)
        reward, discount = shaped(signal, batch)[:, 0], config.gamma * ~rows.terminated_t
        noise = self.noise(config.batch, generator)
        return Batch(rows.observation_t, rows.action_t, rows.observation_tp1, reward, discount, noise)

    def _meet(self, version: int, generator: torch.Generator) -> None:
        """A reward of another fit: old values are of another reward."""
        if self.config.refit == "reset" and self.reward_version not in (None, version):
            self.start_critic(generator)
        self.reward_version = version

    def act(self, observation: Float32[np.ndarray, "env observation"], seed: int | None = None) -> np.ndarray:
        """The most likely action; a draw from the policy where a seed is given."""
        with torch.no_grad():
            rows = torch.from_numpy(observation)
            if seed is None:
                return self.to_env(self.mode(rows))
            return self.to_env(self.explore(rows, torch.Generator().manual_seed(seed)))

    def acting(self) -> Acting:
        """Nothing is remembered."""
        return Memoryless(self)

    @abstractmethod
    def mode(self, observation: Float[Tensor, "env observation"]) -> Float[Tensor, "env action"]:
        """The most likely action, as the memory counts it."""

    def save(self, folder: Path) -> None:
        """Nets, optimisers and memory as safetensors, counters as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"{name}.{key}": value for name, net in self.learned.items() for key, value in net.state().items()}
        save_file(tensors, folder / "policy.safetensors")
        self.replay.save(folder / "replay.safetensors")
        counters = {"algorithm": self.name, "version": self.version, "steps": self.steps, "updates": self.updates}
        (folder / "policy.json").write_text(json.dumps({**counters, "reward_version": self.reward_version}))

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / "policy.safetensors").items()}
        for name, net in self.learned.items():
            net.restore({key: tensors[f"{name}.{key}"] for key in net.state()})
        self.replay.load(folder / "replay.safetensors")
        counters = json.loads((folder / "policy.json").read_text())
        self.version, self.steps, self.updates = (counters[name] for name in ("version", "steps", "updates"))
        self.reward_version = counters["reward_version"]
