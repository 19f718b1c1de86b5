"""What travels between stores: rows of the tables that may, under names that hold in any store.

An annotator is named by the pseudonym, not by a number of the database; a query carries its segments in order. The
sealed truth, leases and clips stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Column, Double, Integer, LargeBinary, Table

from accord.feedback import tables
from accord.feedback.exchange.files import Holds

Fields = Mapping[str, Any]

FORMAT = 1  # of the lossless files; rises when a reader of the old one would misread the new
TRAVEL = (tables.segments, tables.provenance, tables.annotators, tables.queries, tables.answers)  # in this order
STAY = (tables.truth, tables.media, tables.leases, tables.counters, tables.events)
STAY += (tables.query_segments,)  # in `queries`
HEAD = {"table": "store", "format": FORMAT, "schema": tables.SCHEMA}

_OF_THE_DATABASE = {("provenance", "id"), ("annotators", "id")}  # numbers that mean nothing elsewhere
_HERE: dict[tuple[str, str], Holds] = {
    ("answers", "annotator"): "text"
}  # a number in the database, a pseudonym on the way


@dataclass(frozen=True)
class Parcel:
    """Rows of each table in the order in which they are to be stored. An answer without an id is given one there.

    `wheres` says of an answer's place in `answers` where it stands in the file.
    """

    segments: Sequence[Fields]
    provenance: Sequence[Fields]
    annotators: Sequence[Fields]
    queries: Sequence[Fields]
    answers: Sequence[Fields]
    wheres: Sequence[str]


@dataclass(frozen=True)
class Taken:
    """What a parcel brought that was not there, and how many of its answers were there already."""

    segments: int
    annotators: int
    queries: int
    answers: int
    known: int


@cache
def fields_of(table: Table) -> Mapping[str, Holds]:
    """The fields of a table's rows on their way, with what each holds."""
    found: dict[str, Holds] = {}
    for column in table.columns:
        if (table.name, column.name) not in _OF_THE_DATABASE:
            found[column.name] = _HERE.get((table.name, column.name)) or _holds(column)
    if table is tables.queries:
        found["segments"] = "texts"
    return found


def columns() -> Mapping[str, Holds]:
    """All fields of all rows: the columns of a lossless file, most of them empty in each row."""
    found: dict[str, Holds] = {"table": "text", "format": "whole", "schema": "text"}
    for table in TRAVEL:
        found.update(fields_of(table))
    return found


def may_be_empty(table: Table, field: str) -> bool:
    """Whether a row may lack this field."""
    return field in table.columns and bool(table.columns[field].nullable)


def _holds(column: Column) -> Holds:
    match column.type:
        case Integer():
            return "whole"
        case Double():
            return "real"
        case LargeBinary():
            return "bytes"
        case _:
            return "text"
