"""A run's folder: what it holds, how it is written so that no kill leaves it half-written, how it is read back.

    manifest.json   configuration, seed, versions, commit, machine     written once, whole
    metrics.jsonl   one line a stage                                   appended, each line made durable
    checkpoints/    what the loop goes on from                         each a folder, renamed into place
    policy/  reward/                                                   the same
    clip.webp       one episode of the last policy, to look at         whole, where it can be rendered
    result.json     the figures                                        written last, whole: a run with one is finished
    report.html     the page, made from the records

Only the last line of `metrics.jsonl` can be torn, by a kill during the write; it is dropped on reading. A resumed run
does again what came after its checkpoint, so one stage of one round can stand there twice: the later line counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import TypeAdapter, ValidationError

from accord import runtime
from accord.durable import append_line, decode, drop_torn_line, encode, is_leftover, read_lines, settle, write_json
from accord.types import Answer, InputError

MANIFEST, METRICS, RESULT, REPORT = "manifest.json", "metrics.jsonl", "result.json", "report.html"
CHECKPOINTS, POLICY, REWARD, STORE, CLIP = "checkpoints", "policy", "reward", "store.db", "clip.webp"
STATE = "state.json"  # of the checkpoints: it names the reward that was kept last
SECRET = "web.secret"  # what the annotation page signs with; no part of the lineage
FORMAT = 1  # of the folder; rises when a reader of the old form would misread the new one

Record = dict[str, Any]  # "stage", "round", "time" (seconds since 1970) and the stage's own numbers


@dataclass(frozen=True)
class Seconds:
    """Wall time of a run's parts; `total` is more than their sum."""

    total: float
    collect: float
    fit: float
    improve: float


@dataclass(frozen=True)
class Return:
    """Return by the truth over `episodes` episodes: mean with its 95% interval, and standard deviation."""

    mean: float
    std: float
    episodes: int
    ci95: tuple[float, float]


@dataclass(frozen=True)
class RewardQuality:
    """Of the reward on held-out answers to uniformly chosen queries; None is "not measured"."""

    heldout_accuracy: float | None
    ci95: tuple[float, float] | None
    ece: float | None


@dataclass(frozen=True)
class Chosen:
    """What the run settled on: kinds and hyper-parameters."""

    reward: Mapping[str, object] = field(default_factory=dict)
    policy: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Clip:
    """The episode that `clip.webp` shows: every `stride`-th step of it, up to step `shown`."""

    seed: int
    steps: int
    true_return: float
    shown: int
    stride: int
    frames: int
    width: int
    height: int


@dataclass(frozen=True)
class Share:
    """A share with its 95% interval over so many prompts."""

    mean: float
    ci95: tuple[float, float]
    prompts: int


@dataclass(frozen=True)
class Sample:
    """One prompt with a response of the start model and one of the final policy, and their gold scores."""

    prompt: str
    start: str
    policy: str
    start_gold: float | None = None
    policy_gold: float | None = None


@dataclass(frozen=True)
class Texts:
    """What is measured of a policy of text, on `prompts` prompts, of which `heldout` were kept apart from learning."""

    prompts: int
    heldout: int
    win_rate: Share | None  # against the start model; a tie is half a win
    kl: float  # nats a response, from the start model
    tokens: float  # of a response
    start_tokens: float
    proxy: float  # the reward's mean over the start model's, in deviations of the latter
    stopped: str = ""  # why the run ended before its last round
    samples: tuple[Sample, ...] = ()
    judged_by: Literal["gold", "people"] = "gold"  # who said what is a win


Why = Literal["off", "mode", "failed"]  # report.clip is false; the environment has no picture; rendering failed here


@dataclass(frozen=True)
class NoClip:
    """Why a run has no clip, and what the renderer said."""

    why: Why
    detail: str = ""


@dataclass(frozen=True)
class Result:
    """`result.json`. None is "not measured"."""

    task: str
    seed: int
    labels: int
    env_steps: int
    seconds: Seconds
    true_return: Return | None
    random_return: float | None
    constant_reward_return: float | None
    reward: RewardQuality
    chosen: Chosen = Chosen()
    true_reward_return: float | None = None  # the same algorithm and steps on the environment's own reward
    baselines: Mapping[str, Return] = field(default_factory=dict)  # the three of them with their intervals
    env_steps_by: Mapping[str, int] = field(default_factory=dict)  # by purpose; their sum is `env_steps`
    clip: Clip | NoClip | None = None
    texts: Texts | None = None


class Sink(Protocol):
    """Receives each record as it is written (TensorBoard, MLflow, W&B)."""

    def write(self, record: Mapping[str, object]) -> None: ...
    def close(self) -> None: ...


