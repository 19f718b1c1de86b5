"""Figures with intervals: returns over seeds, shares, calibration. Pure; randomness is an argument.

Axes: `run` (one seed), `task`, `query`. Intervals are (low, high), two-sided, and cover `level` of cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import sparse, stats

Interval = tuple[float, float]
Scores = Float[np.ndarray, "run task"]


# ------------------------------------------------------------------------------------- returns over seeds


def iqm(scores: Shaped[np.ndarray, "*shape"]) -> float:
    """Interquartile mean: the mean of what is left without the floor(n / 4) lowest and highest of all n scores.

    Agarwal et al. 2108.13264, section 4.3. With fewer than four scores it is the mean.
    """
    flat = np.sort(scores, axis=None)
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def mean(scores: Shaped[np.ndarray, "*shape"]) -> float:
    """The plain mean, as a statistic to bootstrap."""
    return float(np.mean(scores))


def bootstrap_interval(
    scores: Scores,
    statistic: Callable[[Scores], float],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Percentile interval of a statistic, runs drawn again within each task (strata), Agarwal et al. 2108.13264.

    Too narrow with few runs: ten or more are wanted.
    """
    runs, tasks = scores.shape
    rows = rng.integers(runs, size=(draws, runs, tasks))
    return percentiles(np.array([statistic(scores[row, np.arange(tasks)]) for row in rows]), level)


def paired_bootstrap_interval(
    ours: Scores,
    theirs: Scores,
    statistic: Callable[[Scores], float],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Percentile interval of `statistic(ours) - statistic(theirs)`; run i of both shares a seed and is drawn as one."""
    runs, tasks = ours.shape
    columns = np.arange(tasks)
    rows = rng.integers(runs, size=(draws, runs, tasks))
    return percentiles(
        np.array([statistic(ours[row, columns]) - statistic(theirs[row, columns]) for row in rows]), level
    )


def probability_of_improvement(
    ours: Scores,
    theirs: Float[np.ndarray, "other task"],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> tuple[float, Interval]:
    """`mean over tasks of P(X > Y) + P(X = Y) / 2` for runs X of ours and Y of theirs, in [0, 1], with its interval.

    Agarwal et al. 2108.13264, section 4.3 (Mann-Whitney U / (n m)); the two sides are drawn again independently
    within each task.
    """
    won = [(np.sign(ours[:, [t]] - theirs[None, :, t]) + 1) / 2 for t in range(ours.shape[1])]
    found = np.zeros(draws)
    for wins in won:
        runs, others = wins.shape
        # How often each run was drawn stands for drawing the table's rows and columns themselves.
        row = rng.multinomial(runs, np.full(runs, 1 / runs), size=draws)
        column = rng.multinomial(others, np.full(others, 1 / others), size=draws)
        found += np.einsum("dr,rc,dc->d", row, wins, column) / (runs * others)
    return float(np.mean([wins.mean() for wins in won])), percentiles(found / len(won), level)


def percentiles(found: Float[np.ndarray, "draw"], level: float) -> Interval:
    """What holds the middle `level` of the draws."""
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# ------------------------------------------------------------------------------------------------- tests


def holm(p_values: Float[np.ndarray, "test"]) -> Float[np.ndarray, "test"]:
    """Holm's step-down adjusted p values: at most alpha where the family-wise error alpha allows rejecting.

    `p~_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))` (Holm 1979); valid under any dependence.
    """
    order = np.argsort(p_values)
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def tost(difference: Float[np.ndarray, "run"], low: float, high: float) -> float:
    """p value of two one-sided t tests (Schuirmann 1987): small where the mean difference lies within (low, high).

    `difference` is ours minus theirs per seed, two at least. Equivalence is never shown by a large p of a t test.
    """
    spread = difference.std(ddof=1) / math.sqrt(len(difference))
    centre = difference.mean()
    if spread == 0:
        return 0.0 if low < centre < high else 1.0
    freedom = len(difference) - 1
    above_low = stats.t.sf((centre - low) / spread, freedom)
    below_high = stats.t.cdf((centre - high) / spread, freedom)
    return float(max(above_low, below_high))


def wilson(successes: float, count: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (1927), within [0, 1]; (0, 1) where there is no observation.

    Both may be fractions: half a success for a tie, an effective count for clustered observations.
    """
    if count <= 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf((1 + level) / 2))
    share = successes / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def effective_count(hits: Float[np.ndarray, "query"], cluster: Int[np.ndarray, "query"]) -> float:
    """How many independent observations clustered ones are worth for their mean, in (0, n].

    `n / deff` with `deff = sum_c (sum_{q in c} (x_q - mean))^2 / sum_q (x_q - mean)^2`, at least 1 (Kish). Where all
    hits are equal nothing can be estimated, and the number of clusters is returned.
    """
    residual = hits - hits.mean()
    sums = np.bincount(np.unique(cluster, return_inverse=True)[1].ravel(), weights=residual)
    total = float(np.square(residual).sum())
    if total == 0:
        return float(len(sums))
    return len(hits) / max(1.0, float(np.square(sums).sum()) / total)


