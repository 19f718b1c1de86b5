"""The choice of a reward from recorded answers, without a new label.

Candidates race (`halving.py`); what is left is compared by paired held-out log-likelihood under folds of whole episodes
or prompts. The rule is one standard error's (Breiman et al. 1984, section 3.4.3): all that are within one of the best
are tied. The error is that of the paired difference to the best, and knows that answers about one episode share its
luck. "No winner" is the usual case. Differs from the usual rule in: of the tied ones not the smallest is taken but the
one of the highest standing (`candidates.standing` says why), else the likeliest, and the choice says so.

The score that chose is not the one that is reported. `confirmed` draws episodes again, chooses among the finalists by
those drawn and scores the choice on answers about none of them (the bootstrap bias corrected cross-validation of
Tsamardinos, Greasidou and Borboudakis 2018, here over the nodes of a graph of comparisons). What the earlier rungs
chose is not in it: they rule out what is clearly worse, and leave the close calls to the folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from accord.progress import Progress, Silent
from accord.rewards.candidates import Candidate, parameters, standing
from accord.rewards.crossval import FOLDS, Reading, Told, by_group, mean_told, paired, tempered, touched
from accord.rewards.features import read
from accord.rewards.halving import Groups, Race, raced
from accord.rewards.jobs import Material, Readings, working
from accord.rewards.judge import judge
from accord.types import Evidence, InputError

FACTOR = 1.0  # standard errors within which fits are tied
DRAWS = 200  # of the bootstrap

LEAST = 3  # members that have a spread worth the name

Score = Float[np.ndarray, "answer"]
Order = Mapping[Candidate, tuple[bool, int]]  # the standing of each fit; of those that are tied the highest is taken


@dataclass(frozen=True)
class Row:
    """One candidate and what is known of it. Log-likelihoods are nats an answer; None: it left before that."""

    name: str
    left: str  # "" where it reached the end: glance | short | first folds | failed
    parameters: int
    seconds: float  # of the processor, of the fits it shares
    score: float | None = None
    error: float | None = None
    difference: float | None = None  # to the best, paired
    difference_error: float | None = None
    accuracy: float | None = None
    accuracy_ci: tuple[float, float] | None = None
    ece: float | None = None  # once sharpened or softened by a factor found on other folds
    brier: float | None = None


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen, why, and what is to be expected of it."""

    chosen: Candidate
    best: Candidate
    rows: tuple[Row, ...]  # the likeliest first; those that left early behind
    tied: int  # fits within one standard error of the best, its own included
    fits: int  # different fits behind the candidates
    answers: int
    folds: int
    apparent: float  # the chosen one's score
    confirmed: tuple[float, float, float]  # of choices made without the answers that score them: mean and 95% interval
    seconds: float
    told: Mapping[Candidate, Sequence[Told]]

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        rows = [asdict(row) for row in self.rows]
        names = {
            "chosen": self.chosen.name,
            "best": self.best.name,
            "why": self.why(),
            "config": self.chosen.config.record(),
        }
        figures = ("tied", "fits", "answers", "folds", "apparent", "confirmed", "seconds")
        found = {**names, "text": self.chosen.text, **{name: getattr(self, name) for name in figures}}
        known = all(math.isfinite(x) for x in self.confirmed)
        return {**found, "confirmed": list(self.confirmed) if known else None, "rows": rows}

    def why(self) -> str:
        """The choice in a sentence."""
        if self.tied == 1:
            return f"{self.chosen.name}: likelier than every other fit by more than one standard error."
        what = "the largest net" if self.chosen.kind in ("mlp", "cnn") and not self.chosen.text else "the likeliest"
        alone = " on observations alone" if self.chosen.config.inputs == "state" else ""
        return f"{self.chosen.name}: {what}{alone}, of {self.tied} fits that the answers cannot tell apart."


def select(
    evidence: Evidence,
    candidates: Sequence[Candidate],
    readings: Readings,
    seed: int,
    workers: int = 1,
    folds: int = FOLDS,
    kept: Sequence[Candidate] = (),
    progress: Progress | None = None,
) -> Selection:
    """Chooses among candidates. The same arguments choose the same, however many workers there are.

    `kept` are cross-validated in full whatever the first rungs say. Raises InputError where there are too few answers
    or groups for the folds, and where every candidate failed.
    """
    held = by_group(evidence, seed, folds)
    groups, material = touched(evidence), Material(evidence, readings, held, seed)
    with working(material, workers) as run:
        race = raced(candidates, folds, groups, run, kept, progress or Silent())
    complete = {one: mean_told(told) for one, told in race.told.items() if len(told) == folds and one in candidates}
    if not complete:
        reason = next(iter(race.failed.values()), "no candidate")
        raise InputError(f"every candidate failed ({reason}): look at the answers, or name another reward.kind.")
    sizes = {text: _sizes(evidence, reading) for text, reading in readings.items()}
    return _selection(candidates, race, complete, groups, sizes, material, folds)


def _sizes(evidence: Evidence, reading: Reading) -> tuple[int, int]:
    raw = read(evidence.segments[:1], reading.encode)
    return raw.observation.shape[2], raw.action.shape[2]


