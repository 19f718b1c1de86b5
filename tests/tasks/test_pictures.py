"""Golden, contract: observations that are pictures become flat bytes, channel by channel, and stay bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from accord.tasks import demonstrations
from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask
from accord.tasks.pictures import coarse, flattened, picture_of
from accord.tasks.recent import WINDOW_BYTES, WINDOW_STEPS, Recent
from accord.types import InputError, Steps, segment_id
from tests.tasks.environments import FRAMES, SQUARE


def box(*shape: int, kind: type = np.uint8) -> spaces.Box:
    return spaces.Box(0, 255, shape, kind)


@pytest.mark.parametrize(
    ("space", "picture"),
    [
        (box(84, 60, 3), (3, 84, 60)),
        (box(12, 12, 1), (1, 12, 12)),
        (box(4, 84, 60), (4, 84, 60)),
        (box(84, 60), (1, 84, 60)),
        (box(7), None),
        (box(2, 8, 8, 3), None),
        (box(84, 84, 3, kind=np.float32), None),
        (spaces.Dict({"a": box(84, 84)}), None),
    ],
)
def test_golden_what_is_a_picture_and_of_which_shape(space: spaces.Space, picture: tuple[int, int, int] | None):
    assert picture_of(space) == picture


def test_golden_a_row_is_the_picture_channel_by_channel():
    colours = np.arange(2 * 3 * 2, dtype=np.uint8).reshape(2, 3, 2)  # [height, width, channel]
    assert flattened(colours).tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]
    frames = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)  # [frame, height, width]
    assert flattened(frames).tolist() == list(range(24))


def test_golden_the_square_is_where_the_row_says():
    task = ControlTask(ControlConfig(id=SQUARE, envs=3))
    assert task.spec.picture == (1, 12, 12) and task.spec.observation_size == 144 and not len(task.spec.low)
    before = task.reset(0).reshape(3, 12, 12)
    after = task.step(np.array([1, 1, 2])).observation.reshape(3, 12, 12)
    assert before.dtype == after.dtype == np.uint8 and (before.sum((1, 2)) == 4 * 255).all()
    assert np.array_equal(before[:2], after[:2])
    assert np.array_equal(np.roll(before[2], 1, 1), after[2]) or np.array_equal(before[2], after[2])  # at the edge


def test_golden_frames_are_channels():
    task = ControlTask(ControlConfig(id=FRAMES, envs=2))
    first = task.reset(0).reshape(2, 2, 144)
    second = task.step(np.array([0, 2])).observation.reshape(2, 2, 144)
    assert task.spec.picture == (2, 12, 12)
    assert not first[:, 0].any() and np.array_equal(first[:, 1], second[:, 0])


def test_contract_segments_keep_bytes_and_are_told_from_numbers():
    task = ControlTask(ControlConfig(id=SQUARE, envs=2))
    explore(task, 30, 0)
    made = collect(task, 3, 8, np.random.default_rng(0), round=0, policy_version=0, seed=0)[0].segment
    assert isinstance(made, Steps) and made.observation.dtype == np.uint8 and made.observation.nbytes == 8 * 144
    assert made.action.dtype == np.float32
    numbers = Steps(made.observation.astype(np.float32), made.action, made.valid, made.ended)
    assert segment_id(numbers) != segment_id(made)


def test_golden_fewer_steps_are_kept_of_large_pictures_and_as_many_of_numbers():
    kept = [Recent(16, pixels)._rows.maxlen for pixels in (0, 144, 84 * 84 * 4)]
    assert kept == [WINDOW_STEPS // 16, WINDOW_STEPS // 16, WINDOW_BYTES // (84 * 84 * 4) // 16]


@pytest.mark.parametrize("picture", [(1, 12, 12), (2, 84, 84), (3, 5, 20), (1, 9, 1)])
def test_golden_a_coarse_picture_is_its_brightness_in_cells(picture: tuple[int, int, int]):
    channels, height, width = picture
    rows = np.random.default_rng(0).integers(0, 256, (2, channels * height * width), dtype=np.uint8)
    cells = coarse(rows, picture)
    assert cells.shape[1] <= channels * 49
    tall, wide = -(-height // min(height, 7)), -(-width // min(width, 7))
    corner = rows.reshape(2, channels, height, width)[:, :, :tall, :wide].mean((2, 3)) / 255
    assert np.allclose(cells.reshape(2, channels, -1)[:, :, 0], corner, atol=1e-6)
    assert np.allclose(coarse(np.full_like(rows, 255), picture), 1.0)


def test_contract_demonstrations_of_pictures_are_bytes(tmp_path: Path):
    spec, path = ControlTask(ControlConfig(id=SQUARE, envs=1)).spec, tmp_path / "shown.npz"
    rows = np.random.default_rng(0).integers(0, 256, (9, 144), dtype=np.uint8)
    np.savez(path, obs=rows, acts=np.zeros(8, int), indices=np.zeros(0, int))
    assert demonstrations.read(path, spec)[0][0].dtype == np.uint8
    np.savez(path, obs=rows / 255.0, acts=np.zeros(8, int), indices=np.zeros(0, int))
    with pytest.raises(InputError, match="pictures are uint8"):
        demonstrations.read(path, spec)
