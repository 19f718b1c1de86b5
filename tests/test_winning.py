"""Golden, property: win rates by hand, intervals over prompts, and what is measured without a scorer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord import winning
from accord.policies.text.writing import Written
from accord.types import Reply, Scored
from accord.winning import Graded


def graded(gold: np.ndarray | None, kl: float = 1.0, shape: tuple[int, int] = (6, 2), word: str = "r") -> Graded:
    prompts, group = shape if gold is None else gold.shape
    replies = [Reply(f"p{k // group}", f"{word}{k}") for k in range(prompts * group)]
    return Graded(Written(replies, torch.full((len(replies),), kl), torch.full((len(replies),), 5)), group, gold)


def test_golden_a_win_rate_by_hand():
    policy, start = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    # prompt 0: 1=1, 1>0, 2>1, 2>0; prompt 1: 0<1, 0=0, twice
    won = winning.win_rate(graded(policy), graded(start))
    assert won is not None and won.mean == pytest.approx((3.5 + 1.0) / 8.0) and won.prompts == 2


@given(st.integers(0, 1000), st.integers(1, 12))
def test_property_two_sides_win_together_always(seed: int, prompts: int):
    rng = np.random.default_rng(seed)
    first, second = (graded(rng.integers(0, 3, (prompts, 2)).astype(float)) for _ in range(2))
    one, other = winning.win_rate(first, second), winning.win_rate(second, first)
    assert one is not None and other is not None and one.mean + other.mean == pytest.approx(1.0)
    assert one.ci95[0] <= one.mean <= one.ci95[1]


def test_golden_an_interval_is_over_prompts_not_over_responses():
    """Ten prompts of which half are won altogether: many responses to each do not make that more certain."""
    policy = np.repeat([[1.0], [-1.0]], 5, axis=0)
    few, many = (winning.win_rate(graded(np.tile(policy, n)), graded(np.zeros((10, n)))) for n in (2, 50))
    assert few is not None and many is not None
    assert few.ci95 == many.ci95 and few.ci95[1] - few.ci95[0] > 0.4


def test_golden_nothing_is_won_where_nobody_knows_what_is_better():
    assert winning.win_rate(graded(None), graded(None)) is None and winning.reached(graded(None)) is None
    assert set(winning.round_record(graded(None), graded(None))) == {"kl", "tokens"}


def test_golden_signs_are_in_deviations_of_the_start():
    class Told:
        """3 more for the policy, whose members disagree twice as much."""

        version = 1

        def __call__(self, replies: list[Reply]) -> Scored:
            ours = replies[0].response.startswith("ours")
            mean = torch.tensor([3.0 * ours + (-1.0) ** k for k in range(len(replies))])
            return Scored(mean, torch.full((len(replies),), 0.5 if ours else 0.25))

    found = winning.signs(graded(None, kl=2.0, word="ours"), graded(None), Told())
    deviation = torch.tensor([1.0, -1.0] * 6).std()
    assert found == pytest.approx({"gain": 3.0 / float(deviation), "doubt": 2.0, "kl": 2.0})
