"""Reading and writing many rows at once, alike on both databases. Every function runs in its caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Row,
    Select,
    Table,
    bindparam,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from accord.feedback.codec import read_answer, read_query
from accord.feedback.tables import annotators, answers, counters, queries, query_segments
from accord.types import Answer, InputError, Query

_CHUNK = 4096  # ids in one statement: SQLite takes 32,766 parameters, PostgreSQL 65,535; a power of two
IDS = bindparam("ids", expanding=True)  # of a statement that is written once: `column.in_(IDS)`

# Written once, since to build a statement takes longer than to run it.
_LOCK = select(counters.c.value).where(counters.c.name == "answers").with_for_update()
_RAISE = (
    update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + bindparam("count"))
    .returning(counters.c.value)
)
_REGISTERED = select(annotators.c.name, annotators.c.id).where(annotators.c.name.in_(IDS))


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping]) -> None:
    """Inserts the rows that break no uniqueness; the others are there already."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    if rows:
        connection.execute(insert(table).on_conflict_do_nothing(), rows)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping]) -> None:
    """Inserts the rows, each in the place of the one that has its primary key."""
    if rows:
        connection.execute(_replacing(table, connection.dialect.name == "postgresql"), rows)


@cache
def _replacing(table: Table, on_postgresql: bool) -> Insert:
    insert = (postgresql.insert if on_postgresql else sqlite.insert)(table)
    key = [column.name for column in table.primary_key]
    new = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=new)


def rows_of(connection: Connection, statement: Select, column: Column, ids: Collection[object]) -> Iterator[Row]:
    """The statement's rows whose `column` is among `ids`, in chunks of ids."""
    return rows_among(connection, statement.where(column.in_(IDS)), ids)


def rows_among(
    connection: Connection, statement: Executable, ids: Collection[object], **values: object
) -> Iterator[Row]:
    """The rows of a statement that holds `IDS`, in chunks of ids.

    The last id is repeated up to a power of two: the database sees few statements, and need not plan each anew.
    """
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        chunk += chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))
        yield from connection.execute(statement, {"ids": chunk, **values})


def missing(connection: Connection, column: Column, ids: Collection[str], what: str) -> None:
    """Raises InputError where an id is not in the column."""
    known = {row[0] for row in rows_of(connection, select(column), column, ids)}
    if unknown := [name for name in ids if name not in known]:
        raise InputError(f"{what} {unknown[0]!r} is not in the store ({len(unknown)} unknown); add it first.")


def lock_slots(connection: Connection) -> None:
    """Keeps every other `lease` and `answer` out to the end of the transaction. (SQLite has one writer anyway.)"""
    connection.execute(_LOCK)


def take_numbers(connection: Connection, counter: str, count: int) -> int:
    """Raises a counter by `count` and returns its former value.

    Its row stays locked to the end of the transaction, so that numbers become visible in their order: nobody who
    has seen number n will later find a number below n appear. SQLite has one writer at a time anyway.
    """
    return connection.execute(_RAISE, {"counter": counter, "count": count}).scalar_one() - count


def known_numbers(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """The numbers of those annotators who are registered."""
    return {row.name: row.id for row in rows_among(connection, _REGISTERED, names)}


def annotator_number(connection: Connection, name: str) -> int:
    """The number of an annotator; InputError for one who is not registered."""
    known = known_numbers(connection, [name])
    if name not in known:
        raise stranger(name)
    return known[name]


def stranger(name: str) -> InputError:
    """Why somebody is not served."""
    return InputError(f"annotator {name!r} is not registered; call register({name!r}, 'person' or 'teacher').")


_PLACED = (
    select(queries, query_segments.c.segment)
    .outerjoin(query_segments, query_segments.c.query == queries.c.id)
    .order_by(queries.c.number, query_segments.c.place)
)
_PLACED_BY_ID = _PLACED.where(queries.c.id.in_(IDS))


def load_queries(connection: Connection, *conditions: ColumnElement[bool]) -> list[Query]:
    """Queries in the order of asking."""
    return [*_queries(connection.execute(_PLACED.where(*conditions)))]


def load_queries_by_id(connection: Connection, ids: Collection[str]) -> dict[str, Query]:
    """Queries by their id; those that are not there are left out."""
    return {query.id: query for query in _queries(rows_among(connection, _PLACED_BY_ID, ids))}


def _queries(rows: Iterable[Row]) -> Iterator[Query]:
    return (read_query([*its]) for _, its in groupby(rows, key=lambda row: row.id))


class Asked:
    """Queries by id, kept once they were read: of a query that was asked nothing changes but its overlap."""

    def __init__(self, most: int = 20_000) -> None:
        self._kept: dict[str, Query] = {}
        self._most = most

    def of(self, connection: Connection, ids: Collection[str]) -> dict[str, Query]:
        """Those that there are."""
        found = self.kept(ids)
        if unknown := [id for id in ids if id not in found]:
            read = load_queries_by_id(connection, unknown)
            if len(self._kept) > self._most:
                self._kept = {}
            self._kept.update(read)
            found |= read
        return found

    def kept(self, ids: Collection[str]) -> dict[str, Query]:
        """Those that need not be read."""
        kept = self._kept
        return {id: kept[id] for id in ids if id in kept}


def select_answers() -> Select:
    """Answers beside the names of who gave them."""
    named = select(answers, annotators.c.name, annotators.c.pseudonym)
    return named.join(annotators, annotators.c.id == answers.c.annotator)


_ANSWERS_BY_ID = select_answers().where(answers.c.id.in_(IDS))


def load_answers_by_id(connection: Connection, ids: Collection[str]) -> dict[str, Answer]:
    """Answers by their id; those that are not there are left out."""
    return {row.id: read_answer(row) for row in rows_among(connection, _ANSWERS_BY_ID, ids)}
