"""Who may answer what: leases and answers, so that no query gets more answers than it asked for.

A query has `overlap` slots. An annotator holds one by a lease until it runs out, and for good by an answer; "can't
tell" is an answer too. Every function here runs under `lock_slots`, where one transaction works at a time: what it
counts cannot change before it writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import (
    Connection,
    Double,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    null,
    select,
    union_all,
    update,
)

from accord.feedback.checks import check_answer
from accord.feedback.codec import answer_row
from accord.feedback.pressing import USUAL, any_pressing, pressing, rest
from accord.feedback.rows import (
    IDS,
    Asked,
    load_answers_by_id,
    missing,
    rows_among,
    stranger,
    take_numbers,
    upsert,
)
from accord.feedback.sides import order
from accord.feedback.tables import answers, leases, queries, segments
from accord.types import Answer, Given, InputError, Query


class TooLate(InputError):
    """The query has all the answers that it asked for, or others hold its last slots."""


@dataclass(frozen=True)
class Lease:
    """One annotator's right to answer one query until a time (seconds since the epoch)."""

    query: Query
    token: str
    until: float


_NOW = bindparam("now", type_=Double)
_LIVE = select(func.count()).where(leases.c.query == queries.c.id, leases.c.until > _NOW).scalar_subquery()
_FREE = (
    select(queries.c.id, queries.c.answered, queries.c.overlap)
    .where(queries.c.status == "open", queries.c.priority >= USUAL, queries.c.answered + _LIVE < queries.c.overlap)
    .order_by(queries.c.priority, queries.c.number)
    .limit(bindparam("most"))
)
_FREE_TO_ME = _FREE.where(
    ~exists().where(answers.c.query == queries.c.id, answers.c.annotator == bindparam("me")),
    ~exists().where(leases.c.query == queries.c.id, leases.c.annotator == bindparam("me"), leases.c.until > _NOW),
)
# Who has a slot of which query: by an answer, or by a lease, which has a token.
_TAKEN = union_all(
    select(answers.c.query, answers.c.annotator, null().label("token")).where(
        answers.c.revision == 0, answers.c.query.in_(IDS)
    ),
    select(leases.c.query, leases.c.annotator, leases.c.token).where(leases.c.until > _NOW, leases.c.query.in_(IDS)),
)
_OVERLAP = select(queries.c.id, queries.c.overlap).where(queries.c.id.in_(IDS))  # of all a query says, this may grow
_CHAINED = select(answers.c.id, answers.c.query, answers.c.annotator, answers.c.revision).where(answers.c.id.in_(IDS))
_ENDED = select(answers.c.supersedes).where(answers.c.supersedes.in_(IDS))
_STORE = insert(answers)
_COUNT = (
    update(queries)
    .where(queries.c.id == bindparam("of"))
    .values(answered=bindparam("count"), status=case((bindparam("full"), "done"), else_=queries.c.status))
)
_GIVE_BACK = delete(leases).where(leases.c.query == bindparam("of"), leases.c.annotator == bindparam("by"))


@dataclass(frozen=True)
class Want:
    """How many queries an annotator wants. `reviews`: disputed ones too."""

    me: int
    limit: int
    reviews: bool = False


def lease(connection: Connection, asked: Asked, want: Want, seconds: float, now: float) -> list[Lease]:
    """Leases open queries to one annotator."""
    return lease_each(connection, asked, [want], seconds, now)[0]


def lease_each(
    connection: Connection, asked: Asked, wants: Sequence[Want], seconds: float, now: float
) -> list[list[Lease]]:
    """Leases open queries for each annotator: pressing ones first, then in the order of asking."""
    if not any(want.limit for want in wants):
        return [[] for _ in wants]
    if not any_pressing(connection):
        return _usual(connection, asked, wants, seconds, now)
    made = [[*_pressed(connection, asked, want, seconds, now)] for want in wants]
    left = [replace(want, limit=want.limit - len(first)) for want, first in zip(wants, made, strict=True)]
    for first, more in zip(made, _usual(connection, asked, left, seconds, now), strict=True):
        first += more
    for want, found in zip(wants, made, strict=True):
        lacking = replace(want, limit=want.limit - len(found))
        found += _pressed(connection, asked, lacking, seconds, now, last=True)
    return made


def _pressed(
    connection: Connection, asked: Asked, want: Want, seconds: float, now: float, last: bool = False
) -> Iterator[Lease]:
    """Pressing questions for one annotator; `last`: all of them, since there is nothing else."""
    if want.limit <= 0:
        return
    found = (
        rest(connection, want.me, want.limit, now)
        if last
        else pressing(connection, want.me, want.reviews, want.limit, now)
    )
    for each in found[: want.limit]:
        yield from _leased(connection, asked, [(want.me, [each.query])], now + seconds, each.avoid)[0]


