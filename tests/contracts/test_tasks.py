"""Contract of every Task: what a step is, what is counted, where an episode ends, and that the truth stays sealed."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from accord.tasks.collect import random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, NotFinite, Task, Transition
from tests.tasks.environments import BROKEN, ENDLESS, FOLLOW, FRAMES, LADDER, LOOPED, ROWS, SQUARE, STRANGE, WILD

HORIZON, TICKS = 7, 40
# Vectorised, reset in the next call; vectorised, reset in the same call; looped; looped with nested observations or
# with pictures.
IDS = ("CartPole-v1", "accord/FixedCartPole-v0", LOOPED, "Pendulum-v1", LADDER, FOLLOW, SQUARE, FRAMES)


def make(id: str, envs: int = 5, horizon: int | None = HORIZON) -> ControlTask:
    return ControlTask(ControlConfig(id=id, envs=envs, horizon=horizon))


def travel(task: ControlTask, seed: int, ticks: int = TICKS) -> list[tuple[np.ndarray, np.ndarray, Transition]]:
    """Observation acted on, action and transition of each tick, under random actions."""
    act = random_actions(task, np.random.default_rng(seed))
    observation, found = task.reset(seed), []
    for _ in range(ticks):
        action = act(observation)
        transition = task.step(action)
        found.append((observation, action, transition))
        observation = transition.observation
    return found


@pytest.fixture(params=IDS)
def task(request: pytest.FixtureRequest) -> ControlTask:
    return make(request.param)


def test_contract_it_is_a_task_with_a_true_specification(task: ControlTask):
    assert isinstance(task, Task)
    assert (task.spec.envs, task.spec.horizon) == (5, HORIZON)
    observation = task.reset(0)
    assert observation.shape == (5, task.spec.observation_size)
    assert observation.dtype == (np.float32 if task.spec.picture is None else np.uint8)
    assert task.spec.action.discrete == (task.spec.action.low.size == 0)


def test_contract_serials_number_every_step_of_the_run(task: ControlTask):
    serials = np.concatenate([step.serial for _, _, step in (*travel(task, 0, 9), *travel(task, 1, 9))])
    assert serials.tolist() == list(range(18 * 5))


def test_contract_steps_are_counted_by_purpose_and_resets_are_not(task: ControlTask):
    real = {}
    for purpose in ("collect", "improve", "judge"):
        task.count_as(purpose)
        real[purpose] = sum(int(step.real.sum()) for _, _, step in travel(task, 1))
    assert task.steps() == real
    assert 0 < sum(real.values()) <= 3 * TICKS * 5


def test_contract_a_sibling_counts_on_the_same_counter_and_leaves_the_rest_alone(task: ControlTask):
    travel(task, 0, 3)
    sibling = task.sibling(2)
    sibling.count_as("judge")
    travel(sibling, 0, 4)
    assert task.steps()["judge"] == sibling.steps()["judge"] > 0
    assert (task.tick, sibling.tick, sibling.spec.envs) == (3, 4, 2)


def test_contract_no_transition_crosses_a_reset(task: ControlTask):
    """`final` ends an episode, `observation` begins the next, and in between each step acts on what the last led to."""
    steps, age = travel(task, 2), np.zeros(5, int)
    for tick, (_, _, step) in enumerate(steps):
        ended = step.terminated | step.truncated
        age += step.real
        assert not (step.terminated & step.truncated).any()
        assert not ended[~step.real].any()
        assert (step.final[~ended & step.real] == step.observation[~ended & step.real]).all()
        assert (age <= HORIZON).all()
        assert (step.truncated == (age == HORIZON) & ~step.terminated & step.real).all()
        if tick + 1 < len(steps):
            # Whether the reset takes a call of its own or not, that call is no step.
            wasted = ~steps[tick + 1][2].real
            assert (ended[wasted]).all()
        age[ended] = 0
    assert any((step.terminated | step.truncated).any() for _, _, step in steps)


def test_contract_what_follows_a_reset_depends_on_the_seed_alone(task: ControlTask):
    first = travel(task, 3, 20)
    travel(task, 4, 11)
    again = travel(task, 3, 20)
    fresh = travel(make(task.spec.id), 3, 20)
    for old, new, other in zip(first, again, fresh, strict=True):
        for name in ("observation", "final", "terminated", "truncated", "real"):
            assert np.array_equal(getattr(old[2], name), getattr(new[2], name))
            assert np.array_equal(getattr(old[2], name), getattr(other[2], name))
    assert not np.array_equal(first[0][0], travel(task, 5, 1)[0][0]) or task.spec.id == LADDER


def test_contract_copies_do_not_run_in_step(task: ControlTask):
    last = travel(task, 6, 5)[-1][2].final
    assert len(np.unique(last, axis=0)) == 5 or task.spec.id == LADDER


def test_contract_the_truth_is_sealed(task: ControlTask):
    """What a policy can reach through the protocol names no reward, and the ledger is shut until it was begun."""
    assert not [field.name for field in fields(Transition) if "reward" in field.name]
    assert not [field.name for field in fields(task.spec) if "reward" in field.name]
    methods = [getattr(ControlTask, name) for name in dir(Task) if not name.startswith("_") and name != "spec"]
    for method in methods:
        assert "reward" not in str(inspect.signature(method)).lower()
    travel(task, 0, 3)
    with pytest.raises(InputError, match="begin the ledger"):
        task.truth.at(np.array([0]))
    task.truth.start(task.tick)
    travel(task, 0, 2)
    assert task.truth.at(np.arange(15, 25)).shape == (10,)
    with pytest.raises(InputError, match="tick 2"):
        task.truth.at(np.array([14, 15]))
    with pytest.raises(InputError, match="tick 5"):
        task.truth.at(np.array([25]))


@pytest.mark.parametrize("id", ["CartPole-v1", "accord/FixedCartPole-v0"])
def test_golden_every_real_step_obeys_the_physics(id: str):
    """One step of Gymnasium's scalar CartPole from each observation gives `final`: no row mixes two episodes."""
    one = CartPoleEnv()
    one.reset(seed=0)
    for observation, action, step in travel(make(id, envs=4, horizon=9), 0, 60):
        for env in np.flatnonzero(step.real):
            one.state, one.steps_beyond_terminated = observation[env].astype(np.float64), None
            led_to, *_ = one.step(int(action[env]))
            assert np.allclose(led_to, step.final[env], atol=1e-5)


