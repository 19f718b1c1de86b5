"""Contract of every Policy that improves on a reward: what it may touch, what it counts, and that it repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from accord.allocate import Auto, AutoConfig
from accord.policies.control.ppo import PPO, PPOConfig
from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.td3 import TD3, TD3Config
from accord.policies.portfolio import Entry, able
from accord.rewards.fixed import Constant
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import (
    Evidence,
    Feedback,
    InputError,
    LearnedReward,
    NotFinite,
    Policy,
    Scored,
    StepBatch,
    Task,
    Transition,
)
from tests.tasks.environments import FOLLOW, IDENTITY, SQUARE

BUDGET, ENVS = 400, 8
IDS = ("CartPole-v1", IDENTITY, FOLLOW)  # reset in the next call; in the same call; actions that are numbers
Make = Callable[[Task, int], Policy]

OFF = {"steps": 2 * BUDGET, "hidden": (8,), "batch": 16, "warmup": 64}

# One entry for each algorithm; a new one has only to be added here.
POLICIES: dict[str, Make] = {
    "ppo": lambda task, seed: PPO(
        task, PPOConfig(steps=2 * BUDGET, hidden=(8,), rollout=16, minibatch=32, epochs=2), seed
    ),
    "sac": lambda task, seed: SAC(task, SACConfig(**OFF), seed),
    "td3": lambda task, seed: TD3(task, TD3Config(**OFF), seed),
}


def auto(task: Task, seed: int) -> Auto:
    """All small algorithms that can act, in turns."""
    entries = [Entry(name, POLICIES[name]) for name in able(task.spec)]
    return Auto(task, AutoConfig(steps=2 * BUDGET, pieces=4), entries, seed)


POLICIES["auto"] = auto
if find_spec("stable_baselines3"):
    from accord.policies.control.sb3 import SB3Config
    from accord.policies.control.sb3_policy import SB3

    OTHERS = {
        "sb3:PPO": ("n_steps = 16", "batch_size = 32"),
        "sb3:DQN": ("learning_starts = 64", "batch_size = 16", "buffer_size = 1000"),
        "sb3:RecurrentPPO": (
            "n_steps = 16",
            "batch_size = 64",
            "n_epochs = 2",
            "policy_kwargs = {lstm_hidden_size = 8}",
        ),
        "sb3:SAC": ("learning_starts = 64", "batch_size = 16", "buffer_size = 1000"),
    }
    POLICIES |= {
        name: lambda task, seed, name=name, given=given: SB3(
            task, SB3Config(2 * BUDGET, (8,), arguments=given, algorithm=name), seed
        )
        for name, given in OTHERS.items()
    }
# What an algorithm can do, where that is not everything: choose, give numbers, have copies that reset in the next call;
# and read pictures.
ABLE = {
    "ppo": (*IDS, SQUARE),
    "auto": (*IDS, SQUARE),
    "td3": (FOLLOW,),
    "sb3:PPO": (IDENTITY, FOLLOW),
    "sb3:DQN": (IDENTITY,),
    "sb3:RecurrentPPO": (IDENTITY, FOLLOW),
    "sb3:SAC": (FOLLOW,),
}
GREEDY = ("sb3:DQN",)  # no distribution to draw from
PAIRS = [(name, id) for name in POLICIES for id in ABLE.get(name, IDS)]


class Sealed:
    """Nothing but the protocol of a task, so that a policy which reaches for more fails."""

    def __init__(self, task: ControlTask) -> None:
        self._step, self._reset, self._count, self._steps = task.step, task.reset, task.count_as, task.steps
        self.spec, self._whole = task.spec, task

    def go_on_from(self, other: Sealed) -> None:
        """Counts from where the other one is, as a resumed run does."""
        self._whole.resume(other.steps(), other._whole.tick)

    def reset(self, seed: int) -> np.ndarray:
        return self._reset(seed)

    def step(self, action: np.ndarray) -> Transition:
        return self._step(action)

    def count_as(self, purpose: str) -> None:
        self._count(purpose)

    def steps(self) -> Mapping[str, int]:
        return self._steps()


class Watched:
    """Rewards the first action, and keeps what it was shown."""

    version = 1

    def __init__(self, bad_at: int = 10**9) -> None:
        self.seen: list[StepBatch] = []
        self.bad_at = bad_at

    def __call__(self, batch: StepBatch) -> Scored:
        self.seen.append(batch)
        mean = batch.action[..., 0].float() * batch.valid
        if len(self.seen) > self.bad_at:
            mean[0, 0] = float("nan")
        return Scored(mean, torch.zeros_like(mean))


def sealed(id: str) -> Sealed:
    return Sealed(ControlTask(ControlConfig(id=id, envs=ENVS)))


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair))
def make(request: pytest.FixtureRequest) -> Callable[[int], tuple[Policy, Sealed]]:
    name, id = request.param

    def made(seed: int = 0) -> tuple[Policy, Sealed]:
        task = sealed(id)
        return POLICIES[name](task, seed), task

    return made


def some(task: Sealed) -> np.ndarray:
    rng, shape = np.random.default_rng(0), (50, task.spec.observation_size)
    if task.spec.picture is not None:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def test_contract_it_is_a_policy_that_acts_in_the_environments_units(make):
    policy, task = make(0)
    spec = task.spec.action
    assert isinstance(policy, Policy)
    for seed in (None, 1):
        action = policy.act(some(task), seed)
        assert np.array_equal(policy.acting()(some(task), seed=seed), action)
        if spec.discrete:
            assert action.shape == (50,) and set(action.tolist()) <= set(range(spec.size))
        else:
            assert action.shape == (50, spec.size) and (action >= spec.low).all() and (action <= spec.high).all()


def test_contract_without_a_seed_it_is_the_most_likely_action_of_each_row_alone(make):
    policy, task = make(0)
    policy.improve(LearnedReward(Watched()), BUDGET, 0)
    rows = some(task)
    whole, single = policy.act(rows), np.concatenate([policy.act(row[None]) for row in rows])
    assert np.allclose(whole, single, atol=1e-5)
    assert np.array_equal(whole, policy.act(rows))


def test_contract_with_a_seed_it_is_a_draw_that_repeats(make, request: pytest.FixtureRequest):
    greedy = any(name in request.node.callspec.id for name in GREEDY)
    policy, task = make(0)
    rows = some(task)
    first, again, other = (policy.act(rows, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and np.array_equal(first, other) == greedy


def test_contract_the_budget_is_met_within_one_rollout_and_counted(make):
    policy, task = make(0)
    task.count_as("improve")
    before = policy.version
    metrics = policy.improve(LearnedReward(Constant()), BUDGET, 0)
    assert BUDGET <= metrics.steps <= BUDGET + 16 * ENVS
    assert task.steps() == {"improve": metrics.steps}
    assert policy.version == before + 1
    assert metrics.updates > 0 and all(np.isfinite(value) for value in metrics.extra.values())


@pytest.mark.parametrize("id", IDS)
def test_contract_ppo_shows_the_reward_every_step_once_in_sequence(id: str):
    task = sealed(id)
    policy = POLICIES["ppo"](task, 0)
    reward = Watched()
    metrics = policy.improve(LearnedReward(reward), BUDGET, 0)
    assert sum(int(batch.valid.sum()) for batch in reward.seen) == metrics.steps
    serials = []
    spec = task.spec.action
    for batch in reward.seen:
        assert batch.observation.shape[::2] == (ENVS, task.spec.observation_size)
        assert batch.action.shape[::2] == (ENVS, spec.size)
        assert batch.serial is not None and batch.ended is not None
        serials.append(batch.serial.T.flatten())
        if spec.discrete:
            assert torch.equal(batch.action.sum(-1), torch.ones(batch.valid.shape))
            assert set(batch.action.unique().tolist()) <= {0.0, 1.0}
        else:
            assert batch.action.min() >= float(spec.low.min()) and batch.action.max() <= float(spec.high.max())
        assert not batch.ended[~batch.valid].any()
    together = torch.cat(serials)
    assert torch.equal(together, torch.arange(len(together)))


@pytest.mark.parametrize(("name", "id"), [pair for pair in PAIRS if pair[0] in ("sac", "td3")])
def test_contract_off_policy_the_reward_is_shown_remembered_steps_alone_as_they_were_taken(name: str, id: str):
    whole = ControlTask(ControlConfig(id=id, envs=ENVS))
    whole.truth.start(0)
    task, reward, taken = Sealed(whole), Watched(), {}
    step = task.step

    def noted(action: np.ndarray) -> Transition:
        transition = step(action)
        for row, serial, real in zip(action, transition.serial, transition.real, strict=True):
            if real:
                taken[int(serial)] = row
        return transition

    task.step = noted
    metrics = POLICIES[name](task, 0).improve(LearnedReward(reward), BUDGET, 0)
    assert len(reward.seen) == metrics.updates > BUDGET - 64 - ENVS
    for batch in reward.seen:
        assert batch.valid.all() and batch.ended.all() and batch.action.shape[:2] == (16, 1)
        shown = batch.action[:, 0].argmax(-1) if task.spec.action.discrete else batch.action[:, 0]
        wanted = np.stack([taken[int(serial)] for serial in batch.serial[:, 0]])
        assert np.allclose(shown.numpy(), wanted, atol=1e-6)


def test_contract_it_repeats_bit_for_bit_and_draws_nothing_global(make):
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = []
    for seed in (0, 0, 1):
        policy, task = make(0)
        policy.improve(LearnedReward(Watched()), BUDGET, seed)
        found.append(policy.act(some(task), 3))
    assert np.array_equal(found[0], found[1])
    assert torch.equal(state, torch.get_rng_state()) and (numbers == np.random.get_state()[1]).all()


def weights_of(policy: Policy, folder: Path) -> dict[str, bytes]:
    policy.save(folder)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_contract_saved_and_loaded_it_goes_on_bit_for_bit(make, tmp_path: Path):
    policy, task = make(0)
    policy.improve(LearnedReward(Watched()), BUDGET, 0)
    policy.save(tmp_path / "half")
    other, other_task = make(5)  # of another seed: nothing of its own may stay
    other.load(tmp_path / "half")
    other_task.reset(99)
    other_task.go_on_from(task)
    policy.improve(LearnedReward(Watched()), BUDGET, 1)
    other.improve(LearnedReward(Watched()), BUDGET, 1)
    assert weights_of(policy, tmp_path / "a") == weights_of(other, tmp_path / "b")
    assert other.version == policy.version == 2


def test_contract_a_saved_policy_that_never_improved_is_the_same_policy(make, tmp_path: Path):
    policy, task = make(0)
    policy.save(tmp_path / "new")
    other, _ = make(5)
    other.load(tmp_path / "new")
    assert np.array_equal(policy.act(some(task), 1), other.act(some(task), 1))


def test_contract_a_reward_that_is_no_number_is_refused_and_leaves_a_policy_that_can_go_on(make):
    policy, task = make(0)
    with pytest.raises(NotFinite, match="reward"):
        policy.improve(LearnedReward(Watched(bad_at=1)), BUDGET, 0)
    assert np.isfinite(policy.act(some(task), 1)).all()
    assert policy.version == 0
    assert policy.improve(LearnedReward(Watched()), BUDGET, 0).steps >= BUDGET


def test_contract_a_signal_it_cannot_use_is_refused_in_one_sentence(make):
    policy, _ = make(0)
    with pytest.raises(InputError) as refused:
        policy.improve(Feedback(Evidence([], np.zeros(0, np.int64), (), (), ()), 0.1), BUDGET, 0)
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")
