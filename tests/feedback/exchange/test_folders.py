"""Golden, property: folders of the library `datasets` are read and written, and any text survives all forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.feedback.exchange import files
from accord.feedback.exchange.exports import export_file
from accord.feedback.exchange.imports import import_file
from accord.feedback.store import Store
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side, Verdict, segment_id

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Arrow was read or written.")

COLUMNS: dict[str, files.Holds] = {"prompt": "text", "chosen": "text", "rejected": "text", "margin": "whole"}
ROWS = [{"prompt": "p é", "chosen": "a\r\n", "rejected": "", "margin": None},
        {"prompt": "q", "chosen": "b", "rejected": "c", "margin": 3}]  # fmt: skip


def shards(folder: Path, parts: Sequence[list[dict[str, Any]]]) -> Path:
    """A folder as `save_to_disk` writes it, in several files."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{len(parts):05d}.arrow" for number in range(len(parts))]
    for name, rows in zip(names, parts, strict=True):
        table = arrow.Table.from_pylist(rows)
        with arrow.OSFile(str(folder / name), "wb") as file, arrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def fields(path: Path) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in files.read(path)]


def test_golden_a_folder_in_several_files_is_read_in_order(tmp_path: Path):
    folder = shards(tmp_path / "data", [ROWS, ROWS[:1]])
    assert fields(folder) == [*ROWS, ROWS[0]]
    assert [row.where for row in files.read(folder)] == ["row 1", "row 2", "row 3"]


def test_golden_the_library_reads_what_is_written_and_the_other_way_round(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("datasets", reason="datasets is not installed: it read nothing of ours.")
    assert files.write(tmp_path / "ours", COLUMNS, ROWS) == 2
    found = library.load_from_disk(str(tmp_path / "ours"))
    assert list(found) == ROWS and found.column_names == [*COLUMNS]
    found.map(lambda row: row).save_to_disk(str(tmp_path / "theirs"), num_shards=2)
    assert fields(tmp_path / "theirs") == ROWS
    found.select([1]).save_to_disk(str(tmp_path / "one"))
    assert fields(tmp_path / "one") == ROWS[1:]


def test_contract_splits_are_named_one_by_one(tmp_path: Path):
    for name in ("train", "test"):
        shards(tmp_path / "all" / name, [ROWS])
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match="holds the splits test, train: name the folder of one of them"):
        files.read(tmp_path / "all")
    assert fields(tmp_path / "all" / "train") == ROWS


def test_contract_only_a_data_set_is_replaced(tmp_path: Path):
    kept = tmp_path / "mine"
    kept.mkdir()
    (kept / "thesis.txt").write_text("years")
    for path in (kept, tmp_path):
        with pytest.raises(InputError, match="is there and no data set of one split, so it is not replaced"):
            files.write(path, COLUMNS, ROWS)
    assert (kept / "thesis.txt").read_text() == "years"
    files.write(tmp_path / "set", COLUMNS, ROWS)
    files.write(tmp_path / "set", COLUMNS, ROWS[1:])
    assert fields(tmp_path / "set") == ROWS[1:]


def spoil(folder: Path, what: str) -> None:
    match what:
        case "torn":
            (data,) = folder.glob("*.arrow")
            data.write_bytes(data.read_bytes()[:100])
        case "gone":
            next(folder.glob("*.arrow")).unlink()
        case "outside":
            (folder / "state.json").write_text('{"_data_files": [{"filename": "../a.arrow"}]}')
        case "state":
            (folder / "state.json").write_text("[]")
        case "none":
            (folder / "state.json").unlink()
        case "empty":
            (folder / "state.json").write_text('{"_data_files": []}')


SPOILT = {
    "torn": "is no whole folder of datasets",
    "gone": "is no whole folder of datasets",
    "outside": r"names '\.\./a\.arrow' outside its folder",
    "state": "is no whole folder of datasets",
    "none": "is no file, nor a folder of datasets",
    "empty": "holds no row",
}


@pytest.mark.parametrize("what", SPOILT)
def test_contract_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, what: str):
    folder = shards(tmp_path / "data", [ROWS])
    spoil(folder, what)
    with pytest.raises(InputError, match=SPOILT[what]) as error:
        files.read(folder)
    assert "\n" not in str(error.value)


def test_contract_a_whole_store_is_written_to_a_file(tmp_path: Path, empty: Callable[[], Store]):
    with pytest.raises(InputError, match=r"fits into .jsonl and .parquet, not into a folder"):
        export_file(empty(), tmp_path / "folder")


# What UTF-8 can hold and a store takes: no half surrogate pairs, no NUL.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@pytest.mark.parametrize("ending", [".jsonl.gz", ".csv", ".parquet", ""])
@given(prompt=TEXTS, texts=st.lists(TEXTS, min_size=2, max_size=4, unique=True), strength=st.integers(1, 3))
@settings(max_examples=8)
def test_property_replies_of_any_text_come_back(
    empty: Callable[[], Store], ending: str, prompt: str, texts: list[str], strength: int
):
    """Pairs with their margin and single replies with their label: the same segments, the same answers."""
    store, copy = empty(), empty()
    replies = [Reply(prompt, text) for text in texts]
    ids = store.add([Collected(reply, Provenance("t", 0, 0, 0, 0, 0)) for reply in replies])
    store.register("w", "person")
    store.ask([Query("pair", "compare", (ids[0], ids[1]), 7), *(Query(id, "approve", (id,)) for id in ids)])
    store.answer([Answer("p", "pair", "w", Side(3 + strength, 7))])
    store.answer([Answer(f"a{n}", id, "w", Verdict(n % 2 == 0)) for n, id in enumerate(ids)])
    with TemporaryDirectory() as folder:
        for form in ("preferences", "approvals"):
            export_file(store, Path(folder) / f"{form}{ending}", form, names=True)
            import_file(Path(folder) / f"{form}{ending}", copy)
    verdicts: dict[str, bool] = {}
    for answer in copy.answers():
        (query,) = copy.queries([answer.query])
        if isinstance(answer.value, Verdict):
            verdicts[query.segments[0]] = answer.value.approved
        else:
            first = query.segments[0] == ids[0]
            assert answer.value == Side(3 + strength if first else 3 - strength, 7)
            assert set(query.segments) == set(ids[:2])
    assert verdicts == {segment_id(reply): n % 2 == 0 for n, reply in enumerate(replies)}
