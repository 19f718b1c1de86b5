"""Control: any Gymnasium environment as a task. Steps it, counts every step, keeps its reward sealed.

Floor 2. Touches Gymnasium and nothing else of ours but the types. Environments with a vectorised form use it; the
others run in a plain loop, which costs a third of `gymnasium.vector.SyncVectorEnv` (no copies, no spaces checked).
Box and Dict or Tuple observations become one flat row of float32, tables too, pictures one of bytes; Box and Discrete
actions are understood.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from jaxtyping import Float32, Int, Real

from accord.tasks import (
    atari,
    cartpole,  # noqa: F401  registers accord/FixedCartPole-v0
    extras,
)
from accord.tasks.pictures import picture_of
from accord.tasks.recent import Recent
from accord.tasks.stepping import Declared, Loop, Stepper, Vectorised, is_row
from accord.types import ActionSpec, InputError, NotFinite, TaskSpec, Transition

ENVS_VECTORISED = 256  # one call steps them all: 256 cost 50 us, 8 cost 35 us
# Episodes that only ever end at the time limit; any other environment is taken to terminate unless the task says.
# These are beginnings of ids: of dm_control's suite, lqr alone ends by itself.
NEVER_TERMINATE = (
    *("Pendulum-v1", "accord/FixedCartPole-v0", "HalfCheetah-v5", "Reacher-v5", "Swimmer-v5"),
    *("dm_control/acrobot-", "dm_control/ball_in_cup-", "dm_control/cartpole-", "dm_control/cheetah-"),
    *("dm_control/dog-", "dm_control/finger-", "dm_control/fish-", "dm_control/hopper-", "dm_control/humanoid"),
    *("dm_control/manipulator-", "dm_control/pendulum-", "dm_control/point_mass-", "dm_control/quadruped-"),
    *("dm_control/reacher-", "dm_control/stacker-", "dm_control/swimmer-", "dm_control/walker-"),
)
LEDGER = 1024  # ticks that the sealed ledger starts with
ENVS_LOOP = 16  # enough to share the policy's call, few enough for long stretches of one episode


@dataclass(frozen=True)
class ControlConfig:
    """Which environment, and how many copies of it."""

    id: str = "accord/FixedCartPole-v0"
    envs: int | None = None  # copies stepped together; None: 256 where vectorised, else 16
    horizon: int | None = None  # steps after which an episode is cut; None: as registered
    cut: int | None = None  # training cuts and bootstraps: from `cut` steps to the horizon, copy by copy (1712.00378)
    vectorised: bool = True  # step all copies in one call where the environment can
    terminates: bool | None = None  # whether an episode can end before its horizon; None: as known, else yes
    truth: bool = False  # the environment's own reward is what is wanted: accord tune may learn from it and judge by it

    def __post_init__(self) -> None:
        if self.envs is not None and not 1 <= self.envs <= 65_536:
            raise InputError(f"task.envs is {self.envs}; it must be between 1 and 65,536: leave it out.")
        for name, steps in (("horizon", self.horizon), ("cut", self.cut)):
            if steps is not None and steps < 2:
                raise InputError(f"task.{name} is {steps}; an episode needs at least 2 steps: give 2 or more.")


class ControlTask:
    """N copies of one environment behind the `Task` protocol. `truth` belongs to teachers and evaluation alone."""

    def __init__(self, config: ControlConfig, counter: dict[str, int] | None = None, filmed: bool = False) -> None:
        """`filmed`: the simulator's state is kept before each step, so that people can be shown what was done."""
        self.config, self.filmed = config, filmed
        self._stepper, self.spec = _open(config)
        self._counter: dict[str, int] = {} if counter is None else counter
        self._purpose = "improve"
        self._tick = 0
        self._stateless = np.zeros((self.spec.envs, 0))
        self.recent = Recent(self.spec.envs, self.spec.observation_size if self.spec.picture else 0)
        self.truth = Truth(self.spec.envs)

    def sibling(self, envs: int) -> ControlTask:
        """The same environment in another number of copies, uncut, counted on the same counter."""
        return ControlTask(replace(self.config, envs=envs, cut=None), self._counter)

    def count_as(self, purpose: str) -> None:
        """What the steps from here on are for: "collect", "improve" or "judge"."""
        self._purpose = purpose

    def steps(self) -> Mapping[str, int]:
        """Steps taken so far by purpose; their sum is `env_steps`."""
        return dict(self._counter)

    def add(self, purpose: str, steps: int) -> None:
        """Counts steps that were taken elsewhere, as by a person who drives a copy of the environment."""
        self._counter[purpose] = self._counter.get(purpose, 0) + steps

    def resume(self, steps: Mapping[str, int], tick: int) -> None:
        """Goes on counting where a checkpoint stopped."""
        self._counter.clear()
        self._counter.update(steps)
        self._tick = tick

    @property
    def tick(self) -> int:
        """Calls of `step` so far; step number `tick * envs + env` is a step's serial."""
        return self._tick

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]:
        """Starts every copy anew, from the seed alone: what follows depends on nothing that was before."""
        observation = self._stepper.reset(seed)
        self.recent.begin(observation)
        return observation

    def step(self, action: np.ndarray) -> Transition:
        """One step of every copy. Raises `NotFinite` where the environment returns a NaN or an infinity."""
        before = self._stepper.states() if self.filmed else self._stateless
        observation, final, reward, terminated, truncated, real = self._stepper.step(action)
        seen_finite = self.spec.picture is not None or np.isfinite(final).all()  # bytes always are
        if not (seen_finite and np.isfinite(reward).all()):
            self._refuse(final, reward)
        envs = self.spec.envs
        serial = np.arange(self._tick * envs, (self._tick + 1) * envs)
        self._tick += 1
        self.add(self._purpose, int(real.sum()))
        self.truth.record(reward)
        self.recent.record(action, observation, reward, terminated, truncated, real, before)
        return Transition(observation, final, terminated, truncated, real, serial)

    def _refuse(self, final: np.ndarray, reward: np.ndarray) -> None:
        where = "observation" if not np.isfinite(final).all() else "reward"
        bad = final if where == "observation" else reward[:, None]
        env = int(np.flatnonzero(~np.isfinite(bad).all(axis=1))[0])
        raise NotFinite(
            f"The {where} of {self.spec.id} became {bad[env]} in copy {env} at step {self._tick}: "
            "the environment left the range of numbers; bound its state or shorten its episodes."
        )


