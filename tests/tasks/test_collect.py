"""Golden, property, invariance: segments cut from the steps taken last, and true returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.tasks.collect import collect, cuttable, evaluate, explore, random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.tasks.recent import WINDOW_STEPS, Recent, Window
from accord.types import Collected, InputError, Steps
from tests.tasks.environments import FOLLOW, IDENTITY, LADDER, LEAVE, SQUARE

TIME, ENVS = 12, 2


def window_of(terminated: np.ndarray, truncated: np.ndarray, real: np.ndarray) -> Window:
    rows = np.arange(terminated.size, dtype=np.float32).reshape(terminated.shape)
    begun = np.zeros(terminated.shape, np.int64)
    return Window(
        rows[..., None], rows[..., None], rows, terminated, truncated, real, begun, np.zeros((*real.shape, 0)), 0
    )


def may_start(window: Window, t: int, env: int, length: int) -> bool:
    """By walking: each step is real, nothing but a termination ends it early, and it stays in the window."""
    for k in range(t, t + length):
        if k >= len(window) or not window.real[k, env]:
            return False
        if window.terminated[k, env]:
            return True
        if window.truncated[k, env] and k < t + length - 1:
            return False
    return True


flags = st.lists(st.sampled_from("....tcr"), min_size=TIME * ENVS, max_size=TIME * ENVS)


@given(flags, st.integers(1, TIME))
def test_property_where_segments_may_start_is_what_walking_finds(drawn: list[str], length: int):
    marks = np.array(drawn).reshape(TIME, ENVS)
    window = window_of(marks == "t", marks == "c", marks != "r")
    found = cuttable(window, length)
    wanted = [[may_start(window, t, env, length) for env in range(ENVS)] for t in range(TIME)]
    assert found.tolist() == wanted


def explored(id: str, ticks: int, envs: int = 3, horizon: int | None = None) -> ControlTask:
    task = ControlTask(ControlConfig(id=id, envs=envs, horizon=horizon))
    explore(task, ticks, seed=0)
    return task


def cut(task: ControlTask, n: int, length: int, seed: int = 0) -> list[Collected]:
    return collect(task, n, length, np.random.default_rng(seed), round=2, policy_version=3, seed=seed)


def steps_of(made: Collected) -> Steps:
    assert isinstance(made.segment, Steps)
    return made.segment


@pytest.mark.parametrize("id", [LADDER, LEAVE, "CartPole-v1", FOLLOW, "accord/FixedCartPole-v0", SQUARE])
def test_property_segments_are_stretches_of_one_episode(id: str):
    task = explored(id, 120, horizon=20)
    window = task.recent.window(task.spec.action.size if task.spec.action.discrete else None)
    length = 6
    every = cut(task, 10**6, length)
    assert len(every) == int(cuttable(window, length).sum()) > 20
    for made in every:
        segment, origin = steps_of(made), made.provenance
        steps = int(segment.valid.sum())
        assert segment.valid.tolist() == [True] * steps + [False] * (length - steps)
        begun, env = divmod(origin.episode, task.spec.envs)
        first = begun + origin.start - window.tick
        rows = slice(first, first + steps)
        assert np.array_equal(segment.observation[:steps], window.observation[rows, env])
        assert np.array_equal(segment.action[:steps], window.action[rows, env])
        assert made.truth is not None and np.array_equal(made.truth[:steps], window.reward[rows, env])
        assert (window.begun[rows, env] == begun).all() and window.real[rows, env].all()
        assert not window.truncated[rows, env][:-1].any() and not window.terminated[rows, env][:-1].any()
        assert segment.ended == bool(window.terminated[rows, env][-1])
        assert steps == length or segment.ended
        # Past the end is the absorbing state, worth 0.
        for padded in (segment.observation[steps:], segment.action[steps:], made.truth[steps:]):
            assert not padded.any()
    ended = any(steps_of(made).ended for made in every)
    assert ended == (id in (LADDER, LEAVE, "CartPole-v1"))


def test_golden_a_segment_tells_the_step_it_started_at():
    """The ladder shows its step's number, so `start` must be what the first observation shows."""
    for made in cut(explored(LADDER, 60), 10**6, 4):
        segment = steps_of(made)
        assert segment.observation[0, 0] == made.provenance.start
        assert made.truth is not None and made.truth[0] == made.provenance.start + 1


def test_golden_an_episode_is_one_group_and_no_other():
    task = explored(LADDER, 60)
    numbers: dict[str, list[float]] = {}
    for made in cut(task, 10**6, 1):
        numbers.setdefault(made.provenance.group, []).append(float(steps_of(made).observation[0, 0]))
    for counts in numbers.values():
        assert counts == list(range(len(counts)))


