"""Two ways to step N copies of an environment, with one face: a true vector environment, or a plain loop.

Gymnasium 1.x lets a vector environment reset itself in the next call (NEXT_STEP) or in the same one (SAME_STEP).
Either way no transition across a reset leaves this file: a call that only resets is marked `real = False`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Float32, Float64, Real

from accord.tasks.pictures import flattened, picture_of
from accord.tasks.simulator import state_of, states_of
from accord.types import ActionSpec

Stepped = tuple[
    Real[np.ndarray, "env observation"],  # to act on next
    Real[np.ndarray, "env observation"],  # what the step led to
    Float32[np.ndarray, "env"],  # reward
    Bool[np.ndarray, "env"],  # terminated
    Bool[np.ndarray, "env"],  # truncated
    Bool[np.ndarray, "env"],  # real
]


class Stepper(Protocol):
    """N copies of one environment."""

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]: ...
    def step(self, action: np.ndarray) -> Stepped: ...
    def states(self) -> Float64[np.ndarray, "env number"]: ...  # what may be played again; no numbers: nothing


class Vectorised:
    """A vector environment of Gymnasium's."""

    def __init__(self, env: VectorEnv, action: ActionSpec) -> None:
        self._env = env
        self._dtype = np.int64 if action.discrete else np.float32
        self._same_step = env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP
        self._resetting = np.zeros(env.num_envs, bool)

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]:
        """Every copy anew; each has its own stream of random numbers, all from this seed."""
        observation, _ = self._env.reset(seed=seed)
        self._resetting = np.zeros(self._env.num_envs, bool)
        return observation.astype(np.float32, copy=False)

    def step(self, action: np.ndarray) -> Stepped:
        """One call of the vector environment."""
        observation, reward, terminated, truncated, info = self._env.step(action.astype(self._dtype, copy=False))
        observation = observation.astype(np.float32, copy=False)
        reward = reward.astype(np.float32, copy=False)
        truncated = truncated & ~terminated
        ended = terminated | truncated
        if self._same_step:
            final = observation
            if ended.any():
                final = observation.copy()
                final[ended] = np.stack(list(info["final_obs"][ended]))
            return observation, final, reward, terminated, truncated, np.ones_like(ended)
        real = ~self._resetting
        self._resetting = ended
        return observation, observation, reward, terminated, truncated, real

    def states(self) -> Float64[np.ndarray, "env number"]:
        """Of every copy."""
        found = states_of(self._env)
        return np.zeros((self._env.num_envs, 0)) if found is None else found


class Loop:
    """Environments without a vectorised form, one after another; an ended episode is reset in the same call."""

    def __init__(self, envs: list[gymnasium.Env], action: ActionSpec) -> None:
        self._envs = envs
        self._discrete = action.discrete
        space = envs[0].observation_space
        self._row = reader(space)
        self._size = spaces.flatdim(space)
        self._dtype = np.uint8 if picture_of(space) is not None else np.float32

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]:
        """Every copy anew; copy i gets the i-th seed drawn from this one."""
        seeds = np.random.default_rng(seed).integers(2**31, size=len(self._envs))
        return np.stack([self._row(env.reset(seed=int(s))[0]) for env, s in zip(self._envs, seeds, strict=True)])

    def step(self, action: np.ndarray) -> Stepped:
        """One step of each copy."""
        n = len(self._envs)
        observation = np.empty((n, self._size), self._dtype)
        reward = np.empty(n, np.float32)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        final = observation
        actions = action.tolist() if self._discrete else action
        for i, env in enumerate(self._envs):
            row, reward[i], terminated[i], truncated[i], _ = env.step(actions[i])
            observation[i] = self._row(row)
        ended = terminated | truncated
        if ended.any():
            final = observation.copy()
            for i in np.flatnonzero(ended):
                observation[i] = self._row(self._envs[i].reset()[0])
        return observation, final, reward, terminated, truncated & ~terminated, np.ones(n, bool)

    def states(self) -> Float64[np.ndarray, "env number"]:
        """Of every copy."""
        found = [state_of(env) for env in self._envs]
        return np.stack([np.zeros(0) if state is None else state for state in found])


def reader(space: spaces.Space) -> Callable[[object], Real[np.ndarray, "observation"]]:
    """What makes one flat row of an observation of this space: bytes of a picture, else float32."""
    if picture_of(space) is not None:
        return lambda observation: flattened(np.asarray(observation, np.uint8))
    if is_row(space):
        return lambda observation: np.asarray(observation, np.float32)
    return lambda observation: np.asarray(spaces.flatten(space, observation), np.float32)


def is_row(space: spaces.Space) -> bool:
    """Whether observations are rows of numbers as they come."""
    return isinstance(space, spaces.Box) and len(space.shape) == 1


class Declared:
    """Clips observations to the range that the environment declares for them.

    Beyond it lies what the task does not care about (a cart far off the track, a pole that spins), at scales that
    would press everything inside together when observations are normalised. NaN passes through.
    """

    def __init__(self, stepper: Stepper, space: spaces.Space) -> None:
        self._stepper = stepper
        flat = spaces.flatten_space(space)
        bounds = (flat.low, flat.high) if isinstance(flat, spaces.Box) else (np.zeros(0), np.zeros(0))
        self.low, self.high = (bound.astype(np.float32) for bound in bounds)
        self._bounded = bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]:
        """Every copy anew."""
        return self._clipped(self._stepper.reset(seed))

    def step(self, action: np.ndarray) -> Stepped:
        """One step of each copy."""
        observation, final, reward, terminated, truncated, real = self._stepper.step(action)
        clipped = self._clipped(observation)
        final = clipped if final is observation else self._clipped(final)
        return clipped, final, reward, terminated, truncated, real

    def states(self) -> Float64[np.ndarray, "env number"]:
        """As they are, in range or not."""
        return self._stepper.states()

    def _clipped(self, observation: Real[np.ndarray, "env observation"]) -> Real[np.ndarray, "env observation"]:
        return np.clip(observation, self.low, self.high) if self._bounded else observation
