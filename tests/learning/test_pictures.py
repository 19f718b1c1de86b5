"""Learning, contract: PPO learns from pictures what the true reward says, and other algorithms refuse them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from accord import build, config, records
from accord.policies.control.ppo import PPO, PPOConfig, resolved
from accord.rewards.fixed import TrueReward
from accord.tasks.collect import evaluate, random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, LearnedReward
from tests.tasks.environments import FRAMES, SQUARE

OTHERS = ("sac", "td3", *(("sb3:PPO", "sb3:SAC") if find_spec("stable_baselines3") else ()))


@pytest.mark.slow
@pytest.mark.parametrize("id", [SQUARE, FRAMES])
def test_learning_the_square_goes_to_the_middle(id: str):
    """A square in the middle pays 1 at each of 20 steps; one that is moved at random stays about half as near."""
    task = ControlTask(ControlConfig(id=id, envs=16))
    task.truth.start(0)
    policy = PPO(task, PPOConfig(steps=6_000, rollout=32, gamma=0.9), 0)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 6_000, 0)
    judged = task.sibling(50)
    random = evaluate(judged, random_actions(judged, np.random.default_rng(0)), 1).mean()
    assert random < 12 and evaluate(judged, policy.act, 1).mean() > 15


def test_golden_pictures_are_learned_from_more_slowly():
    numbers, pictures = (resolved(PPOConfig(), 16, each) for each in (False, True))
    assert (numbers.epochs, pictures.epochs) == (9, 4)
    assert pictures.learning_rate == pytest.approx(numbers.learning_rate / 8)


@pytest.mark.parametrize(
    ("id", "kind", "says"), [(SQUARE, "mlp", 'choose "cnn"'), ("CartPole-v1", "cnn", 'choose "kernel"')]
)
def test_contract_a_run_whose_reward_cannot_read_its_task_is_refused_before_a_step(
    id: str, kind: str, says: str, tmp_path: Path
):
    with pytest.raises(InputError, match=says):
        build.run(config.from_tree({"task": {"id": id}, "reward": {"kind": kind}}), tmp_path / "run")
    assert records.read_records(tmp_path / "run") == []


@pytest.mark.parametrize("algorithm", OTHERS)
def test_contract_other_algorithms_refuse_pictures_in_one_sentence(algorithm: str):
    settings = config.from_tree({"policy": {"algorithm": algorithm}})
    task = ControlTask(ControlConfig(id=SQUARE, envs=1))
    with pytest.raises(InputError, match='choose "ppo"') as refused:
        build.policy_of(task, settings, 0)
    assert algorithm in str(refused.value) and str(refused.value).endswith(".") and "\n" not in str(refused.value)


@pytest.mark.slow
def test_learning_a_whole_run_reaches_the_middle_from_sixty_comparisons(tmp_path: Path):
    """At a random place and at random it gets 8 to 10 of 20, with the true reward 17.5."""
    settings = config.from_tree(
        {
            "task": {"id": SQUARE, "envs": 16, "terminates": False},
            "feedback": {"labels": 60, "rounds": 3, "segment": 10},
            "reward": {"kind": "cnn", "members": 3},
            "policy": {"steps": 20_000, "rollout": 32, "gamma": 0.9},
            "report": {"episodes": 50, "baselines": False},
        }
    )
    result = build.run(settings, tmp_path / "run")
    assert result.labels == 60 and result.true_return.mean > 15
