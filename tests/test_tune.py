"""Golden, contract: accord tune on the command line: its exit codes, its sentences, its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from accord import cli, config, trials, tune
from accord.tuning.trial import Job, Outcome
from tests.tuning.toys import Inline, failing, settings, toy


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "small.toml").write_text(config.to_text(settings(arms=["ppo"])))
    return "small.toml"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Job], Outcome]], None]:
    """Puts trials of the test's own behind the command."""
    return lambda work: monkeypatch.setattr(tune, "_engine", lambda name, workers: lambda: Inline(work))


def test_golden_a_study_ends_with_its_table_and_what_to_run(file, engine, capsys):
    engine(toy)
    assert cli.main(["tune", file, "--budget", "24trials", "--sync", "--tune.finalists", "1"]) == 0
    shown = capsys.readouterr()
    result = trials.read_result(Path("studies/small-3"))
    assert result.verdict.why.split(":")[0] in shown.out.replace("\n", " ")
    took = f"{result.trials} trials"
    assert 20 <= result.trials <= 24
    for words in ("confirmed", "over the default", "apparent", "judged by the true return", took):
        assert words in shown.out
    assert "accord run studies/small-3/chosen.toml" in shown.out
    assert all(len(line.rstrip()) <= 80 for line in shown.out.splitlines())
    assert "…" not in shown.out
    assert config.load(Path("studies/small-3/chosen.toml")).tune.finalists == 1
    assert f"confirmation · {result.trials}/24 trials" in shown.err
    assert cli.main(["tune", file, "--budget", "24trials", "--sync", "--tune.finalists", "1", "--resume"]) == 0


def test_contract_an_interrupted_study_says_how_it_goes_on(file, engine, capsys):
    def interrupted(job: Job) -> Outcome:
        if job.number == 5:
            raise KeyboardInterrupt
        return toy(job)

    engine(interrupted)
    assert cli.main(["tune", file, "--budget", "24trials", "--sync", "--seed", "7"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    again = "accord tune small.toml --seed 7 --budget 24trials --sync --out studies/small-7 --resume"
    assert said == f"accord: Stopped. The study in studies/small-7 stays as it is; it goes on with: {again}"
    engine(toy)
    assert cli.main(again.split()[1:]) == 0
    assert trials.read_result(Path("studies/small-7")).trials <= 24


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--budget", "soon"], '--budget is "soon"; it must be a number and one of s, m, h'),
        (["--budget", "3trials"], "--budget is 3trials, and the smallest study of this file is 11 runs"),
        (["--budget", "24trials", "--workers", "0"], "--workers is 0; it must be between 1 and 4,096"),
        (["--budget", "24trials", "--tune.arms", '["a2c"]'], "the arm a2c cannot act in Pendulum-v1"),
        (["--budget", "24trials", "--tune.juge", "truth"], 'did you mean "tune.judge"?'),
        (["--budget", "24trials"], "all 6 trials failed, the first with: NotFinite: the loss became nan"),
    ],
)
def test_contract_bad_input_is_one_sentence_and_exit_2(words, sentence, file, monkeypatch, capsys):
    started = tune._engine

    def start(name: str, workers: int | None) -> Callable[[], Inline]:
        started(name, workers)
        return lambda: Inline(failing)

    monkeypatch.setattr(tune, "_engine", start)
    assert cli.main(["tune", file, *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in said and said.startswith("accord: ") and said.endswith((".", "?"))
