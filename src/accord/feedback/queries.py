"""What to ask next: a share of queries drawn uniformly, the rest chosen by a rule from recent segments.

Rules, each over the values that the members of an ensemble give to segments (never over models):
- uniform       every set of segments is as likely as any other; these alone measure accuracy, calibration, agreement
- recent        uniform among recent segments: near on-policy queries (Hu et al., QPA, 2305.17400)
- disagreement  standard deviation over members of P(first wins) (Christiano et al. 1706.03741)
- bald          what the answer tells about which member is right (Houlsby et al. 1112.5745)
- d_optimal     p (1 - p) x^T H^-1 x for the difference x of features; H is damped, else the first choices diverge

A rule scores a random pool of candidates, ten for each query wanted, and the best third of it is thinned to a diverse
batch by greedy k-centre (Sener and Savarese 1708.00489; B-Pref's `kcenter_disagree`). D-optimality is diverse by
itself: H grows by each choice before the next.

Differs from the papers in: the uniform share, which B-Pref lacks; ranks are scored by the mean over their pairs, and
questions about one segment by its difference from the average candidate; distances are between the mean and the
spread of a query's segments, which do not depend on their order (B-Pref: between concatenated segments, which do).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from accord.functional.uncertainty import bald, d_optimality, disagreement, information, mean_logit
from accord.types import InputError, Kind, NotFinite, Query, SegmentId

Rule = Literal["uniform", "recent", "disagreement", "bald", "d_optimal"]
Places = tuple[int, ...]  # positions into the candidates: one possible query

LEAST_UNIFORM = 0.15  # design section 7: below it nothing unbiased could be said about the reward
QPA_WINDOW = 10  # trajectories
SHORTLIST = 3  # candidates per query that reach the diversity step
LISTED = 20_000  # up to so many possible queries are listed and drawn exactly; beyond, drawn and rejected


@dataclass(frozen=True)
class QueryConfig:
    """Which questions are asked."""

    kind: Kind = "compare"
    levels: int = 3  # to compare: 2, 3 (tie), 7 (strength); to rate: 2 to 11
    items: int = 4  # segments of a `rank` or `demonstrate` query
    overlap: int = 1  # annotators for each query
    rule: Rule = "disagreement"  # of the queries that are not uniform
    uniform: float = 0.5  # their share; .15 at least (the half: QPA's evidence for plain on-policy queries)
    window: int | None = None  # newest episodes that the rule looks at; None: all, and 10 for `recent` (QPA)
    pool: int = 10  # candidates scored for each query (B-Pref `large_batch` 10)
    diverse: bool = True  # thin the best candidates to a diverse batch
    damping: float = 1.0  # d_optimal: prior precision of weights of standardised features

    def __post_init__(self) -> None:
        if not LEAST_UNIFORM <= self.uniform <= 1:
            raise InputError(
                f"feedback.queries.uniform is {self.uniform}: give a share from {LEAST_UNIFORM} to 1, "
                "because accuracy and calibration are measured on uniform queries alone."
            )
        levels = {"compare": (2, 3, 7), "rate": range(2, 12)}.get(self.kind, (self.levels,))
        if self.levels not in levels:
            choices = ", ".join(map(str, levels))
            raise InputError(f"feedback.queries.levels is {self.levels}: to {self.kind}, choose one of {choices}.")
        for name, least in (("items", 2), ("overlap", 1), ("window", 1), ("pool", 1)):
            given = getattr(self, name)
            if given is not None and given < least:
                raise InputError(f"feedback.queries.{name} is {given}: give {least} or more.")
        if self.damping <= 0:
            raise InputError(f"feedback.queries.damping is {self.damping}: give a number above 0.")

    @property
    def size(self) -> int:
        """How many segments one query is about."""
        return {"compare": 2, "rank": self.items, "demonstrate": self.items}.get(self.kind, 1)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Segments that may be asked about, and what the ensemble makes of them.

    `values` are G in units in which sigma(G_a - G_b) is the probability of a win; no members: every query is uniform.
    `recency` is larger for newer segments (a policy version, an episode number). `features` serve D-optimality and
    diversity; without them the values do for diversity. Segments of different `context` (prompts) are never put
    together; None: all are one context.
    """

    ids: tuple[SegmentId, ...]
    values: Float[np.ndarray, "member segment"]
    recency: Int[np.ndarray, "segment"]
    features: Float[np.ndarray, "segment feature"] | None = None
    context: Int[np.ndarray, "segment"] | None = None


