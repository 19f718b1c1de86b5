"""Atari games through `ale-py`, as they are usually shown to a policy.

Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", methods: every action is held for 4
frames, the last two of which are merged, 84 x 84 grey pixels, 4 such frames at a time, up to 30 idle frames at first.
Differs from it in: losing a life does not end an episode; actions stick with probability 1/4 (Machado et al.,
arXiv:1709.06009), as the ids of version 5 say.
"""

from __future__ import annotations

import gymnasium
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

from accord.types import InputError

PREFIX = "ALE/"
FRAMES = 4
LONGEST = 27_000  # steps: 108,000 frames, half an hour of play (arXiv:1709.06009)


def register() -> None:
    """Makes the games known to Gymnasium. Raises InputError where a package is missing."""
    try:
        import ale_py
        import cv2  # noqa: F401  what AtariPreprocessing shrinks frames with
    except ImportError as error:
        raise InputError(
            f"Atari games need packages that are missing ({error}): pip install 'accord[atari]' and run again."
        ) from error
    gymnasium.register_envs(ale_py)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # else every process greets on stderr


def make(id: str, limit: int | None, **drawn: str) -> gymnasium.Env:
    """One copy: frames skipped, shrunk, greyed and stacked; cut after `limit` steps (None: half an hour of play)."""
    # Grey, since its own observation is not read and grey is the cheapest; limits count steps, so they stand outside.
    bare = gymnasium.make(
        id, frameskip=1, obs_type="grayscale", max_episode_steps=-1, disable_env_checker=True, **drawn
    )
    stacked = FrameStackObservation(AtariPreprocessing(bare, frame_skip=FRAMES), FRAMES)
    return TimeLimit(stacked, limit or LONGEST)
