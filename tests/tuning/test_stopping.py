"""Golden, property: what is behind stops, and only where looks foretell."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import trials
from accord.trials import Point, Trial
from accord.tuning import budget, study
from accord.tuning.space import Choice, Number, Range, Space, power
from accord.tuning.stopping import KEPT, floors
from accord.tuning.suggest import Told, neighbour
from accord.tuning.trial import Job, Outcome
from tests.tuning.toys import Inline, settings, toy, worth

SPACE: Space = (Range("a", 1e-4, 1.0, log=True), Range("b", 1, 8), power("c", 3, 9), Choice("d", ("x", "y", "z")))


def trial(number: int, scores: list[float], stopped: bool = False) -> Trial:
    curve = tuple(Point(100 * k, float(k), score) for k, score in enumerate(scores, 1))
    return Trial(number, "search", f"t{number}", "ppo", {}, 0, 0, 300, "done", scores[-1], curve, stopped=stopped)


def test_golden_the_best_third_goes_on_at_the_first_look_and_the_best_half_at_the_second():
    whole = [trial(k, [k, 10.0 + k, 20.0 + k]) for k in range(6)]
    assert floors(whole) == pytest.approx((10 / 3, 12.5)) and KEPT == (1 / 3, 1 / 2)
    stopped = [trial(9, [-5.0], True)] * 6  # they count where they were looked at, and there alone
    low, high = floors([*whole, *stopped])
    assert low == pytest.approx(4 / 3) and high == 12.5  # two thirds of the way through -5, ..., -5, 0, ..., 5


def test_golden_looks_that_do_not_foretell_stop_nothing():
    assert floors([trial(k, [k, k, -k]) for k in range(6)]) == (-math.inf, -math.inf)
    assert floors([trial(k, [-k, k, k]) for k in range(6)]) == (-math.inf, 2.5)
    assert floors([trial(k, [k, k, k]) for k in range(4)]) == (-math.inf, -math.inf)  # too few to say


def looked(job: Job) -> Outcome:
    """A toy trial with two looks, which obeys its floors."""
    found = toy(job)
    curve = tuple(Point(k * 100, 1.0, worth(job) - 3.0 * (3 - k)) for k in (1, 2))
    for k, floor in enumerate(job.floors):
        if curve[k].score < floor:
            cost = found.cpu_seconds * (k + 1) / 3
            return Outcome(job.number, "done", curve[k].score, curve[: k + 1], 1.0, cost, 100, 0, stopped=True)
    last = Point(300, 1.0, found.score or 0.0)
    return Outcome(job.number, "done", found.score, (*curve, last), 1.0, found.cpu_seconds, 300, 0)


def test_golden_what_stopped_is_no_finalist_and_leaves_room_for_more(tmp_path: Path):
    def run(name: str, work: object) -> list[Trial]:
        study.tune(settings(), budget.parse("60cpu-s"), tmp_path / name, lambda: Inline(work))  # pyright: ignore[reportArgumentType]
        return list(trials.read(tmp_path / name).trials)

    with_looks, without = run("looks", looked), run("none", toy)
    stopped = [each for each in with_looks if each.stopped]
    assert stopped and all(each.stage in ("search", "random") for each in stopped)
    assert not {each.name for each in stopped} & {each.name for each in with_looks if each.stage == "confirm"}
    tried = [sum(each.stage in ("search", "random") for each in some) for some in (with_looks, without)]
    assert tried[0] > tried[1]


def test_invariance_stops_are_the_same_for_any_number_of_workers(tmp_path: Path):
    class Backwards(Inline):
        def next(self) -> Outcome:
            return self.work(self.jobs.pop())

    found = []
    for name, engine in (("one", Inline(looked)), ("five", Backwards(looked, 5))):
        study.tune(settings(), budget.parse("60trials"), tmp_path / name, lambda engine=engine: engine, sync=True)
        found.append([(t.number, t.name, t.stopped, t.score) for t in trials.read(tmp_path / name).trials])
    assert found[0] == found[1] and any(stopped for _, _, stopped, _ in found[0])


@given(st.lists(st.tuples(st.floats(1e-4, 1.0), st.integers(1, 8), st.integers(3, 9), st.integers(0, 2)), max_size=6),
       st.integers(0, 2**31))  # fmt: skip
def test_property_a_neighbour_lies_in_the_space(points: list[tuple[float, int, int, int]], seed: int):
    told = [Told(dict(zip("abcd", point, strict=True)), float(k)) for k, point in enumerate(points)]
    found = neighbour(SPACE, told, seed)
    assert found == neighbour(SPACE, told, seed)
    for each in SPACE:
        value: Number = found[each.key]
        if isinstance(each, Choice):
            assert value in range(3)
        else:
            assert each.low <= value <= each.high and (not each.whole or isinstance(value, int))


def test_golden_neighbours_are_near_the_best():
    good = Told({"a": 0.01, "b": 4, "c": 6, "d": 1}, 1.0)
    bad = [Told({"a": 1.0, "b": 8, "c": 9, "d": 2}, -float(k)) for k in range(6)]  # one point, whose mean is below
    found = [neighbour(SPACE, [good], seed) for seed in range(300)]
    assert np.mean([point["a"] == 0.01 for point in found]) > 0.5
    assert abs(float(np.mean([math.log10(point["a"]) for point in found])) + 2.0) < 0.2
    assert any(point["d"] != 1 for point in found)
    assert neighbour(SPACE, [*bad, good], 1) == neighbour(SPACE, [*bad, good], 1)
