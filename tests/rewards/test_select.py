"""The choice of a reward: what is raced, what is taken of what cannot be told apart; workers change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.progress import Silent
from accord.rewards.candidates import Candidate, beats, grid, panel, parameters, spread_over, standing
from accord.rewards.crossval import Reading, Told
from accord.rewards.finalists import examine, finalists
from accord.rewards.fit import RewardConfig
from accord.rewards.halving import raced, survivors
from accord.rewards.jobs import Done, Fold, Job, Look, Material, working
from accord.rewards.judge import Forecasts
from accord.rewards.select import corrected, pick, select
from accord.types import InputError
from tests.rewards.choice import compared

SMALL = RewardConfig(kind="mlp", width=8, depth=1, members=3, epochs=2, precision="float32")
FEW = [
    Candidate(SMALL),
    Candidate(replace(SMALL, kind="linear")),
    Candidate(replace(SMALL, kind="kernel", weighed=False)),
    Candidate(replace(SMALL, kind="kernel", weighed=False, members=5)),
]
HERE = {"": Reading()}
NOTHING = Forecasts(*(np.zeros(0, kind) for kind in (float, float, int, int, int)))


def scored(**means: float) -> dict[Candidate, np.ndarray]:
    """Candidates by kind with scores of this mean; all share one noise, so that differences are nearly exact."""
    noise = np.random.default_rng(0).normal(size=100)
    own = np.random.default_rng(1).normal(size=(len(means), 100))
    kinds = {"linear": FEW[1], "kernel": FEW[2], "mlp": FEW[0]}
    return {
        kinds[name]: mean + noise + 0.01 * (e - e.mean()) for (name, mean), e in zip(means.items(), own, strict=True)
    }


ALONE = np.arange(100)[:, None]
ORDER = {one.work: standing(one.work, (3, 1), None) for one in FEW}


# ------------------------------------------------------------------------------------------------- candidates


def test_golden_the_grid_is_two_hundred_and_more_with_far_fewer_fits():
    found = grid(RewardConfig(), annotators=1)
    assert len(found) == len(set(found)) >= 200
    assert found[0].config == RewardConfig()
    works = spread_over(found)
    assert len(works) < len(found) / 2.5
    assert sum(len(counts) for counts in works.values()) == len(found)
    assert {one.config.annotators for one in found} == {"each"}
    assert {one.config.annotators for one in grid(RewardConfig(), annotators=2)} == {"each", "pooled"}


def test_golden_pictures_texts_and_own_modules_have_their_own_grids():
    assert {one.config.kind for one in grid(RewardConfig(kind="cnn"), 1, (1, 8, 8))} == {"cnn"}
    text = grid(RewardConfig(kind="linear"), 1, texts=("length", "tfidf"))
    assert {one.text for one in text} == {"length", "tfidf"}
    assert {one.config.inputs for one in text} == {"state_action"} and not any(one.config.weighed for one in text)
    own = grid(RewardConfig(kind="module:torch.nn.Linear"), 1)
    assert {one.config.decay for one in own if one.config.kind.startswith("module:")} == {0.1, 1.0, 10.0}


def test_golden_names_say_what_differs():
    config = RewardConfig(kind="mlp", decay=10.0, inputs="state", lapses=False, members=1)
    assert Candidate(config).name == "mlp 64x2, decay 10, state, no lapses, 1 member"
    assert Candidate(RewardConfig(kind="kernel", weighed=True), "length").name == "weighed kernel, length, 5 members"


def test_golden_what_is_solved_is_simpler_than_what_climbs_and_lines_than_waves():
    assert parameters(FEW[1].work, (3, 1), None) == 5
    assert parameters(Candidate(replace(SMALL, inputs="state")), (3, 1), None) == 3 * 8 + 8 + 8 + 1
    ranked = sorted(ORDER, key=lambda one: ORDER[one])
    assert [one.kind for one in ranked] == ["linear", "kernel", "mlp"]


def test_golden_a_panel_begins_with_what_was_configured():
    found = panel(SMALL)
    assert found[0].config == SMALL and len(found) == 5
    assert {one.config.members for one in found} == {3}
    kernel = panel(replace(SMALL, kind="kernel", weighed=True))
    assert {one.config.kind for one in kernel} == {"kernel", "linear"} and len(kernel) == 3
    assert len(panel(replace(SMALL, kind="cnn"), (1, 8, 8))) == 1


# -------------------------------------------------------------------------------------------------- the choice


def test_golden_of_what_cannot_be_told_apart_the_largest_net_is_taken_else_the_likeliest():
    chosen, best, tied = pick(scored(linear=-0.5, kernel=-0.4, mlp=-0.4), ALONE, ORDER)
    assert (chosen.kind, tied) == ("mlp", 2)
    chosen, best, tied = pick(scored(linear=-0.5, kernel=-0.4, mlp=-0.45), ALONE, ORDER)
    assert (chosen.kind, best.kind, tied) == ("kernel", "kernel", 1)
    noise = np.random.default_rng(2).normal(size=100)
    chosen, best, tied = pick({FEW[1]: noise - 0.001, FEW[2]: np.roll(noise, 1)}, ALONE, ORDER)
    assert (chosen.kind, tied) == ("kernel", 2)


def test_golden_a_net_stands_by_its_weights_on_steps_alone():
    narrow, wide = (Candidate(replace(SMALL, width=width)) for width in (8, 16))
    weights = parameters(wide, (3, 1), None)
    assert standing(wide, (3, 1), None) == (False, weights) > standing(narrow, (3, 1), None) > (False, 0)
    assert standing(FEW[1], (3, 1), None) == standing(replace(wide, text="minilm"), (3, 1), None) == (False, 0)


def test_golden_what_reads_observations_alone_is_taken_before_what_reads_actions_too():
    """Whatever the number of parameters, and of a larger net too."""
    both = replace(FEW[2], config=replace(FEW[2].config, weighed=False))
    alone = replace(both, config=replace(both.config, inputs="state", weighed=True))
    order = {one.work: standing(one.work, (30, 1), None) for one in (both, alone, FEW[0])}
    rows = scored(linear=-0.4)[FEW[1]]
    assert pick({both: rows, alone: rows, FEW[0]: rows}, ALONE, order)[0] == alone


def test_golden_one_member_is_never_taken_where_there_are_three():
    lone, three = (replace(FEW[1], config=replace(FEW[1].config, members=count)) for count in (1, 3))
    found = scored(linear=-0.4)[FEW[1]]
    assert pick({lone: found, three: found - 0.1}, ALONE, ORDER)[0] == three
    assert pick({lone: found}, ALONE, ORDER)[0] == lone


def test_property_a_choice_among_equals_is_scored_lower_by_what_it_was_not_chosen_by():
    """Twelve candidates of one true score and independent luck: the best of them shows what none of them has."""
    rng, apparent, confirmed = np.random.default_rng(0), [], []
    many = [Candidate(replace(SMALL, width=width)) for width in range(4, 16)]
    order = {one.work: standing(one.work, (3, 1), None) for one in many}
    for seed in range(8):
        scores = {one: rng.normal(size=60) for one in many}
        best = max(float(rows.mean()) for rows in scores.values())
        middle, low, high = corrected(scores, np.arange(60)[:, None], order, np.random.default_rng(seed))
        assert low <= middle <= high
        apparent.append(best)
        confirmed.append(middle)
    assert np.mean(apparent) > 0.15
    assert abs(np.mean(confirmed)) < 0.1


@given(difference=st.floats(-1, 1), error=st.floats(0.01, 1))
def test_property_only_a_difference_of_known_error_beats(difference: float, error: float):
    assert beats(difference, error, 2.0) == (difference > 2.0 * error)
    assert not beats(difference, np.inf, 2.0)


# ---------------------------------------------------------------------------------------------------- the race


def test_golden_the_best_of_each_kind_survives_unless_it_is_hopeless():
    near = scored(linear=-0.43, kernel=-0.40, mlp=-0.4005)
    assert {one.kind for one in survivors(near, ALONE, 8, [])} == {"kernel", "mlp"}  # errors are about .0014
    assert FEW[1] in survivors(near, ALONE, 8, [FEW[1]])
    assert len(survivors(scored(linear=-0.4, kernel=-0.4, mlp=-0.4), ALONE, 2, [])) == 2


def test_invariance_a_race_fits_each_work_once_a_fold_and_only_what_may_still_win():
    """With made-up scores: the linear one is far behind, the two sizes of the kernel share their fits."""
    asked: list[Job] = []
    level = {"linear": -0.9, "kernel": -0.4, "mlp": -0.401}
    noise = np.random.default_rng(0).normal(size=100)

    def run(jobs: Sequence[Job]) -> list[Done]:
        asked.extend(jobs)
        found = []
        for job in jobs:
            kind = (job.candidate if isinstance(job, Look) else job.work).kind
            score = level[kind] + noise + 0.01 * np.random.default_rng(len(kind)).normal(size=100)
            told = tuple(Told(score, NOTHING, 1.0) for _ in (job.members if isinstance(job, Fold) else ()))
            found.append(Done(score, told, 1.0))
        return found

    race = raced(FEW, 5, ALONE, run, (), Silent())
    folds = [job for job in asked if isinstance(job, Fold)]
    assert {job.work.kind for job in folds} == {"kernel", "mlp"}
    assert len(folds) == len(set(folds)) == 10
    assert race.left == {FEW[1].work: "glance"}
    assert {one.config.members for one in race.told if one.kind == "kernel"} == {3, 5}
    level["mlp"] = -0.9
    hopeless = raced(FEW, 5, ALONE, run, FEW[:1], Silent())
    assert FEW[0] in hopeless.told and FEW[0].work not in hopeless.left  # what is kept is told of in full


# ------------------------------------------------------------------------------------------------- altogether


def test_learning_bent_rewards_are_told_from_straight_ones_by_few_answers():
    bent = select(compared(160, curved=True), FEW, HERE, seed=0)
    assert bent.chosen.kind == "kernel" and bent.chosen.config.members in (3, 5)
    assert bent.apparent > -0.6 and bent.confirmed[1] <= bent.confirmed[0] <= bent.confirmed[2]
    straight = select(compared(160, seed=4), FEW[1:3], HERE, seed=0)
    assert straight.chosen.kind == "linear"
    row = straight.rows[0]
    assert row.accuracy_ci is not None and row.accuracy is not None
    assert row.accuracy_ci[0] < row.accuracy < row.accuracy_ci[1]
    assert "cannot tell" in straight.why() or straight.best.kind == "linear"
    assert straight.record()["chosen"] == straight.chosen.name


@pytest.mark.slow
def test_invariance_two_workers_choose_what_one_does():
    evidence = compared(80)
    one, two = (select(evidence, FEW, HERE, seed=3, workers=workers) for workers in (1, 2))
    assert one.chosen == two.chosen and one.confirmed == two.confirmed
    assert [replace(row, seconds=0.0) for row in one.rows] == [replace(row, seconds=0.0) for row in two.rows]
    for candidate, told in one.told.items():
        for first, second in zip(told, two.told[candidate], strict=True):
            assert np.array_equal(first.score, second.score, equal_nan=True)


def test_contract_a_candidate_that_is_not_finite_leaves_and_the_choice_goes_on(monkeypatch: pytest.MonkeyPatch):
    wild = Candidate(replace(SMALL, rate=1e30))
    found = select(compared(80), [FEW[1], wild], HERE, seed=0)
    assert found.chosen == FEW[1]
    assert [row.left for row in found.rows if row.name == wild.name] == ["failed"]
    with pytest.raises(InputError, match="every candidate failed"):
        select(compared(80), [wild], HERE, seed=0)


def test_contract_few_answers_are_told_before_anything_is_fitted():
    with pytest.raises(InputError, match="folds of whole ones are wanted"):
        select(compared(60, groups=2), FEW, HERE, seed=0)


def test_golden_a_closer_look_finds_what_values_go_with():
    evidence = compared(160, annotators=2)
    found = select(evidence, FEW[1:3], HERE, seed=0)
    order = (np.arange(160),)
    looked = examine(found, evidence, HERE, order, evidence.segments[:12], seed=0)
    assert [one.name for one in looked] == [one.name for one in finalists(found)]
    assert looked[0].length is None and looked[0].action is not None  # all segments have eight steps
    assert looked[0].spread is not None and 0.3 < looked[0].spread < 3.0
    if len(looked) > 1:
        assert looked[0].by_annotator == looked[0].by_time == 0.0 and looked[1].by_time_error is not None


def test_invariance_material_without_empty_parts_is_what_jobs_read():
    evidence = compared(60)
    part = evidence.parts[0]
    none = replace(
        part, first=part.first[:0], second=part.second[:0], level=part.level[:0], annotator=part.annotator[:0]
    )
    both = replace(evidence, parts=(none, part), uniform=(np.zeros(0, bool), evidence.uniform[0]))
    held = [np.zeros((5, 0), bool), np.zeros((5, 60), bool)]
    held[1][:, :12] = True
    with working(Material(both, HERE, held, 0), 1) as run, working(Material(evidence, HERE, held[1:], 0), 1) as plain:
        jobs = [Look(FEW[1]), Fold(FEW[1].work, (3,), 0)]
        for one, other in zip(run(jobs), plain(jobs), strict=True):
            assert np.array_equal(one.score, other.score, equal_nan=True)
