"""Draws from the exact posterior of a linear head and the annotators, by Hamiltonian Monte Carlo.

Laplace's approximation sits at a mode, where a head explains careless answers by small differences, so low skills come
out too high and their intervals too narrow. Draws cost seconds, and need no approximation.

Source: Neal 2011, "MCMC using Hamiltonian dynamics", section 3.3, run in the coordinates in which Laplace's
approximation is standard normal. Differs from it in: single precision, whose error is far below that of a step; many
short chains side by side as one batch, which share each step's overhead. The prior deviation of the head is drawn as
well, about the value that the evidence chose.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from accord.rewards.annotators import NORMAL, Layout
from accord.rewards.asked import slopes
from accord.rewards.posterior import Posterior

CHAINS, WARM, KEEP, LEAPS = 16, 40, 50, 6  # 16 x 50 draws: quantiles at 5% and 95% good to 1% or so of probability
SCALE = 0.5  # prior deviation of the logarithm of the head's prior deviation, about its most likely value
WANTED = 0.8  # accepted proposals (Neal 2011, section 4.4: 0.65 is best alone, more where steps are shared by chains)


def sample(posterior: Posterior, layout: Layout, seed: int) -> Float[Tensor, "draw parameter"]:
    """Draws of head and annotators, chains one after the other."""
    generator = torch.Generator().manual_seed(seed)
    size, columns = len(posterior.mode), len(posterior.mode) - layout.size
    mode, factor = posterior.mode.float(), posterior.factor.float()
    centre, freedom = posterior.centre.float(), torch.cat([torch.full((columns,), NORMAL), layout.freedom])
    precision = torch.cat([posterior.precision[:columns].float(), layout.vectors()[1]])
    parts = [replace(one, basis=one.basis.float()) for one in posterior.parts]

    def normal() -> Tensor:
        return torch.randn(CHAINS, size + 1, generator=generator)

    def unfold(at: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters, and the factor by which the head differs from its prior deviation."""
        return mode + factor.spread(at[:, :-1].T).T, (SCALE * at[:, -1:]).exp()

    def climb(at: Tensor) -> tuple[Tensor, Tensor]:
        point, scale = unfold(at)
        off = precision * (point - centre).square()
        level = -0.5 * ((freedom + 1.0) * torch.log1p(off / freedom)).sum(1) - 0.5 * at[:, -1].square()
        slope, stretch = precision * (freedom + 1.0) / (freedom + off) * (centre - point), -at[:, -1:]
        scaled = torch.cat([scale * point[:, :columns], point[:, columns:]], 1)
        for one in parts:
            total, d = slopes(one, scaled)
            level = level + total
            stretch = stretch + SCALE * (d[:, :columns] * scaled[:, :columns]).sum(1, keepdim=True)
            slope = slope + torch.cat([scale * d[:, :columns], d[:, columns:]], 1)
        return level, torch.cat([factor.gather(slope.T).T, stretch], 1)

    at, step, kept = normal(), 0.2, []
    level, slope = climb(at)
    for number in range(WARM + KEEP):
        push = normal()
        energy = level - 0.5 * push.square().sum(1)
        size_ = step * (0.8 + 0.4 * float(torch.rand((), generator=generator)))
        to, to_level, to_slope = at, level, slope
        for _ in range(LEAPS):
            push = push + 0.5 * size_ * to_slope
            to = to + size_ * push
            to_level, to_slope = climb(to)
            push = push + 0.5 * size_ * to_slope
        chance = (to_level - 0.5 * push.square().sum(1) - energy).nan_to_num(nan=-1e9).clamp(max=0.0).exp()
        taken = torch.rand(CHAINS, generator=generator) < chance
        at, level = torch.where(taken[:, None], to, at), torch.where(taken, to_level, level)
        slope = torch.where(taken[:, None], to_slope, slope)
        if number < WARM:
            step *= 1.1 if float(chance.mean()) > WANTED else 0.9
        else:
            point, scale = unfold(at)
            kept.append(torch.cat([scale * point[:, :columns], point[:, columns:]], 1))
    return torch.stack(kept, 1).flatten(0, 1)
