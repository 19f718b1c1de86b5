"""The store: segments, queries and answers in SQLite or PostgreSQL, safe for many writers and for a killed process.

What a method returned is on the disk. Every method is one transaction: all of it happened or nothing. Methods may be
called from any thread; after a fork, open a store of its own in the child.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, select

from accord.feedback import audit, forget, pressing, slots, tables
from accord.feedback.checks import check_query, check_text
from accord.feedback.codec import (
    provenance_row,
    query_row,
    read_answer,
    read_provenance,
    read_segment,
    read_truth,
    segment_row,
    truth_row,
)
from accord.feedback.connect import connect, empty_log, refusing, shown, store_file
from accord.feedback.exchange.dump import dump
from accord.feedback.exchange.intake import take
from accord.feedback.exchange.parcel import Parcel, Taken
from accord.feedback.rows import (
    Asked,
    annotator_number,
    insert_new,
    known_numbers,
    load_queries,
    load_queries_by_id,
    lock_slots,
    missing,
    rows_of,
    select_answers,
    take_numbers,
    upsert,
)
from accord.feedback.slots import Lease, TooLate
from accord.feedback.visits import Served, Visit, serve
from accord.types import Answer, Collected, InputError, Provenance, Query, Segment, SegmentId, segment_id

__all__ = ["Lease", "Served", "Store", "TooLate", "Visit", "current"]


def current(answers: Sequence[Answer]) -> list[Answer]:
    """The answers that stand: those that no other of them supersedes."""
    superseded = {answer.supersedes for answer in answers}
    return [answer for answer in answers if answer.id not in superseded]


class Store:
    """Everything that was seen, asked and answered.

    `url`: `sqlite:///FILE`, `sqlite://` (memory, gone at the end) or `postgresql+psycopg://USER@HOST/DATABASE`. Tables
    are made and upgraded on opening. InputError: a wrong or unreachable URL, another program's database, a schema
    newer than this accord; and from every method, a store that was closed, moved, or cannot be read or written.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._address, self._engine = connect(url)
        self._writer = self._engine.execution_options(begin="IMMEDIATE")
        self._clock, self._asked = clock, Asked()
        self._file = store_file(self._address)
        self._inode = self._look()
        self._closed = False

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    def add(self, collected: Sequence[Collected]) -> list[SegmentId]:
        """Stores segments, where each came from, and its sealed truth; what is there already stays as it is."""
        ids = [segment_id(each.segment) for each in collected]
        # Sorted, so that two writers of the same segments wait for each other in one order.
        paired = sorted(zip(ids, collected, strict=True), key=lambda pair: pair[0])
        found = {id: each.segment for id, each in paired}
        origins = [{"segment": id, **provenance_row(each.provenance)} for id, each in paired]
        # Backwards: of two truths, the first that was given stays, as it does from call to call.
        truths = {id: each.truth for id, each in reversed(paired) if each.truth is not None}
        with self._write() as connection:
            insert_new(connection, tables.segments, [{"id": id, **segment_row(it)} for id, it in found.items()])
            insert_new(connection, tables.provenance, origins)
            insert_new(connection, tables.truth, [{"segment": id, **truth_row(it)} for id, it in truths.items()])
        return ids

    def segments(self, ids: Sequence[SegmentId]) -> list[Segment]:
        with self._read() as connection:
            rows = rows_of(connection, select(tables.segments), tables.segments.c.id, ids)
            found = {row.id: read_segment(row.kind, row.header, row.body) for row in rows}
            missing(connection, tables.segments.c.id, [id for id in ids if id not in found], "segment")
        return [found[id] for id in ids]

    def provenance(self, ids: Sequence[SegmentId]) -> list[Provenance]:
        """Where each segment was first seen."""
        with self._read() as connection:
            rows = rows_of(
                connection, select(tables.provenance).order_by(tables.provenance.c.id), tables.provenance.c.segment, ids
            )
            found: dict[str, Provenance] = {}
            for row in rows:
                found.setdefault(row.segment, read_provenance(row))
            missing(connection, tables.segments.c.id, [id for id in ids if id not in found], "segment")
        return [found[id] for id in ids]

    def truth(self, ids: Sequence[SegmentId]) -> list[np.ndarray | None]:
        """The true reward of each segment; None where it has none. Sealed: for teachers and evaluation alone."""
        with self._read() as connection:
            rows = rows_of(connection, select(tables.truth), tables.truth.c.segment, ids)
            found = {row.segment: read_truth(row.header, row.body) for row in rows}
            missing(connection, tables.segments.c.id, [id for id in ids if id not in found], "segment")
        return [found.get(id) for id in ids]

    def add_media(self, segment: SegmentId, mime: str, data: bytes) -> None:
        """Keeps how a segment is shown; a later one takes the place of an earlier one."""
        row = {"segment": segment, "hash": hashlib.sha256(data).hexdigest(), "mime": mime, "bytes": data}
        with self._write() as connection:
            missing(connection, tables.segments.c.id, [segment], "segment")
            upsert(connection, tables.media, [row])

    def media(self, segment: SegmentId) -> tuple[str, bytes] | None:
        with self._read() as connection:
            row = connection.execute(
                select(tables.media.c.mime, tables.media.c.bytes).where(tables.media.c.segment == segment)
            ).first()
        return None if row is None else (row.mime, row.bytes)

    def register(self, annotator: str, kind: str) -> None:
        """Makes an annotator known, as a `person` or a `teacher`, under a pseudonym of its own."""
        if kind not in ("person", "teacher"):
            raise InputError(f"annotator {annotator!r}: kind {kind!r} is neither 'person' nor 'teacher'; choose one.")
        if not annotator:
            raise InputError("an annotator has an empty name; give at least one letter.")
        if annotator.startswith(forget.FORGOTTEN):
            raise InputError(f"annotator {annotator!r} is named as one who was forgotten; take another name.")
        check_text(annotator)
        row = {"name": annotator, "kind": kind, "pseudonym": secrets.token_hex(6), "created": self._clock()}
        with self._write() as connection:
            insert_new(connection, tables.annotators, [row])
            known = connection.execute(
                select(tables.annotators.c.kind).where(tables.annotators.c.name == annotator)
            ).scalar_one()
        if known != kind:
            raise InputError(f"annotator {annotator!r} is registered as a {known}, not a {kind}; take another name.")

    def ask(self, queries: Sequence[Query]) -> None:
        """Asks what was not asked before; a repeated id must repeat its query, whose overlap may have grown since."""
        for query in queries:
            check_query(query)
        wanted = {query.id: query for query in queries}
        with self._write() as connection:
            first = take_numbers(connection, "queries", len(wanted)) + 1
            known = load_queries_by_id(connection, wanted)
            for query in queries:
                if replace(known.get(query.id, wanted[query.id]), overlap=query.overlap) != query:
                    raise InputError(f"query {query.id!r} is asked already with another content; give it a new id.")
            fresh = [query for id, query in wanted.items() if id not in known]
            missing(connection, tables.segments.c.id, [id for query in fresh for id in query.segments], "segment")
            repeated = [query.repeats for query in fresh if query.repeats is not None and query.repeats not in wanted]
            missing(connection, tables.queries.c.id, repeated, "query")
            self._ask(connection, fresh, first)

    def _ask(self, connection: Connection, fresh: Sequence[Query], first: int) -> None:
        now = self._clock()
        rows = [{**query_row(query), "number": first + index, "asked": now} for index, query in enumerate(fresh)]
        placed = [
            {"query": query.id, "place": place, "segment": id}
            for query in fresh
            for place, id in enumerate(query.segments)
        ]
        if rows:
            connection.execute(insert(tables.queries), rows)
        if placed:
            connection.execute(insert(tables.query_segments), placed)

    def queries(self, ids: Sequence[str] | None = None, *, round: int | None = None) -> list[Query]:
        """Queries by id, or all of them (of one round) in the order of asking."""
        of_round = () if round is None else (tables.queries.c.round == round,)
        with self._read() as connection:
            if ids is None:
                return load_queries(connection, *of_round)
            found = load_queries_by_id(connection, ids)
            missing(connection, tables.queries.c.id, [id for id in ids if id not in found], "query")
        return [found[id] for id in ids if round is None or found[id].round == round]

    def asked(self, ids: Sequence[str]) -> dict[str, Query]:
        """Queries by id; those that are not there are left out."""
        found = self._asked.kept(ids)
        if len(found) == len(set(ids)):
            return found
        with self._read() as connection:
            return self._asked.of(connection, ids)

    def waiting(self, *, round: int | None = None) -> int:
        """How many queries still have fewer answers than their overlap; nobody waits for known ones and repeats."""
        usual = (tables.queries.c.status == "open", tables.queries.c.priority >= pressing.USUAL)
        count = select(func.count()).select_from(tables.queries).where(*usual)
        with self._read() as connection:
            return connection.execute(
                count if round is None else count.where(tables.queries.c.round == round)
            ).scalar_one()

    def lease(self, annotator: str, *, limit: int = 1, seconds: float = 300.0) -> list[Lease]:
        """Up to `limit` queries for an annotator to answer within `seconds`.

        Never one that it has answered or holds, and never more slots of a query than its overlap. One whose lease ran
        out may come again.
        """
        with self._take() as connection:
            me = annotator_number(connection, annotator)
            return slots.lease(connection, self._asked, slots.Want(me, limit), seconds, self._clock())

    def serve(self, visits: Sequence[Visit], seconds: float = 300.0) -> list[Served | InputError]:
        """Answers and leases of several annotators in one transaction: one commit for all of them.

        All answers first, each as `answer` would by itself, with a fate of its own: its seq or why it was refused. Then
        the leases, each as `lease` would in turn. InputError in the place of a visit of nobody who is registered.
        """
        with self._take() as connection:
            return serve(connection, self._asked, visits, seconds, self._clock())

    def release(self, annotator: str, queries: Sequence[str] = ()) -> None:
        """Gives leases back before they run out (all of them by default), as a teacher does that starts again."""
        with self._take() as connection:
            slots.release(connection, annotator_number(connection, annotator), queries)

    def answer(self, answers: Sequence[Answer], *, tokens: Sequence[str] | None = None) -> list[int]:
        """Stores answers and returns their seqs; an id that is stored already returns its old seq.

        A lease is no condition, but a slot is. TooLate: the query's slots are taken by others' answers and leases (as
        after a lease that ran out). InputError: an unknown query, annotator or segment, a value that does not fit, a
        second answer that supersedes nothing. Where one answer is refused, none is stored.
        """
        if tokens is not None and len(tokens) != len(answers):
            raise InputError(f"{len(tokens)} tokens for {len(answers)} answers; send one for each.")
        with self._take() as connection:
            numbers = known_numbers(connection, {answer.annotator for answer in answers})
            return slots.answer(connection, self._asked, numbers, answers, tokens or (), self._clock())

    def answers(self, after: int = 0, *, upto: int | None = None) -> list[Answer]:
        """Answers with `after < seq <= upto` in the order of seq, superseded ones too (`current` drops them).

        A seq appears only after all lower ones, so whoever goes on after the last seen one misses nothing.
        """
        wanted = select_answers().where(tables.answers.c.seq > after).order_by(tables.answers.c.seq)
        with self._read() as connection:
            found = connection.execute(wanted if upto is None else wanted.where(tables.answers.c.seq <= upto))
            return [read_answer(row) for row in found]

    def dispute(self, query: str, reviewer: str) -> None:
        """Asks a query once more, of who reviews. InputError: it is not there, or this reviewer has answered it."""
        with self._take() as connection:
            pressing.dispute(connection, annotator_number(connection, reviewer), query)

    def log(self, what: audit.What, actor: str = "", about: str = "") -> None:
        """Appends to the audit log. `actor` is an annotator's name, or "" for whoever has the machine."""
        check_text(about)
        with self._write() as connection:
            audit.log(connection, what, actor, about, self._clock())

    def events(self) -> list[audit.Event]:
        """The audit log in its order; `audit.broken` says whether it is whole."""
        with self._read() as connection:
            return audit.read(connection)

    def people(self) -> list[str]:
        """The names of all persons who were registered and not forgotten, in that order."""
        known = tables.annotators.c
        wanted = select(known.name).where(known.kind == "person", known.name.is_not(None)).order_by(known.id)
        with self._read() as connection:
            return [*connection.execute(wanted).scalars()]

    def pseudonyms(self) -> dict[str, str]:
        """The pseudonym of each annotator by the name that answers bear."""
        named = select(tables.annotators.c.name, tables.annotators.c.pseudonym)
        with self._read() as connection:
            return {row.name or row.pseudonym: row.pseudonym for row in connection.execute(named)}

    @contextmanager
    def dumped(self, names: bool = False) -> Iterator[Iterator[dict[str, Any]]]:
        """The whole store as rows, as it is now, but for truth, leases and clips; pseudonyms alone without `names`."""
        with self._read() as connection:
            yield dump(connection, names)

    def take(self, parcel: Parcel) -> Taken:
        """Takes what a file brought: what is there stays as it is, what is new comes behind it; all or nothing.

        InputError: the parcel contradicts the store. A query's overlap grows where it has more answers.
        """
        with self._write() as connection:
            return take(connection, parcel)

    def forget(self, annotator: str, *, keep_answers: bool = False, reopen: bool = False) -> int:
        """Forgets an annotator by name or pseudonym, and what they said; returns how many answers that were.

        With `keep_answers` the answers stay, without their texts, as those of nobody. With `reopen` the questions that
        they answered are asked again. Their leases are given back. InputError: nobody is called so.
        """
        if keep_answers and reopen:
            raise InputError("answers that are kept need not be asked for again; leave out keep_answers or reopen.")
        with self._write() as connection:
            count = forget.forget(connection, annotator, keep_answers, reopen)
        with refusing(self._address):
            empty_log(self._engine)
        return count

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._check()
        with refusing(self._address), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._check()
        with refusing(self._address), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _take(self) -> Iterator[Connection]:
        """To write where others take slots too: one at a time."""
        with self._write() as connection:
            lock_slots(connection)
            yield connection

    def _check(self) -> None:
        if self._closed:
            raise InputError(f"store {shown(self._address)} is closed; open it again.")
        if self._look() != self._inode:
            raise InputError(f"store {shown(self._address)} was moved or replaced since it was opened; put it back.")

    def _look(self) -> tuple[int, int] | None:
        """Which file the store is: SQLite would go on writing to one that nobody can find any more."""
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino
