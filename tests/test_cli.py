"""Golden, contract: the command line's exit codes, its sentences, and that help imports nothing heavy."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import accord
from accord import cli, records
from accord.config import RunConfig, dump
from accord.progress import Progress
from accord.records import Chosen, Result, Return, RewardQuality, Seconds
from accord.types import InputError, NotFinite

Loop = Callable[[RunConfig, Path, bool, Progress], Result]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text("seed = 5\n[feedback]\nlabels = 40\n")
    return "small.toml"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Callable[[Loop], None]:
    """Puts a loop of the test's own behind `accord run`."""

    def put(run: Loop) -> None:
        build = ModuleType("accord.build")
        build.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "accord.build", build)
        monkeypatch.setattr(accord, "build", build, raising=False)

    return put


def finished(config: RunConfig, out: Path, resume: bool, progress: Progress) -> Result:
    run = records.open_run(out, dump(config), config.seed, resume)
    progress.stage("improve", 0, 1)
    result = Result(
        task=config.task.id,
        seed=config.seed,
        labels=config.feedback.labels,
        env_steps=config.policy.steps,
        seconds=Seconds(1.0, 0.1, 0.2, 0.3),
        true_return=Return(480.0, 3.0, 100, (479.4, 480.6)),
        random_return=22.0,
        constant_reward_return=None,
        reward=RewardQuality(0.9, (0.8, 0.95), 0.05),
        chosen=Chosen(),
    )
    run.finish(result)
    return result


def failing(error: BaseException) -> Loop:
    def run(config: RunConfig, out: Path, resume: bool, progress: Progress) -> Result:
        raise error

    return run


def test_golden_a_run_ends_with_its_figures_and_its_folder(file, loop, capsys):
    loop(finished)
    assert cli.main(["run", file, "--feedback.labels", "60", "--policy.steps=1e4"]) == 0
    shown = capsys.readouterr()
    assert (
        "480.0 (95%: 479.4 to 480.6), sd 3.0" in shown.out
        and "60 labels, 10,000 steps" in shown.out
        and "runs/small-5" in shown.out
    )
    assert "round 1/1 improve" in shown.err
    assert records.read_manifest(Path("runs/small-5"))["configuration"]["feedback"]["labels"] == 60


def test_golden_the_folder_is_named_after_file_and_seed_and_never_reused(file, loop):
    loop(finished)
    for expected in ("runs/small-9", "runs/small-9-2", "runs/small-9-3"):
        assert cli.main(["run", file, "--seed", "9"]) == 0
        assert Path(expected, "result.json").is_file()
    assert cli.default_folder("small", 9, resume=True) == Path("runs/small-9-3")
    assert cli.default_folder("new", 9, resume=True) == Path("runs/new-9")


def test_golden_a_folder_that_is_taken_is_the_users_fault(file, loop, capsys):
    loop(finished)
    assert cli.main(["run", file, "--out", "here"]) == 0
    assert cli.main(["run", file, "--out", "here"]) == 2
    assert "here holds a finished run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "small.toml", "--reward.membres", "5"], 'did you mean "reward.members"?'),
        (["run", "small.toml", "--policy.steps", "many"], 'policy.steps is "many"; it must be a whole number'),
        (["run", "small.toml", "--seed", "-1"], "seed is -1; it must be between 0"),
        (["run", "small.toml", "--sed", "1"], "Unknown option"),
        (["run", "small.toml", "--seed", "x"], "seed"),
        (["run", "smal.toml"], "did you mean small.toml?"),
        (["run"], "requires an argument"),
        (["rnu"], 'Did you mean "run"?'),
        (["verify", "nowhere"], "nowhere is no folder"),
        (["verify", "."], "has no manifest.json, so it is no run"),
        (["report", "nowhere"], "nowhere"),
        (["report", ".", "--report.lang", "zh"], "accord run, select and tune take those"),
    ],
)
def test_golden_wrong_input_is_one_sentence_and_exit_code_2(file, arguments: list[str], words: str, capsys):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.startswith("accord: ")
    assert shown.err.count("\n") == 1 and "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("task.id is x; give another."), 2, "task.id is x; give another."),
        (NotFinite("reward of round 2 is nan."), 1, "The last good checkpoint stays in here"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device. Nothing that was recorded is"),
        (KeyboardInterrupt(), 1, "accord run small.toml --feedback.labels 60 --out here --resume"),
    ],
)
def test_golden_a_stopped_run_says_how_it_goes_on(file, loop, error: BaseException, code: int, words: str, capsys):
    loop(failing(error))
    assert cli.main(["run", file, "--feedback.labels", "60", "--out", "here"]) == code
    shown = capsys.readouterr().err
    assert words in shown and "Traceback" not in shown


def test_contract_a_bug_keeps_its_traceback(file, loop):
    loop(failing(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", file])


def test_golden_keys_of_the_configuration_are_told_from_options():
    rest, keys = cli.split_overrides(
        ["run", "a.toml", "--seed", "1", "--a.b", "-5", "--c.d=x=y", "--e.f", "--resume", "--out", "d.e"]
    )
    assert rest == ["run", "a.toml", "--seed", "1", "--resume", "--out", "d.e"]
    assert keys == {"a.b": "-5", "c.d": "x=y", "e.f": "true"}


def test_golden_verify_fails_where_a_link_is_broken(file, capsys):
    run = records.create(Path("run"), {"seed": 0}, 0)
    Path("run/checkpoints/reward-0").mkdir(parents=True)
    run.record("fit", 0, reward_hash="0" * 64)
    assert cli.main(["verify", "run"]) == 1
    shown = capsys.readouterr()
    assert "round 0: reward 000000000000 changed" in shown.out
    assert "1 of 1 links are broken, first the reward of round 0." in shown.err


HEAVY = (
    "torch",
    "numpy",
    "pydantic",
    "sqlalchemy",
    "gymnasium",
    "plotly",
    "scipy",
    "rich.markdown",
    "importlib.metadata",
)


@pytest.mark.parametrize(
    "code", ["import accord", "from accord.cli import main; main(['--help']); main(['run', '--help'])"]
)
def test_contract_nothing_heavy_is_imported_for_help_or_the_face(code: str):
    check = f"{code}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {check}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_contract_the_face_names_parts_that_exist():
    for name in accord.__all__:
        assert getattr(accord, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = accord.nothing


def test_contract_help_and_version_end_well(capsys):
    assert cli.main(["--help"]) == 0
    assert cli.main(["run", "--help"]) == 0
    assert cli.main(["--version"]) == 0
    shown = capsys.readouterr().out
    assert "verify" in shown and "--resume" in shown and "0.1" in shown
