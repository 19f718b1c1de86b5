"""Contract, golden: who is forgotten leaves no trace in the file, and everything else stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from accord import lineage, records
from accord.feedback.evidence import pack
from accord.feedback.forget import FORGOTTEN
from accord.feedback.store import Store, current
from accord.types import Answer, Collected, Given, InputError, Provenance, Query, Reply, Side, Skip

ORIGIN = Provenance("t", 0, 0, 0, 0, 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    pair = store.add([Collected(Reply("Why?", text), ORIGIN) for text in "ab"])
    (own,) = store.add([Collected(Reply("Why?", "Marmalade's own words"), ORIGIN)])
    store.add_media(own, "text/plain", b"Marmalade's own words")
    for name in ("Marmalade", "Bo"):
        store.register(name, "person")
    store.ask(
        [*(Query(f"q{i}", "compare", tuple(pair), overlap=2) for i in range(2)), Query("c", "correct", (pair[0],))]
    )
    store.lease("Marmalade", limit=1)
    store.answer([Answer("m0", "q0", "Marmalade", Side(1, 2), (1, 0), 3.5, "Marmalade says so")])
    store.answer([Answer("b0", "q0", "Bo", Side(0, 2), text="Bo says so")])
    store.answer([Answer("m1", "q0", "Marmalade", Side(0, 2), supersedes="m0")])
    store.answer([Answer("m2", "q1", "Marmalade", Skip("Marmalade is tired"))])
    store.answer([Answer("m3", "c", "Marmalade", Given(own))])
    return store


def trace(store: Store, tmp_path: Path) -> bool:
    """Whether a word of hers is anywhere in the files of the database."""
    return any(b"Marmalade" in path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_contract_nothing_of_hers_is_left_in_the_file_and_seqs_stay(store: Store, tmp_path: Path):
    assert trace(store, tmp_path)
    before = store.answers()
    pseudonym = store.pseudonyms()["Marmalade"]
    assert store.forget("Marmalade") == 4
    assert not trace(store, tmp_path) and pseudonym not in str(store.pseudonyms())
    after = store.answers()
    assert [answer.seq for answer in after] == [answer.seq for answer in before]
    assert after[1] == before[1]  # Bo's
    hers = [answer for answer in after if answer.annotator.startswith(FORGOTTEN)]
    assert len(hers) == 4 and {(it.value, it.shown, it.seconds, it.text) for it in hers} == {(Skip(), (), 0.0, "")}
    assert not {it.id for it in hers} & {"m0", "m1", "m2", "m3"} and hers[1].supersedes == hers[0].id
    assert [answer.id for answer in store.answers(after=before[2].seq)] == [it.id for it in hers[2:]]
    assert pack(store).annotators == ("Bo",) and store.waiting() == 1  # q1 waits for its second, as before
    store.register("Marmalade", "person")  # who comes again is somebody new
    assert {lease.query.id for lease in store.lease("Marmalade", limit=9)} == {"q1"}


def test_contract_kept_answers_are_those_of_nobody_without_their_texts(store: Store, tmp_path: Path):
    before = [answer.value for answer in current(store.answers())]
    assert store.forget(store.pseudonyms()["Marmalade"], keep_answers=True) == 4
    after = current(store.answers())
    assert [answer.value for answer in after] == [*before[:2], Skip(), before[3]]
    assert {answer.text for answer in after} == {"", "Bo says so"}
    assert "Marmalade" not in str(after) and len(pack(store).annotators) == 2


def test_contract_reopened_questions_are_asked_again_and_never_over_labelled(store: Store):
    assert store.forget("Marmalade", reopen=True) == 4 and store.waiting() == 3
    for name in ("Cy", "Di"):
        store.register(name, "person")
    assert {lease.query.id for lease in store.lease("Bo", limit=9)} == {"q1", "c"}
    assert {lease.query.id for lease in store.lease("Cy", limit=9)} == {"q0", "q1"}
    assert store.lease("Di", limit=9) == []
    store.answer([Answer("c0", "q0", "Cy", Side(1, 2))])
    assert len(pack(store).annotators) == 2
    assert store.forget("Cy", reopen=True) == 1 and store.waiting() == 3


def test_contract_what_others_gave_or_were_asked_about_stays(store: Store):
    own = next(answer.value.segment for answer in store.answers() if isinstance(answer.value, Given))
    store.ask([Query("x", "approve", (own,))])
    store.forget("Marmalade")
    assert store.segments([own]) == [Reply("Why?", "Marmalade's own words")]


def test_golden_nobody_of_that_name(store: Store):
    with pytest.raises(InputError, match="annotator 'Nobody' is not in the store"):
        store.forget("Nobody")
    with pytest.raises(InputError, match="leave out keep_answers or reopen"):
        store.forget("Bo", keep_answers=True, reopen=True)
    with pytest.raises(InputError, match="is named as one who was forgotten"):
        store.register(f"{FORGOTTEN}x", "person")
    store.register("Idle", "person")
    assert store.forget("Idle") == 0


def test_golden_lineage_says_how_many_answers_were_forgotten(tmp_path: Path):
    run = records.create(tmp_path / "run", {"seed": 7, "feedback": {"labels": 2, "store": ""}}, seed=7)
    store = Store(f"sqlite:///{run.folder / 'store.db'}")
    pair = store.add([Collected(Reply("Why?", text), ORIGIN) for text in "ab"])
    for name in ("Ann", "Bo"):
        store.register(name, "person")
    store.ask([Query(f"q{i}", "compare", tuple(pair)) for i in range(2)])
    for round, name in enumerate(("Bo", "Ann")):
        store.answer([Answer(f"a{round}", f"q{round}", name, Side(1, 2))])
        run.record("wait", round, cursor=round + 1)
        run.record("fit", round, answers_hash=records.hash_answers(store.answers()), reward_hash="0" * 64)
    store.forget("Ann")
    answers = [link for link in lineage.verify(run.folder) if link.what == "answers"]
    assert [(link.state, link.forgotten, link.holds) for link in answers] == [("same", 0, True), ("forgotten", 1, True)]
    store.close()
