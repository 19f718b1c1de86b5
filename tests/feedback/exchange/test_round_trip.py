"""Property, contract: a store that was exported and imported into an empty one is the same store, but for the truth."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from accord.feedback import tables
from accord.feedback.exchange.exports import export_file
from accord.feedback.exchange.imports import import_file
from accord.feedback.exchange.parcel import STAY, TRAVEL
from accord.feedback.store import Store, current
from accord.types import (
    Answer,
    Collected,
    Given,
    Image,
    InputError,
    Kind,
    Order,
    Provenance,
    Query,
    Reply,
    Score,
    Segment,
    Side,
    Skip,
    Steps,
    Value,
    Verdict,
    segment_id,
)

COUNTS = {"compare": 2, "rate": 1, "approve": 1, "correct": 1}
LEVELS = {"compare": (2, 3, 7), "rate": (2, 5, 11)}


def segments() -> list[Segment]:
    rng = np.random.default_rng(0)
    ones, pixels = np.ones(3, bool), rng.integers(0, 256, (3, 4), dtype=np.uint8)
    return [
        Reply("Why?", "a"),
        Reply("Why?", "b\nÄ€😀 <b>", (1, 2**40), "hash"),
        Reply("", ""),
        Steps(rng.normal(size=(3, 2)).astype(np.float32), np.zeros((3, 1), np.float32), ones, True),
        Steps(pixels, np.zeros((3, 1), np.float32), ones, False),
        Image(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8), rng.normal(size=4)),
    ]


def value(draw: st.DrawFn, query: Query, known: list[str]) -> Value:
    if draw(st.integers(0, 4)) == 0:
        return Skip(draw(st.sampled_from(["", "too dark"])))
    level = draw(st.integers(0, query.levels - 1))
    return {
        "compare": Side(level, query.levels),
        "rank": Order(tuple(draw(st.permutations(range(len(query.segments)))))),
        "rate": Score(level, query.levels),
        "approve": Verdict(level == 1),
        "demonstrate": Given(draw(st.sampled_from(known))),
        "correct": Given(draw(st.sampled_from(known))),
    }[query.kind]


def drawn(draw: st.DrawFn, store: Store) -> None:
    """All kinds of segment, query and answer; skips, changed minds, open questions, leases, truths.

    Made in the test, not in a strategy: types are checked there, with a die of beartype's.
    """
    origin = Provenance("task", round=1, policy_version=2, seed=3, episode=4, start=5, replay=b"\0\xff")
    ids = store.add([Collected(each, origin, np.array([0.5])) for each in segments()])
    store.add([Collected(segments()[0], Provenance("other", 0, 0, 0, 0, 0))])
    for name, kind in (("Ann", "person"), ("bot", "teacher")):
        store.register(name, kind)
    kinds: list[Kind] = ["compare", "rank", "rate", "approve", "demonstrate", "correct"]
    queries, answers = [], []
    for index, kind in enumerate(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))):
        size = COUNTS.get(kind, 3)
        chosen = draw(st.lists(st.sampled_from(ids), min_size=size, max_size=size))
        levels = draw(st.sampled_from(LEVELS.get(kind, (2,))))
        query = Query(f"q{index}", kind, tuple(chosen), levels, draw(st.sampled_from(["uniform", "bald"])), index, 2)
        queries.append(query)
        for name in draw(st.sets(st.sampled_from(["Ann", "bot"]))):
            former = None
            for turn in range(draw(st.integers(1, 3))):
                id = f"{query.id}-{name}-{turn}"
                shown = draw(st.sampled_from([(), tuple(range(size))]))
                said = value(draw, query, ids)
                text = draw(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5))
                answers.append(Answer(id, query.id, name, said, shown, draw(st.floats(0, 1e6)), text, former))
                former = id
    store.ask(queries)
    store.answer(answers)
    store.lease("Ann", limit=1)


def content(store: Store, names: bool = True) -> dict[str, list[Mapping[str, Any]]]:
    """All rows that travel, without what only means something in one database."""
    with store.dumped(names) as rows:
        found = [*rows]
    assert {row["table"] for row in found} <= {"store", *(table.name for table in TRAVEL)}
    return {table.name: [row for row in found if row["table"] == table.name] for table in TRAVEL}


def rows(store: Store, table: Any) -> int:
    with store._read() as connection:
        return len(connection.execute(select(table)).all())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), names=st.booleans())
def test_property_what_was_exported_and_imported_is_the_same_store(
    tmp_path: Path, empty: Callable[[], Store], data: st.DataObject, names: bool
):
    store, copy, path = empty(), empty(), tmp_path / "all.jsonl.gz"
    drawn(data.draw, store)
    export_file(store, path, names=names)
    taken = import_file(path, copy).taken
    assert content(copy, names) == content(store, names)
    assert taken.answers == len(store.answers()) and taken.known == 0
    if names:
        assert copy.answers() == store.answers() and copy.queries() == store.queries()
    assert rows(store, tables.truth) > 0 and rows(copy, tables.truth) == rows(copy, tables.leases) == 0
    assert copy.segments([segment_id(each) for each in segments()][:3]) == segments()[:3]
    again = import_file(path, copy).taken
    assert (again.segments, again.annotators, again.queries, again.answers) == (0, 0, 0, 0)
    assert content(copy, names) == content(store, names)
    back = import_file(path, store).taken  # and into the store itself: everybody is known by the pseudonym
    assert (back.segments, back.annotators, back.queries, back.answers) == (0, 0, 0, 0)
    # The lock, the slots and the counters go on where they should.
    copy.register("late", "person")
    done = [lease.query.id for lease in copy.lease("late", limit=9)]
    assert set(done) == {query.id for query in store.queries() if len(answerers(store, query.id)) < 2}
    for each in (store, copy):
        each.close()


def answerers(store: Store, query: str) -> set[str]:
    return {answer.annotator for answer in store.answers() if answer.query == query}


@pytest.fixture
def small() -> Store:
    store = Store("sqlite://")
    ids = store.add([Collected(Reply("Why?", text), Provenance("t", 0, 0, 0, 0, 0)) for text in "ab"])
    store.register("Ann Miller", "person")
    store.ask([Query("q", "compare", tuple(ids), 3)])
    store.answer([Answer("first", "q", "Ann Miller", Side(2, 3), (1, 0), 2.5, "clear")])
    store.answer([Answer("second", "q", "Ann Miller", Side(0, 3), supersedes="first")])
    return store


def test_contract_parquet_holds_the_same(small: Store, tmp_path: Path):
    pytest.importorskip("pyarrow", reason="Parquet is not tested: pyarrow is not installed.")
    export_file(small, tmp_path / "all.parquet", names=True)
    copy = Store("sqlite://")
    import_file(tmp_path / "all.parquet", copy)
    assert content(copy) == content(small)


def test_contract_a_name_is_in_no_export_that_was_not_asked_for_it(small: Store, tmp_path: Path):
    path = tmp_path / "all.jsonl"
    export_file(small, path)
    pseudonym = small.pseudonyms()["Ann Miller"]
    assert "Ann" not in path.read_text() and pseudonym in path.read_text()
    copy = Store("sqlite://")
    import_file(path, copy)
    assert [answer.annotator for answer in copy.answers()] == [pseudonym] * 2
    export_file(small, path, names=True)
    assert "Ann Miller" in path.read_text()


def test_contract_every_table_travels_or_is_said_to_stay():
    assert {*TRAVEL, *STAY} == set(tables.metadata.tables.values())


def test_contract_two_stores_meet_in_one(small: Store, tmp_path: Path):
    """The other's answers come behind, with seqs that a reader of the cursor has not passed."""
    other = Store("sqlite://")
    ids = other.add([Collected(Reply("Why?", text), Provenance("t", 0, 0, 0, 0, 0)) for text in "ab"])
    other.register("Bo", "person")
    other.ask([Query("q", "compare", tuple(ids), 3), Query("r", "rate", (ids[0],), 5)])
    other.answer([Answer("bo-q", "q", "Bo", Side(1, 3)), Answer("bo-r", "r", "Bo", Score(4, 5))])
    export_file(other, tmp_path / "other.jsonl", names=True)
    cursor = small.answers()[-1].seq
    taken = import_file(tmp_path / "other.jsonl", small).taken
    assert (taken.segments, taken.queries, taken.annotators, taken.answers) == (0, 1, 1, 2)
    assert [answer.id for answer in small.answers(after=cursor)] == ["bo-q", "bo-r"]
    assert [query.overlap for query in small.queries()] == [2, 1] and small.waiting() == 0
    small.register("Bo", "person")  # known by the name, no second Bo


