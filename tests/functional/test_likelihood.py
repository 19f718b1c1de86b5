"""Likelihoods of every kind of answer: golden values by hand, and properties that hold for all values."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional import likelihood as lk

real = st.floats(-30, 30)


def t(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def cuts(levels: int, *log_gaps: float) -> torch.Tensor:
    return lk.symmetric_cuts(t(*log_gaps), levels).unsqueeze(0)


def test_invariance_two_levels_without_cuts_are_the_cut_at_zero():
    sides = t(1.3), t(0.2), torch.tensor([0])
    without, with_ = (lk.compare(*sides, edges, t(2.0), t(-0.3)) for edges in (None, cuts(2)))
    assert float(without) == pytest.approx(float(with_))


def compare(a: float, b: float, level: int, edges: torch.Tensor, slope: float = 1.0, side: float = 0.0) -> float:
    return float(lk.compare(t(a), t(b), torch.tensor([level]), edges, t(slope), t(side))[0])


# ------------------------------------------------------------------------------------------------ compare


def test_golden_bradley_terry_is_the_logistic_of_the_difference():
    assert compare(2.0, 1.0, 1, cuts(2)) == pytest.approx(-math.log(1 + math.exp(-1.0)))
    assert compare(2.0, 1.0, 0, cuts(2)) == pytest.approx(-math.log(1 + math.exp(1.0)))
    assert compare(2.0, 1.0, 1, cuts(2), slope=2.0, side=-0.5) == pytest.approx(-math.log(1 + math.exp(-1.5)))


def test_golden_three_levels_are_rao_and_kupper():
    """P(i > j) = p_i / (p_i + theta p_j), P(tie) = p_i p_j (theta^2 - 1) / ((p_i + theta p_j)(theta p_i + p_j))."""
    p_i, p_j, theta = math.exp(0.7), math.exp(-0.4), 1.8
    edges = cuts(3, math.log(math.log(theta)))
    win = p_i / (p_i + theta * p_j)
    tie = p_i * p_j * (theta**2 - 1) / ((p_i + theta * p_j) * (theta * p_i + p_j))
    assert compare(0.7, -0.4, 2, edges) == pytest.approx(math.log(win))
    assert compare(0.7, -0.4, 1, edges) == pytest.approx(math.log(tie))


def test_golden_seven_levels_have_mirrored_cuts():
    assert cuts(7, 0.0, 0.0, math.log(2.0))[0].tolist() == pytest.approx([-4, -2, -1, 1, 2, 4])
    assert cuts(4, math.log(1.5))[0].tolist() == pytest.approx([-1.5, 0, 1.5])


@given(real, real, st.sampled_from([2, 3, 7]), st.floats(-2, 2), st.floats(0.1, 3))
def test_property_levels_sum_to_one(a, b, levels, side, slope):
    edges = cuts(levels, *[0.1] * ((levels - 1) // 2))
    total = sum(math.exp(compare(a, b, level, edges, slope, side)) for level in range(levels))
    assert total == pytest.approx(1.0, abs=1e-5)


@given(real, real, st.sampled_from([2, 3, 7]), st.floats(-2, 2))
def test_property_swapping_the_sides_mirrors_the_levels(a, b, levels, side):
    edges = cuts(levels, *[-0.3] * ((levels - 1) // 2))
    for level in range(levels):
        mirrored = compare(b, a, levels - 1 - level, edges, side=-side)
        assert compare(a, b, level, edges, side=side) == pytest.approx(mirrored, rel=1e-9, abs=1e-9)


def test_property_far_out_values_stay_finite_with_their_gradients():
    for value in (-1e4, -500.0, 500.0, 1e4):
        a = torch.tensor([value], requires_grad=True)
        for levels in (2, 3, 7):
            edges = lk.symmetric_cuts(torch.zeros((levels - 1) // 2), levels).unsqueeze(0)
            for level in range(levels):
                found = lk.compare(a, torch.zeros(1), torch.tensor([level]), edges, torch.ones(1), torch.zeros(1))
                (slope,) = torch.autograd.grad(found.sum(), a)
                assert torch.isfinite(found).all() and torch.isfinite(slope).all()


# ------------------------------------------------------------------------------------------------ mixture


def test_golden_mixture_of_a_careless_annotator():
    """90% attention, a model that says 0.2, and a habit that says 0.7: 0.9 * 0.2 + 0.1 * 0.7 = 0.25."""
    logs = [t(math.log(x)) for x in (0.2, 0.9, 0.1, 0.7)]
    assert float(lk.log_mixture(*logs)) == pytest.approx(math.log(0.25))


def test_property_a_mixture_bounds_the_loss_of_one_wrong_answer():
    wrong = lk.compare(t(1000.0), t(0.0), torch.tensor([0]), cuts(2), t(1.0), t(0.0))
    mixed = lk.log_mixture(wrong, t(math.log(0.9)), t(math.log(0.1)), t(math.log(0.5)))
    assert float(mixed) == pytest.approx(math.log(0.05))


# --------------------------------------------------------------------------------------------------- rank


def order(values: list[float], slope: float = 1.0) -> float:
    rows = torch.tensor([values], dtype=torch.float64)
    return float(lk.plackett_luce(rows, torch.ones_like(rows, dtype=torch.bool), t(slope))[0])


def test_golden_plackett_luce_by_hand():
    """exp(values) = 4, 2, 1 in this order: 4/7 * 2/3."""
    values = [math.log(4.0), math.log(2.0), 0.0]
    assert order(values) == pytest.approx(math.log(4 / 7 * 2 / 3))


def test_golden_two_places_are_bradley_terry():
    assert order([0.3, -1.1], slope=1.7) == pytest.approx(compare(0.3, -1.1, 1, cuts(2), slope=1.7))


@given(st.permutations([0.4, -2.0, 1.3, 7.0]))
def test_property_orders_sum_to_one_and_forget_where_they_are_listed(values):
    assert sum(math.exp(order(list(p))) for p in permutations(values)) == pytest.approx(1.0)


@given(st.integers(0, 4))
def test_property_padding_changes_no_order(pads):
    values = torch.tensor([[1.0, 0.2, -0.5] + [99.0] * pads], dtype=torch.float64)
    valid = torch.tensor([[True] * 3 + [False] * pads])
    assert float(lk.plackett_luce(values, valid, t(1.0))) == pytest.approx(order([1.0, 0.2, -0.5]))
    assert float(lk.log_uniform_order(valid)) == pytest.approx(-math.log(6))


# ---------------------------------------------------------------------------------------- rate and approve


def test_golden_rating_between_two_thresholds():
    edges = t(-1.0, 0.5).unsqueeze(0)
    middle = 1 / (1 + math.exp(-(0.6 + 1.0))) - 1 / (1 + math.exp(-(0.6 - 0.5)))
    found = lk.rate(t(0.3), torch.tensor([1]), edges, t(2.0))
    assert float(found) == pytest.approx(math.log(middle))


@given(real, st.integers(2, 11))
def test_property_rating_levels_sum_to_one(value, levels):
    edges = lk.ordered_cuts(t(-1.0), torch.full((1, levels - 2), -0.2, dtype=torch.float64))
    scores = [lk.rate(t(value), torch.tensor([level]), edges, t(0.7)) for level in range(levels)]
    assert sum(math.exp(float(score)) for score in scores) == pytest.approx(1.0, abs=1e-5)


def test_golden_gaussian_rating_is_the_normal_density():
    found = lk.rate_gaussian(t(2.0), t(4.0), t(1.5), t(0.5), t(math.log(2.0)))
    assert float(found) == pytest.approx(-0.5 * 0.25**2 - math.log(2.0) - 0.5 * math.log(2 * math.pi))


def test_golden_approval_is_a_logistic_at_the_threshold():
    yes = lk.approve(t(1.0), torch.tensor([1]), t(0.5), t(2.0))
    no = lk.approve(t(1.0), torch.tensor([0]), t(0.5), t(2.0))
    assert float(yes) == pytest.approx(-math.log(1 + math.exp(-1.5)))
    assert math.exp(float(yes)) + math.exp(float(no)) == pytest.approx(1.0)


# --------------------------------------------------------------------------------------------- demonstrate


def test_golden_demonstration_against_weighted_samples():
    """e^1 / (e^1 + 2 e^0 + 0.5 e^2)."""
    values = torch.tensor([[1.0, 0.0, 2.0, 50.0]], dtype=torch.float64)
    valid = torch.tensor([[True, True, True, False]])
    weight = torch.tensor([[0.0, math.log(2.0), math.log(0.5), 0.0]], dtype=torch.float64)
    wanted = 1.0 - math.log(math.exp(1.0) + 2.0 + 0.5 * math.exp(2.0))
    assert float(lk.demonstrate(values, valid, weight, t(1.0))) == pytest.approx(wanted)


def test_property_importance_weights_make_the_partition_independent_of_the_sampler():
    """Samples from any proposal, weighted by minus their log-probability, estimate the same partition function."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=20)
    truth = np.log(np.exp(rewards).sum())
    for temperature in (0.0, 0.5, 1.0):
        proposal = np.exp(temperature * rewards) / np.exp(temperature * rewards).sum()
        drawn = rng.choice(20, size=40_000, p=proposal)
        values = torch.tensor(np.concatenate([[-40.0], rewards[drawn]])).unsqueeze(0)
        weight = torch.tensor(np.concatenate([[0.0], -np.log(proposal[drawn]) - np.log(40_000)])).unsqueeze(0)
        found = lk.demonstrate(values, torch.ones_like(values, dtype=torch.bool), weight, t(1.0))
        assert -40.0 - float(found) == pytest.approx(truth, abs=0.05)