def compose(
    candidates: Candidates,
    count: int,
    config: QueryConfig,
    rng: np.random.Generator,
    round: int = 0,
    asked: Sequence[Query] = (),
) -> list[Query]:
    """`count` new queries in random order, or fewer where no more are possible.

    None repeats one of `asked` (same kind, same segments in any order), and none names a segment twice. Ids are
    hashes of what is asked, so that a resumed run that draws the same queries asks nothing twice.
    """
    if not np.isfinite(candidates.values).all():
        raise NotFinite("the reward's values of candidate segments are not finite")
    seen = _places_of(asked, config.kind, candidates.ids)
    everywhere = _first_of_each(candidates.ids)
    by_rule = 0 if config.rule == "uniform" or len(candidates.values) == 0 else int(count * (1 - config.uniform))
    chosen = [(places, "uniform") for places in _draw(candidates, everywhere, config.size, count - by_rule, seen, rng)]
    if by_rule:
        taken = seen | {_key(places) for places, _ in chosen}
        chosen += [(places, config.rule) for places in _by_rule(candidates, by_rule, config, rng, seen, taken)]
        taken |= {_key(places) for places, _ in chosen}
        # A window with too few possible queries leaves a gap.
        chosen += [(p, "uniform") for p in _draw(candidates, everywhere, config.size, count - len(chosen), taken, rng)]
    return [_query(candidates.ids, *chosen[i], config, round, n) for n, i in enumerate(rng.permutation(len(chosen)))]


def _by_rule(
    candidates: Candidates,
    count: int,
    config: QueryConfig,
    rng: np.random.Generator,
    seen: Iterable[Places],
    taken: set[Places],
) -> list[Places]:
    window = config.window or (QPA_WINDOW if config.rule == "recent" else len(candidates.recency))
    newest = np.unique(candidates.recency)[-window:][0]
    recent = [i for i in _first_of_each(candidates.ids) if candidates.recency[i] >= newest]
    if config.rule == "recent":
        return _draw(candidates, recent, config.size, count, taken, rng)
    pool = _draw(candidates, recent, config.size, count * config.pool, taken, rng)
    if len(pool) <= count:
        return pool
    table = np.array(pool)
    if config.rule == "d_optimal":
        places = d_optimal_batch(candidates, table, sorted(seen), count, config)
        return [pool[i] for i in places]
    score = score_queries(candidates.values, table, recent, bald if config.rule == "bald" else disagreement)
    best = np.argsort(-score, kind="stable")
    if not config.diverse:
        return [pool[i] for i in best[:count]]
    shortlist = best[: SHORTLIST * count]
    features = candidates.values.T if candidates.features is None else candidates.features
    return [pool[shortlist[i]] for i in k_center(_query_features(features, table[shortlist]), count)]


# ------------------------------------------------------------------------------------------- possible queries


def _draw(
    candidates: Candidates,
    among: Sequence[int],
    size: int,
    count: int,
    taken: set[Places],
    rng: np.random.Generator,
) -> list[Places]:
    """Up to `count` different sets of `size` segments of one context, uniformly, in random order within each set."""
    if count <= 0:
        return []
    context = np.zeros(len(candidates.ids), int) if candidates.context is None else candidates.context
    by_context: dict[int, list[int]] = {}
    for i in among:
        by_context.setdefault(int(context[i]), []).append(i)
    groups = [group for group in by_context.values() if len(group) >= size]
    possible = [comb(len(group), size) for group in groups]
    if sum(possible) <= LISTED:
        free = [places for group in groups for places in combinations(group, size) if _key(places) not in taken]
        found = [free[i] for i in rng.permutation(len(free))[:count]]
    else:
        found = _draw_by_rejection(groups, possible, size, count, taken, rng)
    return [tuple(int(i) for i in rng.permutation(places)) for places in found]


def _draw_by_rejection(
    groups: Sequence[Sequence[int]],
    possible: Sequence[int],
    size: int,
    count: int,
    taken: set[Places],
    rng: np.random.Generator,
) -> list[Places]:
    share = np.array(possible, float) / sum(possible)
    found: dict[Places, None] = {}
    for _ in range(20 * count + 1000):  # where nearly all are taken, fewer are found
        group = groups[rng.choice(len(groups), p=share) if len(groups) > 1 else 0]
        places = _key(group[i] for i in rng.choice(len(group), size, replace=False))
        if places not in taken:
            found[places] = None
        if len(found) == count:
            break
    return list(found)


def _key(places: Iterable[int]) -> Places:
    return tuple(sorted(int(i) for i in places))


def _first_of_each(ids: Sequence[SegmentId]) -> list[int]:
    """Where each different segment stands first: equal content is one segment."""
    first: dict[SegmentId, int] = {}
    for i, id_ in enumerate(ids):
        first.setdefault(id_, i)
    return list(first.values())


def _places_of(asked: Iterable[Query], kind: Kind, ids: Sequence[SegmentId]) -> set[Places]:
    """Earlier queries of this kind about these segments alone."""
    place = {ids[i]: i for i in _first_of_each(ids)}
    return {
        _key(place[id_] for id_ in query.segments)
        for query in asked
        if query.kind == kind and all(id_ in place for id_ in query.segments)
    }


