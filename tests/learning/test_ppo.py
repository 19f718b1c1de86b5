"""Learning: PPO beats a random policy on tiny tasks within seconds, and learns what its signal says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from accord.policies.control.ppo import PPO, PPOConfig
from accord.rewards.fixed import Constant, TrueReward
from accord.tasks.collect import evaluate, random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import LearnedReward, Reward, Scored, Shaping, StepBatch
from tests.tasks.environments import FOLLOW, IDENTITY, LEAVE

SMALL = PPOConfig(steps=8_000, hidden=(16,), rollout=32, minibatch=128, epochs=4, learning_rate=5e-3, gamma=0.9)


def made(id: str, config: PPOConfig = SMALL, envs: int = 16) -> tuple[PPO, ControlTask]:
    task = ControlTask(ControlConfig(id=id, envs=envs))
    task.truth.start(0)
    return PPO(task, config, 0), task


def returns(policy: PPO, task: ControlTask) -> tuple[float, float]:
    """Of the policy, and of a random one."""
    judged = task.sibling(50)
    random = evaluate(judged, random_actions(judged, np.random.default_rng(0)), 1)
    return float(evaluate(judged, policy.act, 1).mean()), float(random.mean())


@pytest.mark.slow
def test_learning_cartpole():
    """CartPole-v1 pays 1 a step to 500; a random policy gets about 22."""
    policy, task = made("CartPole-v1", PPOConfig(steps=40_000), envs=256)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 40_000, 0)
    learned, random = returns(policy, task)
    assert random < 40 and learned > 250


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_learning_a_choice_whatever_the_reward_is_measured_in(factor: float):
    policy, task = made(IDENTITY)

    class Scaled(TrueReward):
        def __call__(self, batch: StepBatch) -> Scored:
            scored = super().__call__(batch)
            return Scored(factor * scored.mean, scored.spread)

    policy.improve(LearnedReward(Scaled(task.truth.at)), 8_000, 0)
    learned, random = returns(policy, task)
    assert random < 6 and learned > 9  # of 10


def test_learning_a_number():
    policy, task = made(FOLLOW)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 8_000, 0)
    learned, random = returns(policy, task)
    assert random < -50 and learned > random / 10


class Shifted:
    """The same on every step."""

    version = 1

    def __init__(self, worth: float) -> None:
        self.worth = worth

    def __call__(self, batch: StepBatch) -> Scored:
        return Scored(self.worth * batch.valid.float(), torch.zeros(batch.valid.shape))


@pytest.mark.parametrize(("worth", "action"), [(1.0, 0), (-1.0, 1)])
def test_learning_after_the_end_all_is_worth_nothing(worth: float, action: int):
    """Where episodes can end, a constant is a choice: +1 a step says stay, -1 says leave; the absorbing state is 0."""
    policy, _ = made(LEAVE)
    policy.improve(LearnedReward(Shifted(worth)), 8_000, 0)
    assert policy.act(np.zeros((1, 2), np.float32)).tolist() == [action]


@pytest.mark.parametrize("worth", [1.0, -1.0])
def test_learning_where_only_a_time_limit_ends_a_constant_teaches_nothing_and_is_worth_a_perpetuity(worth: float):
    """The limit of 10 steps is bootstrapped: the value is worth / (1 - gamma), not that of the steps that are left."""
    policy, task = made(IDENTITY)
    policy.improve(LearnedReward(Shifted(worth)), 8_000, 0)
    seen = torch.from_numpy(task.reset(1))
    value = policy.net.critic((seen - policy.scale.mean) * policy.scale.variance.rsqrt())
    value = value * policy.returns.variance.sqrt() + policy.returns.mean
    assert value.mean().item() == pytest.approx(worth / (1 - 0.9), rel=0.1)  # of 1 to 10 steps left it would be 4.1


class Pair:
    """Pays each of two actions its own amount, with its own uncertainty."""

    version = 1

    def __init__(self, mean: tuple[float, float], spread: tuple[float, float]) -> None:
        self.mean, self.spread = torch.tensor(mean), torch.tensor(spread)

    def __call__(self, batch: StepBatch) -> Scored:
        return Scored(batch.action.float() @ self.mean, batch.action.float() @ self.spread)


@pytest.mark.parametrize(
    ("shaping", "costs", "action"),
    [
        (Shaping(), (), 1),
        (Shaping(pessimism=1.0), (), 0),  # 1 - 0 against 2 - 3
        (Shaping(cost_multipliers=(0.5,)), (Pair((0.0, 4.0), (0.0, 0.0)),), 0),  # 1 against 2 - 0.5 * 4
        (Shaping(cost_multipliers=(0.1,)), (Pair((0.0, 4.0), (0.0, 0.0)),), 1),  # 1 against 2 - 0.1 * 4
    ],
)
def test_learning_pessimism_and_costs_are_taken_off(shaping: Shaping, costs: tuple[Reward, ...], action: int):
    policy, task = made(IDENTITY)
    policy.improve(LearnedReward(Pair((1.0, 2.0), (0.0, 3.0)), costs, shaping), 4_000, 0)
    assert np.bincount(policy.act(task.reset(0)), minlength=2)[action] == 16


def test_learning_goes_on_when_a_new_reward_says_the_opposite():
    policy, task = made(IDENTITY)
    first, second = Pair((1.0, 0.0), (0.0, 0.0)), Pair((0.0, 100.0), (0.0, 0.0))
    second.version = 2
    for reward, budget, action in ((first, 1_000, 0), (second, 4_000, 1)):
        policy.improve(LearnedReward(reward), budget, reward.version)
        assert np.bincount(policy.act(task.reset(0)), minlength=2)[action] == 16


def test_learning_nothing_from_a_constant_on_a_task_that_never_ends():
    """The baseline stays a baseline: what stands beside every result learned no preference from its reward."""
    policy, task = made(IDENTITY)
    policy.improve(LearnedReward(Constant()), 8_000, 0)
    learned, random = returns(policy, task)
    assert abs(learned - random) < 3
