"""Running mean and variance of rows, as values: merged, applied, never mutated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

CLIP = 10.0  # standard deviations; stable-baselines3's VecNormalize uses the same


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and variance of `count` rows seen so far."""

    mean: Float[Tensor, "feature"]
    variance: Float[Tensor, "feature"]
    count: float

    @staticmethod
    def unit(size: int) -> Scale:
        """Nothing seen yet: mean 0, variance 1."""
        return Scale(torch.zeros(size), torch.ones(size), 0.0)


def merged(scale: Scale, rows: Float[Tensor, "row feature"], memory: float = float("inf")) -> Scale:
    """With these rows seen too; what was seen counts for at most `memory` rows.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """
    n, before = float(rows.shape[0]), min(scale.count, memory)
    variance, mean = torch.var_mean(rows, dim=0, correction=0)
    total = before + n
    delta = mean - scale.mean
    merged_mean = scale.mean + delta * (n / total)
    merged_variance = (scale.variance * before + variance * n) / total + delta.square() * (before * n / total**2)
    return Scale(merged_mean, merged_variance, total)


def scaled(scale: Scale, rows: Float[Tensor, "*row feature"]) -> Float[Tensor, "*row feature"]:
    """(x - mean) / sd, clipped to 10 standard deviations."""
    return ((rows - scale.mean) * (scale.variance + 1e-8).rsqrt()).clamp(-CLIP, CLIP)
