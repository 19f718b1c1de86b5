"""Golden and property: suspects are found, and left out only where unseen answers are then foretold better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accord.rewards.denoise import agreeing, better, calibrated, taken
from accord.rewards.fit import RewardConfig, fit
from accord.types import Evidence
from tests.rewards.test_fourier import about


def turned(evidence: Evidence, share: float, seed: int) -> tuple[Evidence, np.ndarray]:
    """The same answers, a share of them turned round, and which."""
    (part,) = evidence.parts
    wrong = np.random.default_rng(seed).random(len(part.level)) < share
    return replace(evidence, parts=(replace(part, level=np.where(wrong, 1 - part.level, part.level)),)), wrong


def left_out(evidence: Evidence) -> int:
    config = RewardConfig(kind="linear", denoise=True)
    return fit(evidence, config, discrete=False, terminates=False, seed=0).report.left_out


def test_golden_the_best_slope_and_share_of_coin_flips_are_found():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000) * 2
    sure = rng.random(20_000) < 1 / (1 + np.exp(-3.0 * logit))
    outcome = np.where(rng.random(20_000) < 0.2, rng.random(20_000) < 0.5, sure).astype(float)
    sign = 2 * outcome - 1
    told = np.log(0.8 / (1 + np.exp(-3.0 * logit * sign)) + 0.1)
    assert calibrated(logit, outcome).mean() == pytest.approx(told.mean(), abs=1e-3)
    assert calibrated(10 * logit, outcome).mean() == pytest.approx(told.mean(), abs=1e-3)  # how sure it is is no matter


def test_golden_better_is_by_more_than_a_standard_error():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=400)
    outcome = (truth > 0).astype(float)
    assert better(truth, truth + 2 * rng.normal(size=400), outcome)
    assert not better(truth + 2 * rng.normal(size=400), truth, outcome)
    assert not better(truth, truth, outcome)
    assert not better(truth, -truth, np.full(400, 0.5))  # ties decide nothing


def test_property_clean_answers_are_all_kept():
    assert left_out(about(0, 120, lambda x: x[..., 0] - x[..., 3])[0]) == 0


def test_property_suspects_are_wrong_answers():
    config = RewardConfig(kind="linear")
    for seed in range(3):
        evidence, wrong = turned(about(seed, 200, lambda x: x[..., 0] - x[..., 3])[0], 0.2, seed)
        reward = fit(evidence, config, discrete=False, terminates=False, seed=0)
        kept = agreeing(evidence, reward)
        assert kept.answers <= 185
        assert np.isin(kept.parts[0].first, evidence.parts[0].first[wrong]).sum() <= wrong.sum() - 0.9 * (
            200 - kept.answers
        )


def test_golden_a_tie_is_never_suspect():
    evidence, _ = about(3, 40, lambda x: x[..., 0])
    (part,) = evidence.parts
    ties = replace(evidence, parts=(replace(part, levels=3, level=np.ones(40, int)),))
    reward = fit(evidence, RewardConfig(kind="linear"), discrete=False, terminates=False, seed=0)
    assert agreeing(ties, reward).answers == 40


def test_golden_taken_keeps_answers_and_their_columns_together():
    evidence, _ = about(2, 10, lambda x: x[..., 0])
    (part,) = evidence.parts
    mask = np.arange(10) % 3 == 0
    some = taken(evidence, [mask])
    assert some.answers == 4 and (some.parts[0].first == part.first[mask]).all() and len(some.uniform[0]) == 4
