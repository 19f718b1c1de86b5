"""Replies as rows of numbers, for a choice among answers that have been given: every reply is known beforehand.

Parts are those of `encoders`, fitted to all texts at hand, those of held-out answers too: that is unsupervised, nothing
of what anybody answered goes in. Where every reply is asked about many times, each has a column of its own beside its
parts (`own`), else the parts are made to explain what is peculiar to those replies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from accord.backbones import fetch
from accord.rewards import encoders
from accord.rewards.crossval import Reading
from accord.rewards.encoders import Block
from accord.types import Evidence, InputError, Reply, Segment

READINGS = ("length", "style", "tfidf", "minilm", "plain", "minilm+length", "minilm+curves", "tfidf+minilm+curves")
DEEP = ("smollm2", "smollm2+minilm+style", "smollm2+tfidf+minilm+curves")  # with what a language model makes of a reply
OWN, OFTEN = 1.0, 8.0  # variance of a reply's own column, where the mean reply is in so many answers


def offered() -> tuple[str, ...]:
    """The ways to choose among: those of the language model where `accord fetch smollm2` has brought it."""
    return READINGS + (DEEP if fetch.here(fetch.MODELS["smollm2"]) else ())


@dataclass(frozen=True, eq=False)
class Known:
    """An encoder of replies that have been read already. Raises InputError for another one."""

    place: Mapping[tuple[str, str], int]
    rows: Float32[np.ndarray, "text column"]

    def __call__(self, segments: Sequence[Segment]) -> Float32[np.ndarray, "segment column"]:
        found = [self.place.get((one.prompt, one.response), -1) for one in segments if isinstance(one, Reply)]
        if len(found) < len(segments) or -1 in found:
            raise InputError("a segment is no reply that was read: give readings all replies that they are to know.")
        return self.rows[found]


def readings(names: Sequence[str], replies: Sequence[Reply], own: bool) -> dict[str, Reading]:
    """The replies read in each of these ways; what ways share is computed once.

    Raises InputError for a part that is not known, or whose library is missing.
    """
    distinct = list(dict.fromkeys((one.prompt, one.response) for one in replies))
    place = {key: number for number, key in enumerate(distinct)}
    done: dict[str, Block] = {}
    found = {}
    for name in names:
        parts = []
        for part in name.split("+"):
            if part not in done:
                done[part] = balanced(encoders.fitted(part, distinct)[1])
            parts.append(done[part])
        if own:
            parts.append(np.sqrt(OWN * len(parts)) * np.eye(len(distinct)))
        found[name] = Reading(encode=Known(place, turned(np.concatenate(parts, 1)).astype(np.float32)))
    return found


def known(name: str, replies: Sequence[Reply]) -> Reading:
    """An encoder's rows of these replies alone, for folds that read them again and again."""
    distinct = {(one.prompt, one.response): one for one in replies}
    rows = encoders.encoder(name, replies)(list(distinct.values()))
    return Reading(encode=Known({key: number for number, key in enumerate(distinct)}, rows))


def often(evidence: Evidence) -> bool:
    """Whether the mean segment is asked about so often that it can have a value of its own."""
    return 2.0 * evidence.answers / max(1, len(evidence.segments)) >= OFTEN


def balanced(rows: Block) -> Block:
    """Centred, and scaled as a whole to variance 1."""
    rows = rows - rows.mean(0)
    size = np.sqrt(np.square(rows).sum(1).mean())
    return rows / size if size > 0.0 else rows


def turned(rows: Block) -> Float[np.ndarray, "text fewer"]:
    """The same rows in no more columns than there are texts: distances and inner products stay as they are."""
    if rows.shape[1] <= len(rows):
        return rows
    left, size, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return left * size
