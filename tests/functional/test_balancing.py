"""Golden, property: whose turn it is, whose bound doubles, and that a good learner ends with most of the plays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.balancing import CARE, DELTA, LEAST, MOST, chosen, collapsed, doubled, in_units

ALL = np.ones(3, bool)


def test_golden_the_least_regret_plays_and_of_equal_ones_the_first():
    plays, bound = np.array([4, 9, 1]), np.array([1.0, 0.5, 4.0])  # regrets 2, 1.5, 4
    assert chosen(plays, bound, ALL) == 1
    assert chosen(plays, bound, np.array([True, False, True])) == 0
    assert chosen(np.zeros(3, int), bound, ALL) == 0  # nobody has played


def test_golden_the_test_for_misspecification_by_hand():
    plays, luck = np.array([4, 4]), np.array([0.02, 0.02])
    c = CARE * 0.02 * math.sqrt(math.log(2 * math.log2(8.0) / DELTA))
    edge = 1.0 - 2 * c - 0.25 / 2  # the value at which learner 0 just passes, d = .25
    for value, fails in ((edge - 1e-6, True), (edge + 1e-6, False)):
        found = doubled(plays, np.array([value, 1.0]), luck, np.array([0.25, 0.25]))
        assert found.tolist() == [0.5 if fails else 0.25, 0.25]


def test_golden_who_has_not_played_is_not_tested_and_proves_nothing():
    bound = np.array([0.25, 0.25, 0.25])
    assert doubled(np.zeros(3, int), np.zeros(3), np.zeros(3), bound).tolist() == bound.tolist()
    found = doubled(np.array([5, 0, 5]), np.array([0.5, 99.0, 0.5]), np.zeros(3), bound)
    assert found.tolist() == bound.tolist()
    assert doubled(np.array([5, 5]), np.array([0.0, 1.0]), np.zeros(2), np.array([MOST, 0.25])).tolist() == [MOST, 0.25]


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.floats(-1, 1), st.floats(0, 0.5), st.floats(0.1, 8)), min_size=1, max_size=5
    )
)
def test_property_the_best_is_never_doubled_and_nothing_shrinks(rows: list[tuple[int, float, float, float]]):
    plays, value, luck, bound = (np.array(column) for column in zip(*rows, strict=True))
    found = doubled(plays, value, luck, bound)
    assert (found >= bound).all() and (found <= 2 * bound).all()
    if (plays > 0).any():
        best = int(np.argmax(np.where(plays > 0, value - luck, -np.inf)))
        played = plays > 0
        if value[best] >= value[played].max():
            assert found[best] == bound[best]


@pytest.mark.parametrize("gap", [0.3, 1.0])
def test_property_a_good_learner_ends_with_most_of_the_plays_and_a_late_one_is_not_lost(gap: float):
    """Two learners of constant worth and noise .05; then one that is good only after its fifth play."""
    rng = np.random.default_rng(0)

    def shares(worth, rounds: int = 60) -> np.ndarray:
        plays, bound, last = np.zeros(2, int), np.full(2, LEAST), np.zeros(2)
        for _ in range(rounds):
            bound = doubled(plays, last, np.full(2, 0.05), bound)
            turn = chosen(plays, bound, np.ones(2, bool))
            plays[turn] += 1
            last[turn] = worth(turn, plays[turn]) + 0.05 * rng.standard_normal()
        return plays / rounds

    assert shares(lambda turn, n: gap if turn == 1 else 0.0)[1] > 0.75
    late = shares(lambda turn, n: 0.0 if turn == 0 else (1.0 if n > 5 else -0.2), rounds=120)
    assert late[1] > 0.5


def test_golden_units_and_collapse():
    assert in_units(np.array([1.0, -1.0, 0.5]), np.array([0.1, 0.1, 1.5])) == 2.0
    assert in_units(np.array([1.0, 1.1]), np.array([0.3, 3.0])) == 3.0
    assert in_units(np.zeros(0), np.zeros(0)) > 0.0
    assert collapsed(first=0.0, best=1.0, now=0.4, luck=0.05, share=0.5)
    assert not collapsed(first=0.0, best=1.0, now=0.6, luck=0.05, share=0.5)
    assert not collapsed(first=0.0, best=1.0, now=0.4, luck=0.2, share=0.5)  # luck explains it
    assert not collapsed(first=0.0, best=0.0, now=0.0, luck=0.0, share=0.5)  # it never won anything
