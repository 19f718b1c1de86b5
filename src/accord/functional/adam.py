"""Adam on one flat vector: a step is one pass over it, whatever the number of layers."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.optim.adam import adam


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

    Source: Kingma and Ba, arXiv:1412.6980, algorithm 1 and its defaults. PyTorch's own step, without the optimiser
    around it, which takes twice as long as the arithmetic of a small net.
    """
    adam(
        [flat],
        [slope],
        [mean],
        [square],
        [],
        [step],
        fused=True,
        amsgrad=False,
        beta1=betas[0],
        beta2=betas[1],
        lr=rate,
        weight_decay=0.0,
        eps=1e-8,
        maximize=False,
    )
