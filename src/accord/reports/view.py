"""The page's tables, bars and small curves: records in, plain values out, ready to be set in type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accord.reports.read import Estimate, Json, Run, at, banded, mapping_at, number_at, numbers_at
from accord.reports.verdict import accuracy_of, judged
from accord.reports.words import WORDS, duration, number, percent

LONGEST = 600  # letters of a text
EXAMPLES = 8  # as many answered examples as a reader will look at


@dataclass(frozen=True)
class Stat:
    """A figure of the run under its name (a key of the words); None where not measured."""

    key: str
    value: str | None
    detail: str = ""
    to_learn: float | None = None  # of environment steps


@dataclass(frozen=True)
class Part:
    """A piece of a bar: its name (a key of the words where `known`), amount, and share of the whole."""

    name: str
    known: bool
    amount: float
    share: float
    start: float
    tone: int  # of the page's tones; the last is kept for "other"


@dataclass(frozen=True)
class Curve:
    """Predicted reward per step as SVG points in a box 300 wide and 96 high, and its sum."""

    points: str
    total: float
    steps: int


@dataclass(frozen=True)
class Example:
    """One answered question. `outcome` is first, second, tie, skip, or None where the answer is no comparison."""

    kind: str
    rule: str
    annotator: str | None
    outcome: str | None
    level: int | None
    levels: int | None
    p: float | None
    first: Curve | None
    second: Curve | None
    zero: float | None  # height of reward 0 in the box
    texts: Mapping[str, str] | None = None  # prompt, first and second response, in place of curves

    @property
    def agrees(self) -> bool | None:
        """Whether the model leans the way of the answer; None where either does not lean."""
        if self.p is None or self.outcome not in ("first", "second") or self.p == 0.5:
            return None
        return (self.p > 0.5) == (self.outcome == "first")


def stats(run: Run) -> tuple[Stat, ...]:
    """The run in six numbers."""
    labels, steps = number_at(run.result, "labels"), number_at(run.result, "env_steps")
    seconds, accuracy = number_at(run.result, "seconds", "total"), accuracy_of(run)
    ece, spearman = judged(run, "ece"), judged(run, "spearman")
    interval = (
        "" if accuracy is None or accuracy.low is None else f"{percent(accuracy.floor)}–{percent(accuracy.ceiling)}"
    )
    return (
        Stat("stat_labels", None if labels is None else number(labels, 0)),
        Stat("stat_steps", None if steps is None else number(steps, 0), to_learn=_to_learn(run)),
        Stat("stat_seconds", None if seconds is None else duration(seconds)),
        Stat("stat_accuracy", None if accuracy is None else percent(accuracy.mean), interval),
        Stat("stat_ece", None if ece is None else number(ece, 3)),
        Stat("stat_spearman", None if spearman is None else number(spearman, 2)),
    )


def _to_learn(run: Run) -> float | None:
    """Steps but those of evaluation; None where nothing was evaluated or the record does not say."""
    by, steps = mapping_at(run.result, "env_steps_by"), number_at(run.result, "env_steps")
    judged_steps = number_at(by, "judge")
    return None if steps is None or not judged_steps else steps - judged_steps


def tally(run: Run) -> tuple[Stat, ...]:
    """Questions asked and what came of them over all rounds; answers hold the ties and the skips too."""
    sums = {key: _sum(run.of(stage), key) for stage, key in
            (("ask", "asked"), ("wait", "answers"), ("wait", "ties"), ("wait", "skipped"))}  # fmt: skip
    names = {"asked": "asked_total", "answers": "answered", "ties": "ties", "skipped": "skipped"}
    return tuple(Stat(names[key], None if x is None else number(x, 0)) for key, x in sums.items())


def rules(run: Run) -> dict[str, float]:
    """Questions asked by each rule over all rounds, in the order in which the rules first asked."""
    records = [mapping_at(record, "acquisition") for record in run.of("ask")]
    names = dict.fromkeys(str(rule) for counts in records for rule in counts)
    totals = {rule: sum(number_at(counts, rule) or 0.0 for counts in records) for rule in names}
    return {rule: total for rule, total in totals.items() if total}


def _sum(records: Sequence[Json], key: str) -> float | None:
    found = [x for record in records if (x := number_at(record, key)) is not None]
    return sum(found) if found else None


def seconds(run: Run) -> dict[str, Any]:
    """Seconds of each stage: as the result tells, else summed over the stage's records."""
    names = dict.fromkeys(str(record.get("stage")) for record in run.stages)
    summed = {name: total for name in names if (total := _sum(run.of(name), "seconds")) is not None}
    return {**summed, **mapping_at(run.result, "seconds")}


def parts(amounts: Mapping[str, Any], whole: float | None) -> tuple[Part, ...]:
    """A bar's pieces, largest first; what the pieces leave of `whole` is "other"."""
    sizes = {str(name): x for name in amounts if name != "total" and (x := number_at(amounts, name)) is not None}
    sizes = {name: x for name, x in sizes.items() if x > 0}
    left = (whole or 0.0) - sum(sizes.values())
    if sizes and left > 0.005 * (whole or 1.0):
        sizes["other"] = left
    total, start, found = sum(sizes.values()), 0.0, []
    for i, (name, x) in enumerate(sorted(sizes.items(), key=lambda each: (each[0] == "other", -each[1]))):
        found.append(Part(name, name in WORDS, x, x / total, start, 6 if name == "other" else min(i, 5)))
        start += x / total
    return tuple(found)


def examples(run: Run) -> tuple[Example, ...]:
    """Answered questions of all rounds, the latest first, as many as a page holds."""
    found = [each for record in reversed(run.of("judge")) for each in at(record, "examples") or ()]
    return tuple(_example(each) for each in found[:EXAMPLES] if isinstance(each, Mapping))


