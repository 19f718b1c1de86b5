"""Transactions that are shared. Contract: whoever comes at once, none is lost, twice or too many."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from accord.feedback import visits
from accord.feedback.store import Lease, Store
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side
from accord.web import desk as desk_module
from accord.web.desk import MOST, Call, Desk, Draft, Shared, Told

Asked = Callable[[int, int, list[str]], tuple[Store, Desk]]


def test_golden_jobs_gather_while_one_is_done():
    """The first is done alone; the nine that come meanwhile are the second batch."""
    sizes, begun, go = [], threading.Event(), threading.Event()

    def work(jobs: list[int]) -> list[int]:
        sizes.append(len(jobs))
        begun.set()
        go.wait(10)
        return [job * job for job in jobs]

    shared: Shared[int, int] = Shared(work)
    first = shared(0)
    begun.wait(10)
    others = [shared(job) for job in range(1, 10)]
    go.set()
    assert [each.result(10) for each in (first, *others)] == [job * job for job in range(10)]
    shared.close()
    assert sizes == [1, 9]


def test_golden_what_a_batch_raises_all_of_it_hear_and_the_next_is_done():
    def broken(jobs: list[int]) -> list[int]:
        if 1 in jobs:
            raise InputError("the disk is full")
        return jobs

    shared = Shared(broken)
    with pytest.raises(InputError, match="full"):
        shared(1).result(10)
    assert shared(2).result(10) == 2
    shared.close()


def test_golden_a_job_that_was_called_off_is_not_done():
    done, go = [], threading.Event()

    def work(jobs: list[int]) -> list[int]:
        go.wait(10)
        done.extend(jobs)
        return jobs

    shared: Shared[int, int] = Shared(work)
    first, second = shared(1), shared(2)
    while first.running() is False:
        pass
    called_off, third = second.cancel(), shared(3)
    go.set()
    shared.close()
    assert first.result() == 1 and third.result() == 3 and done == ([1, 3] if called_off else [1, 2, 3])


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """A store with questions about two replies, and its desk."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    desk = Desk(store, 60.0)

    def ask(count: int, overlap: int, people: list[str]) -> tuple[Store, Desk]:
        ids = store.add([Collected(Reply("Why?", f"r{i}"), Provenance("t", 0, 0, 0, i, 0)) for i in range(2)])
        store.ask([Query(f"q{i}", "compare", (ids[0], ids[1]), 3, overlap=overlap) for i in range(count)])
        for person in people:
            store.register(person, "person")
        return store, desk

    yield ask
    desk.call.close()
    store.close()


def draft(person: str, lease: Lease, level: int = 1) -> Draft:
    def answer(query: Query) -> Answer:
        if level > 2:
            raise InputError(f"level {level} is too high; give at most 2.")
        return Answer(f"{person}-{query.id}", query.id, person, Side(level, 3), (0, 1))

    return Draft(lease.query.id, lease.token, answer)


def called(desk: Desk, person: str, drafts: Sequence[Draft] = (), limit: int = 0) -> Told:
    found = desk.call(Call(person, drafts, limit)).result(30)
    assert isinstance(found, Told)
    return found


def test_contract_a_refused_answer_keeps_neither_the_others_nor_the_lease_out(asked: Asked):
    store, desk = asked(4, 1, ["ann"])
    one, two = called(desk, "ann", limit=2).leases
    nowhere = Draft("nowhere", "t", lambda query: pytest.fail("there is no such query"))
    told = called(desk, "ann", [draft("ann", one, 9), nowhere, draft("ann", two)], 1)
    assert [isinstance(fate, InputError) for fate in told.fates] == [True, True, False]
    assert "too high" in str(told.fates[0]) and "'nowhere'" in str(told.fates[1])
    assert [answer.query for answer in store.answers()] == ["q1"] and [it.query.id for it in told.leases] == ["q2"]


def test_contract_an_answer_and_the_next_lease_are_one_commit(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    """Where the lease fails the answer is not stored either, and whoever sent it hears that it was not."""
    store, desk = asked(4, 1, ["ann"])
    (one,) = called(desk, "ann", limit=1).leases

    def broken(*given: object) -> None:
        raise InputError("the disk is full")

    monkeypatch.setattr(visits, "lease_each", broken)
    with pytest.raises(InputError, match="full"):
        called(desk, "ann", [draft("ann", one)], 1)
    assert store.answers() == []
    monkeypatch.undo()
    assert called(desk, "ann", [draft("ann", one)], 1).fates == [1]


def test_golden_the_number_that_wait_is_counted_once_a_second(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    store, desk = asked(3, 1, ["ann"])
    now = [100.0]
    monkeypatch.setattr(desk_module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: None))
    (one,) = called(desk, "ann", limit=1).leases
    assert called(desk, "ann", [draft("ann", one)]).waiting == 3
    now[0] += desk_module.COUNT_SECONDS
    assert called(desk, "ann").waiting == store.waiting() == 2


@pytest.mark.slow
def test_contract_of_many_at_once_every_vote_is_stored_once_and_no_query_too_often(asked: Asked):
    people = [f"p{i}" for i in range(12)]
    store, desk = asked(120, 2, people)

    def work(person: str) -> list[int]:
        told, seqs = called(desk, person, limit=2), []
        while told.leases:
            told = called(desk, person, [draft(person, lease) for lease in told.leases], 2)
            seqs += told.fates
        return seqs

    with ThreadPoolExecutor(len(people)) as pool:
        seqs = [seq for found in pool.map(work, people) for seq in found]
    answers = store.answers()
    assert sorted(seqs) == [answer.seq for answer in answers] and len(set(seqs)) == len(answers)
    assert Counter(answer.query for answer in answers) == Counter({f"q{i}": 2 for i in range(120)})
    assert store.waiting() == 0 and MOST >= len(people)
