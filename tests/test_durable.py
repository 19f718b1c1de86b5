"""Golden, invariance: a file holds the old content or the new, whatever happens in between."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from accord import durable
from accord.types import InputError, NotFinite


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """Files cannot grow beyond `size` bytes: what a full disk looks like from inside."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_golden_numbers_of_numpy_and_torch_become_json():
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": torch.tensor(3), "d": Path("x"), 4: (True, None)}
    assert json.loads(durable.encode(value, "record")) == {"a": 0.5, "b": [0, 1], "c": 3, "d": "x", "4": [True, None]}


@pytest.mark.parametrize("bad", [float("nan"), np.float32("inf"), torch.tensor([1.0, float("nan")])])
def test_golden_what_is_not_finite_is_named_with_its_place(bad: object):
    with pytest.raises(NotFinite, match=r"^fit of round 2: loss: members(\[1\])? is (nan|inf); only finite"):
        durable.encode({"loss": {"members": bad}}, "fit of round 2")


def test_invariance_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "manifest.json"
    durable.write_json(path, {"old": 1})
    with disk_full_after(100), pytest.raises(OSError):
        durable.write_json(path, {"new": "x" * 1000})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_invariance_a_full_disk_leaves_no_torn_line(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    durable.append_line(path, '{"a": 1}')
    with disk_full_after(50), pytest.raises(OSError):
        durable.append_line(path, json.dumps({"b": "x" * 1000}))
    durable.append_line(path, '{"c": 3}')
    assert list(durable.read_lines(path)) == [{"a": 1}, {"c": 3}]


def test_golden_a_torn_last_line_is_dropped_and_cut(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n{"b": 2}\n{"c":')
    assert list(durable.read_lines(path)) == [{"a": 1}, {"b": 2}]
    durable.drop_torn_line(path)
    durable.append_line(path, '{"d": 4}')
    assert list(durable.read_lines(path)) == [{"a": 1}, {"b": 2}, {"d": 4}]


@pytest.mark.parametrize(("line", "words"), [('{"c":', "line 1 is no JSON;"), ("[1]", "line 1 is no JSON object")])
def test_golden_a_broken_line_elsewhere_is_refused(tmp_path: Path, line: str, words: str):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{line}\n{{"a": 1}}\n')
    with pytest.raises(InputError, match=words):
        list(durable.read_lines(path))


def fill(final: Path, text: str) -> None:
    with durable.new_folder(final) as fresh:
        (fresh / "inner").mkdir()
        (fresh / "inner" / "weights").write_text(text)


def test_golden_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path):
    final = tmp_path / "policy"
    fill(final, "one")
    (final / "stale").touch()
    fill(final, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert [path.name for path in final.rglob("*")] == ["inner", "weights"]
    assert (final / "inner" / "weights").read_text() == "two"


def test_invariance_a_fault_while_filling_leaves_the_old_folder(tmp_path: Path):
    final = tmp_path / "policy"
    fill(final, "one")
    with pytest.raises(ZeroDivisionError), durable.new_folder(final) as fresh:
        (fresh / "half").touch()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert (final / "inner" / "weights").read_text() == "one"


@pytest.mark.parametrize("moment", ["before the second rename", "after it"])
def test_invariance_a_kill_between_the_renames_is_put_right(tmp_path: Path, moment: str):
    final = tmp_path / "policy"
    fill(final, "one")
    os.replace(final, tmp_path / ".policy.old")
    if moment == "after it":
        fill(tmp_path / "other", "two")
        os.replace(tmp_path / "other", final)
    durable.settle(final)
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert (final / "inner" / "weights").read_text() == ("one" if moment.startswith("before") else "two")


def test_property_a_folders_hash_sees_names_and_content_alone(tmp_path: Path):
    for name in ("a", "b"):
        fill(tmp_path / name, "one")
    first = durable.hash_file(tmp_path / "a")
    assert first == durable.hash_file(tmp_path / "b") and len(first) == 64
    (tmp_path / "b" / "inner" / "weights").rename(tmp_path / "b" / "inner" / "bias")
    assert durable.hash_file(tmp_path / "b") != first
    fill(tmp_path / "b", "other")
    assert durable.hash_file(tmp_path / "b") != first


def test_golden_a_files_hash_is_sha256(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    assert durable.hash_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
