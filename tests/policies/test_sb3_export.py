"""Invariance: a policy that was exported acts as the one it was made from, in stable-baselines3's own hands."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch

from accord import trained
from accord.policies.control.ppo import PPO, PPOConfig
from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.sb3_export import write
from accord.policies.control.td3 import TD3, TD3Config
from accord.rewards.fixed import TrueReward
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, LearnedReward

OFF = {"steps": 500, "hidden": (16, 16), "batch": 16, "warmup": 100}
CASES = {
    "PPO": ("Pendulum-v1", lambda task: PPO(task, PPOConfig(steps=500, hidden=(16, 16)), 0)),
    "PPO of choices": ("CartPole-v1", lambda task: PPO(task, PPOConfig(steps=500, hidden=(16, 16)), 0)),
    "SAC": ("Pendulum-v1", lambda task: SAC(task, SACConfig(**OFF), 0)),
    "TD3": ("Pendulum-v1", lambda task: TD3(task, TD3Config(**OFF), 0)),
}


def learned(id: str, make) -> tuple[ControlTask, object]:
    task = ControlTask(ControlConfig(id=id, envs=1))
    task.truth.start(0)
    policy = make(task)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 500, 0)
    return task, policy


@pytest.mark.parametrize("case", CASES)
def test_invariance_stable_baselines3_loads_it_and_acts_alike(case: str, tmp_path: Path):
    id, make = CASES[case]
    _, policy = learned(id, make)
    env = gymnasium.make(id)
    write(policy, env.observation_space, env.action_space, tmp_path / "policy.zip")
    model = getattr(stable_baselines3, case.split()[0]).load(tmp_path / "policy.zip", device="cpu")
    rows = np.random.default_rng(0).normal(size=(200, env.observation_space.shape[0])).astype(np.float32)
    if isinstance(policy, PPO):  # within the ten deviations at which ours clips
        rows = policy.scale.mean.numpy() + policy.scale.variance.sqrt().numpy() * rows
    theirs, ours = model.predict(rows, deterministic=True)[0], policy.act(rows)
    assert np.allclose(theirs, ours, atol=1e-4) if "choices" not in case else (theirs == ours).all()


def test_invariance_critics_and_values_carry_over(tmp_path: Path):
    env = gymnasium.make("Pendulum-v1")
    rows = torch.randn(50, 3)
    _, sac = learned(*CASES["SAC"])
    write(sac, env.observation_space, env.action_space, tmp_path / "sac.zip")
    model = stable_baselines3.SAC.load(tmp_path / "sac.zip", device="cpu")
    action = torch.rand(50, 1) * 2 - 1
    theirs = torch.stack(model.critic(rows, action))[..., 0]
    assert torch.allclose(theirs, sac.critic(rows, action)[..., 0], atol=1e-4)
    _, ppo = learned(*CASES["PPO"])
    write(ppo, env.observation_space, env.action_space, tmp_path / "ppo.zip")
    model = stable_baselines3.PPO.load(tmp_path / "ppo.zip", device="cpu")
    value = ppo.net.critic(ppo._scaled(rows)) * ppo.returns.variance.sqrt() + ppo.returns.mean
    assert torch.allclose(model.policy.predict_values(rows)[:, 0], value, rtol=1e-3, atol=1e-3)


def test_contract_what_has_no_model_there_is_refused(tmp_path: Path):
    task = ControlTask(ControlConfig(id="CartPole-v1", envs=1))
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(InputError, match="no model of SAC"):
        write(SAC(task, SACConfig(**OFF), 0), env.observation_space, env.action_space, tmp_path / "sac.zip")


def test_contract_predict_takes_one_observation_or_a_batch():
    env = gymnasium.make("Pendulum-v1")
    task, policy = learned(*CASES["TD3"])
    player = trained.Trained(policy, task, env.observation_space, env.action_space)
    one, _ = env.reset(seed=0)
    action, state = player.predict(one)
    assert action.shape == (1,) and env.action_space.contains(action)
    assert np.array_equal(player.predict(one, state)[0], action)
    batch, _ = player.predict(np.stack([one, one]))
    assert np.allclose(batch[0], action) and batch.shape == (2, 1)
    first, again = (player.predict(one, deterministic=False, seed=3)[0] for _ in range(2))
    assert np.array_equal(first, again) and not np.array_equal(first, action)
    for wrong in (np.zeros(4), "left", np.zeros((2, 4)), []):
        with pytest.raises(InputError, match="give one or several"):
            player.predict(wrong)
