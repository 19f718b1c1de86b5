"""Demonstrations from a file: what someone did well, as segments that need no true reward.

The file is a NumPy `.npz` of concatenated episodes, as the `imitation` library writes them, without pickled arrays:

    obs      [step + episode, observation]  every episode has one row more than steps: where its last step led;
                                            of pictures the flat bytes, uint8, channel by channel
    acts     [step] of choices, or [step, action] of numbers in the environment's units
    indices  [episode - 1]                  where `acts` is cut into episodes
    terminal [episode]                      that the episode was finished; optional and not read

`terminal` does not tell whether the environment terminated or the time ran out, so no segment here is `ended` and none
is padded: a demonstration says nothing about what comes after it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Real

from accord.types import ActionSpec, Collected, InputError, Provenance, Steps, TaskSpec

BEFORE = -1  # the round of what was done before the first: no fold mixes it with the run's own episodes
NEEDED = ("obs", "acts", "indices")

Episode = tuple[Real[np.ndarray, "_time observation"], Float32[np.ndarray, "_time action"]]  # of any length


def read(path: Path, spec: TaskSpec) -> list[Episode]:
    """Observations acted on and actions (one-hot where Discrete) of every episode.

    Raises InputError, in one sentence, for a file that is not of this form or not of this task.
    """
    arrays = _arrays(path)
    observation, indices = arrays["obs"], arrays["indices"]
    if observation.ndim != 2 or observation.shape[1] != spec.observation_size:
        raise InputError(
            f"{path} has observations of shape {observation.shape}; {spec.id} needs rows of {spec.observation_size}: "
            "give demonstrations of this task."
        )
    if spec.picture is not None and observation.dtype != np.uint8:
        raise InputError(
            f"{path} has observations of type {observation.dtype}; pictures are uint8: write them as bytes."
        )
    action = _actions(path, arrays["acts"], spec.action)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InputError(f"{path} has indices of type {indices.dtype}; they must be one row of whole numbers.")
    cuts = np.concatenate([[0], indices, [len(action)]])
    if (np.diff(cuts) < 1).any():
        raise InputError(f"{path} has indices that do not rise from 1 to {len(action) - 1}: give every episode a step.")
    if len(observation) != len(action) + len(indices) + 1:
        raise InputError(
            f"{path} has {len(observation)} observations for {len(action)} actions in {len(indices) + 1} episodes: "
            "there must be one more than actions in every episode."
        )
    if not (np.isfinite(observation).all() and np.isfinite(action).all()):
        raise InputError(f"{path} holds numbers that are not finite: leave out the episodes that they are in.")
    if spec.picture is None:
        observation = observation.astype(np.float32)
    return [(observation[a + i : b + i], action[a:b]) for i, (a, b) in enumerate(pairwise(cuts))]


def cut(
    episodes: Sequence[Episode], n: int, length: int, rng: np.random.Generator, *, task: str, seed: int
) -> list[Collected]:
    """n segments of `length` steps at random (all of them where fewer are possible), each at most once.

    An episode shorter than that gives none: padding would say that it ended there. Raises InputError where all are.
    """
    counts = np.array([max(0, len(action) - length + 1) for _, action in episodes])
    if not counts.sum():
        longest = max((len(action) for _, action in episodes), default=0)
        raise InputError(f"the longest demonstration has {longest} steps: lower feedback.segment ({length}) to that.")
    first = np.cumsum(counts) - counts
    made = []
    for place in np.sort(rng.permutation(int(counts.sum()))[:n]):
        number = int(np.searchsorted(first, place, side="right")) - 1
        while counts[number] == 0:  # an episode too short to be cut shares its start with the next
            number -= 1
        start = int(place - first[number])
        observation, action = (rows[start : start + length].copy() for rows in episodes[number])
        origin = Provenance(task, BEFORE, 0, seed, number, start)
        made.append(Collected(Steps(observation, action, np.ones(length, bool), ended=False), origin))
    return made


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in NEEDED if name not in file.files]
            if missing:
                raise InputError(f"{path} lacks {', '.join(missing)}: demonstrations need {', '.join(NEEDED)}.")
            return {name: file[name] for name in NEEDED}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the path of an .npz file of demonstrations.") from None
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:  # a TypeError: one bare array
        raise InputError(f"{path} is no .npz file of plain arrays ({error}): write it with numpy.savez.") from None


def _actions(path: Path, given: np.ndarray, spec: ActionSpec) -> Float32[np.ndarray, "time action"]:
    if not spec.discrete:
        rows = given[:, None] if given.ndim == 1 else given
        if rows.ndim != 2 or rows.shape[1] != spec.size or rows.dtype.kind not in "fiu":
            raise InputError(f"{path} has actions of shape {given.shape}; they must be rows of {spec.size} numbers.")
        return rows.astype(np.float32)
    if given.ndim != 1 or given.dtype.kind not in "iu" or not len(given):
        raise InputError(
            f"{path} has actions of shape {given.shape} and type {given.dtype}; choices are one row of "
            "whole numbers: give demonstrations of this task."
        )
    if given.min() < 0 or given.max() >= spec.size:
        raise InputError(
            f"{path} has actions from {given.min()} to {given.max()}; the task has 0 to {spec.size - 1}: "
            "give demonstrations of this task."
        )
    return np.eye(spec.size, dtype=np.float32)[given]
