"""What the dashboard tells: the run so far, what its answers are worth, what is worth a second look. It only reads."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from accord import records
from accord.feedback.quality import Quality, quality
from accord.feedback.store import Store, current
from accord.rewards.features import read, scaled
from accord.rewards.fitted import FittedReward, load
from accord.types import Answer, InputError, Query, SegmentId, Steps

Json = dict[str, Any]

FRESH_SECONDS = 3.0  # what was found is told again for so long: several dashboards cost as much as one
LISTED = 12  # disagreements at most, the most uncertain first
STAGES = ("collect", "ask", "wait", "fit", "select", "improve", "judge")


class Board:
    """Of one store, and of the run in `folder` where there is one."""

    def __init__(self, store: Store, folder: Path | None = None) -> None:
        self._store, self.folder = store, folder
        self._answers: list[Answer] = []
        self._queries: dict[str, Query] = {}
        self._told: Json = {}
        self._at, self._rested = -math.inf, -1
        self._reward: tuple[str, FittedReward] | None = None

    def overview(self) -> Json:
        """Everything that is shown at once, in plain values; what is not known is None."""
        now = time.monotonic()
        if now - self._at > FRESH_SECONDS:
            self._read()
            if len(self._answers) != self._rested:
                found = quality(self._queries.values(), self._answers)
                people = {None, *self._store.people()}  # a teacher's track is shown, and raises no alarm
                found = replace(found, alerts=tuple(each for each in found.alerts if each.annotator in people))
                self._told = {**told(found), "pace": self._pace(), "answers": len(self._answers)}
                self._rested = len(self._answers)
            self._told |= {"waiting": self._store.waiting(), "run": run_of(self.folder)}
            self._at = now
        return plain(self._told)

    def question(self, id: str) -> Json:
        """One question, who said what of it, and what the reward says at every step. InputError: it is not there."""
        (query,) = self._store.queries([id])
        self._read()
        said = [
            {"annotator": a.annotator, "value": asdict(a.value), "kind": type(a.value).__name__}
            | {"seconds": a.seconds, "text": a.text}
            for a in current(self._answers)
            if a.query == id
        ]
        lines = {segment: self.timeline(segment) for segment in query.segments}
        return plain({"query": id, "kind": query.kind, "levels": query.levels, "segments": query.segments}
                     | {"answers": said, "reward": lines})  # fmt: skip

    def timeline(self, id: SegmentId) -> Json | None:
        """Mean and spread of the run's last reward at every step of a clip; None where there is no such thing."""
        (segment,) = self._store.segments([id])
        reward = self._last_reward()
        if reward is None or not isinstance(segment, Steps):
            return None
        each = reward.members(scaled(read([segment], reward.encode), reward.scaler))[:, 0]
        if not bool(torch.isfinite(each).all()):
            return None
        return {"mean": each.mean(0).tolist(), "spread": each.std(0, correction=0).tolist()}

    def _read(self) -> None:
        last = self._answers[-1].seq if self._answers else 0
        fresh = self._store.answers(after=last)
        unread = list({answer.query: None for answer in fresh if answer.query not in self._queries})
        self._queries |= {query.id: query for query in self._store.queries(unread)} if unread else {}
        self._answers += fresh

    def _pace(self) -> Mapping[str, float]:
        """Answers of each annotator in a minute of their own time."""
        spent: dict[str, float] = defaultdict(float)
        count = Counter(answer.annotator for answer in self._answers)
        for answer in self._answers:
            spent[answer.annotator] += answer.seconds
        return {name: 60.0 * count[name] / seconds for name, seconds in spent.items() if seconds > 0}

    def _last_reward(self) -> FittedReward | None:
        """None where there is no run, no fit yet, or a net of the user's own, whose class no file may name."""
        if self.folder is None:
            return None
        try:
            named = json.loads((self.folder / records.CHECKPOINTS / records.STATE).read_text())["reward"]
            if named and (self._reward is None or self._reward[0] != named):
                self._reward = named, load(self.folder / records.CHECKPOINTS / named)
        except (OSError, ValueError, KeyError, InputError):
            return None
        return self._reward[1] if self._reward else None


def told(found: Quality) -> Json:
    """What `quality` found, as the page reads it."""
    widest = max(found.agreement, key=lambda each: each.queries, default=None)
    return {
        "annotators": [
            {"name": t.annotator, "answers": t.answers, "skips": t.skips, "ties": t.ties, "seconds": t.seconds}
            | {name: _shared(getattr(t, name)) for name in ("accepted", "left", "agreement", "consistency", "gold")}
            for t in found.annotators
        ],
        "agreement": [asdict(each) for each in found.agreement],
        "ceiling": asdict(widest.ceiling) if widest is not None and widest.queries else None,
        "disagreements": [asdict(each) for each in found.disagreements[:LISTED]],
        "alerts": [asdict(each) for each in found.alerts],
    }


def run_of(folder: Path | None) -> Json | None:
    """How far a run is, its curve round by round, and what it has cost; None where there is no run."""
    if folder is None or not records.is_run(folder):
        return None
    settings, lines = records.read_manifest(folder)["configuration"], records.read_records(folder)
    last = lines[-1] if lines else {}
    judged = [line for line in lines if line["stage"] == "judge"]
    fits = [line for line in lines if line["stage"] == "fit"]
    seconds: Counter[str] = Counter()
    for line in lines:
        seconds[line["stage"]] += line.get("seconds", 0.0)
    result = records.read_result(folder) if (folder / records.RESULT).is_file() else None
    known = ("round", "labels", "env_steps", "true_return", "true_return_low", "true_return_high")
    known += ("accuracy", "accuracy_low", "accuracy_high")
    return {
        "name": folder.name,
        "task": settings["task"]["id"],
        "algorithm": settings["policy"]["algorithm"],
        "stage": "finished" if result else _after(last.get("stage")),
        "round": last.get("round", 0) + 1,
        "rounds": settings["feedback"]["rounds"],
        "labels": max((line["labels"] for line in lines if "labels" in line), default=0),
        "labels_total": settings["feedback"]["labels"],
        "env_steps": max((line["env_steps"] for line in lines if "env_steps" in line), default=0),
        "steps_total": settings["policy"]["steps"],
        "seconds": dict(seconds),
        "curve": [{name: line.get(name) for name in known} for line in judged],
        "random_return": result.random_return if result else None,
        "true_reward_return": result.true_reward_return if result else None,
        "skills": fits[-1].get("annotators", {}) if fits else {},
    }


def _after(stage: str | None) -> str:
    """What a run is doing whose last record is of this stage."""
    return STAGES[(STAGES.index(stage) + 1) % len(STAGES)] if stage in STAGES else STAGES[0]


def plain(value: Any) -> Any:
    """The same for JSON, which knows no NaN and names no tuple."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shared(share: Any) -> Json | None:
    if not share.count:
        return None
    low, high = share.interval
    return {"value": share.value, "low": low, "high": high, "count": share.count}
