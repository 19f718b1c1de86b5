"""The choice within a run: as answers come in, may another reward take the configured one's place?

A few candidates under the folds of `crossval`, one net or the mode each, whenever the answers have grown by half: forty
at first, 60, 90, 135. What a run learns with is kept unless another is likelier by more than `FACTOR` standard errors
of their paired difference. Two, not the one of `accord select`: a run looks several times at several candidates, errors
estimated from few answers are too small, and a change has its price, since a net starts anew and critics are rescaled
(of equal candidates one in six beats the other by one error, one in forty by two).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from accord import runtime
from accord.rewards.candidates import Candidate, beats
from accord.rewards.crossval import FOLDS, Comparison, by_group, mean_told, paired, tell, touched
from accord.rewards.fitted import FittedReward
from accord.rewards.jobs import Readings
from accord.types import Evidence, InputError, NotFinite, Reward

LEAST, GROWTH = 40, 1.5  # answers before there is a choice; as many more again before the next
MOST = 2000  # answers that a fold trains on: of more every fold takes a share
FACTOR = 2.0


@dataclass(frozen=True)
class Choice:
    """Which candidate, and why: for the record."""

    candidate: Candidate
    why: str
    gaps: dict[str, Comparison]  # to what was kept until now, of those that were compared

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        known = {name: gap for name, gap in self.gaps.items() if math.isfinite(gap.error)}
        gaps = {name: [gap.difference, gap.error] for name, gap in known.items()}
        return {"chosen": self.candidate.name, "why": self.why, "gains": gaps}


def due(answers: int, before: int) -> bool:
    """Whether answers have grown enough for a choice since the fit before."""
    return _step(answers) > _step(before)


def _step(answers: int) -> int:
    return math.floor(math.log(answers / LEAST) / math.log(GROWTH) + 1e-9) if answers >= LEAST else -1


def choose(
    evidence: Evidence, candidates: Sequence[Candidate], kept: Candidate, readings: Readings, seed: int, before: int
) -> Choice:
    """The candidate to fit now. `kept` is what was fitted last, or the configured one; `before`, to so many answers.

    `readings` say how segments are read, by `Candidate.text`.
    """
    if len(candidates) < 2 or not due(evidence.answers, before):
        return Choice(kept, "configured" if before == 0 else "kept: no choice was due", {})
    try:
        held = by_group(evidence, runtime.derive(seed, "folds"))
    except InputError:
        return Choice(kept, "kept: the answers are about too few episodes for folds", {})
    groups, share = touched(evidence), min(1.0, MOST / evidence.answers)

    def scored(one: Candidate) -> Float[np.ndarray, "answer"]:
        config = replace(one.config, members=1, crops=0, gate=0.0, denoise=False)
        folds, reading = [], readings[one.text]
        for k in range(FOLDS):
            out = [masks[k] for masks in held]
            folds += tell(evidence, config, out, reading, runtime.derive(seed, k), share=share)
        return mean_told(folds)

    own, gaps = scored(kept), {}
    for one in candidates:
        if one != kept:
            try:
                gaps[one] = paired(scored(one), own, groups)
            except NotFinite:
                continue
    named = {one.name: gap for one, gap in gaps.items()}
    likelier = [one for one, gap in gaps.items() if beats(gap.difference, gap.error, FACTOR)]
    if not likelier:
        return Choice(kept, f"kept: none of {len(gaps)} others is likelier by {FACTOR:g} standard errors", named)
    best = max(likelier, key=lambda one: gaps[one].difference)
    gap = gaps[best]
    why = f"likelier than {kept.name} by {gap.difference:.4f} nats an answer, standard error {gap.error:.4f}"
    return Choice(best, why, named)


def only(candidates: Sequence[Reward]) -> tuple[Reward, dict[str, object]]:
    """The one that was fitted: which kind it is to be is chosen before the fit, under folds of fewer answers."""
    one = candidates[0]
    named = {"chosen": one.chosen} if isinstance(one, FittedReward) else {}
    return one, {"candidates": len(candidates), **named}
