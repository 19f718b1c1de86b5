"""Golden, property, invariance: what a learning curve trains on, what it foretells, and what it makes of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from accord.rewards.curve import SIZES, Figure, carried, foretold, measure, subset
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.fitted import FittedReward
from accord.types import Approvals, Evidence, InputError, Rankings, Ratings
from tests.rewards.test_fit import answers, world
from tests.rewards.test_fourier import about

LINEAR = RewardConfig(kind="linear", members=1)


def fitted(evidence: Evidence, seed: int) -> FittedReward:
    return fit(evidence, LINEAR, discrete=False, terminates=True, seed=seed)


def compared(count: int, seed: int = 0) -> Evidence:
    return about(seed, count, lambda x: x[..., 0] - x[..., 3])[0]


def mixed(rng: np.random.Generator) -> Evidence:
    """Sixty comparisons, ratings, approvals and rankings each, about segments of 40 episodes."""
    segments, truth = world(rng, 120)
    kinds = ("compare2", "rate", "approve", "rank")
    parts = tuple(answers(kind, rng, truth.sum(1), 60) for kind in kinds)
    uniform = tuple(np.ones(60, bool) for _ in kinds)
    return Evidence(segments, np.arange(120) // 3, ("a", "b", "c", "d"), parts, uniform)


def test_property_nothing_that_is_held_out_or_touches_it_is_trained_on_and_subsets_are_nested_whole_groups():
    evidence = compared(60)
    evidence = replace(evidence, groups=np.arange(len(evidence.groups)) // 4)  # two answers each
    seen: list[set[int]] = []

    def watched(train: Evidence, seed: int) -> FittedReward:
        rows = {id(segment) for segment in train.segments}
        part = train.parts[0]
        assert set(np.concatenate([part.first, part.second])) == set(range(len(train.segments)))
        seen.append({int(evidence.groups[i]) for i, each in enumerate(evidence.segments) if id(each) in rows})
        assert len(part.annotator) == 2 * len(seen[-1])  # a group is there with all its answers or not at all
        return fitted(train, seed)

    found = measure(evidence, watched, 0, folds=3, resamplings=2)
    assert found.together == "group"
    for start in range(0, len(seen), SIZES):
        assert all(small < large for small, large in zip(seen[start:], seen[start + 1 : start + SIZES], strict=False))
    whole = seen[SIZES - 1 :: SIZES]  # what each fold trains on: all groups but its own, which lie in no other's
    assert all(len(a | b) == 30 for i, a in enumerate(whole[:3]) for b in whole[i + 1 : 3])
    assert np.allclose(found.sizes, [2 * np.mean([len(s) for s in seen[k::SIZES]]) for k in range(SIZES)])


def test_golden_a_reward_that_knows_nothing_scores_a_coin_and_one_that_knows_all_scores_hits():
    evidence = compared(80)

    def nothing(train: Evidence, seed: int) -> FittedReward:
        reward = fitted(train, seed)
        tables = {name: torch.zeros_like(table) for name, table in reward.annotators.items()}
        return replace(reward, flat=0.0 * reward.flat, annotators=tables)

    coin = measure(evidence, nothing, 0, folds=2, resamplings=1)
    assert np.allclose(coin.likelihood.rows, -math.log(2.0), atol=1e-5) and (coin.accuracy.rows == 0.5).all()
    told = foretold(fitted(evidence, 0), evidence)
    assert told["accuracy"] > 0.95 and -0.3 < told["likelihood"] < 0.0


def test_golden_scores_are_those_of_the_fit_on_the_same_answers():
    """With everything held in, the likelihood is what the fit itself reports of its training answers."""
    evidence = mixed(np.random.default_rng(0))
    reward = fit(evidence, LINEAR, discrete=False, terminates=True, seed=0)
    assert foretold(reward, evidence)["likelihood"] == pytest.approx(reward.report.train, abs=2e-3)


def test_property_every_kind_of_answer_is_foretold_and_more_of_them_help():
    found = measure(mixed(np.random.default_rng(1)), fitted, 0, folds=2, resamplings=1)
    assert found.together == "question" or found.together == "group"
    assert found.likelihood.rows.shape[1] == 240 and 50 <= found.accuracy.rows.shape[1] <= 60
    means = found.likelihood.means.mean(0)
    assert np.isfinite(found.likelihood.rows).all() and means[-1] > means[0]
    assert (np.diff(found.sizes) > 0).all()


def test_invariance_the_same_seed_gives_the_same_curve_and_only_uniform_answers_are_foretold():
    evidence = replace(compared(80), uniform=(np.arange(80) % 2 == 0,))
    first, again, other = (measure(evidence, fitted, seed, folds=3, resamplings=1) for seed in (0, 0, 1))
    assert np.array_equal(first.likelihood.rows, again.likelihood.rows)
    assert not np.array_equal(first.likelihood.rows, other.likelihood.rows)
    assert first.likelihood.rows.shape == (1, 40, SIZES)
    assert set(first.likelihood.cluster) == set(evidence.parts[0].first[::2])


def test_golden_a_subset_is_about_the_same_segments():
    evidence = mixed(np.random.default_rng(2))
    masks = [np.arange(60) % 7 == k for k in range(4)]
    some = subset(evidence, masks)
    for part, old, mask in zip(some.parts, evidence.parts, masks, strict=True):
        name = "items" if isinstance(part, Rankings) else "item" if isinstance(part, Ratings | Approvals) else "first"
        wanted = getattr(old, name)[mask].ravel()
        assert all(
            some.segments[i] is evidence.segments[j] for i, j in zip(getattr(part, name).ravel(), wanted, strict=True)
        )
        assert np.array_equal(part.annotator, old.annotator[mask])
    assert len(some.segments) == len(some.groups) < len(evidence.segments)


def test_learning_what_doubling_brings_lies_in_the_interval():
    """From 60 comparisons, what 60 more do for 300 unseen ones."""
    evidence, place = compared(420, 1), np.arange(420)
    few, many, unseen = (subset(evidence, [m]) for m in (place < 60, place < 120, place >= 120))
    found = measure(few, fitted, 0, folds=3, resamplings=2)
    figure = carried(found.likelihood, found.sizes, np.random.default_rng(0), 0.0)
    came = foretold(fitted(many, 0), unseen)["likelihood"] - foretold(fitted(few, 0), unseen)["likelihood"]
    middle, low, high = figure.gain(60.0, 60.0)
    assert low <= middle <= high and low <= came <= high and high - low < 0.3


def test_property_more_luck_and_fewer_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    sizes = np.geomspace(20.0, 160.0, SIZES)
    each = 0.3 * rng.standard_normal((1, 400, 1)) * (1.0 + sizes / 160.0)
    rows = (-0.3 - 1.5 * sizes**-0.5) + each + 0.01 * rng.standard_normal((4, 1, SIZES))
    shared = rows + np.repeat(0.2 * rng.standard_normal((1, 8, 1)), 50, 1) * sizes / 160.0
    lucky = rows + 0.1 * rng.standard_normal((4, 1, 1)) * np.sqrt(20.0 / sizes)

    def of(rows: np.ndarray, clusters: int) -> tuple[float, float]:
        found = carried(Figure(rows, np.arange(400) % clusters), sizes, np.random.default_rng(1), 0.0)
        return found.luck, float(np.ptp(found.gain(200.0, 200.0)[1:]))

    def apart(rows: np.ndarray) -> float:
        found = carried(Figure(rows, np.arange(400) // 50), sizes, np.random.default_rng(1), 0.0)
        return float(np.ptp(found.gain(200.0, 200.0)[1:]))

    alone, with_luck = of(rows, 400), of(lucky, 400)
    assert with_luck[0] > 4 * alone[0] and with_luck[1] > alone[1]
    assert apart(shared) > of(shared, 400)[1]


@pytest.mark.parametrize(("count", "groups", "words"), [(20, None, "there are 20 answers"), (60, 0, "one episode")])
def test_contract_too_little_is_refused_in_a_sentence(count: int, groups: int | None, words: str):
    evidence = compared(count)
    if groups is not None:
        evidence = replace(evidence, groups=np.zeros(len(evidence.groups), int))
    with pytest.raises(InputError, match=words):
        measure(evidence, fitted, 0)
