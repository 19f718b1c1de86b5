"""What a finished run learned, as something to act with: `accord.load_policy("runs/cartpole-0").predict(obs)`.

Floor 5, beside `build`. Reads a run's folder; writes nothing but what `export` is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from accord import build, config, records
from accord.backbones import peft, text, weights
from accord.backbones.tokens import FolderTokens
from accord.policies.text.actor import Actor
from accord.rewards import sequence
from accord.tasks.control import ControlTask, make
from accord.tasks.stepping import reader
from accord.types import Acting, InputError, Policy


class Trained:
    """A policy, and the spaces of the environment that it acts in."""

    def __init__(self, policy: Policy, task: ControlTask, observations: spaces.Space, actions: spaces.Space) -> None:
        self.policy, self.observation_space, self.action_space = policy, observations, actions
        self._row, self._low, self._high = reader(observations), task.spec.low, task.spec.high

    def predict(
        self,
        observation: Any,
        state: Acting | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
        seed: int = 0,
    ) -> tuple[np.ndarray, Acting]:
        """An action for an observation as the environment gives it, or actions for a batch of them; and the state.

        The signature and the pair it returns are those of stable-baselines3, so that what plays its models plays this
        one. For a policy with a memory give the state back, None at first, and in `episode_start` which rows begin an
        episode; others need neither. `deterministic` is the default; a draw depends on `seed`. Raises InputError for an
        observation of another shape.
        """
        alone = self._is_one(observation)
        batch = [observation] if alone else self._batch(observation)
        rows = np.stack([self._row(each) for each in batch])
        if len(self._low):
            rows = np.clip(rows, self._low, self._high)  # as while it learned
        state = state or self.policy.acting()
        started = None if episode_start is None else np.atleast_1d(np.asarray(episode_start, bool))
        action = state(rows, started, None if deterministic else seed)
        return np.asarray(action[0] if alone else action), state

    def _is_one(self, observation: Any) -> bool:
        space = self.observation_space
        return np.shape(observation) == space.shape if isinstance(space, spaces.Box) else space.contains(observation)

    def _batch(self, observation: Any) -> list[Any]:
        many = isinstance(observation, list | tuple | np.ndarray) and len(observation) > 0
        if many and all(map(self._is_one, observation)):
            return list(observation)
        raise InputError(
            f"an observation has shape {np.shape(observation)}, and this policy takes {self.observation_space}: "
            "give one or several."
        )


def load_policy(folder: Path | str) -> Trained:
    """The final policy of a run. Raises InputError where the folder holds no finished run."""
    folder = Path(folder)
    settings = config.from_tree(records.read_manifest(folder)["configuration"])
    if not (folder / records.POLICY).is_dir():
        raise InputError(f"{folder} has no policy yet: let the run end first, with --resume where it was stopped.")
    task = ControlTask(replace(settings.control, envs=1, vectorised=False))
    policy = build.policy_of(task, settings, settings.seed)
    policy.load(folder / records.POLICY)
    one: gymnasium.Env = make(settings.control)
    observations, actions = one.observation_space, one.action_space
    one.close()
    return Trained(policy, task, observations, actions)


Form = Literal["sb3", "merged", "adapters"]


def export(folder: Path | str, out: Path, form: Form | None = None) -> None:
    """Writes the policy in another program's form; without one in the one that fits.

    sb3: a model that stable-baselines3's `load` reads (`policies/control/sb3_export.py`). merged: a folder of a whole
    language model, adapters merged, which Transformers and vLLM load, and which llama.cpp converts. adapters: a folder
    of PEFT. Raises InputError where a run has no such policy.
    """
    settings = config.from_tree(records.read_manifest(Path(folder))["configuration"])
    written = isinstance(settings.task, config.TextSection)
    form = form or ("merged" if written else "sb3")
    if written != (form != "sb3"):
        what = "text" if written else "control"
        raise InputError(f"--policy is {form}, and {folder} is a run of {what}: leave --policy out.")
    if form == "sb3":
        _as_sb3(folder, out)
    else:
        _as_language_model(Path(folder), settings, out, form)


def _as_language_model(folder: Path, settings: config.RunConfig, out: Path, form: Form) -> None:
    policy = settings.writes
    if isinstance(policy, config.BestOfNSection):
        raise InputError(f"{folder} chose the best of {policy.n} responses; no model was changed, so none is written.")
    if form == "adapters" and not policy.rank:
        raise InputError(f"{folder} learned all weights and has no adapters: export it with --policy merged.")
    if not (folder / records.POLICY).is_dir():
        raise InputError(f"{folder} has no policy yet: let the run end first, with --resume where it was stopped.")
    model = text.load(settings.text.model, chat=settings.text.chat)
    actor = Actor(model, replace(policy, server="", device="cpu", precision="float32"), settings.seed)
    actor.load(folder / records.POLICY)
    if form == "adapters":
        peft.write(actor.decoder, out, str(model.place))
    else:
        weights.write(actor.decoder, model.config, out)
    if isinstance(model.tokenizer, FolderTokens):
        model.tokenizer.inner.save_pretrained(out)


def export_reward(folder: Path, out: Path) -> None:
    """Writes a run's reward as Transformers' `AutoModelForSequenceClassification` loads it; of several members a folder
    each. Raises InputError where it is no language model.
    """
    settings = config.from_tree(records.read_manifest(folder)["configuration"])
    if settings.reward.kind != "sequence":
        raise InputError(
            f'{folder} has a reward of kind "{settings.reward.kind}", and only "sequence" is a model that others load.'
        )
    if not (folder / records.REWARD).is_dir():
        raise InputError(f"{folder} has no reward yet: let the run end first, with --resume where it was stopped.")
    reward = sequence.load(folder / records.REWARD, exact=True)
    like = text.load(reward.config.model)
    for member in range(len(reward.members)):
        whole = out if len(reward.members) == 1 else out / f"member-{member}"
        reward.export(whole, like, member)


def _as_sb3(folder: Path | str, out: Path) -> None:
    try:
        from accord.policies.control import sb3_export
    except ModuleNotFoundError as error:
        raise InputError(f"stable-baselines3 is missing ({error}): pip install 'accord[sb3]' and run again.") from error
    found = load_policy(folder)
    sb3_export.write(found.policy, found.observation_space, found.action_space, out)