def _selection(
    candidates: Sequence[Candidate],
    race: Race,
    complete: Mapping[Candidate, Score],
    groups: Groups,
    sizes: Mapping[str, tuple[int, int]],
    material: Material,
    folds: int,
) -> Selection:
    works = dict.fromkeys(one.work for one in candidates)
    about = {one: (sizes[one.text], material.readings[one.text].picture) for one in works}
    order = {one: standing(one, *about[one]) for one in works}
    chosen, best, tied = pick(complete, groups, order)
    rows = [_row(one, race, complete, groups, best, parameters(one.work, *about[one.work])) for one in candidates]
    ranked = sorted(rows, key=lambda row: (row.score is None, -(row.score or 0.0)))
    return Selection(
        chosen=chosen,
        best=best,
        rows=tuple(ranked),
        tied=tied,
        fits=len(works),
        answers=material.evidence.answers,
        folds=folds,
        apparent=float(np.nanmean(complete[chosen])),
        confirmed=corrected(complete, groups, order, np.random.default_rng(material.seed)),
        seconds=sum(race.seconds.values()),
        told={one: race.told[one] for one in complete},
    )


def pick(scores: Mapping[Candidate, Score], groups: Groups, order: Order) -> tuple[Candidate, Candidate, int]:
    """The choice, the likeliest, and how many fits are within one standard error of that.

    Of those the one of the highest standing is taken, then the likeliest; of three members or more where it is to be
    had: one alone has no spread, which questions and pessimism need, whatever its likelihood.
    """
    best = max(scores, key=lambda one: float(np.nanmean(scores[one])))
    near = []
    for one, score in scores.items():
        gap = paired(scores[best], score, groups)
        if one == best or gap.difference <= FACTOR * gap.error:
            near.append(one.work)
    highest = max(order[one] for one in near)
    own = [one for one in scores if one.work in near and order[one.work] == highest]
    several = [one for one in own if one.config.members >= LEAST] or own
    return max(several, key=lambda one: float(np.nanmean(scores[one]))), best, len(set(near))


def _row(
    one: Candidate, race: Race, complete: Mapping[Candidate, Score], groups: Groups, best: Candidate, parameters: int
) -> Row:
    row = Row(one.name, race.left.get(one.work, "first folds"), parameters, race.seconds.get(one.work, 0.0))
    if one not in complete:
        return row
    score, told = complete[one], race.told[one]
    gap, judged = paired(score, complete[best], groups), judge(tempered(told))
    alone = paired(score, np.zeros(len(score)), groups)
    low, high = judged.accuracy_low, judged.accuracy_high
    return replace(
        row,
        left="",
        score=alone.difference,
        error=alone.error,
        difference=gap.difference,
        difference_error=gap.error,
        accuracy=judged.accuracy,
        accuracy_ci=None if low is None or high is None else (low, high),
        ece=judged.ece,
        brier=judged.brier,
    )


def corrected(
    scores: Mapping[Candidate, Score],
    groups: Groups,
    order: Order,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """The score of a choice on answers that it was not made by, with its 95% interval.

    Groups are drawn with replacement; an answer counts as often as its groups were drawn together (their product, as
    the nodes of a graph are drawn), and scores the choice where none of them was. The error here is that of independent
    answers, which a choice among finalists hardly feels.
    """
    table = np.stack(list(scores.values()))
    known = np.isfinite(table).all(0)
    table, rows = table[:, known], np.sort(groups[known], axis=1)
    rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = -1  # a group that an answer touches twice is drawn once
    places = sorted(set(order.values()))
    rank = np.array([places.index(order[one.work]) for one in scores])
    several = np.array([one.config.members >= LEAST for one in scores])
    numbers, place = np.unique(rows, return_inverse=True)
    place, real, found = place.reshape(rows.shape), numbers >= 0, []
    for _ in range(DRAWS):
        times = np.zeros(len(numbers), np.int64)
        times[real] = rng.multinomial(real.sum(), np.full(real.sum(), 1.0 / real.sum()))
        weight = np.where(real, times, 1)[place].prod(1)
        unseen = times[place].sum(1) == 0
        if weight.any() and unseen.any():
            found.append(float(table[_picked(table, weight, rank, several)][unseen].mean()))
    if not found:
        return math.nan, math.nan, math.nan
    low, high = np.quantile(found, (0.025, 0.975))
    return float(np.mean(found)), float(low), float(high)


def _picked(
    table: Float[np.ndarray, "candidate answer"],
    weight: Int[np.ndarray, "answer"],
    rank: Int[np.ndarray, "candidate"],
    several: Bool[np.ndarray, "candidate"],
) -> int:
    """The choice by answers that count so often, as `pick` takes it."""
    share = weight / weight.sum()
    level = table @ share
    gap = table[np.argmax(level)] - table
    error = np.sqrt(np.square(gap - (gap @ share)[:, None]) @ share / max(1, (weight > 0).sum()))
    near = gap @ share <= FACTOR * error
    own = near & (rank == rank[near].max())
    choosable = own & several if (own & several).any() else own
    return int(np.argmax(np.where(choosable, level, -math.inf)))
