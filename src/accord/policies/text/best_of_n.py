"""Best of n: the start model writes n responses, and the one that the reward likes best is given. Nothing is learned.

Its divergence from the start model is at most log n - (n - 1) / n (Beirami et al., arXiv:2401.01879, theorem 3.1), and
that is the figure told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from accord.durable import decode, write_json
from accord.policies.shaping import valued
from accord.policies.text.actor import Actor
from accord.policies.text.rollout import Sampling
from accord.policies.text.writing import Written, write
from accord.ranges import within
from accord.types import InputError, LearnedReward, Metrics, Signal

TEXT = "best_of_n.json"
RANGES = {
    "n": (1, 10_000),
    "steps": (1, 10**9),
}


@dataclass(frozen=True)
class BestOfNConfig:
    """How many are written for one that is given."""

    n: int = 8
    steps: int = 2_000  # responses of the whole run; those that people are asked about are written from them
    temperature: float = 1.0
    tokens: int = 64

    def __post_init__(self) -> None:
        within("policy", self, RANGES)


class BestOfN:
    """The `Learner` protocol without learning: it takes over the newest reward."""

    def __init__(self, actor: Actor, config: BestOfNConfig) -> None:
        self.actor, self.config = actor, config
        self.sampling = Sampling(config.temperature, tokens=config.tokens)
        self.version, self.signal = 0, None

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """Takes over the reward, at once."""
        self.take(signal)
        self.version += 1
        return Metrics(0, 0.0, 0, {"kl": self.far})

    def take(self, signal: Signal) -> None:
        """The reward to choose by. Raises InputError for answers."""
        if not isinstance(signal, LearnedReward):
            raise InputError("best-of-n chooses by a reward, not by answers: fit a reward.")
        self.signal = signal

    @property
    def far(self) -> float:
        """KL from the start model in nats, at most."""
        return math.log(self.config.n) - (self.config.n - 1) / self.config.n if self.signal is not None else 0.0

    def write(self, prompts: Sequence[str], group: int, seed: int) -> Written:
        """The best of n for every response; before there is a reward, a plain response."""
        if self.signal is None:
            return write(self.actor, self.sampling, prompts, group, seed)
        n = self.config.n
        every = write(self.actor, self.sampling, prompts, group * n, seed)
        score = valued(self.signal, every.replies).view(-1, n)
        best = torch.arange(len(score)) * n + score.argmax(1).cpu()
        replies = [every.replies[i] for i in best.tolist()]
        return Written(replies, torch.full((len(best),), self.far), every.tokens[best])

    def save(self, folder: Path) -> None:
        """Its version; the reward lies beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TEXT, {"format": 1, "n": self.config.n, "version": self.version})

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        self.version = int(decode(folder / TEXT)["version"])
