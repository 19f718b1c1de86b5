"""A study whose coordinator is killed at ten random moments, and one on two Ray nodes of which one is killed.

Trials are real ones (PPO on the true reward of Pendulum-v1, short), the mode is synchronous, so every study must end
with what the uninterrupted one on one local worker ends with.

    killed    SIGKILL of the coordinator at ten moments drawn over the time of the whole study, each time resumed until
              the next: no trial counted twice or lost, the same trials and verdict
    ray       two `ray start` processes on this machine, one core each: the same trials and verdict
    node      the same, and one of the nodes is killed half-way: it still finishes, the same trials and verdict

`equal` counts the kills after which what had ended was still there, unchanged, and nothing stood there twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from accord import config, trials
from accord.tuning import budget, study
from accord.tuning.engine import Engine, Local
from bench import harness

MOMENTS, QUICK = 10, 3
BUDGET = "48trials"
TREE = {
    "task": {"id": "Pendulum-v1", "truth": True, "envs": 8},
    "policy": {"steps": 8_000},
    "tune": {"signal": "truth", "arms": ["ppo"], "episodes": 5, "confirm": 4, "finalists": 2},
}
PORT = 46_379
HALF_TRIAL = 0.4  # seconds: a trial has just ended, and the next is to be well under way
# Nodes and coordinator know each other by a token of this run's own.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

T = TypeVar("T")


def conduct(folder: Path, seed: int, engine: str) -> None:
    """What the process does that is killed."""

    def start() -> Engine:
        if engine == "local":
            return Local(1)
        from accord.tuning.ray_engine import Ray

        return Ray(2)

    study.tune(config.from_tree({**TREE, "seed": seed}), budget.parse(BUDGET), folder, start, resume=True, sync=True)


def started(folder: Path, seed: int, engine: str = "local", address: str = "") -> subprocess.Popen[bytes]:
    """A coordinator in a process of its own."""
    variables = {**os.environ, **harness.ONE_THREAD, "PYTHONPATH": os.pathsep.join(("src", "."))}
    variables |= {"RAY_ADDRESS": address, **TOKEN} if address else {}
    command = [sys.executable, "-m", "bench.tuning_crash", "conduct", str(folder), str(seed), engine]
    return subprocess.Popen(command, cwd=harness.ROOT, env=variables, stdout=sys.stderr)


def finished(process: subprocess.Popen[bytes]) -> None:
    if process.wait() != 0:
        raise RuntimeError(f"the study ended with {process.returncode}: see the message above")


def outcome(folder: Path) -> list[object]:
    """All trials apart from times and tries, and the verdict apart from seconds."""
    found = trials.read(folder)
    verdict = found.verdict
    assert verdict is not None
    plain = replace(verdict, finalists=tuple(replace(each, cpu_seconds=0.0) for each in verdict.finalists))
    return [[(t.number, t.key, dict(t.values), t.score, t.env_steps) for t in found.trials], plain]


def ended(folder: Path) -> dict[int, trials.Trial]:
    if not trials.is_study(folder):
        return {}
    return {trial.number: trial for trial in trials.read(folder).trials if trial.state != "started"}


def killed(folder: Path, seed: int, moments: Sequence[float]) -> dict[str, int]:
    """Starts, kills and resumes; counts the kills that met a living study, and those that lost nothing."""
    equal = landed = 0
    for number, seconds in enumerate(moments):
        before = ended(folder)
        process = started(folder, seed)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            landed += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = ended(folder)
        keys = [trial.key for trial in after.values()]
        kept = all(after.get(at) == trial for at, trial in before.items()) and len(keys) == len(set(keys))
        equal += kept
        say(f"kill {number + 1} after {seconds:.1f} s: {len(before)} trials before, {len(after)} after, kept: {kept}")
    finished(started(folder, seed))
    return {"equal": equal, "moments": len(moments), "landed": landed}


class Nodes:
    """Two real Ray nodes on this machine, one core each, sharing nothing with a cluster that may be there already."""

    def __init__(self, root: Path) -> None:
        self.told, self.address = root.with_suffix(".log"), ""
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.nodes.append(self._start("--head", f"--port={PORT}", "--include-dashboard=false"))
        # Ray goes by the address that it finds for the machine, whatever other name it is called by.
        self.address = f"{awaited(lambda: node_ip(self.told))}:{PORT}"
        awaited(lambda: self.alive() == 1)
        self.nodes.append(self._start(f"--address={self.address}"))
        awaited(lambda: self.alive() == 2)

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        ray = Path(sys.executable).with_name("ray")
        command = [str(ray), "start", *options, "--num-cpus=1", "--block", "--disable-usage-stats"]
        variables = {**os.environ, **harness.ONE_THREAD, **TOKEN}
        variables |= {"PYTHONPATH": f"{harness.ROOT / 'src'}:{harness.ROOT}"}
        with self.told.open("ab") as told:
            return subprocess.Popen(
                command, cwd=harness.ROOT, env=variables, stdout=told, stderr=told, start_new_session=True
            )

    def alive(self) -> int:
        code = "import ray; ray.init(log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        variables = {**os.environ, **TOKEN, "RAY_ADDRESS": self.address}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)
        return int(done.stdout.strip() or 0) if done.returncode == 0 else 0

    def kill(self, node: int) -> None:
        """A node with everything that it started, its workers too, as when the power fails."""
        process = self.nodes[node]
        if process.poll() is None:
            for pid in [process.pid, *descendants(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        for node in reversed(range(len(self.nodes))):
            self.kill(node)


def descendants(pid: int) -> list[int]:
    """The processes that one started, and those that they did."""
    rows = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in rows.splitlines())}
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [below for child in found for below in descendants(child)]


def node_ip(told: Path) -> str:
    """What `ray start` says of itself; "" before it does."""
    found = re.search(r"Local node IP: (\S+)", told.read_text(errors="replace"))
    return found[1] if found else ""


def awaited(look: Callable[[], T]) -> T:
    """What `look` finds once it finds something, within two minutes."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.5)
    raise RuntimeError("Ray's nodes did not come up within two minutes")


