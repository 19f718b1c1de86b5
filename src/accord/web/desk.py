"""Leases and answers of many annotators in few transactions: who comes while one is under way shares the next.

A commit waits for the disk, 5 ms here; a transaction of forty answers takes little longer than one of a single one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from accord.feedback.store import Lease, Store
from accord.types import Answer, InputError

MOST = 64  # in one transaction: whoever is in it waits for all of it

Job = TypeVar("Job")
Done = TypeVar("Done")


class Shared(Generic[Job, Done]):
    """Calls from many threads, done together: one of them works while the others' jobs gather for its next turn."""

    def __init__(self, work: Callable[[list[Job]], Sequence[Done]]) -> None:
        self._work = work
        self._waiting: list[_Turn[Job, Done]] = []
        self._gate, self._working = threading.Lock(), threading.Lock()

    def __call__(self, job: Job) -> Done:
        """The outcome of one job. Raises what the work that it was part of raised."""
        mine = _Turn[Job, Done](job)
        with self._gate:
            self._waiting.append(mine)
        while not mine.over.is_set():
            with self._working:  # whoever gets in next does all that has gathered
                if not mine.over.is_set():
                    self._do()
        if mine.error is not None:
            raise mine.error
        return mine.done[0]

    def _do(self) -> None:
        with self._gate:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            for turn, done in zip(batch, self._work([turn.job for turn in batch]), strict=True):
                turn.done.append(done)
        except Exception as error:
            for turn in batch:
                turn.error = error
        for turn in batch:
            turn.over.set()


class _Turn(Generic[Job, Done]):
    def __init__(self, job: Job) -> None:
        self.job, self.done = job, list[Done]()
        self.over = threading.Event()
        self.error: Exception | None = None


class Desk:
    """The store as many pages see it."""

    def __init__(self, store: Store, seconds: float) -> None:
        self.lease: Shared[tuple[str, int], list[Lease]] = Shared(lambda wants: store.lease_each(wants, seconds))
        self.answer: Shared[tuple[Answer, str], int | InputError] = Shared(
            lambda given: store.answer_each([answer for answer, _ in given], [token for _, token in given])
        )
