"""The audit log: who did what to the store, as a chain of hashes that nobody can change in the middle unseen.

It names people by their pseudonyms alone, so that it can stay as it is when somebody is forgotten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, insert, select

from accord.feedback.rows import take_numbers
from accord.feedback.tables import annotators, events

What = Literal["join", "invite", "review", "gold", "forget", "import", "export"]


@dataclass(frozen=True)
class Event:
    """`at` is in seconds since the epoch. `actor` is a pseudonym, "" whoever has the machine."""

    seq: int
    at: float
    actor: str
    what: str
    about: str
    hash: str


def log(connection: Connection, what: What, actor: str, about: str, now: float) -> None:
    """Appends one event. `actor` is an annotator's name, or "" for whoever has the machine."""
    seq = take_numbers(connection, "events", 1) + 1
    before = connection.execute(select(events.c.hash).where(events.c.seq == seq - 1)).scalar() or ""
    called = connection.execute(select(annotators.c.pseudonym).where(annotators.c.name == actor)).scalar() or ""
    digest = chained(before, now, called, what, about)
    row = {"seq": seq, "at": now, "actor": called, "what": what, "about": about, "hash": digest}
    connection.execute(insert(events), row)


def read(connection: Connection) -> list[Event]:
    """All events in their order."""
    return [Event(*row) for row in connection.execute(select(events).order_by(events.c.seq))]


def chained(before: str, at: float, actor: str, what: str, about: str) -> str:
    """The hash of an event that follows the one whose hash is `before`."""
    return hashlib.sha256(json.dumps([before, at, actor, what, about]).encode()).hexdigest()


def broken(found: Sequence[Event]) -> int | None:
    """The seq of the first event that does not follow from what lies before it; None where all do."""
    before = ""
    for place, event in enumerate(found):
        if event.seq != place + 1 or event.hash != chained(before, event.at, event.actor, event.what, event.about):
            return event.seq
        before = event.hash
    return None