def on_ray(folder: Path, seed: int, whole: int, lose: bool) -> None:
    nodes = Nodes(folder)
    try:
        nodes.start()
        process = started(folder, seed, "ray", nodes.address)
        while lose and process.poll() is None and len(ended(folder)) < whole // 2:
            time.sleep(0.1)
        if lose:
            time.sleep(HALF_TRIAL)
            nodes.kill(1)
            say(f"a node killed after {len(ended(folder))} of {whole} trials")
        finished(process)
    finally:
        nodes.close()


def say(text: str) -> None:
    print(f"[tuning_crash] {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["conduct"]:
        conduct(Path(words[1]), int(words[2]), words[3])
        return 0
    options = harness.parse("tuning_crash", seeds=1, argv=words)
    seed, load = options.seed_list()[0], os.getloadavg()[0]
    root = Path(tempfile.mkdtemp())
    try:
        began = time.perf_counter()
        finished(started(root / "whole", seed))
        total = time.perf_counter() - began
        whole, n = outcome(root / "whole"), len(ended(root / "whole"))
        say(f"uninterrupted: {n} trials in {total:.0f} s")
        count = QUICK if options.quick else MOMENTS
        # Each start costs some seconds of imports; a kill falls anywhere from there to twice a tenth of the study.
        moments = np.random.default_rng(seed).uniform(0.05, 2 * total / count, count)
        figures: dict[str, object] = dict(killed(root / "killed", seed, [float(x) for x in moments]))
        figures["killed_same"] = outcome(root / "killed") == whole
        for name, lose in (("ray_same", False), ("node_same", True)):
            on_ray(root / name, seed, n, lose)
            figures[name] = outcome(root / name) == whole
            say(f"{name}: {figures[name]}")
        lost = [t for t in trials.read(root / "node_same").trials if t.attempt > 1]
        figures |= {"node_retried": len(lost), "trials": n, "seconds_whole": total}
    finally:
        shutil.rmtree(root)
    machine = {"processor": harness.processor(), "load_start": load, "load_end": os.getloadavg()[0]}
    line = {"name": "tuning_crash", **figures, "seed": seed, "quick": options.quick, "machine": machine}
    print(json.dumps(harness.rounded(line)), flush=True)
    good = figures["equal"] == figures["moments"] and all(figures[f"{x}_same"] for x in ("killed", "ray", "node"))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
