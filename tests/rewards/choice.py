"""Small evidence for the tests of choosing: segments around places of their own, and annotators of known skill."""

from __future__ import annotations

import numpy as np

from accord.types import Comparisons, Evidence, Steps

T = 8


def compared(count: int, seed: int = 0, groups: int = 24, annotators: int = 1, curved: bool = False) -> Evidence:
    """Comparisons of segments of eight steps, drawn at random; the reward is a line in the state, or a bow over it."""
    rng = np.random.default_rng(seed)
    size, every = 2 * groups, np.ones(T, bool)
    at = rng.normal(size=(size, 1, 3)) + 0.4 * rng.normal(size=(size, T, 3))
    action = rng.normal(size=(size, T, 1)).astype(np.float32)
    truth = (np.cos(2.0 * at[..., 0]) if curved else 0.5 * at[..., 0] - 0.3 * at[..., 1]).sum(1)
    segments = [Steps(o.astype(np.float32), a, every, False) for o, a in zip(at, action, strict=True)]
    first = rng.integers(0, size, count)
    second = (first + rng.integers(1, size, count)) % size
    chance = 1.0 / (1.0 + np.exp(-(truth[first] - truth[second])))
    level = (rng.random(count) < chance).astype(np.int64)
    who = rng.integers(0, annotators, count)
    names = tuple(f"a{k}" for k in range(annotators))
    part = Comparisons(first, second, level, who, 2)
    return Evidence(segments, np.arange(size) // 2, names, (part,), (np.ones(count, bool),))
