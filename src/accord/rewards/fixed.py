"""Rewards that are not learned: the constant one, and the truth. Baselines that stand beside every learned result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from accord.types import InputError, Scored, StepBatch


class Constant:
    """1 on every step: what a policy learns from it, it learned without any feedback."""

    version = 0

    def __call__(self, batch: StepBatch) -> Scored:
        """Ones."""
        return Scored(batch.valid.float(), torch.zeros_like(batch.valid, dtype=torch.float32))


class TrueReward:
    """The environment's own reward, looked up by the steps' serial numbers. For the baseline only."""

    version = 0

    def __init__(self, at: Callable[[np.ndarray], np.ndarray]) -> None:
        self._at = at

    def __call__(self, batch: StepBatch) -> Scored:
        """The sealed ledger's rewards."""
        if batch.serial is None:
            raise InputError("The true reward is looked up by serial number, and these steps have none.")
        reward = torch.from_numpy(self._at(batch.serial.numpy())) * batch.valid
        return Scored(reward, torch.zeros_like(reward))
