"""What people give: texts that they write and segments that they drive, as segments of the store.

A driven segment is stored when it is handed in, and what the page then sends as its answer is the segment's id with a
proof that this annotator gave it for this query: so the answer may wait in a browser's outbox while the server is
killed and started again.
"""

from __future__ import annotations

from accord.feedback.store import Store
from accord.tasks.drive import BY_HAND
from accord.types import Collected, Given, InputError, Provenance, Query, Reply, SegmentId
from accord.web.access import Keys, Session
from accord.web.shown import Handed, Written


def given(store: Store, keys: Keys, session: Session, query: Query, said: Written | Handed) -> Given:
    """The value of a text or of a handed-in segment. InputError where it answers no such query."""
    if query.kind not in ("demonstrate", "correct"):
        raise InputError(f"a segment answers no query to {query.kind}: send what the query asks for.")
    if isinstance(said, Written):
        return Given(_written(store, query, said.text))
    if not keys.signed(signature(session, query.id, said.segment), said.proof):
        raise InputError(f"segment {said.segment[:12]!r} was not handed in for this question: drive it and hand it in.")
    return Given(said.segment)


def signature(session: Session, query: str, segment: SegmentId) -> str:
    """What the proof of a handed-in segment speaks of."""
    return f"given\0{session.annotator}\0{query}\0{segment}"


def _written(store: Store, query: Query, text: str) -> SegmentId:
    """Stores the reply that a person wrote to the query's prompt."""
    if not query.segments:
        raise InputError("this question shows no prompt to write to: answer that it can't be told.")
    (asked,), (origin,) = store.segments(query.segments[:1]), store.provenance(query.segments[:1])
    if not isinstance(asked, Reply):
        raise InputError("this question is about no text: drive its environment instead.")
    if not text.strip() or (query.kind == "correct" and text == asked.response):
        raise InputError("the text is empty or was not changed: write one, or answer that it can't be told.")
    made = Provenance(origin.task, query.round, BY_HAND, origin.seed, origin.episode, origin.start)
    return store.add([Collected(Reply(asked.prompt, text), made)])[0]
