"""Golden: which frames of an episode are kept, and what is said of them. Contract: a run goes on where none can be
seen. Invariance: the same seed, the same clip.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image

from accord import records
from accord.tasks import clip
from accord.tasks.control import ControlConfig, ControlTask
from tests.tasks.environments import IDENTITY, Identity, Out, register


class Painted(Identity):
    """An episode of a given length each of whose pictures has a grey of its own; the reward is 1 a step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 24}  # noqa: RUF012

    def __init__(self, length: int = 10**9, broken: bool = False, render_mode: str | None = None) -> None:
        self.length, self.broken, self.render_mode = length, broken, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> Out:
        self.count += 1
        observation, _, _, truncated, info = super().step(action)
        return observation, 1.0, self.count >= self.length, truncated, info

    def render(self) -> np.ndarray:
        if self.broken:
            raise OSError("no\nscreen")
        return np.full((200, 640, 3), 37 * self.count % 256, np.uint8)


PAINTED = register("Painted", Painted, 40)
LONG = register("PaintedLong", Painted, 1000)
EARLY = register("PaintedEarly", Painted, 300, length=5)
UNSEEN = register("PaintedBroken", Painted, 40, broken=True)


def still(observation: np.ndarray, seed: int | None = None) -> np.ndarray:
    return np.zeros(len(observation), np.int64)


def made(id: str, path: Path) -> records.Clip | records.NoClip:
    return clip.write(ControlTask(ControlConfig(id=id, envs=2)), still, 7, path)


@pytest.mark.parametrize(
    ("id", "steps", "shown", "stride", "frames"),
    [
        (PAINTED, 40, 40, 1, 41),  # as many as there are
        (LONG, 1000, 298, 2, 150),  # at 24 frames a second two steps lie a twelfth of a second apart: then it is full
        (EARLY, 5, 5, 2, 4),  # of 300 steps each second one is due; the last one always is
    ],
)
def test_golden_frames_span_the_episode_or_its_beginning(
    tmp_path: Path, id: str, steps: int, shown: int, stride: int, frames: int
):
    found = made(id, tmp_path / "clip.webp")
    assert found == records.Clip(7, steps, float(steps), shown, stride, frames, 320, 100)
    with Image.open(tmp_path / "clip.webp") as picture:
        assert (picture.size, picture.n_frames, picture.info["loop"]) == ((320, 100), frames, 0)
        picture.seek(frames - 1)
        assert abs(picture.convert("L").getpixel((5, 5)) - (37 * shown % 256)) <= 4


def test_golden_what_is_too_large_loses_quality_and_then_frames(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (80, 80, 3), np.uint8)) for _ in range(8)]
    best, each = clip.encode(noise, 40)
    assert each == 1
    monkeypatch.setattr(clip, "BYTES", len(best) - 1)
    lower, each = clip.encode(noise, 40)
    assert (len(lower) < len(best), each) == (True, 1)
    monkeypatch.setattr(clip, "BYTES", len(best) // 8)
    fewer, each = clip.encode(noise, 40)
    assert len(fewer) <= len(best) // 8 and each > 1
    with Image.open(io.BytesIO(fewer)) as picture:
        assert picture.n_frames == 8 // each
    monkeypatch.setattr(clip, "BYTES", 1)
    assert clip.encode(noise, 40)[1] == 8  # one frame is left: it stays, however large


@pytest.mark.parametrize(("id", "why", "detail"), [(IDENTITY, "mode", ""), (UNSEEN, "failed", "OSError: no screen")])
def test_contract_where_nothing_can_be_seen_it_says_why(tmp_path: Path, id: str, why: str, detail: str):
    assert made(id, tmp_path / "clip.webp") == records.NoClip(why, detail)
    assert not (tmp_path / "clip.webp").exists()


def test_golden_what_cannot_be_drawn_ends_the_pictures_and_not_the_episode(tmp_path: Path):
    """Pushed to the left for 500 steps the cart leaves what pygame has numbers for."""
    found = made("accord/FixedCartPole-v0", tmp_path / "clip.webp")
    assert isinstance(found, records.Clip), found
    assert found.steps == 500 and 0 < found.shown < 499


def test_invariance_the_seed_alone_decides_and_no_step_is_counted(tmp_path: Path):
    first = made("accord/FixedCartPole-v0", tmp_path / "one.webp")
    assert isinstance(first, records.Clip), first
    assert first == made("accord/FixedCartPole-v0", tmp_path / "two.webp")
    assert (tmp_path / "one.webp").read_bytes() == (tmp_path / "two.webp").read_bytes()
    task = ControlTask(ControlConfig(envs=2))
    clip.write(task, still, 8, tmp_path / "two.webp")
    assert (tmp_path / "one.webp").read_bytes() != (tmp_path / "two.webp").read_bytes()
    assert task.steps() == {} and task.tick == 0


# Gymnasium's viewer complains while it is thrown away when there was no OpenGL to begin with.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_contract_mujoco_is_drawn_or_says_why_not(tmp_path: Path):
    pytest.importorskip("mujoco", reason="MuJoCo is not installed: no clip of it was made.")
    task = ControlTask(ControlConfig(id="Reacher-v5", envs=1))
    found = clip.write(task, lambda observation: np.zeros((1, 2), np.float32), 0, tmp_path / "clip.webp")
    if isinstance(found, records.NoClip):
        assert found.why == "failed" and found.detail
    else:
        assert (found.steps, found.width) == (50, 320) and (tmp_path / "clip.webp").is_file()
    assert gymnasium.spec("Reacher-v5").max_episode_steps == 50
