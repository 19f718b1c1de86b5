"""The records of one run, read from its folder. Whatever a record lacks is None here: "not measured", never a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accord import records
from accord.durable import decode
from accord.types import InputError

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval; `low` and `high` are None where the record holds a bare number."""

    mean: float
    low: float | None = None
    high: float | None = None
    episodes: int | None = None

    @property
    def floor(self) -> float:
        """The lowest value the record allows: the interval's end, or the number itself."""
        return self.mean if self.low is None else self.low

    @property
    def ceiling(self) -> float:
        """The highest value the record allows."""
        return self.mean if self.high is None else self.high


@dataclass(frozen=True)
class Run:
    """One run folder. `stages` are the records in order, of one stage of one round the latest."""

    folder: Path
    manifest: Json
    result: Json
    stages: tuple[Json, ...]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Reads manifest.json, result.json and metrics.jsonl; raises InputError where the run has not finished.

        Only what the page cannot do without is demanded, so that a run of an older version can still be shown.
        """
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder: give the folder of an earlier accord run.")
        for name, lack in (
            (records.MANIFEST, "so it is no run: give the folder of an earlier accord run"),
            (records.RESULT, "so its run is not finished: go on with accord run --resume"),
        ):
            if not (folder / name).is_file():
                raise InputError(f"{folder} has no {name}, {lack}.")
        stages = tuple(records.read_records(folder))
        return cls(folder, decode(folder / records.MANIFEST), decode(folder / records.RESULT), stages)

    @property
    def configuration(self) -> Json:
        return mapping_at(self.manifest, "configuration")

    def of(self, stage: str) -> tuple[Json, ...]:
        """The records of one stage, by round."""
        return tuple(record for record in self.stages if record.get("stage") == stage)

    def last(self, stage: str) -> Json:
        """The last record of a stage, empty where there is none."""
        records = self.of(stage)
        return records[-1] if records else {}


def at(record: object, *path: str) -> Any:
    """The value under a path of keys, None where any is absent."""
    for key in path:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def number_at(record: object, *path: str) -> float | None:
    """A finite number, or None."""
    value = at(record, *path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def mapping_at(record: object, *path: str) -> Json:
    """A mapping, empty where there is none."""
    value = at(record, *path)
    return value if isinstance(value, Mapping) else {}


def numbers_at(record: object, *path: str) -> tuple[float, ...]:
    """A list of finite numbers; empty where it is absent or holds anything else."""
    value = at(record, *path)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    found = [number_at({"x": each}, "x") for each in value]
    return tuple(x for x in found if x is not None) if None not in found else ()


def estimate(value: object) -> Estimate | None:
    """A return as recorded: a number, or {mean, ci95} or {mean, std, episodes}.

    Without `ci95` the interval is mean +- 1.96 std / sqrt(episodes), the normal approximation.
    """
    bare = number_at({"x": value}, "x")
    if bare is not None:
        return Estimate(bare)
    mean, std, episodes = number_at(value, "mean"), number_at(value, "std"), number_at(value, "episodes")
    if mean is None:
        return None
    count = None if episodes is None else int(episodes)
    interval = numbers_at(value, "ci95")
    if len(interval) == 2:
        return Estimate(mean, min(interval), max(interval), count)
    if std is not None and count:
        half = 1.96 * std / math.sqrt(count)
        return Estimate(mean, mean - half, mean + half, count)
    return Estimate(mean, episodes=count)


def banded(record: Json, key: str) -> Estimate | None:
    """`key` with `key_low` and `key_high` beside it, as the judge records them."""
    mean = number_at(record, key)
    return None if mean is None else Estimate(mean, number_at(record, f"{key}_low"), number_at(record, f"{key}_high"))
