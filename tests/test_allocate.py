"""Golden, contract, learning: who plays, who acts, who begins anew, and that a hopeless learner gets few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accord import config, toml
from accord.allocate import RESTARTS, Auto, AutoConfig
from accord.build import policy_of
from accord.functional.balancing import LEAST
from accord.policies.control.ppo import PPO, PPOConfig
from accord.policies.control.sac import SAC
from accord.policies.control.td3 import TD3
from accord.policies.portfolio import ENTRIES, Entry, able, portfolio
from accord.policies.witness import Seen, Witness, worth
from accord.tasks.collect import evaluate
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import (
    Acting,
    InputError,
    LearnedReward,
    Metrics,
    NotFinite,
    Scored,
    Signal,
    StepBatch,
    Task,
)
from tests.tasks.environments import FOLLOW, IDENTITY

ENVS, HORIZON = 4, 10


class First:
    """Pays for the first action."""

    version = 1

    def __call__(self, batch: StepBatch) -> Scored:
        mean = batch.action[..., 0].float() * batch.valid
        return Scored(mean, torch.zeros_like(mean))


class Scripted:
    """Plays the first action with a share that is scripted play by play; NaN: its losses are no numbers."""

    def __init__(self, task: Task, shares: list[float]) -> None:
        self.task, self.shares, self.version, self.plays = task, shares, 0, 0

    def act(self, observation: np.ndarray, seed: int | None = None) -> np.ndarray:
        return np.full(len(observation), 1 - round(self.shares[min(self.plays, len(self.shares)) - 1]))

    def acting(self) -> Acting:
        raise NotImplementedError

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        rng, taken = np.random.default_rng(seed), 0
        share = self.shares[min(self.plays, len(self.shares) - 1)]
        self.task.reset(seed)
        while taken < budget:
            step = self.task.step((rng.random(ENVS) >= (0.5 if np.isnan(share) else share)).astype(np.int64))
            taken += int(step.real.sum())
        if np.isnan(share):
            raise NotFinite("its losses became nan.")
        self.plays += 1
        self.version += 1
        return Metrics(taken, 0.0, 1)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plays").write_text(str(self.plays))

    def load(self, folder: Path) -> None:
        self.plays = int((folder / "plays").read_text())


def task(id: str = IDENTITY) -> ControlTask:
    return ControlTask(ControlConfig(id=id, envs=ENVS, horizon=HORIZON))


def scripted(own: ControlTask, pieces: int = 20, **arms: list[list[float]]) -> Auto:
    """Each arm's entries, as the shares of its plays."""
    rows = [(name, shares) for name, entries in arms.items() for shares in entries]
    entries = [Entry(name, lambda task, seed, shares=shares: Scripted(task, shares)) for name, shares in rows]
    return Auto(own, AutoConfig(pieces=pieces), entries, 0)


def steps_of(auto: Auto) -> dict[str, int]:
    return {name: arm.steps for name, arm in zip(auto.names, auto.arms, strict=True)}


def test_golden_the_better_one_takes_most_steps_and_acts():
    own = task()
    auto = scripted(own, good=[[0.9]], bad=[[0.2]])
    metrics = auto.improve(LearnedReward(First()), 4000, 0)
    taken = steps_of(auto)
    assert sum(taken.values()) == metrics.steps == sum(own.steps().values())
    assert taken["good"] > 0.7 * metrics.steps and taken["bad"] > 0
    assert metrics.extra["leading"] == 0.0 and metrics.extra["steps_good"] == taken["good"]
    assert auto.act(np.zeros((3, own.spec.observation_size), np.float32)).tolist() == [0, 0, 0]


def test_golden_one_that_collapses_begins_anew_from_its_next_entry_and_is_recorded():
    own = task()
    falling, steady = [0.2, 0.9, 0.9, 0.1], [0.8]
    auto = scripted(own, one=[falling, steady])
    metrics = auto.improve(LearnedReward(First()), 4000, 0)
    (arm,) = auto.arms
    assert metrics.extra["restarts"] == 1.0 and (arm.entry, arm.restarts) == (1, 1)
    assert arm.policy.shares is steady and arm.plays == 20  # type: ignore[attr-defined]


def test_golden_what_was_lost_late_costs_nothing_the_best_that_was_acts(tmp_path: Path):
    """Its last piece collapses: the run ends with what it was before, and so does one that is loaded."""
    own = task()
    auto = scripted(own, 4, one=[[0.2, 0.9, 1.0, 0.0], [0.1]], other=[[0.3]])
    auto.improve(LearnedReward(First()), 800, 0)
    assert auto.names[auto.leading] == "one"
    while not auto.arms[0].restarts:
        auto.improve(LearnedReward(First()), 400, 1)
    seen = np.zeros((3, own.spec.observation_size), np.float32)
    assert auto.as_kept and auto.names[auto.leading] == "one" and auto.act(seen).tolist() == [0, 0, 0]
    auto.save(tmp_path)
    other = scripted(own, 4, one=[[0.2, 0.9, 1.0, 0.0], [0.1]], other=[[0.3]])
    other.load(tmp_path)
    assert other.as_kept and other.act(seen).tolist() == [0, 0, 0]


