"""Questions that come before the others, and not to everybody: disputed ones, known ones, repeats.

They are told by a priority below 0, so that where there are none nothing is looked for. Disputed questions go to who
reviews, at once. A known question goes to each annotator once: the first when they begin, others now and then. A repeat
goes to those alone who answered what it repeats, now and then, with another segment on the left than they saw there.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, Double, and_, bindparam, case, exists, func, or_, select, update

from accord.feedback.tables import answers, leases, queries
from accord.types import InputError

DISPUTED, KNOWN, REPEAT, USUAL = -3, -2, -1, 0  # priorities
SPACING = 10  # one question in so many is a known one or a repeat, while there are others

_NOW, _ME = bindparam("now", type_=Double), bindparam("me")
_LIVE = select(func.count()).where(leases.c.query == queries.c.id, leases.c.until > _NOW).scalar_subquery()
_OPEN = and_(queries.c.priority < USUAL, queries.c.status.in_(("open", "disputed")))
_ANY = select(queries.c.id).where(_OPEN).limit(1)
_BEGINS = select(~exists().where(leases.c.annotator == _ME, leases.c.until > _NOW))
_BEFORE = answers.alias("before")
_MINE = (
    select(queries.c.id, queries.c.priority, _BEFORE.c.shown)
    .outerjoin(_BEFORE, and_(_BEFORE.c.query == queries.c.repeats, _BEFORE.c.annotator == _ME, _BEFORE.c.revision == 0))
    .where(
        _OPEN,
        or_(queries.c.status == "open", bindparam("reviews")),
        or_(queries.c.repeats.is_(None), _BEFORE.c.shown.is_not(None)),
        queries.c.answered + _LIVE < queries.c.overlap,
        ~exists().where(answers.c.query == queries.c.id, answers.c.annotator == _ME),
        ~exists().where(leases.c.query == queries.c.id, leases.c.annotator == _ME, leases.c.until > _NOW),
    )
    .order_by(queries.c.priority, queries.c.number)
    .limit(bindparam("most"))
)


@dataclass(frozen=True)
class Pressing:
    """One such question. `avoid`: the segment that is not to stand on the left, where somebody has seen it there."""

    query: str
    disputed: bool
    avoid: int | None


def any_pressing(connection: Connection) -> bool:
    """Whether there is one for somebody."""
    return connection.execute(_ANY).first() is not None


def pressing(connection: Connection, me: int, reviews: bool, most: int, now: float) -> list[Pressing]:
    """Those for this annotator, the most pressing first; of known ones and repeats one at a time."""
    rows = connection.execute(_MINE, {"me": me, "reviews": reviews, "most": most, "now": now}).all()
    found = [Pressing(row.id, row.priority == DISPUTED, _left(row.shown)) for row in rows]
    disputed = [each for each in found if each.disputed]
    others = [each for each in found if not each.disputed][:1]
    begins = bool(connection.execute(_BEGINS, {"me": me, "now": now}).scalar_one())
    return [*disputed, *others] if begins or secrets.randbelow(SPACING) == 0 else disputed


def rest(connection: Connection, me: int, most: int, now: float) -> list[Pressing]:
    """All that there are, for somebody for whom there is nothing else."""
    rows = connection.execute(_MINE, {"me": me, "reviews": False, "most": most, "now": now}).all()
    return [Pressing(row.id, False, _left(row.shown)) for row in rows]


def dispute(connection: Connection, me: int, id: str) -> None:
    """Opens one more place of a question, for who reviews. InputError: there is none, or they have answered it."""
    if connection.execute(select(queries.c.id).where(queries.c.id == id, queries.c.gold.is_(None))).first() is None:
        raise InputError(f"query {id!r} is not in the store, or its answer is known; take one that was asked.")
    if connection.execute(select(answers.c.seq).where(answers.c.query == id, answers.c.annotator == me)).first():
        raise InputError("you have answered this question already: undo that answer, or let another decide.")
    full = queries.c.answered >= queries.c.overlap
    again = update(queries).where(queries.c.id == id, queries.c.status != "disputed")
    more = case((full, queries.c.answered + 1), else_=queries.c.overlap + 1)
    connection.execute(again.values(status="disputed", priority=DISPUTED, overlap=more))


def _left(shown: str | None) -> int | None:
    """Which segment stood on the left; None where that is not known."""
    places = json.loads(shown) if shown else []
    return places[0] if len(places) > 1 else None
