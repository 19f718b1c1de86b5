"""Comparisons that the other answers contradict, left out only where unseen answers are then foretold better.

A comparison is suspect where the reward, though fitted to it too, gives what was said a probability below `SUSPECT`
(carelessness apart). Whether to leave suspects out is decided by cross-validation over groups of segments: with and
without them in the training folds, all answers of the left-out fold are foretold, the suspect ones too. The better way
must be so by more than one standard error.

Sources: Cheng et al., RIME, arXiv:2402.17257 (which leaves suspects out always, by a bound on the loss that loosens as
training goes on). Differs from it in: nothing is turned round; the choice, since such filters do harm where errors
depend on features (arXiv:2601.01904) and the likelihood's own mixture already takes a share of answers to be careless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from accord.rewards.fitted import FittedReward
from accord.rewards.judge import forecast
from accord.types import Comparisons, Evidence, EvidencePart

SUSPECT = 0.2
FEWEST = 20  # answers, below which nothing can be told of any of them

Fit = Callable[[Evidence], FittedReward]
Folds = Sequence[Bool[np.ndarray, "fold _"]]  # for each part: which answers each fold holds out


def denoised(evidence: Evidence, whole: FittedReward, fit: Fit, folds: Folds) -> Evidence:
    """The evidence without its suspects where that is better, else as it is. `whole` was fitted to all of it."""
    kept = agreeing(evidence, whole)
    if evidence.answers < FEWEST or kept.answers == evidence.answers:
        return evidence
    with_, without, outcome = [], [], []
    for fold in range(len(folds[0])):
        train = taken(evidence, [~masks[fold] for masks in folds])
        test = taken(evidence, [masks[fold] for masks in folds])
        if not train.answers or not test.answers:
            continue
        first = fit(train)
        for found, reward in ((with_, first), (without, fit(agreeing(train, first)))):
            told = forecast(reward.value(test.segments), replace(test, uniform=_all(test)))
            found.append(told.logit)
        outcome.append(told.outcome)
    return kept if better(*(np.concatenate(each) for each in (without, with_, outcome))) else evidence


def agreeing(evidence: Evidence, reward: FittedReward) -> Evidence:
    """Without the suspects of a reward that was fitted to the evidence."""
    value = reward.value(evidence.segments).mean(0)
    return taken(evidence, [~_suspect(part, value) for part in evidence.parts])


def _suspect(part: EvidencePart, value: Float[np.ndarray, "segment"]) -> Bool[np.ndarray, "query"]:
    if not isinstance(part, Comparisons):
        return np.zeros(len(part.annotator), bool)
    said = np.sign(2 * part.level - (part.levels - 1))  # 1: the first, -1: the second, 0: a tie
    return said * (value[part.first] - value[part.second]) < np.log(SUSPECT / (1.0 - SUSPECT))


def better(
    new: Float[np.ndarray, "answer"], old: Float[np.ndarray, "answer"], outcome: Float[np.ndarray, "answer"]
) -> bool:
    """Whether new log-odds foretell outcomes better than old ones by more than one standard error."""
    decided = outcome != 0.5
    if decided.sum() < 2:
        return False
    gain = calibrated(new[decided], outcome[decided]) - calibrated(old[decided], outcome[decided])
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def calibrated(logit: Float[np.ndarray, "answer"], outcome: Float[np.ndarray, "answer"]) -> Float[np.ndarray, "answer"]:
    """Log-likelihood of each outcome at the slope and the share of coin flips that suit all of them best.

    A reward that learned from agreeing answers alone is too sure of itself; that is no fault of its order.
    """
    sign = np.where(outcome > 0.5, 1.0, -1.0)

    def scores(at: np.ndarray) -> np.ndarray:
        slope, lapse = np.clip(at, -30.0, 30.0)
        flips = 1.0 / (1.0 + np.exp(-lapse))
        right = 1.0 / (1.0 + np.exp(-np.clip(np.exp(slope) * logit * sign, -500, 500)))
        return np.log(np.maximum((1.0 - flips) * right + flips / 2.0, 1e-300))

    start = np.array([0.0, -2.0])
    found = minimize(lambda at: -scores(at).mean(), start, method="Nelder-Mead")
    return scores(found.x)


def taken(evidence: Evidence, masks: Sequence[Bool[np.ndarray, "_"]]) -> Evidence:
    """Only the answers that the masks, one a part, hold; the segments stay."""
    parts = tuple(_part(part, mask) for part, mask in zip(evidence.parts, masks, strict=True))
    uniform = tuple(drawn[mask] for drawn, mask in zip(evidence.uniform, masks, strict=True))
    return replace(evidence, parts=parts, uniform=uniform)


def _part(part: EvidencePart, mask: Bool[np.ndarray, "query"]) -> EvidencePart:
    columns = {field.name: getattr(part, field.name) for field in fields(part)}
    return replace(part, **{name: each[mask] for name, each in columns.items() if isinstance(each, np.ndarray)})


def _all(evidence: Evidence) -> tuple[Bool[np.ndarray, "_"], ...]:
    return tuple(np.ones(len(part.annotator), bool) for part in evidence.parts)
