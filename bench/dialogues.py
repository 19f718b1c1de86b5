"""Anthropic's harmlessness pairs as comparisons, and what models made of texts, kept between runs.

For `bench.hh` and `bench.selection_quality`; it prints nothing by itself.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from accord.rewards.encoders import Block, Part, Texts
from accord.types import Comparisons, Evidence, Reply
from bench import harness

Pairs = Sequence[tuple[Reply, Reply]]  # the chosen one first


def read(folder: Path) -> list[tuple[Reply, Reply]]:
    """Chosen and rejected replies; a prompt is the whole dialogue before the last reply."""
    with gzip.open(folder / "hh" / "hh_harmless.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = []
    for row in rows:
        (asked, good), (other, bad) = (row[side].rsplit("\n\nAssistant:", 1) for side in ("chosen", "rejected"))
        found.append((Reply(asked.strip(), good.strip()), Reply(other.strip(), bad.strip())))
    return found


def evidence(pairs: Pairs, seed: int) -> Evidence:
    """Comparisons whose sides are drawn; a group is a dialogue."""
    replies: dict[Reply, int] = {}
    groups: dict[str, int] = {}
    first = np.random.default_rng(seed).integers(0, 2, len(pairs))
    rows = np.array([[replies.setdefault(one, len(replies)) for one in pair] for pair in pairs])
    numbers = np.array([groups.setdefault(one.prompt, len(groups)) for one in replies])
    at = np.arange(len(pairs))
    part = Comparisons(rows[at, 1 - first], rows[at, first], first.astype(np.int64), np.zeros_like(first), 2)
    return Evidence(list(replies), numbers, ("people",), (part,), (np.ones(len(pairs), bool),))


def remembered(name: str, read: Callable[[Part, Texts], Block]) -> Callable[[Part, Texts], Block]:
    """What a model made of texts, kept between runs."""
    path = harness.JOURNAL / f"{name}_read.npz"

    def look(part: Part, texts: Texts) -> Block:
        known: dict[tuple[str, str], np.ndarray] = {}
        if path.exists():
            kept = np.load(path, allow_pickle=False)
            known = dict(zip(map(tuple, kept["texts"].tolist()), kept["rows"], strict=True))
        if missing := sorted(set(texts) - known.keys()):
            known |= zip(missing, read(part, missing), strict=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, texts=np.array(list(known)), rows=np.stack(list(known.values())))
        return np.stack([known[text] for text in texts]).astype(np.float64)

    return look
