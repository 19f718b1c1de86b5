"""Measures a reward on uniform queries that it has not learned from: accuracy, calibration, agreement, rank of truth.

Which answers are held out. The reward also trains on the uniform queries, so a round's answers are forecast before it
is fitted to them (prequential: Dawid 1984), by the reward of the round before, and the forecasts of all rounds are
joined. The first round has no reward before it: there (or with a single round) the members that were kept from a
segment's group forecast it, `unseen`; their early stopping looked at those groups, which flatters them a little.

Every kind of answer is read as pairs, "first over second": a comparison is one, a ranking all pairs of its places, a
demonstration its segment over each sample, and an annotator's ratings (approvals) two by two in the order of the
queries. A tie (the middle level, two equal ratings) is counted and reported, and left out of accuracy, likelihood and
calibration, which are about decided answers alone. A forecast of exactly one half is half a hit, so that a constant
reward scores .5 and not what the order of the segments happens to give.

Intervals are Wilson's, on the number of independent observations that the pairs of one question are worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from accord.functional.agreement import counted, krippendorff, percent_agreement
from accord.functional.statistics import (
    brier,
    calibration_bins,
    ece,
    effective_count,
    pearson,
    spearman,
    wilson,
)
from accord.functional.uncertainty import log_sigmoid, mean_logit
from accord.types import Approvals, Comparisons, Demonstrations, Evidence, EvidencePart, Rankings, Ratings

SCATTERED = 300  # points of reward against truth kept for the report
PER_BIN = 10  # answers a calibration bin holds at least: fewer make noise look like miscalibration


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was foretold of uniform answers, pair by pair.

    `logit` is the log-odds that the first wins, `outcome` 1, 0, or .5 for a tie. Pairs with one `question` are about
    the same segments and not independent; with one `pair` too they are the same choice by several annotators.
    """

    logit: Float[np.ndarray, "answer"]
    outcome: Float[np.ndarray, "answer"]
    question: Int[np.ndarray, "answer"]
    pair: Int[np.ndarray, "answer"]
    annotator: Int[np.ndarray, "answer"]


@dataclass(frozen=True)
class Bin:
    """Answers of like forecasts: mean probability, share won, and how many."""

    p: float
    observed: float
    n: int


@dataclass(frozen=True)
class Judgement:
    """Figures of one reward; None is "not measured". The interval covers 95 %."""

    answers: int  # uniform pairs that were forecast, ties included
    ties: int
    accuracy: float | None = None  # share of decided answers forecast right
    accuracy_low: float = 0.0
    accuracy_high: float = 1.0
    log_likelihood: float | None = None  # mean nats of a decided answer; a coin has -.693
    ece: float | None = None
    brier: float | None = None  # a coin has .25
    agreement: float | None = None  # share of pairs of annotators who say the same of one pair of segments
    alpha: float | None = None  # Krippendorff's, nominal: agreement beyond chance
    spearman: float | None = None  # of the segments' values and true returns
    pearson: float | None = None
    reliability: tuple[Bin, ...] = ()
    scatter: tuple[tuple[float, float], ...] = ()  # (truth, reward) of some segments

    def record(self) -> dict[str, object]:
        """JSON for the run log, in the words that the report reads."""
        found = {**asdict(self), "reliability": [asdict(bin_) for bin_ in self.reliability]}
        found["scatter"] = {"truth": [t for t, _ in self.scatter], "reward": [g for _, g in self.scatter]}
        return found

    def result(self) -> dict[str, object]:
        """The `reward` entry of result.json."""
        return {
            "heldout_accuracy": self.accuracy,
            "ci95": [self.accuracy_low, self.accuracy_high],
            "ece": self.ece,
            "answers": self.answers,
        }


