"""Questions that tell of annotators: known ones, which everybody is asked, and repeats of what somebody has answered.

Both are questions like any other to whoever sees them, and their answers are evidence like any other. A known question
comes to every annotator once, the first at once and the rest between others; a repeat comes to those alone who answered
what it repeats, with the sides swapped. Two to five repeats in a hundred are usual (`docs/quality.md`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accord.types import Query, Value

EVERYBODY = 1_000_000  # annotators: the overlap of a known question
NO_ROUND = -1  # no run waits for a known question
REPEATED = ("compare", "rank", "rate", "approve")  # kinds whose answers can be alike


def known(query: Query, value: Value) -> Query:
    """The same question with the answer that is known to be right. InputError from the store where it does not fit."""
    changed = {"acquisition": "gold", "round": NO_ROUND, "overlap": EVERYBODY, "gold": value, "repeats": None}
    return replace(query, id=_id("gold", query), **changed)


def repeated(asked: Sequence[Query], count: int, round: int, rng: np.random.Generator) -> list[Query]:
    """Up to `count` questions of earlier rounds, to be asked once more; none that is a repeat or known, none twice."""
    taken = {query.repeats for query in asked}
    free = [q for q in asked if q.kind in REPEATED and q.repeats is None and q.gold is None and q.id not in taken]
    chosen = [free[i] for i in sorted(rng.permutation(len(free))[:count])]
    changed = {"acquisition": "repeat", "round": round, "overlap": 1}
    return [replace(query, id=_id("repeat", query), repeats=query.id, **changed) for query in chosen]


def _id(what: str, query: Query) -> str:
    return hashlib.sha256(f"{what}\0{query.id}".encode()).hexdigest()
