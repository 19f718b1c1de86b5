"""Golden, contract, invariance: one real trial of every way to learn, and what judges see."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accord import build, config
from accord.feedback.store import Store
from accord.feedback.teachers import Seen, TeacherConfig
from accord.tasks.control import ControlConfig, ControlTask
from accord.tuning import judge as judges
from accord.tuning.judge import by_truth, halves, likeliest, matched, rated, watched
from accord.tuning.trial import Job, run
from accord.types import InputError

TINY = {
    "task": {"id": "Pendulum-v1", "envs": 4, "horizon": 40, "truth": True},
    "feedback": {"labels": 12, "rounds": 2, "segment": 10, "teacher": {"flaw": "noisy"}},
    "reward": {"kind": "kernel", "members": 2},
    "policy": {"steps": 2000, "hidden": [8], "epochs": 2},
    "report": {"episodes": 4, "baselines": False, "clip": False},
    "tune": {"episodes": 4, "arms": ["ppo+kernel"]},
}


def settings(**sections: dict) -> config.RunConfig:
    return config.from_tree({name: {**own, **sections.get(name, {})} for name, own in TINY.items()})


def job(made: config.RunConfig, judge: judges.JudgeName, limit: float | None = None) -> Job:
    return Job(0, config.dump(made), judge, limit)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with 80 comparisons by a noisy teacher."""
    folder = tmp_path_factory.mktemp("answered") / "run"
    build.run(settings(feedback={"labels": 80, "rounds": 4, "teacher": {"flaw": "noisy", "beta": 0.5}}), folder)
    return f"sqlite:///{folder / 'store.db'}"


def test_invariance_a_trial_is_a_function_of_its_job():
    for made, judge in (
        (settings(tune={"signal": "truth"}), "truth"),
        (settings(), "teacher"),
    ):
        first, again = run(job(made, judge)), run(job(made, judge))
        assert first.state == "done", first.why
        assert (first.score, first.env_steps, first.labels) == (again.score, again.env_steps, again.labels)
        assert [(p.env_steps, p.score) for p in first.curve] == [(p.env_steps, p.score) for p in again.curve]
        other = run(job(replace(made, seed=1), judge))
        assert other.score != first.score


def test_golden_a_trial_counts_what_it_took():
    found = run(job(settings(), "teacher"))
    looked = len(found.curve) - 1
    assert found.labels == 12 + 4 + 2 * looked  # the loop's, the score's ratings, two ratings for each glance
    assert found.env_steps == found.curve[-1].env_steps + 40 * (4 + 2 * looked)  # whole episodes of 40 steps
    assert found.curve[-1].score == found.score and found.curve[-1].env_steps >= 2000
    assert 0 < found.curve[-1].cpu_seconds <= found.cpu_seconds


def test_golden_a_trial_that_has_used_up_its_seconds_is_scored_as_it_is():
    made = settings(tune={"signal": "truth"}, policy={"steps": 400_000})
    found = run(job(made, "truth", limit=0.3))
    assert found.state == "done" and found.score is not None
    assert 0 < found.curve[-1].env_steps < 200_000


def test_contract_whatever_goes_wrong_is_a_failure_with_its_reason():
    nan = settings(policy={"learning_rate": 1.0, "gradient_norm": 1e30, "clip": 10.0, "entropy": 10.0, "epochs": 50,
                           "target_kl": 1e30, "log_sd": -20.0}, tune={"signal": "truth"})  # fmt: skip
    found = run(job(nan, "truth"))
    assert (found.state, found.score) == ("failed", None) and "nan" in found.why.lower()
    short = run(job(settings(policy={"steps": 50}), "teacher"))
    assert short.state == "failed" and short.why.startswith("InputError: policy.steps is 50")


