"""What is asked about again. Golden: shares and counts. Property: what is recalled was asked about, and is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.feedback.recall import MOST, recalled, tied, undecided
from accord.feedback.store import Store
from accord.types import Collected, Order, Provenance, Query, Side, Skip, Steps, segment_id


def test_ties_and_skips_are_undecided() -> None:
    """Golden: by kind of answer. An even number of levels has no middle."""
    assert [tied(Side(level, 3)) for level in range(3)] == [False, True, False]
    assert not any(tied(Side(level, 2)) for level in range(2))
    assert not tied(Order((1, 0)))
    assert undecided([Side(1, 3), Skip("dark"), Side(0, 3), Side(3, 7)]) == 0.75
    assert undecided([]) == 0.0


def made(count: int, first: int = 0) -> list[Collected]:
    """Segments that differ."""
    rows = [np.full((2, 1), first + i, np.float32) for i in range(count)]
    return [
        Collected(
            Steps(row, np.zeros((2, 1), np.float32), np.ones(2, bool), False),
            Provenance("toy", 0, 0, 0, first + i, 0),
            row[:, 0],
        )
        for i, row in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Twenty old segments, in ten queries."""
    folder: Path = tmp_path_factory.mktemp("recall")
    kept = Store(f"sqlite:///{folder / 'store.db'}")
    kept.add(made(20))
    return kept


def queries() -> list[Query]:
    """About the twenty old ones, two by two."""
    ids = [segment_id(each.segment) for each in made(20)]
    return [Query(f"q{i}", "compare", (ids[2 * i], ids[2 * i + 1])) for i in range(10)]


def test_nothing_is_recalled_where_all_was_decided(store: Store) -> None:
    """Golden: no tie, no change, and no random number is drawn."""
    fresh, rng = made(30, 100), np.random.default_rng(0)
    assert recalled(store, fresh, queries(), 0.0, rng) == fresh
    assert rng.random() == np.random.default_rng(0).random()
    assert recalled(store, fresh, [], 1.0, rng) == fresh


def test_what_is_recalled_comes_with_its_origin_and_without_truth(store: Store) -> None:
    """Golden: half of ten are old ones, as they were added; their truth is the teacher's."""
    found = recalled(store, made(10, 100), queries(), 0.5, np.random.default_rng(0))
    old = [each for each in found if each.provenance.episode < 20]
    assert len(old) == 5 and len(found) == 10
    for each in old:
        assert each.truth is None
        assert each.provenance.episode == each.segment.observation[0, 0]


@given(st.integers(2, 200), st.floats(0.0, 1.0), st.integers(0, 2**31))
def test_the_share_holds(store: Store, count: int, share: float, seed: int) -> None:
    """Property: candidates are distinct, and old ones make up the share, to a segment, however few there are."""
    found = recalled(store, made(count, 100), queries(), share, np.random.default_rng(seed))
    ids = [segment_id(each.segment) for each in found]
    old = sum(each.provenance.episode < 20 for each in found)
    assert len(set(ids)) == len(ids) <= count
    assert abs(old - min(share, MOST) * len(found)) <= 1.0


def test_what_is_new_as_well_as_old_stays_new(store: Store) -> None:
    """Golden: a segment that turns up again is no old one."""
    again = made(20)
    assert recalled(store, again, queries(), 0.5, np.random.default_rng(0)) == again
