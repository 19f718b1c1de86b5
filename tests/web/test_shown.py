"""What is on the screen and what an answer means. Golden: both orders; property: nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from accord.feedback.sides import order
from accord.types import InputError, Order, Query, Score, Side, Skip, Verdict
from accord.web.shown import Said, meant

SAID: TypeAdapter[Said] = TypeAdapter(Said)


def said(**fields: object) -> Said:
    return SAID.validate_python(fields)


def query(kind: str, segments: int, levels: int = 2) -> Query:
    return Query("q", kind, tuple(f"s{i}" for i in range(segments)), levels)  # type: ignore[arg-type]


@pytest.mark.parametrize(("shown", "level"), [((0, 1), 6), ((1, 0), 0)])
def test_golden_far_better_on_the_left_speaks_for_what_stood_there(shown: tuple[int, ...], level: int):
    assert meant(query("compare", 2, 7), said(type="side", level=6), shown) == Side(level, 7)


def test_golden_of_a_ranking_places_become_segments():
    assert meant(query("rank", 3), said(type="order", best_first=[2, 0]), (1, 2, 0)) == Order((0, 1))


def test_golden_what_has_no_side_is_taken_as_it_is():
    assert meant(query("rate", 1, 5), said(type="score", level=4), (0,)) == Score(4, 5)
    assert meant(query("approve", 1), said(type="verdict", approved=False), (0,)) == Verdict(False)
    assert meant(query("compare", 2), said(type="skip", reason="dark"), (1, 0)) == Skip("dark")


@pytest.mark.parametrize("wrong", [said(type="side", level=3), said(type="order", best_first=[0, 2])])
def test_golden_what_cannot_be_said_is_refused_in_one_sentence(wrong: Said):
    with pytest.raises(InputError, match="out of range") as refused:
        meant(query("compare", 2, 3), wrong, (0, 1))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "side", "level": 7},
        {"type": "side", "level": True},
        {"type": "side", "level": 1, "levels": 3},
        {"type": "order", "best_first": []},
        {"type": "verdict", "approved": "yes"},
        {"type": "skip", "reason": "x" * 501},
        {"type": "given"},
    ],
)
def test_golden_values_are_read_strictly(fields: dict[str, object]):
    with pytest.raises(ValidationError):
        said(**fields)


@given(st.text(max_size=40), st.integers(1, 12))
def test_property_an_order_is_a_permutation_that_the_token_decides(token: str, places: int):
    found = order(token, places)
    assert sorted(found) == list(range(places)) and found == order(token, places)


@given(st.text(min_size=1, max_size=20), st.sampled_from([2, 3, 7]), st.data())
def test_property_a_side_speaks_for_the_same_segment_in_either_order(token: str, levels: int, data: st.DataObject):
    level = data.draw(st.integers(0, levels - 1))
    shown = order(token, 2)
    value = meant(query("compare", 2, levels), said(type="side", level=level), shown)
    other = meant(query("compare", 2, levels), said(type="side", level=levels - 1 - level), shown[::-1])
    assert value == other and isinstance(value, Side)


def test_golden_sides_are_blind():
    """Of many tokens half show the query's first segment on the left."""
    left = sum(order(f"token {i}", 2) == (0, 1) for i in range(2_000))
    assert 900 < left < 1_100
