"""A matrix product of a language model, to which adapters can be added."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Projection(nn.Module):
    """x W' + b, of several outputs side by side, with a low-rank addition for each where adapters are there.

    Low-rank adaptation: Hu et al., arXiv:2106.09685, equation 3; B starts at 0. `parts` are the rows of each output.
    """

    def __init__(self, inputs: int, parts: tuple[int, ...], bias: bool = False) -> None:
        super().__init__()
        self.parts = parts
        self.weight = nn.Parameter(torch.empty(sum(parts), inputs))
        self.bias = nn.Parameter(torch.zeros(sum(parts))) if bias else None
        self.down: nn.Parameter | None = None  # [part x rank, input]
        self.up: nn.ParameterList | None = None  # [output of the part, rank]
        self.scale, self.adapted = 0.0, False

    def adapt(self, rank: int, alpha: float, generator: torch.Generator) -> None:
        """Adds adapters in float32: A by Kaiming's uniform law (the paper's code), B zero."""
        inputs = self.weight.shape[1]
        drawn = torch.rand(len(self.parts) * rank, inputs, generator=generator) * 2 - 1
        self.down = nn.Parameter((drawn / inputs**0.5).to(self.weight.device))
        self.up = nn.ParameterList([torch.zeros(rows, rank, device=self.weight.device) for rows in self.parts])
        self.scale, self.adapted = alpha / rank, True

    def forward(self, x: Float[Tensor, "*row input"]) -> Float[Tensor, "*row output"]:
        out = F.linear(x, self.weight, self.bias)
        if not self.adapted or self.down is None or self.up is None:
            return out
        low = F.linear(x, self.down.to(x.dtype) * self.scale).chunk(len(self.parts), -1)
        added = [F.linear(one, up.to(x.dtype)) for one, up in zip(low, self.up, strict=True)]
        return out + (added[0] if len(added) == 1 else torch.cat(added, -1))

    @torch.no_grad()
    def merged(self, whole: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> Float[Tensor, "output input"]:
        """The weight with its adapters added, in float32 on the way; `whole` puts divided tensors together."""
        weight = whole(self.weight)
        if not self.adapted or self.down is None or self.up is None:
            return weight
        low = whole(self.down).chunk(len(self.parts), 0)
        added = torch.cat([whole(up) @ one for up, one in zip(self.up, low, strict=True)])
        return (weight.float() + self.scale * added).to(weight.dtype)
