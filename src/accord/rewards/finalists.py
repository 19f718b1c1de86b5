"""What else can be said, without a new label, of the few rewards that answers cannot tell apart.

Likelihood on held-out answers decides, and knows nothing of what a policy will do with a reward. So for at most three
of different architecture: the likelihood where whole annotators, or the newest answers, are held out; how much more
members disagree where the policy is now than where people were asked; how far the reward's values are apart there (a
reward that hardly varies under the policy teaches slowly, however accurate: Razin et al., arXiv:2503.15477); and what
the values go with that nobody asked for, length or the size of actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from accord.functional.statistics import spearman
from accord.rewards.annotators import questions
from accord.rewards.candidates import Candidate
from accord.rewards.crossval import Reading, by_annotator, by_time, mean_told, paired, tell, touched
from accord.rewards.fit import fit
from accord.rewards.jobs import Readings
from accord.rewards.select import Row, Selection
from accord.types import Evidence, InputError, Reply, Segment, Steps

MOST = 3
FEWEST = 8  # segments, to say how values vary


@dataclass(frozen=True)
class Finalist:
    """One of them. None: not to be had from these answers."""

    name: str
    by_annotator: float | None  # nats an answer, less those of the chosen one, which has 0
    by_annotator_error: float | None
    by_time: float | None
    by_time_error: float | None
    spread: float | None  # of members, on segments of the policy as it is over those people were asked about
    reach: float | None  # deviation of values over segments of the policy, over the mean difference of asked pairs
    length: float | None  # rank correlation of values with the number of steps or letters
    action: float | None  # the same with the mean size of actions

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def finalists(selection: Selection) -> list[Candidate]:
    """The chosen one, and the likeliest of each other architecture within one standard error of the best."""
    within = [row.name for row in selection.rows if _near(row)]
    named = {one.name: one for one in selection.told}
    found = [selection.chosen]
    for name in within:
        if named[name].kind not in [one.kind for one in found]:
            found.append(named[name])
    return found[:MOST]


def _near(row: Row) -> bool:
    return row.difference is not None and row.difference >= -(row.difference_error or 0.0)


def examine(
    selection: Selection,
    evidence: Evidence,
    readings: Readings,
    order: Sequence[Int[np.ndarray, "_"]],
    fresh: Sequence[Segment],
    seed: int,
) -> list[Finalist]:
    """Looks at the finalists. `order`: when each answer was given, part by part. `fresh`: segments of the policy."""
    chosen = finalists(selection)
    people = _under(chosen, evidence, readings, _folds_or_none(lambda: by_annotator(evidence, seed)), seed)
    newest = _under(chosen, evidence, readings, _folds_or_none(lambda: by_time(order)), seed)
    return [
        Finalist(one.name, *people[place], *newest[place], **_values(one, evidence, readings[one.text], fresh, seed))
        for place, one in enumerate(chosen)
    ]


def _folds_or_none(make: Callable[[], list[Bool[np.ndarray, "fold _"]]]) -> list[Bool[np.ndarray, "fold _"]]:
    try:
        return make()
    except InputError:
        return []


def _under(
    chosen: Sequence[Candidate],
    evidence: Evidence,
    readings: Readings,
    held: Sequence[Bool[np.ndarray, "fold _"]],
    seed: int,
) -> list[tuple[float | None, float | None]]:
    """Paired differences to the first, and their errors."""
    if not held or len(chosen) < 2:
        return [(None, None)] * len(chosen)
    scores = []
    for one in chosen:
        folds = [
            tell(evidence, one.config, [masks[k] for masks in held], readings[one.text], seed)[0]
            for k in range(len(held[0]))
        ]
        scores.append(mean_told(folds))
    gaps = [paired(score, scores[0], touched(evidence)) for score in scores]
    return [(gap.difference, gap.error if math.isfinite(gap.error) else None) for gap in gaps]


def _values(
    one: Candidate, evidence: Evidence, reading: Reading, fresh: Sequence[Segment], seed: int
) -> dict[str, float | None]:
    """How a fit to all answers values what was asked about, and what the policy does now."""
    reward = fit(
        evidence,
        one.config,
        discrete=reading.discrete,
        terminates=True,
        seed=seed,
        encode=reading.encode,
        picture=reading.picture,
    )
    asked, seen = reward.value(evidence.segments), list(evidence.segments)
    mean = asked.mean(0)
    found: dict[str, float | None] = {
        "spread": None,
        "reach": None,
        "length": _number(spearman(mean, np.array([_length(segment) for segment in seen], float))),
        "action": None,
    }
    if all(isinstance(segment, Steps) for segment in seen):
        sizes = np.array([_effort(segment) for segment in seen if isinstance(segment, Steps)])
        found["action"] = None if reading.discrete else _number(spearman(mean, sizes))
    if len(fresh) >= FEWEST:
        now = reward.value(fresh)
        if len(now) > 1:
            found["spread"] = float(now.std(0).mean() / max(float(asked.std(0).mean()), 1e-9))
        found["reach"] = float(now.mean(0).std() / max(_apart(evidence, mean), 1e-9))
    return found


def _apart(evidence: Evidence, value: Float[np.ndarray, "segment"]) -> float:
    """The mean difference of values between the first two segments of an answer, where it is about two or more."""
    gaps = []
    for part in evidence.parts:
        items = questions(part).items.numpy()
        if items.shape[1] > 1:
            gaps.append(np.abs(value[items[:, 0]] - value[items[:, 1]]))
    return float(np.concatenate(gaps).mean()) if gaps else float(value.std())


def _length(segment: Segment) -> float:
    if isinstance(segment, Steps):
        return float(segment.valid.sum())
    return float(len(segment.response)) if isinstance(segment, Reply) else 0.0


def _effort(segment: Steps) -> float:
    return float(np.linalg.norm(segment.action[segment.valid], axis=1).mean()) if segment.valid.any() else 0.0


def _number(x: float) -> float | None:
    return None if math.isnan(x) else x
