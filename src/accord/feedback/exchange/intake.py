"""Takes a parcel into a store: what is there already stays, what is new comes in order behind it.

Runs in its caller's transaction: all of the parcel is taken or nothing. The parcel's rows have been checked one by one
(`load`, `gather`); here they are held against what the store holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from accord.feedback import tables
from accord.feedback.codec import read_value
from accord.feedback.exchange.load import query_of
from accord.feedback.exchange.parcel import Fields, Parcel, Taken
from accord.feedback.rows import insert_new, load_queries_by_id, lock_slots, rows_of, take_numbers
from accord.types import InputError


def take(connection: Connection, parcel: Parcel) -> Taken:
    """Stores what is new. InputError where the parcel contradicts the store."""
    lock_slots(connection)
    ids = {fields["id"] for fields in parcel.segments}
    known = {row.id for row in rows_of(connection, select(tables.segments.c.id), tables.segments.c.id, ids)}
    insert_new(connection, tables.segments, [_only(tables.segments, it) for it in parcel.segments])
    insert_new(connection, tables.provenance, [_only(tables.provenance, it) for it in parcel.provenance])
    people, fresh_people = _annotators(connection, parcel.annotators)
    fresh_queries = _queries(connection, parcel.queries)
    fresh_answers = _answers(connection, parcel, people)
    _settle(connection, {*fresh_queries, *(it["query"] for it in fresh_answers)})
    return Taken(
        segments=len(ids - known),
        annotators=fresh_people,
        queries=len(fresh_queries),
        answers=len(fresh_answers),
        known=len(parcel.answers) - len(fresh_answers),
    )


def _only(table: Table, fields: Fields, **changed: object) -> dict[str, Any]:
    """What the table has columns for."""
    return {column.name: fields[column.name] for column in table.columns if column.name in fields} | changed


def _annotators(connection: Connection, rows: Sequence[Fields]) -> tuple[dict[str, tuple[int, str]], int]:
    """Of each pseudonym on the way, the number and the pseudonym here; and how many are new.

    Somebody is known by the pseudonym or the name, or by a pseudonym that stands where a name does, as in a data set.
    """
    table = tables.annotators
    wanted = [it["pseudonym"] for it in rows] + [it["name"] for it in rows if it["name"]]
    by_pseudonym = {row.pseudonym: row for row in rows_of(connection, select(table), table.c.pseudonym, wanted)}
    by_name = {row.name: row for row in rows_of(connection, select(table), table.c.name, wanted)}
    found: dict[str, tuple[int, str]] = {}
    fresh = 0
    for it in rows:
        there = by_pseudonym.get(it["pseudonym"]) or by_name.get(it["name"]) or by_pseudonym.get(it["name"])
        if there is not None and there.kind != it["kind"]:
            raise InputError(
                f"annotator {it['name'] or it['pseudonym']!r} is a {it['kind']} in the file and a {there.kind} in the "
                "store; rename one of them."
            )
        if there is None:
            fresh += 1
            made = connection.execute(insert(table).values(_only(table, it)).returning(table.c.id)).scalar_one()
            found[it["pseudonym"]] = made, it["pseudonym"]
        else:
            found[it["pseudonym"]] = there.id, there.pseudonym
    return found, fresh


def _queries(connection: Connection, rows: Sequence[Fields]) -> list[str]:
    """Asks what was not asked before; the ids of it."""
    known = load_queries_by_id(connection, [it["id"] for it in rows])
    fresh = sorted((it for it in rows if it["id"] not in known), key=lambda it: it["number"])
    for it in rows:
        there, here = known.get(it["id"]), query_of(it)
        if there is not None and (there.kind, there.segments, there.levels) != (here.kind, here.segments, here.levels):
            raise InputError(f"query {it['id']!r} is asked already with another content; give it a new id.")
    if not fresh:
        return []
    before = take_numbers(connection, "queries", fresh[-1]["number"])
    connection.execute(
        insert(tables.queries),
        [_only(tables.queries, it, number=before + it["number"], answered=0) for it in fresh],
    )
    placed = [
        {"query": it["id"], "place": place, "segment": id} for it in fresh for place, id in enumerate(it["segments"])
    ]
    if placed:
        connection.execute(insert(tables.query_segments), placed)
    return [it["id"] for it in fresh]


def _answers(connection: Connection, parcel: Parcel, people: Mapping[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """Stores the answers that are new, behind all that are there; returns their rows."""
    rows = [_addressed(it, people) for it in parcel.answers]
    stored = {
        row.id: row
        for row in rows_of(connection, select(tables.answers), tables.answers.c.id, [it["id"] for it in rows])
    }
    others = rows_of(connection, select(tables.answers), tables.answers.c.query, [it["query"] for it in rows])
    taken = {(row.query, row.annotator, row.revision): read_value(row.value) for row in others}
    former = {it["id"]: it for it in rows}
    fresh = []
    for where, it, made in zip(parcel.wheres, rows, [it["id"] is None for it in parcel.answers], strict=True):
        there = stored.get(it["id"])
        if there is not None and _content(dict(there._mapping)) != _content(it):
            raise InputError(f"{where}: answer {it['id']!r} is stored with another content; give it a new id.")
        same = made and taken.get(_slot(it)) == read_value(it["value"])  # said already, under another id
        if there is not None or same:
            continue
        if _slot(it) in taken:
            raise InputError(
                f"{where}: this annotator has answered the question already, otherwise; leave the row out, or import "
                "into another store."
            )
        taken[_slot(it)] = read_value(it["value"])
        _check_chain(where, it, former)
        fresh.append(it)
    if fresh:
        before = take_numbers(connection, "answers", max(it["seq"] for it in fresh))
        fresh.sort(key=lambda it: _depth(it["revision"]))  # what is superseded comes first
        connection.execute(insert(tables.answers), [{**it, "seq": before + it["seq"]} for it in fresh])
    return fresh


def _addressed(it: Fields, people: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """An answer's row with its annotator's number, and an id where it has none yet.

    The id is made of the pseudonym, not of the name: who sees an export cannot try names on it.
    """
    number, pseudonym = people[it["annotator"]]
    made = f"import\0{pseudonym}\0{it['query']}\0{it['value']}"
    id = it["id"] or hashlib.sha256(made.encode()).hexdigest()
    return _only(tables.answers, it, id=id, annotator=number)


def _content(it: Mapping[str, Any]) -> tuple:
    return it["query"], it["annotator"], read_value(it["value"]), it["supersedes"]


def _check_chain(where: str, it: Fields, known: Mapping[str, Fields]) -> None:
    """What is superseded must be the same annotator's answer to the same query, one revision before."""
    if it["supersedes"] is None:
        holds = it["revision"] in (0, -1)
    else:
        old = known.get(it["supersedes"])
        before = it["revision"] - 1 if it["revision"] > 0 else it["revision"] + 1
        holds = old is not None and _slot(old) == (it["query"], it["annotator"], before)
    if not holds:
        raise InputError(f"{where}: answer {it['id']!r} supersedes nothing that it may; export the store again.")