def forecast(
    values: Float[np.ndarray, "member segment"],
    evidence: Evidence,
    unseen: Bool[np.ndarray, "member segment"] | None = None,
) -> Forecasts:
    """Forecasts of the uniform answers in the evidence, from the values that the members give to its segments.

    `values` are on the scale of the link, P(a over b) = sigma(G_a - G_b): sums over a segment's steps, or means where
    the evidence rates and approves. Give evidence that the reward was not fitted to, or `unseen`, the segments whose
    group each member was kept from: an answer is then forecast by the members that were kept from one of its
    segments, and left out where there is none.
    """
    rows = [_pairs(part, uniform) for part, uniform in zip(evidence.parts, evidence.uniform, strict=True)]
    counts = np.cumsum([0, *map(len, evidence.uniform)])  # the same whichever answers are uniform
    first, second, outcome, question, annotator = (
        np.concatenate([np.zeros(0, kind), *(getattr(each, name) for each in rows)])
        for name, kind in (("first", int), ("second", int), ("outcome", float), ("question", int), ("annotator", int))
    )
    question += np.repeat(counts[:-1], [len(each.first) for each in rows])
    logit = (values[:, first] - values[:, second]).astype(np.float64)
    if unseen is None:
        kept = np.arange(logit.shape[1])
        told = mean_logit(logit)
    else:
        usable = unseen[:, first] | unseen[:, second]
        kept = np.flatnonzero(usable.any(0))
        told = np.array([_ensemble(logit[:, i], usable[:, i]) for i in kept], float)
    return Forecasts(
        told,
        outcome[kept],
        question[kept],
        _numbered(question, first, second)[kept],
        annotator[kept],
    )


def _ensemble(logit: Float[np.ndarray, "member"], usable: Bool[np.ndarray, "member"]) -> float:
    """Log-odds of the mean probability of the usable members."""
    return float(mean_logit(logit[usable][:, None])[0])


def join(rounds: Sequence[Forecasts]) -> Forecasts:
    """Forecasts of several rounds as one; their questions stay apart."""
    question, pair = 0, 0
    moved = []
    for each in rounds:
        moved.append((each.question + question, each.pair + pair))
        question += int(each.question.max(initial=-1)) + 1
        pair += int(each.pair.max(initial=-1)) + 1
    none = np.zeros(0, int)
    return Forecasts(
        np.concatenate([np.zeros(0), *(each.logit for each in rounds)]),
        np.concatenate([np.zeros(0), *(each.outcome for each in rounds)]),
        np.concatenate([none, *(q for q, _ in moved)]),
        np.concatenate([none, *(p for _, p in moved)]),
        np.concatenate([none, *(each.annotator for each in rounds)]),
    )


def judge(
    forecasts: Forecasts,
    value: Float[np.ndarray, "segment"] | None = None,
    truth: Float[np.ndarray, "segment"] | None = None,
) -> Judgement:
    """Scores forecasts; with the values and true returns of some segments, also how well one ranks the other."""
    decided = forecasts.outcome != 0.5
    agreement, alpha = _agreement(forecasts)
    found = Judgement(len(decided), int((~decided).sum()), agreement=agreement, alpha=alpha)
    measured = _measured(forecasts.logit[decided], forecasts.outcome[decided], forecasts.question[decided])
    if value is None or truth is None:
        return replace(found, **measured)
    value, truth = value.astype(np.float64), truth.astype(np.float64)
    some = np.unique(np.linspace(0, len(truth) - 1, min(SCATTERED, len(truth))).round().astype(int))
    return replace(
        found,
        **measured,
        spearman=_number(spearman(value, truth)),
        pearson=_number(pearson(value, truth)),
        scatter=tuple((float(truth[i]), float(value[i])) for i in some),
    )


