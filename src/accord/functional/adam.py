"""Adam on one flat vector: one pass over it, whatever the number of layers."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-8  # arXiv:1412.6980, algorithm 1


def adam_(
    flat: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    square: Float[Tensor, "*shape"],
    step: Float[Tensor, ""],
    slope: Float[Tensor, "*shape"],
    rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> None:
    """One step down the slope, in place. `mean` and `square` are its running moments and `step` counts, all from 0.

    Source: Kingma and Ba, arXiv:1412.6980, in the order of operations of its section 2, the defaults of algorithm 1.
    The kernel is the one behind `torch.optim.Adam(fused=True)`, without that class's 30 microseconds a step: it follows
    algorithm 1, and the constant is scaled so that the root is taken as in section 2. On a GPU it is not: reading the
    count would wait for all that the GPU was told to do, and a captured graph cannot.
    """
    step += 1
    epsilon = EPSILON if flat.is_cuda else EPSILON / math.sqrt(1.0 - betas[1] ** float(step))
    torch._fused_adam_(  # type: ignore[attr-defined]
        [flat],
        [slope],
        [mean],
        [square],
        [],
        [step],
        lr=rate,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=0.0,
        eps=epsilon,
        amsgrad=False,
        maximize=False,
    )
