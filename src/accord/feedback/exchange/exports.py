"""From a store to a file: all of it in our own form, or the answers about texts as the data sets that others read."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from accord.feedback.exchange.datasets import COLUMNS, Dataset, rows_of_dataset
from accord.feedback.exchange.files import kind_of, write
from accord.feedback.exchange.parcel import columns
from accord.feedback.store import Store
from accord.types import InputError

Form = Literal["lossless", Dataset]


@dataclass(frozen=True)
class Exported:
    """How many rows were written, and of which answers there are none in the file."""

    rows: int
    left: Mapping[str, int]


def export_file(store: Store, path: Path, form: Form = "lossless", names: bool = False) -> Exported:
    """Writes a store's answers. Annotators stand under their pseudonyms where `names` is not set; no truth is written.

    InputError: an ending that the form has no file for, or a data set without a row.
    """
    if form == "lossless":
        return Exported(_lossless(store, path, names), {})
    left: Counter[str] = Counter()
    rows = [*rows_of_dataset(store, form, names, left)]
    if not rows:
        told = ", ".join(f"{what}: {count:,}" for what, count in left.items()) or "no answer"
        raise InputError(f"the store has nothing to write as {form} ({told}); export it --as lossless.")
    return Exported(write(path, COLUMNS[form], rows), left)


def _lossless(store: Store, path: Path, names: bool) -> int:
    kind = kind_of(path)
    if kind not in (".jsonl", ".parquet"):
        raise InputError(
            f"{path}: a whole store fits into .jsonl and .parquet, not into {kind or 'a folder'}; name it one of them."
        )
    with store.dumped(names) as rows:
        return write(path, columns(), rows if kind == ".parquet" else map(_as_json, rows))


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes as base64, which `load` reads."""
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in row.items()
    }
