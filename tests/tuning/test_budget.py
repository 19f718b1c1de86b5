"""Golden, property, contract: what a study may spend."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.trials import Trial
from accord.tuning.budget import UNITS, WHOLE, Budget, parse
from accord.types import InputError


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("10m", 600.0, "seconds"),
        ("600s", 600.0, "seconds"),
        ("1.5h", 5400.0, "seconds"),
        ("600cpu-s", 600.0, "cpu_seconds"),
        ("2cpu-h", 7200.0, "cpu_seconds"),
        ("200_000 steps", 200_000.0, "env_steps"),
        ("40trials", 40.0, "trials"),
        ("2000labels", 2000.0, "labels"),
    ],
)
def test_golden_budgets(text: str, amount: float, unit: str):
    assert parse(text) == Budget(amount, unit)


@given(st.integers(1, 10**12), st.integers(0, 999), st.sampled_from(sorted(UNITS)))
def test_property_what_is_parsed_is_written_and_read_back(whole: int, thousandths: int, unit: str):
    counted = UNITS[unit][0] in WHOLE
    found = parse(f"{whole}{unit}" if counted else f"{whole}.{thousandths:03d}{unit}")
    again = parse(str(found))
    assert again.unit == found.unit and math.isclose(again.amount, found.amount, rel_tol=1e-9)
    assert parse(str(again)) == again


@given(st.text(max_size=12))
def test_property_anything_else_is_refused_in_a_sentence(text: str):
    try:
        found = parse(text)
    except InputError as error:
        assert "--budget is" in str(error) and "give" in str(error)
    else:
        assert found.amount > 0


def test_golden_a_budget_in_its_unit_is_what_trials_took():
    took = [Trial(0, "race", "a", "ppo", {}, 0, 0, 9, "done", 1.0, (), 3.0, 2.0, 50, 4, 1, 7.0)]
    running = Trial(1, "race", "b", "ppo", {}, 0, 0, 9, elapsed=9.0)
    spent = [Budget(1.0, unit).spent([*took, running]) for unit, _ in dict.fromkeys(UNITS.values())]
    units = [unit for unit, _ in dict.fromkeys(UNITS.values())]
    assert dict(zip(units, spent, strict=True)) == {
        "seconds": 7.0, "cpu_seconds": 2.0, "env_steps": 50.0, "trials": 1.0, "labels": 4.0
    }  # fmt: skip
