"""Contract, invariance: one suite for every engine; workers and coordinators that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accord import config, trials
from accord.tuning import budget, study
from accord.tuning.engine import Engine, Local
from accord.tuning.trial import Job, Outcome
from tests.tuning.toys import TREE, Inline, deadly, restless, settings, toy

SHORT = {"arms": ["ppo"], "confirm": 2, "finalists": 1}
ROOT = Path(__file__).resolve().parent.parent.parent


def job(number: int, folder: Path | None = None) -> Job:
    tree = config.dump(settings())
    if folder is not None:
        tree["feedback"]["demonstrations"] = str(folder / "mark")
    return Job(number, {**tree, "seed": number}, "truth")


def local(work: Callable[[Job], Outcome]) -> Engine:
    return Local(2, work)


def by_ray(work: Callable[[Job], Outcome]) -> Engine:
    pytest.importorskip("ray", reason="Ray is not installed: its engine was not looked at.")
    from accord.tuning.ray_engine import Ray

    return Ray(2, work)


@pytest.fixture(scope="module", params=[local, pytest.param(by_ray, marks=pytest.mark.slow)], ids=["local", "ray"])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[Job], Outcome]], Engine]]:
    """Starts engines that are closed at the end of the test module's use of them."""
    yield request.param


@pytest.mark.filterwarnings("ignore")  # Ray's own, of files and sockets that it leaves to the end of the process
def test_contract_every_job_comes_back_once_and_a_dead_worker_costs_its_own_job_alone(start, tmp_path: Path):
    engine = start(deadly)
    try:
        assert engine.workers == 2
        for number in range(6):
            engine.submit(job(number, tmp_path))
        found = {outcome.number: outcome for outcome in (engine.next() for _ in range(6))}
        assert {number: outcome.state for number, outcome in found.items()} == {
            **dict.fromkeys((0, 3, 4, 5), "done"), 1: "lost", 2: "lost"
        }  # fmt: skip
        assert found[4].score == toy(job(4, tmp_path)).score
        engine.submit(job(1, tmp_path))  # the mark is there by now
        assert engine.next() == toy(job(1, tmp_path))
        with pytest.raises(RuntimeError, match="nothing to wait for"):
            engine.next()
        study_survives(engine, tmp_path / "study")
    finally:
        engine.close()


def study_survives(engine: Engine, folder: Path) -> None:
    """Trial 1 is retried and done; trial 2 kills whoever takes it, and has failed: nothing else is lost."""
    tree = {
        **TREE,
        "tune": {**TREE["tune"], **SHORT},
        "feedback": {"demonstrations": str(folder.parent / "again"), "queries": {"kind": "demonstrate"}},
    }
    study.tune(config.from_tree(tree), budget.parse("12trials"), folder, lambda: Kept(engine), sync=True)
    found = trials.read(folder).trials
    assert (found[1].state, found[1].attempt) == ("done", 2)
    assert (found[2].state, found[2].attempt) == ("failed", 2) and "lost 2 times" in found[2].why
    assert all(trial.state == "done" for trial in found if trial.number != 2)


class Kept:
    """An engine that outlives the study that closes it."""

    def __init__(self, engine: Engine) -> None:
        self.submit, self.next, self.workers = engine.submit, engine.next, engine.workers

    def close(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_invariance_one_worker_two_workers_and_any_engine_choose_the_same(start, tmp_path: Path):
    def told(folder: Path) -> list[object]:
        return [(t.key, t.values, t.score) for t in trials.read(folder).trials] + [trials.read(folder).verdict]

    study.tune(settings(arms=["ppo"]), budget.parse("28trials"), tmp_path / "one", Inline, sync=True)
    study.tune(settings(arms=["ppo"]), budget.parse("28trials"), tmp_path / "two", lambda: start(restless), sync=True)
    assert told(tmp_path / "two") == told(tmp_path / "one")
    assert (tmp_path / "two" / trials.CHOSEN).read_text() == (tmp_path / "one" / trials.CHOSEN).read_text()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


STUDY = """
from pathlib import Path
from accord.tuning import budget, study
from accord.tuning.engine import Local
from tests.tuning.toys import settings, slow

def start():
    engine = Local(2, slow)
    print(*engine.pids(), flush=True)
    return engine

if __name__ == "__main__":
    study.tune(settings(**{short!r}), budget.parse("20trials"), Path({folder!r}), start, resume=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Reads /proc to see which processes are left.")
def test_invariance_a_killed_coordinator_leaves_no_process_and_loses_no_trial(tmp_path: Path):
    folder = tmp_path / "study"
    script = tmp_path / "script.py"
    script.write_text(STUDY.format(folder=str(folder), short=SHORT))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    for wanted in (3, 9):
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment, text=True)
        assert process.stdout is not None
        workers = [int(word) for word in process.stdout.readline().split()]
        until = time.monotonic() + 60
        while time.monotonic() < until and ended(folder) < wanted:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        before = {t.number: t for t in trials.read(folder).trials if t.state != "started"}
        assert len(before) >= wanted
        until = time.monotonic() + 10
        while any(map(alive, workers)) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(workers) == 2 and not any(map(alive, workers))
    study.tune(settings(**SHORT), budget.parse("20trials"), folder, lambda: Inline(toy, 2), resume=True)
    after = {t.number: t for t in trials.read(folder).trials}
    assert all(after[number] == trial for number, trial in before.items())
    keys = [trial.key for trial in after.values()]
    assert len(keys) == len(set(keys)) and all(trial.state == "done" for trial in after.values())
    assert sorted(after) == list(range(len(after)))


def ended(folder: Path) -> int:
    return sum(t.state != "started" for t in trials.read(folder).trials) if trials.is_study(folder) else 0