def _usual(
    connection: Connection, asked: Asked, wants: Sequence[Want], seconds: float, now: float
) -> list[list[Lease]]:
    """Each as one after another would be served: a few statements for all.

    One whom the first queries with a free slot do not serve (they hold or have answered them) is looked after alone.
    """
    first = sum(want.limit for want in wants) + len(wants)
    rows = connection.execute(_FREE, {"most": first, "now": now}).all() if first > len(wants) else []
    room = {row.id: row.overlap - row.answered for row in rows}
    known: dict[str, set[int]] = {id: set() for id in room}
    for row in rows_among(connection, _TAKEN, room, now=now):
        room[row.query] -= row.token is not None
        known[row.query].add(row.annotator)
    taken: list[tuple[int, list[str]]] = []
    for want in wants:
        me, mine = want.me, [id for id in room if room[id] > 0 and want.me not in known[id]][: want.limit]
        for id in mine:
            room[id] -= 1
            known[id].add(me)
        taken.append((me, mine))
    made = _leased(connection, asked, taken, now + seconds)
    for place, want in enumerate(wants):
        lacking = want.limit - len(made[place])
        if lacking and len(room) == first:  # there may be more behind the first ones
            alone = {"me": want.me, "most": lacking, "now": now}
            ids = connection.execute(_FREE_TO_ME, alone).scalars().all()
            made[place] += _leased(connection, asked, [(want.me, ids)], now + seconds)[0]
    return made


def _leased(
    connection: Connection,
    asked: Asked,
    taken: Sequence[tuple[int, Sequence[str]]],
    until: float,
    avoid: int | None = None,
) -> list[list[Lease]]:
    """`avoid`: the segment that is not to stand on the left."""
    found = asked.of(connection, [id for _, ids in taken for id in ids])
    made = [[Lease(found[id], _token(len(found[id].segments), avoid), until) for id in ids] for _, ids in taken]
    rows = [
        {"query": it.query.id, "annotator": me, "token": it.token, "until": until}
        for (me, _), its in zip(taken, made, strict=True)
        for it in its
    ]
    upsert(connection, leases, rows)  # in the place of one that ran out
    return made


def _token(places: int, avoid: int | None) -> str:
    """Random, but for what it would show on the left."""
    while order(token := secrets.token_urlsafe(16), places)[:1] == (avoid,):
        pass
    return token


def answer_each(
    connection: Connection,
    asked: Asked,
    numbers: Mapping[str, int],
    given: Sequence[Answer],
    tokens: Sequence[str],
    now: float,
) -> list[int | InputError]:
    """As `answer`, but each answer has a fate of its own: those that can be are stored, in halves of what cannot."""
    try:
        return [*answer(connection, asked, numbers, given, tokens, now)]
    except InputError as error:  # before anything was written
        if len(given) == 1:
            return [error]
    half = len(given) // 2
    return [
        *answer_each(connection, asked, numbers, given[:half], tokens[:half], now),
        *answer_each(connection, asked, numbers, given[half:], tokens[half:], now),
    ]


def answer(
    connection: Connection,
    asked: Asked,
    numbers: Mapping[str, int],
    given: Sequence[Answer],
    tokens: Sequence[str],
    now: float,
) -> list[int]:
    """Stores what is new and returns every answer's seq. One refused answer refuses all, before any is written.

    `numbers`: of those annotators who are registered.
    """
    stored = load_answers_by_id(connection, [it.id for it in given])
    seqs = {it.id: it.seq for it in stored.values()}
    fresh = _fresh(given, stored)
    for it in fresh:
        if it.annotator not in numbers:
            raise stranger(it.annotator)
    slots = _slots(connection, _checked(connection, asked, fresh), now)
    chains = _chains(connection, fresh)
    held = dict(zip((it.id for it in given), tokens, strict=True)) if tokens else {}
    rows = []
    for it in fresh:
        me = numbers[it.annotator]
        if it.supersedes is None:
            slots[it.query].take(it, me, held.get(it.id))
        rows.append({**answer_row(it), "annotator": me, "revision": chains.add(it, me), "received": now})
    if rows:
        first = take_numbers(connection, "answers", len(rows)) + 1
        connection.execute(_STORE, [{**row, "seq": first + index} for index, row in enumerate(rows)])
        _settle(connection, slots)
        seqs |= {it.id: first + index for index, it in enumerate(fresh)}
    return [seqs[it.id] for it in given]


