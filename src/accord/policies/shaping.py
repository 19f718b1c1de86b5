"""A signal's reward for a batch of steps, or of replies: what algorithms that learn from a reward read it through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from accord.types import LearnedReward, NotFinite, Reply, ReplyReward, Reward, StepBatch


def shaped(signal: LearnedReward, batch: StepBatch) -> Float[Tensor, "batch time"]:
    """mean - pessimism * spread, less the costs at their multipliers. Raises NotFinite where one is no number."""
    scored = cast(Reward, signal.reward)(batch)
    reward, pessimism = scored.mean, signal.shaping.pessimism
    if pessimism:
        reward = reward - pessimism * scored.spread
    for multiplier, cost in zip(signal.shaping.cost_multipliers, signal.costs, strict=True):
        reward = reward - multiplier * cost(batch).mean
    if not bool(torch.isfinite(reward).all()):
        raise NotFinite("The reward model returned a value that is not a number; the last good checkpoint stays.")
    return reward


def valued(signal: LearnedReward, replies: Sequence[Reply]) -> Float[Tensor, "reply"]:
    """The same of replies, one number each. Raises NotFinite, naming the reply's number."""
    reward = cast(ReplyReward, signal.reward)  # a task of text has rewards of replies alone
    scored = reward(replies)
    found = scored.mean - signal.shaping.pessimism * scored.spread
    bad = (~torch.isfinite(found)).nonzero()
    if len(bad):
        raise NotFinite(f"the reward of response {int(bad[0])} is no number; the last good checkpoint stays.")
    return found
