"""Tiny environments whose answers are known by heart, registered as accord-test/NAME-v0."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from accord.tasks.cartpole import FixedCartPole

ROW = spaces.Box(-1.0, 1.0, (2,), np.float32)
Out = tuple[Any, float, bool, bool, dict[str, Any]]


class Ladder(gymnasium.Env):
    """Counts its own steps in a nested observation; ends by itself after 3 to 9 steps. Reward: the step's number."""

    observation_space = spaces.Dict(
        {
            "count": spaces.Box(0.0, 100.0, (1,), np.float64),
            "pair": spaces.Tuple((spaces.Box(-9, 9, (1,), np.int64), spaces.Box(-1.0, 1.0, (), np.float32))),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count, self.length = 0, int(self.np_random.integers(3, 10))
        self.last = 0
        return self._seen(), {}

    def step(self, action: int) -> Out:
        self.count, self.last = self.count + 1, int(action)
        return self._seen(), float(self.count), self.count >= self.length, False, {}

    def _seen(self) -> dict[str, Any]:
        pair = (np.array([self.last]), np.array(0.5, np.float32))
        return {"count": np.array([self.count], np.float64), "pair": pair}


class Leave(gymnasium.Env):
    """Action 1 ends the episode, action 0 goes on. Nothing to see, and the reward is 0."""

    observation_space = ROW
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> Out:
        return np.zeros(2, np.float32), 0.0, action == 1, False, {}


class Identity(gymnasium.Env):
    """Reward 1 for the action that the observation names; a new observation every step; never ends by itself."""

    observation_space = ROW
    action_space: spaces.Space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._draw(), {}

    def step(self, action: Any) -> Out:
        reward = self.worth(action)
        return self._draw(), reward, False, False, {}

    def worth(self, action: Any) -> float:
        return float(int(action) == int(self.seen[0] > 0))

    def _draw(self) -> np.ndarray:
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen


class Follow(Identity):
    """The same with numbers: reward -(a - 2 s)^2 for an action between -4 and 4 and the observation's first number."""

    action_space = spaces.Box(-4.0, 4.0, (1,), np.float32)

    def worth(self, action: Any) -> float:
        return -float((action[0] - 2 * self.seen[0]) ** 2)


class Recall(gymnasium.Env):
    """Shows the answer at first, then nothing; of three actions the last is the answer, and worth 1 if it is right."""

    observation_space = ROW
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.answer, self.count = int(self.np_random.integers(2)), 0
        return np.array([2.0 * self.answer - 1.0, 0.0], np.float32), {}

    def step(self, action: int) -> Out:
        self.count += 1
        right = self.count == 3 and int(action) == self.answer
        return np.array([0.0, self.count == 2], np.float32), float(right), self.count == 3, False, {}


class Broken(Identity):
    """Returns a NaN at the fourth step, in the observation or in the reward."""

    def __init__(self, where: str = "observation") -> None:
        self.where, self.count = where, 0

    def step(self, action: int) -> Out:
        self.count += 1
        observation, reward, *rest = super().step(action)
        if self.count == 4:
            bad = float("nan")
            return (observation * bad, reward, *rest) if self.where == "observation" else (observation, bad, *rest)
        return observation, reward, *rest


class Wild(Identity):
    """Its observations leave the range that it declares."""

    def _draw(self) -> np.ndarray:
        self.seen = np.array([7.0, -7.0], np.float32)
        return self.seen


class Square(gymnasium.Env):
    """A bright square on a dark picture goes left, stays or goes right; the reward is how near the middle it is."""

    SIDE, MIDDLE = 12, 5
    observation_space = spaces.Box(0, 255, (SIDE, SIDE, 1), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.row = (int(x) for x in self.np_random.integers(0, self.SIDE - 1, 2))
        return self._seen(), {}

    def step(self, action: int) -> Out:
        self.place = min(max(self.place + int(action) - 1, 0), self.SIDE - 2)
        return self._seen(), 1.0 - abs(self.place - self.MIDDLE) / self.MIDDLE, False, False, {}

    def _seen(self) -> np.ndarray:
        picture = np.zeros(self.observation_space.shape, np.uint8)
        picture[self.row : self.row + 2, self.place : self.place + 2] = 255
        return picture


class Frames(Square):
    """The same as the two last frames, `[frame, height, width]`; the first shows the place before."""

    observation_space = spaces.Box(0, 255, (2, Square.SIDE, Square.SIDE), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.frames = np.zeros(self.observation_space.shape, np.uint8)
        return super().reset(seed=seed, options=options)

    def _seen(self) -> np.ndarray:
        frame = np.zeros((self.SIDE, self.SIDE), np.uint8)
        frame[self.row : self.row + 2, self.place : self.place + 2] = 255
        self.frames = np.stack([self.frames[1], frame])
        return self.frames


class Rows(Identity):
    """Its observations are a table of two rows, from -1 in the first place to 1 in the last."""

    observation_space = spaces.Box(-1.0, 1.0, (2, 3), np.float32)

    def _draw(self) -> np.ndarray:
        super()._draw()
        return np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


class Strange(Identity):
    """Spaces that are not understood."""

    SPACES = {  # noqa: RUF012
        "multidiscrete": (ROW, spaces.MultiDiscrete([2, 3])),
        "shifted": (ROW, spaces.Discrete(2, start=1)),
        "table": (ROW, spaces.Box(0.0, 1.0, (2, 2))),
        "image": (spaces.Box(0, 1, (8, 8, 3), np.float32), spaces.Discrete(2)),
        "film": (spaces.Box(0, 255, (4, 8, 8, 3), np.uint8), spaces.Discrete(2)),
        "labelled": (spaces.Dict({"a": spaces.Box(0, 255, (8, 8), np.uint8), "b": ROW}), spaces.Discrete(2)),
        "volume": (spaces.Box(0.0, 1.0, (2, 3, 4), np.float32), spaces.Discrete(2)),
        "discrete": (spaces.Dict({"a": spaces.Discrete(3)}), spaces.Discrete(2)),
    }

    def __init__(self, kind: str) -> None:
        self.observation_space, self.action_space = self.SPACES[kind]


def register(name: str, entry: type[gymnasium.Env], limit: int | None = 20, **options: object) -> str:
    id = f"accord-test/{name}-v0"
    if id not in gymnasium.registry:
        gymnasium.register(id=id, entry_point=entry, max_episode_steps=limit, kwargs=options)
    return id


LADDER = register("Ladder", Ladder)
LEAVE = register("Leave", Leave, 10)
IDENTITY = register("Identity", Identity, 10)
FOLLOW = register("Follow", Follow, 10)
RECALL = register("Recall", Recall, 3)
WILD = register("Wild", Wild)
ROWS = register("Rows", Rows)
ENDLESS = register("Endless", Identity, None)
SQUARE = register("Square", Square)
FRAMES = register("Frames", Frames)
LOOPED = register("LoopedCartPole", FixedCartPole, 500)  # without its vectorised form
BROKEN = {where: register(f"Broken{where}", Broken, where=where) for where in ("observation", "reward")}
STRANGE = {kind: register(f"Strange{kind}", Strange, kind=kind) for kind in Strange.SPACES}
