"""What somebody should look at, each as a test at a stated level.

Of every kind of alert the p values of all annotators are adjusted together (Holm), so that in a crowd without any fault
one of that kind is raised in a share `level` of looks at most. Looking again after every answer is looking often: an
alert is a reason to look, not a verdict.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from accord.feedback.track import Track
from accord.feedback.votes import Share
from accord.functional.statistics import holm
from accord.types import Answer, InputError, Skip

Reason = Literal["fast", "one_sided", "gold", "disagrees", "inconsistent", "constant", "accepted"]


@dataclass(frozen=True)
class Limits:
    """From where something is wrong. A share below or above its limit by chance alone raises no alert."""

    level: float = 0.01
    seconds: float = 1.0  # most answers faster than this
    side: float = 0.6  # share of the side preferred, left or right
    gold: float = 0.75  # share of known queries answered right
    consistency: float = 0.6  # share of repeats answered alike
    agreement: float = 0.9  # agreement with the others' majority, as a share of what those reach themselves
    answers: int = 20  # annotators of fewer are not tested, so that those of many need not make up for them
    window: int = 50  # newest answers, whose accepted share is held against all earlier ones

    def __post_init__(self) -> None:
        for name in ("level", "side", "gold", "consistency", "agreement"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError(f"the limit {name} is {getattr(self, name)}: give a share between 0 and 1.")
        if self.seconds < 0 or self.window < 1:
            raise InputError(
                f"the limits are {self.seconds} seconds and a window of {self.window}: give at least 0 and 1."
            )


@dataclass(frozen=True)
class Alert:
    """Something to look at. `value` is beyond `limit` with the adjusted p value `p`."""

    reason: Reason
    annotator: str | None  # None: all of them together
    value: float
    limit: float
    p: float
    count: int  # answers that it rests on


def alerts(
    tracks: Sequence[Track], standing: Sequence[Answer], limits: Limits, refused: Collection[str]
) -> tuple[Alert, ...]:
    """All there is to look at, the surest first of each annotator."""
    fast = {track.annotator: Counter[bool]() for track in tracks}
    for answer in standing:
        if not isinstance(answer.value, Skip):
            fast[answer.annotator][answer.seconds < limits.seconds] += 1
    shares, known = _label_shares(tracks), [track for track in tracks if track.answers >= limits.answers]
    tests: tuple[Callable[[Track], Alert | None], ...] = (
        lambda track: _fast(track, fast[track.annotator], limits),
        lambda track: _one_sided(track, limits),
        lambda track: _below("gold", track, track.gold, limits.gold),
        lambda track: _below("inconsistent", track, track.consistency, limits.consistency),
        lambda track: _below("disagrees", track, track.agreement, limits.agreement * track.expected),
        lambda track: _constant(track, shares),
    )
    found = []
    for test in tests:
        tested = [alert for track in known if (alert := test(track)) is not None]
        adjusted = holm(np.array([alert.p for alert in tested]))
        found += [
            Alert(alert.reason, alert.annotator, alert.value, alert.limit, float(p), alert.count)
            for alert, p in zip(tested, adjusted, strict=True)
            if p <= limits.level
        ]
    return (*_accepted(standing, limits, refused), *sorted(found, key=lambda alert: (alert.annotator or "", alert.p)))


def _below(reason: Reason, track: Track, found: Share, limit: float) -> Alert | None:
    """Whether a share of at least `limit` would be so low by chance; None where there is nothing to test."""
    if not found.count or math.isnan(limit):
        return None
    p = float(stats.binom.cdf(found.hits, found.count, limit))
    return Alert(reason, track.annotator, found.value, limit, p, found.count)


def _fast(track: Track, fast: Counter[bool], limits: Limits) -> Alert | None:
    """Whether more than half of the answers are too fast."""
    if not track.answers:
        return None
    p = float(stats.binom.sf(fast[True] - 1, track.answers, 0.5))
    return Alert("fast", track.annotator, track.seconds, limits.seconds, p, track.answers)


def _one_sided(track: Track, limits: Limits) -> Alert | None:
    """Whether the side preferred more often is so by more than the limit; two sides, so twice the chance."""
    if not track.left.count:
        return None
    most = max(track.left.hits, track.left.count - track.left.hits)
    p = min(1.0, 2.0 * float(stats.binom.sf(most - 1, track.left.count, limits.side)))
    return Alert("one_sided", track.annotator, track.left.value, limits.side, p, track.left.count)


Shares = Mapping[str, Counter[int]]  # by scale: how often all annotators gave each label


def _label_shares(tracks: Sequence[Track]) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {}
    for track in tracks:
        for scale, labels in track.labels.items():
            found.setdefault(scale, Counter()).update(labels)
    return found


def _constant(track: Track, shares: Shares) -> Alert | None:
    """One label alone, of a scale on which the others' shares make that unlikely."""
    alone = []
    for scale, labels in track.labels.items():
        ((label, count),) = Counter(labels).most_common(1)
        others = shares[scale] - Counter(labels)
        if count == sum(labels.values()) and others:
            usual = (others[label] + 1) / (others.total() + 2)
            alone.append(Alert("constant", track.annotator, 1.0, usual, float(usual**count), count))
    return min(alone, key=lambda alert: alert.p, default=None)


def _accepted(standing: Sequence[Answer], limits: Limits, refused: Collection[str]) -> tuple[Alert, ...]:
    """Fisher's exact test, one-sided, of the newest answers against all earlier ones."""
    good = [
        not isinstance(answer.value, Skip) and answer.id not in refused
        for answer in sorted(standing, key=lambda answer: answer.seq)
    ]
    before, now = good[: -limits.window], good[-limits.window :]
    if not before:
        return ()
    p = float(stats.hypergeom.cdf(sum(now), len(good), sum(good), len(now)))
    if p > limits.level:
        return ()
    return (Alert("accepted", None, sum(now) / len(now), sum(before) / len(before), p, len(now)),)
