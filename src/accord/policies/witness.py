"""A task that keeps the last steps taken through it, so that a policy's own steps can be judged by any later reward.

No step is taken for that. Rewards are not kept: what is seen is `Seen`, and its worth is that under today's reward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, Real

from accord.policies.shaping import shaped
from accord.types import LearnedReward, StepBatch, Task, Transition

STEPS = 4_096  # of a look, at most; pictures are as large as a hundred rows, and as many fewer are kept
BLOCKS = 8  # stretches of steps, whose means tell of luck


@dataclass(frozen=True, eq=False)
class Seen:
    """Some steps of a policy, copy by copy in sequence. `action` as rewards take it."""

    observation: Real[np.ndarray, "env time observation"]
    action: Float32[np.ndarray, "env time action"]
    real: Bool[np.ndarray, "env time"]
    ended: Bool[np.ndarray, "env time"]
    serial: Int[np.ndarray, "env time"]


@dataclass(frozen=True)
class Worth:
    """The learned reward of an average step; where episodes can end early, times the share of a horizon they last."""

    value: float
    luck: float  # standard error
    spread: float = 0.0  # standard deviation of single steps


class Witness:
    """The `Task` protocol in front of a task."""

    def __init__(self, task: Task) -> None:
        self.task, self.spec = task, task.spec
        steps = STEPS // 100 if self.spec.picture is not None else STEPS
        self._rows: deque[tuple[np.ndarray, ...]] = deque(maxlen=max(2, steps // self.spec.envs))
        self._observation = np.zeros((self.spec.envs, 0), np.float32)

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]:
        """Forgets what was seen."""
        self._rows.clear()
        self._observation = self.task.reset(seed)
        return self._observation

    def step(self, action: np.ndarray) -> Transition:
        """One step of the task."""
        step = self.task.step(action)
        given = np.eye(self.spec.action.size, dtype=np.float32)[action] if self.spec.action.discrete else action
        row = (self._observation, np.array(given, np.float32), step.real, step.terminated | step.truncated, step.serial)
        self._rows.append(row)
        self._observation = step.observation
        return step

    def count_as(self, purpose: str) -> None:
        self.task.count_as(purpose)

    def steps(self) -> Mapping[str, int]:
        return self.task.steps()

    def seen(self) -> Seen | None:
        """The last steps; None before there is one."""
        if not self._rows:
            return None
        return Seen(*(np.stack(column).swapaxes(0, 1) for column in zip(*self._rows, strict=True)))


def worth(seen: Seen, signal: LearnedReward, horizon: int, terminates: bool) -> Worth:
    """What steps are worth under a reward. Raises NotFinite where the reward is no number."""
    columns = (torch.from_numpy(np.ascontiguousarray(getattr(seen, field.name))) for field in fields(seen))
    observation, action, real, ended, serial = columns
    with torch.no_grad():
        reward = shaped(signal, StepBatch(observation, action, real, serial, ended & real)).double().numpy() * seen.real
    blocks, steps = _blocks(seen.real.shape), max(1, int(seen.real.sum()))
    means = np.bincount(blocks, reward.ravel()) / np.bincount(blocks, seen.real.ravel()).clip(1.0)
    luck = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else 0.0
    ends = max(1, int((seen.ended & seen.real).sum()))
    lasts = min(1.0, steps / (ends * horizon)) if terminates else 1.0
    mean = float(reward.sum() / steps)
    spread = float(np.sqrt((np.square(reward - mean) * seen.real).sum() / steps))
    return Worth(mean * lasts, luck * lasts, spread * lasts)


def _blocks(shape: tuple[int, int]) -> Int[np.ndarray, "step"]:
    """The number of each step's block: stretches of time of a copy, or several copies."""
    envs, time = shape
    if envs >= BLOCKS:
        return np.repeat(np.arange(envs) * BLOCKS // envs, time)
    parts = max(1, min(BLOCKS // envs, time))
    return (np.arange(envs)[:, None] * parts + np.arange(time) * parts // time).ravel()
