"""Golden, property: PPO's clipped surrogate, the critic's loss, soft values and the slope of a temperature."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.objectives import (
    clipped_surrogate,
    soft_value,
    soft_value_of_choices,
    squared_error,
    temperature_slope,
)


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


def test_golden_squared_error_of_two_critics_has_one_target():
    error = squared_error(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 2.0]))
    assert error.tolist() == [[0.0, 0.0], [2.0, 2.0]]


def test_golden_a_soft_value_counts_surprise_at_the_temperature():
    value = soft_value(torch.tensor([1.0]), torch.tensor([-2.0]), torch.tensor(0.5))
    assert value.tolist() == [2.0]


def test_golden_the_soft_value_of_choices_is_greatest_for_a_softmax():
    """There it is T log sum exp(Q / T), the soft maximum (arXiv:1812.05905, equation 15)."""
    q, temperature = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor(0.7)
    best = soft_value_of_choices(q, (q / temperature).log_softmax(-1), temperature)
    assert best.item() == pytest.approx((temperature * (q / temperature).logsumexp(-1)).item(), rel=1e-6)
    other = soft_value_of_choices(q, torch.full((1, 3), -math.log(3.0)), temperature)
    assert other.item() == pytest.approx(2.0 / 3.0 + 0.7 * math.log(3.0), rel=1e-6) and other < best


def test_golden_a_temperature_falls_where_the_policy_is_too_random():
    assert temperature_slope(torch.tensor([1.0, 2.0]), -1.0).item() == pytest.approx(2.5)
    assert temperature_slope(torch.tensor([-3.0]), -1.0).item() == pytest.approx(-2.0)
