"""Golden and property: crops share the weight of an answer, and pseudo-labels are what the reward is sure of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accord.rewards.augment import PAIRS, PSEUDO, cropped, with_pseudo
from accord.rewards.fit import RewardConfig, fit
from accord.types import Comparisons, Evidence, InputError, Steps
from tests.rewards.test_fourier import about

EVIDENCE, TRUTH = about(0, 30, lambda x: x[..., 0])
UNLABELLED = EVIDENCE.segments[-200:]


def reward(evidence: Evidence, **given):
    config = RewardConfig(kind="kernel", **given)
    return fit(evidence, config, discrete=False, terminates=False, seed=0, unlabelled=UNLABELLED)


def test_golden_crops_are_pieces_of_what_they_were_cut_from_and_share_its_weight():
    seen = cropped(EVIDENCE, 3, np.random.default_rng(0))
    (part,), (given,) = seen.parts, EVIDENCE.parts
    assert isinstance(part, Comparisons) and part.weight.sum() == pytest.approx(30.0)
    assert (part.level == np.tile(given.level, 4)).all()
    for first, second, of in zip(part.first[30:], part.second[30:], np.tile(np.arange(30), 3), strict=True):
        a, b = seen.segments[first], seen.segments[second]
        assert len(a.valid) == len(b.valid) and 14 <= len(a.valid) <= 18
        for crop, whole in ((a, given.first[of]), (b, given.second[of])):
            rows = seen.segments[whole].observation
            starts = [t for t in range(len(rows)) if np.array_equal(rows[t : t + len(crop.valid)], crop.observation)]
            assert len(starts) == 1
    assert (seen.groups[seen.parts[0].first[30:60]] == seen.groups[given.first]).all()


def test_golden_a_weight_of_two_is_the_same_answer_twice():
    (part,) = EVIDENCE.parts
    both = np.tile(np.arange(30), 2)
    columns = {name: getattr(part, name)[both] for name in ("first", "second", "level", "annotator")}
    twice = replace(EVIDENCE, parts=(replace(part, **columns),), uniform=(EVIDENCE.uniform[0][both],))
    heavy = replace(EVIDENCE, parts=(replace(part, weight=np.full(30, 2.0)),))
    config = RewardConfig(kind="linear")
    rewards = [fit(each, config, discrete=False, terminates=False, seed=0) for each in (twice, heavy)]
    assert np.allclose(*(each.value(UNLABELLED) for each in rewards), rtol=1e-4, atol=1e-4)


def test_property_pseudo_labels_say_what_the_reward_is_sure_of():
    values = reward(EVIDENCE).value(UNLABELLED)
    for gate in (0.6, 0.8, 0.9):
        seen = with_pseudo(EVIDENCE, UNLABELLED, values, gate, np.random.default_rng(0))
        (_, part), start = seen.parts, len(EVIDENCE.segments)
        assert seen.annotators[-1] == PSEUDO and len(part.level) <= PAIRS * 30
        number = {id(segment): i for i, segment in enumerate(UNLABELLED)}
        first, second = (values[:, [number[id(seen.segments[s])] for s in side]] for side in (part.first, part.second))
        assert (part.first >= start).all() and ((1 / (1 + np.exp(second - first))).mean(0) >= gate).all()


def test_contract_the_report_is_about_what_people_answered():
    plain, more = reward(EVIDENCE).report, reward(EVIDENCE, crops=2, gate=0.7).report
    assert more.answers == plain.answers == 30
    assert [row.annotator for row in more.annotators] == [row.annotator for row in plain.annotators]
    assert [len(rows) for rows in more.heldout_scores] == [30]


def test_contract_pseudo_labels_beside_corrections_are_refused():
    (part,) = EVIDENCE.parts
    corrections = replace(EVIDENCE, parts=(replace(part, kind="correct", level=np.ones(30, int)),))
    with pytest.raises(InputError, match="set it to 0"):
        reward(corrections, gate=0.9)


def test_golden_a_segment_of_one_step_is_its_own_crop():
    row = np.zeros((1, 1), np.float32)
    single = [Steps(row, row, np.ones(1, bool), False) for _ in range(2)]
    part = Comparisons(np.array([0]), np.array([1]), np.array([1]), np.array([0]), 2)
    seen = cropped(Evidence(single, np.arange(2), ("a",), (part,), (np.ones(1, bool),)), 2, np.random.default_rng(0))
    assert [len(segment.valid) for segment in seen.segments] == [1] * 6
