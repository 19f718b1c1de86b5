"""What a killed run goes on from: small state as JSON, and folders for the reward, the policy and the last steps.

Floor 4, beside the loop. Folders are renamed into place before `state.json` names them, so at any moment the state
names only what is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from accord.durable import hash_file, new_folder, write_json
from accord.loop import State
from accord.records import STATE
from accord.rewards.fitted import FittedReward, load
from accord.rewards.judge import Forecasts
from accord.tasks.recent import Recent
from accord.types import InputError, Learner, Reward

BEFORE = -1  # the round of a policy that learned before the first question
FIELDS = ("round", "stage", "since", "cursor", "labels", "undecided", "reward_hash", "seconds", "watched", "stopped")


class Resumable(Protocol):
    """What of a task is put back: how much was done, by purpose and in all."""

    @property
    def tick(self) -> int: ...
    def steps(self) -> Mapping[str, int]: ...
    def resume(self, steps: Mapping[str, int], tick: int) -> None: ...


class Checkpoints:
    """The `checkpoints` folder of one run."""

    def __init__(
        self,
        folder: Path,
        task: Resumable,
        policy: Learner,
        recent: Recent | None = None,
        module: type[nn.Module] | None = None,
    ) -> None:
        """`recent`: the steps that segments are cut from. `module`: the class of the user's own reward net, which a
        file may not name."""
        self.folder, self.task, self.policy, self.recent, self.module = folder, task, policy, recent, module
        self._reward = self._policy = self._steps = ""

    def keep_reward(self, reward: Reward, round: int) -> str:
        """Writes the reward of a round; returns its hash."""
        if not isinstance(reward, FittedReward):
            raise InputError("only a fitted reward can be kept.")
        self._reward = f"reward-{round}"
        with new_folder(self.folder / self._reward) as fresh:
            reward.save(fresh)
        return hash_file(self.folder / self._reward)

    def keep_policy(self, round: int) -> str:
        """Writes the policy of a round; returns its hash."""
        self._policy = f"policy-{round}"
        with new_folder(self.folder / self._policy) as fresh:
            self.policy.save(fresh)
        return hash_file(self.folder / self._policy)

    def save(self, state: State) -> None:
        """Writes the steps taken last, names what was kept, then removes what is named no more."""
        self._keep_steps()
        small = {name: getattr(state, name) for name in FIELDS}
        forecasts = [{k: v.tolist() for k, v in asdict(each).items()} for each in state.forecasts]
        named = {"reward": self._reward, "policy": self._policy, "steps": self._steps}
        counted = {"taken": dict(self.task.steps()), "tick": self.task.tick}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / STATE, {**small, **named, **counted, "forecasts": forecasts})
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in named.values():
                shutil.rmtree(path)

    def _keep_steps(self) -> None:
        """Once for every time that steps were taken: the first, random ones are there before there is a policy."""
        name = f"steps-{self.task.tick}"
        if self.recent is not None and name != self._steps:
            with new_folder(self.folder / name) as fresh:
                self.recent.save(fresh / "recent.safetensors")
            self._steps = name

    def restore(self) -> State:
        """The state last saved, with the task and the policy put back to it; a fresh one where none was saved."""
        path = self.folder / STATE
        if not path.is_file():
            return State()
        saved: dict[str, Any] = json.loads(path.read_text())
        self._reward, self._policy, self._steps = saved["reward"], saved["policy"], saved["steps"]
        self.task.resume(saved["taken"], saved["tick"])
        if self._policy:
            self.policy.load(self.folder / self._policy)
        if self.recent is not None:
            self.recent.load(self.folder / self._steps / "recent.safetensors")
        reward = load(self.folder / self._reward, module=self.module) if self._reward else None
        forecasts = tuple(_forecasts(each) for each in saved["forecasts"])
        small: dict[str, Any] = {**{name: saved[name] for name in FIELDS}, "watched": tuple(saved["watched"])}
        return State(**small, reward=reward, candidates=(reward,) if reward else (), forecasts=forecasts)

    def finish(self, reward: Path, policy: Path) -> None:
        """Copies the last reward and policy to where users look for them."""
        for name, final in ((self._reward, reward), (self._policy, policy)):
            with new_folder(final) as fresh:
                shutil.copytree(self.folder / name, fresh, dirs_exist_ok=True)


def _forecasts(saved: dict[str, list[float]]) -> Forecasts:
    whole = ("question", "pair", "annotator")
    return Forecasts(**{k: np.array(v, dtype=int if k in whole else float) for k, v in saved.items()})
