"""Invariance: a run that was stopped anywhere and resumed ends as the one that was never stopped, apart from times."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from accord import build, config, lineage, loop, records
from accord.progress import Silent
from accord.rewards import choice
from tests.tasks import environments  # noqa: F401  registers accord-test/Square-v0

TREE = {
    "task": {"envs": 16, "horizon": 60},
    "feedback": {"labels": 9, "rounds": 2, "segment": 10, "teacher": {"flaw": "noisy"}},
    "reward": {"members": 2, "epochs": 3, "width": 8},
    "policy": {"steps": 2000, "hidden": [8], "epochs": 2},
    "report": {"episodes": 4, "baselines": False, "clip": False},
}
TIMES = ("time", "seconds")


OFF = {"steps": 1500, "hidden": [8], "batch": 16, "warmup": 100}
PENDULUM = {"id": "Pendulum-v1", "envs": 2}
SB3 = ["learning_starts = 100", "batch_size = 16", "buffer_size = 2000"]
OTHERS = {
    "kernel": {"reward": {"kind": "kernel"}},
    "pretrained": {"feedback": {"pretrain": 400}, "reward": {"kind": "kernel", "crops": 2, "gate": 0.6}},
    "transformer": {"reward": {"kind": "transformer"}},
    "module": {"reward": {"kind": "module:tests.rewards.test_nets.Classical"}},
    "sac": {"policy": {"algorithm": "sac", "refit": "reset", **OFF}},
    "sb3": {"policy": {"algorithm": "sb3:SAC", "steps": 1500, "hidden": [8], "arguments": SB3}, "task": PENDULUM},
    "pictures": {
        "task": {"id": "accord-test/Square-v0", "horizon": 20, "terminates": False},
        "reward": {"kind": "cnn"},
        "policy": {"steps": 2000, "epochs": 2},
    },
    "td3": {"policy": {"algorithm": "td3", **OFF}, "task": PENDULUM},
}


def settings(other: str = "") -> config.RunConfig:
    """The tiny run, or the same with another reward or algorithm."""
    changes = OTHERS.get(other, {})
    given = {name: {**section, **changes.get(name, {})} for name, section in TREE.items()}
    return config.from_tree({**given, "policy": changes.get("policy", TREE["policy"])})


def outcome(folder: Path) -> dict[str, object]:
    """All that a run leaves behind, apart from times: result, records, weights of the policy and the reward."""
    result = json.loads((folder / records.RESULT).read_text())
    result.pop("seconds")
    lines = {
        (r["round"], r["stage"]): {k: v for k, v in r.items() if k not in TIMES} for r in records.read_records(folder)
    }
    weights = {
        f"{part}/{name}": array.tobytes()
        for part in (records.POLICY, records.REWARD)
        for name, array in load_file(folder / part / f"{part}.safetensors").items()
    }
    return {"result": result, "records": lines, "weights": weights}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    build.run(settings(), folder)
    return folder


@pytest.fixture(scope="module")
def whole(unbroken: Path) -> dict[str, object]:
    return outcome(unbroken)


class Stopped(Exception):
    """Stands for any end of the process that leaves no time to tidy up."""


class StopAt(Silent):
    """Stops when a stage of a round begins, or after it was recorded and before it is saved."""

    def __init__(self, round: int, name: str, recorded: bool) -> None:
        self.wanted, self.recorded = (round, name), recorded
        self.now = (-1, "")

    def stage(self, name: str, round: int, rounds: int) -> None:
        self.now = round, name
        if self.now == self.wanted and not self.recorded:
            raise Stopped

    def advance(self, steps: int, total: int) -> None:
        if self.now == self.wanted and self.recorded:
            raise Stopped


JUST_SAVED = ("fit", "improve", "judge")  # they follow a checkpoint; where another begins is where the one before ended


@pytest.mark.slow
def test_invariance_stopped_at_every_stage_it_ends_the_same(whole: dict[str, object], tmp_path: Path):
    """One run, stopped as each stage ends and after checkpoints: whatever a checkpoint forgets shows at the end."""
    folder = tmp_path / "run"
    for round in range(TREE["feedback"]["rounds"]):
        for name in loop.STAGES:
            for recorded in (False, True) if name in JUST_SAVED else (True,):
                with pytest.raises(Stopped):
                    build.run(settings(), folder, resume=True, progress=StopAt(round, name, recorded))
    build.run(settings(), folder, resume=True)
    assert outcome(folder) == whole
    assert all(link.holds for link in lineage.verify(folder))


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHERS)
def test_invariance_resumed_with_any_reward_and_algorithm_it_ends_the_same(other: str, tmp_path: Path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    build.run(settings(other), whole)
    with pytest.raises(Stopped):
        build.run(settings(other), folder, progress=StopAt(1, "fit", recorded=False))
    build.run(settings(other), folder, resume=True)
    assert outcome(folder) == outcome(whole)


@pytest.mark.slow
def test_invariance_resumed_with_a_choice_of_another_reward_in_each_round_it_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Choices are made from few answers here, and whatever was not there before is taken."""
    monkeypatch.setattr(choice, "LEAST", 8)
    monkeypatch.setattr(choice, "FACTOR", -100.0)
    many = replace(settings(), feedback=replace(settings().feedback, labels=36, rounds=3))
    whole, folder = tmp_path / "whole", tmp_path / "run"
    done = build.run(many, whole)
    for round in (1, 2):
        with pytest.raises(Stopped):
            build.run(many, folder, resume=True, progress=StopAt(round, "fit", recorded=round == 2))
    build.run(many, folder, resume=True)
    assert outcome(folder) == outcome(whole)
    chosen = [record["choice"]["chosen"] for record in records.read_records(whole) if record["stage"] == "fit"]
    assert len(set(chosen)) > 1
    assert "likelier than" in str(done.chosen.reward["why"])


def killed(folder: Path, after: float) -> bool:
    """Whether a run in a process of its own was still going when SIGKILL came, so many seconds after its start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["accord.build"])
    process = context.Process(target=build.run, args=(settings(), folder, folder.exists()))
    process.start()
    process.join(after)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


@pytest.mark.slow
def test_invariance_killed_three_times_it_ends_the_same(whole: dict[str, object], tmp_path: Path):
    folder = tmp_path / "run"
    hits = [killed(folder, after) for after in np.random.default_rng(0).uniform(0.1, 0.6, 3)]
    build.run(settings(), folder, resume=True)
    assert any(hits)
    assert outcome(folder) == whole


def test_invariance_a_finished_run_is_not_done_again(unbroken: Path):
    def changed() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in unbroken.rglob("*") if path.is_file()}

    before, saved = changed(), records.read_result(unbroken)
    assert build.run(settings(), unbroken, resume=True) == saved
    assert changed() == before