CHANGES = {
    "segment": (lambda row: row | {"header": row["header"].replace("Why?", "How?")}, "is not what its id says"),
    "reply": (lambda row: row | {"header": "[1, 2, [], 3]"}, "is not what its id says"),
    "pickle": (lambda row: row | {"kind": "steps", "header": '[[["|O", [1]]], true]'}, "is not what its id says"),
    "unknown query": (lambda row: row | {"query": "gone"}, "query 'gone' is not in the file"),
    "level": (lambda row: row | {"value": '{"is": "side", "level": 9, "levels": 3}'}, "is out of range"),
    "value": (lambda row: row | {"value": '{"is": "__import__", "x": 1}'}, "is no value"),
    "seconds": (lambda row: row | {"seconds": -1.0}, "-1.0 seconds"),
    "shown": (lambda row: row | {"shown": "[0, 0]"}, "no order of 2 segments"),
    "type": (lambda row: row | {"seq": "1"}, "seq is '1'; it must be whole"),
    "missing": (lambda row: {k: v for k, v in row.items() if k != "revision"}, "revision is missing"),
    "chain": (lambda row: row | {"revision": 5}, "supersedes nothing that it may"),
    "table": (lambda row: row | {"table": "truth"}, "table 'truth' is none of"),
    "status": (lambda row: row | {"status": "won"}, "status is 'won'"),
    "head": (lambda row: row | {"schema": "9999"}, "upgrade accord"),
}
PLACES = {"segment": 1, "reply": 1, "pickle": 1, "status": 6, "head": 0}


