"""The whole state of an environment as a row of numbers, and back into it: so that a segment can be played again.

Floor 2. Known are MuJoCo's environments and Gymnasium's classic ones; of any other there is no state.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import AcrobotEnv, CartPoleEnv, MountainCarEnv, PendulumEnv
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.envs.classic_control.continuous_mountain_car import Continuous_MountainCarEnv
from gymnasium.vector import VectorEnv
from jaxtyping import Float64

State = Float64[np.ndarray, "number"]

CLASSIC = (AcrobotEnv, CartPoleEnv, Continuous_MountainCarEnv, MountainCarEnv, PendulumEnv)
MUJOCO = "gymnasium.envs.mujoco."  # its modules import a package that may be absent


def state_of(env: gymnasium.Env) -> State | None:
    """What the next step depends on; None where that is not known of this environment."""
    plain = env.unwrapped
    if isinstance(plain, CLASSIC):
        return np.asarray(plain.state, np.float64).ravel()
    if type(plain).__module__.startswith(MUJOCO):
        return np.concatenate([plain.data.qpos, plain.data.qvel])  # type: ignore[attr-defined]
    return None


def states_of(env: VectorEnv) -> Float64[np.ndarray, "env number"] | None:
    """The same of every copy of a vector environment."""
    if isinstance(env.unwrapped, CartPoleVectorEnv) and env.unwrapped.state is not None:
        return np.asarray(env.unwrapped.state, np.float64).T.copy()
    return None


def put(env: gymnasium.Env, state: State) -> None:
    """Brings an environment that was reset into a state that `state_of` gave of another copy of it."""
    plain = env.unwrapped
    if isinstance(plain, CLASSIC):
        plain.state = state.copy()
    else:
        plain.set_state(state[: plain.model.nq], state[plain.model.nq :])  # type: ignore[attr-defined]
