"""Golden, property and invariance tests of measuring a reward on held-out uniform answers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.rewards.judge import Forecasts, Judgement, forecast, join, judge
from accord.types import (
    Approvals,
    Comparisons,
    Demonstrations,
    Evidence,
    EvidencePart,
    Rankings,
    Ratings,
    Reply,
)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def evidence(*parts: EvidencePart, uniform: list[list[bool]] | None = None, segments: int = 6) -> Evidence:
    flags = [[True] * len(part.annotator) for part in parts] if uniform is None else uniform
    return Evidence(
        [Reply("p", str(i)) for i in range(segments)],
        np.arange(segments),
        ("ann", "bob"),
        parts,
        tuple(np.array(each, bool) for each in flags),
    )


def compared(first: list[int], second: list[int], level: list[int], levels: int = 2, who: list[int] | None = None):
    people = [0] * len(first) if who is None else who
    return Comparisons(ints(*first), ints(*second), ints(*level), ints(*people), levels)


VALUES = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])


def test_golden_figures_by_hand():
    # Forecasts that the lower number wins: sigma(-1), sigma(-1), sigma(-2), sigma(-3); the last one but one is a miss.
    part = compared([0, 2, 1, 4], [1, 1, 3, 1], [0, 2, 2, 2], levels=3)
    tie = compared([0, 0], [5, 4], [3, 1], levels=7)
    found = judge(forecast(VALUES, evidence(part, tie)))
    assert (found.answers, found.ties) == (6, 1)
    p = [1 / (1 + math.exp(d)) for d in (1, 1, 2, 3, 4)]
    won = [0, 0, 1, 0, 0]
    assert found.accuracy == pytest.approx(0.8)
    assert found.brier == pytest.approx(np.mean([(a - b) ** 2 for a, b in zip(p, won, strict=True)]))
    likely = [a if b else 1 - a for a, b in zip(p, won, strict=True)]
    assert found.log_likelihood == pytest.approx(np.mean(np.log(likely)))
    assert found.ece == pytest.approx(abs(np.mean(p) - 0.2))  # five answers: one bin
    # Wilson by hand at .8 of 5.
    z2 = 1.959964**2
    centre, half = (0.8 + z2 / 10) / (1 + z2 / 5), math.sqrt(z2) / (1 + z2 / 5) * math.sqrt(0.16 / 5 + z2 / 100)
    assert (found.accuracy_low, found.accuracy_high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_golden_members_are_averaged_as_probabilities():
    found = forecast(np.array([[3.0, 0.0], [0.0, 1.0]]), evidence(compared([0], [1], [1]), segments=2))
    p = (1 / (1 + math.exp(-3)) + 1 / (1 + math.exp(1))) / 2
    assert found.logit[0] == pytest.approx(math.log(p / (1 - p)))


def test_golden_only_uniform_answers_measure():
    part = compared([0, 1], [1, 2], [1, 0])
    found = judge(forecast(VALUES, evidence(part, uniform=[[False, True]])))
    assert (found.answers, found.accuracy) == (1, 1.0)


def test_golden_a_constant_reward_scores_one_half():
    part = compared([0, 2, 3], [1, 1, 2], [1, 1, 0])
    found = judge(forecast(np.zeros((3, 6)), evidence(part)))
    assert found.accuracy == 0.5
    assert found.log_likelihood == pytest.approx(-math.log(2)) and found.brier == pytest.approx(0.25)


def test_golden_nothing_to_measure_is_not_measured():
    found = judge(forecast(VALUES, evidence()))
    assert found == Judgement(0, 0)
    assert (found.accuracy, found.ece, found.agreement, found.spearman) == (None, None, None, None)
    tied = judge(forecast(VALUES, evidence(compared([0], [1], [1], levels=3))))
    assert (tied.answers, tied.ties, tied.accuracy) == (1, 1, None)


def test_golden_every_kind_becomes_pairs():
    rank = Rankings(np.array([[3, 1, 2], [5, 4, -1]]), ints(0, 0))  # (3,1) (3,2) (1,2): two hits; (5,4): a hit
    rate = Ratings(ints(0, 1, 2, 3, 5), ints(0, 4, 2, 2, 1), ints(0, 0, 0, 0, 0), 5)  # (0,1) a hit, (2,3) tie, 5 alone
    approve = Approvals(ints(4, 0, 1, 5), np.array([True, True, False, True]), ints(0, 1, 0, 1))  # (4,1), (0,5) a tie
    shown = Demonstrations(ints(2), np.array([[5, 1, -1]]), np.zeros((1, 3)), ints(1))  # (2,5) a miss, (2,1) a hit
    each = [judge(forecast(VALUES, evidence(part))) for part in (rank, rate, approve, shown)]
    assert [(found.answers, found.ties, found.accuracy) for found in each] == [
        (4, 0, 0.75),
        (2, 1, 1.0),
        (2, 1, 1.0),
        (2, 0, 0.5),
    ]
    assert judge(forecast(VALUES, evidence(rank, rate, approve, shown))).answers == 10


def test_golden_pairs_of_one_question_count_once_in_the_interval():
    # Every question's three answers are equal: thirty answers are worth ten.
    question = [i // 3 for i in range(30)]
    level, who = [q % 2 for q in question], [i % 3 for i in range(30)]
    part = compared(question, [10 + q for q in question], level, who=who)
    values = np.arange(20.0)[None]
    found = judge(forecast(values, evidence(part, segments=20)))
    assert found.accuracy == 0.5
    z2 = 1.959964**2
    half = math.sqrt(z2) / (1 + z2 / 10) * math.sqrt(0.25 / 10 + z2 / 400)
    assert found.accuracy_high - found.accuracy_low == pytest.approx(2 * half, abs=1e-6)


def test_golden_agreement_of_annotators():
    # Three questions by both: agree (shown the other way round), disagree, both tie; a fourth by one alone.
    part = compared([0, 1, 2, 2, 4, 4, 0], [1, 0, 3, 3, 5, 5, 5], [2, 0, 2, 0, 1, 1, 2], 3, [0, 1, 0, 1, 0, 1, 0])
    found = judge(forecast(VALUES, evidence(part)))
    assert found.agreement == pytest.approx(2 / 3)
    # Coincidences: {1: 1, 0: 3, tie: 2} of 6 after putting the lower number first (D_o = 2/6, D_e = 22/30).
    counts = np.array([3, 1, 2])
    expected = 1 - (counts * (counts - 1)).sum() / 30
    assert found.alpha == pytest.approx(1 - (2 / 6) / expected)


def test_golden_unseen_members_forecast_alone():
    values = np.array([[9.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    unseen = np.array([[False, False, False], [True, False, False]])
    found = forecast(values, evidence(compared([0, 1], [1, 2], [1, 1]), segments=3), unseen)
    assert found.logit.tolist() == pytest.approx([-1.0])  # member 1 alone; nobody was kept from segments 1 and 2


def test_golden_rank_of_truth():
    truth = np.array([1.0, 2.0, 4.0, 3.0])
    found = judge(forecast(VALUES, evidence()), np.array([0.0, 1.0, 2.0, 3.0], np.float32), truth)
    assert found.spearman == pytest.approx(0.8)
    assert found.pearson == pytest.approx(np.corrcoef(truth, np.arange(4))[0, 1])
    assert found.scatter == ((1.0, 0.0), (2.0, 1.0), (4.0, 2.0), (3.0, 3.0))
    assert judge(forecast(VALUES, evidence()), np.zeros(4), truth).spearman is None


def test_golden_records_are_json_in_the_report_s_words():
    found = judge(forecast(VALUES, evidence(compared([0], [1], [0]))), np.zeros(2), np.ones(2))
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert {"accuracy", "accuracy_low", "accuracy_high", "ece", "agreement", "spearman"} <= record.keys()
    assert record["reliability"] == [{"p": pytest.approx(1 / (1 + math.e)), "observed": 0.0, "n": 1}]
    assert record["scatter"] == {"truth": [1.0, 1.0], "reward": [0.0, 0.0]}
    result = json.loads(json.dumps(found.result(), allow_nan=False))
    assert result["heldout_accuracy"] == 1.0 and len(result["ci95"]) == 2


@given(st.integers(0, 9999), st.sampled_from([2, 3, 7]))
def test_invariance_showing_the_sides_the_other_way_round_changes_nothing(seed: int, levels: int):
    rng = np.random.default_rng(seed)
    first, second = rng.permuted(np.tile(np.arange(6), (12, 1)), axis=1)[:, :2].T
    level, who, values = rng.integers(levels, size=12), rng.integers(2, size=12), rng.normal(size=(3, 6))
    there = Comparisons(first, second, level, who, levels)
    back = Comparisons(second, first, levels - 1 - level, who, levels)
    mine, other = (judge(forecast(values, evidence(part))).record() for part in (there, back))
    assert json.dumps(mine) == json.dumps(other)


def test_invariance_rounds_joined_equal_one_round_of_other_segments():
    rng = np.random.default_rng(0)
    rounds = []
    for _ in range(3):
        part = compared([0, 1, 2], [3, 4, 5], list(rng.integers(2, size=3)))
        rounds.append(forecast(rng.normal(size=(2, 6)), evidence(part)))
    joined = join(rounds)
    assert len(set(joined.question)) == len(set(joined.pair)) == 9
    assert joined.logit.tolist() == [z for each in rounds for z in each.logit]
    assert isinstance(join([]), Forecasts) and judge(join([])) == Judgement(0, 0)


def test_golden_a_true_forecast_is_calibrated_and_its_interval_covers():
    # Answers drawn from the forecasts themselves: ECE near its bias, and 95 % intervals that hold the true accuracy.
    inside, errors = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(1, 200)) * 1.5
        gap = values[0, :100] - values[0, 100:]
        level = (rng.random(100) < 1 / (1 + np.exp(-gap))).astype(int)
        part = compared(list(range(100)), list(range(100, 200)), list(level))
        found = judge(forecast(values, evidence(part, segments=200)))
        inside += found.accuracy_low <= np.mean(1 / (1 + np.exp(-np.abs(gap)))) <= found.accuracy_high
        errors.append(found.ece)
    assert inside >= 90
    assert np.mean(errors) < 0.13
