"""Golden, contract, invariance: an Atari game as a task. Skipped where ale-py or OpenCV is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, Steps

PONG = "ALE/Pong-v5"


@pytest.fixture
def pong() -> ControlTask:
    pytest.importorskip("ale_py", reason="ale-py is not installed: pip install 'accord[atari]'")
    pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'accord[atari]'")
    return ControlTask(ControlConfig(id=PONG, envs=2))


@pytest.mark.slow
def test_golden_a_game_is_four_grey_frames_of_84_by_84(pong: ControlTask):
    spec = pong.spec
    assert (spec.picture, spec.observation_size, spec.horizon) == ((4, 84, 84), 28_224, 27_000)
    assert spec.action.discrete and spec.action.size == 6 and spec.terminates
    frames = pong.reset(0).reshape(2, 4, 84, 84)
    assert frames.dtype == np.uint8 and frames.max() > 100
    step = pong.step(np.array([2, 3]))
    assert np.array_equal(step.observation.reshape(2, 4, 84, 84)[:, :3], frames[:, 1:])
    assert pong.steps() == {"improve": 2}


@pytest.mark.slow
def test_invariance_what_follows_a_reset_depends_on_the_seed_alone(pong: ControlTask):
    def travel(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [pong.reset(seed), *(pong.step(rng.integers(6, size=2)).observation for _ in range(20))]

    first, _, again = travel(0), travel(1), travel(0)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.slow
def test_golden_an_episode_is_cut_after_steps_and_not_frames(pong: ControlTask):
    task = ControlTask(ControlConfig(id=PONG, envs=2, horizon=9))
    task.reset(0)
    ended = [task.step(np.zeros(2, int)).truncated for _ in range(18)]
    assert [bool(each.all()) for each in ended] == ([False] * 8 + [True]) * 2


@pytest.mark.slow
def test_golden_segments_of_a_game_are_bytes(pong: ControlTask):
    explore(pong, 30, 0)
    made = collect(pong, 2, 20, np.random.default_rng(0), round=0, policy_version=0, seed=0)[0].segment
    assert isinstance(made, Steps) and made.observation.nbytes == 20 * 28_224


@pytest.mark.parametrize("missing", ["ale_py", "cv2"])
def test_contract_a_missing_package_is_told_in_one_sentence(missing: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match="accord\\[atari\\]") as refused:
        ControlTask(ControlConfig(id=PONG))
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)
