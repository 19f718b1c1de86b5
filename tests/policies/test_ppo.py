"""Golden, invariance: PPO's schedules, scales and limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from accord.policies.control.ppo import PPO, PPOConfig, resolved
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, LearnedReward, NotFinite, Scored, StepBatch
from tests.tasks.environments import IDENTITY

CONFIG = PPOConfig(steps=1_000, hidden=(8,), rollout=16, minibatch=32, epochs=2, learning_rate=1e-2)


def made(config: PPOConfig = CONFIG, envs: int = 4) -> PPO:
    return PPO(ControlTask(ControlConfig(id=IDENTITY, envs=envs)), config, 0)


class Spy:
    """Pays the first action; at each rollout looks at the policy."""

    version = 1

    def __init__(self, policy: PPO, worth: float = 1.0) -> None:
        self.policy, self.worth = policy, worth
        self.seen: list[tuple[int, float]] = []

    def __call__(self, batch: StepBatch) -> Scored:
        self.seen.append((self.policy.steps, self.policy.optimiser.param_groups[0]["lr"]))
        mean = self.worth * batch.action[..., 0].float()
        return Scored(mean, torch.zeros_like(mean))


@pytest.mark.parametrize("pieces", [[1_024], [512, 512], [64] * 16, [320, 64, 640]])
def test_invariance_the_learning_rate_is_a_function_of_the_steps_done(pieces: list[int]):
    """However the run is cut into improvements, it falls from the configured rate to a tenth and never rises."""
    policy = made()
    spy = Spy(policy)
    for seed, budget in enumerate(pieces):
        policy.improve(LearnedReward(spy), budget, seed)
    steps, rates = ([pair[i] for pair in spy.seen] for i in (0, 1))
    assert steps == list(range(64, 1_025, 64))
    assert rates == pytest.approx([1e-2 * (1 - 0.9 * min(1.0, done / 1_000)) for done in steps])
    assert rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(1e-3)


@pytest.mark.parametrize(("envs", "budget"), [(1, 65), (1, 1), (3, 50), (100, 101)])
def test_golden_a_last_single_step_of_the_budget_is_learned_from_with_others(envs: int, budget: int):
    policy = made(envs=envs)
    metrics = policy.improve(LearnedReward(Spy(policy)), budget, 0)
    assert budget <= metrics.steps <= budget + max(64 + envs, 16 * envs)
    assert np.isfinite(policy.act(np.zeros((1, 2), np.float32), 0)).all()


def test_golden_what_is_left_open_is_chosen():
    given = resolved(PPOConfig(rollout=7, minibatch=11, epochs=3, learning_rate=0.5), 4)
    assert (given.rollout, given.minibatch, given.epochs, given.learning_rate) == (7, 11, 3, 0.5)
    for envs in (1, 16, 256, 4096):
        chosen = resolved(PPOConfig(), envs)
        assert chosen.rollout >= 32 and 256 <= chosen.minibatch <= 1024 and 2 <= chosen.epochs <= 10
        assert chosen.learning_rate == pytest.approx(2e-3 * (chosen.minibatch / 256) ** 0.5)
    assert resolved(PPOConfig(steps=10**9), 256).epochs == 2


def test_invariance_a_new_scale_of_returns_leaves_every_value_where_it_was():
    policy = made()
    policy.improve(LearnedReward(Spy(policy)), 256, 0)
    rows = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))

    def values() -> torch.Tensor:
        return policy.net.critic(rows).detach() * policy.returns.variance.sqrt() + policy.returns.mean

    before, actor = values(), policy.net.actor(rows).detach()
    policy._rescale(torch.tensor([500.0, -100.0, 900.0]))
    assert policy.returns.mean > 10
    assert torch.allclose(values(), before, atol=1e-3)
    assert torch.equal(policy.net.actor(rows), actor)


def test_golden_the_epochs_end_where_the_policy_has_moved_far_enough():
    updates = []
    for target_kl in (1e-9, 1e9):
        policy = made(PPOConfig(steps=1_000, hidden=(8,), rollout=16, minibatch=32, epochs=5, target_kl=target_kl))
        updates.append(policy.improve(LearnedReward(Spy(policy)), 64, 0).updates)
    assert updates == [2, 10]  # two minibatches of 32 an epoch: after the first epoch, and all five


def test_golden_a_reward_that_is_no_number_changes_no_weight():
    policy = made()
    before = [weight.detach().clone() for weight in policy.net.parameters()]
    with pytest.raises(NotFinite, match="last good checkpoint"):
        policy.improve(LearnedReward(Spy(policy, worth=float("inf"))), 64, 0)
    assert all(torch.equal(old, new) for old, new in zip(before, policy.net.parameters(), strict=True))


def test_golden_a_learning_rate_that_blows_up_is_told():
    policy = made(PPOConfig(steps=10_000, hidden=(8,), rollout=16, minibatch=32, learning_rate=1.0, target_kl=1e9))
    policy.net.log_sd.data.fill_(0.0)
    policy.net.weights[0].data.fill_(float("inf"))
    with pytest.raises(NotFinite, match=r"lower policy\.learning_rate"):
        policy.improve(LearnedReward(Spy(policy)), 64, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("rollout", 0),
        ("minibatch", 1),
        ("epochs", 0),
        ("learning_rate", 0.0),
        ("gamma", 1.1),
        ("clip", 0),
        ("entropy", -0.1),
        ("target_kl", float("nan")),
        ("gradient_norm", 0.0),
        ("log_sd", 3.0),
    ],
)
def test_contract_ranges_are_checked_in_one_sentence(name: str, value: float):
    with pytest.raises(InputError, match=rf"policy\.{name} is {value:g}; it must be between") as refused:
        PPOConfig(**{name: value})
    assert "\n" not in str(refused.value)
