"""A fitted reward as policies of text read it: a mean and a spread for every reply, in the unit of a deviation.

The members were scaled one by one to unit deviation over the replies that were answered about, and stay as they are
until the next fit (`fit._freeze`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from accord.rewards.features import read, scaled
from accord.rewards.fitted import FittedReward
from accord.rewards.scored import scored
from accord.types import Reply, Scored


@dataclass(frozen=True, eq=False)
class Replied:
    """The `ReplyReward` protocol over an ensemble."""

    fitted: FittedReward

    @property
    def version(self) -> int:
        return self.fitted.version

    def __call__(self, replies: Sequence[Reply]) -> Scored:
        """Raises NotFinite, naming the reply's number, where a member's output is not."""
        features = scaled(read(replies, self.fitted.encode), self.fitted.scaler)
        return scored(self.fitted.members(features)[:, :, 0], self.version)


class ConstantReply:
    """0 for every reply: what a policy learns from it, it learned without any feedback."""

    version = 0

    def __call__(self, replies: Sequence[Reply]) -> Scored:
        """Zeros."""
        return Scored(torch.zeros(len(replies)), torch.zeros(len(replies)))


class GoldReply:
    """The gold scorer itself, in the unit of a deviation. For the baseline only."""

    version = 0

    def __init__(self, of: Callable[[Sequence[Reply]], np.ndarray], unit: float) -> None:
        self._of, self._unit = of, unit

    def __call__(self, replies: Sequence[Reply]) -> Scored:
        """Scores over the unit."""
        score = torch.from_numpy(np.asarray(self._of(replies), np.float32)) / self._unit
        return Scored(score, torch.zeros_like(score))
