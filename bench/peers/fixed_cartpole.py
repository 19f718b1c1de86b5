"""CartPole of a fixed horizon, for a peer's interpreter: the same task as `accord/FixedCartPole-v0`, written apart.

CartPole-v1's physics and starts, 500 steps, no termination; reward 1 where the state that a step led to lies inside
CartPole-v1's bounds (|x| <= 2.4, |angle| <= 12 degrees), else 0. A test steps both forms side by side.
"""

import gymnasium
import numpy as np
from gymnasium import spaces

ID = "accord/FixedCartPole-v0"
HORIZON = 500
GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
X_LIMIT, ANGLE_LIMIT = 2.4, 12 * 2 * np.pi / 360


class FixedCartPole(gymnasium.Env):
    """Observations are (x, velocity, angle, angular velocity) in float32; the state is kept in float64."""

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium's form

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(2)
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.state = np.zeros(4)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.05, 0.05, size=4)
        return self.state.astype(np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        x, x_dot, angle, angle_dot = self.state
        sine, cosine = np.sin(angle), np.cos(angle)
        mass = CART + POLE
        push = ((FORCE if action == 1 else -FORCE) + POLE * HALF_LENGTH * angle_dot**2 * sine) / mass
        angle_acc = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cosine**2 / mass))
        x_acc = push - POLE * HALF_LENGTH * angle_acc * cosine / mass
        rates = np.array((x_dot, x_acc, angle_dot, angle_acc))
        self.state = self.state + SECONDS * rates
        inside = abs(self.state[0]) <= X_LIMIT and abs(self.state[2]) <= ANGLE_LIMIT
        return self.state.astype(np.float32), float(inside), False, False, {}


def register() -> None:
    """Makes `gymnasium.make(ID)` work, with the time limit."""
    gymnasium.register(ID, f"{__name__}:FixedCartPole", max_episode_steps=HORIZON)
