"""A study's folder: what was tried, what came of it, what was confirmed; written so that no kill loses a trial.

    study.json          task, configuration, budget, judge, seed, versions, machine      written once, whole
    study.jsonl         one event a line: a trial started or ended, an agreement of rungs, the verdict      appended
    study-result.json   the verdict with the figures around it; a study with one is finished      whole
    chosen.toml         the chosen configuration, as `accord run` takes it      whole
    study.html          the page, made from the records
    optuna.log          the same trials for optuna-dashboard, made again from study.jsonl on every start

The coordinator of a study is the only writer. A trial that a kill cut short stands there as started, and is done again
under its number: whatever was started twice counts once, and the first line that ends it counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from accord import runtime
from accord.durable import append_line, decode, drop_torn_line, encode, is_leftover, read_lines, write_bytes, write_json
from accord.types import InputError

STUDY, TRIALS, RESULT = "study.json", "study.jsonl", "study-result.json"
CHOSEN, PAGE, OPTUNA = "chosen.toml", "study.html", "optuna.log"
FORMAT = 1  # of the folder; rises when a reader of the old form would misread the new one

Value = bool | int | float | str | list[int] | list[str] | None
Stage = Literal["portfolio", "race", "search", "random", "confirm"]
State = Literal["started", "done", "failed"]


@dataclass(frozen=True)
class Point:
    """One point of a trial's curve: what its judge said of the policy after so many steps."""

    env_steps: int
    cpu_seconds: float
    score: float


@dataclass(frozen=True)
class Trial:
    """One run of one configuration on one seed. Several trials share a `name`: the configuration's, one in the study.

    `values` are dotted keys that differ from the study's configuration. `rung` 0 is the shortest budget, the highest
    the whole one. `score` is the judge's, higher is better; None where the trial failed or has not ended.
    """

    number: int
    stage: Stage
    name: str
    arm: str  # algorithm and kind of reward, as in "ppo+kernel"; "ppo" where trials learn from the truth
    values: Mapping[str, Value]
    seed: int
    rung: int
    steps: int  # environment steps to learn from
    state: State = "started"
    score: float | None = None
    curve: tuple[Point, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    env_steps: int = 0  # taken for any purpose, judging too
    labels: int = 0  # answers given, those of a judge too
    attempt: int = 1  # a worker that died is given the trial once more
    elapsed: float = 0.0  # seconds of the study, without those in which nobody worked on it, when this was written
    why: str = ""  # it failed
    stopped: bool = False  # it was behind and learned no further: the score is that of its last look

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes it this trial, whatever its number."""
        return self.stage, self.name, self.seed, self.rung


@dataclass(frozen=True)
class Agreement:
    """How well a rung's scores foretold those of the next; below the limit the rung is left out from then on."""

    rung: int
    next: int
    trials: int
    spearman: float | None  # None: too few to say
    kept: bool


@dataclass(frozen=True)
class Finalist:
    """A configuration on the seeds of the confirmation. Failed runs count as the worst score of the study."""

    name: str
    arm: str
    values: Mapping[str, Value]
    apparent: float | None  # mean of the scores that it was picked by; None: it was not picked by a score
    scores: tuple[float, ...]  # one a seed of the confirmation
    iqm: float
    ci95: tuple[float, float]
    median: float
    failed: int
    difference: float | None = None  # interquartile mean less the default's; None for the default itself
    difference_ci95: tuple[float, float] | None = None  # paired by seed
    p_better: float | None = None  # probability of improvement over the default
    p_better_ci95: tuple[float, float] | None = None
    p_holm: float | None = None  # of a paired test that it is no better than the default, corrected for all of them
    cpu_seconds: float = 0.0  # mean of a run
    env_steps: float = 0.0
    labels: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the confirmation found. `winner`: something is better than the default; else the cheapest of the tied.

    `expected` is what choosing in this way is worth on seeds that did not choose (out-of-bag, with its interval).
    """

    judge: str
    seeds: tuple[int, ...]
    finalists: tuple[Finalist, ...]  # best first
    chosen: str
    winner: bool
    tied: tuple[str, ...]  # within one standard error of the best
    why: str  # one sentence
    expected: float | None = None
    expected_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class Manifest:
    """What a study is about; a resumed study keeps it."""

    accord: str  # the version
    task: str
    configuration: Mapping[str, Any]  # resolved, whole
    budget: str
    judge: str
    seed: int
    sync: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0  # seconds since 1970
    format: int = FORMAT


@dataclass(frozen=True)
class Study:
    """All that is known of a study: every trial once, in the order of their numbers."""

    manifest: Manifest
    trials: tuple[Trial, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    verdict: Verdict | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that were worked on it."""
        return max((trial.elapsed for trial in self.trials), default=0.0)

    @property
    def next_number(self) -> int:
        return max((trial.number for trial in self.trials), default=-1) + 1


@dataclass(frozen=True)
class Result:
    """`study-result.json`. What the tuning took is part of the cost of its choice."""

    task: str
    judge: str
    budget: str
    trials: int
    failed: int
    seconds: float
    cpu_seconds: float
    env_steps: int
    labels: int
    verdict: Verdict


Event = Trial | Agreement | Verdict
EVENTS: Mapping[str, type] = {"trial": Trial, "agreement": Agreement, "verdict": Verdict}


class Log:
    """The one writer of a study's events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, event: Event) -> None:
        """Appends one event; once this returns it outlives a kill."""
        name = type(event).__name__.lower()
        line = {"event": name, "time": math.floor(time.time() * 1000) / 1000, **asdict(event)}
        append_line(self.folder / TRIALS, encode(line, f"{name} of {self.folder.name}"))

    def finish(self, result: Result, chosen: str) -> None:
        """Writes the chosen configuration and, last, the result that marks the study as finished."""
        write_bytes(self.folder / CHOSEN, chosen.encode())
        write_json(self.folder / RESULT, asdict(result))


def create(folder: Path, manifest: Manifest) -> Log:
    """A new study in a folder that is absent or empty."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a study needs a folder: give another --out.")
    if folder.exists() and not all(is_leftover(path) for path in folder.iterdir()):
        held = "a study" if is_study(folder) else "files"
        remedy = "give --resume to go on with it, or another --out" if is_study(folder) else "give another --out"
        raise InputError(f"{folder} holds {held}; a new study needs an empty folder: {remedy}.")
    folder.mkdir(parents=True, exist_ok=True)
    told = replace(
        manifest,
        versions=runtime.versions(),
        commit=runtime.commit(),
        machine=runtime.machine().as_dict(),
        started=math.floor(time.time() * 1000) / 1000,
    )
    write_json(folder / STUDY, asdict(told))
    return Log(folder)