def _slot(it: Fields) -> tuple:
    return it["query"], it["annotator"], it["revision"]


def _depth(revision: int) -> int:
    """How often a mind was changed: forgotten answers whose slot is free again count from -1 down (`forget`)."""
    return revision if revision >= 0 else -1 - revision


def _settle(connection: Connection, ids: set[str]) -> None:
    """Counts answers; no query has more than its overlap, which grows where the parcel brought more."""
    answers, queries = tables.answers, tables.queries
    counted = select(answers.c.query, func.count().label("count")).where(answers.c.revision == 0)
    counts = {
        row.query: row.count for row in rows_of(connection, counted.group_by(answers.c.query), answers.c.query, ids)
    }
    rows = rows_of(connection, select(queries.c.id, queries.c.overlap, queries.c.status), queries.c.id, ids)
    settled = []
    for row in rows:
        count = counts.get(row.id, 0)
        overlap = max(row.overlap, count)
        status = "done" if row.status == "open" and count >= overlap else row.status
        settled.append({"of": row.id, "count": count, "slots": overlap, "becomes": status})
    if settled:
        changed = update(queries).where(queries.c.id == bindparam("of"))
        changed = changed.values(answered=bindparam("count"), overlap=bindparam("slots"), status=bindparam("becomes"))
        connection.execute(changed, settled)
