"""Who may answer what: leases and answers, so that no query gets more answers than it asked for.

A query has `overlap` slots. An annotator holds one by a lease until it runs out, and for good by an answer; "can't
tell" is an answer too. Every function here runs under `lock_slots`, where one transaction works at a time: what it
counts cannot change before it writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, ScalarSelect, bindparam, delete, exists, func, insert, select, update

from accord.feedback.checks import check_answer
from accord.feedback.codec import answer_row
from accord.feedback.rows import (
    Asked,
    annotator_numbers,
    load_answers_by_id,
    missing,
    replace,
    rows_of,
    take_numbers,
)
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


def lease(connection: Connection, asked: Asked, annotator: str, limit: int, seconds: float, now: float) -> list[Lease]:
    """Leases open queries: the most pressing first, then in the order of asking."""
    me = annotator_numbers(connection, [annotator])[annotator]
    free = (
        select(queries.c.id)
        .where(
            queries.c.status == "open",
            queries.c.answered + _live(now) < queries.c.overlap,
            ~exists().where(answers.c.query == queries.c.id, answers.c.annotator == me),
            ~exists().where(leases.c.query == queries.c.id, leases.c.annotator == me, leases.c.until > now),
        )
        .order_by(queries.c.priority, queries.c.number)
        .limit(limit)
    )
    ids = connection.execute(free).scalars().all()
    found = asked.of(connection, ids)
    taken = [Lease(found[id], secrets.token_urlsafe(16), now + seconds) for id in ids]
    rows = [{"query": it.query.id, "annotator": me, "token": it.token, "until": it.until} for it in taken]
    replace(connection, leases, rows)  # in the place of one that ran out
    return taken


def lease_each(
    connection: Connection, asked: Asked, wants: Sequence[tuple[str, int]], seconds: float, now: float
) -> list[list[Lease]]:
    """Leases for several annotators at once, each as `lease` would one after another: a few statements for all.

    One whom the first queries with a free slot do not serve (they hold or have answered them) is looked after alone.
    """
    if not any(limit for _, limit in wants):
        return [[] for _ in wants]
    numbers = annotator_numbers(connection, {annotator for annotator, _ in wants})
    free = select(queries.c.id, queries.c.answered, queries.c.overlap).where(
        queries.c.status == "open", queries.c.answered + _live(now) < queries.c.overlap
    )
    first = sum(limit for _, limit in wants) + len(wants)
    rows = connection.execute(free.order_by(queries.c.priority, queries.c.number).limit(first)).all()
    room = {row.id: row.overlap - row.answered for row in rows}
    known: dict[str, set[int]] = {id: set() for id in room}
    live = select(leases.c.query, leases.c.annotator).where(leases.c.until > now)
    for held in rows_of(connection, live, leases.c.query, room):
        room[held.query] -= 1
        known[held.query].add(held.annotator)
    for given in rows_of(connection, select(answers.c.query, answers.c.annotator), answers.c.query, room):
        known[given.query].add(given.annotator)
    taken: list[list[str]] = []
    for annotator, limit in wants:
        mine = [id for id in room if room[id] > 0 and numbers[annotator] not in known[id]][:limit]
        for id in mine:
            room[id] -= 1
            known[id].add(numbers[annotator])
        taken.append(mine)
    found = asked.of(connection, [id for mine in taken for id in mine])
    made = [[Lease(found[id], secrets.token_urlsafe(16), now + seconds) for id in mine] for mine in taken]
    leased = [(numbers[name], it) for (name, _), mine in zip(wants, made, strict=True) for it in mine]
    replace(
        connection,
        leases,
        [{"query": it.query.id, "annotator": me, "token": it.token, "until": it.until} for me, it in leased],
    )
    for place, (annotator, limit) in enumerate(wants):
        if len(made[place]) < limit and len(room) == first:  # there may be more behind the first ones
            made[place] += lease(connection, asked, annotator, limit - len(made[place]), seconds, now)
    return made


def answer_each(
    connection: Connection, asked: Asked, given: Sequence[Answer], tokens: Sequence[str], now: float
) -> list[int | InputError]:
    """As `answer`, but each answer has a fate of its own: those that can be are stored, in halves of what cannot."""
    try:
        return [*answer(connection, asked, given, tokens, now)]
    except InputError as error:  # before anything was written
        if len(given) == 1:
            return [error]
    half = len(given) // 2
    return [
        *answer_each(connection, asked, given[:half], tokens[:half], now),
        *answer_each(connection, asked, given[half:], tokens[half:], now),
    ]


def _live(now: float) -> ScalarSelect[int]:
    held = select(func.count()).select_from(leases)
    return held.where(leases.c.query == queries.c.id, leases.c.until > now).scalar_subquery()


def answer(
    connection: Connection, asked: Asked, given: Sequence[Answer], tokens: Sequence[str], now: float
) -> list[int]:
    """Stores what is new and returns every answer's seq. One refused answer refuses all, before any is written."""
    stored = load_answers_by_id(connection, [it.id for it in given])
    seqs = {it.id: it.seq for it in stored.values()}
    fresh = _fresh(given, stored)
    numbers = annotator_numbers(connection, {it.annotator for it in fresh})
    slots = _slots(connection, _checked(connection, asked, fresh), now)
    chains = _chains(connection, fresh)
    held = dict(zip((it.id for it in given), tokens, strict=True)) if tokens else {}
    rows = []
    for it in fresh:
        annotator = numbers[it.annotator]
        if it.supersedes is None:
            slots[it.query].take(it, annotator, held.get(it.id))
        rows.append({**answer_row(it), "annotator": annotator, "revision": chains.add(it, annotator), "received": now})
    if rows:
        first = take_numbers(connection, "answers", len(rows)) + 1
        connection.execute(insert(answers), [{**row, "seq": first + index} for index, row in enumerate(rows)])
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
    slots = {id: _Slots(query.overlap) for id, query in asked.items()}
    first = select(answers.c.query, answers.c.annotator).where(answers.c.revision == 0)
    for row in rows_of(connection, first, answers.c.query, asked):
        slots[row.query].answered.add(row.annotator)
    live = select(leases).where(leases.c.until > now)
    for row in rows_of(connection, live, leases.c.query, asked):
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
    known = select(answers.c.id, answers.c.query, answers.c.annotator, answers.c.revision)
    found = {
        row.id: (row.query, row.annotator, row.revision) for row in rows_of(connection, known, answers.c.id, former)
    }
    ended = rows_of(connection, select(answers.c.supersedes), answers.c.supersedes, former)
    return _Chains(found, {row.supersedes for row in ended})


def _settle(connection: Connection, slots: Mapping[str, _Slots]) -> None:
    """Counts the new answers and gives their leases back."""
    counted = [
        {
            "of": id,
            "count": len(slot.answered),
            "becomes": "done" if len(slot.answered) >= slot.overlap else "open",
        }
        for id, slot in slots.items()
        if slot.new
    ]
    given_back = [{"of": id, "by": annotator} for id, slot in slots.items() for annotator in slot.new]
    if not counted:
        return
    raised = update(queries).where(queries.c.id == bindparam("of"))
    connection.execute(raised.values(answered=bindparam("count"), status=bindparam("becomes")), counted)
    slot = (leases.c.query == bindparam("of"), leases.c.annotator == bindparam("by"))
    connection.execute(delete(leases).where(*slot), given_back)


def release(connection: Connection, annotator: str, ids: Collection[str]) -> None:
    """Gives an annotator's leases back before they run out; all of them where no query is named."""
    me = annotator_numbers(connection, [annotator])[annotator]
    mine = delete(leases).where(leases.c.annotator == me)
    connection.execute(mine.where(leases.c.query.in_(ids)) if ids else mine)
