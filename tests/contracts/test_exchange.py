"""Contract: export, import and forgetting, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accord.feedback.exchange.exports import export_file
from accord.feedback.exchange.imports import import_file
from accord.feedback.forget import FORGOTTEN
from accord.feedback.store import Store
from accord.types import Answer, Collected, Given, InputError, Provenance, Query, Reply, Score, Side, Skip


@pytest.fixture
def store(url: str):
    store = Store(url)
    origin = Provenance("t", 1, 2, 3, 4, 5, b"\0state")
    ids = store.add([Collected(Reply("Why?", text), origin) for text in "abc"])
    for name in ("Ann", "Bo"):
        store.register(name, "person")
    store.ask([Query("q", "compare", tuple(ids[:2]), 7, overlap=2), Query("r", "rate", (ids[0],), 5, round=1)])
    store.ask([Query("c", "correct", (ids[0],))])
    store.answer([Answer("a1", "q", "Ann", Side(6, 7), (1, 0), 1.5, "clear"), Answer("b1", "q", "Bo", Side(3, 7))])
    store.answer([Answer("a2", "q", "Ann", Skip(), supersedes="a1"), Answer("a3", "r", "Ann", Score(4, 5))])
    store.answer([Answer("a4", "c", "Ann", Given(ids[2]))])
    yield store
    store.close()


def rows(store: Store) -> list[dict[str, Any]]:
    with store.dumped(names=True) as found:
        return [*found]


def test_contract_a_store_comes_back_as_it_went(store: Store, tmp_path: Path):
    path = tmp_path / "all.jsonl"
    export_file(store, path, names=True)
    copy = Store("sqlite://")
    assert import_file(path, copy).taken.answers == 5
    assert rows(copy) == rows(store) and copy.answers() == store.answers()
    back = import_file(path, store).taken
    assert (back.answers, back.known) == (0, 5) and rows(store) == rows(copy)
    # Something new in the copy comes to the store behind what it has.
    copy.register("Cy", "teacher")
    copy.ask([Query("n", "approve", copy.queries()[1].segments)])
    copy.answer([Answer("c1", "n", "Cy", Skip("odd"))])
    export_file(copy, path, names=True)
    assert import_file(path, store).taken.answers == 1
    assert [it.id for it in store.answers(after=5)] == ["c1"] and store.waiting() == 0


def test_contract_a_parcel_that_contradicts_the_store_leaves_it_as_it_was(store: Store, tmp_path: Path):
    path = tmp_path / "all.jsonl"
    export_file(store, path, names=True)
    before = rows(store)
    for old, new, words in (
        ('"id": "b1"', '"id": "b2"', "line 1.: this annotator has answered the question already"),
        ('\\"level\\": 4', '\\"level\\": 3', "line 1.: answer 'a3' is stored with another content"),
        ('"kind": "person"', '"kind": "teacher"', "annotator 'Ann' is a teacher in the file and a person in the store"),
        ('"levels": 7', '"levels": 3', "line"),
    ):
        changed = tmp_path / "changed.jsonl"
        changed.write_text(path.read_text().replace(old, new))
        assert changed.read_text() != path.read_text()
        with pytest.raises(InputError, match=words):
            import_file(changed, store)
        assert rows(store) == before


def test_contract_preference_data_go_in_twice_and_are_there_once(store: Store, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,chosen,rejected,annotator\np,x,y,Ann\np,y,x,Di\n")
    before = len(store.answers())
    taken = import_file(path, store).taken
    assert (taken.answers, taken.queries, taken.annotators, taken.segments) == (2, 1, 1, 2)
    assert import_file(path, store).taken.known == 2 and len(store.answers()) == before + 2


def test_contract_who_is_forgotten_is_gone_and_may_be_asked_for_again(store: Store, tmp_path: Path):
    assert store.forget("Ann", reopen=True) == 4
    answers = store.answers()
    assert [it.seq for it in answers] == [1, 2, 3, 4, 5] and {it.value for it in answers} == {Side(3, 7), Skip()}
    assert "Ann" not in str(answers) and store.waiting() == 3
    store.register("Cy", "person")
    assert len(store.lease("Cy", limit=9)) == 3
    export_file(store, tmp_path / "all.jsonl", names=True)
    copy = Store("sqlite://")
    import_file(tmp_path / "all.jsonl", copy)
    assert rows(copy) == rows(store)
    assert sum(name.startswith(FORGOTTEN) for name in copy.pseudonyms()) == 1
