"""A segment as a strip of frames that a page can draw in step with another: one WebP, frames side by side in rows.

Floor 2. What can be played again from a state of the simulator is rendered step by step in a copy of its own. Of the
rest the observations are shown where they are pictures, and plotted where not. Nothing is measured or learned here, so
the steps are counted nowhere.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from accord import runtime
from accord.tasks.clip import FPS, WIDTH, Unseen, fps_of, opened, picture
from accord.tasks.control import ControlConfig, install
from accord.tasks.pictures import picture_of
from accord.tasks.simulator import put
from accord.types import InputError, Provenance, Steps

COLUMNS = 8  # frames in a row of the strip
HEIGHT = 240  # pixels of a plot, which is as wide as any frame
QUALITY = 70
CURVES = 6  # observations that are plotted at most: those that vary most
INK = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#475569")


@dataclass(frozen=True)
class Strip:
    """Frames as one picture; the frame before the first step is among them. `fps` is of the environment's own time."""

    webp: bytes
    frames: int
    fps: float

    @property
    def mime(self) -> str:
        """With what a player must know."""
        return f"image/webp; frames={self.frames}; columns={COLUMNS}; fps={self.fps:g}"


class Projector:
    """Draws segments; keeps one copy of each environment open. May be called from any thread, one at a time."""

    def __init__(self) -> None:
        self._envs: dict[str, gymnasium.Env | None] = {}
        self._lock = threading.Lock()

    def strip(self, segment: Steps, origin: Provenance) -> Strip:
        """The frames of a segment as one picture."""
        frames, fps = self.frames(segment, origin)
        return Strip(joined(frames), len(frames), fps)

    def frames(self, segment: Steps, origin: Provenance) -> tuple[list[Image.Image], float]:
        """Its own pictures, else rendered from its simulator's state, else plotted; and how many make a second."""
        seen = segment.observation.dtype == np.uint8
        with self._lock:
            env = self._opened(origin.task) if seen or origin.replay else None
            if env is None:
                frames = plotted(segment)
            elif seen:
                frames = observed(segment, env.observation_space)
            else:
                frames = played(env, segment, np.frombuffer(origin.replay, np.float64)) or plotted(segment)
            return frames, FPS if env is None else fps_of(env, origin.task)

    def _opened(self, id: str) -> gymnasium.Env | None:
        if id not in self._envs:
            runtime.draw_without_screen()
            try:
                install(id)
                self._envs[id] = opened(ControlConfig(id=id))
            except (Unseen, InputError, gymnasium.error.Error):  # not to be drawn, or not to be had here
                self._envs[id] = None
        return self._envs[id]

    def close(self) -> None:
        """Closes every copy."""
        with self._lock:
            for env in self._envs.values():
                if env is not None:
                    env.close()
            self._envs.clear()


def played(env: gymnasium.Env, segment: Steps, state: np.ndarray) -> list[Image.Image]:
    """The segment's steps done again from a state of the simulator; none where nothing can be drawn.

    What cannot be drawn any more, as a cart far off its track, stays as it was last seen.
    """
    env.reset(seed=0)
    put(env, state)
    frames: list[Image.Image] = []
    discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
    actions = [None, *segment.action[segment.valid]]
    for action in actions:
        if action is not None:
            env.step(int(action.argmax()) if discrete else action)
        try:
            frames.append(picture(env.render))
        except Unseen:
            frames += frames[-1:]
    return frames if len(frames) == len(actions) else []


def observed(segment: Steps, space: gymnasium.Space) -> list[Image.Image]:
    """Observations that are pictures; of a stack of frames the newest."""
    shape = picture_of(space)
    rows = segment.observation[segment.valid]
    if shape is None or rows.shape[1] != math.prod(shape):
        return plotted(segment)  # the environment has changed since
    channels = 3 if shape[0] == 3 else 1
    newest = np.moveaxis(rows.reshape(-1, *shape)[:, -channels:], 1, -1)
    frames = [Image.fromarray(each if channels == 3 else each[..., 0]).convert("RGB") for each in newest]
    size = max(1, WIDTH // max(shape[1:]))
    return [frame.resize((frame.width * size, frame.height * size), Image.Resampling.NEAREST) for frame in frames]


def plotted(segment: Steps) -> list[Image.Image]:
    """Observations as curves that grow step by step; of many those that vary most."""
    rows = segment.observation[segment.valid].astype(np.float32)
    chosen = np.sort(np.argsort(-rows.std(0), kind="stable")[:CURVES])
    low, high = rows[:, chosen].min(0), rows[:, chosen].max(0)
    level = (rows[:, chosen] - low) / np.where(high > low, high - low, 1.0)
    return [_curves(level[: step + 1], len(rows), chosen.tolist()) for step in range(len(rows))]


def _curves(level: np.ndarray, steps: int, names: Sequence[int]) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, band = ImageDraw.Draw(picture), HEIGHT / len(names)
    for place, name in enumerate(names):
        top = place * band
        draw.line([(0, top + band), (WIDTH, top + band)], "#e5e7eb")
        draw.text((4, top + 2), f"o[{name}]", "#6b7280")
        points = [
            (WIDTH * t / max(1, steps - 1), top + band - 4 - (band - 8) * float(y))
            for t, y in enumerate(level[:, place])
        ]
        if len(points) > 1:
            draw.line(points, INK[place % len(INK)], 2)
        x, y = points[-1]
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], INK[place % len(INK)])
    return picture


def joined(frames: Sequence[Image.Image]) -> bytes:
    """Frames of one size as a strip."""
    width, height = frames[0].size
    strip = Image.new("RGB", (width * min(COLUMNS, len(frames)), height * math.ceil(len(frames) / COLUMNS)))
    for number, frame in enumerate(frames):
        row, column = divmod(number, COLUMNS)
        strip.paste(frame, (column * width, row * height))
    file = io.BytesIO()
    strip.save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()


def told(mime: str) -> Mapping[str, float]:
    """What `Strip.mime` says of the strip."""
    return {name.strip(): float(value) for name, _, value in (part.partition("=") for part in mime.split(";")[1:])}
