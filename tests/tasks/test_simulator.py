"""States of simulators. Contract: from a state a copy goes on exactly as the one it was taken from."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask, make
from accord.tasks.simulator import put, state_of
from tests.tasks.environments import LADDER

CLASSIC = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0",
           "accord/FixedCartPole-v0")  # fmt: skip


def goes_on(id: str) -> None:
    one, other = (make(ControlConfig(id=id)) for _ in range(2))
    one.reset(seed=1)
    other.reset(seed=2)
    one.action_space.seed(0)
    discrete = isinstance(one.action_space, gymnasium.spaces.Discrete)
    drawn = (lambda: int(one.action_space.sample())) if discrete else one.action_space.sample
    for _ in range(4):
        one.step(drawn())
    state = state_of(one)
    assert state is not None
    put(other, state)
    for _ in range(50):  # a segment's worth; a robot's contacts are chaotic
        action = drawn()
        (seen, _, ended, _, _), again = one.step(action), other.step(action)
        assert np.allclose(seen, again[0], atol=1e-5)
        if ended:
            break


@pytest.mark.parametrize("id", CLASSIC)
def test_contract_a_classic_environment_goes_on_from_its_state(id: str):
    goes_on(id)


@pytest.mark.parametrize("id", ["HalfCheetah-v5", "Hopper-v5", "Reacher-v5", "Walker2d-v5"])
def test_contract_a_robot_goes_on_from_its_state(id: str):
    pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install 'accord[mujoco]'")
    goes_on(id)


def test_golden_of_an_unknown_environment_there_is_no_state():
    assert state_of(gymnasium.make(LADDER)) is None


@pytest.mark.parametrize("id", ["accord/FixedCartPole-v0", "Pendulum-v1"])
def test_golden_a_filmed_segment_begins_where_its_state_says(id: str):
    """In a vector environment and in a loop: the state's steps give the segment's observations again."""
    task = ControlTask(ControlConfig(id=id, envs=3), filmed=True)
    explore(task, 40, 0)
    env = make(ControlConfig(id=id))
    for made in collect(task, 5, 10, np.random.default_rng(0), round=0, policy_version=0, seed=0):
        env.reset(seed=0)
        put(env, np.frombuffer(made.provenance.replay, np.float64))
        for seen, action in zip(made.segment.observation[1:], made.segment.action, strict=False):
            found = env.step(int(action.argmax()) if task.spec.action.discrete else action)[0]
            assert np.allclose(np.clip(found, task.spec.low, task.spec.high), seen, atol=1e-5)


def test_golden_what_is_not_filmed_keeps_no_state():
    task = ControlTask(ControlConfig(id="Pendulum-v1", envs=3))
    explore(task, 20, 0)
    (made,) = collect(task, 1, 10, np.random.default_rng(0), round=0, policy_version=0, seed=0)
    assert made.provenance.replay == b""
