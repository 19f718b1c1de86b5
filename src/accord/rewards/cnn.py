"""A reward that reads pictures: a small convolutional net, its members one after the other, a few segments at a time.

Its last layer is linear, so that it is solved as an MLP's is (`heads.py`). Source: Christiano et al., arXiv:1706.03741,
appendix A.2 (16 channels and 64 hidden units for Atari). Differs from it in: the convolutions are those of Mnih et al.
2015, half as wide; it reads the action too; no dropout, the ensemble and the prior stand in for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from accord.backbones.vision import NatureCNN, orthogonal
from accord.rewards.features import Features

CHANNELS = (16, 32, 32)
ROWS = 4096  # at most at once, of small pictures


@dataclass(frozen=True)
class CNN:
    """`picture -> convolutions -> width`, beside the action `-> width -> 1`, with ReLU."""

    picture: tuple[int, int, int]
    action: int
    width: int

    @cached_property
    def module(self) -> Hidden:
        """What its shapes are read from; its own weights are never used."""
        return Hidden(self.picture, self.action, self.width, torch.Generator().manual_seed(0))

    @cached_property
    def shapes(self) -> dict[str, torch.Size]:
        return {name: parameter.shape for name, parameter in self.module.named_parameters()}

    @property
    def size(self) -> int:
        return sum(shape.numel() for shape in self.shapes.values()) + self.width + 1

    def start(self, members: int, generator: torch.Generator) -> Float[Tensor, "member parameter"]:
        """Orthogonal weights; the last layer starts small, as an MLP's."""
        rows = []
        for _ in range(members):
            drawn = Hidden(self.picture, self.action, self.width, generator)
            last = torch.randn(self.width, generator=generator) * 0.1 / self.width**0.5
            rows.append(torch.cat([*(p.detach().flatten() for p in drawn.parameters()), last, torch.zeros(1)]))
        return torch.stack(rows)

    def precision(self) -> Float[Tensor, "parameter"]:
        """Matrices and kernels are drawn to 0, biases are free."""
        parts = [torch.full((shape.numel(),), float(len(shape) > 1)) for shape in self.shapes.values()]
        return torch.cat([*parts, torch.ones(self.width), torch.zeros(1)])

    def __call__(
        self,
        flat: Float[Tensor, "member parameter"],
        x: Float[Tensor, "batch segment time feature"],
        valid: Bool[Tensor, "batch segment time"],
    ) -> Float[Tensor, "member segment time"]:
        weight, bias = flat[:, -self.width - 1 : -1].unsqueeze(2), flat[:, -1:].unsqueeze(1)
        return torch.baddbmm(bias, self.hidden(flat, x), weight).view(len(flat), x.shape[1], x.shape[2])

    def hidden(
        self, flat: Float[Tensor, "member parameter"], x: Float[Tensor, "batch segment time feature"]
    ) -> Float[Tensor, "member row width"]:
        """What the last layer reads. Member by member: convolutions of one picture share its patches either way."""
        rows = x.flatten(1, 2).expand(len(flat), -1, -1)
        pieces = flat[:, : -self.width - 1].split([shape.numel() for shape in self.shapes.values()], 1)
        found = []
        for member in range(len(flat)):
            named = {n: p[member].view(s) for (n, s), p in zip(self.shapes.items(), pieces, strict=True)}
            found.append(functional_call(self.module, named, (rows[member],)))
        return torch.stack(found)


class Hidden(nn.Module):
    """All of a CNN but its last layer."""

    def __init__(self, picture: tuple[int, int, int], action: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.trunk = NatureCNN(picture, generator, CHANNELS, width)
        self.action = action
        self.mix = orthogonal(nn.Linear, width + action, width, generator=generator)

    def forward(self, x: Float[Tensor, "row feature"]) -> Float[Tensor, "row width"]:
        pixels, action = x.split([x.shape[1] - self.action, self.action], 1)
        return self.mix(torch.cat([self.trunk(pixels), action], 1)).relu()


class Blocks:
    """Sums of rewards and their gradient, as `fused.Sums`, for pictures: a batch of them at once would fill the memory.

    The gradient runs forward again, block by block, since what it needs of a whole batch would fill it too.
    """

    def __init__(self, net: CNN, features: Features) -> None:
        self.net, self.features = net, features
        self._size = features.several(ROWS)

    def totals(
        self, flat: Float[Tensor, "member parameter"], index: Int[Tensor, "member segment"]
    ) -> Float[Tensor, "member segment"]:
        self._flat, self._index = flat.detach(), index
        with torch.no_grad():
            rows = [
                torch.cat([self._total(flat[member : member + 1], at) for at in index[member].split(self._size)])
                for member in range(len(flat))
            ]
        return torch.stack(rows)

    def gradient(self, d_totals: Float[Tensor, "member segment"]) -> Float[Tensor, "member parameter"]:
        found = torch.zeros_like(self._flat)
        for member, d_row in enumerate(d_totals):
            flat = self._flat[member : member + 1].requires_grad_()
            blocks = zip(self._index[member].split(self._size), d_row.split(self._size), strict=True)
            for at, d_block in blocks:
                with torch.enable_grad():
                    total = self._total(flat, at)
                found[member] += torch.autograd.grad(total, flat, d_block)[0][0]
        return found

    def _total(self, flat: Float[Tensor, "1 parameter"], at: Int[Tensor, "segment"]) -> Float[Tensor, "segment"]:
        valid = self.features.valid[at].unsqueeze(0)
        return (self.net(flat, self.features.at(at).unsqueeze(0), valid) * valid).sum(-1)[0]
