"""On which side each segment of a query is shown: drawn from the lease's token, so that no page and no user chooses."""

from __future__ import annotations

import hashlib

import numpy as np


def order(token: str, places: int) -> tuple[int, ...]:
    """The positions of the query's segments from left to right. The same token always gives the same."""
    seed = int.from_bytes(hashlib.sha256(token.encode()).digest()[:8], "big")
    return tuple(int(place) for place in np.random.default_rng(seed).permutation(places))
