"""How far answers can be trusted: each annotator, the agreement of all, and what is worth a second look. Pure.

What an annotator is worth to the fit is the fit's own business (`rewards/annotators.py`): skills and sides are
estimated there together with the reward, and need no query that two people have answered. Here is what can be told
without a reward, and shown to people.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from accord.feedback.alerts import Alert, Limits, alerts
from accord.feedback.store import Store, current
from accord.feedback.track import Track, tracks
from accord.feedback.votes import Table, Vote, tabled, votes
from accord.functional.agreement import (
    Counts,
    ceiling,
    cohen_kappa,
    dawid_skene,
    fleiss_kappa,
    interval,
    krippendorff,
    percent_agreement,
)
from accord.types import Answer, Query, Value

DRAWS = 300  # of the bootstrap
ENOUGH = 30  # answers of an annotator, on average, from which confusions can be told; below, all count alike


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval; NaN where nothing can be said."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree on one scale. Only queries with two answers or more say anything."""

    scale: str
    queries: int
    percent: Estimate  # of pairs of answers that are the same
    kappa: Estimate  # beyond chance: Cohen's of two annotators, Fleiss's of more
    alpha: Estimate  # Krippendorff's: nominal of two labels, ordinal of more
    ceiling: Estimate  # of a model's accuracy against single answers, ties aside: `agreement.ceiling`


@dataclass(frozen=True)
class Disagreement:
    """A query whose answers differ, and how unsure it is what they mean.

    The posterior is that of Dawid and Skene's model; where annotators have too few answers for it, the answers' shares.
    """

    query: str
    scale: str
    split: Mapping[int, int]  # how many gave each label
    entropy: float  # of the posterior, nats
    most: float  # probability of the most likely label


@dataclass(frozen=True)
class Quality:
    """What `quality` finds. Disagreements come with the most uncertain first."""

    annotators: tuple[Track, ...]
    agreement: tuple[Agreement, ...]
    disagreements: tuple[Disagreement, ...]
    alerts: tuple[Alert, ...]

    def queue(self, sure: float = 0.9) -> tuple[str, ...]:
        """Queries for an adjudicator: their answers leave the most likely label below `sure`."""
        return tuple(each.query for each in self.disagreements if each.most < sure)


def quality(
    queries: Iterable[Query],
    answers: Sequence[Answer],
    *,
    repeats: Mapping[str, str] | None = None,
    gold: Mapping[str, Value] | None = None,
    refused: Collection[str] = (),
    limits: Limits | None = None,
    rng: np.random.Generator | None = None,
) -> Quality:
    """All of it. `repeats` names the earlier query that a query asks again, `gold` the known values of queries; without
    them, what the queries say.

    `refused` are ids of answers that were not accepted for another reason than a skip. `rng` draws the bootstrap.
    """
    rng = rng if rng is not None else np.random.default_rng(0)
    known, standing = {query.id: query for query in queries}, current(answers)
    if repeats is None:
        repeats = {query.id: query.repeats for query in known.values() if query.repeats is not None}
    if gold is None:
        gold = {query.id: query.gold for query in known.values() if query.gold is not None}
    found = votes(known, standing)
    scales: dict[str, list[Vote]] = defaultdict(list)
    for vote in found:
        scales[vote.scale].append(vote)
    tables = {scale: tabled(of_scale) for scale, of_scale in sorted(scales.items())}
    annotators = tracks(known, standing, found, repeats, gold, refused)
    return Quality(
        annotators=annotators,
        agreement=tuple(_agreement(scale, table, rng) for scale, table in tables.items()),
        disagreements=_disagreements(tables),
        alerts=alerts(annotators, standing, limits or Limits(), refused),
    )


def quality_of(store: Store, limits: Limits | None = None) -> Quality:
    """The same of all that a store holds."""
    return quality(store.queries(), store.answers(), limits=limits)


def _agreement(scale: str, table: Table, rng: np.random.Generator) -> Agreement:
    counts = table.counts
    several = counts[counts.sum(1) >= 2]
    pairs = _pairs(table)

    def estimate(counts: Counts, statistic: Callable[[Counts], float]) -> Estimate:
        return Estimate(statistic(counts), *interval(counts, statistic, rng, draws=DRAWS))

    return Agreement(
        scale=scale,
        queries=len(several),
        percent=estimate(several, percent_agreement),
        kappa=estimate(several, fleiss_kappa) if pairs is None else estimate(pairs, _cohen),
        alpha=estimate(several, lambda counts: krippendorff(counts, "nominal" if table.labels == 2 else "ordinal")),
        ceiling=estimate(_decided(several) if table.compared else several, _ceiling),
    )


def _decided(counts: Counts) -> Int[np.ndarray, "item 2"]:
    """Which side was better, ties left out: what a reward's accuracy is measured on."""
    half = counts.shape[1] // 2
    return np.stack([counts[:, :half].sum(1), counts[:, -half:].sum(1)], 1)


def _ceiling(counts: Counts) -> float:
    agreed = percent_agreement(counts)
    return agreed if math.isnan(agreed) else ceiling(agreed, counts.shape[1])


def _pairs(table: Table) -> Counts | None:
    """Of two annotators: one count for each query that both answered, at the pair of their labels; None of others."""
    if int(table.annotator.max()) != 1:
        return None
    said = np.full((len(table.queries), 2), -1)
    said[table.item, table.annotator] = table.label
    both = said[(said >= 0).all(1)]
    return np.eye(table.labels**2, dtype=np.int64)[both[:, 0] * table.labels + both[:, 1]]


def _cohen(pairs: Counts) -> float:
    labels = math.isqrt(pairs.shape[1])
    return cohen_kappa(*np.divmod(pairs.argmax(1), labels), labels)


def _disagreements(tables: Mapping[str, Table]) -> tuple[Disagreement, ...]:
    found = []
    for scale, table in tables.items():
        counts = table.counts
        belief = _belief(table)
        for item in np.flatnonzero((counts > 0).sum(1) >= 2):
            split = {label: int(count) for label, count in enumerate(counts[item]) if count}
            most = float(belief[item].max())
            found.append(Disagreement(table.queries[item], scale, split, _entropy(belief[item]), most))
    return tuple(sorted(found, key=lambda each: (-each.entropy, each.query)))


def _belief(table: Table) -> Float[np.ndarray, "item label"]:
    if len(table.item) >= ENOUGH * (int(table.annotator.max()) + 1):
        return dawid_skene(table.item, table.annotator, table.label, table.labels).label
    return table.counts / table.counts.sum(1, keepdims=True)


def _entropy(belief: Float[np.ndarray, "label"]) -> float:
    return -float((belief * np.log(np.maximum(belief, 1e-300))).sum())
