"""What every benchmark shares: options, fresh processes, a journal, the machine, and the one JSON line at the end.

A figure is the output of a worker: a program that does one side's work in a fresh process on one thread and prints
one JSON line (`bench/ours.py`, `bench/peers/*.py`). Ours and the peer's take turns within one run. A worker times
itself from making the environments to holding the trained policy (`bench/peers/protocol.py`): imports and evaluation
are outside the clock on both sides.

Every result is written to `bench/journal/NAME.jsonl` as soon as it is there, so a stopped run goes on where it was.
An entry counts only while its key holds: who, arguments, seed, processor, and the version. Ours is the content of
`src/`, the worker and torch; a peer's is its packages and its scripts, so its results outlive a change of our code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from accord import runtime

ROOT = Path(__file__).resolve().parent.parent
JOURNAL = Path(__file__).resolve().parent / "journal"
PEERS = ROOT / ".peers"
REPORTED_SEED = 10_000  # reported seeds start here and are never used while developing
DISTURBED = 1.1  # a one-thread process that took this much more wall than processor time shared its core
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3", "imitation", "jax", "sbx-rl", "trl", "transformers")

Result = dict[str, object]
Figures = Mapping[str, object]


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    seeds: int
    quick: bool = False  # a short form that shows the benchmark runs; its figures are no result
    fresh: bool = False  # ignore the journal
    retime: bool = False  # run again what shared its core with something else
    dev: bool = False  # seeds from 0, for developing
    side: str = "both"  # "ours" or "peer" fills the journal with that side alone
    first: int = REPORTED_SEED

    def seed_list(self) -> list[int]:
        """The seeds to run."""
        first = 0 if self.dev else self.first
        return list(range(first, first + self.seeds))


def parse(
    name: str, seeds: int, argv: Sequence[str] | None = None, quick_seeds: int = 1, first: int = REPORTED_SEED
) -> Options:
    """Reads the options that every benchmark has; `seeds` and `quick_seeds` are how many run if none is given.

    `first` is another first seed, where the settings were still changed after the usual ones had been seen.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}")
    parser.add_argument("--seeds", type=int, help=f"how many seeds (default {seeds})")
    parser.add_argument("--quick", action="store_true", help="a short form, to see that it runs; no result")
    parser.add_argument("--fresh", action="store_true", help="ignore the journal")
    parser.add_argument("--retime", action="store_true", help="run again what was timed on a shared core")
    parser.add_argument("--dev", action="store_true", help="seeds from 0 instead of the reported ones")
    parser.add_argument("--side", choices=("both", "ours", "peer"), default="both", help="fill the journal")
    given = parser.parse_args(argv)
    if given.seeds is not None and given.seeds < 1:
        parser.error(f"--seeds is {given.seeds}; at least 1 is needed: leave it out to run {seeds}.")
    count = given.seeds or (quick_seeds if given.quick else seeds)
    return Options(count, given.quick, given.fresh, given.retime, given.dev, given.side, first)


# ------------------------------------------------------------------------------------------------ versions


def content_hash(paths: Iterable[Path], root: Path = ROOT) -> str:
    """Twelve digits that change with the name (below `root`) or the content of any of the files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def our_version(*scripts: str) -> str:
    """The content of `src/` and of the worker's scripts, and the torch that runs them."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / script for script in scripts)]
    return f"{content_hash(files)} torch {version('torch')}"


def peer_version(python: Path, scripts: Sequence[str]) -> str:
    """The peer's packages, as its own interpreter reports them, and the content of the scripts that drive it."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
        "print(json.dumps({name: have[name] for name in sys.argv[1:] if name in have}))"
    )
    done = subprocess.run([str(python), "-c", code, *PACKAGES], capture_output=True, text=True, check=True)
    packages = " ".join(f"{name} {number}" for name, number in json.loads(done.stdout).items())
    return f"{content_hash(ROOT / script for script in scripts)} {packages}"


# ------------------------------------------------------------------------------------------------ workers


@dataclass(frozen=True)
class Worker:
    """A program that does one side's work and prints one JSON line."""

    who: str
    command: tuple[str, ...]
    version: str


Sides = Mapping[str, tuple[Worker, Sequence[object]]]  # by name: who, and with which arguments


def ours(script: str = "bench/ours.py", *beside: str) -> Worker:
    """Our side: a script of `bench/` in this interpreter; `beside` are the files that it imports."""
    number = our_version(script, "bench/peers/protocol.py", *beside)
    return Worker("accord", (sys.executable, "-m", script.removesuffix(".py").replace("/", ".")), number)


def peer(name: str, script: str, *beside: str) -> Worker:
    """A peer's script in the peer's own interpreter, `.peers/NAME`; `beside` are the files that it imports."""
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} is missing; a peer has an interpreter of its own: make it with `make peers`.")
    scripts = (script, "bench/peers/protocol.py", *beside)
    return Worker(name, (str(python), str(ROOT / script)), peer_version(python, scripts))


