"""Each annotator's track record: what can be told of somebody from answers alone.

Sides are drawn for each lease, so whoever judges what is shown prefers the left one half of the time, whatever is
asked.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.feedback.votes import Share, Vote, alike, share, side
from accord.types import Answer, Query, Side, Skip, Value


@dataclass(frozen=True)
class Track:
    """What is known of one annotator. Only answers that stand count."""

    annotator: str
    answers: int  # skips not among them
    skips: int
    ties: int
    seconds: float  # median of an answer; NaN without one
    accepted: Share  # of all that stands: no skip, and not refused
    left: Share  # of decided comparisons: the side shown left was preferred
    agreement: Share  # said what most of the others said; a query where they are split does not count
    expected: float  # the same share among all other annotators; NaN where there are none
    consistency: Share  # a query that was asked again was answered alike
    gold: Share  # a query whose answer is known was answered so
    labels: Mapping[str, Mapping[int, int]]  # by scale: how often each label was given


def tracks(
    queries: Mapping[str, Query],
    standing: Sequence[Answer],
    votes: Sequence[Vote],
    repeats: Mapping[str, str],
    gold: Mapping[str, Value],
    refused: Collection[str],
) -> tuple[Track, ...]:
    """Of everybody who answered, by name."""
    given: dict[str, list[Answer]] = defaultdict(list)
    for answer in standing:
        given[answer.annotator].append(answer)
    labels, agreeing = _labels(votes), _agreeing(votes)
    hits, count = sum(each.hits for each in agreeing.values()), sum(each.count for each in agreeing.values())
    found = []
    for name, answers in sorted(given.items()):
        kept = [answer for answer in answers if not isinstance(answer.value, Skip)]
        own = agreeing.get(name, Share(0, 0))
        track = Track(
            annotator=name,
            answers=len(kept),
            skips=len(answers) - len(kept),
            ties=sum(isinstance(each.value, Side) and not side(each.value.level, each.value.levels) for each in kept),
            seconds=float(np.median([answer.seconds for answer in kept])) if kept else math.nan,
            accepted=Share(sum(answer.id not in refused for answer in kept), len(answers)),
            left=left(kept),
            agreement=own,
            expected=Share(hits - own.hits, count - own.count).value,
            consistency=_consistency(queries, kept, repeats),
            gold=share(alike(answer.value, gold[answer.query]) for answer in kept if answer.query in gold),
            labels=labels.get(name, {}),
        )
        found.append(track)
    return tuple(found)


def left(answers: Iterable[Answer]) -> Share:
    """How often the side shown left was preferred, among comparisons that were decided."""
    decided = [
        (which, answer.shown[:1] == (1,))
        for answer in answers
        if isinstance(answer.value, Side) and (which := side(answer.value.level, answer.value.levels))
    ]
    return share((which > 0) != swapped for which, swapped in decided)


def _agreeing(votes: Sequence[Vote]) -> dict[str, Share]:
    """Each annotator against the majority of the others."""
    chosen: dict[str, Counter[int]] = defaultdict(Counter)
    for vote in votes:
        chosen[vote.query][vote.choice] += 1
    found: dict[str, list[bool]] = defaultdict(list)
    for vote in votes:
        others = (chosen[vote.query] - Counter([vote.choice])).most_common(2)
        if others and (len(others) == 1 or others[0][1] > others[1][1]):
            found[vote.annotator].append(vote.choice == others[0][0])
    return {name: share(hits) for name, hits in found.items()}


def _consistency(queries: Mapping[str, Query], kept: Sequence[Answer], repeats: Mapping[str, str]) -> Share:
    """Of the queries asked twice and answered both times; sides are turned where segments come the other way round."""
    said = {answer.query: answer.value for answer in kept}
    found = []
    for again, first in repeats.items():
        if again in said and first in said:
            value = said[again]
            if isinstance(value, Side) and queries[again].segments != queries[first].segments:
                value = Side(value.levels - 1 - value.level, value.levels)
            found.append(alike(value, said[first]))
    return share(found)


def _labels(votes: Sequence[Vote]) -> dict[str, dict[str, Counter[int]]]:
    found: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for vote in votes:
        found[vote.annotator][vote.scale][vote.label] += 1
    return {name: dict(scales) for name, scales in found.items()}
