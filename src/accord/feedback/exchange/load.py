"""The rows of a lossless file, held against everything that a store holds them against: from a file to a parcel.

Whatever is wrong is refused with its line. A segment's id must be the hash of its content, so nothing can have been
altered on the way without its answers being about something else.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np
from sqlalchemy import Table

from accord.feedback import tables
from accord.feedback.checks import check_answer, check_query, check_text
from accord.feedback.codec import read_segment, read_value
from accord.feedback.exchange.files import Holds, Row
from accord.feedback.exchange.parcel import FORMAT, TRAVEL, Fields, Parcel, fields_of, may_be_empty
from accord.types import Answer, Given, InputError, Query, Segment, Steps, segment_id

_LARGEST = 2**63 - 1
_UNIQUE = (
    ("segments", "id"),
    ("annotators", "pseudonym"),
    ("annotators", "name"),
    ("queries", "id"),
    ("queries", "number"),
    ("answers", "id"),
    ("answers", "seq"),
)
_WORDS = {
    ("annotators", "kind"): ("person", "teacher"),
    ("queries", "status"): ("open", "done", "disputed"),
}


def is_lossless(rows: Sequence[Row]) -> bool:
    """Whether the rows begin as those of `dump` do."""
    return rows[0].fields.get("table") == "store"


def load(rows: Sequence[Row]) -> Parcel:
    """All rows as a parcel. InputError for the first that no store would have written."""
    _check_head(rows[0])
    of = {table.name: table for table in TRAVEL}
    found: dict[str, list[Fields]] = {name: [] for name in of}
    wheres: dict[str, list[str]] = {name: [] for name in of}
    for row in rows[1:]:
        name = row.fields.get("table")
        if name not in of:
            raise InputError(f"{row.where}: table {name!r} is none of {', '.join(of)}; export the store again.")
        found[name].append(_typed(row, of[name]))
        wheres[name].append(row.where)
    for where, fields in _zip(found, wheres, "segments"):
        _check_segment(where, fields)
    _check_named(found, wheres)
    _check_answers(found, wheres)
    return Parcel(**found, wheres=wheres["answers"])


def _check_head(row: Row) -> None:
    format, schema = row.fields.get("format"), row.fields.get("schema")
    if format != FORMAT or not isinstance(schema, str) or schema > tables.SCHEMA:
        raise InputError(
            f"{row.where}: the file has format {format} and schema {schema!r}, this accord reads {FORMAT} and up to "
            f"{tables.SCHEMA!r}; upgrade accord."
        )


def _typed(row: Row, table: Table) -> dict[str, Any]:
    """The fields of a row, each of its type, None where it may be and is not there."""
    found: dict[str, Any] = {}
    for name, holds in fields_of(table).items():
        value: Any = row.fields.get(name)
        if value is not None:
            value = _decoded(value) if holds == "bytes" else value
            words = _WORDS.get((table.name, name))
            if not _FITS[holds](value) or (words and value not in words):
                raise InputError(f"{row.where}: {name} is {str(value)[:40]!r}; it must be {words or holds}.")
            if holds == "text":
                with _standing(row.where):
                    check_text(value)
        elif not may_be_empty(table, name):
            raise InputError(f"{row.where}: {name} is missing from a row of {table.name}; export the store again.")
        found[name] = value
    return found


def _decoded(value: Any) -> Any:
    """Bytes, which JSON holds as base64."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


_FITS: Mapping[Holds, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "whole": _is_whole,
    "real": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value),
    "truth": lambda value: isinstance(value, bool),
    "bytes": lambda value: isinstance(value, bytes),
    "texts": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "wholes": lambda value: isinstance(value, list) and all(map(_is_whole, value)),
}


