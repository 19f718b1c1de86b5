"""Driving by hand. Golden: what is driven is what the environment saw and paid; contract: what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask, make
from accord.tasks.drive import BY_HAND, Drive, Undrivable, check
from accord.tasks.simulator import put
from accord.types import Collected, InputError, Provenance, Steps
from tests.tasks.environments import FOLLOW, LEAVE

pytest.importorskip("pygame", reason="pygame is not installed: nothing is drawn")
ORIGIN = Provenance("CartPole-v1", 3, 0, 0, -7, 0)


def drive_of(id: str) -> Drive:
    return Drive(id)


def filmed(id: str, length: int = 12) -> Collected:
    task = ControlTask(ControlConfig(id=id, envs=2), filmed=True)
    explore(task, 40, 0)
    made = collect(task, 20, length, np.random.default_rng(0), round=2, policy_version=4, seed=0)
    return next(each for each in made if each.segment.valid.all())


def paid_again(made: Collected) -> np.ndarray:
    """What the environment pays for a segment's actions from its state on."""
    env = make(ControlConfig(id=made.provenance.task))
    env.reset(seed=0)
    put(env, np.frombuffer(made.provenance.replay, np.float64))
    discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
    done = [env.step(int(a.argmax()) if discrete else a) for a in made.segment.action[made.segment.valid]]
    return np.array([float(each[1]) for each in done], np.float32)


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_golden_an_episode_driven_by_hand_is_a_segment_with_its_truth(id: str):
    drive = drive_of(id)
    drive.start(5, 12, replace(ORIGIN, task=id))
    pressed = [(t % 2,) for t in range(12)]
    for held in pressed:
        assert not drive.over
        drive.step(held)
    made = drive.collected()
    assert isinstance(made.segment, Steps) and made.segment.valid.all() and not made.segment.ended
    assert made.segment.action.tolist() == [drive.controls.action(held).tolist() for held in pressed]
    first = make(ControlConfig(id=id)).reset(seed=5)[0]
    assert np.allclose(made.segment.observation[0], first, atol=1e-6)
    assert made.truth is not None and np.allclose(made.truth, paid_again(made), atol=1e-4)
    assert (made.provenance.policy_version, made.provenance.episode, made.provenance.round) == (BY_HAND, -7, 3)
    drive.close()


def test_golden_a_fall_ends_a_drive_and_is_padded():
    drive = drive_of("CartPole-v1")
    drive.start(0, 50, ORIGIN)
    while not drive.over:
        drive.step((0,))
    made = drive.collected()
    steps = int(made.segment.valid.sum())
    assert 5 < steps < 20 and made.segment.ended and len(made.segment.valid) == 50
    assert made.truth is not None and made.truth.tolist() == [1.0] * steps + [0.0] * (50 - steps)
    with pytest.raises(InputError, match="hand them in"):
        drive.step((0,))
    drive.close()


@pytest.mark.parametrize("id", ["accord/FixedCartPole-v0", "Pendulum-v1"])
def test_golden_a_corrected_tail_leaves_the_head_as_it_was(id: str):
    made, drive = filmed(id), drive_of(id)
    assert isinstance(made.segment, Steps)
    drive.take_over(made.segment, made.provenance, 5)
    assert drive.at == 5
    while not drive.over:
        drive.step((1,))
    again = drive.collected()
    assert (again.segment.observation[:6] == made.segment.observation[:6]).all()
    assert (again.segment.action[:5] == made.segment.action[:5]).all()
    assert not (again.segment.action[5:] == made.segment.action[5:]).all()
    assert again.provenance == replace(made.provenance, policy_version=BY_HAND)  # one fold with what it corrects
    assert again.truth is not None and made.truth is not None
    assert np.allclose(again.truth[:5], made.truth[:5], atol=1e-4)
    drive.close()


def test_contract_a_clip_that_the_simulator_does_not_do_again_is_not_taken_over():
    made, drive = filmed("Pendulum-v1"), drive_of("Pendulum-v1")
    assert isinstance(made.segment, Steps)
    other = replace(made.segment, observation=made.segment.observation[::-1].copy())
    for segment, origin in ((other, made.provenance), (made.segment, replace(made.provenance, replay=b""))):
        with pytest.raises(Undrivable) as refused:
            drive.take_over(segment, origin, 5)
        assert refused.value.why == "state"
    with pytest.raises(InputError, match="before its last step"):
        drive.take_over(made.segment, made.provenance, 12)
    drive.close()


def test_contract_what_is_not_over_cannot_be_handed_in():
    drive = drive_of("Pendulum-v1")
    drive.start(0, 3, replace(ORIGIN, task="Pendulum-v1"))
    drive.step(())
    with pytest.raises(InputError, match="1 of 3 steps"):
        drive.collected()
    drive.close()


@pytest.mark.parametrize(("id", "why"), [(FOLLOW, "screen"), (LEAVE, "screen"), ("Nobody-v0", "screen")])
def test_contract_what_cannot_be_driven_is_refused_before_anybody_is_asked(id: str, why: str):
    with pytest.raises(Undrivable) as refused:
        check(id, "demonstrate")
    assert refused.value.why == why and "\n" not in str(refused.value)
    check("Pendulum-v1", "correct")
