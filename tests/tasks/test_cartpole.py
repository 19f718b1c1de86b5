"""Golden: CartPole of a fixed horizon, its two forms against each other and against CartPole-v1's physics."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from accord.tasks.cartpole import HORIZON, FixedCartPole, FixedCartPoleVector

ID = "accord/FixedCartPole-v0"


def inside(state: np.ndarray) -> np.ndarray:
    return (np.abs(state[0]) <= 2.4) & (np.abs(state[2]) <= 12 * np.pi / 180)


def test_golden_both_forms_take_the_same_step_from_the_same_state():
    rng = np.random.default_rng(0)
    many = FixedCartPoleVector(num_envs=3)
    many.reset(seed=1)
    one, plain = FixedCartPole(), CartPoleEnv()
    for env in (one, plain):
        env.reset(seed=0)
    outside = 0
    for _ in range(HORIZON - 1):
        before, action = many.state.copy(), rng.integers(2, size=3)
        observation, reward, terminated, truncated, _ = many.step(action)
        assert not (terminated | truncated).any()
        assert (reward == inside(many.state)).all()
        for i in range(3):
            one.state = plain.state = before[:, i]
            plain.steps_beyond_terminated = None
            row, worth, ended, cut, _ = one.step(int(action[i]))
            assert np.allclose(row, observation[i], rtol=1e-6) and worth == reward[i] and not ended and not cut
            reached, _, over, _, _ = plain.step(int(action[i]))
            assert np.array_equal(reached, row) and over == (not worth)
        outside += int((reward == 0).sum())
    assert outside > 0


def test_golden_the_vectorised_form_ends_together_and_hands_out_what_it_led_to():
    many = FixedCartPoleVector(num_envs=4)
    many.reset(seed=0)
    for episode in range(2):
        for step in range(HORIZON):
            observation, _, terminated, truncated, info = many.step(np.ones(4, int))
            assert not terminated.any() and (truncated == (step == HORIZON - 1)).all()
        assert np.abs(observation).max() <= 0.05, episode
        assert np.abs(info["final_obs"]).max() > 2.4
        assert len(np.unique(observation, axis=0)) == 4


def test_golden_one_copy_ends_at_the_time_limit_alone():
    env = gymnasium.make(ID)
    env.reset(seed=0)
    ends = [env.step(1)[2:4] for _ in range(HORIZON)]
    assert ends == [(False, False)] * (HORIZON - 1) + [(False, True)]


def test_golden_a_cart_that_returns_is_paid_again():
    """Outside the bounds nothing ends: the reward is a function of where the step led, not of what was before."""
    one = FixedCartPole()
    one.reset(seed=0)
    one.state = np.array([2.41, -3.0, 0.0, 0.0])
    rewards = [one.step(action)[1] for action in (0, 1, 0, 1)]
    assert rewards[0] == 1.0
    one.state = np.array([2.45, -0.5, 0.0, 0.0])
    rewards = [one.step(0)[1] for _ in range(6)]
    assert rewards[0] == 0.0 and rewards[-1] == 1.0
