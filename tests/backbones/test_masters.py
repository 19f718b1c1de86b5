"""Golden: weights in bfloat16 take steps that bfloat16 alone would lose, and micro-batches add up in float32."""

import pytest
import torch
from torch import nn

from accord.backbones.masters import Masters
from accord.types import NotFinite


def test_golden_small_steps_are_not_lost_in_bfloat16():
    weight = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    masters = Masters([weight], rate=1e-4)
    for _ in range(30):
        (weight * torch.tensor([1.0, -1.0, 1.0], dtype=torch.bfloat16)).sum().backward()
        masters.step()
    # Adam steps by its rate: 30 x 1e-4, below the .0039 between neighbours of 1 in bfloat16 at every single step.
    assert masters.masters[0].tolist() == pytest.approx([0.997, 1.003, 0.997], abs=1e-4)
    assert weight.tolist() == torch.tensor([0.997, 1.003, 0.997]).bfloat16().tolist()


def test_invariance_a_gradient_in_eight_parts_is_the_gradient():
    rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    steps = []
    for parts in (1, 2, 8):
        weight = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
        masters = Masters([weight], rate=1e-2, norm=1e9)
        for some in rows.chunk(parts):
            (some.bfloat16() @ weight).float().sum().backward()
        assert weight.grad is None and masters.masters[0].grad.dtype == torch.float32
        masters.step()
        steps.append(masters.masters[0].clone())
    assert torch.allclose(steps[0], steps[1]) and torch.allclose(steps[0], steps[2])


def test_invariance_what_was_kept_goes_on(tmp_path):
    def learn(masters: Masters, weight: nn.Parameter, times: int) -> None:
        for _ in range(times):
            weight.square().sum().backward()
            masters.step()

    whole = nn.Parameter(torch.arange(1.0, 4.0))
    cut = nn.Parameter(torch.arange(1.0, 4.0))
    first, second = Masters([whole], 1e-2), Masters([cut], 1e-2)
    learn(first, whole, 6)
    learn(second, cut, 3)
    fresh = nn.Parameter(torch.zeros(3))
    third = Masters([fresh], 1e-2)
    third.restore({name: value.clone() for name, value in second.tensors().items()})
    learn(third, fresh, 3)
    assert torch.equal(whole, fresh)


def test_golden_a_gradient_that_is_no_number_is_refused():
    weight = nn.Parameter(torch.ones(2))
    masters = Masters([weight], 1e-2)
    (weight * float("nan")).sum().backward()
    with pytest.raises(NotFinite, match="the gradient holds a value that is no number"):
        masters.step()
    assert weight.tolist() == [1.0, 1.0]