def test_golden_losses_that_are_no_numbers_are_a_collapse_ever_rarer_and_end_a_run_where_nobody_else_is():
    own = task()
    auto = scripted(own, 40, broken=[[float("nan")]], fine=[[0.5]])
    metrics = auto.improve(LearnedReward(First()), 8000, 0)
    assert auto.leading == 1 and 2 <= auto.arms[0].restarts <= RESTARTS
    assert metrics.extra["restarts"] == auto.arms[0].restarts == auto.arms[0].plays
    assert auto.arms[0].bound == LEAST * 2.0 ** auto.arms[0].restarts
    assert metrics.steps == sum(steps_of(auto).values())  # failed steps are counted too
    with pytest.raises(NotFinite, match="every one of broken failed"):
        scripted(task(), 40, broken=[[float("nan")]]).improve(LearnedReward(First()), 8000, 0)


def test_golden_worth_is_the_mean_reward_and_where_episodes_end_their_length_counts():
    action = np.zeros((2, 6, 2), np.float32)
    action[0, :, 0] = 1.0  # copy 0 earns 1 a step, copy 1 nothing
    ended = np.zeros((2, 6), bool)
    ended[:, 2] = ended[:, 5] = True  # episodes of three steps
    real = np.ones((2, 6), bool)
    seen = Seen(np.zeros((2, 6, 1), np.float32), action, real, ended, np.arange(12).reshape(2, 6))
    signal = LearnedReward(First())
    assert worth(seen, signal, horizon=6, terminates=False).value == pytest.approx(0.5)
    every = replace(seen, action=np.ones_like(action))
    assert worth(every, signal, horizon=6, terminates=True).value == pytest.approx(0.5)  # half of a horizon
    longer = replace(every, ended=np.zeros_like(ended))
    assert worth(longer, signal, 6, True).value > worth(every, signal, 6, True).value
    unreal = replace(every, real=real & (np.arange(6) < 3))
    assert worth(unreal, signal, 6, False).value == pytest.approx(1.0)  # of the real steps alone


def test_contract_the_witness_shows_the_steps_as_they_were_and_forgets_at_a_reset():
    own = task(FOLLOW)
    witness = Witness(own)
    assert isinstance(witness, Task) and witness.seen() is None
    first = witness.reset(0)
    actions = [np.full((ENVS, 1), 0.1 * t, np.float32) for t in range(7)]
    for action in actions:
        witness.step(action)
    seen = witness.seen()
    assert seen is not None and np.array_equal(seen.observation[:, 0], first)
    assert np.array_equal(seen.action[:, :, 0], np.tile(0.1 * np.arange(7, dtype=np.float32), (ENVS, 1)))
    assert np.array_equal(seen.serial[:, 3], 3 * ENVS + np.arange(ENVS))
    witness.reset(1)
    assert witness.seen() is None


def test_contract_every_algorithm_that_can_act_has_entries_and_no_other_is_taken():
    box, choice = task(FOLLOW).spec, task().spec
    assert able(box) == ("ppo", "sac", "td3") and able(choice) == ("ppo", "sac")
    for spec in (box, choice):
        for entry in portfolio(spec, (), 100, 0.9):
            made = entry.make(task(spec.id), 0)
            assert isinstance(made, {"ppo": PPO, "sac": SAC, "td3": TD3}[entry.algorithm])
            assert (made.config.steps, made.config.gamma) == (100, 0.9)  # type: ignore[attr-defined]
    assert [entry.algorithm for entry in portfolio(box, (), 100, None)][:4] == ["ppo", "sac", "td3", "ppo"]
    assert len(portfolio(choice, ("sac",), 100, None)) == len(ENTRIES["sac"])
    with pytest.raises(InputError, match=r'policy\.arms names "td3", which cannot act in'):
        portfolio(choice, ("ppo", "td3"), 100, None)


def test_contract_a_configuration_names_it_and_refuses_what_it_cannot():
    text = {"policy.algorithm": "auto", "policy.arms": '["sac", "ppo"]', "policy.steps": "3000", "task.id": FOLLOW}
    settings = toml.build(config.RunConfig, {}, text)
    auto = policy_of(task(FOLLOW), settings, 0)
    assert isinstance(auto, Auto) and auto.names == ("sac", "ppo")
    for key, value, words in (
        ("policy.arms", '["ppo", "ppo"]', "names one algorithm twice"),
        ("policy.pieces", "0", "policy.pieces is 0"),
        ("reward.kind", "transformer", "reads a step among the others"),
    ):
        with pytest.raises(InputError, match=words):
            toml.build(config.RunConfig, {}, text | {key: value})


@pytest.mark.slow
def test_learning_with_one_hopeless_arm_it_ends_near_the_good_one_and_spends_most_steps_there():
    """CartPole of fixed horizon, rewarded by its truth: PPO beside PPO whose steps are far too large."""
    from accord.rewards.fixed import TrueReward

    good = PPOConfig(steps=30_000, rollout=60, minibatch=256, epochs=6)
    hopeless = replace(good, learning_rate=1.0)
    entries = [Entry(name, lambda t, s, c=c: PPO(t, c, s)) for name, c in (("good", good), ("hopeless", hopeless))]
    own = ControlTask(ControlConfig(id="accord/FixedCartPole-v0", envs=16, horizon=100))
    own.truth.start(0)
    auto = Auto(own, AutoConfig(steps=30_000, pieces=15), entries, 0)
    auto.improve(LearnedReward(TrueReward(own.truth.at)), 30_000, 0)
    taken = steps_of(auto)
    assert taken["good"] > 0.6 * sum(taken.values())
    assert auto.names[auto.leading] == "good"
    assert evaluate(own.sibling(50), auto.acting(), 1).mean() > 90.0  # of 100; random stands for about 20
