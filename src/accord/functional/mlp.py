"""A stack of MLPs as one batched product a layer, with its derivative written out.

Every member has the same shape, so the whole stack is one `baddbmm` a layer. Autograd would keep each layer's input
and output and pass over memory once more for every operation; the derivative of an MLP is five lines, and written out
it works in place: 1.7 to 2.2 times faster at a thousand rows of width 64, where activations no longer fit the cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import BackwardCFunction

NARROW = 8  # outputs; below, a product the other way round is 5 times faster (143 -> 27 us for 1,024 x 64 x 2)


def stacked_mlp(
    x: Float[Tensor, "member row feature"],
    weights: Sequence[Float[Tensor, "member _ _"]],
    biases: Sequence[Float[Tensor, "member 1 _"]],
) -> Float[Tensor, "member row out"]:
    """x -> relu(x W1 + b1) -> ... -> x Wn + bn for each member; no gradient flows into `x`."""
    return _StackedMLP.apply(x, *weights, *biases)


class _StackedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: BackwardCFunction, x: Tensor, *parameters: Tensor) -> Tensor:
        layers = len(parameters) // 2
        weights, biases = parameters[:layers], parameters[layers:]
        inputs = []
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            inputs.append(x)
            x = _narrow(bias, x, weight) if weight.shape[2] <= NARROW else torch.baddbmm(bias, x, weight)
            if i < layers - 1:
                x = x.relu_()
        ctx.save_for_backward(*inputs, *weights)
        return x

    @staticmethod
    def backward(ctx: BackwardCFunction, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        layers = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        by_weight: list[Tensor] = []
        by_bias: list[Tensor] = []
        for i in range(layers - 1, -1, -1):
            by_weight.append(_outer(inputs[i], gradient))
            by_bias.append(gradient.sum(1, keepdim=True))
            if i > 0:
                gradient = torch.bmm(gradient, weights[i].transpose(1, 2))
                torch.ops.aten.threshold_backward.grad_input(gradient, inputs[i], 0.0, grad_input=gradient)
        return (None, *reversed(by_weight), *reversed(by_bias))


def _narrow(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(weight.transpose(1, 2).contiguous(), x.transpose(1, 2)).transpose(1, 2) + bias


def _outer(x: Tensor, gradient: Tensor) -> Tensor:
    """x^T g; for a narrow g, (g^T x)^T."""
    if gradient.shape[2] <= NARROW:
        return torch.bmm(gradient.transpose(1, 2), x).transpose(1, 2)
    return torch.bmm(x.transpose(1, 2), gradient)
