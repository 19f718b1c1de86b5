"""The small convolutional net of Mnih et al. 2015, "Human-level control through deep reinforcement learning", methods.

Convolutions 32 of 8 x 8 every 4, 64 of 4 x 4 every 2, 64 of 3 x 3, then 512 hidden units, each with a ReLU. Differs
from the paper in: orthogonal weights (Saxe et al., arXiv:1312.6120); fewer and smaller convolutions where a picture is
too small for those.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

CHANNELS = (32, 64, 64)
# Kernel and stride of each layer, from a shorter side on. The first is the paper's; the others see as much of a small
# picture, and leave at least one place of it.
LAYERS = (
    (36, ((8, 4), (4, 2), (3, 1))),
    (18, ((4, 2), (4, 2), (3, 1))),
    (8, ((4, 2), (3, 1))),
    (3, ((3, 1),)),
    (1, ((1, 1),)),
)


class NatureCNN(nn.Module):
    """Rows of pixels between 0 and 1, channel by channel, to `features` numbers of at least 0.

    `channels` of the convolutions, the first ones where a picture needs fewer of them. `generator` draws the weights;
    None is PyTorch's own.
    """

    def __init__(
        self,
        picture: tuple[int, int, int],
        generator: torch.Generator | None = None,
        channels: tuple[int, ...] = CHANNELS,
        features: int = 512,
    ) -> None:
        super().__init__()
        self.picture = picture
        shape = layers(picture)
        widths = (picture[0], *channels[: len(shape)])
        self.convolutions = nn.ModuleList(
            orthogonal(nn.Conv2d, below, above, kernel, stride, generator=generator)
            for (below, above), (kernel, stride) in zip(itertools.pairwise(widths), shape, strict=True)
        )
        inputs = widths[-1] * math.prod(places(picture))
        self.hidden = orthogonal(nn.Linear, inputs, features, generator=generator)

    def forward(self, rows: Float[Tensor, "*batch pixel"]) -> Float[Tensor, "*batch feature"]:
        x = rows.reshape(-1, rows.shape[-1]).unflatten(1, self.picture)  # no copy, though rows are parts of longer ones
        for convolution in self.convolutions:
            x = convolution(x).relu_()
        return self.hidden(x.flatten(1)).relu_().view(*rows.shape[:-1], -1)


def layers(picture: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    """Kernel and stride of every convolution of a picture of so many channels, rows and columns."""
    side = min(picture[1:])
    return next(shape for least, shape in LAYERS if side >= least)


def places(picture: tuple[int, int, int]) -> tuple[int, int]:
    """Rows and columns that the last convolution leaves."""
    height, width = picture[1:]
    for kernel, stride in layers(picture):
        height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    return height, width


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def orthogonal(
    kind: Callable[..., Layer], *sizes: int, generator: torch.Generator | None, gain: float = 2**0.5
) -> Layer:
    """A layer of orthogonal weights and biases of 0, from the generator alone: a layer by itself draws globally."""
    layer = kind(*sizes, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
