"""Reward nets, an ensemble as one batched axis.

A net is a pure function of a flat matrix of parameters `[member, parameter]`, so that one vector is one Adam state, one
prior and one safetensors entry. Its plain form below is the reference; `fused.py` computes the same MLP faster.

Sources: MLP 2 x 64 and ensembles of 3 to 5 from Christiano et al. 2017 and B-Pref (Lee et al. 2021); causal Transformer
over the segment from Preference Transformer (Kim et al. 2023), here without its weighted sum: rewards stay per step.
"""

from __future__ import annotations

import importlib
import itertools
import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from accord.types import InputError


class Net(Protocol):
    """`size` parameters a member; `decay` is the relative prior precision of each of them."""

    @property
    def size(self) -> int: ...

    def start(self, members: int, generator: torch.Generator) -> Float[Tensor, "member parameter"]: ...

    def precision(self) -> Float[Tensor, "parameter"]:
        """Inverse prior variance of every parameter (0: free)."""
        ...

    def __call__(
        self,
        flat: Float[Tensor, "member parameter"],
        x: Float[Tensor, "batch segment time feature"],
        valid: Bool[Tensor, "batch segment time"],
    ) -> Float[Tensor, "member segment time"]:
        """Reward per step, not yet masked. `batch` is 1 (shared rows) or `member`."""
        ...


@dataclass(frozen=True)
class MLP:
    """`inputs -> width -> ... -> 1` with ReLU, `depth` hidden layers; depth 0 is a linear reward."""

    inputs: int
    width: int
    depth: int

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        widths = [self.inputs, *[self.width] * self.depth, 1]
        return tuple(itertools.pairwise(widths))

    @property
    def size(self) -> int:
        return sum((rows + 1) * columns for rows, columns in self.layers)

    def start(self, members: int, generator: torch.Generator) -> Float[Tensor, "member parameter"]:
        """He's initialisation; biases spread the kinks over the data; the last layer starts small."""
        parts = []
        for rows, columns in self.layers:
            gain = 0.1 if columns == 1 else math.sqrt(2.0)
            parts.append(torch.randn(members, rows * columns, generator=generator) * gain / math.sqrt(rows))
            spread = 0.0 if columns == 1 else 0.5
            parts.append(torch.randn(members, columns, generator=generator) * spread)
        return torch.cat(parts, 1)

    def precision(self) -> Float[Tensor, "parameter"]:
        parts = []
        for rows, columns in self.layers:
            parts += [torch.full((rows * columns,), 1.0), torch.zeros(columns)]
        return torch.cat(parts)

    def weights(
        self, flat: Float[Tensor, "member parameter"]
    ) -> list[tuple[Float[Tensor, "member rows columns"], Float[Tensor, "member 1 columns"]]]:
        """Views of the flat parameters: a matrix and a bias per layer."""
        found, at = [], 0
        for rows, columns in self.layers:
            matrix = flat[:, at : at + rows * columns].view(-1, rows, columns)
            at += rows * columns
            found.append((matrix, flat[:, at : at + columns].unsqueeze(1)))
            at += columns
        return found

    def __call__(
        self,
        flat: Float[Tensor, "member parameter"],
        x: Float[Tensor, "batch segment time feature"],
        valid: Bool[Tensor, "batch segment time"],
    ) -> Float[Tensor, "member segment time"]:
        matrix, bias = self.weights(flat)[-1]
        return (torch.matmul(self.hidden(flat, x), matrix) + bias).view(len(flat), x.shape[1], x.shape[2])

    def hidden(
        self, flat: Float[Tensor, "member parameter"], x: Float[Tensor, "batch segment time feature"]
    ) -> Float[Tensor, "member row width"]:
        """What the last layer reads."""
        h = x.flatten(1, 2).expand(len(flat), -1, -1)
        for matrix, bias in self.weights(flat)[:-1]:
            h = torch.baddbmm(bias, h, matrix).relu_()
        return h