class Run:
    """An open run: its manifest, and the only writer of its records."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], sinks: Sequence[Sink] = ()) -> None:
        self.folder = folder
        self.manifest = manifest
        self._sinks = tuple(sinks)

    def record(self, stage: str, round: int, **values: object) -> Record:
        """Appends one line and returns it; once this returns, the line outlives a kill. Numbers must be finite."""
        record: Record = {"stage": stage, "round": round, "time": _now(), **values}
        append_line(self.folder / METRICS, encode(record, f"{stage} of round {round}"))
        for sink in self._sinks:
            sink.write(record)
        return record

    def records(self) -> list[Record]:
        return read_records(self.folder)

    @property
    def finished(self) -> bool:
        return (self.folder / RESULT).is_file()

    def finish(self, result: Result) -> None:
        """Writes `result.json`, which marks the run as finished, and closes the sinks."""
        write_json(self.folder / RESULT, asdict(result))
        self.close()

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def create(folder: Path, configuration: Mapping[str, Any], seed: int, sinks: Sequence[Sink] = ()) -> Run:
    """A new run in a folder that is absent or empty."""
    _refuse_occupied(folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format": FORMAT,
        "configuration": configuration,
        "seed": seed,
        "versions": runtime.versions(),
        "commit": runtime.commit(),
        "machine": runtime.machine().as_dict(),
        "products": {"bfloat16": runtime.products().bfloat16, "float32_us": runtime.products().float32_us},
        "started": _now(),
    }
    write_json(folder / MANIFEST, manifest)
    return Run(folder, read_manifest(folder), sinks)


def reopen(folder: Path, configuration: Mapping[str, Any] | None = None, sinks: Sequence[Sink] = ()) -> Run:
    """A stopped run, to go on with. A configuration that differs from the run's own is refused, naming the key."""
    manifest = read_manifest(folder)
    if configuration is not None:
        _check_same(folder, manifest["configuration"], json.loads(encode(configuration, "configuration")))
    drop_torn_line(folder / METRICS)
    for name in (POLICY, REWARD):
        settle(folder / name)
    return Run(folder, manifest, sinks)


def open_run(
    folder: Path, configuration: Mapping[str, Any], seed: int, resume: bool = False, sinks: Sequence[Sink] = ()
) -> Run:
    """`reopen` where `resume` is wished and a run is there, else `create`: a run killed before it began starts anew."""
    if resume and is_run(folder):
        return reopen(folder, configuration, sinks)
    return create(folder, configuration, seed, sinks)


def is_run(folder: Path) -> bool:
    """Whether the folder holds a manifest; `read_manifest` says whether it is a good one."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run's folder. A folder without a whole one is no run."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; it must be a run's folder: give the --out of an earlier accord run.")
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} has no {MANIFEST}, so it is no run: give the folder of an earlier accord run.")
    manifest = decode(path)
    missing = [key for key in ("format", "configuration", "seed") if key not in manifest]
    if missing:
        raise InputError(f"{path} lacks {missing[0]!r}, so it was not written by accord: start the run anew.")
    if manifest["format"] != FORMAT:
        raise InputError(
            f"{path} has format {manifest['format']}; this version of accord reads format {FORMAT}: "
            "use the version that the manifest names."
        )
    return manifest


def read_records(folder: Path) -> list[Record]:
    """Every record, in the order of first appearance; of one stage of one round the latest. A torn end is dropped."""
    latest: dict[tuple[object, object], Record] = {}
    for record in read_lines(folder / METRICS):
        latest[record.get("round"), record.get("stage")] = record
    return list(latest.values())


def read_result(folder: Path) -> Result:
    """The figures of a finished run."""
    path = folder / RESULT
    if not path.is_file():
        raise InputError(f"{folder} has no {RESULT}, so its run is not finished: go on with accord run --resume.")
    try:
        return TypeAdapter(Result).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its text"
        raise InputError(f"{path} is no result of accord ({place}: {first['msg']}): restore the file.") from error


def hash_answers(answers: Iterable[Answer]) -> str:
    """The SHA-256 of answers in the order of their `seq`, every field included: one changed reply changes it."""
    digest = hashlib.sha256()
    for answer in sorted(answers, key=lambda answer: answer.seq):
        body = {**asdict(answer), "value": [type(answer.value).__name__, asdict(answer.value)]}
        if not answer.marks:  # an answer without any has the hash that it had before there were marks
            del body["marks"]
        digest.update(json.dumps(body, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _now() -> float:
    """Seconds since 1970, to the millisecond."""
    return math.floor(time.time() * 1000) / 1000


def _refuse_occupied(folder: Path) -> None:
    """A new run takes no folder that holds anything but what a killed write left."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a run needs a folder: give another --out.")
    if not folder.exists() or all(is_leftover(path) for path in folder.iterdir()):
        return
    if (folder / RESULT).exists():
        holds, remedy = "a finished run", "give another --out"
    elif is_run(folder):
        holds, remedy = "a run that was stopped", "give --resume to go on with it, or another --out"
    else:
        holds, remedy = f"files without a {MANIFEST}", "give another --out"
    raise InputError(f"{folder} holds {holds}; a new run needs an empty folder: {remedy}.")


def _check_same(folder: Path, ours: Mapping[str, Any], given: Mapping[str, Any], path: str = "") -> None:
    """Refuses a resumed run whose configuration is another one; the first key that differs is named."""
    for key in sorted(ours.keys() | given.keys()):
        old, new = ours.get(key), given.get(key)
        name = f"{path}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            _check_same(folder, old, new, f"{name}.")
        elif old != new:
            raise InputError(
                f"{name} is {new!r}, but the run in {folder} was started with {old!r}; a resumed run keeps its "
                "configuration: give the old value, or another --out."
            )
