"""Folders of the library `datasets`, as its `save_to_disk` writes them: Arrow streams beside two files of JSON.

Read and written with pyarrow alone; the library need not be there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from accord.durable import new_folder
from accord.types import InputError

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
DATA = "data-00000-of-00001.arrow"


def is_dataset(path: Path) -> bool:
    """Whether a folder holds a data set, or its splits."""
    return (path / STATE).is_file() or (path / SPLITS).is_file()


def read(path: Path, arrow: Any) -> list[dict[str, Any]]:
    """All rows of a folder. InputError for several splits, or where it is not what `save_to_disk` writes."""
    if (path / SPLITS).is_file():
        names = sorted(each.name for each in path.iterdir() if is_dataset(each))
        raise InputError(f"{path} holds the splits {', '.join(names)}: name the folder of one of them.")
    try:
        files = [each["filename"] for each in json.loads((path / STATE).read_text(encoding="utf-8"))["_data_files"]]
        if outside := [name for name in files if Path(name).name != name]:
            raise InputError(f"{path / STATE} names {outside[0]!r} outside its folder: save the data set again.")
        rows: list[dict[str, Any]] = []
        for name in files:
            with arrow.OSFile(str(path / name)) as file:
                rows += arrow.ipc.open_stream(file).read_all().to_pylist()
        return rows
    except (OSError, ValueError, KeyError, TypeError, arrow.ArrowException) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{path} is no whole folder of datasets ({cause}): save it to disk again.") from error


def write(path: Path, schema: Any, rows: Iterable[Mapping[str, Any]], group: int, arrow: Any) -> int:
    """Writes rows as a folder, whole or not at all, in the place of a data set alone. Returns how many."""
    if path.exists() and not (path / STATE).is_file():
        raise InputError(f"{path} is there and no data set of one split, so it is not replaced: give another name.")
    waiting, count = iter(rows), 0
    with new_folder(path) as fresh:
        with arrow.OSFile(str(fresh / DATA), "wb") as file, arrow.ipc.new_stream(file, schema) as stream:
            while some := [*islice(waiting, group)]:
                stream.write_table(arrow.Table.from_pylist(some, schema=schema))
                count += len(some)
        # The library keys what it remembers of computations by this.
        fingerprint = hashlib.sha256((fresh / DATA).read_bytes()).hexdigest()[:16]
        state = {
            "_data_files": [{"filename": DATA}],
            "_fingerprint": fingerprint,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        (fresh / STATE).write_text(json.dumps(state, indent=2), encoding="utf-8")
        (fresh / INFO).write_text(json.dumps({"citation": "", "description": "", "homepage": "", "license": ""}))
    return count