class SegmentTransformer(nn.Module):
    """Causal attention over the steps of a segment: the reward of a step may depend on the steps before it."""

    def __init__(
        self, observation_size: int, action_size: int, width: int = 64, depth: int = 1, heads: int = 4
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(observation_size + action_size, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.leave = nn.Linear(width, 1)

    def forward(
        self, state: Float[Tensor, "segment time observation"], action: Float[Tensor, "segment time action"]
    ) -> Float[Tensor, "segment time"]:
        x = self.enter(torch.cat([state, action], -1))
        x = x + _positions(x.shape[-2], x.shape[-1])
        for block in self.blocks:
            x = block(x)
        return self.leave(x).squeeze(-1)


class _Block(nn.Module):
    """Pre-norm attention and a ReLU layer, each added to what came in (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Float[Tensor, "segment time width"]) -> Float[Tensor, "segment time width"]:
        segments, time, width = x.shape
        parts = self.qkv(self.norm1(x)).view(segments, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(-1, -2) / math.sqrt(width // self.heads)
        future = torch.ones(time, time, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, -math.inf).softmax(-1) @ parts[2]
        x = x + self.out(mixed.transpose(1, 2).reshape(segments, time, width))
        return x + self.down(F.relu(self.up(self.norm2(x))))


def _positions(time: int, width: int) -> Float[Tensor, "time width"]:
    """Sines and cosines of the step number (Vaswani et al. 2017): no parameters, any length."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(time).unsqueeze(1) * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


class Stacked:
    """Any module with `forward(state, action)`, one copy a member, run as one by vmap.

    `forward` gets `[segment, time, observation]` and `[segment, time, action]`, scaled, and gives a reward per step,
    `[segment, time]` or `[segment, time, 1]`. Buffers are shared by the members and stay as the module made them.
    """

    def __init__(self, make: type[nn.Module], sizes: tuple[int, int], options: dict[str, int]) -> None:
        self.make, self.sizes, self.options = make, sizes, options
        self.module = self._one(0)
        self.names = [name for name, _ in self.module.named_parameters()]
        self.shapes = [parameter.shape for parameter in self.module.parameters()]

    def _one(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make(*self.sizes, **self.options).eval()

    @property
    def size(self) -> int:
        return sum(shape.numel() for shape in self.shapes)

    def start(self, members: int, generator: torch.Generator) -> Float[Tensor, "member parameter"]:
        """Members differ by the seed of the module's own initialisation."""
        seeds = torch.randint(2**31, (members,), generator=generator).tolist()
        rows = [[p.detach().reshape(-1) for p in self._one(seed).parameters()] for seed in seeds]
        return torch.stack([torch.cat(row) for row in rows])

    def precision(self) -> Float[Tensor, "parameter"]:
        """Matrices are drawn to 0, biases and norms are free."""
        return torch.cat([torch.full((shape.numel(),), float(len(shape) > 1)) for shape in self.shapes])

    def __call__(
        self,
        flat: Float[Tensor, "member parameter"],
        x: Float[Tensor, "batch segment time feature"],
        valid: Bool[Tensor, "batch segment time"],
    ) -> Float[Tensor, "member segment time"]:
        pieces = flat.split([shape.numel() for shape in self.shapes], 1)
        named = {
            name: piece.view(-1, *shape) for name, piece, shape in zip(self.names, pieces, self.shapes, strict=True)
        }
        shared = x.shape[0] == 1
        out = vmap(self._apply, in_dims=(0, None if shared else 0))(named, x[0] if shared else x)
        return out.view(len(flat), x.shape[1], x.shape[2])

    def _apply(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        state, action = x.split(self.sizes, -1)
        buffers = dict(self.module.named_buffers())
        return functional_call(self.module, {**parameters, **buffers}, (state, action))


def module_class(path: str) -> type[nn.Module]:
    """The class that `module:package.Class` names. Raises InputError where there is none."""
    place, _, name = path.removeprefix("module:").rpartition(".")
    try:
        found = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f'reward.kind is "{path}": no such class ({error}); write module:package.Class.') from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InputError(f'reward.kind is "{path}": it is no torch.nn.Module; write module:package.Class of one.')
    return found
