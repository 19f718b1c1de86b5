"""Clips of segments. Golden: which frames there are, and that they move."""

from __future__ import annotations

import io
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from PIL import Image

from accord.tasks.clip import WIDTH
from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask, make
from accord.tasks.film import COLUMNS, Projector, Strip, observed, played, plotted, told
from accord.types import Collected, Provenance, Steps
from tests.tasks.environments import FRAMES, SQUARE


class Breaks(gymnasium.Wrapper):
    """Draws so many times and then raises."""

    def __init__(self, env: gymnasium.Env, drawn: int) -> None:
        super().__init__(env)
        self.left = drawn

    def render(self) -> np.ndarray:
        self.left -= 1
        if self.left < 0:
            raise OverflowError("a place on the canvas is no number any more")
        return np.full((8, 8, 3), 50 * self.left, np.uint8)


def made(id: str, filmed: bool = True) -> Collected:
    task = ControlTask(ControlConfig(id=id, envs=2), filmed=filmed)
    explore(task, 30, 0)
    return collect(task, 1, 10, np.random.default_rng(0), round=0, policy_version=0, seed=0)[0]


def frames_of(strip: Strip) -> list[np.ndarray]:
    picture = np.asarray(Image.open(io.BytesIO(strip.webp)).convert("RGB"))
    columns = min(COLUMNS, strip.frames)
    width, height = picture.shape[1] // columns, picture.shape[0] // -(-strip.frames // COLUMNS)
    places = [divmod(frame, COLUMNS) for frame in range(strip.frames)]
    return [picture[r * height : (r + 1) * height, c * width : (c + 1) * width] for r, c in places]


@pytest.fixture
def projector():
    found = Projector()
    yield found
    found.close()


def test_golden_a_pendulum_is_drawn_before_each_step_and_after_the_last(projector: Projector):
    pytest.importorskip("pygame", reason="pygame is not installed: nothing is drawn")
    each = made("Pendulum-v1")
    strip = projector.strip(each.segment, each.provenance)
    frames = frames_of(strip)
    assert (strip.frames, strip.fps) == (11, 30) and len(frames) == 11
    assert max(frames[0].shape[:2]) <= WIDTH
    moved = [np.abs(a.astype(int) - b).max() for a, b in pairwise(frames)]
    assert min(moved) > 30  # a pendulum that is pushed is never still
    assert projector.strip(each.segment, each.provenance) == strip


@pytest.mark.parametrize("origin", ["Nobody-v0", "Pendulum-v1"])
def test_golden_what_cannot_be_played_again_is_plotted(projector: Projector, origin: str):
    each = made("Pendulum-v1", filmed=False)
    replay = b"" if origin == "Pendulum-v1" else bytes(16)
    strip = projector.strip(each.segment, Provenance(origin, 0, 0, 0, 0, 0, replay))
    frames = frames_of(strip)
    assert strip.frames == len(frames) == 10
    ink = [int((frame.min(2) < 128).sum()) for frame in frames]
    assert ink[0] < ink[4] < ink[-1]  # the curves grow


def test_golden_what_cannot_be_drawn_any_more_stays_as_it_was_seen():
    """A renderer that breaks after three frames, and one that never drew."""
    each = made("Pendulum-v1")
    state = np.frombuffer(each.provenance.replay, np.float64)
    for drawn, wanted in ((3, 11), (0, 0)):
        env = Breaks(make(ControlConfig(id="Pendulum-v1")), drawn)
        frames = [np.asarray(frame) for frame in played(env, each.segment, state)]
        assert len(frames) == wanted
        assert all(np.array_equal(frame, frames[2]) for frame in frames[3:])


def test_golden_pictures_are_shown_as_they_were_seen():
    """A bright square on the dark, one picture a step, of a stack of frames the newest."""
    for id in (SQUARE, FRAMES):
        each = made(id)
        space = make(ControlConfig(id=id)).observation_space
        frames = [np.asarray(frame) for frame in observed(each.segment, space)]
        assert len(frames) == 10 and frames[0].shape == (312, 312, 3)  # 12 pixels, 26 times as large
        assert all((frame.max(2) > 128).sum() == 4 * 26 * 26 for frame in frames)


def test_golden_of_many_observations_those_that_vary_most_are_plotted():
    rows = np.zeros((5, 20), np.float32)
    rows[:, [3, 17]] = np.arange(5)[:, None]
    segment = Steps(rows, np.zeros((5, 1), np.float32), np.arange(5) < 3, ended=True)
    assert len(plotted(segment)) == 3  # steps after the end are not shown


def test_golden_a_strip_tells_a_player_what_it_must_know():
    assert told(Strip(b"", 51, 50.0).mime) == {"frames": 51, "columns": COLUMNS, "fps": 50}
