"""Contract: environments of other packages are registered when one is asked for, and never before; a package that is
missing is named with its remedy. Golden: how long their episodes are, and what ends them.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accord import records
from accord.tasks import clip, extras
from accord.tasks.collect import random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError

WALKER, QUADRUPED, HIGHWAY = "dm_control/walker-walk-v0", "dm_control/quadruped-walk-v0", "highway-fast-v0"
SIZES = {WALKER: (24, 6), QUADRUPED: (78, 12), HIGHWAY: (25, 5)}

# Their own code warns: of what is deprecated in MuJoCo, in NumPy and in setuptools.
pytestmark = pytest.mark.filterwarnings("ignore")


def need(id: str) -> None:
    """Skips where the package is not installed. It is not imported here: what imports it first settles how it draws."""
    for package in ("highway_env",) if id == HIGHWAY else ("shimmy", "dm_control"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: {id} was not tested.")


def travel(task: ControlTask, seed: int, ticks: int) -> list[np.ndarray]:
    """Observation, terminated and truncated of each tick under random actions, as one row a copy."""
    act = random_actions(task, np.random.default_rng(seed))
    observation, found = task.reset(seed), []
    for _ in range(ticks):
        step = task.step(act(observation))
        ends = np.stack([step.terminated, step.truncated], 1).astype(np.float32)
        observation = step.observation
        found.append(np.concatenate([step.final, ends], 1))
    return found


@pytest.mark.parametrize("id", SIZES)
def test_golden_observations_are_rows_and_the_seed_alone_decides(id: str):
    need(id)
    task = ControlTask(ControlConfig(id=id, envs=2))
    assert (task.spec.observation_size, task.spec.action.size) == SIZES[id]
    assert task.spec.action.discrete == (id == HIGHWAY)
    first = travel(task, 3, 12)
    travel(task, 4, 5)
    assert np.array_equal(first, travel(task, 3, 12))
    assert not np.array_equal(first, travel(task, 5, 12))


@pytest.mark.parametrize("id", [WALKER, QUADRUPED])
def test_golden_dm_control_ends_after_1000_steps_and_by_nothing_else(id: str):
    need(id)
    task = ControlTask(ControlConfig(id=id, envs=1))
    assert (task.spec.horizon, task.spec.terminates) == (1000, False)
    ends = np.stack(travel(task, 0, 1001))[:, 0, -2:]
    assert (ends[:, 0] == 0).all() and np.flatnonzero(ends[:, 1]).tolist() == [999]
    assert ControlTask(ControlConfig(id=id, envs=1, horizon=50)).spec.horizon == 50


def test_golden_driving_ends_in_a_crash_or_after_30_seconds():
    need(HIGHWAY)
    task = ControlTask(ControlConfig(id=HIGHWAY, envs=4))
    assert (task.spec.horizon, task.spec.terminates) == (30, True)
    task.reset(0)
    ended = np.zeros(4, bool)
    for tick in range(30):
        step = task.step(np.full(4, 3))  # faster and faster
        ended |= step.terminated
        assert step.truncated.sum() == 0 or tick == 29
    assert ended.any()


@pytest.mark.parametrize("id", SIZES)
def test_contract_they_are_drawn_or_it_is_said_why_not(id: str, tmp_path: Path):
    need(id)
    task = ControlTask(ControlConfig(id=id, envs=1, horizon=12))
    found = clip.write(task, random_actions(task, np.random.default_rng(0)), 0, tmp_path / "clip.webp")
    if isinstance(found, records.NoClip):
        assert found.why == "failed" and found.detail and id != HIGHWAY  # which needs no screen and no OpenGL
    else:
        assert 0 < found.steps <= 12 and found.width <= 320 and (tmp_path / "clip.webp").is_file()


@pytest.mark.parametrize(
    ("id", "package", "extra"), [(WALKER, "shimmy", "dm-control"), (HIGHWAY, "highway_env", "driving")]
)
def test_contract_a_missing_package_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, id: str, package: str, extra: str
):
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what cannot be imported
    with pytest.raises(InputError) as refused:
        ControlTask(ControlConfig(id=id, envs=1))
    sentence = str(refused.value)
    assert id in sentence and package in sentence and f"pip install 'accord[{extra}]'" in sentence
    assert "\n" not in sentence


def test_contract_nothing_is_imported_for_other_ids():
    code = (
        "import sys; from accord.tasks.control import ControlConfig, ControlTask; "
        "ControlTask(ControlConfig(id='CartPole-v1')); "
        "assert not {'shimmy', 'dm_control', 'highway_env', 'mujoco', 'PIL'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


def test_golden_which_extra_an_id_belongs_to():
    found = [extras.extra_of(id) for id in (WALKER, HIGHWAY, "highway-v0", "merge-v0", "CartPole-v1", "HalfCheetah-v5")]
    assert [each and (each.extra, each.horizon) for each in found] == [
        ("dm-control", 1000), ("driving", 30), ("driving", 40), ("driving", None), None, None,
    ]  # fmt: skip
