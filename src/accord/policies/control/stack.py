"""Nets of one shape as one: a batched product a layer, float32 masters, the products in bfloat16 where that is faster.

Autograd would keep every operation's input and pass over memory once more for each. The derivative of an MLP is a few
lines, and written out it works in place, gives no gradient that nobody asked for, and leaves one flat gradient, so that
an optimiser's step is one call. The last layer is computed in float32: a value of a hundred has steps of a half in
bfloat16, its hidden rows need no more than three digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from accord.functional.adam import adam_
from accord.functional.relu import closed, relu_


class Learned:
    """Numbers that descend: one flat vector, and Adam's moments of it."""

    def __init__(self, flat: Float[Tensor, "*shape"]) -> None:
        self.flat = flat
        self.mean, self.square, self.step = torch.zeros_like(flat), torch.zeros_like(flat), torch.zeros(())

    def down(self, slope: Float[Tensor, "*shape"], rate: float) -> None:
        """One step of Adam."""
        adam_(self.flat, self.mean, self.square, self.step, slope, rate)
        self.refresh()

    def follow(self, leader: Learned, share: float) -> None:
        """Comes nearer to what another has learned by a share of what lies between; by 1 it becomes the same."""
        self.flat.lerp_(leader.flat, share)
        self.refresh()

    def refresh(self) -> None:
        """After the numbers changed."""

    def move(self, device: torch.device) -> None:
        """To a device, where all that follows is computed."""
        self.flat, self.mean, self.square, self.step = (each.to(device) for each in self.state().values())

    def state(self) -> dict[str, Tensor]:
        """All that a later run needs to go on."""
        return {"flat": self.flat, "mean": self.mean, "square": self.square, "step": self.step}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """What `state` gave."""
        for name, mine in self.state().items():
            mine.copy_(state[name])
        self.refresh()


class Stack(Learned):
    """`nets` MLPs with ReLU between their layers; `sizes` counts inputs, hidden units and outputs.

    `flat` holds layer after layer, the nets of a layer side by side: all their weights, then all their biases. The
    first layer's bias is the last row of its weights: a column of ones carries it.
    """

    def __init__(self, nets: int, sizes: Sequence[int], generator: torch.Generator, dtype: torch.dtype) -> None:
        self.nets, self.dtype = nets, dtype
        self.shapes = list(pairwise(sizes))
        super().__init__(torch.cat([_start(nets * (n + 1) * m, n, generator) for n, m in self.shapes]))
        self._lay_out()

    def _lay_out(self) -> None:
        self.copy = self.flat.to(self.dtype)  # itself where it is float32
        self.slope = torch.zeros_like(self.flat)
        # What acts is on the CPU, where environments are; it is the master itself unless that is on a GPU.
        self.shown = torch.empty_like(self.flat, device="cpu", pin_memory=True) if self.flat.is_cuda else self.flat
        self.slopes, self.low, self.last, self.acting = (
            self.layers(each) for each in (self.slope, self.copy, self.flat, self.shown)
        )

    def move(self, device: torch.device) -> None:
        """Everything, and what acts stays on the CPU."""
        super().move(device)
        self._lay_out()
        self.show()

    def show(self) -> None:
        """Lets what acts know of the numbers: when a GPU has done what it was told so far."""
        if self.shown is not self.flat:
            self.shown.copy_(self.flat, non_blocking=True)

    def layers(self, flat: Float[Tensor, "parameter"]) -> list[tuple[Tensor, Tensor]]:
        """Weight `[net, in, out]` and bias `[net, 1, out]` of every layer, as views; the first's weight has both."""
        found = []
        pieces = flat.split([self.nets * (n + 1) * m for n, m in self.shapes])
        for (n, m), piece in zip(self.shapes, pieces, strict=True):
            if not found:
                whole = piece.view(self.nets, n + 1, m)
                found.append((whole, whole[:, -1:]))
            else:
                weight, bias = piece.split([self.nets * n * m, self.nets * m])
                found.append((weight.view(self.nets, n, m), bias.view(self.nets, 1, m)))
        return found

    def refresh(self) -> None:
        """Brings the working copies up to date."""
        if self.copy is not self.flat:
            self.copy.copy_(self.flat)

    def __call__(self, *columns: Float[Tensor, "batch _"]) -> Float[Tensor, "net batch out"]:
        """Every net on the same rows, whose columns may come in parts; in float32 and on the CPU, as for acting."""
        rows = torch.cat(columns, 1).expand(self.nets, -1, -1)
        (first, bias), *others = self.acting
        rows = torch.baddbmm(bias, rows, first[:, :-1])
        for weight, bias in others:
            rows = torch.baddbmm(bias, rows.relu_(), weight)
        return rows

    def learn(self, *columns: Float[Tensor, "batch _"], beside: int = 0) -> Float[Tensor, "net batch out"]:
        """The same in the working precision, and `descend` may follow: a loss of what this returns.

        The first rows that are `beside` come along in the same products, and the loss is not to depend on them.
        """
        out, kept = _passed(columns, [*self.low[:-1], self.last[-1]])
        self.beside, self.kept = beside, [rows[:, beside:] for rows in kept]
        self.out = out.requires_grad_()
        return self.out

    def descend(self, loss: Float[Tensor, ""], rate: float) -> None:
        """One step of Adam down a loss of what `learn` returned last."""
        d_out = torch.autograd.grad(loss, self.out)[0][:, self.beside :]
        *kept, last = self.kept
        d_weight, d_bias = self.slopes[-1]
        d_weight.copy_(torch.bmm(d_out.transpose(1, 2), last).transpose(1, 2))
        torch.sum(d_out, 1, keepdim=True, out=d_bias)
        for depth, d in self._down(d_out, kept):
            d_weight, d_bias = self.slopes[depth]
            d_weight.copy_(torch.bmm(kept[depth].transpose(1, 2), d))
            if depth:
                d_bias.copy_(d.sum(1, keepdim=True))
        self.down(self.slope, rate)

    def still(self, first: int, *columns: Float[Tensor, "batch _"]) -> Float[Tensor, "first batch out"]:
        """The first nets, taken as they are, in the working precision: a gradient goes to the last columns alone."""
        if torch.is_grad_enabled():
            return _Still.apply(columns[-1], columns[:-1], self, first)
        return _passed(columns, self._some(first))[0]

    def _some(self, first: int) -> list[tuple[Tensor, Tensor]]:
        return [(weight[:first], bias[:first]) for weight, bias in (*self.low[:-1], self.last[-1])]

    def _down(
        self, d_out: Float[Tensor, "net batch out"] | None, kept: Sequence[Tensor]
    ) -> Iterator[tuple[int, Float[Tensor, "net batch hidden"]]]:
        """From the last hidden layer to the first, the gradient of what it adds up. Overwrites the hidden rows.

        None: that of a single output itself, in which a factor of every row may follow.
        """
        nets, d = len(kept[-1]), None if d_out is None else d_out.to(self.dtype)
        for depth in range(len(self.low) - 1, 0, -1):
            wide = self.low[depth][0][:nets].transpose(1, 2)
            if d is None:
                d = closed(wide, kept[depth], torch.empty_like(kept[depth]))
            else:
                d = d * wide if wide.shape[1] == 1 else torch.bmm(d, wide)
                closed(d, kept[depth], d)
            yield depth - 1, d


