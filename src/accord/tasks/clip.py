"""One episode of a policy as an animated WebP, for people to look at.

Floor 2. Nothing is measured or learned from this episode, so its steps are counted nowhere; the return that the
environment paid for it stands beside the picture and goes nowhere else.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from PIL import Image

from accord import records, runtime
from accord.durable import write_bytes
from accord.tasks.control import ControlConfig, ControlTask, make
from accord.types import Act

WIDTH = 320  # pixels, and no higher than wide
FRAMES = 150
GAP = 1 / 12  # seconds of the environment's own time between two frames, at most: beyond it a gait is no longer seen
BYTES = 1_500_000  # what a page can carry; beyond it quality falls, then every second frame goes
QUALITIES = (75, 50, 30)
QUICKEST, SLOWEST = 20, 200  # milliseconds a frame is shown; browsers slow down what is quicker
FPS = 30  # where the environment does not say

FOLLOWED = ("Ant-", "HalfCheetah-", "Swimmer-")  # Gymnasium looks at where they began: they would leave the picture

Render = Callable[[], object]


class Unseen(Exception):
    """The environment cannot be rendered; `why` is a word of `records.NoClip`."""

    def __init__(self, why: records.Why, detail: str = "") -> None:
        super().__init__(detail)
        self.no_clip = records.NoClip(why, detail)


class Reel:
    """At most 150 pictures of one episode, evenly spaced, and the step after which each was taken.

    They span the episode where that keeps them close enough together, else its beginning. What cannot be drawn ends
    them, as a cart so far off its track that its place on the canvas is no number any more.
    """

    def __init__(self, render: Render, fps: float, horizon: int) -> None:
        self._render = render
        self.stride = max(1, min(int(GAP * fps), math.ceil(horizon / FRAMES)))
        self.frames: list[Image.Image] = []
        self.steps: list[int] = []
        self._open = True

    def take(self, step: int, last: bool = False) -> None:
        """The picture after a step, if it is due; the last one always is, where there is room."""
        if not self._open or not (last or step % self.stride == 0):
            return
        try:
            self.frames.append(picture(self._render))
        except Unseen:
            if not self.frames:
                raise
            self._open = False
            return
        self.steps.append(step)
        self._open = len(self.frames) < FRAMES


def write(task: ControlTask, act: Act, seed: int, path: Path) -> records.Clip | records.NoClip:
    """Plays one episode in a copy of its own and writes it to `path`; says why where it cannot be seen."""
    runtime.draw_without_screen()
    try:
        env = opened(task.config)
        try:
            observation, _ = env.reset(seed=seed)
            fps = fps_of(env, task.spec.id)
            reel = Reel(env.render, fps, task.spec.horizon)
            steps, paid = _play(env, observation, task, act, reel)
        finally:
            env.close()
    except Unseen as unseen:
        return unseen.no_clip
    pace = round(min(max(1000 * reel.stride / fps, QUICKEST), SLOWEST))
    content, thinned = encode(reel.frames, pace)
    write_bytes(path, content)
    width, height = reel.frames[0].size
    frames = len(reel.frames[::thinned])
    return records.Clip(seed, steps, paid, reel.steps[-1], reel.stride * thinned, frames, width, height)


def encode(frames: list[Image.Image], pace: int) -> tuple[bytes, int]:
    """Frames as an animated WebP that repeats without end, and which of them it holds: each, each second, each fourth.

    `pace` is the milliseconds from one frame to the next.
    """
    each = 1
    while True:
        first, *rest = frames[::each]
        for quality in QUALITIES:
            file = io.BytesIO()
            first.save(
                file, "WEBP", save_all=True, append_images=rest, duration=pace * each, loop=0, quality=quality, method=2
            )
            if file.tell() <= BYTES or (quality == QUALITIES[-1] and not rest):
                return file.getvalue(), each
        each *= 2


def opened(config: ControlConfig) -> gymnasium.Env:
    """A copy that draws what it does. Raises Unseen where it cannot."""
    plain = make(config)
    modes = plain.metadata.get("render_modes") or ()
    plain.close()
    if "rgb_array" not in modes:
        raise Unseen("mode")
    camera: dict[str, Any] = {"camera_name": "track"} if config.id.startswith(FOLLOWED) else {}
    try:
        return make(config, render_mode="rgb_array", **camera)
    except Exception as error:
        raise _failed(error) from error


def fps_of(env: gymnasium.Env, id: str) -> float:
    """Steps a second of the environment's own time; some environments know it only after a reset."""
    said = float(env.metadata.get("render_fps") or FPS)
    return 1000 / said if id.startswith("dm_control/") else said  # shimmy says how many milliseconds a step takes


def _play(env: gymnasium.Env, observation: object, task: ControlTask, act: Act, reel: Reel) -> tuple[int, float]:
    """Steps and true return of the episode."""
    spec, steps, paid, over = task.spec, 0, 0.0, False
    reel.take(0)
    while not over:
        row = np.asarray(spaces.flatten(env.observation_space, observation), np.float32)
        row = np.clip(row, spec.low, spec.high) if spec.low.size else row
        action = act(row[None])[0]
        observation, reward, terminated, truncated, _ = env.step(int(action) if spec.action.discrete else action)
        steps, paid, over = steps + 1, paid + float(reward), terminated or truncated
        reel.take(steps, last=over)
    return steps, paid


def picture(render: Render) -> Image.Image:
    """What is to be seen now, no larger than needed. Raises Unseen: a foreign renderer may raise anything."""
    try:
        seen = np.asarray(render())
        found = Image.fromarray(seen).convert("RGB")
    except Exception as error:
        raise _failed(error) from error
    found.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    return found


def _failed(error: Exception) -> Unseen:
    told = " ".join(str(error).split()) or "no reason was given"
    return Unseen("failed", f"{type(error).__name__}: {told}"[:200])