def _example(record: Json) -> Example:
    level, levels = number_at(record, "level"), number_at(record, "levels")
    first, second = numbers_at(record, "curves", "first"), numbers_at(record, "curves", "second")
    ends = [0.0, *first, *second]
    low, high = min(ends), max(ends)
    drawn = bool(first or second)
    kind, annotator = at(record, "kind"), at(record, "annotator")
    return Example(
        kind=str(kind or "compare"),
        rule=str(at(record, "acquisition") or ""),
        annotator=None if annotator is None else str(annotator),
        outcome=_outcome(level, levels) if kind in (None, "compare", "correct") else None,
        level=None if level is None else int(level),
        levels=None if levels is None else int(levels),
        p=number_at(record, "p"),
        first=_curve(first, low, high),
        second=_curve(second, low, high),
        zero=_height(0.0, low, high) if drawn else None,
        texts=_texts(mapping_at(record, "texts")),
    )


def _texts(record: Json) -> dict[str, str] | None:
    """A prompt and two responses, cut to what a card holds."""
    return {name: cut(str(text)) for name, text in record.items()} if record else None


def cut(text: str) -> str:
    """As much of a text as a reader will look at."""
    text = text.strip()
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + " …"


def _outcome(level: float | None, levels: float | None) -> str | None:
    """Level 0 is "the second is far better", `levels - 1` the first, the middle a tie; no level at all is a skip."""
    if level is None:
        return "skip"
    if levels is None:
        return None
    middle = (levels - 1) / 2
    return "tie" if level == middle else "first" if level > middle else "second"


def _height(y: float, low: float, high: float) -> float:
    return round(4 + 88 * (high - y) / ((high - low) or 1.0), 1)


def _curve(rewards: Sequence[float], low: float, high: float) -> Curve | None:
    if not rewards:
        return None
    step = 300 / max(1, len(rewards) - 1)
    points = " ".join(f"{i * step:.1f},{_height(y, low, high)}" for i, y in enumerate(rewards))
    return Curve(points, sum(rewards), len(rewards))


@dataclass(frozen=True)
class Spark:
    """One number of every improvement: a small curve with its first and last value."""

    key: str
    points: str
    first: float
    last: float
    low: float
    high: float


def sparks(run: Run) -> tuple[Spark, ...]:
    """What improvements recorded of themselves, known names first."""
    records = run.of("improve")
    known = ("entropy", "kl", "clip_share", "value_loss", "explained_variance")
    names = list(dict.fromkeys([*known, *(str(name) for r in records for name in mapping_at(r, "extra"))]))
    found = []
    for name in names:
        ys = [x for r in records if (x := number_at(r, "extra", name)) is not None]
        if ys:
            points = _curve(ys if len(ys) > 1 else ys * 2, min(ys), max(ys))
            found.append(Spark(name, points.points if points else "", ys[0], ys[-1], min(ys), max(ys)))
    return tuple(found)


@dataclass(frozen=True)
class Row:
    """One round in numbers."""

    round: int
    labels: float | None
    steps: float | None
    truth: Estimate | None
    accuracy: Estimate | None
    ece: float | None
    train: float | None
    heldout: float | None


def rounds(run: Run) -> tuple[Row, ...]:
    """Every round that was judged, with its fit beside it."""
    fits = {record.get("round", 0): record for record in run.of("fit")}
    return tuple(_row(judge, fits.get(judge.get("round", 0), {})) for judge in run.of("judge"))


def _row(judge: Json, fit: Json) -> Row:
    return Row(
        round=int(number_at(judge, "round") or 0),
        labels=number_at(judge, "labels"),
        steps=number_at(judge, "env_steps"),
        truth=banded(judge, "true_return"),
        accuracy=banded(judge, "accuracy"),
        ece=number_at(judge, "ece"),
        train=number_at(fit, "train_log_likelihood"),
        heldout=number_at(fit, "heldout_log_likelihood"),
    )


def annotator_rows(run: Run) -> tuple[tuple[str, Estimate, float | None, float | None], ...]:
    """Name, skill, side bias and answers of each annotator, the most skilled first."""
    rows = [
        (str(name), skill, number_at(who, "side"), number_at(who, "answers"))
        for name, who in mapping_at(run.last("fit"), "annotators").items()
        if (skill := _skill(who)) is not None
    ]
    return tuple(sorted(rows, key=lambda row: -row[1].mean))


def _skill(who: Json) -> Estimate | None:
    skill = number_at(who, "skill")
    return None if skill is None else Estimate(skill, number_at(who, "low"), number_at(who, "high"))


def lineage(run: Run) -> dict[str, str]:
    """The last recorded hash of answers, reward and policy: what made what."""
    found: dict[str, str] = {}
    for what in ("answers", "reward", "policy"):
        for record in run.stages:
            value = at(record, f"{what}_hash")
            if isinstance(value, str):
                found[what] = value
    return found


def unsigned(text: str) -> str:
    """Text without the passwords of its URLs: a page is handed on more freely than a configuration."""
    return re.sub(r"(://[^\s:/@\"']*):[^\s/@\"']*@", r"\1:***@", text)


def flat(record: object, path: str = "") -> tuple[tuple[str, str], ...]:
    """A nested record as rows of dotted name and value."""
    if isinstance(record, Mapping):
        return tuple(row for key, each in record.items() for row in flat(each, f"{path}.{key}" if path else str(key)))
    if isinstance(record, list | tuple):
        return ((path, ", ".join(str(each) for each in record)),)
    return ((path, "" if record is None else str(record)),)
