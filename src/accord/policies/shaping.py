"""A signal's reward for a batch of steps: what every algorithm that learns from a reward reads it through."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from accord.types import LearnedReward, NotFinite, StepBatch


def shaped(signal: LearnedReward, batch: StepBatch) -> Float[Tensor, "batch time"]:
    """mean - pessimism * spread, less the costs at their multipliers. Raises NotFinite where one is no number."""
    scored = signal.reward(batch)
    reward, pessimism = scored.mean, signal.shaping.pessimism
    if pessimism:
        reward = reward - pessimism * scored.spread
    for multiplier, cost in zip(signal.shaping.cost_multipliers, signal.costs, strict=True):
        reward = reward - multiplier * cost(batch).mean
    if not bool(torch.isfinite(reward).all()):
        raise NotFinite("The reward model returned a value that is not a number; the last good checkpoint stays.")
    return reward