def _fresh(given: Sequence[Answer], stored: Mapping[str, Answer]) -> list[Answer]:
    """Answers not stored yet. A repeated id must repeat its answer, or a delivery would be acknowledged and lost."""
    seen, fresh = dict(stored), []
    for it in given:
        if it.id not in seen:
            seen[it.id] = it
            fresh.append(it)
        elif _content(seen[it.id]) != _content(it):
            raise InputError(f"answer {it.id!r} is stored with another content; give the new one an id of its own.")
    return fresh


def _content(it: Answer) -> tuple:
    return it.query, it.annotator, it.value, it.supersedes


def _checked(connection: Connection, asked: Asked, fresh: Sequence[Answer]) -> dict[str, Query]:
    """The queries of these answers, after a look at whether each answer fits."""
    found = asked.of(connection, [it.query for it in fresh])
    for it in fresh:
        if it.query not in found:
            raise InputError(f"answer {it.id!r}: query {it.query!r} is not in the store; ask it first.")
        check_answer(found[it.query], it)
    shown = [it.value.segment for it in fresh if isinstance(it.value, Given)]
    missing(connection, segments.c.id, shown, "segment")
    return found


@dataclass
class _Slots:
    """The slots of one query: annotators who have answered, and the tokens of those who hold a lease."""

    overlap: int
    answered: set[int] = field(default_factory=set)
    held: dict[int, str] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)

    def take(self, it: Answer, annotator: int, token: str | None) -> None:
        if annotator in self.answered:
            raise InputError(f"{it.annotator!r} has answered query {it.query!r} already; supersede that answer.")
        others = {other: held for other, held in self.held.items() if other != annotator}
        if token is not None and token in others.values():
            raise InputError(f"answer {it.id!r}: its token leases query {it.query!r} to another; lease it first.")
        if len(self.answered) + len(others) >= self.overlap:
            raise TooLate(
                f"answer {it.id!r}: the {self.overlap} slots of query {it.query!r} are taken; lease another query."
            )
        self.held = others
        self.answered.add(annotator)
        self.new.add(annotator)


def _slots(connection: Connection, asked: Mapping[str, Query], now: float) -> dict[str, _Slots]:
    slots = {row.id: _Slots(row.overlap) for row in rows_among(connection, _OVERLAP, asked)}
    for row in rows_among(connection, _TAKEN, asked, now=now):
        if row.token is None:
            slots[row.query].answered.add(row.annotator)
        else:
            slots[row.query].held[row.annotator] = row.token
    return slots


@dataclass
class _Chains:
    """Of each answer that may be superseded its query, annotator and revision; and which are superseded already."""

    known: dict[str, tuple[str, int, int]]
    ended: set[str]

    def add(self, it: Answer, annotator: int) -> int:
        """The revision of a new answer: one more than what it supersedes, which must be its annotator's latest."""
        revision = 0 if it.supersedes is None else self._end(it, annotator, it.supersedes) + 1
        self.known[it.id] = it.query, annotator, revision
        return revision

    def _end(self, it: Answer, annotator: int, former: str) -> int:
        query, owner, revision = self.known.get(former, ("", -1, 0))
        if (query, owner) != (it.query, annotator):
            raise InputError(
                f"answer {it.id!r} supersedes {former!r}, no answer of {it.annotator!r} to query {it.query!r}; "
                "name one's own answer."
            )
        if former in self.ended:
            raise InputError(f"answer {it.id!r}: {former!r} is superseded already; supersede the latest answer.")
        self.ended.add(former)
        return revision


def _chains(connection: Connection, fresh: Sequence[Answer]) -> _Chains:
    former = [it.supersedes for it in fresh if it.supersedes is not None]
    found = {row.id: (row.query, row.annotator, row.revision) for row in rows_among(connection, _CHAINED, former)}
    return _Chains(found, {row.supersedes for row in rows_among(connection, _ENDED, former)})


def _settle(connection: Connection, slots: Mapping[str, _Slots]) -> None:
    """Counts the new answers and gives their leases back."""
    counted = [
        {
            "of": id,
            "count": len(slot.answered),
            "full": len(slot.answered) >= slot.overlap,
        }
        for id, slot in slots.items()
        if slot.new
    ]
    given_back = [{"of": id, "by": annotator} for id, slot in slots.items() for annotator in slot.new]
    if not counted:
        return
    connection.execute(_COUNT, counted)
    connection.execute(_GIVE_BACK, given_back)


def release(connection: Connection, me: int, ids: Collection[str]) -> None:
    """Gives an annotator's leases back before they run out; all of them where no query is named."""
    mine = delete(leases).where(leases.c.annotator == me)
    connection.execute(mine.where(leases.c.query.in_(ids)) if ids else mine)
