"""Golden, property: the stacked MLP and its written-out derivative against PyTorch's autograd."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.mlp import NARROW, stacked_mlp


def plain(x: torch.Tensor, weights: list[torch.Tensor], biases: list[torch.Tensor]) -> torch.Tensor:
    """The same function, written so that autograd differentiates it."""
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ weight + bias
        x = x.relu() if i < len(weights) - 1 else x
    return x


def parameters(members: int, sizes: list[int], generator: torch.Generator) -> tuple[list, list]:
    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    pairs = list(pairwise(sizes))
    return [leaf(members, n, m) for n, m in pairs], [leaf(members, 1, m) for _, m in pairs]


sizes = st.lists(st.sampled_from([1, 2, 3, NARROW - 1, NARROW, NARROW + 1, 17]), min_size=2, max_size=5)


@given(st.integers(1, 3), st.integers(1, 6), sizes, st.integers(0, 2**31))
def test_property_value_and_gradient_are_autograds(members: int, rows: int, sizes: list[int], seed: int):
    generator = torch.Generator().manual_seed(seed)
    weights, biases = parameters(members, sizes, generator)
    x = torch.randn(members, rows, sizes[0], generator=generator, dtype=torch.float64)
    weight_of_out = torch.randn(members, rows, sizes[-1], generator=generator, dtype=torch.float64)
    gradients, outs = [], []
    for function in (stacked_mlp, plain):
        out = function(x.clone(), weights, biases)
        gradients.append(torch.autograd.grad((out * weight_of_out).sum(), [*weights, *biases]))
        outs.append(out.detach())
    assert torch.allclose(*outs)
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs)


def test_golden_gradients_agree_with_finite_differences():
    weights, biases = parameters(2, [3, 5, 2], torch.Generator().manual_seed(0))
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *p: stacked_mlp(x, p[:2], p[2:]), (*weights, *biases))


def test_golden_one_member_by_hand():
    # relu(2 * 1 - 1) = 1 and relu(2 * -3 + 1) = 0; 1 * 4 + 0 * 5 + 0.5 = 4.5
    weights = [torch.tensor([[[1.0, -3.0]]]), torch.tensor([[[4.0], [5.0]]])]
    biases = [torch.tensor([[[-1.0, 1.0]]]), torch.tensor([[[0.5]]])]
    assert stacked_mlp(torch.tensor([[[2.0]]]), weights, biases).item() == 4.5


def test_invariance_the_input_is_left_alone_and_shared_rows_are_allowed():
    weights, biases = parameters(2, [3, 4, 1], torch.Generator().manual_seed(0))
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = x.clone()
    shared = stacked_mlp(x.expand(2, -1, -1), weights, biases)
    apart = stacked_mlp(torch.stack([x, x]), weights, biases)
    assert torch.equal(shared, apart)
    assert torch.equal(x, before)
