"""Golden and learning: states far from those visited are worth more, and a policy that learns from that sees more."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch

from accord.policies.control.sac import SAC, SACConfig
from accord.rewards.entropy import StateEntropy, nearest
from accord.tasks.collect import random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import LearnedReward, StepBatch


def batch(states: torch.Tensor, valid: torch.Tensor | None = None) -> StepBatch:
    """Each state a sequence of one."""
    valid = torch.ones(len(states), 1, dtype=torch.bool) if valid is None else valid
    return StepBatch(states.unsqueeze(1), torch.zeros(len(states), 1, 1), valid)


def test_golden_the_fifth_neighbour_on_a_line():
    line = torch.arange(10.0).unsqueeze(1)
    assert nearest(line, line).tolist() == [5, 4, 3, 3, 3, 3, 3, 3, 4, 5]


def test_golden_a_state_far_away_is_worth_more_until_it_is_known():
    rng = torch.Generator().manual_seed(0)
    entropy = StateEntropy()
    entropy(batch(torch.randn(200, 2, generator=rng)))
    far = torch.full((1, 2), 6.0)
    worth = [float(entropy(batch(torch.cat([torch.randn(50, 2, generator=rng), far]))).mean[-1, 0]) for _ in range(12)]
    assert worth[0] > 5.0 and worth[-1] < 0.5


def test_golden_what_is_not_valid_is_worth_nothing_and_not_remembered():
    entropy, valid = StateEntropy(), torch.tensor([[True], [False], [True]])
    scored = entropy(batch(torch.tensor([[0.0], [1e6], [1.0]]), valid))
    assert scored.mean[1, 0] == 0.0 and len(entropy.known) == 2


class Plane(gymnasium.Env):
    """A point that starts in the middle of a square and is pushed by a tenth of the action."""

    observation_space = gymnasium.spaces.Box(-5.0, 5.0, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.zeros(2, np.float32)
        return self.at, {}

    def step(self, action):
        self.at = np.clip(self.at + 0.1 * action, -5.0, 5.0).astype(np.float32)
        return self.at, 0.0, False, False, {}


gymnasium.register("accord-tests/Plane-v0", Plane, max_episode_steps=100)


def test_learning_a_policy_that_learned_from_it_goes_where_random_actions_do_not():
    def farthest(task: ControlTask, act) -> float:
        observation, far = task.reset(1), []
        for _ in range(1_000):
            step = task.step(act(observation))
            observation = step.observation
            far.append(float(np.abs(step.final).max()))
        return float(np.mean(far))

    task = ControlTask(ControlConfig(id="accord-tests/Plane-v0", envs=1))
    policy = SAC(task, SACConfig(steps=3_000, hidden=(64, 64), batch=64, warmup=500, learning_rate=1e-3), 0)
    policy.improve(LearnedReward(StateEntropy()), 3_000, 0)
    learned = farthest(task, policy.act)
    assert learned > 3.0 * farthest(task, random_actions(task, np.random.default_rng(0)))