@pytest.mark.parametrize("what", CHANGES)
def test_golden_an_altered_file_is_refused_with_its_line_and_nothing_is_kept(small: Store, tmp_path: Path, what: str):
    path = tmp_path / "all.jsonl"
    export_file(small, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    place = PLACES.get(what, 7)
    change, words = CHANGES[what]
    lines[place] = change(lines[place])
    path.write_text("\n".join(map(json.dumps, lines)))
    copy = Store("sqlite://")
    with pytest.raises(InputError, match=f"all.jsonl: line {place + 1}: .*{words}"):
        import_file(path, copy)
    assert not any(content(copy).values())


def test_golden_a_head_alone_and_a_torn_file(small: Store, tmp_path: Path):
    path = tmp_path / "all.jsonl.gz"
    export_file(Store("sqlite://"), path)
    assert import_file(path, small).taken.answers == 0
    path.write_bytes(gzip.compress(b"{}")[:-9])
    with pytest.raises(InputError, match="no whole gzip file"):
        import_file(path, small)
    with pytest.raises(InputError, match=r"fits into .jsonl and .parquet, not into .csv"):
        export_file(small, tmp_path / "all.csv")


def test_invariance_only_the_last_word_counts_after_a_round_trip(small: Store, tmp_path: Path):
    export_file(small, tmp_path / "all.jsonl")
    copy = Store("sqlite://")
    import_file(tmp_path / "all.jsonl", copy)
    assert [answer.id for answer in current(copy.answers())] == ["second"]
