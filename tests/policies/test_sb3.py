"""Stable-baselines3's algorithms as policies. Golden: what they are shown, refused and told; learning: beats random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed: pip install 'accord[sb3]'")

from accord.policies.control.sb3 import SB3Config
from accord.policies.control.sb3_env import Rewarded
from accord.policies.control.sb3_policy import SB3
from accord.rewards.fixed import Constant, TrueReward
from accord.tasks.collect import evaluate, random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, LearnedReward, Scored, StepBatch
from tests.tasks.environments import FOLLOW, IDENTITY, LEAVE, RECALL

OFF = ("learning_starts = 20", "batch_size = 16", "buffer_size = 500")


class Likes:
    """Pays what is in the first place of the action, times its weight."""

    def __init__(self, weight: float, version: int) -> None:
        self.weight, self.version = weight, version

    def __call__(self, batch: StepBatch) -> Scored:
        return Scored(self.weight * batch.action[..., 0].float(), torch.zeros(batch.valid.shape))


def task_of(id: str, envs: int = 2, **more: object) -> ControlTask:
    return ControlTask(ControlConfig(id=id, envs=envs, vectorised=False, **more))


def test_golden_an_episodes_end_is_told_as_the_library_reads_it():
    """A time limit is a truncation, a termination is none."""
    env = Rewarded(task_of(LEAVE, envs=2, horizon=5))
    env.signal = LearnedReward(Constant())
    env.begin(0)
    seen = []
    for _ in range(5):  # copy 0 leaves at once, copy 1 stays
        env.step_async(np.array([1, 0]))
        seen.append(env.step_wait())
    _, reward, ended, infos = seen[0]
    assert ended.tolist() == [True, False] and reward.tolist() == [1.0, 1.0]
    assert infos[0]["TimeLimit.truncated"] is False and "terminal_observation" in infos[0] and infos[1] == {}
    last = seen[-1]
    assert last[2].tolist() == [True, True] and last[3][1]["TimeLimit.truncated"] is True


def test_golden_the_observation_after_an_end_is_that_of_a_fresh_episode():
    task = task_of("Pendulum-v1", envs=1, horizon=3)
    env, fresh = Rewarded(task), task_of("Pendulum-v1", envs=1, horizon=3)
    env.signal = LearnedReward(Constant())
    env.begin(7)
    fresh.reset(7)
    for _ in range(3):
        env.step_async(np.zeros((1, 1), np.float32))
        observation, _, ended, infos = env.step_wait()
        step = fresh.step(np.zeros((1, 1), np.float32))
    assert ended.all() and np.array_equal(infos[0]["terminal_observation"], step.final[0])
    assert np.array_equal(observation, step.observation) and not np.array_equal(observation, step.final)


@pytest.mark.parametrize(("name", "id"), [("sb3:DQN", IDENTITY), ("sb3:TD3", FOLLOW)])
def test_golden_after_a_fit_all_that_is_remembered_is_judged_anew(name: str, id: str):
    policy = SB3(task_of(id), SB3Config(200, (8,), OFF, name), 0)
    policy.improve(LearnedReward(Likes(1.0, 1)), 60, 0)
    buffer = policy.model.replay_buffer
    before, kept = buffer.rewards[: buffer.pos].copy(), buffer.pos
    assert np.abs(before).max() > 0
    policy._judge_anew(LearnedReward(Likes(-3.0, 2)))
    assert np.allclose(buffer.rewards[:kept], -3.0 * before, atol=1e-5)


def test_golden_schedules_run_over_the_whole_run():
    """Two calls of half the steps each end where one call of all of them does."""
    rates = []
    for calls in (1, 2):
        policy = SB3(task_of(IDENTITY), SB3Config(128, (8,), ("n_steps = 16", "batch_size = 16"), "sb3:PPO"), 0)
        policy.model.learning_rate = lambda remaining: 0.01 * remaining
        policy.model._setup_lr_schedule()
        for call in range(calls):
            policy.improve(LearnedReward(Constant()), 128 // calls, call)
        rates.append(policy.model.policy.optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(rates[1]) and rates[0] < 0.01


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SB3Config(algorithm="sb3:Nothing"), "is not there: choose one of A2C"),
        (SB3Config(algorithm="sb3:MaskablePPO"), "needs masks of actions"),
        (SB3Config(arguments=("speed = 3",)), 'has "speed", which PPO does not take: it takes learning_rate'),
        (SB3Config(algorithm="sb3:SAC"), "refused"),
    ],
)
def test_golden_what_cannot_be_is_refused_in_one_sentence(config: SB3Config, words: str):
    with pytest.raises(InputError, match=words) as refused:
        SB3(task_of(IDENTITY), config, 0)
    assert "\n" not in str(refused.value).strip()


def test_golden_an_argument_is_a_line_of_toml():
    assert SB3Config(arguments=("learning_rate = 1e-3", "use_sde = true")).given() == {
        "learning_rate": 1e-3,
        "use_sde": True,
    }
    with pytest.raises(InputError, match="is no line of TOML"):
        SB3Config(arguments=("learning_rate: 1",))


def test_golden_copies_that_reset_in_a_call_of_their_own_are_refused():
    policy = SB3(ControlTask(ControlConfig(id="CartPole-v1", envs=2)), SB3Config(400, (8,), ("n_steps = 64",)), 0)
    with pytest.raises(InputError, match=r"set task\.vectorised to false"):
        policy.improve(LearnedReward(Constant()), 200, 0)


@pytest.mark.parametrize(("name", "id"), [("sb3:A2C", IDENTITY), ("sb3:TQC", FOLLOW)])
def test_learning_another_librarys_algorithm_beats_a_random_policy(name: str, id: str):
    task = task_of(id, envs=4)
    task.truth.start(0)
    given = ("learning_rate = 1e-2", "gamma = 0.5", *(OFF if name == "sb3:TQC" else ()))
    policy = SB3(task, SB3Config(1_500, (16,), given, name), 0)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 1_500, 0)
    judged = task.sibling(50)
    random = evaluate(judged, random_actions(judged, np.random.default_rng(0)), 1).mean()
    learned = evaluate(judged, policy.act, 1).mean()
    assert learned > 9 if id == IDENTITY else learned > random / 4


def test_learning_what_was_seen_is_remembered():
    """The answer was shown two steps before it is asked for: from the observation alone half of them are right."""
    task = task_of(RECALL, envs=8)
    task.truth.start(0)
    fast = ("n_steps = 60", "batch_size = 240", "learning_rate = 5e-3", "gamma = 0.5")
    given = (*fast, "policy_kwargs = {lstm_hidden_size = 16}")
    policy = SB3(task, SB3Config(8_000, (16,), given, "sb3:RecurrentPPO"), 0)
    policy.improve(LearnedReward(TrueReward(task.truth.at)), 8_000, 0)
    judged = task.sibling(100)
    assert evaluate(judged, policy.acting(), 1).mean() > 0.9
    assert evaluate(judged, policy.act, 1).mean() < 0.7  # whoever forgets between two calls guesses


def test_golden_what_is_remembered_is_cleared_where_an_episode_begins():
    """Golden: two rows with one history; one of them starts anew and acts as a fresh one does."""
    policy = SB3(task_of(RECALL), SB3Config(algorithm="sb3:RecurrentPPO"), 0)
    seen, now = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)
    acting, fresh = policy.acting(), policy.acting()
    for _ in range(5):
        acting(seen)
    acting(now, np.array([True, False]))
    fresh(now)
    mixed, new = acting.state, fresh.state
    assert all(
        np.allclose(m[:, 0], n[:, 0]) and not np.allclose(m[:, 1], n[:, 1]) for m, n in zip(mixed, new, strict=True)
    )
