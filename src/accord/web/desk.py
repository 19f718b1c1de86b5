"""Many pages at one store in few transactions: who comes while one is under way shares the next.

A commit waits for the disk, and what a transaction does around the answers is most of its work: one of forty answers
takes little longer than one of a single one. One thread does them all, so that requests cost no thread of their own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from accord.feedback.store import Lease, Served, Store, Visit
from accord.types import Answer, InputError, Query

MOST = 64  # in one transaction: whoever is in it waits for all of it
GATHER_SECONDS = 0.004  # how long the first of a batch waits for others
COUNT_SECONDS, COUNT_SHARE = 1.0, 0.01  # how old the number of waiting questions may be; what counting may take

Job = TypeVar("Job")
Done = TypeVar("Done")


class Shared(Generic[Job, Done]):
    """Jobs of many callers, done together on one thread: those that come meanwhile are the next batch."""

    def __init__(self, work: Callable[[list[Job]], Sequence[Done]], gather: float = 0.0) -> None:
        self._work, self._gather = work, gather
        self._waiting: deque[tuple[Job, Future[Done]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="accord-desk")

    def __call__(self, job: Job) -> Future[Done]:
        """The outcome of one job, or what the batch that it was part of raised."""
        mine: Future[Done] = Future()
        self._waiting.append((job, mine))
        self._thread.submit(self._do)  # once for each job: those whose job is done already find none
        return mine

    def close(self) -> None:
        """Does what has come, and takes no more."""
        self._thread.shutdown()

    def _do(self) -> None:
        if not self._waiting:
            return
        if self._gather:
            time.sleep(self._gather)
        taken = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        batch = [(job, mine) for job, mine in taken if mine.set_running_or_notify_cancel()]
        try:
            outcomes = self._work([job for job, _ in batch])
        except Exception as error:
            for _, mine in batch:
                mine.set_exception(error)
        else:
            for (_, mine), done in zip(batch, outcomes, strict=True):
                mine.set_result(done)


@dataclass(frozen=True)
class Draft:
    """An answer whose meaning shows once its query is known. `of` raises InputError where it has none."""

    query: str
    token: str
    of: Callable[[Query], Answer]


@dataclass(frozen=True)
class Call:
    """What one page brings and wants."""

    annotator: str
    drafts: Sequence[Draft] = ()
    limit: int = 0
    afresh: bool = False
    reviews: bool = False


@dataclass(frozen=True)
class Told:
    """The fate of each draft, the new leases, and how many questions wait, as of a second ago or so."""

    fates: list[int | InputError]
    leases: list[Lease]
    waiting: int


class Desk:
    """The store as many pages see it."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store, self._seconds = store, seconds
        self._waiting, self._count_at = 0, 0.0
        self.call: Shared[Call, Told | InputError] = Shared(self._serve, GATHER_SECONDS)

    def _serve(self, calls: list[Call]) -> list[Told | InputError]:
        queries = self._store.asked([draft.query for call in calls for draft in call.drafts])
        read = [[_read(draft, queries) for draft in call.drafts] for call in calls]
        visits = [_visit(call, answers) for call, answers in zip(calls, read, strict=True)]
        served = self._store.serve(visits, self._seconds)
        waiting = self._count()
        return [
            _told(answers, found, waiting) if isinstance(found, Served) else found
            for answers, found in zip(read, served, strict=True)
        ]

    def _count(self) -> int:
        """Not each time: of 100,000 it takes PostgreSQL 40 ms."""
        begun = time.monotonic()
        if begun >= self._count_at:
            self._waiting = self._store.waiting()
            took = time.monotonic() - begun
            self._count_at = begun + max(COUNT_SECONDS, took / COUNT_SHARE)
        return self._waiting


def _read(draft: Draft, queries: Mapping[str, Query]) -> Answer | InputError:
    if draft.query not in queries:
        return InputError(f"query {draft.query!r} is not in the store; answer one that was asked.")
    try:
        return draft.of(queries[draft.query])
    except InputError as wrong:
        return wrong


def _visit(call: Call, read: Sequence[Answer | InputError]) -> Visit:
    kept = [(it, draft.token) for it, draft in zip(read, call.drafts, strict=True) if isinstance(it, Answer)]
    return Visit(
        call.annotator, [it for it, _ in kept], [token for _, token in kept], call.limit, call.afresh, call.reviews
    )


def _told(read: Sequence[Answer | InputError], served: Served, waiting: int) -> Told:
    fates = iter(served.fates)
    return Told([next(fates) if isinstance(it, Answer) else it for it in read], served.leases, waiting)
