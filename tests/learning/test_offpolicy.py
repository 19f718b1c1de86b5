"""Learning: SAC and TD3 beat a random policy on tiny tasks within seconds, and relearn when the reward changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.td3 import TD3, TD3Config
from accord.rewards.fixed import TrueReward
from accord.tasks.collect import evaluate, random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import LearnedReward, Scored, StepBatch
from tests.tasks.environments import FOLLOW, IDENTITY, LEAVE

SMALL = SACConfig(hidden=(32,), batch=64, warmup=100, learning_rate=3e-3, gamma=0.9)
SMALL_TD3 = TD3Config(hidden=(32,), batch=64, warmup=100, learning_rate=3e-3, gamma=0.9)


def task_of(id: str) -> ControlTask:
    task = ControlTask(ControlConfig(id=id, envs=4))
    task.truth.start(0)
    return task


def returns(policy: SAC | TD3, task: ControlTask) -> tuple[float, float]:
    """Of the policy, and of a random one."""
    judged = task.sibling(50)
    random = evaluate(judged, random_actions(judged, np.random.default_rng(0)), 1)
    return float(evaluate(judged, policy.act, 1).mean()), float(random.mean())


@pytest.mark.parametrize("name", ["sac", "td3"])
def test_learning_a_number(name: str):
    task = task_of(FOLLOW)
    policy = SAC(task, SMALL, 0) if name == "sac" else TD3(task, SMALL_TD3, 0)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 1_500, 0)
    learned, random = returns(policy, task)
    assert random < -50 and learned > random / 10


def test_learning_a_choice():
    task = task_of(IDENTITY)
    policy = SAC(task, SMALL, 0)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 1_500, 0)
    learned, random = returns(policy, task)
    assert random < 6 and learned > 9  # of 10


class Shifted:
    """Every step is worth the same."""

    version = 1

    def __init__(self, worth: float) -> None:
        self.worth = worth

    def __call__(self, batch: StepBatch) -> Scored:
        return Scored(self.worth * batch.valid.float(), torch.zeros(batch.valid.shape))


@pytest.mark.parametrize(("worth", "action"), [(1.0, 0), (-1.0, 1)])
def test_learning_after_the_end_all_is_worth_nothing(worth: float, action: int):
    """Where episodes can end, a constant is a choice: +1 a step says stay, -1 says leave; the absorbing state is 0."""
    policy = SAC(task_of(LEAVE), replace(SMALL, target_entropy=0.1), 0)
    policy.improve(LearnedReward(Shifted(worth)), 1_500, 0)
    assert policy.act(np.zeros((1, 2), np.float32)).tolist() == [action]


class Likes(Shifted):
    """Pays for one of two actions."""

    def __init__(self, choice: int, version: int) -> None:
        self.choice, self.version = choice, version

    def __call__(self, batch: StepBatch) -> Scored:
        return Scored(batch.action[..., self.choice], torch.zeros(batch.valid.shape))


@pytest.mark.parametrize("refit", ["keep", "reset"])
def test_learning_a_new_reward_judges_all_that_was_ever_done(refit: str):
    """After the second fit so few steps are taken that it can be learned from the old ones alone."""
    task = task_of(IDENTITY)
    policy = SAC(task, replace(SMALL, refit=refit), 0)
    for choice, budget in ((0, 1_000), (1, 600)):
        policy.improve(LearnedReward(Likes(choice, choice + 1)), budget, choice)
        assert np.bincount(policy.act(task.reset(0)), minlength=2)[choice] == 4
