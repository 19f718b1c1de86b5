"""Segments of earlier rounds among a round's candidates, where the newest tell nothing apart.

A policy that a wrong reward led astray may do one worthless thing over and over. Its segments all tie, and whatever is
said of them does not lead it back. So of the candidates as large a share was asked about before as of the last answers
were ties or skips: beside what was better once, the worthless shows. Without ties nothing is recalled. Ours: PEBBLE and
QPA (arXiv:2106.05091, 2305.17400) ask about new segments alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from accord.feedback.store import Store
from accord.types import Collected, Query, Side, Skip, Value, segment_id

MOST = 0.75  # of the candidates: what the policy does now is asked about in any case


def tied(value: Value) -> bool:
    """Whether an answer puts two segments on a level."""
    return isinstance(value, Side) and 2 * value.level == value.levels - 1


def undecided(values: Sequence[Value]) -> float:
    """The share of answers that tell nothing apart: ties and skips."""
    return sum(tied(value) or isinstance(value, Skip) for value in values) / max(1, len(values))


def recalled(
    store: Store, fresh: Sequence[Collected], asked: Iterable[Query], share: float, rng: np.random.Generator
) -> list[Collected]:
    """`fresh` with `share` of it, or as much as there is, exchanged for segments that were `asked` about.

    Where few were, fewer new ones stand beside them: the share holds. The truth of the old ones stays in the store.
    """
    share = min(share, MOST)
    new = {segment_id(made.segment) for made in fresh}
    known = sorted({segment for query in asked for segment in query.segments} - new)
    count = min(len(known), round(share * len(fresh)))
    if not count:
        return list(fresh)
    again = [known[i] for i in rng.permutation(len(known))[:count]]
    kept = rng.permutation(len(fresh))[: min(len(fresh) - count, round(count * (1.0 - share) / share))]
    rows = zip(store.segments(again), store.provenance(again), strict=True)
    return [*(fresh[i] for i in sorted(kept)), *(Collected(*row) for row in rows)]
