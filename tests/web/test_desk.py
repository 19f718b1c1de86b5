"""Transactions that are shared. Contract: whoever comes at once, none is lost, twice or too many."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from accord.feedback.store import Store
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side
from accord.web.desk import MOST, Desk, Shared


def test_golden_jobs_gather_while_one_is_done():
    """The first works alone; the nine that come meanwhile are the second batch."""
    sizes, begun, go = [], threading.Event(), threading.Event()

    def work(jobs: list[int]) -> list[int]:
        sizes.append(len(jobs))
        begun.set()
        go.wait(10)
        return [job * job for job in jobs]

    shared: Shared[int, int] = Shared(work)
    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(shared, 0)
        begun.wait(10)
        others = [pool.submit(shared, job) for job in range(1, 10)]
        while len(shared._waiting) < 9:
            pass
        go.set()
        assert [each.result(10) for each in (first, *others)] == [job * job for job in range(10)]
    assert sizes == [1, 9]


def test_golden_what_a_batch_raises_all_of_it_hear():
    def broken(jobs: list[int]) -> list[int]:
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="full"):
        Shared(broken)(1)


@pytest.mark.slow
def test_contract_of_many_at_once_every_vote_is_stored_once_and_no_query_too_often(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    ids = store.add([Collected(Reply("Why?", f"r{i}"), Provenance("t", 0, 0, 0, i, 0)) for i in range(2)])
    store.ask([Query(f"q{i}", "compare", (ids[0], ids[1]), 3, overlap=2) for i in range(120)])
    desk, people = Desk(store, 60.0), [f"p{i}" for i in range(12)]
    for person in people:
        store.register(person, "person")

    def work(person: str) -> list[int]:
        seqs = []
        while leases := desk.lease((person, 2)):
            for lease in leases:
                answer = Answer(f"{person}-{lease.query.id}", lease.query.id, person, Side(1, 3), (0, 1))
                seq = desk.answer((answer, lease.token))
                assert isinstance(seq, int)
                seqs.append(seq)
        return seqs

    with ThreadPoolExecutor(len(people)) as pool:
        seqs = [seq for found in pool.map(work, people) for seq in found]
    answers = store.answers()
    assert sorted(seqs) == [answer.seq for answer in answers] and len(set(seqs)) == len(answers)
    assert Counter(answer.query for answer in answers) == Counter({f"q{i}": 2 for i in range(120)})
    assert store.waiting() == 0 and MOST >= len(people)
    store.close()
