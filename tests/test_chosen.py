"""From a store to a chosen reward: `accord select` on answers that a teacher gave, and what it says of wrong input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from accord import chosen, cli, config, terminal_choice
from accord.feedback.queries import Candidates, QueryConfig, compose
from accord.feedback.store import Store
from accord.feedback.teachers import Teacher, TeacherConfig
from accord.rewards import words
from accord.rewards.candidates import Candidate
from accord.rewards.fit import RewardConfig
from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import Collected, Provenance, Query, Reply, segment_id

FILE = "[task]\nid = 'Pendulum-v1'\n[reward]\nkind = 'linear'\n"


def answered(url: str, count: int) -> None:
    """A store with so many comparisons of Pendulum segments by a noisy teacher."""
    task = ControlTask(ControlConfig(id="Pendulum-v1", envs=4))
    explore(task, 400, 0)
    made = collect(task, 40, 20, np.random.default_rng(0), round=0, policy_version=0, seed=0)
    ids = tuple(segment_id(one.segment) for one in made)
    features, episodes = np.zeros((len(ids), 1)), np.array([one.provenance.episode for one in made])
    pool = Candidates(ids, np.zeros((0, len(ids))), episodes, features)
    queries = compose(pool, count, QueryConfig(uniform=1.0), np.random.default_rng(0), 0, [])
    store = Store(url)
    store.add(made)
    store.ask(queries)
    Teacher(store, TeacherConfig("noisy"), 0).work()
    store.close()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates in the place of hundreds."""

    def grid(base: RewardConfig, *_: object) -> list[Candidate]:
        return [Candidate(base), Candidate(replace(base, kind="kernel", weighed=False))]

    monkeypatch.setattr(chosen, "grid", grid)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.toml").write_text(FILE)
    return tmp_path


