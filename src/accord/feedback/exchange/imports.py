"""From a file to a store: whose file it is is told by its columns, and all of it is taken or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from accord.feedback.exchange.argilla import is_argilla, read_argilla
from accord.feedback.exchange.columns import Reading, renamed
from accord.feedback.exchange.files import Row, read
from accord.feedback.exchange.judged import gather
from accord.feedback.exchange.label_studio import is_label_studio, read_label_studio
from accord.feedback.exchange.load import is_lossless, load
from accord.feedback.exchange.parcel import Taken
from accord.feedback.exchange.shapes import Read, known, left_out, shape_of
from accord.feedback.store import Store
from accord.types import InputError


@dataclass(frozen=True)
class Imported:
    """What a file was read as, what it brought, and sentences about what was left aside."""

    shape: str
    taken: Taken
    notes: tuple[str, ...]


def import_file(
    path: Path, store: Store, reading: Reading | None = None, clock: Callable[[], float] = time.time
) -> Imported:
    """Takes a file's answers into a store. What is there already stays as it is.

    InputError: a file that cannot be read, an unknown shape, a wrong row (with its line), an answer that contradicts
    one that is there. Then nothing of the file is in the store.
    """
    rows = read(path)
    try:
        if is_lossless(rows):
            return Imported("a store", store.take(load(rows)), ())
        shape, (judged, notes) = _understood(rows, reading or Reading())
        if not judged:
            raise InputError(f"no row holds an answer that accord can read ({'; '.join(notes)}); see docs/exchange.md.")
        return Imported(shape, store.take(gather(judged, f"import {path.name}", clock())), tuple(notes))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _understood(rows: Sequence[Row], reading: Reading) -> tuple[str, Read]:
    columns = _columns(rows)
    if is_label_studio(columns):
        return "tasks of Label Studio", read_label_studio(rows, reading)
    if is_argilla(columns):
        return "records of Argilla", read_argilla(rows, reading)
    _check_named(columns, reading)
    rows = [Row(row.where, renamed(row.fields, reading)) for row in rows]
    shape = shape_of(_columns(rows))
    if shape is None:
        raise InputError(f"columns {', '.join(columns)} are no known shape; known are: {known()} (see --columns).")
    judged, notes = shape.read(rows, reading)
    unread = left_out(set(columns) - set(reading.columns.values()), shape)
    return shape.name, (judged, [*notes, *([f"left out: columns {', '.join(unread)}"] if unread else [])])


def _columns(rows: Sequence[Row]) -> list[str]:
    return [*dict.fromkeys(name for row in rows for name in row.fields)]


def _check_named(columns: Collection[str], reading: Reading) -> None:
    if absent := [theirs for theirs in reading.columns.values() if theirs not in columns]:
        raise InputError(f"there is no column {absent[0]!r}; the file has {', '.join(columns)}.")