def run_worker(command: Sequence[str]) -> Result:
    """Runs a command on one thread and reads the JSON line that it prints last. Raises where it fails."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# ------------------------------------------------------------------------------------------------ journal


class Journal:
    """Results on disk, one line each; the last line with a key is the one that counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, key: Mapping[str, object]) -> Result | None:
        """The newest result under exactly this key. A line that was cut off by a crash is passed over."""
        found: Result | None = None
        wanted = _canonical(key)
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if _canonical(entry["key"]) == wanted:
                found = entry["result"]
        return found

    def add(self, key: Mapping[str, object], result: Result) -> None:
        """Appends one result; it is on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cut_off = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
        with self.path.open("a") as file:
            file.write(("\n" if cut_off else "") + json.dumps({"key": dict(key), "result": result}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _canonical(key: Mapping[str, object]) -> str:
    return json.dumps(key, sort_keys=True)


# ------------------------------------------------------------------------------------------------ a benchmark


def processor() -> str:
    """The processor's name and how many of its cores are to be had."""
    here = runtime.machine()
    return f"{here.processor}, {here.cores} cores"


@dataclass
class Bench:
    """One run of a benchmark: measures through the journal, says on standard error what it does, ends in one line."""

    name: str
    options: Options
    journal: Journal
    load_start: float = field(default_factory=lambda: os.getloadavg()[0])
    reused: int = 0
    disturbed: int = 0

    @classmethod
    def start(cls, name: str, options: Options) -> Bench:
        """A benchmark with its journal under `bench/journal/`."""
        return cls(name, options, Journal(JOURNAL / f"{name}.jsonl"))

    def measure(self, worker: Worker, *args: object, seed: int) -> Result:
        """One result: from the journal where its key holds, else from a fresh process."""
        words = [str(arg) for arg in args]
        key = {"who": worker.who, "args": words, "seed": seed, "version": worker.version, "processor": processor()}
        result = None if self.options.fresh else self.journal.find(key)
        if result is not None and not (self.options.retime and result["disturbed"]):
            self.reused += 1
        else:
            result = self._run(worker, words, seed)
            self.journal.add(key, result)
        self.disturbed += bool(result["disturbed"])
        self.say(f"{worker.who} {' '.join(words)} seed {seed}: {_brief(result)}")
        return result

    def _run(self, worker: Worker, words: list[str], seed: int) -> Result:
        before = os.getloadavg()[0]
        result = run_worker([*worker.command, *words, "--seed", str(seed)])
        shared = float(str(result["seconds"])) > DISTURBED * float(str(result["cpu_seconds"]))
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {**result, "disturbed": shared, "load": [before, os.getloadavg()[0]], "at": at}

    def alternate(self, sides: Sides, seeds: Sequence[int] = ()) -> dict[str, list[Result]]:
        """Every side at every seed, the usual ones or these. Sides take turns; who goes first changes with the seed."""
        results: dict[str, list[Result]] = {side: [] for side in sides}
        for turn, seed in enumerate(seeds or self.options.seed_list()):
            order = list(sides.items())
            for side, (worker, args) in order if turn % 2 == 0 else reversed(order):
                results[side].append(self.measure(worker, *args, seed=seed))
        return results

    def wanted(self, sides: Sides) -> Sides:
        """The sides that `--side` leaves in."""
        mine = {"both": (True, False), "ours": (True,), "peer": (False,)}[self.options.side]
        return {name: side for name, side in sides.items() if (side[0].who == "accord") in mine}

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        print(f"[{self.name}] {text}", file=sys.stderr, flush=True)

    def machine(self) -> Result:
        """Where and how undisturbed this was measured."""
        return {
            "processor": processor(),
            "python": platform.python_version(),
            "torch": version("torch"),
            "threads": 1,
            "load_start": round(self.load_start, 2),
            "load_end": round(os.getloadavg()[0], 2),
        }

    def emit(self, ratio: float | None, ours: Figures, peer: Figures, **figures: object) -> None:
        """The one JSON line on standard output that a benchmark ends with.

        `disturbed` counts the results that were timed on a shared core, `from_journal` those of an earlier run.
        """
        line = {
            "name": self.name,
            "ratio": ratio,
            "ours": ours,
            "peer": peer,
            "seeds": self.options.seeds,
            "machine": self.machine(),
            **figures,
            "first_seed": self.options.seed_list()[0],
            "quick": self.options.quick,
            "from_journal": self.reused,
            "disturbed": self.disturbed,
        }
        print(json.dumps(rounded(line)), flush=True)


def _brief(result: Result) -> str:
    shared = " on a shared core" if result["disturbed"] else ""
    wall, cpu, mean = (float(str(result[name])) for name in ("seconds", "cpu_seconds", "mean"))
    return f"{wall:.1f} s ({cpu:.1f} s of processor{shared}), return {mean:.1f}"


# ------------------------------------------------------------------------------------------------ statistics


def column(results: Sequence[Result], name: str) -> list[float]:
    """One figure of every result. Raises where a result lacks it or it is null."""
    return [float(str(result[name])) for result in results]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median with the smallest and the largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio_of(peer: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """How many times less ours is: the ratio of the medians, and the smallest and largest ratio at one seed."""
    each = [p / o for p, o in zip(peer, ours, strict=True)]
    return {"median": statistics.median(peer) / statistics.median(ours), "min": min(each), "max": max(each)}


def area_under_curve(steps: Sequence[float], returns: Sequence[float], total: float, start: float) -> float:
    """Mean height over `total` steps of the straight lines from (0, `start`) through the points of a learning curve.

    After the last point the curve keeps its height; what lies beyond `total` is cut off.
    """
    x, y = [0.0, *steps], [start, *returns]
    within = [step for step in x if step < total]
    grid = np.array([*within, total])
    return float(np.trapezoid(np.interp(grid, x, y), grid)) / total


def rounded(value: object) -> object:
    """Floats to five significant digits, at any depth."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return value
