"""Packs answers into arrays: the one form in which rewards and policies learn from people.

Only answers that count are packed: up to a cursor, not superseded, not skipped. Their order is that of the queries
(round, then id, then annotator), not of delivery, so that a resumed run packs the same arrays as the uninterrupted one.

In a comparison `first` is the segment that was shown first and `level` speaks for it, so that an annotator's liking
for one side is a constant that the likelihood can estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from accord.feedback.store import Store, current
from accord.types import (
    Answer,
    Approvals,
    Comparisons,
    Demonstrations,
    Evidence,
    EvidencePart,
    Given,
    InputError,
    Kind,
    Order,
    Query,
    Rankings,
    Ratings,
    Reply,
    Score,
    Segment,
    SegmentId,
    Side,
    Skip,
    Verdict,
)

Usable = tuple[Query, Answer]


@dataclass
class Cache:
    """What has been read from a store already; passed to the next `pack` it saves reading it again."""

    answers: list[Answer] = field(default_factory=list)
    queries: dict[str, Query] = field(default_factory=dict)
    segments: dict[SegmentId, Segment] = field(default_factory=dict)
    groups: dict[SegmentId, str] = field(default_factory=dict)


def pack(store: Store, upto: int | None = None, cache: Cache | None = None, round: int | None = None) -> Evidence:
    """All usable answers of a store up to the cursor `upto` (its `seq` included; None: all there are).

    With `round`, only answers to queries of that round: what a reward fitted before it can be judged on.
    """
    cache = Cache() if cache is None else cache
    last = cache.answers[-1].seq if cache.answers else 0
    cache.answers += store.answers(after=last, upto=upto)
    answers = [answer for answer in cache.answers if upto is None or answer.seq <= upto]
    unread = list({answer.query: None for answer in answers if answer.query not in cache.queries})
    if unread:
        cache.queries |= {query.id: query for query in store.queries(unread)}
    pairs = [pair for pair in usable(answers, cache.queries) if round is None or pair[0].round == round]
    _read_segments(store, [id_ for pair in pairs for id_ in _segments_of(pair)], cache)
    return pack_answers(pairs, cache.segments, cache.groups)


def _read_segments(store: Store, ids: Sequence[SegmentId], cache: Cache) -> None:
    unread = [id_ for id_ in dict.fromkeys(ids) if id_ not in cache.segments]
    if not unread:
        return
    for id_, segment, origin in zip(unread, store.segments(unread), store.provenance(unread), strict=True):
        cache.segments[id_] = segment
        # Replies to one prompt stay together, as segments of one episode do.
        cache.groups[id_] = f"prompt {segment.prompt}" if isinstance(segment, Reply) else origin.group


def usable(answers: Sequence[Answer], queries: Mapping[str, Query]) -> list[Usable]:
    """Answers that count, with their queries, in the order of the queries."""
    counting = [(queries[answer.query], answer) for answer in current(answers) if not isinstance(answer.value, Skip)]
    return sorted(counting, key=lambda pair: (pair[0].round, pair[0].id, pair[1].annotator, pair[1].id))


def pack_answers(
    pairs: Sequence[Usable],
    segments: Mapping[SegmentId, Segment],
    groups: Mapping[SegmentId, str],
    log_weights: Mapping[SegmentId, float] | None = None,
) -> Evidence:
    """Usable answers as arrays. Pure.

    `segments` and `groups` must know every segment named. `log_weights` are log importance weights of the policy's
    samples that demonstrations are held against; 0 where not given.
    """
    index = {id_: i for i, id_ in enumerate(dict.fromkeys(id_ for pair in pairs for id_ in _segments_of(pair)))}
    names = {name: i for i, name in enumerate(sorted({answer.annotator for _, answer in pairs}))}
    numbers: dict[str, int] = {}
    of_segment = _ints(numbers.setdefault(groups[id_], len(numbers)) for id_ in index)
    parts, uniform = [], []
    for (kind, levels), members in _by_part(pairs).items():
        who = _ints(names[answer.annotator] for _, answer in members)
        parts.append(_part(kind, levels, members, index, who, log_weights or {}))
        uniform.append(np.array([query.acquisition == "uniform" for query, _ in members]))
    return Evidence([segments[id_] for id_ in index], of_segment, tuple(names), tuple(parts), tuple(uniform))


def given(pairs: Sequence[Usable]) -> tuple[Int[np.ndarray, "_"], ...]:
    """The order in which the answers of each part of the evidence reached the store."""
    return tuple(_ints(answer.seq for _, answer in members) for members in _by_part(pairs).values())


def _by_part(pairs: Sequence[Usable]) -> dict[tuple[Kind, int], list[Usable]]:
    """Answers that share one likelihood, by kind and levels (0 where the kind has none), in a fixed order."""
    found: dict[tuple[Kind, int], list[Usable]] = {}
    for query, answer in pairs:
        levels = answer.value.levels if isinstance(answer.value, Side | Score) else 0
        found.setdefault((query.kind, levels), []).append((query, answer))
    return {key: found[key] for key in sorted(found)}


def _part(
    kind: Kind,
    levels: int,
    members: Sequence[Usable],
    index: Mapping[SegmentId, int],
    who: Int[np.ndarray, "query"],
    log_weights: Mapping[SegmentId, float],
) -> EvidencePart:
    if kind == "compare":
        return _comparisons(levels, members, index, who)
    if kind == "rank":
        return _rankings(members, index, who)
    if kind == "demonstrate":
        return _demonstrations(members, index, who, log_weights)
    item = _ints(index[query.segments[0]] for query, _ in members)
    if kind == "rate":
        return Ratings(item, _ints(_value(answer, Score).level for _, answer in members), who, levels)
    if kind == "approve":
        return Approvals(item, np.array([_value(answer, Verdict).approved for _, answer in members]), who)
    given = _ints(index[_value(answer, Given).segment] for _, answer in members)
    return Comparisons(given, item, np.ones(len(members), np.int64), who, 2, "correct")


def _comparisons(
    levels: int, members: Sequence[Usable], index: Mapping[SegmentId, int], who: Int[np.ndarray, "query"]
) -> Comparisons:
    asked = _table([[index[id_] for id_ in query.segments] for query, _ in members])
    level = _ints(_value(answer, Side).level for _, answer in members)
    swapped = np.array([answer.shown[:1] == (1,) for _, answer in members])
    return Comparisons(
        first=np.where(swapped, asked[:, 1], asked[:, 0]),
        second=np.where(swapped, asked[:, 0], asked[:, 1]),
        level=np.where(swapped, levels - 1 - level, level),
        annotator=who,
        levels=levels,
    )


def _rankings(members: Sequence[Usable], index: Mapping[SegmentId, int], who: Int[np.ndarray, "query"]) -> Rankings:
    orders = [[index[query.segments[place]] for place in _value(answer, Order).best_first] for query, answer in members]
    return Rankings(_table(orders), who)


def _demonstrations(
    members: Sequence[Usable],
    index: Mapping[SegmentId, int],
    who: Int[np.ndarray, "query"],
    log_weights: Mapping[SegmentId, float],
) -> Demonstrations:
    chosen = [_value(answer, Given).segment for _, answer in members]
    against = [
        [id_ for id_ in query.segments if id_ != given] for (query, _), given in zip(members, chosen, strict=True)
    ]
    samples = _table([[index[id_] for id_ in row] for row in against])
    weight = np.zeros(samples.shape)
    for row, ids in enumerate(against):
        weight[row, : len(ids)] = [log_weights.get(id_, 0.0) for id_ in ids]
    return Demonstrations(_ints(index[given] for given in chosen), samples, weight, who)


V = TypeVar("V", Side, Order, Score, Verdict, Given)


def _value(answer: Answer, kind: type[V]) -> V:
    if not isinstance(answer.value, kind):
        raise InputError(
            f"answer {answer.id} holds a {type(answer.value).__name__} where its query needs a {kind.__name__}: "
            "supersede it with one that fits."
        )
    return answer.value


def _segments_of(pair: Usable) -> tuple[SegmentId, ...]:
    query, answer = pair
    return (*query.segments, answer.value.segment) if isinstance(answer.value, Given) else query.segments


def _ints(numbers: Iterable[int]) -> Int[np.ndarray, "_"]:
    return np.fromiter(numbers, np.int64)


def _table(rows: Sequence[Sequence[int]]) -> Int[np.ndarray, "row column"]:
    """Rows of unequal length, padded with -1."""
    table = np.full((len(rows), max(map(len, rows))), -1, np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table
