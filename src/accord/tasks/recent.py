"""The steps a task took last: what segments are cut from, so that collecting them costs no step of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Real
from safetensors.numpy import load_file, save_file

from accord.types import InputError

WINDOW_STEPS = 50_000  # steps kept; at 20 numbers a step 4 MB
NAMES = ("observation", "action", "reward", "terminated", "truncated", "real", "begun", "state")
WINDOW_BYTES = 256 << 20  # of pictures kept: 9,510 steps of Atari, where 50,000 would be 1.4 GB


@dataclass(frozen=True, eq=False)
class Window:
    """The kept steps as arrays, oldest first. `begun` is the tick at which the step's episode began."""

    observation: Real[np.ndarray, "time env observation"]
    action: Float32[np.ndarray, "time env action"]
    reward: Float32[np.ndarray, "time env"]  # sealed
    terminated: Bool[np.ndarray, "time env"]
    truncated: Bool[np.ndarray, "time env"]
    real: Bool[np.ndarray, "time env"]
    begun: Int[np.ndarray, "time env"]
    state: Float64[np.ndarray, "time env number"]  # of the simulator before the step; no numbers where not kept
    tick: int  # of the first row

    def __len__(self) -> int:
        return self.real.shape[0]


class Recent:
    """A ring of the last ticks. Appending costs six references; arrays are made when segments are cut."""

    def __init__(self, envs: int, pixels: int = 0) -> None:
        """`pixels` of every observation, where those are pictures."""
        steps = min(WINDOW_STEPS, WINDOW_BYTES // pixels) if pixels else WINDOW_STEPS
        self._rows: deque[tuple[np.ndarray, ...]] = deque(maxlen=max(1, steps // envs))
        self._tick = 0
        self._observation = np.zeros((envs, 0), np.float32)  # until `begin`
        self._begun = np.zeros(envs, np.int64)

    def begin(self, observation: Real[np.ndarray, "env observation"]) -> None:
        """Every copy was reset. What was kept stays, closed: no segment runs across."""
        if self._rows:
            last = self._rows[-1]
            self._rows[-1] = (*last[:4], ~last[3], *last[5:])
        self._observation = observation
        self._begun = np.full_like(self._begun, self._tick)

    def record(
        self,
        action: np.ndarray,
        observation: Real[np.ndarray, "env observation"],
        reward: Float32[np.ndarray, "env"],
        terminated: Bool[np.ndarray, "env"],
        truncated: Bool[np.ndarray, "env"],
        real: Bool[np.ndarray, "env"],
        state: Float64[np.ndarray, "env number"],
    ) -> None:
        """One more tick: the observation acted on, the action, and what came of it."""
        self._rows.append((self._observation, action, reward, terminated, truncated, real, self._begun, state))
        self._tick += 1
        self._observation = observation
        fresh = terminated | truncated | ~real
        if fresh.any():
            self._begun = np.where(fresh, self._tick, self._begun)

    def window(self, actions: int | None) -> Window:
        """The kept steps as arrays; Discrete actions become one-hot of `actions` places."""
        if not self._rows:
            raise InputError("No step was taken yet, so there is nothing to cut segments from: explore first.")
        columns = [np.stack(column) for column in zip(*self._rows, strict=True)]
        if actions is not None:
            columns[1] = np.eye(actions, dtype=np.float32)[columns[1]]
        return Window(*columns, tick=self._tick - len(self._rows))

    def save(self, path: Path) -> None:
        """The kept steps, for a run that is resumed."""
        columns = [np.stack(column) for column in zip(*self._rows, strict=True)] if self._rows else []
        arrays = {name: np.ascontiguousarray(column) for name, column in zip(NAMES, columns, strict=False)}
        save_file({**arrays, "tick": np.array([self._tick])}, path)

    def load(self, path: Path) -> None:
        """What `save` wrote."""
        arrays = load_file(path)
        self._tick = int(arrays.pop("tick")[0])
        self._rows.clear()
        if arrays:
            self._rows.extend(zip(*(arrays[name] for name in NAMES), strict=True))
