"""Golden, property: successive halving on paired seeds, and rungs that do not foretell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.trials import Agreement, Trial
from accord.tuning.arms import Arm
from accord.tuning.ledger import Entry
from accord.tuning.portfolio import DEFAULT, cover
from accord.tuning.race import agreements, brackets, price, race, rungs_of, sizes

SEEDS = (1, 2)


def entries(n: int) -> list[Entry]:
    return [Entry(DEFAULT if i == 0 else f"e{i}", Arm("ppo"), {}) for i in range(n)]


def test_golden_rungs_are_a_ninth_a_third_and_all():
    assert rungs_of(9000, 900) == (1000, 3000, 9000)
    assert rungs_of(9000, 1001) == (3000, 9000)
    assert rungs_of(9000, 5000) == (9000,)


def test_golden_nine_become_three_become_one():
    assert sizes(9, 3) == [9, 3, 1] and sizes(4, 3) == [4, 2, 1] and sizes(5, 1) == [5]
    assert [len(each) for each in brackets(entries(12), 3)] == [9, 3]
    assert brackets(entries(2), 1) == [[each] for each in entries(2)]


def test_golden_a_bracket_of_nine_costs_three_ninths_three_times():
    # 9 at 1/9, 3 at 1/3, 1 whole: one run each; the default beside them a third and a whole
    assert price(9, 3, 2) == pytest.approx(2 * (3 + 1 / 3 + 1))
    assert price(9, 3, 2, counted=True) == 2 * (13 + 2)


class Course:
    """Scores by configuration and rung; remembers what ran."""

    def __init__(self, worth: Mapping[str, Sequence[float | None]]) -> None:
        self.worth, self.ran, self.said = worth, [], []

    def run(self, some: Sequence[Entry], rung: int) -> dict[str, list[Trial]]:
        self.ran.append((rung, [each.name for each in some]))
        found = {}
        for each in some:
            score = self.worth[each.name][rung]
            own = [None if score is None else score + seed / 100 for seed in SEEDS]
            found[each.name] = [
                Trial(0, "race", each.name, "ppo", {}, seed, rung, 1, "failed" if s is None else "done", s)
                for seed, s in zip(SEEDS, own, strict=True)
            ]
        return found

    def agree(self, agreement: Agreement) -> None:
        self.said.append(agreement)


def test_golden_the_best_third_goes_on_and_the_default_with_it():
    course = Course({e.name: [float(i), float(i), float(i)] for i, e in enumerate(entries(9))})
    found = race(entries(9), 3, course.run, course.agree)
    assert course.ran == [
        (0, [e.name for e in entries(9)]),
        (1, ["e8", "e7", "e6", DEFAULT]),
        (2, ["e8", "e7", DEFAULT]),
    ]
    assert (found[0].entry.name, found[0].rung, found[0].score) == ("e8", 2, pytest.approx(8.015))


def test_golden_a_failure_is_last_and_never_goes_on():
    course = Course({DEFAULT: [None], "e1": [0.0], "e2": [-5.0]})
    found = [each for each in race(entries(3), 1, course.run, course.agree)]
    assert [each.entry.name for each in found] == ["e1", "e2", DEFAULT] and found[-1].score == -np.inf


def test_golden_a_rung_that_ranks_the_wrong_way_is_left_out_of_later_brackets():
    worth = {e.name: [float(i), float(-i), float(i % 4)] for i, e in enumerate(entries(18))}
    course = Course(worth)
    race(entries(18), 3, course.run, course.agree)
    first = next(each for each in course.said if (each.rung, each.next) == (0, 1))
    assert first.spearman is not None and first.spearman < 0 and not first.kept and first.trials == 8
    assert [rung for rung, _ in course.ran] == [0, 1, 2, 1, 2]


def test_golden_too_few_trials_say_nothing():
    seen = {0: {("a", 1): 1.0, ("b", 1): 2.0}, 1: {("a", 1): 2.0, ("b", 1): 1.0}}
    assert agreements(seen, 2) == [Agreement(0, 1, 2, None, True)]


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 10**6))
def test_property_everybody_runs_once_a_rung_and_the_default_runs_to_the_end(n: int, rungs: int, seed: int):
    rng = np.random.default_rng(seed)
    course = Course({e.name: list(rng.normal(size=rungs)) for e in entries(n)})
    found = race(entries(n), rungs, course.run, course.agree)
    ran = [(rung, name) for rung, names in course.ran for name in names]
    assert len(set(ran)) == len(ran) and (rungs - 1, DEFAULT) in ran
    assert {each.entry.name for each in found} == {e.name for e in entries(n)}


def test_golden_a_portfolio_is_ordered_by_what_each_entry_adds():
    # the first is best on average; the second adds most where that one is worst, though the third is better on average
    scores = np.array([[1.0, 1.0, 0.0], [0.9, 0.8, 0.1], [0.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    assert cover(scores).tolist() == [0, 2, 1, 3]
