"""How far annotators agree, and which labels they most likely mean. Pure; randomness is an argument.

Agreement depends on nothing but how many annotators gave an item each label: `counts[item, label]`. Items with fewer
than two answers say nothing of it. Axes: `item`, `label`, `annotator`, `vote`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from accord.functional.statistics import Interval, percentiles

Counts = Int[np.ndarray, "item label"]
Metric = Literal["nominal", "ordinal", "interval"]

SMOOTHED = 0.01  # answers added to every cell of a confusion matrix: an annotator of one answer is no certainty
ROUNDS, STILL = 200, 1e-6  # of expectation-maximisation, and nats a vote by which the last must still climb


def counted(item: Int[np.ndarray, "vote"], label: Int[np.ndarray, "vote"], items: int, labels: int) -> Counts:
    """How many annotators gave each item each label."""
    return np.bincount(item * labels + label, minlength=items * labels).reshape(items, labels)


def percent_agreement(counts: Counts) -> float:
    """The share of pairs of answers to one item that are the same; NaN where no item has two."""
    same, possible = (counts * (counts - 1)).sum(), _pairs(counts).sum()
    return float(same / possible) if possible else math.nan


def cohen_kappa(first: Int[np.ndarray, "item"], second: Int[np.ndarray, "item"], labels: int) -> float:
    """`(p_o - p_e) / (1 - p_e)` of two annotators on the items that both labelled; chance keeps each one's own habits.

    Cohen, "A coefficient of agreement for nominal scales" (1960). NaN where both give one label alone, or nothing.
    """
    if not len(first):
        return math.nan
    own = [np.bincount(each, minlength=labels) / len(each) for each in (first, second)]
    return _beyond_chance(float((first == second).mean()), float(own[0] @ own[1]))


def fleiss_kappa(counts: Counts) -> float:
    """The same of many annotators, who need not be the same for every item; chance is the pooled share of each label.

    Fleiss, "Measuring nominal scale agreement among many raters" (1971). Differs from it in: items may have unequal
    numbers of answers, and each counts alike.
    """
    counts = counts[counts.sum(1) >= 2]
    if not len(counts):
        return math.nan
    share = counts.sum(0) / counts.sum()
    same = (counts * (counts - 1)).sum(1) / _pairs(counts)
    return _beyond_chance(float(same.mean()), float(share @ share))


def krippendorff(counts: Counts, metric: Metric = "nominal", values: Float[np.ndarray, "label"] | None = None) -> float:
    """Krippendorff's `alpha = 1 - D_o / D_e`, at most 1; 0 is chance. `values` of the labels, in rising order, are
    what `interval` measures by; by default their numbers.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). NaN where no item has two answers, or where all
    answers are equal.
    """
    counts = counts[counts.sum(1) >= 2]
    weighed = counts / np.maximum(counts.sum(1, keepdims=True) - 1, 1)
    observed = counts.T @ weighed - np.diag(weighed.sum(0))
    total = observed.sum(0)
    expected = (np.outer(total, total) - np.diag(total)) / max(total.sum() - 1, 1)
    distance = _distance(np.arange(float(counts.shape[1])) if values is None else values, total, metric)
    chance = float((expected * distance).sum())
    return 1.0 - float((observed * distance).sum()) / chance if chance > 0 else math.nan


def ceiling(agreement: float, labels: int) -> float:
    """The accuracy against single answers that nobody can exceed, where two answers to one item agree so often.

    Whoever knew the shares `q` of every item's answers would say the most frequent label and be right in a share
    `a = max q` of them. Two answers agree in `sum q^2 >= a^2 + (1 - a)^2 / (K - 1)`, with equality where the other
    labels are alike, so `a <= (1 + sqrt((K - 1)(K sum q^2 - 1))) / K`; the root is concave, so the same holds of the
    means over items (Jensen). Equality: every item is as hard. Of two labels it is `(1 + sqrt(2p - 1)) / 2`. An
    agreement below chance, `1 / K`, counts as chance.
    """
    return (1.0 + math.sqrt((labels - 1) * max(0.0, labels * agreement - 1.0))) / labels


def ceiling_nats(agreement: float, labels: int) -> float:
    """The nats of an answer that nobody can exceed who knows an item's answers and not who gives the next.

    Whoever knew the shares `q` of every item's answers would reach minus the entropy H(q). Two answers agree in
    `sum q^2`, and H lies above the straight lines through `(1 / k, log k)`, k = 1 to K, its values where k labels are
    alike (Harremoës and Topsøe 2001, theorem II.6); those lines are convex, so the same holds of the means over items.
    Of two labels it is `-2 log 2 (1 - p)`. An agreement below chance counts as chance.
    """
    alike = np.arange(labels, 0, -1)
    return -float(np.interp(agreement, 1.0 / alike, np.log(alike)))


def interval(
    counts: Counts,
    statistic: Callable[[Counts], float],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 1000,
) -> Interval:
    """Percentile bootstrap of a statistic of agreement: items are drawn again, with all their answers."""
    found = (
        [statistic(counts[rng.integers(len(counts), size=len(counts))]) for _ in range(draws)] if len(counts) else []
    )
    usable = np.array([each for each in found if not math.isnan(each)])
    return percentiles(usable, level) if len(usable) else (math.nan, math.nan)


def _pairs(counts: Counts) -> Int[np.ndarray, "item"]:
    answers = counts.sum(1)
    return answers * (answers - 1)


def _beyond_chance(observed: float, expected: float) -> float:
    return (observed - expected) / (1.0 - expected) if expected < 1.0 else math.nan


def _distance(
    values: Float[np.ndarray, "label"], total: Float[np.ndarray, "label"], metric: Metric
) -> Float[np.ndarray, "label label"]:
    if metric == "nominal":
        return 1.0 - np.eye(len(values))
    # Ordinal: answers strictly between two labels, and half of those at either.
    place = values if metric == "interval" else np.cumsum(total) - total / 2
    return np.square(place[:, None] - place[None])


# ------------------------------------------------------------------------------------------- what is meant


@dataclass(frozen=True, eq=False)
class Consensus:
    """What Dawid and Skene's model finds: the label that each item most likely has, and how each annotator errs."""

    label: Float[np.ndarray, "item label"]  # probabilities
    confusion: Float[np.ndarray, "annotator label label"]  # of saying the last where the middle is true
    share: Float[np.ndarray, "label"]
    log_likelihood: float  # per vote

    @property
    def skill(self) -> Float[np.ndarray, "annotator"]:
        """The probability that an annotator says what is true."""
        return np.einsum("akk,k->a", self.confusion, self.share)


