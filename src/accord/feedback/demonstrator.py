"""An annotator that only shows: it answers every `demonstrate` query with one of the demonstrations it was given.

Which one depends on the seed and the query alone, not on when or in which batch it was asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from accord.feedback.store import Store
from accord.feedback.teachers import BATCH, answer_id
from accord.types import Answer, Collected, Given, InputError, Query


class Demonstrator:
    """The `Annotator` protocol for recorded demonstrations, which it puts into the store."""

    name = "demonstrator"

    def __init__(self, store: Store, demonstrations: Sequence[Collected], seed: int) -> None:
        if not demonstrations:
            raise InputError("there are no demonstrations to answer with: give a file that holds some.")
        self._store, self._seed = store, seed
        self._library = tuple(store.add(demonstrations))
        store.register(self.name, "teacher")
        store.release(self.name)  # what a killed run still holds

    def work(self) -> int:
        """Answers all queries open to it now, in batches; returns how many answers were stored."""
        stored = 0
        while leases := self._store.lease(self.name, limit=BATCH):
            answers = [self._answer(lease.query) for lease in leases]
            self._store.answer(answers, tokens=[lease.token for lease in leases])
            stored += len(answers)
        return stored

    def _answer(self, query: Query) -> Answer:
        if query.kind != "demonstrate":
            raise InputError(
                f'feedback.queries.kind is "{query.kind}"; demonstrations answer only "demonstrate": choose it.'
            )
        digest = hashlib.sha256(f"{self._seed}\0{query.id}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") % len(self._library)
        return Answer(answer_id(self.name, query.id), query.id, self.name, Given(self._library[place]))