def test_property_segments_are_drawn_without_repeat_and_by_the_seed():
    task = explored(IDENTITY, 60)
    key = lambda made: (made.provenance.episode, made.provenance.start)  # noqa: E731
    first, again, other = (list(map(key, cut(task, 15, 4, seed))) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 15


def test_property_every_place_is_as_likely_as_any_other():
    task = explored(IDENTITY, 12, envs=1)
    places = [made.provenance.episode + made.provenance.start for seed in range(600) for made in cut(task, 1, 4, seed)]
    counts = np.unique(places, return_counts=True)[1]
    expected = 600 / len(counts)
    assert len(counts) == len(cut(task, 99, 4))
    assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5


def test_golden_a_segment_is_no_longer_than_an_episode_and_too_few_steps_make_none():
    assert {len(steps_of(made).valid) for made in cut(explored(IDENTITY, 50), 9, 500)} == {10}
    assert len(cut(explored(IDENTITY, 5), 99, 5)) == 3
    with pytest.raises(InputError, match="explore first"):
        cut(ControlTask(ControlConfig(id=IDENTITY, envs=1)), 1, 2)


def test_golden_no_segment_runs_across_a_reset_that_was_asked_for():
    task = explored("accord/FixedCartPole-v0", 10)
    explore(task, 10, seed=1)
    places = {(made.provenance.episode // 3, made.provenance.start) for made in cut(task, 999, 6)}
    assert places == {(begun, start) for begun in (0, 10) for start in range(5)}


def test_golden_only_the_last_steps_are_kept():
    recent, envs = Recent(WINDOW_STEPS // 4), WINDOW_STEPS // 4
    row, flat = np.zeros((envs, 1), np.float32), np.zeros(envs, np.float32)
    none = np.zeros(envs, bool)
    recent.begin(row)
    for tick in range(7):
        recent.record(np.zeros(envs, int), row, flat + tick, none, none, ~none, np.zeros((envs, 0)))
    window = recent.window(2)
    assert (len(window), window.tick) == (4, 3)
    assert window.reward[:, 0].tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize("id", [LADDER, "CartPole-v1", FOLLOW, SQUARE])
def test_invariance_saved_and_loaded_the_same_segments_are_cut_now_and_later(id: str, tmp_path: Path):
    task, other = explored(id, 40), ControlTask(ControlConfig(id=id, envs=3))
    task.recent.save(tmp_path / "recent.safetensors")
    other.recent.load(tmp_path / "recent.safetensors")
    other.resume(task.steps(), task.tick)
    for later in range(2):
        for mine, theirs in zip(cut(task, 20, 5), cut(other, 20, 5), strict=True):
            assert mine.provenance == theirs.provenance
            for name in ("observation", "action", "valid"):
                ours, loaded = getattr(mine.segment, name), getattr(theirs.segment, name)
                assert np.array_equal(ours, loaded) and ours.dtype == loaded.dtype
            assert np.array_equal(mine.truth, theirs.truth)
        for each in (task, other):
            explore(each, 10 + later, seed=7)
    assert task.steps() == other.steps()


def test_golden_exploring_is_counted_as_collecting():
    assert explored(IDENTITY, 7).steps() == {"collect": 21}


def test_golden_random_actions_cover_the_range_and_keep_to_the_bounds():
    task = explored(FOLLOW, 1, envs=400)
    actions = random_actions(task, np.random.default_rng(0))(np.zeros((400, 2), np.float32))
    assert actions.dtype == np.float32 and actions.shape == (400, 1)
    assert -4 <= actions.min() < -3.5 and 3.5 < actions.max() <= 4


def test_golden_the_return_is_of_the_first_episode_of_each_copy():
    """A ladder of n steps pays 1 + 2 + ... + n; a second, shorter episode of a copy is not counted."""
    task = ControlTask(ControlConfig(id=LADDER, envs=6))
    lengths = [env.unwrapped.length for env in task._stepper._stepper._envs if task.reset(5) is not None]
    returns = evaluate(task, lambda _: np.zeros(6, int), 5)
    assert returns.tolist() == [n * (n + 1) / 2 for n in lengths]
    assert task.steps() == {"judge": 6 * max(lengths)}


def test_golden_cartpoles_return_is_its_length():
    task = ControlTask(ControlConfig(id="CartPole-v1", envs=8))
    returns = evaluate(task, lambda _: np.zeros(8, int), 3)
    observation, alive, lengths = task.reset(3), np.ones(8, bool), np.zeros(8)
    while alive.any():
        step = task.step(np.zeros(8, int))
        lengths += alive
        alive &= ~step.terminated
    assert returns.tolist() == lengths.tolist() and observation.shape == (8, 4)


def test_invariance_a_return_is_a_function_of_the_seed_and_the_actions():
    task = ControlTask(ControlConfig(id="accord/FixedCartPole-v0", envs=4, horizon=50))
    act = lambda seen: (seen[:, 2] > 0).astype(int)  # noqa: E731
    first = evaluate(task, act, 1)
    other = evaluate(task, act, 2)
    assert np.array_equal(first, evaluate(task, act, 1))
    assert other.shape == (4,) and first.max() <= 50
