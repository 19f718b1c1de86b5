"""Forgets an annotator: the name and all that they said, or the name alone.

An answer becomes a skip without content, under a pseudonym that begins with FORGOTTEN, so that seqs, cursors and the
chain of superseded answers stay as they are. What is left says that somebody answered, not who, what or when. Runs in
its caller's transaction.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, text, update

from accord.feedback.codec import read_value, write_value
from accord.feedback.rows import lock_slots, rows_of
from accord.feedback.tables import (
    annotators,
    answers,
    leases,
    media,
    provenance,
    queries,
    query_segments,
    segments,
    truth,
)
from accord.types import Given, InputError, Skip

FORGOTTEN = "forgotten-"  # how the pseudonym of a forgotten annotator begins


def forget(connection: Connection, annotator: str, keep_answers: bool, reopen: bool) -> int:
    """Forgets whoever has this name or pseudonym; returns how many answers they gave.

    `keep_answers`: what they said stays, without their free text. `reopen`: their questions are asked again.
    """
    if connection.dialect.name == "sqlite":  # else the file keeps what a row held before
        connection.execute(text("PRAGMA secure_delete=ON"))
    lock_slots(connection)
    me, kind = _find(connection, annotator)
    theirs = select(answers).where(answers.c.annotator == me).order_by(answers.c.seq)
    given = connection.execute(theirs).mappings().all()
    connection.execute(delete(leases).where(leases.c.annotator == me))
    anonymous = {"name": None, "pseudonym": f"{FORGOTTEN}{secrets.token_hex(6)}", "created": 0.0}
    connection.execute(update(annotators).where(annotators.c.id == me).values(anonymous))
    _empty(connection, given, keep_answers, reopen)
    if not keep_answers and kind == "person":  # a teacher gives what the task has made
        values = [read_value(it["value"]) for it in given]
        _drop_segments(connection, [value.segment for value in values if isinstance(value, Given)])
    if reopen:
        _reopen(connection, {it["query"] for it in given if it["revision"] == 0})
    return len(given)


def _find(connection: Connection, annotator: str) -> tuple[int, str]:
    """The number and the kind of whoever has this name, or else this pseudonym."""
    called = or_(annotators.c.name == annotator, annotators.c.pseudonym == annotator)
    people = connection.execute(select(annotators).where(called)).all()
    if not people:
        raise InputError(f"annotator {annotator!r} is not in the store; give a name or a pseudonym that is.")
    found = next((row for row in people if row.name == annotator), people[0])
    return found.id, found.kind


def _empty(connection: Connection, given: Sequence[Any], keep_answers: bool, reopen: bool) -> None:
    """Takes out of the answers what is theirs; their ids too, which may be made of a name."""
    fresh = {it["id"]: secrets.token_hex(16) for it in given}
    rows = [
        {
            "of": it["seq"],
            "new_id": fresh[it["id"]],
            "new_value": _kept(it["value"]) if keep_answers else write_value(Skip()),
            "new_shown": it["shown"] if keep_answers else json.dumps([]),
            "new_revision": -1 - it["revision"] if reopen and it["revision"] >= 0 else it["revision"],
            "new_supersedes": fresh.get(it["supersedes"]),
        }
        for it in given
    ]
    if not rows:
        return
    mine = update(answers).where(answers.c.seq == bindparam("of"))
    connection.execute(mine.values(supersedes=None), [{"of": row["of"]} for row in rows])  # ids change below
    changed = mine.values(
        id=bindparam("new_id"),
        value=bindparam("new_value"),
        shown=bindparam("new_shown"),
        revision=bindparam("new_revision"),
        seconds=0.0,
        text="",
        received=0.0,
    )
    names = ("of", "new_id", "new_value", "new_shown", "new_revision")
    connection.execute(changed, [{name: row[name] for name in names} for row in rows])
    chained = [{name: row[name] for name in ("of", "new_supersedes")} for row in rows if row["new_supersedes"]]
    if chained:
        connection.execute(mine.values(supersedes=bindparam("new_supersedes")), chained)


def _kept(value: str) -> str:
    """A value without free text."""
    return write_value(Skip()) if isinstance(read_value(value), Skip) else value


def _drop_segments(connection: Connection, ids: Collection[str]) -> None:
    """Removes what they wrote or played themselves, where nobody was asked about it and nobody else gave it."""
    asked = {
        row.segment for row in rows_of(connection, select(query_segments.c.segment), query_segments.c.segment, ids)
    }
    others = connection.execute(select(answers.c.value).where(answers.c.value.like('{"is": "given"%'))).scalars()
    given = {value.segment for each in others if isinstance(value := read_value(each), Given)}
    for id in set(ids) - asked - given:
        for table in (provenance, truth, media):
            connection.execute(delete(table).where(table.c.segment == id))
        connection.execute(delete(segments).where(segments.c.id == id))


def _reopen(connection: Connection, ids: Collection[str]) -> None:
    """Their slots are free again: an answer of negative revision holds none."""
    fewer = update(queries).where(queries.c.id == bindparam("of"))
    again = fewer.values(answered=queries.c.answered - 1, status="open")
    if ids:
        connection.execute(again, [{"of": id} for id in ids])