# ------------------------------------------------------------------------------------------- the objective


def test_property_gradients_equal_finite_differences():
    torch.manual_seed(0)
    values = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[True] * 4, [True] * 4, [True, True, True, False], [True, True, False, False], [True] * 4])
    gaps = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    slope = torch.rand(5, dtype=torch.float64).add(0.5).requires_grad_()
    level = torch.tensor([0, 1, 2, 3, 1])
    weight = torch.randn(5, 4, dtype=torch.float64)

    def everything(values: torch.Tensor, gaps: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        edges = lk.ordered_cuts(gaps[:, 0], gaps[:, 1:])
        mirrored = lk.symmetric_cuts(gaps, 7)
        total = lk.plackett_luce(values, valid, slope) + lk.demonstrate(values, valid, weight, slope)
        total = total + lk.compare(values[:, 0], values[:, 1], level, mirrored, slope, gaps[:, 0])
        total = total + lk.rate(values[:, 0], level, edges, slope)
        total = total + lk.approve(values[:, 1], level % 2, gaps[:, 1], slope)
        noise = torch.full_like(total, -3.0)
        return lk.log_mixture(total, -slope, -1.0 / slope, noise)

    assert torch.autograd.gradcheck(everything, (values, gaps, slope))


def test_property_a_baseline_free_of_the_parameters_leaves_no_maximum():
    """`E[R - b]` grows without limit in the scale of R; with the log-partition in its place it has a maximum inside."""
    better, worse = t(1.0, 0.4, 0.3), t(0.0, 0.5, -0.2)  # the second answer goes against these rewards
    scales = np.geomspace(0.1, 1000, 60)
    fixed = [float((scale * better - 0.7).mean()) for scale in scales]
    level, edges = torch.ones(3, dtype=torch.int64), cuts(2).expand(3, 1)
    ours = [float(lk.compare(s * better, s * worse, level, edges, t(1, 1, 1), t(0, 0, 0)).mean()) for s in scales]
    assert all(late > early for early, late in pairwise(fixed)) and fixed[-1] > 100
    assert 0 < int(np.argmax(ours)) < len(scales) - 1
    assert max(ours) <= 0.0
