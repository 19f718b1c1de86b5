"""Reward nets, an ensemble as one batched axis.

A net is a pure function of a flat matrix of parameters `[member, parameter]`, so that one vector is one Adam state, one
prior and one safetensors entry. Its plain form below is the reference; `fused.py` computes the same MLP faster.

Sources: MLP 2 x 64 and ensembles of 3 to 5 from Christiano et al. 2017 and B-Pref (Lee et al. 2021); causal Transformer
over the segment from Preference Transformer (Kim et al. 2023), here without its weighted sum: rewards stay per step.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

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
        return tuple(zip(widths[:-1], widths[1:], strict=True))

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
        h = x.flatten(1, 2)
        layers = self.weights(flat)
        for matrix, bias in layers[:-1]:
            h = torch.relu(torch.matmul(h, matrix) + bias)
        matrix, bias = layers[-1]
        return (torch.matmul(h, matrix) + bias).view(len(flat), x.shape[1], x.shape[2])
