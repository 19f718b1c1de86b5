"""More answers out of those given: crops of compared segments, and pairs that the reward is sure of; or answers of all
annotators as those of one.

All are off unless asked for: `docs/label-efficiency.md` has the ablation.

Sources: Park et al., SURF, arXiv:2203.10050 (temporal crops; pseudo-labels where the prediction is confident); Hu et
al., QPA, arXiv:2305.17400 (20 crops of 35 to 45 of 50 steps). Differs from them in: an answer counts once however many
crops it is spread over; pseudo-labels have a slope and a skill of their own, so they say nothing about any annotator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from accord.types import Comparisons, Evidence, InputError, Segment, Steps

SHORTEST, LONGEST = 0.7, 0.9  # of a segment's steps; QPA
PSEUDO = "pseudo-labels"  # who gives them
EVERYONE = "everyone"  # whose answers pooled ones are
PAIRS = 4  # pseudo-labelled pairs looked for, for each answer; SURF's mu


def cropped(evidence: Evidence, count: int, rng: np.random.Generator) -> Evidence:
    """Every comparison of steps again of `count` crops; it and they share the weight of one answer."""
    segments, groups = list(evidence.segments), np.asarray(evidence.groups).tolist()
    parts, uniform = [], []
    for part, drawn in zip(evidence.parts, evidence.uniform, strict=True):
        if count and isinstance(part, Comparisons):
            part, drawn = _with_crops(part, drawn, count, segments, groups, rng)
        parts.append(part)
        uniform.append(drawn)
    return Evidence(segments, np.array(groups), evidence.annotators, tuple(parts), tuple(uniform))


def _with_crops(
    part: Comparisons,
    drawn: np.ndarray,
    count: int,
    segments: list[Segment],
    groups: list[int],
    rng: np.random.Generator,
) -> tuple[Comparisons, np.ndarray]:
    """The crops are appended to `segments`, in the group of what they were cut from."""
    pairs: list[list[int]] = []
    for first, second in zip(np.tile(part.first, count), np.tile(part.second, count), strict=True):
        share, place = rng.uniform(SHORTEST, LONGEST), []
        for number in (first, second):
            segment = segments[number]
            if not isinstance(segment, Steps):
                return part, drawn
            place.append(len(segments))
            segments.append(_crop(segment, share, rng))
            groups.append(groups[number])
        pairs.append(place)
    more = np.array(pairs).reshape(-1, 2)
    weight = np.ones(len(part.level)) if part.weight is None else part.weight
    return replace(
        part,
        first=np.concatenate([part.first, more[:, 0]]),
        second=np.concatenate([part.second, more[:, 1]]),
        level=np.tile(part.level, count + 1),
        annotator=np.tile(part.annotator, count + 1),
        weight=np.tile(weight, count + 1) / (count + 1),
    ), np.tile(drawn, count + 1)


def _crop(segment: Steps, share: float, rng: np.random.Generator) -> Steps:
    time = len(segment.valid)
    length = max(1, round(share * time))
    start = int(rng.integers(time - length + 1))
    rows = slice(start, start + length)
    valid = segment.valid[rows]
    return Steps(segment.observation[rows], segment.action[rows], valid, segment.ended and not valid.all())


def with_pseudo(
    evidence: Evidence,
    unlabelled: Sequence[Segment],
    values: Float[np.ndarray, "member segment"],
    gate: float,
    rng: np.random.Generator,
) -> Evidence:
    """Also the pairs of `unlabelled` segments whose order the reward gives at least the probability `gate`.

    `values` are the segments' G in units of the link. Pseudo-labels are of the kind that always names the better one
    (`correct`): no side, no ties.
    """
    if any(isinstance(part, Comparisons) and part.kind == "correct" for part in evidence.parts):
        raise InputError(
            f"reward.gate is {gate:g} beside corrections, whose likelihood pseudo-labels use: set it to 0."
        )
    wanted = PAIRS * evidence.answers
    pairs = np.array([rng.choice(len(unlabelled), 2, replace=False) for _ in range(wanted)])
    better = 1.0 / (1.0 + np.exp(-np.clip(values[:, pairs[:, 0]] - values[:, pairs[:, 1]], -50, 50)))
    p = better.mean(0)
    ordered = np.where((p >= 0.5)[:, None], pairs, pairs[:, ::-1])[np.maximum(p, 1.0 - p) >= gate]
    if not len(ordered):
        return evidence
    return _added(evidence, unlabelled, ordered)


def _added(evidence: Evidence, unlabelled: Sequence[Segment], ordered: Int[np.ndarray, "pair 2"]) -> Evidence:
    used = np.unique(ordered)
    place = {int(number): len(evidence.segments) + i for i, number in enumerate(used)}
    first, second = (np.array([place[int(number)] for number in column]) for column in ordered.T)
    groups = int(np.max(evidence.groups, initial=-1)) + 1 + np.arange(len(used))
    who = np.full(len(ordered), len(evidence.annotators))
    part = Comparisons(first, second, np.ones(len(ordered), np.int64), who, 2, "correct")
    return Evidence(
        [*evidence.segments, *(unlabelled[int(number)] for number in used)],
        np.concatenate([evidence.groups, groups]),
        (*evidence.annotators, PSEUDO),
        (*evidence.parts, part),
        (*evidence.uniform, np.zeros(len(ordered), bool)),
    )


def pooled(evidence: Evidence) -> Evidence:
    """Every answer as if one annotator had given it."""
    parts = tuple(replace(part, annotator=np.zeros(len(part.annotator), np.int64)) for part in evidence.parts)
    return replace(evidence, annotators=(EVERYONE,) if evidence.annotators else (), parts=parts)
