"""Adam on one flat vector: a step is six passes over it, whatever the number of layers."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor


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
    PyTorch's own is faster on a hundred thousand numbers and twice as slow on the few thousand of a reward.
    """
    step += 1
    count = float(step)
    mean.lerp_(slope, 1.0 - betas[0])
    square.mul_(betas[1]).addcmul_(slope, slope, value=1.0 - betas[1])
    size = rate * math.sqrt(1.0 - betas[1] ** count) / (1.0 - betas[0] ** count)
    flat.addcdiv_(mean, square.sqrt().add_(1e-8), value=-size)
