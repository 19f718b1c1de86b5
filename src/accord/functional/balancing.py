"""Which of several learners is to learn next: their regrets are kept alike, whatever those turn out to be.

Pacchiano, Dann, Gentile 2023, arXiv:2306.02869, algorithm 1 (D3RB), after the balancing and elimination of Pacchiano et
al. 2020, arXiv:2012.13045; for choosing among reinforcement learners arXiv:2512.02214. Learner i is thought to have a
regret of `d_i sqrt(n_i)` after n_i plays, and whoever's is least plays. A learner whose mean value, with all that its
regret bound and luck allow it, still lies below what another one surely has, was thought too good: its d doubles.
Differs from the paper in: the value is a learner's recent one, which the caller gives, since what is wanted is the
policy at the end and not the sum of all rewards; values are brought to one unit, and tests are made in it.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

LEAST = 0.5  # d of a learner of which nothing is known, in units of the widest difference of values
DELTA = 0.1  # probability of ever doubling for nothing, were luck as the caller says and `CARE` the root of 2
CARE = 0.5  # the constant that the paper leaves open: plays are few here, and about one standard error is believed
MOST = 64.0  # beyond, a learner would never play again: it may still learn late


def chosen(
    plays: Int[np.ndarray, "learner"], bound: Float[np.ndarray, "learner"], may: Bool[np.ndarray, "learner"]
) -> int:
    """The learner with the least `d sqrt(n)` among those that may play, one at least; of equals the first."""
    return int(np.argmin(np.where(may, bound * np.sqrt(plays), np.inf)))


def doubled(
    plays: Int[np.ndarray, "learner"],
    value: Float[np.ndarray, "learner"],
    luck: Float[np.ndarray, "learner"],
    bound: Float[np.ndarray, "learner"],
) -> Float[np.ndarray, "learner"]:
    """The bounds after the test for misspecification: those that fail it are twice what they were.

    Learner i fails where `v_i + d_i / sqrt(n_i) + c_i < max_j (v_j - c_j)`. `value` in units of the widest difference,
    `luck` the standard error of each, `c = CARE luck sqrt(log(m log2(2 n) / delta))` over m learners. Who has not
    played is not tested and proves nothing.
    """
    played = plays > 0
    if not played.any():
        return bound.copy()
    n = np.maximum(plays, 1)
    sure = CARE * luck * np.sqrt(np.log(len(plays) * np.log2(2.0 * n) / DELTA))
    best = float((value - sure)[played].max())
    failed = played & (value + bound / np.sqrt(n) + sure < best)
    return np.where(failed, np.minimum(2.0 * bound, MOST), bound)


def in_units(value: Float[np.ndarray, "value"], spread: Float[np.ndarray, "value"]) -> float:
    """What values are divided by: their widest difference, but no less than the deviation of single steps within one.

    Before anybody has learned, all means are alike, and it is single steps that show how much there is to be won.
    """
    span = float(np.ptp(value)) if value.size else 0.0
    return max(span, float(spread.max(initial=0.0)), math.ulp(1.0))


def collapsed(first: float, best: float, now: float, luck: float, share: float) -> bool:
    """Whether a learner has lost more than a share of what it had won since it began, and more than luck explains."""
    return best - now > max(share * (best - first), 4.0 * luck)
