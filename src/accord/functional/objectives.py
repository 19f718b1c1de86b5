"""Objectives that policies maximise and losses that critics minimise; each exists here once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def clipped_surrogate(
    log_ratio: Float[Tensor, "batch"], advantage: Float[Tensor, "batch"], clip: float, clip_high: float | None = None
) -> Float[Tensor, "batch"]:
    """min(rho A, clip(rho, 1 - clip, 1 + clip_high) A) with rho = exp(log_ratio); `clip_high` is `clip` where None.

    Source: Schulman et al., arXiv:1707.06347, equation 7; a bound of its own above: Yu et al., arXiv:2503.14476.
    """
    ratio = log_ratio.exp()
    bounded = ratio.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    return torch.minimum(ratio * advantage, bounded * advantage)


def truncated_ratio(log_ratio: Float[Tensor, "*batch"], most: float) -> Float[Tensor, "*batch"]:
    """How much what another policy did counts for this one: `min(exp(log_ratio), most)`.

    Source: Espeholt et al., arXiv:1802.01561, section 4.1.
    """
    return log_ratio.exp().clamp(max=most)


def squared_error(value: Float[Tensor, "*net batch"], target: Float[Tensor, "batch"]) -> Float[Tensor, "*net batch"]:
    """(V - target)^2 / 2, of one critic or of several."""
    return (value - target).square() / 2


def soft_value(
    q: Float[Tensor, "*batch"], log_prob: Float[Tensor, "*batch"], temperature: Float[Tensor, ""]
) -> Float[Tensor, "*batch"]:
    """Q(s, a) - T log pi(a | s) at an action drawn from pi: what a soft policy maximises, and its value.

    Source: Haarnoja et al., arXiv:1812.05905, equations 3 and 7 (there as a loss).
    """
    return q - temperature * log_prob


def soft_value_of_choices(
    q: Float[Tensor, "batch choice"], log_prob: Float[Tensor, "batch choice"], temperature: Float[Tensor, ""]
) -> Float[Tensor, "batch"]:
    """The same in expectation over all choices. Source: Christodoulou, arXiv:1910.07207, equation 10."""
    return (log_prob.exp() * soft_value(q, log_prob, temperature)).sum(-1)


def temperature_slope(entropy: Float[Tensor, "batch"], target: float) -> Float[Tensor, ""]:
    """Mean entropy - target, the slope in log T: T falls where the policy is more random than it need be.

    Source: Haarnoja et al., arXiv:1812.05905, equation 18, in log T as its authors' code has it.
    """
    return entropy.mean() - target