def test_contract_select_writes_what_a_run_takes_as_it_is(place: Path, few: None, capsys: pytest.CaptureFixture[str]):
    answered(f"sqlite:///{place / 'store.db'}", 60)
    assert cli.main(["select", "task.toml", "--store", ".", "--workers", "1", "--reward.members", "4"]) == 0
    told = capsys.readouterr()
    assert "Chosen: " in told.out and "60 answers, 5 folds" in told.out
    record = json.loads((place / "runs" / "task-choice" / "selection.json").read_text())
    made = config.load(place / "runs" / "task-choice" / "chosen.toml")
    assert record["chosen"] in {row["name"] for row in record["rows"]}
    assert made.reward.kind == record["config"]["kind"] and made.reward.members == 4
    assert made.task.id == "Pendulum-v1"
    assert record["confirmed"] is not None and record["rows"][0]["score"] < 0.0
    assert record["finalists"][0]["name"] == record["chosen"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["task.toml"], "no answers to choose by"),
        (["task.toml", "--store", "nowhere"], "is no URL"),
        (["task.toml", "--store", ".", "--workers", "0"], "--workers is 0"),
        (["task.toml", "--store", "."], "folds of whole ones are wanted"),
        (["task.toml", "--store", ".", "--task.id", "Acrobot-v1"], "name the task that the answers are about"),
    ],
)
def test_contract_wrong_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], told: str, place: Path, few: None, capsys: pytest.CaptureFixture[str]
):
    answered(f"sqlite:///{place / 'store.db'}", 2)
    assert cli.main(["select", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_contract_segments_of_another_sort_are_refused(place: Path, few: None, capsys: pytest.CaptureFixture[str]):
    answered(f"sqlite:///{place / 'store.db'}", 10)
    store = Store(f"sqlite:///{place / 'store.db'}")
    replies = [Collected(Reply("why?", f"reply {k}"), Provenance("text", 0, 0, 0, 0, 0), np.zeros(1)) for k in range(2)]
    store.add(replies)
    store.ask([Query("q", "compare", tuple(segment_id(one.segment) for one in replies))])
    Teacher(store, TeacherConfig(), 0).work()
    store.close()
    assert cli.main(["select", "task.toml", "--store", "."]) == 2
    assert "2 of" in (err := capsys.readouterr().err) and "in a store of their own" in err


def test_contract_texts_have_their_choice_and_a_run_needs_prompts(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def grid(base: RewardConfig, annotators: int, picture: None, texts: list[str]) -> list[Candidate]:
        return [Candidate(base, text) for text in texts]

    monkeypatch.setattr(chosen, "grid", grid)
    monkeypatch.setattr(words, "offered", lambda: ("length", "style"))
    (place / "task.toml").write_text("[task]\nkind = 'text'\n[reward]\nkind = 'linear'\n")
    store, rng = Store(f"sqlite:///{place / 'store.db'}"), np.random.default_rng(0)
    for number in range(12):
        some = [Reply(f"prompt {number}", "word " * int(n)) for n in rng.choice(30, 3, replace=False) + 1]
        truths = [np.array([np.log(len(one.response))]) for one in some]
        made = [Collected(one, Provenance("text", 0, 0, 0, 0, 0), t) for one, t in zip(some, truths, strict=True)]
        store.add(made)
        ids = [segment_id(one) for one in some]
        store.ask([Query(f"q{number}{a}{b}", "compare", (ids[a], ids[b])) for a, b in ((0, 1), (1, 2), (0, 2))])
    Teacher(store, TeacherConfig(), 0).work()
    store.close()
    assert cli.main(["select", "task.toml", "--store", ".", "--workers", "1"]) == 0
    made = config.load(place / "runs" / "task-choice" / "chosen.toml")
    assert made.reward.text == "length" and made.reward.select == "fixed"
    capsys.readouterr()
    assert cli.main(["run", "task.toml"]) == 2
    assert "task.prompts is empty" in capsys.readouterr().err


def test_golden_a_choice_is_shown_with_its_reasons(capsys: pytest.CaptureFixture[str]):
    row = {"left": "", "parameters": 5, "seconds": 1.0, "error": 0.02, "ece": 0.03, "brier": 0.2, "accuracy": 0.8}
    row |= {"accuracy_ci": [0.7, 0.9]}
    ended = [
        row | {"name": "kernel, 3 members", "score": -0.4, "difference": 0.0, "difference_error": 0.0},
        row | {"name": "linear, 3 members", "score": -0.401, "difference": -0.001, "difference_error": 0.002},
        row | {"name": "mlp", "left": "short", "score": None},
    ]
    record = {
        "rows": ended,
        "chosen": "linear, 3 members",
        "why": "linear, 3 members: the simplest of 2.",
        "answers": 60,
    }
    record |= {"folds": 5, "apparent": -0.401, "confirmed": [-0.41, -0.5, -0.3]}
    terminal_choice.show_choice(Console(width=110), record, [], "chosen.toml")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("→  linear, 3 members") and "-0.0010 ± 0.0020" in lines[2]
    assert lines[1].split()[-1] == "1.0" and "best" in lines[1]
    assert "1 left after a short climb." in lines
    assert lines[-1] == "accord run chosen.toml"


def test_contract_a_race_of_policies_ends_the_choice(
    place: Path, few: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("accord.rewards.finalists._near", lambda row: True)  # both are left
    answered(f"sqlite:///{place / 'store.db'}", 150)
    arguments = ["task.toml", "--store", ".", "--workers", "2", "--policy.steps", "3000", "--tune.episodes", "2"]
    assert cli.main(["select", *arguments]) == 0
    told = capsys.readouterr()
    record = json.loads((place / "runs" / "task-choice" / "selection.json").read_text())
    names = [one["name"] for one in record["finalists"]]
    assert (
        len(names) == 2
        and list(record["race"]) == names
        and all(len(scores) == 5 for scores in record["race"].values())
    )
    assert record["taken"] in names and "short runs, judged by other answers" in told.out
    first = record["race"][names[0]]
    better = [n for n in names[1:] if all(a > b for a, b in zip(record["race"][n], first, strict=True))]
    assert (record["taken"] in better) if better else record["taken"] == names[0]
    capsys.readouterr()
    assert cli.main(["select", *arguments, "--no-race"]) == 0
    assert json.loads((place / "runs" / "task-choice" / "selection.json").read_text())["race"] == {}
