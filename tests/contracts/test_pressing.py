"""Contract: known questions, repeats and disputes reach whom they are for, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from accord.feedback.probes import known, repeated
from accord.feedback.sides import order
from accord.feedback.store import Lease, Served, Store, Visit
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Six usual questions and three annotators."""
    kept = Store(url)
    ids = kept.add([Collected(Reply("Why?", f"{i}"), Provenance("talk", 0, 0, 0, i, 0)) for i in range(12)])
    kept.ask([Query(f"q{i}", "compare", (ids[2 * i], ids[2 * i + 1]), 3) for i in range(6)])
    for name in ("ann", "bob", "eve"):
        kept.register(name, "person")
    yield kept
    kept.close()


def serve(store: Store, name: str, limit: int = 1, reviews: bool = False) -> list[Lease]:
    (served,) = store.serve([Visit(name, limit=limit, reviews=reviews)])
    assert isinstance(served, Served)
    return served.leases


def reply(store: Store, name: str, lease: Lease, level: int = 2) -> None:
    shown = order(lease.token, 2)
    answer = Answer(f"{name}-{lease.query.id}", lease.query.id, name, Side(level, 3), shown, 1.0)
    store.answer([answer], tokens=[lease.token])


def test_contract_a_known_question_comes_first_to_everybody_and_once(store: Store):
    (query,) = store.queries(["q0"])
    store.ask([known(query, Side(2, 3))])
    (asked,) = [each for each in store.queries() if each.gold is not None]
    assert asked.gold == Side(2, 3) and asked.segments == query.segments and store.waiting() == 6
    for name in ("ann", "bob", "eve"):
        (first,) = serve(store, name)
        assert first.query.id == asked.id
        reply(store, name, first)
    rest = serve(store, "ann", 10)
    assert [lease.query.id for lease in rest] == [f"q{i}" for i in range(6)]


def test_contract_known_questions_come_when_nothing_else_is_left(store: Store):
    queries = store.queries()
    store.ask([known(query, Side(0, 3)) for query in queries[:4]])
    found = [lease.query.id for lease in serve(store, "ann", 10)]
    assert len(found) == len(set(found)) == 10  # one at first, six usual ones, and then the others
    assert [id.startswith("q") for id in found] == [False, *[True] * 6, *[False] * 3]


@pytest.mark.parametrize("turn", range(4))
def test_contract_a_repeat_comes_to_who_answered_and_with_the_other_side_left(store: Store, turn: int):
    leases = serve(store, "ann", 6)
    for lease in leases:
        reply(store, "ann", lease)
    again = repeated(store.queries(), 2, 1, np.random.default_rng(turn))
    store.ask(again)
    assert len(again) == 2 and store.waiting() == 0  # no run waits for them
    assert serve(store, "bob", 10) == []
    found = serve(store, "ann", 10)
    assert {lease.query.id for lease in found} == {query.id for query in again}
    before = {lease.query.id: order(lease.token, 2) for lease in leases}
    for lease in found:
        assert lease.query.repeats is not None
        assert order(lease.token, 2)[0] != before[lease.query.repeats][0]
        reply(store, "ann", lease)
    assert serve(store, "ann", 10) == []


def test_golden_what_is_repeated_is_neither_known_nor_a_repeat_and_none_twice(store: Store):
    store.ask([known(store.queries()[0], Side(1, 3))])
    first = repeated(store.queries(), 4, 1, np.random.default_rng(0))
    store.ask(first)
    second = repeated(store.queries(), 10, 2, np.random.default_rng(1))
    assert {each.repeats for each in (*first, *second)} == {f"q{i}" for i in range(6)}
    assert repeated([*store.queries(), *second], 10, 3, np.random.default_rng(2)) == []


def test_contract_a_dispute_is_decided_by_who_reviews(store: Store):
    (lease,) = serve(store, "ann")
    reply(store, "ann", lease)
    store.dispute("q0", "eve")
    store.dispute("q0", "eve")  # once is enough
    assert [each.query.id for each in serve(store, "bob", 10)] == [f"q{i}" for i in range(1, 6)]
    (found,) = serve(store, "eve", 1, reviews=True)
    assert found.query.id == "q0"
    reply(store, "eve", found, level=0)
    assert [answer.annotator for answer in store.answers() if answer.query == "q0"] == ["ann", "eve"]
    with pytest.raises(InputError, match="taken"):
        store.answer([Answer("late", "q0", "bob", Side(1, 3))])
    with pytest.raises(InputError, match="answered this question already"):
        store.dispute("q0", "ann")
    with pytest.raises(InputError, match="not in the store"):
        store.dispute("nowhere", "eve")


def test_contract_a_known_answer_must_fit(store: Store):
    with pytest.raises(InputError, match="out of range"):
        store.ask([known(store.queries()[0], Side(6, 7))])
    with pytest.raises(InputError, match="query 'nowhere' is not in the store"):
        store.ask([Query("again", "compare", store.queries()[0].segments, 3, repeats="nowhere")])