def clustered_error(values: Float[np.ndarray, "query"], touched: Int[np.ndarray, "query place"]) -> float:
    """Standard error of the mean of values that depend on each other where they touch the same cluster.

    `touched` numbers the clusters of each value; -1 pads. `V = sum of x_i x_j over all i, j that share a cluster / n^2`
    for centred x (Aronow, Samii and Assenova 2015, for pairs), times `c / (c - 1)` for c clusters, and at least what it
    is without clusters. Infinite where there are fewer than two values or clusters.
    """
    clusters = len(np.unique(touched[touched >= 0]))
    if len(values) < 2 or clusters < 2:
        return math.inf
    rows, place = np.unique(np.sort(touched, axis=1), axis=0, return_inverse=True)
    sums = np.bincount(place.ravel(), weights=values - values.mean(), minlength=len(rows))
    row, column = np.nonzero(rows >= 0)
    meets = sparse.csr_array((np.ones(len(row)), (row, rows[row, column])), shape=(len(rows), int(rows.max()) + 1))
    shares = (meets @ meets.T) > 0
    variance = max(float(sums @ (shares @ sums)), float(np.square(values - values.mean()).sum()))
    return math.sqrt(variance * clusters / (clusters - 1)) / len(values)


# ------------------------------------------------------------------------------------------- calibration


def brier(probability: Float[np.ndarray, "query"], outcome: Float[np.ndarray, "query"]) -> float:
    """`mean (p - y)^2`, in [0, 1]; a coin has .25 (Brier 1950)."""
    return float(np.square(probability - outcome).mean())


def calibration_bins(
    probability: Float[np.ndarray, "query"], outcome: Float[np.ndarray, "query"], bins: int = 10
) -> list[tuple[float, float, int]]:
    """Mean probability, mean outcome and count of each bin; bins are of equal count, in rising probability."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, min(bins, len(order))) if len(order) else []
    return [(float(probability[part].mean()), float(outcome[part].mean()), len(part)) for part in parts]


def ece(probability: Float[np.ndarray, "query"], outcome: Float[np.ndarray, "query"], bins: int = 10) -> float:
    """Expected calibration error `sum_b n_b / n |mean p - mean y|`, in [0, 1], over bins of equal count.

    Guo et al. 1706.04599, with equal counts in place of equal widths. Few queries bias it upwards: at 100 queries
    and 10 bins a perfect forecast of one half still shows about .13. NaN without queries.
    """
    found = calibration_bins(probability, outcome, bins)
    return sum(n * abs(p - y) for p, y, n in found) / len(probability) if found else math.nan


# -------------------------------------------------------------------------------------------- agreement


def pearson(x: Float[np.ndarray, "item"], y: Float[np.ndarray, "item"]) -> float:
    """Linear correlation in [-1, 1]; NaN where either side is constant or there are fewer than two."""
    return float(np.corrcoef(x, y)[0, 1]) if _vary(x, y) else math.nan


def spearman(x: Float[np.ndarray, "item"], y: Float[np.ndarray, "item"]) -> float:
    """Rank correlation in [-1, 1], ties at their mean rank; NaN as in `pearson`."""
    return pearson(stats.rankdata(x), stats.rankdata(y))


def kendall(x: Float[np.ndarray, "item"], y: Float[np.ndarray, "item"]) -> float:
    """Kendall's tau-b in [-1, 1]: concordant minus discordant pairs, corrected for ties; NaN as in `pearson`."""
    return float(np.asarray(stats.kendalltau(x, y), float)[0]) if _vary(x, y) else math.nan


def _vary(x: Float[np.ndarray, "item"], y: Float[np.ndarray, "item"]) -> bool:
    return len(x) >= 2 and bool(np.ptp(x) > 0) and bool(np.ptp(y) > 0)
