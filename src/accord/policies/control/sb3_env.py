"""A task as stable-baselines3's vector environment, whose rewards are those of a signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from jaxtyping import Float32
from stable_baselines3.common.vec_env import VecEnv

from accord.policies.shaping import shaped
from accord.types import InputError, LearnedReward, StepBatch, Task


class Rewarded(VecEnv):
    """Copies that reset in the call that ends them; what an episode led to is its `terminal_observation`."""

    def __init__(self, task: Task) -> None:
        spec = task.spec
        self.task = task
        self.signal: LearnedReward | None = None
        low, high = (
            bound if len(bound) else np.full(spec.observation_size, limit, np.float32)
            for bound, limit in ((spec.low, -np.inf), (spec.high, np.inf))
        )
        action: spaces.Space = (
            spaces.Discrete(spec.action.size) if spec.action.discrete else spaces.Box(spec.action.low, spec.action.high)
        )
        super().__init__(spec.envs, spaces.Box(low, high), action)

    def begin(self, seed: int) -> Float32[np.ndarray, "env observation"]:
        """Fresh episodes in every copy."""
        self._observation = self.task.reset(seed)
        return self._observation

    def reset(self) -> Float32[np.ndarray, "env observation"]:
        """The same; the library asks once, before anything was learned."""
        return self.begin(0)

    def step_async(self, actions: np.ndarray) -> None:
        self._action = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observation to act on, reward, whether it ended, and how."""
        assert self.signal is not None
        step = self.task.step(self._action)
        if not step.real.all():
            raise InputError(
                f"{self.task.spec.id} resets in a call of its own, which stable-baselines3 would count as a step: "
                "set task.vectorised to false."
            )
        one = torch.ones(self.num_envs, 1, dtype=torch.bool)
        seen, action = torch.from_numpy(self._observation), torch.from_numpy(self._action)
        if self.task.spec.action.discrete:
            action = F.one_hot(action.long(), self.task.spec.action.size)
        ended = step.terminated | step.truncated
        batch = StepBatch(
            seen.unsqueeze(1),
            action.float().unsqueeze(1),
            one,
            torch.from_numpy(step.serial).unsqueeze(1),
            torch.from_numpy(ended).unsqueeze(1),
        )
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(ended):
            infos[i] = {"terminal_observation": step.final[i], "TimeLimit.truncated": bool(step.truncated[i])}
        self._observation = step.observation
        return step.observation.copy(), shaped(self.signal, batch)[:, 0].numpy(), ended, infos

    def close(self) -> None:
        """The task outlives its learner."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The library asks for `render_mode` alone."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> Sequence[bool]:  # type: ignore[override]
        return [False] * self.num_envs
