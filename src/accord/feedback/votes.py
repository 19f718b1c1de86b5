"""Answers as labels on a scale: what agreement is measured on.

Answers of one kind and number of levels share a scale: `compare3`, `rate5`, `approve`. Orders and given segments are no
labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from accord.functional.agreement import Counts, counted
from accord.functional.statistics import wilson
from accord.types import Answer, Query, Score, Side, Value, Verdict


@dataclass(frozen=True)
class Share:
    """Hits among so many chances, with Wilson's 95% interval."""

    hits: int
    count: int

    @property
    def value(self) -> float:
        """NaN where there was no chance."""
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.count)


def share(hits: Iterable[bool]) -> Share:
    """Of so many chances, those that were hits."""
    found = list(hits)
    return Share(sum(found), len(found))


@dataclass(frozen=True)
class Vote:
    """One answer as a label, 0 upwards; of a comparison it speaks for the query's first segment."""

    query: str
    annotator: str
    scale: str
    label: int
    labels: int
    compared: bool

    @property
    def choice(self) -> int:
        """What is chosen: of a comparison 1, 0 or -1 for the first, none or the second, however strongly."""
        return side(self.label, self.labels) if self.compared else self.label


def side(level: int, levels: int) -> int:
    """1 where the first is better, -1 where the second is, 0 for a tie."""
    middle = 2 * level - (levels - 1)
    return (middle > 0) - (middle < 0)


def votes(queries: Mapping[str, Query], answers: Iterable[Answer]) -> list[Vote]:
    """The answers that are labels, in their order."""
    found = []
    for answer in answers:
        kind = queries[answer.query].kind
        match answer.value:
            case Side(level, levels) | Score(level, levels):
                compared = isinstance(answer.value, Side)
                found.append(Vote(answer.query, answer.annotator, f"{kind}{levels}", level, levels, compared))
            case Verdict(approved):
                found.append(Vote(answer.query, answer.annotator, kind, int(approved), 2, False))
            case _:
                pass
    return found


def alike(first: Value, second: Value) -> bool:
    """Whether two values say the same: of comparisons the same side, however strongly."""
    if isinstance(first, Side) and isinstance(second, Side):
        return side(first.level, first.levels) == side(second.level, second.levels)
    return first == second


@dataclass(frozen=True, eq=False)
class Table:
    """Votes of one scale as arrays. `queries` names the items."""

    queries: tuple[str, ...]
    item: Int[np.ndarray, "vote"]
    annotator: Int[np.ndarray, "vote"]
    label: Int[np.ndarray, "vote"]
    labels: int
    compared: bool

    @property
    def counts(self) -> Counts:
        """How many annotators gave each item each label."""
        return counted(self.item, self.label, len(self.queries), self.labels)


def tabled(found: Sequence[Vote]) -> Table:
    """At least one vote, all of one scale. Queries and annotators are numbered as they first come."""
    item = {name: i for i, name in enumerate(dict.fromkeys(vote.query for vote in found))}
    who = {name: i for i, name in enumerate(dict.fromkeys(vote.annotator for vote in found))}
    return Table(
        queries=tuple(item),
        item=np.array([item[vote.query] for vote in found]),
        annotator=np.array([who[vote.annotator] for vote in found]),
        label=np.array([vote.label for vote in found]),
        labels=found[0].labels,
        compared=found[0].compared,
    )
