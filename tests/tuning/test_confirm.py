"""Golden, property: the proof on fresh seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.tuning.arms import Arm
from accord.tuning.confirm import Confirmed, choice, out_of_bag, sign_flip, verdict
from accord.tuning.ledger import Entry


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_golden_the_randomisation_test_counts_signs():
    assert sign_flip(np.array([1.0, 2.0, 3.0]), rng()) == 1 / 8
    assert sign_flip(np.array([1.0, 2.0, -3.0]), rng()) == 5 / 8  # sums 6, 4, 2, 0 twice are at least 0
    assert sign_flip(np.zeros(4), rng()) == 1.0
    assert sign_flip(np.ones(10), rng()) == pytest.approx(2**-10)
    assert sign_flip(np.ones(20), rng()) == pytest.approx(1 / 4097)  # drawn: as good as never by chance


def test_property_the_test_is_level_under_no_difference():
    draws = np.random.default_rng(1)
    p = np.array([sign_flip(draws.normal(size=8), draws) for _ in range(400)])
    assert abs((p <= 0.1).mean() - 0.1) < 0.04  # three standard errors are .045


def found(*rows: list[float], costs: tuple[float, ...] = ()) -> list[Confirmed]:
    names = ["default", *(f"c{i}" for i in range(1, len(rows)))]
    costs = costs or (1.0,) * len(rows)
    return [
        Confirmed(Entry(name, Arm("ppo"), {}), 99.0, tuple(row), cpu_seconds=cost)
        for name, row, cost in zip(names, rows, costs, strict=True)
    ]


NOISE = np.random.default_rng(3).normal(size=10)


def test_golden_a_clear_winner_wins_and_its_luck_is_not_reported():
    told = verdict(found(list(NOISE), list(NOISE + 9), list(NOISE + 8)), "truth", range(10), rng())
    assert (told.chosen, told.winner, told.tied) == ("c1", True, ("c1",))
    assert told.finalists[0].p_holm == pytest.approx(2 / 1024) and told.finalists[0].p_better == 1.0
    assert told.finalists[0].difference == pytest.approx(9.0)
    assert told.finalists[0].difference_ci95 == pytest.approx((9.0, 9.0))
    assert told.expected == pytest.approx(NOISE.mean() + 9, abs=0.2)
    assert "c1 is better than the default" in told.why


def test_golden_no_winner_is_legal_and_the_cheapest_of_the_tied_is_taken():
    rows = [list(NOISE), list(NOISE[::-1]), list(NOISE - 9)]
    told = verdict(found(*rows, costs=(3.0, 1.0, 0.1)), "truth", range(10), rng())
    assert (told.chosen, told.winner, set(told.tied)) == ("c1", False, {"default", "c1"})
    assert told.why.startswith("No winner:")
    clockless = verdict(found(*rows, costs=(3.0, 1.0, 0.1)), "truth", range(10), rng(), clockless=True)
    assert clockless.chosen == "default"


def test_golden_the_out_of_bag_score_has_no_winners_curse():
    """Twenty alike: the best looks .6 above 0 and is worth 0."""
    best, told = [], []
    for seed in range(12):
        draws = np.random.default_rng(seed)
        scores = draws.normal(size=(20, 10))
        best.append(scores.mean(1).max())
        reported = out_of_bag(scores, np.zeros(20), draws, draws=60)
        assert reported is not None
        told.append(reported[0])
    assert np.mean(best) > 0.45 and abs(np.mean(told)) < 0.25


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 12))
def test_property_what_is_chosen_is_a_winner_or_tied_with_the_best(seed: int, others: int, runs: int):
    draws = np.random.default_rng(seed)
    scores = draws.normal(size=(others + 1, runs))
    p, costs = draws.random(others) * 0.2, draws.random(others + 1)
    at, won, tied = choice(scores, p, costs)
    assert (won and at > 0 and p[at - 1] <= 0.05) or (not won and at in tied and costs[at] == costs[tied].min())