def dawid_skene(
    item: Int[np.ndarray, "vote"],
    annotator: Int[np.ndarray, "vote"],
    label: Int[np.ndarray, "vote"],
    labels: int,
    rounds: int = ROUNDS,
) -> Consensus:
    """Each annotator confuses labels in a way of its own; truth and confusions by expectation-maximisation.

    Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (1979), equations
    2.3 to 2.5, from the shares of votes. Differs from it in: confusions are smoothed. Items and annotators are numbered
    from 0; at least one vote.
    """
    items, annotators = int(item.max()) + 1, int(annotator.max()) + 1
    votes = counted(item, label, items, labels)
    belief, before = votes / np.maximum(votes.sum(1, keepdims=True), 1), -math.inf
    said = annotator * labels + label
    while True:
        share, rounds = belief.mean(0), rounds - 1
        confusion = _tally(said, annotators, labels, belief[item]) + SMOOTHED
        confusion /= confusion.sum(2, keepdims=True)
        scores = np.tile(np.log(np.maximum(share, 1e-300)), (items, 1))
        np.add.at(scores, item, np.log(confusion[annotator, :, label]))
        total = np.logaddexp.reduce(scores, axis=1, keepdims=True)
        belief, level = np.exp(scores - total), float(total.sum()) / len(item)
        if rounds <= 0 or level - before < STILL:
            return Consensus(belief, confusion, share, level)
        before = level


def _tally(
    said: Int[np.ndarray, "vote"], annotators: int, labels: int, belief: Float[np.ndarray, "vote label"]
) -> Float[np.ndarray, "annotator label label"]:
    """How often, by belief, each annotator said the last label where the middle one is true."""
    columns = [np.bincount(said, belief[:, true], annotators * labels) for true in range(labels)]
    return np.stack([column.reshape(annotators, labels) for column in columns], 1)