def reopen(folder: Path, manifest: Manifest) -> Log:
    """A stopped study, to go on with. One of another version, task, configuration, budget or judge is refused."""
    own = read_manifest(folder)
    given = TypeAdapter(Manifest).validate_json(encode(asdict(manifest), STUDY))
    for name in ("accord", "task", "budget", "judge", "seed", "sync"):
        old, new = getattr(own, name), getattr(given, name)
        if old != new:
            raise InputError(
                f"the study in {folder} was made with {name} {old!r}, and this is {new!r}; a resumed study keeps its "
                "own: give the old one, or another --out."
            )
    differing = _first_difference(own.configuration, given.configuration)
    if differing is not None:
        raise InputError(
            f"{differing[0]} is {differing[2]!r}, but the study in {folder} was started with {differing[1]!r}; a "
            "resumed study keeps its configuration: give the old value, or another --out."
        )
    drop_torn_line(folder / TRIALS)
    return Log(folder)


def is_study(folder: Path) -> bool:
    """Whether the folder holds a study's manifest."""
    return (folder / STUDY).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Raises InputError where the folder is no study, or one of another format."""
    path = folder / STUDY
    if not path.is_file():
        raise InputError(f"{folder} has no {STUDY}, so it is no study: give the --out of an earlier accord tune.")
    found = decode(path)
    if found.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {found.get('format')}; this version of accord reads format {FORMAT}: "
            f"use the version that it names ({found.get('accord', 'unknown')})."
        )
    return _read(Manifest, found, path)


def read(folder: Path) -> Study:
    """A study as it stands. A torn last line is dropped, a broken one elsewhere refused."""
    manifest = read_manifest(folder)
    path = folder / TRIALS
    return fold(manifest, (_event(line, path) for line in read_lines(path)))


def read_result(folder: Path) -> Result:
    """The figures of a finished study."""
    path = folder / RESULT
    if not path.is_file():
        raise InputError(f"{folder} has no {RESULT}, so its study is not finished: go on with accord tune --resume.")
    return _read(Result, decode(path), path)


def fold(manifest: Manifest, events: Iterable[Event]) -> Study:
    """Events as a study. Of one trial the first line that ends it counts, and before that the last that began it."""
    trials: dict[int, Trial] = {}
    agreements: dict[tuple[int, int], Agreement] = {}
    verdict: Verdict | None = None
    for event in events:
        if isinstance(event, Trial):
            if event.number not in trials or trials[event.number].state == "started":
                trials[event.number] = event
        elif isinstance(event, Agreement):
            agreements[event.rung, event.next] = event
        else:
            verdict = event
    return Study(manifest, tuple(trials[n] for n in sorted(trials)), tuple(agreements.values()), verdict)


def totals(trials: Sequence[Trial]) -> dict[str, float]:
    """What trials took together: how many, how many failed, seconds of the study, CPU-seconds, steps, labels."""
    ended = [trial for trial in trials if trial.state != "started"]
    return {
        "trials": len(ended),
        "failed": sum(trial.state == "failed" for trial in ended),
        "seconds": max((trial.elapsed for trial in ended), default=0.0),
        "cpu_seconds": sum(trial.cpu_seconds for trial in ended),
        "env_steps": sum(trial.env_steps for trial in ended),
        "labels": sum(trial.labels for trial in ended),
    }


def _event(line: Mapping[str, Any], path: Path) -> Event:
    kind = EVENTS.get(str(line.get("event")))
    if kind is None:
        raise InputError(f"{path} has an event {line.get('event')!r}, which accord never writes: restore the file.")
    return _read(kind, {name: value for name, value in line.items() if name not in ("event", "time")}, path)


def _read(kind: type, found: Mapping[str, Any], path: Path) -> Any:
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its text"
        raise InputError(f"{path} is not as accord writes it ({place}: {first['msg']}): restore the file.") from error


def _first_difference(old: Any, new: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first dotted key whose values differ, with both."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return None if old == new else (path, old, new)
    for key in sorted(old.keys() | new.keys()):
        found = _first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        if found is not None:
            return found
    return None


STAGES: tuple[Stage, ...] = get_args(Stage)
