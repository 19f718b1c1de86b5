"""Golden: accord export, import and forget say what they did, and what they refuse, in sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accord import cli
from accord.feedback.store import Store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with preference data of two annotators, whose names are Ann and Bo."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    rows = [{"prompt": "p", "response_a": "x", "response_b": "y", "label": label, "annotator": who, "model": "m"}
            for who, label in (("Ann", "a"), ("Bo", "tie"))]  # fmt: skip
    (tmp_path / "votes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_golden_in_out_and_forgotten(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["import", "votes.jsonl", "run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "votes.jsonl (labelled pairs): answers 2 new, 0 there already",
        "new: queries 1, segments 2, annotators 2",
        "left out: columns model",
    ]
    assert cli.main(["import", "votes.jsonl", f"sqlite:///{folder / 'run' / 'store.db'}"]) == 0
    assert "answers 0 new, 2 there already" in capsys.readouterr().out
    assert cli.main(["export", "run", "--to", "all.jsonl.gz"]) == 0
    assert cli.main(["export", "run", "--to", "pairs.csv", "--as", "preferences", "--names"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "all.jsonl.gz: 10 rows",
        "pairs.csv: 1 rows",
        "left out: ties (1)",
    ]
    assert Path("pairs.csv").read_text().splitlines() == ["prompt,chosen,rejected,margin,annotator", "p,x,y,,Ann"]
    Path("run/reward.json").write_text('{"annotator": "Ann"}')
    assert cli.main(["forget", "Ann", "run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "forgotten; answers gone: 1",
        "may still hold the name: run/reward.json",
    ]
    assert cli.main(["export", "run", "--to", "pairs.csv", "--as", "preferences"]) == 2
    told = capsys.readouterr().err
    assert "the store has nothing to write as preferences (skips: 1, ties: 1); export it --as lossless." in told
    assert cli.main(["forget", "Bo", "run", "--keep-answers"]) == 0
    store = Store("sqlite:///run/store.db")
    assert not {"Ann", "Bo"} & {*store.pseudonyms()}
    store.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "run"], "give OUT, and --policy or --reward, for what a run learned, or --to FILE"),
        (["export", "run", "a.zip", "--to", "a.jsonl"], "give OUT, and --policy or --reward"),
        (["export", "run", "a.zip", "--names"], "give OUT, and --policy or --reward"),
        (["export", "run", "--to", "a.jsonl"], "run holds no store; give the folder of a run"),
        (["forget", "Ann", "run"], "run holds no store"),
        (["forget", "Ann", "sqlite:///none.db"], "sqlite:///none.db holds no store"),
        (["import", "none.jsonl", "run"], "none.jsonl is no file"),
        (["import", "votes.jsonl", "nowhere"], "store 'nowhere' is no URL"),
        (["import", "votes.jsonl", "run", "--scale", "five"], "a scale 'five' is none"),
        (["import", "votes.jsonl", "run", "--scale", "1-99"], "a scale from 1 to 99: give one of 2 to 11 levels"),
        (["import", "votes.jsonl", "run", "--labels", "a=b,c"], "labels: 'c' stands for nothing"),
        (["import", "votes.jsonl", "run", "--labels", "0=left"], "a label means 'left'; it must mean one of a, b"),
        (["import", "votes.jsonl", "run", "--annotator", ""], "an annotator has an empty name"),
    ],
)
def test_golden_wrong_input_is_one_sentence_and_exit_code_2(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(arguments) == 2
    told = capsys.readouterr().err
    assert words in told and told.startswith("accord: ") and told.count("\n") == 1
    assert not Path("none.db").exists()
