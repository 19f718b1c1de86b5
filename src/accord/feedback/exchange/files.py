"""Files of rows: JSON lines, a JSON list, CSV, TSV and Parquet, compressed by gzip or not. Loading executes nothing.

The kind is told by the name's ending; without one it is a folder of the library `datasets` (`folders`). Parquet and
such folders need pyarrow, which is an extra.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from accord.durable import new_file
from accord.feedback.exchange import folders
from accord.types import InputError

KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_WRITTEN = (".jsonl", ".csv", ".tsv", ".parquet")
FOLDER = ""
_GROUP = 1000  # rows written to Parquet at once

Holds = Literal["text", "whole", "real", "truth", "bytes", "texts", "wholes"]  # what a column holds, or is empty


@dataclass(frozen=True)
class Row:
    """One row of a file and where it stands: `line 7` or `row 7`."""

    where: str
    fields: Mapping[str, Any]


def kind_of(path: Path) -> str:
    """Which of KINDS a file is, or FOLDER. InputError for another ending."""
    name = path.name.lower().removesuffix(".gz")
    kind = {".ndjson": ".jsonl"}.get(Path(name).suffix, Path(name).suffix)
    if path.is_dir() or (not kind and not path.is_file()):
        return FOLDER
    if kind not in KINDS:
        raise InputError(f"{path} ends in none of {', '.join(KINDS)} (.gz may follow): rename or convert it.")
    return kind


def read(path: Path) -> list[Row]:
    """All rows of a file. InputError, with the line, where it is not what its name says, or holds no row."""
    kind = kind_of(path)
    if kind == FOLDER and folders.is_dataset(path):
        found = folders.read(path, _pyarrow(path)[0])
        rows = [Row(f"row {number}", each) for number, each in enumerate(found, start=1)]
    elif not path.is_file():
        raise InputError(f"{path} is no file, nor a folder of datasets: give one that is there.")
    elif kind == ".parquet":
        rows = _read_parquet(path)
    else:
        text = _text(path)
        rows = [*(_READERS[kind](path, text))]
    if not rows:
        raise InputError(f"{path} holds no row: give a file with at least one.")
    return rows


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.name.lower().endswith(".gz") else content).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 at byte {error.start}: save it as UTF-8.") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{path} is no whole gzip file ({error}): fetch it again or drop the .gz.") from error


def _read_lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _row(path, f"line {number}", _parsed(path, f"line {number}", line))


def _read_list(path: Path, text: str) -> Iterator[Row]:
    found = _parsed(path, "row 1", text)
    if not isinstance(found, list):
        raise InputError(f"{path} holds no list of objects: write one, or one object a line as .jsonl.")
    for number, each in enumerate(found, start=1):
        yield _row(path, f"row {number}", each)


def _parsed(path: Path, where: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} {where} is no JSON ({error}): mend or remove it.") from error


def _row(path: Path, where: str, found: object) -> Row:
    if not isinstance(found, dict):
        raise InputError(f"{path} {where} is no JSON object: write its fields by name.")
    return Row(where, found)


def _read_table(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        last = reader.line_num
        for cells in reader:
            where, last = f"line {last + 1}", reader.line_num
            if cells and len(cells) != len(header):
                raise InputError(f"{path} {where} has {len(cells)} cells, the header has {len(header)}: quote or fill.")
            if cells:
                yield Row(where, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num} is no row of a table ({error}): mend it.") from error


_READERS = {
    ".jsonl": _read_lines,
    ".json": _read_list,
    ".csv": lambda path, text: _read_table(path, text, ","),
    ".tsv": lambda path, text: _read_table(path, text, "\t"),
}


def _read_parquet(path: Path) -> list[Row]:
    arrow, parquet = _pyarrow(path)
    try:
        found = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{path} is no whole Parquet file ({cause}): write it again.") from error
    return [Row(f"row {number}", each) for number, each in enumerate(found, start=1)]


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: pyarrow is missing; pip install 'accord[parquet]', or use .jsonl.") from error
    return pyarrow, parquet


def write(path: Path, columns: Mapping[str, Holds], rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows whole: the file is there when all are, and an old one stays until then. Returns how many."""
    kind = kind_of(path)
    if kind not in (*_WRITTEN, FOLDER):
        raise InputError(f"{path}: {kind} is read but not written; name it {', '.join(_WRITTEN)}.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {str(path.parent)!r}; make it first.")
    if kind in (".parquet", FOLDER):
        return _write_columns(path, columns, rows)
    with _text_file(path) as file:
        return _write_lines(file, columns, rows) if kind == ".jsonl" else _write_table(file, kind, columns, rows)


@contextmanager
def _text_file(path: Path) -> Iterator[io.TextIOWrapper]:
    with new_file(path) as raw:
        if path.name.lower().endswith(".gz"):
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
            with io.TextIOWrapper(packed, encoding="utf-8", newline="") as file:
                yield file
        else:
            file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
            yield file
            file.detach()  # flushed; `new_file` closes what is below


def _write_lines(file: io.TextIOWrapper, columns: Mapping[str, Holds], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps({name: row[name] for name in columns if name in row}, ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_table(
    file: io.TextIOWrapper, kind: str, columns: Mapping[str, Holds], rows: Iterable[Mapping[str, Any]]
) -> int:
    writer = csv.writer(file, delimiter="," if kind == ".csv" else "\t")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
        count += 1
    return count


def _cell(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _write_columns(path: Path, columns: Mapping[str, Holds], rows: Iterable[Mapping[str, Any]]) -> int:
    arrow, parquet = _pyarrow(path)
    types = {
        "text": arrow.string(),
        "whole": arrow.int64(),
        "real": arrow.float64(),
        "truth": arrow.bool_(),
        "bytes": arrow.binary(),
        "texts": arrow.list_(arrow.string()),
        "wholes": arrow.list_(arrow.int64()),
    }
    schema = arrow.schema([(name, types[holds]) for name, holds in columns.items()])
    if kind_of(path) == FOLDER:
        return folders.write(path, schema, rows, _GROUP, arrow)
    waiting, count = iter(rows), 0
    with new_file(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := [*islice(waiting, _GROUP)]:
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count
