"""CartPole of a fixed horizon: CartPole-v1's physics, 500 steps, no termination, reward 1 while inside the bounds.

On CartPole-v1 itself every full-length segment ties and termination leaks the reward, so comparisons teach nothing
there; here the reward has to be learned. The bounds are CartPole-v1's: |x| <= 2.4 and |angle| <= 12 degrees.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.vector import AutoresetMode
from jaxtyping import Int

HORIZON = 500


class FixedCartPole(CartPoleEnv):
    """One copy; Gymnasium's TimeLimit ends it."""

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, Literal[False], dict[str, Any]]:
        """One step of CartPole-v1's physics, inside the bounds or not."""
        self.steps_beyond_terminated = None  # else CartPole-v1 warns that the episode is over
        observation, _, outside, _, info = super().step(action)
        return observation, float(not outside), False, False, info


class FixedCartPoleVector(CartPoleVectorEnv):
    """Many copies, each with its own time limit where an array is given.

    The last call of an episode resets its copy and hands out `final_obs`.
    """

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012  Gymnasium's form

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | Int[np.ndarray, "env"] = HORIZON,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(num_envs, HORIZON, render_mode)
        self.max_episode_steps = np.asarray(max_episode_steps)  # Gymnasium compares it to every copy's own count

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of CartPole-v1's physics for every copy."""
        self.prev_done[:] = False  # no copy is reset by the parent
        observation, _, outside, truncated, _ = super().step(action)
        reward = (~outside).astype(np.float32)
        info: dict[str, Any] = {}
        if truncated.any() and self.state is not None:
            info["final_obs"] = observation.copy()
            self.state[:, truncated] = self.np_random.uniform(self.low, self.high, size=(4, int(truncated.sum())))
            self.steps[truncated] = 0
            observation = self.state.T.astype(np.float32)
        return observation, reward, np.zeros_like(truncated), truncated, info


gymnasium.register(
    id="accord/FixedCartPole-v0",
    entry_point="accord.tasks.cartpole:FixedCartPole",
    vector_entry_point="accord.tasks.cartpole:FixedCartPoleVector",
    max_episode_steps=HORIZON,
)