def test_golden_rewards_of_the_call_that_resets_are_nothing():
    task = make("CartPole-v1")
    task.truth.start(0)
    steps = travel(task, 0)
    reward = task.truth.at(np.arange(TICKS * 5)).reshape(TICKS, 5)
    real = np.stack([step.real for _, _, step in steps])
    assert not real.all() and (reward == real).all()


def test_golden_nested_observations_become_rows():
    task = make(LADDER, envs=2)
    assert (task.spec.observation_size, task.spec.action.size) == (3, 3)
    assert task.reset(0).tolist() == [[0.0, 0.0, 0.5]] * 2
    assert task.step(np.array([1, 2])).observation.tolist() == [[1.0, 1.0, 0.5], [1.0, 2.0, 0.5]]


def test_golden_a_table_of_floats_becomes_one_row_its_own_rows_one_after_another():
    task = make(ROWS, envs=2)
    row = np.linspace(-1, 1, 6, dtype=np.float32).tolist()
    assert (task.spec.observation_size, task.spec.low.shape) == (6, (6,))
    assert task.reset(0).tolist() == task.step(np.zeros(2, int)).observation.tolist() == [row, row]


def test_golden_observations_are_clipped_to_the_declared_range():
    task = make(WILD, envs=1)
    assert task.reset(0).tolist() == [[1.0, -1.0]]
    step = task.step(np.array([0]))
    assert step.observation.tolist() == step.final.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("where", ["observation", "reward"])
def test_contract_a_number_that_is_none_is_told_with_its_place(where: str):
    task = make(BROKEN[where], envs=2)
    task.reset(0)
    for _ in range(3):
        task.step(np.zeros(2, int))
    before = dict(task.steps())
    with pytest.raises(
        NotFinite, match=rf"The {where} of accord-test/Broken{where}-v0 became .*nan.* in copy 0 at step 3"
    ):
        task.step(np.zeros(2, int))
    assert task.steps() == before


@pytest.mark.parametrize(
    ("id", "names"),
    [
        ("CartPole-v9", "did you mean CartPole-v1"),
        ("Pendulm-v1", "did you mean Pendulum-v1"),
        ("", "pprint_registry"),
        ("nowhere:0123456789", "pprint_registry"),
        (STRANGE["multidiscrete"], "MultiDiscrete"),
        (STRANGE["shifted"], "start at 1"),
        (STRANGE["table"], "Box"),
        (STRANGE["image"], "(8, 8, 3)"),
        (STRANGE["film"], "(4, 8, 8, 3)"),
        (STRANGE["labelled"], "(8, 8)"),
        (STRANGE["volume"], "(2, 3, 4)"),
        (STRANGE["discrete"], "Discrete(3)"),
        (ENDLESS, "task.horizon"),
    ],
)
def test_contract_what_is_not_understood_is_refused_in_one_sentence(id: str, names: str):
    with pytest.raises(InputError) as refused:
        make(id, horizon=None)
    sentence = str(refused.value)
    assert names in sentence and id in sentence
    assert "\n" not in sentence and ". " not in sentence.replace("...", "") and sentence.endswith((".", "?"))


@pytest.mark.parametrize(("name", "value"), [("envs", 0), ("envs", 10**6), ("horizon", 1), ("cut", 0)])
def test_contract_ranges_are_checked(name: str, value: int):
    with pytest.raises(InputError, match=rf"task\.{name} is {value};"):
        ControlConfig(**{name: value})


@pytest.mark.parametrize(("id", "factor"), [(LOOPED, 1), ("accord/FixedCartPole-v0", 2)])  # looped and vectorised
def test_golden_a_cut_shortens_training_alone_from_copy_to_copy_by_one_factor_up_to_the_horizon(id: str, factor: int):
    task = ControlTask(ControlConfig(id=id, envs=3, cut=2 * factor, horizon=8 * factor))
    ends = np.stack([step.truncated for _, _, step in travel(task, 0, 8 * factor)], 1)
    assert [(1 + np.flatnonzero(copy)).tolist() for copy in ends] == [
        [n * factor for n in ticks] for ticks in ([2, 4, 6, 8], [4, 8], [8])
    ]
    assert task.spec.horizon == 8 * factor
    uncut = [step.truncated.all() for _, _, step in travel(task.sibling(2), 0, 8 * factor)]
    assert uncut == [False] * (8 * factor - 1) + [True]


def test_golden_which_tasks_end_by_themselves():
    known = {id: make(id).spec.terminates for id in ("Pendulum-v1", "accord/FixedCartPole-v0", "CartPole-v1", LADDER)}
    assert list(known.values()) == [False, False, True, True]
    assert not ControlTask(ControlConfig(id=LADDER, envs=1, terminates=False)).spec.terminates


def test_golden_an_endless_environment_is_accepted_with_a_horizon():
    task = make(ENDLESS, horizon=4)
    assert [bool(step.truncated.all()) for _, _, step in travel(task, 0, 8)] == [False, False, False, True] * 2