def _measured(
    logit: Float[np.ndarray, "answer"], outcome: Float[np.ndarray, "answer"], question: Int[np.ndarray, "answer"]
) -> dict[str, Any]:
    """The fields that are about decided answers."""
    if len(logit) == 0:
        return {}
    hit = np.where(logit == 0, 0.5, (logit > 0) == (outcome == 1))
    count = effective_count(hit, question)
    low, high = wilson(float(hit.mean()) * count, count)
    probability, bins = np.exp(log_sigmoid(logit)), int(np.clip(len(logit) // PER_BIN, 1, 10))
    return {
        "accuracy": float(hit.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "log_likelihood": float(log_sigmoid(np.where(outcome == 1, logit, -logit)).mean()),
        "ece": ece(probability, outcome, bins),
        "brier": brier(probability, outcome),
        "reliability": tuple(Bin(*found) for found in calibration_bins(probability, outcome, bins)),
    }


def _agreement(forecasts: Forecasts) -> tuple[float | None, float | None]:
    """Share of agreeing pairs of annotators, and Krippendorff's alpha, over pairs of segments that two answered."""
    said = np.unique(np.stack([forecasts.pair, forecasts.annotator, np.round(2 * forecasts.outcome)]), axis=1)
    counts = counted(said[0].astype(int), said[2].astype(int), int(said[0].max(initial=-1)) + 1, 3)
    return _number(percent_agreement(counts)), _number(krippendorff(counts))


def _number(x: float) -> float | None:
    return None if math.isnan(x) else x


# --------------------------------------------------------------------------------------- answers as pairs


@dataclass(frozen=True, eq=False)
class _Pairs:
    """`outcome` of `first` over `second`; `first` is the lower number, whichever was shown first."""

    first: Int[np.ndarray, "answer"]
    second: Int[np.ndarray, "answer"]
    outcome: Float[np.ndarray, "answer"]
    question: Int[np.ndarray, "answer"]
    annotator: Int[np.ndarray, "answer"]


def _pairs(part: EvidencePart, uniform: Bool[np.ndarray, "query"]) -> _Pairs:
    """The uniform answers of one part, pair by pair; answers about the same segments share a question."""
    if isinstance(part, Comparisons):
        outcome = (np.sign(2 * part.level - (part.levels - 1)) + 1) / 2
        query, first, second = np.arange(len(uniform)), part.first, part.second
        items = np.column_stack([first, second])
    elif isinstance(part, Rankings | Demonstrations):
        items = part.items if isinstance(part, Rankings) else np.column_stack([part.chosen, part.against])
        ahead = combinations(range(items.shape[1]), 2) if isinstance(part, Rankings) else _chosen_over(items)
        query, first, second = _placed(items, list(ahead))
        outcome = np.ones(len(query))
    else:
        query, first, second, outcome = _two_by_two(part, uniform)
        items = np.column_stack([part.item, part.item])
        items[query] = np.column_stack([first, second])
    question = _numbered(*np.sort(items, axis=1).T) if len(items) else query
    kept = uniform[query]
    query, first, second, outcome = query[kept], first[kept], second[kept], outcome[kept]
    swap = first > second
    return _Pairs(
        np.where(swap, second, first),
        np.where(swap, first, second),
        np.where(swap, 1 - outcome, outcome),
        question[query],
        part.annotator[query],
    )


def _chosen_over(items: Int[np.ndarray, "query place"]) -> list[tuple[int, int]]:
    return [(0, place) for place in range(1, items.shape[1])]


def _placed(
    items: Int[np.ndarray, "query place"], ahead: Sequence[tuple[int, int]]
) -> tuple[Int[np.ndarray, "answer"], Int[np.ndarray, "answer"], Int[np.ndarray, "answer"]]:
    """Query, better and worse segment, for all pairs of places of which the one is ahead of the other; -1 pads."""
    better = np.array([place for place, _ in ahead], int)
    worse = np.array([place for _, place in ahead], int)
    query = np.repeat(np.arange(len(items)), len(ahead))
    first, second = items[:, better].ravel(), items[:, worse].ravel()
    present = (first >= 0) & (second >= 0)
    return query[present], first[present], second[present]


def _two_by_two(
    part: Ratings | Approvals, uniform: Bool[np.ndarray, "query"]
) -> tuple[
    Int[np.ndarray, "answer"], Int[np.ndarray, "answer"], Int[np.ndarray, "answer"], Float[np.ndarray, "answer"]
]:
    """Each annotator's uniform answers in pairs that share none: query of the one, both segments, outcome."""
    level = part.level if isinstance(part, Ratings) else part.approved.astype(int)
    found = [
        (rows[i], rows[i + 1])
        for who in np.unique(part.annotator)
        for rows in [np.flatnonzero((part.annotator == who) & uniform)]
        for i in range(0, len(rows) - 1, 2)
        if part.item[rows[i]] != part.item[rows[i + 1]]
    ]
    one, other = np.array(found, int).reshape(-1, 2).T
    return one, part.item[one], part.item[other], (np.sign(level[one] - level[other]) + 1) / 2


def _numbered(*columns: Int[np.ndarray, "answer"]) -> Int[np.ndarray, "answer"]:
    """One number for all rows that are equal."""
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()
