"""Successive halving within a trial: what is behind when it is looked at stops learning.

Li et al., arXiv:1810.05934 (ASHA), with the looks between a trial's pieces as rungs. Differs from it in: a trial is
stopped rather than promoted, so nothing has to be kept to go on from; only trials of the search stop; and a look is
trusted as long as its ranks agree with those of whole runs (`race.LIMIT`), since short runs are known to rank wrongly
(Obando-Ceron et al., arXiv:2406.17523).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from accord.functional.statistics import spearman
from accord.trials import Trial
from accord.tuning.race import ETA, LEAST, LIMIT

KEPT = (1 / ETA, 1 / 2)  # of those that were looked at: at a third of the steps, at two thirds


def floors(ended: Sequence[Trial]) -> tuple[float, ...]:
    """What each look of another trial has to reach; -inf where too little is known. All trials are of whole runs' rung.

    A stopped trial has looks up to the one at which it stopped; the last of a whole run is its score.
    """
    return tuple(_floor(ended, look, share) for look, share in enumerate(KEPT))


def _floor(ended: Sequence[Trial], look: int, share: float) -> float:
    seen = [trial.curve[look].score for trial in ended if len(trial.curve) > look + (not trial.stopped)]
    whole = [(t.curve[look].score, t.score) for t in ended
             if t.score is not None and not t.stopped and len(t.curve) > look + 1]  # fmt: skip
    if len(whole) < LEAST:
        return -math.inf
    rho = spearman(*np.array(whole, float).T)
    return -math.inf if math.isnan(rho) or rho < LIMIT else float(np.quantile(seen, 1.0 - share))