@contextmanager
def _standing(where: str) -> Iterator[None]:
    """Puts the line before what a check has to say."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _check_segment(where: str, fields: Fields) -> None:
    try:
        words = json.loads(fields["header"])
        readable = fields["kind"] != "reply" or _is_reply(words)
        segment = read_segment(fields["kind"], fields["header"], fields["body"]) if readable else None
        sound = segment is not None and _is_shaped(segment) and segment_id(segment) == fields["id"]
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError, zlib.error):
        sound = False
    if not sound:
        raise InputError(f"{where}: segment {fields['id'][:12]!r} is not what its id says; export the store again.")


def _is_reply(words: object) -> bool:
    match words:
        case [str(), str(), list() as tokens, str()]:
            return all(map(_is_whole, tokens))
        case _:
            return False


def _is_shaped(segment: Segment) -> bool:
    if not isinstance(segment, Steps):
        return True
    observation, action, valid = segment.observation, segment.action, segment.valid
    shaped = (observation.ndim, action.ndim, valid.ndim) == (2, 2, 1)
    typed = observation.dtype.kind in "fu" and action.dtype == np.float32 and valid.dtype == np.bool_
    return shaped and typed and len(observation) == len(action) == len(valid) and isinstance(segment.ended, bool)


def _check_named(found: Mapping[str, Sequence[Fields]], wheres: Mapping[str, Sequence[str]]) -> None:
    """No id twice, and nothing named that the file does not hold."""
    for table, key in _UNIQUE:
        _once([fields[key] for fields in found[table]], wheres[table], f"{key} of {table}")
    segments, queries, annotators = (
        {fields[key] for fields in found[table]}
        for table, key in (("segments", "id"), ("queries", "id"), ("annotators", "pseudonym"))
    )
    named = [
        *((where, "segment", fields["segment"], segments) for where, fields in _zip(found, wheres, "provenance")),
        *(
            (where, "segment", id, segments)
            for where, fields in _zip(found, wheres, "queries")
            for id in fields["segments"]
        ),
        *((where, "query", fields["query"], queries) for where, fields in _zip(found, wheres, "answers")),
        *((where, "annotator", fields["annotator"], annotators) for where, fields in _zip(found, wheres, "answers")),
    ]
    for where, what, id, known in named:
        if id not in known:
            raise InputError(f"{where}: {what} {id!r} is not in the file; export the store again.")


def _zip(
    found: Mapping[str, Sequence[Fields]], wheres: Mapping[str, Sequence[str]], table: str
) -> list[tuple[str, Fields]]:
    return [*zip(wheres[table], found[table], strict=True)]


def _once(keys: Sequence[object], wheres: Sequence[str], what: str) -> None:
    seen: set[object] = set()
    for key, where in zip(keys, wheres, strict=True):
        if key is not None and key in seen:
            raise InputError(f"{where}: {what} {key!r} is there twice; export the store again.")
        seen.add(key)


def _check_answers(found: Mapping[str, Sequence[Fields]], wheres: Mapping[str, Sequence[str]]) -> None:
    """Every question can be asked and every answer fits its own."""
    segments = {fields["id"] for fields in found["segments"]}
    asked: dict[str, Query] = {}
    for where, fields in _zip(found, wheres, "queries"):
        asked[fields["id"]] = query_of(fields)
        with _standing(where):
            check_query(asked[fields["id"]])
        if fields["number"] < 1 or (fields["repeats"] is not None and fields["repeats"] not in asked):
            raise InputError(f"{where}: query {fields['id']!r} has no place in the order; export the store again.")
    for where, fields in _zip(found, wheres, "answers"):
        with _standing(where):
            answer = _answer(fields)
            check_answer(asked[answer.query], answer)
        if fields["seq"] < 1 or (isinstance(answer.value, Given) and answer.value.segment not in segments):
            raise InputError(f"{where}: answer {answer.id!r} has no seq or no segment; export the store again.")


def query_of(fields: Fields) -> Query:
    """A query from its row and its segments."""
    return Query(
        fields["id"],
        fields["kind"],
        tuple(fields["segments"]),
        fields["levels"],
        fields["acquisition"],
        fields["round"],
        fields["overlap"],
    )


def _answer(fields: Fields) -> Answer:
    try:
        value, shown = json.loads(fields["value"]), json.loads(fields["shown"])
    except ValueError:
        value = shown = None
    if not (_is_value(value) and isinstance(shown, list) and all(map(_is_whole, shown))):
        raise InputError(f"answer {fields['id']!r}: {fields['value'][:60]} is no value; export the store again.")
    said = read_value(fields["value"])
    return Answer(
        fields["id"], fields["query"], fields["annotator"], said, tuple(shown), fields["seconds"], fields["text"]
    )


def _is_value(value: Any) -> bool:
    """Whether `codec.read_value` knows what to make of it."""
    match value:
        case {"is": "side" | "score", "level": level, "levels": levels}:
            return len(value) == 3 and _is_whole(level) and _is_whole(levels)
        case {"is": "order", "best_first": list() as places}:
            return len(value) == 2 and all(map(_is_whole, places))
        case (
            {"is": "verdict", "approved": bool()} | {"is": "given", "segment": str()} | {"is": "skip", "reason": str()}
        ):
            return len(value) == 2
        case _:
            return False
