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
    """What each look of another trial has to reach; -inf where too little is known. All are of the whole runs' rung."""
    return tuple(_floor(ended, look, share) for look, share in enumerate(KEPT))


def looks(trial: Trial) -> list[float]:
    """The scores on its way. Of a stopped trial those are all it has; a whole run's last one is its score."""
    scores = [point.score for point in trial.curve]
    return scores if trial.stopped else scores[:-1]


def _floor(ended: Sequence[Trial], look: int, share: float) -> float:
    looked = [(trial, looks(trial)[look]) for trial in ended if len(looks(trial)) > look]
    seen = [score for _, score in looked]
    whole = [(score, trial.score) for trial, score in looked if trial.score is not None and not trial.stopped]
    if len(whole) < LEAST:
        return -math.inf
    rho = spearman(*np.array(whole, float).T)
    return -math.inf if math.isnan(rho) or rho < LIMIT else float(np.quantile(seen, 1.0 - share))
