"""Golden and property tests of statistics, against hand-computed values, published examples and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from accord.functional.statistics import (
    bootstrap_interval,
    brier,
    clustered_error,
    ece,
    effective_count,
    holm,
    iqm,
    kendall,
    mean,
    paired_bootstrap_interval,
    pearson,
    probability_of_improvement,
    spearman,
    tost,
    wilson,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ----------------------------------------------------------------------------------------- returns over seeds


def test_golden_iqm():
    assert iqm(np.array([[100.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, -90.0]])) == 3.5
    assert iqm(np.array([1.0, 2.0, 6.0])) == 3.0


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)))
def test_property_iqm_equals_scipy_trimmed_mean(scores: np.ndarray):
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25), abs=1e-9)


def test_golden_bootstrap_interval_of_a_mean_is_the_normal_one():
    scores = rng().normal(size=(400, 1))
    low, high = bootstrap_interval(scores, mean, rng(1))
    half = 1.96 * scores.std() / 20
    assert (low, high) == (
        pytest.approx(scores.mean() - half, abs=0.01),
        pytest.approx(scores.mean() + half, abs=0.01),
    )


def test_golden_bootstrap_keeps_tasks_apart():
    # Two tasks far from each other, without spread inside: drawing within each leaves the mean where it is.
    scores = np.repeat([[0.0, 100.0]], 5, axis=0)
    assert bootstrap_interval(scores, mean, rng()) == (50.0, 50.0)
    assert bootstrap_interval(scores, iqm, rng()) == (50.0, 50.0)


def test_golden_bootstrap_covers():
    inside = 0
    for seed in range(100):
        low, high = bootstrap_interval(rng(seed).normal(size=(20, 2)), mean, rng(seed + 1000), draws=200)
        inside += low <= 0 <= high
    assert 85 <= inside <= 99  # 93 % is usual at 20 runs


def test_golden_pairing_removes_what_seeds_share():
    shared = rng().normal(size=(20, 1)) * 10
    ours, theirs = shared + 1.0, shared
    assert paired_bootstrap_interval(ours, theirs, mean, rng()) == (pytest.approx(1.0), pytest.approx(1.0))


def test_golden_probability_of_improvement():
    ours, theirs = np.array([[1.0], [3.0], [5.0]]), np.array([[0.0], [3.0], [4.0]])
    # Nine pairs: 1>0; 3>0, 3=3; 5>all: 5 wins and one tie.
    probability, (low, high) = probability_of_improvement(ours, theirs, rng())
    assert probability == pytest.approx(5.5 / 9)
    assert 0 <= low < probability < high <= 1
    assert probability_of_improvement(theirs + 9, theirs, rng()) == (1.0, (1.0, 1.0))


@given(
    arrays(np.float64, (6, 2), elements=st.integers(-5, 5).map(float)),
    arrays(np.float64, (4, 2), elements=st.integers(-5, 5).map(float)),
)
def test_property_probability_of_improvement_is_mann_whitney(ours: np.ndarray, theirs: np.ndarray):
    there, _ = probability_of_improvement(ours, theirs, rng(), draws=10)
    back, _ = probability_of_improvement(theirs, ours, rng(), draws=10)
    u = [stats.mannwhitneyu(ours[:, t], theirs[:, t], method="asymptotic").statistic / 24 for t in range(2)]
    assert there == pytest.approx(np.mean(u)) and there + back == pytest.approx(1)


def test_golden_improvement_interval_covers():
    inside = 0
    truth = stats.norm.cdf(1 / math.sqrt(2))
    for seed in range(150):
        ours, theirs = rng(seed).normal(1, 1, size=(20, 1)), rng(seed + 999).normal(size=(20, 1))
        low, high = probability_of_improvement(ours, theirs, rng(seed), draws=400)[1]
        inside += low <= truth <= high
    assert 130 <= inside <= 150


# ------------------------------------------------------------------------------------------------------ tests


def test_golden_holm():
    found = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_golden_tost_equals_two_scipy_tests():
    difference = rng().normal(0.1, 1, size=30)
    lower = stats.ttest_1samp(difference, -1, alternative="greater").pvalue
    upper = stats.ttest_1samp(difference, 1, alternative="less").pvalue
    assert tost(difference, -1, 1) == pytest.approx(max(lower, upper))
    assert tost(difference, -0.01, 0.01) > 0.2
    assert tost(np.ones(5), 0, 2) == 0.0 and tost(np.ones(5), 2, 3) == 1.0


def test_golden_wilson_equals_scipy():
    for successes, count in ((0, 10), (7, 10), (10, 10), (450, 500)):
        expected = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
        assert wilson(successes, count) == pytest.approx((expected.low, expected.high))
    assert wilson(0, 0) == (0.0, 1.0)


def test_golden_clusters_count_once():
    # Four clusters of three equal hits: twelve observations are worth four.
    hits, cluster = np.repeat([1.0, 0.0, 1.0, 0.0], 3), np.repeat([5, 1, 7, 2], 3)
    assert effective_count(hits, cluster) == pytest.approx(4.0)
    assert effective_count(hits, np.arange(12)) == pytest.approx(12.0)
    assert effective_count(np.ones(12), cluster) == 4.0


# ------------------------------------------------------------------------------------------------ calibration


def test_golden_brier_and_ece():
    probability, outcome = np.array([0.1, 0.2, 0.9, 0.8]), np.array([0.0, 1.0, 1.0, 1.0])
    assert brier(probability, outcome) == pytest.approx((0.01 + 0.64 + 0.01 + 0.04) / 4)
    # Two bins: means .15 against .5, .85 against 1.
    assert ece(probability, outcome, bins=2) == pytest.approx((0.35 + 0.15) / 2)
    assert ece(np.ones(3), np.ones(3)) == 0.0


def test_golden_ece_of_a_coin_at_a_hundred_queries_is_biased_as_documented():
    found = [ece(np.full(100, 0.5), rng(seed).integers(0, 2, 100).astype(float)) for seed in range(300)]
    assert np.mean(found) == pytest.approx(0.125, abs=0.01)


# -------------------------------------------------------------------------------------------------- agreement


@given(arrays(np.float64, (2, 12), elements=st.integers(0, 5).map(float)))
def test_property_correlations_equal_scipy(pair: np.ndarray):
    x, y = pair
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(spearman(x, y)) and math.isnan(pearson(x, y)) and math.isnan(kendall(x, y))
        return
    assert spearman(x, y) == pytest.approx(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    signs = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
    ties = [np.count_nonzero(np.subtract.outer(v, v)) for v in (x, y)]
    assert kendall(x, y) == pytest.approx(signs.sum() / math.sqrt(ties[0] * ties[1]))


def test_golden_the_error_of_a_mean_knows_what_shares_a_cluster():
    x = np.array([1.0, 3.0, 2.0, 6.0])
    alone = clustered_error(x, np.arange(4)[:, None])
    assert alone == pytest.approx(x.std(ddof=1) / 2.0)
    # Centred: -2, 0, -1, 3. Pairs: 0 and 1 share cluster 1, 1 and 2 share cluster 2; 3 is on its own.
    dyads = np.array([[0, 1], [1, 2], [2, 3], [4, 5]])
    shared = 14.0 + 2 * (-2.0 * 0.0 + 0.0 * -1.0)
    assert clustered_error(x, dyads) == pytest.approx(math.sqrt(shared * 6 / 5) / 4)
    both = np.array([[0, 1], [1, 0], [2, -1], [3, -1]])  # 0 and 1 share both clusters, which counts once
    y = np.array([5.0, 4.0, 0.0, -1.0])
    assert clustered_error(y, both) == pytest.approx(math.sqrt(((3.0 + 2.0) ** 2 + 4.0 + 9.0) * 4 / 3) / 4)


def test_property_whole_clusters_that_repeat_are_worth_one_value():
    found = rng().normal(size=30)
    repeated = clustered_error(np.repeat(found, 4), np.repeat(np.arange(30), 4)[:, None])
    assert repeated == pytest.approx(clustered_error(found, np.arange(30)[:, None]))


def test_golden_without_two_values_in_two_clusters_nothing_is_known():
    assert clustered_error(np.array([1.0]), np.zeros((1, 1), int)) == math.inf
    assert clustered_error(np.ones(5), np.zeros((5, 1), int)) == math.inf