def _query(
    ids: Sequence[SegmentId], places: Places, acquisition: str, config: QueryConfig, round: int, index: int
) -> Query:
    segments = tuple(ids[i] for i in places)
    digest = hashlib.sha256("\0".join(["query", config.kind, str(round), str(index), *segments]).encode()).hexdigest()
    levels = config.levels if config.kind in ("compare", "rate") else 2
    return Query(digest, config.kind, segments, levels, acquisition, round, config.overlap)


# -------------------------------------------------------------------------------------------------- scores


def score_queries(
    values: Float[np.ndarray, "member segment"],
    table: Int[np.ndarray, "query item"],
    among: Sequence[int],
    score: Callable[[Float[np.ndarray, "member query"]], Float[np.ndarray, "query"]],
) -> Float[np.ndarray, "query"]:
    """How informative each query of the table is; one segment is held against the average of those `among` which."""
    average = values[:, among].mean(1, keepdims=True)
    return np.mean([score(_difference(values, pair, average)) for pair in _pairs(table)], axis=0)


def d_optimal_batch(
    candidates: Candidates,
    table: Int[np.ndarray, "query item"],
    asked: Sequence[Places],
    count: int,
    config: QueryConfig,
) -> list[int]:
    """Rows of the table by greedy D-optimality: after each choice H grows by it (or stays, where not `diverse`)."""
    if candidates.features is None:
        raise InputError("feedback.queries.rule is 'd_optimal', which needs features: choose 'disagreement' or 'bald'.")
    features = _standardised(candidates.features)
    contrasts, logits = _contrasts(candidates.values, features, table)
    before = np.array(asked, np.int64).reshape(len(asked), table.shape[1])
    old_contrasts, old_logits = _contrasts(candidates.values, features, before)
    flat = old_contrasts.reshape(-1, features.shape[1])
    precision = information(flat, old_logits.reshape(-1), config.damping)
    chosen: list[int] = []
    for _ in range(count):
        covariance = np.linalg.inv(precision)
        score = np.sum([d_optimality(x, z, covariance) for x, z in zip(contrasts, logits, strict=True)], axis=0)
        score[chosen] = -np.inf
        best = np.argsort(-score, kind="stable")
        if not config.diverse:
            return [int(i) for i in best[:count]]
        chosen.append(int(best[0]))
        # `information` with no damping is what this one query adds.
        precision += information(contrasts[:, chosen[-1]], logits[:, chosen[-1]], 0.0)
    return chosen


def k_center(points: Float[np.ndarray, "query feature"], count: int) -> list[int]:
    """Greedy k-centre from the first row on: each next row is the one farthest from all chosen ones."""
    chosen = [0]
    nearest = np.square(points - points[0]).sum(1)
    while len(chosen) < min(count, len(points)):
        nearest[chosen] = -1.0  # equal points are chosen last, each once
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(points - points[chosen[-1]]).sum(1))
    return chosen


def _pairs(table: Int[np.ndarray, "query item"]) -> list[Int[np.ndarray, "query _"]]:
    """The table's columns two by two; as they are, where there is but one."""
    if table.shape[1] == 1:
        return [table]
    return [table[:, list(columns)] for columns in combinations(range(table.shape[1]), 2)]


def _difference(
    rows: Float[np.ndarray, "row segment"], pair: Int[np.ndarray, "query _"], average: Float[np.ndarray, "row 1"]
) -> Float[np.ndarray, "row query"]:
    return rows[:, pair[:, 0]] - (rows[:, pair[:, 1]] if pair.shape[1] == 2 else average)


def _contrasts(
    values: Float[np.ndarray, "member segment"],
    features: Float[np.ndarray, "segment feature"],
    table: Int[np.ndarray, "query item"],
) -> tuple[Float[np.ndarray, "pair query feature"], Float[np.ndarray, "pair query"]]:
    """Differences of features and the members' mean log-odds, for every pair of every query."""
    average, mean = values.mean(1, keepdims=True), features.mean(0)[:, None]
    pairs = _pairs(table)
    contrasts = np.stack([_difference(features.T, pair, mean).T for pair in pairs])
    return contrasts, np.stack([mean_logit(_difference(values, pair, average)) for pair in pairs])


def _standardised(features: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row feature"]:
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 0, spread, 1.0)


def _query_features(
    features: Float[np.ndarray, "segment feature"], table: Int[np.ndarray, "query item"]
) -> Float[np.ndarray, "query column"]:
    """Where a query lies: mean and spread of its segments' standardised features."""
    items = _standardised(features)[table]
    return np.concatenate([items.mean(1), items.std(1)], axis=1)
