"""Files that survive a kill: a reader sees the old content or the new, never half of either. And their hashes.

JSON is strict: a NaN or an infinity is refused with its place, because JSON has no word for them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from accord.types import InputError, NotFinite


def encode(value: object, place: str, indent: int | None = None) -> str:
    """`value` as JSON. Scalars and arrays of NumPy and PyTorch become numbers and lists, a path becomes text.

    Raises `NotFinite`, naming `place` and the keys below it, where a number is not finite.
    """
    return json.dumps(_plain(value, place), allow_nan=False, indent=indent)


def decode(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises `InputError` for anything else."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); accord writes it whole: restore the file.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is no JSON object; accord writes one: restore the file.")
    return value


def write_json(path: Path, value: object) -> None:
    """Replaces a file by `value` as JSON: a reader sees the old file or the new one, never half of one."""
    write_bytes(path, (encode(value, path.name, indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file whole: written beside it, made durable, renamed."""
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(final: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `final` when the block ends well, and is gone where it does not."""
    beside = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, final)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(final.parent)


def is_leftover(path: Path) -> bool:
    """Whether a killed `write_bytes` left this file behind."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def append_line(path: Path, line: str) -> None:
    """Adds one line to a file for good. Where the disk is full the file stays as it was."""
    rest = memoryview(line.encode() + b"\n")
    with open(path, "ab", buffering=0) as file:  # a buffer would be written again on closing
        before = file.tell()
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file. A last line that a kill has torn is dropped; a broken one elsewhere is refused."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # after the last newline: nothing, or a torn line
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"{path} line {number} is no JSON; accord never writes such a line: restore the file."
            ) from error
        if not isinstance(value, dict):
            raise InputError(f"{path} line {number} is no JSON object; a record is one: restore the file.")
        yield value


def drop_torn_line(path: Path) -> None:
    """Cuts what follows the last newline, so that the next line starts on its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Gives an empty folder to fill; at the end it takes the place of `final`. After a fault nothing has changed.

    Where `final` exists it is moved aside first, so a kill between two renames leaves `.NAME.old`: `settle` undoes it.
    """
    fresh, old = _beside(final, "new"), _beside(final, "old")
    settle(final)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        for path in sorted(fresh.rglob("*")):
            _sync(path)
        _sync(fresh)
        if final.exists():
            os.replace(final, old)
        os.replace(fresh, final)
        _sync(final.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        settle(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def settle(final: Path) -> None:
    """Puts right what a kill during `new_folder(final)` left: the old folder returns, or goes if the new one stands."""
    old = _beside(final, "old")
    if not old.exists():
        return
    if final.exists():
        shutil.rmtree(old)
    else:
        os.replace(old, final)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's content, or of a folder's: every file in it by relative name and content."""
    if path.is_file():
        with open(path, "rb") as content:  # piece by piece: a model may be larger than the memory
            return hashlib.file_digest(content, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            name = file.relative_to(path).as_posix()
            digest.update(f"{name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _plain(value: object, place: str) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}: {key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return _plain(value.tolist(), place)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise NotFinite(f"{place} is {value}; only finite numbers can be recorded.")
    return value


def _beside(final: Path, suffix: str) -> Path:
    return final.with_name(f".{final.name}.{suffix}")


def _sync(path: Path) -> None:
    """Makes a file, or a folder's list of names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