def _passed(
    columns: Sequence[Tensor], layers: Sequence[tuple[Tensor, Tensor]]
) -> tuple[Float[Tensor, "net batch out"], list[Tensor]]:
    """What the layers give, and the rows that went into each of them; into the last as they are and in float32."""
    (first, _), *middle, (weight, bias) = layers
    rows = torch.cat([*columns, columns[0].new_ones(len(columns[0]), 1)], 1).to(first.dtype)
    kept = [rows.expand(len(first), -1, -1)]
    kept.append(relu_(torch.bmm(kept[0], first)))
    for each, other in middle:
        kept.append(relu_(torch.baddbmm(other, kept[-1], each)))
    kept.append(kept[-1].float())
    if weight.shape[2] == 1:
        return (kept[-1] * weight.transpose(1, 2)).sum(2, keepdim=True) + bias, kept
    # A product with few columns is several times as fast the other way round.
    out = torch.bmm(weight.transpose(1, 2).contiguous(), kept[-1].transpose(1, 2))
    return out.transpose(1, 2) + bias, kept


class _Still(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, moving: Tensor, fixed: Sequence[Tensor], stack: Stack, first: int) -> Tensor:
        out, (*ctx.kept, _) = _passed((*fixed, moving), stack._some(first))
        ctx.stack, ctx.columns = stack, moving.shape[1]
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_out,) = gradients
        single = d_out.shape[2] == 1  # then its factor waits for the narrow end
        *_, (_, d) = ctx.stack._down(None if single else d_out, ctx.kept)
        weight = ctx.stack.low[0][0][: len(d), -1 - ctx.columns : -1]
        d_in = torch.bmm(d, weight.transpose(1, 2)).float()
        return (d_in * d_out if single else d_in).sum(0), None, None, None


def _start(count: int, inputs: int, generator: torch.Generator) -> Float[Tensor, "parameter"]:
    """Uniform within 1 / sqrt(inputs), weights and biases: PyTorch's own start, and so that of its SAC and TD3."""
    return (2.0 * torch.rand(count, generator=generator) - 1.0) * inputs**-0.5
