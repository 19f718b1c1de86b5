"""Objectives that policies maximise and losses that critics minimise; each exists here once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def clipped_surrogate(
    log_ratio: Float[Tensor, "batch"], advantage: Float[Tensor, "batch"], clip: float
) -> Float[Tensor, "batch"]:
    """min(rho A, clip(rho, 1 - clip, 1 + clip) A) with rho = exp(log_ratio).

    Source: Schulman et al., arXiv:1707.06347, equation 7.
    """
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def squared_error(value: Float[Tensor, "batch"], target: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """(V - target)^2 / 2."""
    return (value - target).square() / 2
