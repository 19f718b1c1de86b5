"""A store as rows: everything but the sealed truth, leases and clips.

Runs in its caller's transaction and reads one state of the store. Names of annotators are left out where not asked for:
their answers stand under the pseudonym.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from accord.feedback import tables
from accord.feedback.exchange.parcel import HEAD, fields_of

_AT_ONCE = 500  # rows held in memory while a store is read


def dump(connection: Connection, names: bool) -> Iterator[dict[str, Any]]:
    """A head, then the rows of each table that travels, each under `table`; empty fields are left out."""
    if connection.dialect.name == "postgresql":  # SQLite reads one state to the end of a transaction anyway
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    yield dict(HEAD)
    for table in (tables.segments, tables.provenance):
        yield from _rows(connection, table, select(table).order_by(table.c.id))
    for row in _rows(connection, tables.annotators, select(tables.annotators).order_by(tables.annotators.c.id)):
        yield row if names else {name: value for name, value in row.items() if name != "name"}
    yield from _queries(connection)
    named = select(tables.answers, tables.annotators.c.pseudonym).join(tables.annotators)
    yield from _rows(connection, tables.answers, named.order_by(tables.answers.c.seq), pseudonym="annotator")


def _rows(connection: Connection, table: Table, statement: Select, **renamed: str) -> Iterator[dict[str, Any]]:
    """A table's rows; `renamed` columns of the statement stand in the place of the table's own."""
    fields = fields_of(table)
    for row in connection.execute(statement.execution_options(yield_per=_AT_ONCE)).mappings():
        found = {**row, **{name: row[column] for column, name in renamed.items()}}
        yield {"table": table.name, **{name: found[name] for name in fields if found[name] is not None}}


def _queries(connection: Connection) -> Iterator[dict[str, Any]]:
    placed = (
        select(tables.queries, tables.query_segments.c.segment)
        .outerjoin(tables.query_segments)
        .order_by(tables.queries.c.number, tables.query_segments.c.place)
        .execution_options(yield_per=_AT_ONCE)
    )
    for _, rows in groupby(connection.execute(placed).mappings(), key=lambda row: row["id"]):
        of_one = [*rows]
        found = {**of_one[0], "segments": [row["segment"] for row in of_one if row["segment"] is not None]}
        fields = fields_of(tables.queries)
        yield {"table": "queries", **{name: found[name] for name in fields if found[name] is not None}}
