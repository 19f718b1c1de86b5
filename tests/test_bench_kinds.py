"""`bench.kinds`. Golden: the figures from hand-made results. Contract: truth, lapses and answers are what they are
said to be. Learning: told a reward's own functions, a fit finds it from a tenth of the answers.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accord.rewards.fit import RewardConfig, fit
from accord.types import Comparisons, Rankings
from bench import kinds, known_rewards
from bench.harness import Bench, Journal, Options, Result, Worker
from bench.known_rewards import ASKING, EPS, ONE_SIDED, SPREAD, TIME, Known


def result(spearman: float, hits: tuple[bool, ...] = (True,), **more: object) -> Result:
    return {"mean": spearman, "own_functions": 1.0, "kernel": 0.5, "linear": 0.7, "covered": list(hits), **more}


def test_golden_the_mixture_is_held_against_the_best_kind_and_against_its_own_best_part() -> None:
    alone = {name: [result(0.9), result(0.9)] for name in ASKING}
    alone["rank"] = [result(0.94), result(0.98)]
    parts = dict.fromkeys(ASKING, 0.5) | {"rate": 0.8}
    mixed = [result(0.95, (False, True), parts=parts), result(0.93, (True, True), parts=parts)]
    found = kinds.summary({**alone, "mixture": mixed}, [result(0.9), result(0.92)])
    assert found["best"] == "rank" and found["best_part"] == "rate"
    assert found["spearman"]["rank"] == pytest.approx(0.96)  # type: ignore[index]
    assert found["mixture_minus_best"]["mean"] == pytest.approx(-0.02)  # type: ignore[index]
    assert found["mixture_minus_best"]["worst"] == pytest.approx(-0.05)  # type: ignore[index]
    assert found["mixture_minus_part"]["mean"] == pytest.approx(0.14)  # type: ignore[index]
    assert found["coverage"] == pytest.approx(19 / 20) and found["intervals"] == 20
    assert found["text_spearman"] == pytest.approx(0.91)


def test_contract_truth_is_scaled_and_the_first_segments_do_not_change_with_the_seed_alone() -> None:
    known = known_rewards.control(200, 5)
    assert known.returns.std() == pytest.approx(SPREAD, rel=1e-6)
    assert len(known.truth[0]) == TIME
    again, other = known_rewards.control(200, 5), known_rewards.control(200, 6)
    np.testing.assert_array_equal(known.returns, again.returns)
    assert not np.allclose(known.returns, other.returns)


def test_contract_the_true_reward_is_linear_in_its_own_functions() -> None:
    known = known_rewards.control(50, 0)
    rows = np.concatenate([segment.observation for segment in known.plain])
    truth = np.concatenate(known.truth)
    left = truth - rows @ np.linalg.lstsq(rows, truth, rcond=None)[0]
    assert np.abs(left).max() < 1e-4


@pytest.mark.parametrize("name", ASKING)
def test_contract_every_kind_has_as_many_answers_as_asked_for_shared_by_all_annotators(name: str) -> None:
    evidence = known_rewards.ask(known_rewards.control(60, 0), [ASKING[name]], 40, 0)
    (part,) = evidence.parts
    np.testing.assert_array_equal(np.bincount(part.annotator), [10] * len(EPS))


def test_contract_lapses_are_as_frequent_as_said() -> None:
    known = known_rewards.control(100, 0)
    # Far apart, an attending annotator is always right: what is wrong is half of the lapses.
    clear = Known(known.segments, [rows * 1000 for rows in known.truth], known.plain)
    evidence = known_rewards.ask(clear, [ASKING["compare"]], 4000, 0)
    (part,) = evidence.parts
    assert isinstance(part, Comparisons)
    row = {id(segment): i for i, segment in enumerate(clear.segments)}
    value = clear.returns[[row[id(segment)] for segment in evidence.segments]]
    wrong = (value[part.first] > value[part.second]) != (part.level == 1)
    for place, eps in enumerate(EPS):
        assert wrong[part.annotator == place].mean() == pytest.approx(eps / 2, abs=0.04)
    # The one-sided annotator errs towards what was shown first, and never away from it.
    sided = part.annotator == ONE_SIDED
    assert (part.level[sided & wrong] == 1).all()


def test_contract_lapses_at_corrections_are_as_frequent_as_said() -> None:
    known = known_rewards.control(100, 0)
    clear = Known(known.segments, [rows * 1000 for rows in known.truth], known.plain)
    evidence = known_rewards.ask(clear, [ASKING["correct"]], 4000, 0)
    (part,) = evidence.parts
    assert isinstance(part, Comparisons)
    row = {id(segment): i for i, segment in enumerate(clear.segments)}
    value = clear.returns[[row[id(segment)] for segment in evidence.segments]]
    worse = value[part.first] < value[part.second]  # half of what is given at random
    for place in range(len(EPS)):
        lapses = 1.0 - known_rewards.skill(place, "correct")
        assert worse[part.annotator == place].mean() == pytest.approx(lapses / 2, abs=0.04)


def test_contract_evidence_taken_apart_names_its_parts() -> None:
    evidence = known_rewards.ask(known_rewards.control(60, 0), list(ASKING.values()), 160, 0)
    parts = known_rewards.alone(evidence)
    assert set(parts) == set(ASKING)
    assert all(one.answers == 20 for one in parts.values())
    assert isinstance(parts["rank"].parts[0], Rankings)
    strength, correct = parts["compare_strength"].parts[0], parts["correct"].parts[0]
    assert isinstance(strength, Comparisons) and strength.levels == 7
    assert isinstance(correct, Comparisons) and correct.kind == "correct"


def test_contract_an_encoder_counts_every_word() -> None:
    known = known_rewards.replies(30, 0)
    rows = known_rewards.word_counts(known.segments)
    np.testing.assert_array_equal(rows.sum(1), known_rewards.LENGTH)
    worth = np.linalg.lstsq(rows, known.returns, rcond=None)[0]
    assert np.corrcoef(rows @ worth, known.returns)[0, 1] > 0.9


def test_learning_told_its_own_functions_a_reward_is_found_from_fifty_ranks() -> None:
    pool, fresh = kinds.parted(known_rewards.control(kinds.POOL + 100, 3))
    evidence = known_rewards.in_own_functions(known_rewards.ask(pool, [ASKING["rank"]], 50, 3), pool)
    reward = fit(evidence, RewardConfig(kind="linear"), discrete=False, terminates=False, seed=0)
    assert kinds.correlation(reward, fresh.plain, fresh.returns) > 0.9  # a random reward: 0


def test_contract_demonstrations_that_are_not_there_are_skipped_with_a_sentence(tmp_path: Path) -> None:
    bench = Bench("kinds", Options(seeds=1), Journal(tmp_path / "journal.jsonl"))
    found = kinds.demonstrated(bench, Worker("accord", ("false",), "1"), tmp_path)
    assert set(found) == set(kinds.TASKS)
    assert all(str(said).startswith("skipped: ") for said in found.values())


def test_contract_the_default_reward_is_what_is_measured() -> None:
    assert kinds.REWARD == RewardConfig()
    assert replace(kinds.RELIABLE, kind="mlp", intervals="laplace") == RewardConfig()
