"""Golden, contract: accord ask says in a sentence what more answers would buy, and refuses in one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from accord import cli, terminal_choice
from accord.feedback.store import Store
from accord.functional.agreement import ceiling_nats
from accord.types import Answer, Collected, Provenance, Query, Reply, Side, Steps

TOML = """
[task]
id = "Pendulum-v1"
[reward]
kind = "linear"
members = 1
"""
TIME = 6


def pendulum(folder: Path, count: int, twice: int) -> str:
    """A store of comparisons of Pendulum's segments by their height; two people answer the first ones."""
    rng = np.random.default_rng(0)
    store = Store(f"sqlite:///{folder / 'store.db'}")
    for name in ("ann", "bo"):
        store.register(name, "person")
    made = []
    for episode in range(2 * count):
        angle = rng.uniform(-np.pi, np.pi) + 0.1 * rng.normal(size=TIME)
        seen = np.stack([np.cos(angle), np.sin(angle), rng.normal(size=TIME)], 1).astype(np.float32)
        action = rng.uniform(-2, 2, (TIME, 1)).astype(np.float32)
        origin = Provenance("Pendulum-v1", 0, 0, 0, episode, 0)
        made.append(Collected(Steps(seen, action, np.ones(TIME, bool), False), origin))
    ids = store.add(made)
    height = [float(each.segment.observation[:, 0].sum()) for each in made]  # type: ignore[union-attr]
    for i in range(count):
        one, two = 2 * i, 2 * i + 1
        store.ask([Query(f"q{i}", "compare", (ids[one], ids[two]), overlap=2 if i < twice else 1)])
        level = int(height[one] + rng.logistic() > height[two])
        store.answer([Answer(f"a{i}", f"q{i}", "ann", Side(level, 2))])
        if i < twice:
            store.answer([Answer(f"b{i}", f"q{i}", "bo", Side(level if i % 4 else 1 - level, 2))])
    store.close()
    return f"sqlite:///{folder / 'store.db'}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.toml").write_text(TOML)
    return tmp_path


@pytest.mark.slow
def test_golden_ask_says_what_more_answers_would_buy_and_writes_it_down(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    url = pendulum(folder, 60, 20)
    assert cli.main(["ask", "task.toml", "--store", url, "--more", "40", "--json", "ask.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(Path("ask.json").read_text())
    assert lines[0] == told["sentence"]
    assert lines[0].startswith("40 more answers would raise the held-out log-likelihood by 0.")
    assert (told["answers"], told["more"], told["kind"], told["together"]) == (80, 40, "linear", "group")
    assert len(told["sizes"]) == 5 and told["sizes"] == sorted(told["sizes"])
    now, then, gain = (told["likelihood"][name] for name in ("now", "then", "gain"))
    assert now[0] <= then[0] <= 0.0 and gain[1] <= gain[0] <= gain[2]
    assert then[0] - now[0] == pytest.approx(gain[0], abs=0.02)
    assert told["ceiling"][0] == pytest.approx(ceiling_nats(15 / 20, 2))  # every fourth of the twenty differs
    assert any("Nobody who knows the question alone can exceed -0.347" in line for line in lines)
    assert sum(line.count("●") for line in lines) >= 3 and any(line.endswith("foretold") for line in lines)


def test_contract_what_cannot_be_told_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]):
    url = pendulum(folder, 10, 0)
    store = Store("sqlite:///texts.db")
    origin = Provenance("prompts", 0, 0, 0, 0, 0)
    ids = store.add([Collected(Reply("p", text), origin) for text in ("yes", "no")])
    store.ask([Query("q", "compare", tuple(ids))])
    store.register("ann", "person")
    store.answer([Answer("a", "q", "ann", Side(1, 2))])
    store.close()
    Store("sqlite:///empty.db").close()
    for arguments, words in (
        (
            ["task.toml", "--store", url, "--more", "5"],
            "there are 10 answers to uniformly chosen queries, and a learning curve needs 30",
        ),
        (["task.toml", "--store", url, "--more", "41"], "--more is 41 and 10 answers are recorded: give 1 to 40"),
        (["task.toml", "--store", url, "--more", "0"], "--more is 0"),
        (["task.toml"], "names no store of answers"),
        (["task.toml", "--store", "sqlite:///empty.db"], "holds no answers yet"),
        (
            ["task.toml", "--store", "sqlite:///texts.db"],
            "the answers are about another sort of segments: set task.kind",
        ),
        (["nowhere"], "store 'nowhere' is no URL"),
    ):
        assert cli.main(["ask", *arguments]) == 2
        told = capsys.readouterr().err
        assert words in told and told.startswith("accord: ") and told.count("\n") == 1


@pytest.mark.slow
def test_contract_answers_about_texts_are_asked_the_same(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "texts.toml").write_text(
        '[task]\nkind = "text"\n[reward]\nkind = "linear"\nmembers = 1\ntext = "length"\n'
    )
    rng, store = np.random.default_rng(0), Store("sqlite:///texts.db")
    store.register("ann", "person")
    for number in range(60):
        long = rng.choice(40, 2, replace=False) + 1
        replies = [Reply(f"prompt {number}", "word " * int(many)) for many in long]
        ids = store.add([Collected(one, Provenance("prompts", 0, 0, 0, number, 0)) for one in replies])
        store.ask([Query(f"q{number}", "compare", tuple(ids))])
        level = int(np.log(long[0] / long[1]) + 0.3 * rng.logistic() > 0)
        store.answer([Answer(f"a{number}", f"q{number}", "ann", Side(level, 2))])
    store.close()
    assert cli.main(["ask", "texts.toml", "--store", "sqlite:///texts.db", "--more", "30", "--json", "ask.json"]) == 0
    told = json.loads(Path("ask.json").read_text())
    assert told["sentence"].startswith("30 more answers would raise") and told["answers"] == 60
    assert told["accuracy"]["measured"][-1] > 0.6  # the longer one mostly wins, and its length is what is read


def test_golden_a_sketch_shows_points_on_the_curve():
    band = [(n, -1.0 / n - 0.1, -1.0 / n, -1.0 / n + 0.1) for n in (1.0, 2.0, 4.0, 8.0, 16.0)]
    rows = terminal_choice.sketch([(1.0, -1.0), (16.0, -1.0 / 16.0)], band, width=20, height=7).splitlines()
    assert len(rows) == 9 and all(len(row) == 30 for row in rows[:7])
    marked = [row for row in rows if "●" in row]
    assert marked[0].endswith("●") and marked[1][10] == "●"  # the later point is the higher, and at the right end
    assert float(rows[0].split()[0]) == pytest.approx(0.038) and float(rows[6].split()[0]) == pytest.approx(-1.1)
    assert rows[-1].split() == ["1", "16"]