class Truth:
    """The environment's own reward by serial number: a sealed ledger for teachers, baselines and evaluation."""

    def __init__(self, envs: int) -> None:
        self._envs = envs
        self._start = self._kept = 0
        self._rows: np.ndarray | None = None  # [tick, env], twice as long whenever it is full

    def start(self, tick: int) -> None:
        """Begins the ledger at a tick: what lies before it is no longer kept."""
        self._start, self._kept = tick, 0
        self._rows = np.empty((LEDGER, self._envs), np.float32)

    def record(self, reward: Float32[np.ndarray, "env"]) -> None:
        """One more tick; kept only once the ledger was begun."""
        if self._rows is None:
            return
        if self._kept == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._kept] = reward
        self._kept += 1

    def at(self, serial: Int[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """The rewards of steps by serial number; those must be among the steps since `start`."""
        place = serial - self._start * self._envs
        if self._rows is None or place.min() < 0 or place.max() >= self._kept * self._envs:
            first = int(serial.min()) // self._envs
            raise InputError(f"The truth of tick {first} is not kept: begin the ledger before the step is taken.")
        return self._rows.reshape(-1)[place]


def _open(config: ControlConfig) -> tuple[Stepper, TaskSpec]:
    """Makes the copies; every refusal is one sentence."""
    install(config.id)
    try:
        registered = gymnasium.spec(config.id)
    except gymnasium.error.Error as error:
        raise InputError(_unknown(config.id)) from error
    one = make(config)
    action, horizon = _action(one, config.id), _horizon(one, config)
    observation_space = one.observation_space
    one.close()
    _check_observation(observation_space, config.id)
    size, picture = spaces.flatdim(observation_space), picture_of(observation_space)
    own = registered.vector_entry_point is not None and is_row(observation_space)
    vectorised = own and config.vectorised
    envs = config.envs or (ENVS_VECTORISED if vectorised else ENVS_LOOP)
    stepper: Stepper
    if vectorised:
        stepper = Vectorised(_make_vector(config, _limits(config, horizon, envs)), action)
    else:
        limits = _limits(config, horizon, envs).tolist()
        stepper = Loop([make(config, limit) for limit in limits], action)
    known = not config.id.startswith(NEVER_TERMINATE)
    terminates = known if config.terminates is None else config.terminates
    if picture is not None:
        return stepper, TaskSpec(config.id, size, action, horizon, terminates, envs, picture=picture)
    declared = Declared(stepper, observation_space)
    return declared, TaskSpec(config.id, size, action, horizon, terminates, envs, declared.low, declared.high)


def install(id: str) -> None:
    """Registers an environment that another package brings. Raises InputError where that package is missing."""
    if id.startswith(atari.PREFIX):
        atari.register()
    extras.install(id)


def make(config: ControlConfig, cut: int | None = None, **drawn: str) -> gymnasium.Env:
    """One copy, its episodes cut after `cut` steps, else after the horizon; `drawn` says how it is to be rendered."""
    steps = cut or config.horizon
    if config.id.startswith(atari.PREFIX):
        return atari.make(config.id, steps, **drawn)
    try:
        return gymnasium.make(config.id, max_episode_steps=steps, disable_env_checker=True, **drawn)
    except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise InputError(f"{config.id} needs a package that is missing ({error}): install it and run again.") from error


def _make_vector(config: ControlConfig, limits: Int[np.ndarray, "env"]) -> VectorEnv:
    one = int(limits[0])
    steps = one if (limits == one).all() else limits  # a limit for each copy only where they differ
    return gymnasium.make_vec(
        config.id, num_envs=len(limits), vectorization_mode="vector_entry_point", max_episode_steps=steps
    )


def _limits(config: ControlConfig, horizon: int, envs: int) -> Int[np.ndarray, "env"]:
    """Steps after which each copy's episode is cut: from `cut` to the horizon, each longer than the last by one factor.

    Short episodes show often what failing early looks like, long ones what drifts slowly; equal steps go to each.
    """
    return np.geomspace(min(config.cut or horizon, horizon), horizon, envs).round().astype(np.int64)


def _unknown(id: str) -> str:
    near = difflib.get_close_matches(id, list(gymnasium.registry), n=1)
    hint = f"did you mean {near[0]}?" if near else "see gymnasium.pprint_registry() for what is installed."
    return f"task.id is {id!r}, which Gymnasium does not know: {hint}"


def _horizon(env: gymnasium.Env, config: ControlConfig) -> int:
    registered = env.spec.max_episode_steps if env.spec is not None else None
    horizon = config.horizon or registered or extras.horizon(config.id)
    if horizon is None:
        raise InputError(f"{config.id} has no time limit: set task.horizon to the steps after which an episode is cut.")
    return horizon


def _action(env: gymnasium.Env, id: str) -> ActionSpec:
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        if space.start != 0:
            raise InputError(f"The actions of {id} start at {space.start}; only those from 0 are understood: wrap it.")
        return ActionSpec(discrete=True, size=int(space.n))
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return ActionSpec(False, space.shape[0], space.low.astype(np.float32), space.high.astype(np.float32))
    raise InputError(f"{id} has {space} actions; Box (one row) and Discrete are understood: wrap the environment.")


def _check_observation(space: spaces.Space, id: str) -> None:
    leaves = [space]
    while leaves:
        leaf = leaves.pop()
        if isinstance(leaf, spaces.Dict):
            leaves.extend(leaf.spaces.values())
        elif isinstance(leaf, spaces.Tuple):
            leaves.extend(leaf.spaces)
        elif not isinstance(leaf, spaces.Box):
            raise InputError(f"{id} has {leaf} in its observations; Box, and Dict or Tuple of Box, are understood.")
        elif (leaf is not space or picture_of(leaf) is None) and not _is_table(leaf):
            raise InputError(
                f"{id} has observations of {leaf.dtype} and shape {leaf.shape}; rows, tables of floats and one uint8 "
                "picture alone are understood: flatten them."
            )


def _is_table(space: spaces.Box) -> bool:
    """A row, or floats in two axes."""
    return len(space.shape) < 2 or (len(space.shape) == 2 and space.dtype.kind == "f")
