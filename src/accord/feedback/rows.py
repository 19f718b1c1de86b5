"""Reading and writing many rows at once, alike on both databases. Every function runs in its caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from accord.feedback.codec import read_answer, read_query
from accord.feedback.tables import annotators, answers, counters, queries, query_segments
from accord.types import Answer, InputError, Query

_CHUNK = 5000  # ids in one statement: SQLite takes 32,766 parameters, PostgreSQL 65,535


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping]) -> None:
    """Inserts the rows that break no uniqueness; the others are there already."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    if rows:
        connection.execute(insert(table).on_conflict_do_nothing(), rows)


def replace(connection: Connection, table: Table, rows: Sequence[Mapping]) -> None:
    """Inserts the rows, each in the place of the one that has its primary key."""
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)
    key = [column.name for column in table.primary_key]
    new = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
    if rows:
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_=new), rows)


def rows_of(connection: Connection, statement: Select, column: Column, ids: Collection[object]) -> Iterator[Row]:
    """The statement's rows whose `column` is among `ids`, in chunks of ids."""
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), _CHUNK):
        yield from connection.execute(statement.where(column.in_(wanted[start : start + _CHUNK])))


def missing(connection: Connection, column: Column, ids: Collection[str], what: str) -> None:
    """Raises InputError where an id is not in the column."""
    known = {row[0] for row in rows_of(connection, select(column), column, ids)}
    if unknown := [name for name in ids if name not in known]:
        raise InputError(f"{what} {unknown[0]!r} is not in the store ({len(unknown)} unknown); add it first.")


def lock_slots(connection: Connection) -> None:
    """Keeps every other `lease` and `answer` out to the end of the transaction. (SQLite has one writer anyway.)"""
    connection.execute(select(counters.c.value).where(counters.c.name == "answers").with_for_update())


def take_numbers(connection: Connection, counter: str, count: int) -> int:
    """Raises a counter by `count` and returns its former value.

    Its row stays locked to the end of the transaction, so that numbers become visible in their order: nobody who
    has seen number n will later find a number below n appear. SQLite has one writer at a time anyway.
    """
    raised = update(counters).where(counters.c.name == counter).values(value=counters.c.value + count)
    return connection.execute(raised.returning(counters.c.value)).scalar_one() - count


def known_numbers(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """The numbers of those annotators who are registered."""
    registered = select(annotators.c.name, annotators.c.id)
    return {row.name: row.id for row in rows_of(connection, registered, annotators.c.name, names)}


def annotator_numbers(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """The numbers of annotators; InputError for one who is not registered."""
    known = known_numbers(connection, names)
    for name in names:
        if name not in known:
            raise stranger(name)
    return known


def stranger(name: str) -> InputError:
    """Why somebody is not served."""
    return InputError(f"annotator {name!r} is not registered; call register({name!r}, 'person' or 'teacher').")


def load_queries(connection: Connection, *conditions: ColumnElement[bool]) -> list[Query]:
    """Queries in the order of asking."""
    placed = (
        select(queries, query_segments.c.segment)
        .outerjoin(query_segments, query_segments.c.query == queries.c.id)
        .where(*conditions)
        .order_by(queries.c.number, query_segments.c.place)
    )
    by_query = groupby(connection.execute(placed), key=lambda row: row.id)
    return [read_query([*rows]) for _, rows in by_query]


def load_queries_by_id(connection: Connection, ids: Collection[str]) -> dict[str, Query]:
    """Queries by their id; those that are not there are left out."""
    wanted = list(dict.fromkeys(ids))
    chunks = (wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK))
    return {query.id: query for chunk in chunks for query in load_queries(connection, queries.c.id.in_(chunk))}


class Asked:
    """Queries by id, kept once they were read: a query that was asked never changes."""

    def __init__(self, most: int = 20_000) -> None:
        self._kept: dict[str, Query] = {}
        self._most = most

    def of(self, connection: Connection, ids: Collection[str]) -> dict[str, Query]:
        """Those that there are."""
        kept = self._kept
        found = {id: kept[id] for id in ids if id in kept}
        if unknown := [id for id in ids if id not in found]:
            read = load_queries_by_id(connection, unknown)
            if len(kept) > self._most:
                self._kept = kept = {}
            kept.update(read)
            found |= read
        return found


def select_answers() -> Select:
    """Answers beside the names of who gave them."""
    named = select(answers, annotators.c.name, annotators.c.pseudonym)
    return named.join(annotators, annotators.c.id == answers.c.annotator)


def load_answers_by_id(connection: Connection, ids: Collection[str]) -> dict[str, Answer]:
    """Answers by their id; those that are not there are left out."""
    return {row.id: read_answer(row) for row in rows_of(connection, select_answers(), answers.c.id, ids)}
