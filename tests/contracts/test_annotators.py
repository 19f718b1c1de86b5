"""Contract of every Annotator that works by itself: it answers all that is open, once, in kind, and the same again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accord.feedback.evidence import pack
from accord.feedback.store import Store
from accord.feedback.teachers import FLAWS, Teacher, TeacherConfig
from accord.types import Annotator, Answer, Collected, Kind, Provenance, Query, Reply, Segment, Skip, Steps

Make = Callable[[Store, str], Annotator]

# One entry for each annotator; a new one has only to be added here.
ANNOTATORS: dict[str, Make] = {
    **{flaw: lambda store, name, flaw=flaw: Teacher(store, TeacherConfig(flaw), 7, name) for flaw in FLAWS},
    "composed": lambda store, name: Teacher(
        store, TeacherConfig("noisy", discount=0.9, mistake=0.1, skip=0.5, equal=0.05, side=0.2, drift=0.01), 7, name
    ),
}
KINDS: tuple[tuple[Kind, int, int], ...] = (  # kind, levels, segments
    ("compare", 2, 2),
    ("compare", 3, 2),
    ("compare", 7, 2),
    ("rank", 2, 4),
    ("rate", 5, 1),
    ("approve", 2, 1),
    ("demonstrate", 2, 3),
    ("demonstrate", 2, 0),
    ("correct", 2, 1),
)
EACH = 6  # queries of a kind


def segments(text: bool) -> list[Collected]:
    """Forty segments of control, some of which end early, or replies to four prompts."""
    rng = np.random.default_rng(1)
    found = []
    for i in range(40):
        segment: Segment = Reply(f"prompt {i % 4}", f"reply {i}")
        truth = rng.normal(size=1)
        if not text:
            valid = np.arange(10) < rng.integers(4, 15)
            observation = rng.normal(size=(10, 3)).astype(np.float32)
            segment = Steps(observation, np.zeros((10, 1), np.float32), valid, not valid.all())
            truth = np.where(valid, rng.normal(size=10), 0.0)
        found.append(Collected(segment, Provenance("task", i // 20, 0, 0, i, 0), truth))
    return found


def filled(url: str, text: bool) -> Store:
    """A store with queries of every kind in two rounds; replies are compared within their prompt."""
    store = Store(url)
    ids = store.add(segments(text))
    rng = np.random.default_rng(2)
    for round_ in (0, 1):
        for kind, levels, count in KINDS:
            store.ask([
                Query(
                    f"{kind}-{levels}-{count}-{round_}-{i}",
                    kind,
                    tuple(ids[j] for j in rng.permutation(np.arange(i % 4, 40, 4))[:count]),
                    levels,
                    round=round_,
                    overlap=2,
                )
                for i in range(EACH)
            ])  # fmt: skip
    return store


ASKED = 2 * EACH * len(KINDS)


def given(store: Store) -> dict[str, Answer]:
    return {answer.id: replace(answer, seq=0) for answer in store.answers()}


@pytest.mark.parametrize(("name", "text"), [*((name, False) for name in ANNOTATORS), ("composed", True)])
def test_contract_everything_open_is_answered_once(name: str, text: bool, tmp_path: Path):
    store = filled(f"sqlite:///{tmp_path / 'a.db'}", text)
    annotator = ANNOTATORS[name](store, "ann")
    assert isinstance(annotator, Annotator) and annotator.name == "ann"
    assert annotator.work() == ASKED
    answers = store.answers()
    assert {answer.query for answer in answers} == {query.id for query in store.queries()}
    assert len(answers) == ASKED and {answer.annotator for answer in answers} == {"ann"}
    assert annotator.work() == 0
    assert store.waiting() == ASKED  # the second slot of each is somebody else's
    assert ANNOTATORS[name](store, "bob").work() == ASKED
    assert store.waiting() == 0
    usable = [answer for answer in store.answers() if not isinstance(answer.value, Skip)]
    assert pack(store).answers == len(usable) > ASKED  # of twice as many


@pytest.mark.parametrize("name", ["oracle", "composed"])
def test_invariance_a_killed_annotator_goes_on_where_it_was(name: str, tmp_path: Path):
    whole = filled(f"sqlite:///{tmp_path / 'whole.db'}", text=False)
    ANNOTATORS[name](whole, "ann").work()
    killed = filled(f"sqlite:///{tmp_path / 'killed.db'}", text=False)
    first = ANNOTATORS[name](killed, "ann")

    class Killed(Exception):
        pass

    deliver, calls = killed.answer, []

    def once(answers: list[Answer], **more: object) -> list[int]:
        calls.append(len(answers))
        if len(calls) > 1:
            raise Killed  # leased, and never answered
        return deliver(answers, **more)

    killed.answer = once
    with pytest.raises(Killed):
        first.work()
    killed.answer = deliver
    assert 0 < len(killed.answers()) < ASKED
    again = ANNOTATORS[name](killed, "ann")
    assert again.work() == ASKED - calls[0]
    assert given(whole) == given(killed)


def test_contract_on_both_databases(url: str):
    store = filled(url, text=False)
    assert ANNOTATORS["composed"](store, "ann").work() == ASKED
    assert {query.id for query in store.queries()} == {answer.query for answer in store.answers()}
    store.close()
