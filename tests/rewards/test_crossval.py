"""Cross-validation: folds keep groups whole, scores are the likelihood's own, ensembles of any size share one fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.functional.uncertainty import log_sigmoid
from accord.rewards.crossval import (
    Reading,
    Told,
    by_annotator,
    by_group,
    by_time,
    fewer,
    joined,
    mean_told,
    paired,
    tell,
    tempered,
    touched,
)
from accord.rewards.denoise import taken
from accord.rewards.fit import RewardConfig, fit, glance
from accord.rewards.judge import Forecasts, judge
from accord.types import InputError, Ratings
from tests.rewards.choice import compared

LINEAR = RewardConfig(kind="linear", members=1)
NET = RewardConfig(kind="mlp", width=8, depth=1, members=3, epochs=2, precision="float32")


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), folds=st.integers(2, 6))
def test_property_no_answer_that_is_trained_on_touches_a_group_that_is_held_out(seed: int, folds: int):
    evidence = compared(60, seed)
    (held,), groups = by_group(evidence, seed, folds), touched(evidence)
    for mask in held:
        trained, out = set(groups[~mask].ravel()), groups[mask]
        assert all(not trained >= set(row) for row in out)  # of every held-out answer one group at least is unknown
    assert held.any(0).all()
    assert (held.sum(0) == 1)[groups[:, 0] == groups[:, 1]].all()


def test_golden_a_score_is_the_logarithm_of_the_probability_that_the_values_give():
    evidence = compared(80)
    (mask,) = [masks[0] for masks in by_group(evidence, 0)]
    plain = replace(LINEAR, lapses=False)
    (told,) = tell(evidence, plain, [mask], Reading(), seed=0)
    reward = fit(taken(evidence, [~mask]), plain, discrete=False, terminates=True, seed=0)
    part, value = evidence.parts[0], reward.value(evidence.segments)[0].astype(np.float64)
    logit = value[part.first] - value[part.second] + float(reward.annotators["compare2/side"][0, 0])
    expected = log_sigmoid(np.where(part.level == 1, logit, -logit))
    assert np.isnan(told.score[~mask]).all()
    assert told.score[mask] == pytest.approx(expected[mask], abs=1e-5)


def test_golden_ratings_are_scored_as_they_are_fitted():
    evidence = compared(10)
    rng = np.random.default_rng(0)
    item = rng.integers(0, 48, 120)
    short = [replace(one, valid=np.arange(8) < 4 + 4 * (i % 2)) for i, one in enumerate(evidence.segments)]
    worth = np.array([one.observation[one.valid][:, 0].mean() for one in short])
    level = np.digitize(worth[item] + 0.2 * rng.normal(size=120), [-0.7, 0.0, 0.7])
    part = Ratings(item, level, np.zeros(120, np.int64), 4)
    rated = replace(evidence, segments=short, parts=(part,), uniform=(np.ones(120, bool),))
    nobody = np.zeros(120, bool)
    nobody[:2] = True
    whole = fit(taken(rated, [~nobody]), LINEAR, discrete=False, terminates=True, seed=0)
    (told,) = tell(rated, LINEAR, [nobody], Reading(), seed=0)
    (each,) = tell(rated, LINEAR, by_fold(rated), Reading(), seed=0)
    assert np.isfinite(told.score[nobody]).all()
    # Nearly the answers that the whole was fitted to: about as likely as those, far from a guess at one of four levels.
    assert np.nanmean(each.score) == pytest.approx(whole.report.train, abs=0.25)
    assert np.nanmean(each.score) > np.log(1 / 4) + 0.3


def by_fold(evidence):
    return [masks[0] for masks in by_group(evidence, 0)]


def test_golden_fewer_draws_keep_the_mode_and_fewer_nets_are_the_first():
    evidence = compared(60)
    draws = fit(evidence, replace(LINEAR, members=7), discrete=False, terminates=True, seed=0)
    values = draws.value(evidence.segments)
    for count in (1, 2, 4, 7):
        some, value = fewer(draws, count, values)
        assert value.mean(0) == pytest.approx(values.mean(0), abs=1e-4)
        assert torch.allclose(some.flat.mean(0), draws.flat.mean(0), atol=1e-5)
    assert fewer(draws, 7, values)[1] == pytest.approx(values, abs=1e-5)
    nets = fit(evidence, NET, discrete=False, terminates=True, seed=0)
    values = nets.value(evidence.segments)
    assert np.array_equal(fewer(nets, 2, values)[1], values[:2])


def test_golden_means_leave_out_what_no_fold_holds_and_pairs_what_both_know():
    nothing = Forecasts(*(np.zeros(0, kind) for kind in (float, float, int, int, int)))
    folds = [[-1.0, np.nan, -2.0, np.nan], [-3.0, -5.0, np.nan, np.nan]]
    found = mean_told([Told(np.array(score), nothing, 0.0) for score in folds])
    assert found == pytest.approx([-2.0, -5.0, -2.0, np.nan], nan_ok=True)
    gain = paired(found, np.array([-3.0, -5.0, -4.0, -1.0]), np.arange(4)[:, None])
    assert (gain.difference, gain.answers) == (pytest.approx(1.0), 3)
    assert gain.error == pytest.approx(1.0 / np.sqrt(3))  # deviations 0, -1, 1 of three independent answers


def test_learning_the_likelihood_prefers_what_the_answers_were_made_of():
    evidence = compared(240, curved=True)
    held = by_group(evidence, 0)
    found = {}
    for kind in ("linear", "kernel"):
        config = RewardConfig(kind=kind, members=1)
        found[kind] = [tell(evidence, config, [m[k] for m in held], Reading(), k)[0] for k in range(5)]
    gain = paired(mean_told(found["kernel"]), mean_told(found["linear"]), touched(evidence))
    assert gain.difference > 2 * gain.error > 0
    assert judge(joined([one.forecasts for one in found["kernel"]])).accuracy > 0.72  # type: ignore[operator]


def test_property_a_temperature_found_on_other_folds_mends_what_is_too_sure():
    rng, folds = np.random.default_rng(0), []
    for _ in range(4):
        logit = rng.normal(size=300)
        outcome = (rng.random(300) < 1.0 / (1.0 + np.exp(-logit))).astype(float)
        at = np.arange(300)
        folds.append(Told(np.zeros(0), Forecasts(4.0 * logit, outcome, at, at, np.zeros(300, int)), 0.0))
    raw, mended = judge(joined([one.forecasts for one in folds])), judge(tempered(folds))
    assert mended.ece < 0.05 < raw.ece  # type: ignore[operator]
    assert mended.accuracy == raw.accuracy


def test_invariance_a_share_of_the_answers_lies_within_a_larger_share(monkeypatch: pytest.MonkeyPatch):
    from accord.rewards import crossval

    evidence, seen = compared(60), []
    monkeypatch.setattr(crossval, "fit", lambda given, *a, **k: seen.append(given) or fit(given, *a, **k))
    for share in (0.3, 0.7, 1.0):
        tell(evidence, LINEAR, by_fold(evidence), Reading(), seed=3, share=share)
    rows = [set(zip(e.parts[0].first.tolist(), e.parts[0].second.tolist(), strict=True)) for e in seen]
    assert len(rows[0]) < len(rows[1]) < len(rows[2]) and rows[0] <= rows[1] <= rows[2]


def test_golden_annotators_and_time_have_folds_of_their_own():
    evidence = compared(60, annotators=3)
    (held,) = by_annotator(evidence, 0)
    assert held.shape[0] == 3 and (held.sum(0) == 1).all()
    for mask in held:
        assert set(evidence.parts[0].annotator[mask]).isdisjoint(evidence.parts[0].annotator[~mask])
    (newest,) = by_time([np.arange(60)[::-1].copy()])
    assert newest.shape == (1, 60) and newest[0, :12].all() and not newest[0, 12:].any()


def test_invariance_pooling_one_annotator_changes_nothing():
    evidence = compared(60)
    one, pooled = (
        fit(evidence, replace(LINEAR, annotators=how), discrete=False, terminates=True, seed=0)
        for how in ("each", "pooled")
    )
    assert torch.equal(one.flat, pooled.flat)


def test_golden_without_lapses_nobody_guesses():
    evidence = compared(120)
    plain = fit(evidence, replace(LINEAR, lapses=False), discrete=False, terminates=True, seed=0)
    assert float(torch.sigmoid(plain.annotators["compare2/skill_mean"]).min()) > 1 - 1e-5


@pytest.mark.parametrize("config", [LINEAR, replace(NET, members=5)])
def test_invariance_a_glance_is_what_the_fit_reports(config: RewardConfig):
    evidence = compared(60)
    whole = fit(evidence, config, discrete=False, terminates=True, seed=0)
    seen = glance(evidence, config, discrete=False, seed=0)
    assert np.array_equal(seen[0], whole.report.heldout_scores[0], equal_nan=True)


def test_contract_too_few_answers_groups_or_annotators_are_told():
    with pytest.raises(InputError, match="about 3 episodes or prompts and 5 folds"):
        by_group(compared(60, groups=3), 0)
    with pytest.raises(InputError, match="4 answers leave a fold with"):
        by_group(compared(4), 0)
    with pytest.raises(InputError, match="1 annotator has answered"):
        by_annotator(compared(60), 0)
