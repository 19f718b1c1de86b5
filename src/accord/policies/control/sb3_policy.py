"""The `Policy` protocol by an algorithm of stable-baselines3 or sb3-contrib.

The library's class does what it always does, in a vector environment whose rewards are those of the signal. What
differs from calling `learn` again and again: its schedules run over the whole run and not over each call; every call
begins with fresh episodes, so no transition joins two of them; an off-policy memory is judged anew when the reward was
fitted anew; and a checkpoint holds numbers alone, where the library's own would execute what it loads.
"""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor

from accord.policies.control import sb3_kept
from accord.policies.control.offpolicy import refuse_pictures
from accord.policies.control.sb3 import SB3Config, learner
from accord.policies.control.sb3_env import Rewarded
from accord.policies.shaping import shaped
from accord.types import Acting, InputError, LearnedReward, Metrics, NotFinite, Signal, StepBatch, Task

ROWS = 2_048  # of a roll-out over all copies, at most: stable-baselines3's default for the one copy that it assumes
CHUNK = 4_096  # rows of a memory that are judged at once
TOLD = ("actor_loss", "critic_loss", "value_loss")  # what the library logs under a name that reports know


class SB3:
    """The `Policy` protocol for control, by another library's algorithm."""

    def __init__(self, task: Task, config: SB3Config, seed: int) -> None:
        refuse_pictures(task.spec, config.algorithm)
        self.task, self.config = task, config
        self.env = Rewarded(task)
        with alone(seed):
            self.model = _made(self.env, config, seed)
        self.version = 0
        self.reward_version: int | None = None

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """Learns for at least `budget` environment steps; roll-outs are whole ones."""
        if not isinstance(signal, LearnedReward):
            raise InputError(f"{self.config.algorithm} improves on a reward, not on answers: choose a reward model.")
        began, model = time.perf_counter(), self.model
        before, updates = model.num_timesteps, model._n_updates
        if self.reward_version not in (None, signal.reward.version):
            self._judge_anew(signal)
        self.reward_version = signal.reward.version
        self.env.signal = signal
        model._last_obs = self.env.begin(seed)
        model._last_episode_starts = np.ones(self.env.num_envs, bool)
        with alone(seed):
            model.set_random_seed(seed)
            model.learn(budget, callback=Whole(self.config.steps), log_interval=None, reset_num_timesteps=False)  # type: ignore[arg-type]
        logged = {name.removeprefix("train/"): value for name, value in model.logger.name_to_value.items()}
        extra = {name: float(logged[name]) for name in TOLD if name in logged}
        if not all(np.isfinite(list(extra.values()))):
            raise NotFinite(f"{self.config.algorithm}'s losses became {extra}: give it a lower learning_rate.")
        self.version += 1
        taken = model.num_timesteps - before
        return Metrics(taken, time.perf_counter() - began, model._n_updates - updates, extra)

    def _judge_anew(self, signal: LearnedReward) -> None:
        """All that the memory holds, where there is one, by the reward of today."""
        buffer = sb3_kept.memory(self.model)
        if buffer is None:
            return
        count = sb3_kept.filled(buffer)
        observation = torch.from_numpy(buffer.observations[:count].reshape(-1, self.task.spec.observation_size))
        taken = buffer.actions[:count].reshape(len(observation), -1)
        action = _as_scored(self.task, taken if self.task.spec.action.discrete else self._unscaled(taken))
        parts = zip(observation.split(CHUNK), action.split(CHUNK), strict=True)
        judged = torch.cat([paid(signal, rows, chosen) for rows, chosen in parts])
        buffer.rewards[:count] = judged.numpy().reshape(count, -1)

    def _unscaled(self, action: np.ndarray) -> np.ndarray:
        """A memory counts numbers in half-widths of their range."""
        low, high = self.task.spec.action.low, self.task.spec.action.high
        return low + 0.5 * (action + 1.0) * (high - low)

    def act(self, observation: Float32[np.ndarray, "env observation"], seed: int | None = None) -> np.ndarray:
        """The most likely action; a draw from the policy where a seed is given."""
        return self.acting()(observation, seed=seed)

    def acting(self) -> Acting:
        """With a memory of its own, where the class has one."""
        return Playing(self.model)

    def save(self, folder: Path) -> None:
        """Weights, optimisers and memory as safetensors, all else as JSON."""
        sb3_kept.save(self.model, folder, {"version": self.version, "reward_version": self.reward_version})

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        counters = sb3_kept.load(self.model, folder)
        self.version, self.reward_version = counters["version"], counters["reward_version"]


class Playing:
    """The library's `predict`, and what it gave to be given back."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.state: tuple[np.ndarray, ...] | None = None

    def __call__(
        self,
        observation: Float32[np.ndarray, "env observation"],
        started: Bool[np.ndarray, "env"] | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        with alone(0 if seed is None else seed):
            self.model.action_space.seed(seed)
            action, self.state = self.model.predict(observation, self.state, started, deterministic=seed is None)
        return np.asarray(action)


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """The library draws from generators that all share: seeded here, and afterwards as they were."""
    numbers, plain = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            set_random_seed(seed)
            yield
        finally:
            np.random.set_state(numbers)
            random.setstate(plain)


def paid(
    signal: LearnedReward, observation: Float[Tensor, "row observation"], action: Float[Tensor, "row action"]
) -> Float[Tensor, "row"]:
    """The signal's reward of steps alone, without serial numbers: never the truth's."""
    one = torch.ones(len(observation), 1, dtype=torch.bool)
    return shaped(signal, StepBatch(observation.unsqueeze(1), action.unsqueeze(1), one, None, one))[:, 0]


def _as_scored(task: Task, action: np.ndarray) -> Float[Tensor, "row action"]:
    """Choices one-hot, numbers in the environment's units."""
    spec = task.spec.action
    if spec.discrete:
        return F.one_hot(torch.from_numpy(action[:, 0].astype(np.int64)), spec.size).float()
    return torch.from_numpy(action.astype(np.float32))


def _made(env: Rewarded, config: SB3Config, seed: int) -> BaseAlgorithm:
    """The algorithm at its own defaults but for what it is told. Raises InputError for what it does not take."""
    kind, given = learner(config.name), config.given()
    takes = dict(list(inspect.signature(kind.__init__).parameters.items())[3:])  # after self, policy and env
    for name in given:
        if name not in takes:
            raise InputError(
                f'policy.arguments has "{name}", which {config.name} does not take: it takes {", ".join(takes)}.'
            )
    if "n_steps" in takes and not config.off_policy():  # there it is a roll-out's length, elsewhere a return's
        given = {"n_steps": min(takes["n_steps"].default, max(1, ROWS // env.num_envs)), **given}
    if config.hidden:
        given["policy_kwargs"] = {**given.get("policy_kwargs", {}), "net_arch": list(config.hidden)}
    try:
        plain = "MlpPolicy" if "MlpPolicy" in kind.policy_aliases else "MlpLstmPolicy"
        return kind(**{"policy": plain, "env": env, "seed": seed, "device": "cpu", **given})
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"policy.algorithm is {config.algorithm}, which refused {env.task.spec.id}: {error}"
        ) from error


class Whole(BaseCallback):
    """Tells the library how many steps the whole run has: its schedules run over those."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_training_start(self) -> None:
        self.model._total_timesteps = self.steps

    def _on_step(self) -> bool:
        return True
