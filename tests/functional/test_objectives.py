"""Golden, property: PPO's clipped surrogate and the critic's loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.objectives import clipped_surrogate, squared_error


def surrogate(ratio: float, advantage: float, clip: float = 0.2) -> tuple[float, float]:
    """Value, and slope in the log ratio."""
    log_ratio = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    value = clipped_surrogate(log_ratio, torch.tensor([advantage], dtype=torch.float64), clip)
    value.sum().backward()
    return value.item(), log_ratio.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside: rho A, and its slope in log rho is rho A
        (1.5, 2.0, 2.4, 0.0),  # a good action made likelier than 1 + clip: no more to gain
        (0.5, 2.0, 1.0, 1.0),  # a good action made unlikelier: the whole way back is open
        (0.5, -2.0, -1.6, 0.0),  # a bad action made unlikelier than 1 - clip: no more to gain
        (1.5, -2.0, -3.0, -3.0),  # a bad action made likelier: the whole way back is open
    ],
)
def test_golden_the_five_cases_of_figure_1(ratio: float, advantage: float, value: float, slope: float):
    assert surrogate(ratio, advantage) == pytest.approx((value, slope))


@given(st.floats(-3, 3), st.floats(-5, 5), st.floats(0.01, 0.9))
def test_property_it_is_a_lower_bound_of_the_plain_surrogate(log_ratio: float, advantage: float, clip: float):
    given_ratio = torch.tensor([log_ratio], dtype=torch.float64)
    found = clipped_surrogate(given_ratio, torch.tensor([advantage], dtype=torch.float64), clip)
    assert found.item() <= math.exp(log_ratio) * advantage + 1e-12


@given(st.floats(-5, 5))
def test_property_at_the_old_policy_it_is_the_advantage(advantage: float):
    value, slope = surrogate(1.0, advantage)
    assert (value, slope) == pytest.approx((advantage, advantage))


def test_golden_squared_error_is_half_the_square():
    value = torch.tensor([3.0, -1.0], requires_grad=True)
    error = squared_error(value, torch.tensor([1.0, 1.0]))
    error.sum().backward()
    assert error.tolist() == [2.0, 2.0]
    assert value.grad.tolist() == [2.0, -2.0]