def test_contract_recorded_answers_are_split_into_disjoint_parts_by_episode(answered: str):
    for way in range(judges.WAYS):
        own, theirs = halves(answered, way)
        assert own.answers + theirs.answers == 80 and 12 <= theirs.answers <= 50
        mine = {segment.observation.tobytes() for segment in own.segments}
        pairs = {(s.observation.tobytes()) for s in theirs.segments}
        assert len(pairs - mine) > 0
    assert len(halves(answered, 0)[1].segments) != 0
    first, second = (halves(answered, way)[1] for way in range(2))
    assert {s.observation.tobytes() for s in first.segments} != {s.observation.tobytes() for s in second.segments}


def test_golden_seeds_take_turns_among_the_ways_of_splitting():
    seeds = judges.in_turn([0, 3, 7, 2**31 - 1, 99, 1_000, 12])
    assert [seed % judges.WAYS for seed in seeds] == [0, 1, 2, 3, 4, 0, 1]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_contract_recorded_answers_ask_nobody(answered: str):
    made = settings(feedback={"store": answered, "labels": 12})
    assert judges.name_of(made) == "reward"
    found = run(job(made, "reward"))
    assert found.state == "done", found.why
    assert found.labels == 0 and found.score is not None
    assert run(job(made, "reward")).score == found.score
    with pytest.raises(InputError, match=r'tune\.judge is "reward", and feedback\.store holds 0 answers'):
        judges.name_of(settings(tune={"judge": "reward"}))
    assert judges.name_of(settings()) == "teacher"


def test_golden_the_likeliest_teacher_is_the_one_that_answered():
    rng = np.random.default_rng(0)
    difference = rng.normal(size=6000) * 4.0
    beta, lapse = 0.7, 0.2
    right = rng.random(6000) < lapse / 2 + (1 - lapse) / (1 + np.exp(-beta * difference))
    found = likeliest(np.where(right, difference, -difference))
    assert found == pytest.approx((beta, lapse), rel=0.2)


def test_contract_a_teacher_is_matched_to_answers_whose_truth_is_known(answered: str):
    like = matched(answered)
    assert like is not None and like.beta is not None and 0.1 < like.beta < 5.0  # it was .5: 80 answers say little
    assert like.mistake is not None and like.mistake < 0.25


def test_golden_a_teacher_rates_with_its_flaws():
    seen = [Seen(float(i), float(i), 1, 1.0) for i in range(10)]
    assert rated(seen, TeacherConfig(), np.random.default_rng(0)) == pytest.approx(4.5)
    # a mistake is another episode's rating: the mean of many does not move far, whatever the share
    many = [rated(seen, TeacherConfig("mistaken", mistake=0.5), np.random.default_rng(s)) for s in range(300)]
    assert np.mean(many) == pytest.approx(4.5, abs=0.15) and np.std(many) > 0.2
    noisy = [rated(seen, TeacherConfig("noisy", beta=0.1), np.random.default_rng(s)) for s in range(300)]
    assert np.std(noisy) == pytest.approx(math.pi / math.sqrt(3) / 0.1 / math.sqrt(10), rel=0.15)


@pytest.mark.parametrize("id_", ["Pendulum-v1", "CartPole-v1"])
def test_golden_watched_episodes_are_those_that_the_truth_is_told_of(id_: str):
    task = ControlTask(ControlConfig(id=id_, envs=3))
    choice = np.zeros(5, np.int64) if task.spec.action.discrete else np.zeros((5, 1), np.float32)

    def act(observation: np.ndarray, started: object = None, seed: int | None = None) -> np.ndarray:
        return choice

    made = watched(task.sibling(5), act, 7)
    assert np.mean([truth.sum() for _, truth in made]) == pytest.approx(by_truth(task, act, 5, 7).score, rel=1e-5)
    assert all(segment.valid.all() and len(truth) == len(segment.valid) for segment, truth in made)
    assert all(segment.ended == task.spec.terminates for segment, _ in made)
    assert all(segment.action.shape[1] == task.spec.action.size for segment, _ in made)


def test_contract_a_trial_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(job(settings(), "teacher")).state == "done"
    assert list(tmp_path.iterdir()) == []
    assert Store("sqlite://").answers() == []
