"""Golden: a stack's pass and its derivative are those that autograd finds, its rows each net's own."""

from __future__ import annotations

import pytest
import torch

from accord.functional.adam import adam_
from accord.policies.control.stack import Stack


def plain(stack: Stack, x: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """The same nets, layer by layer, by autograd."""
    out = x.expand(stack.nets, -1, -1)
    layers = stack.layers(flat)
    for number, (weight, bias) in enumerate(layers):
        out = torch.baddbmm(bias, out, weight if number else weight[:, :-1])
        if number < len(layers) - 1:
            out = out.relu()
    return out


def near(found: torch.Tensor, right: torch.Tensor, error: float) -> bool:
    return float((found - right).detach().norm() / right.detach().norm()) < error


@pytest.mark.parametrize(("nets", "outputs"), [(1, 2), (2, 1), (2, 3)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_golden_what_learns_is_autograds_derivative(nets: int, outputs: int, dtype: torch.dtype, error: float):
    generator = torch.Generator().manual_seed(0)
    stack = Stack(nets, (5, 32, 32, outputs), generator, dtype)
    x = torch.randn(64, 5, generator=generator)
    weight = torch.randn(nets, 64, outputs, generator=generator)
    flat = stack.flat.clone().requires_grad_()
    wanted = plain(stack, x, flat)
    (wanted * weight).sum().backward()
    out = stack.learn(x[:, :2], x[:, 2:])
    assert near(out, wanted, error) and near(stack(x), wanted, 1e-5)
    stack.descend((out * weight).sum(), rate=0.1)
    assert flat.grad is not None and near(stack.slope, flat.grad, error)


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_golden_what_is_still_gives_its_gradient_to_the_last_columns(first: int, dtype: torch.dtype, error: float):
    generator = torch.Generator().manual_seed(0)
    stack = Stack(2, (5, 32, 32, 1), generator, dtype)
    fixed, moving = torch.randn(64, 3, generator=generator), torch.randn(64, 2, generator=generator)
    mine, theirs = moving.clone().requires_grad_(), moving.clone().requires_grad_()
    wanted = plain(stack, torch.cat([fixed, theirs], 1), stack.flat)[:first]
    found = stack.still(first, fixed, mine)
    wanted.square().sum().backward()
    found.square().sum().backward()
    assert mine.grad is not None and theirs.grad is not None
    assert near(found, wanted, error)
    by_row = (mine.grad - theirs.grad).norm(dim=1) / theirs.grad.norm(dim=1)
    assert float(by_row.median()) < error  # a unit near 0 may open in one precision and not in the other
    with torch.no_grad():
        assert stack.still(first, fixed, moving).equal(found)


def test_golden_a_step_is_adams_and_the_working_copy_goes_with_it():
    stack = Stack(1, (2, 4, 1), torch.Generator().manual_seed(0), torch.bfloat16)
    wanted = stack.flat.clone().requires_grad_()
    optimiser = torch.optim.Adam([wanted], lr=0.01)
    for _ in range(3):
        out = stack.learn(torch.ones(8, 2))
        stack.descend(out.square().sum(), rate=0.01)
        wanted.grad = stack.slope.clone()
        optimiser.step()
    assert torch.allclose(stack.flat, wanted.detach(), atol=1e-7)
    assert stack.copy.equal(stack.flat.to(torch.bfloat16))


def test_golden_adams_first_step_is_the_rate_against_the_sign():
    flat, slope = torch.zeros(3), torch.tensor([2.0, -1e-3, 5.0])
    adam_(flat, torch.zeros(3), torch.zeros(3), torch.zeros(()), slope, 0.1)
    assert torch.allclose(flat, -0.1 * slope.sign(), atol=1e-4)  # epsilon is added before the correction


def test_golden_a_follower_goes_its_share_of_the_way():
    leader, follower = (Stack(1, (2, 4, 1), torch.Generator().manual_seed(i), torch.float32) for i in range(2))
    before = follower.flat.clone()
    follower.follow(leader, 0.25)
    assert torch.allclose(follower.flat, 0.75 * before + 0.25 * leader.flat)
    follower.follow(leader, 1.0)
    assert follower.flat.equal(leader.flat)
