"""A person drives an environment: one episode from its start, or the rest of a segment from where it was stopped.

Floor 2. What was done becomes a segment as long as what it is held against, with its sealed truth. The head of a
corrected segment is done again in the simulator; where that does not lead to what was seen, nothing is driven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import gymnasium
import numpy as np
from PIL import Image

from accord import runtime
from accord.tasks import atari
from accord.tasks.clip import Unseen, fps_of, opened, picture
from accord.tasks.collect import padded
from accord.tasks.control import ControlConfig, ControlTask, install
from accord.tasks.simulator import put, state_of
from accord.tasks.steering import controls
from accord.tasks.stepping import reader
from accord.types import Collected, InputError, Provenance, Steps

BY_HAND = -1  # the policy version of what a person did
CLOSE = 1e-3  # how far a replayed observation may be from the recorded one: contacts are chaotic, rounding is not
LONGEST = 10_000  # steps of a segment: no time limit of the environment's comes before its end
Why = Literal["keys", "screen", "state", "busy"]  # no keys for it; not to be drawn; not to be put back; no room


class Undrivable(InputError):
    """Nobody can drive this here. `why` is a word for the page."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Drive:
    """One copy of an environment. `start` or `take_over`, then `step` until it is `over`, then `collected`."""

    def __init__(self, id: str) -> None:
        """Raises Undrivable where it cannot be drawn or its actions have no keys."""
        runtime.draw_without_screen()
        try:
            install(id)
            config = ControlConfig(id=id, envs=1, horizon=LONGEST)
            self.spec = ControlTask(config).spec
            self._env = opened(config)
        except (Unseen, InputError, gymnasium.error.Error) as error:
            raise Undrivable("screen", f"{id} cannot be drawn here: ask to compare.") from error
        meanings = self._env.unwrapped.get_action_meanings() if id.startswith(atari.PREFIX) else ()  # type: ignore[attr-defined]
        try:
            self.controls = controls(id, self.spec.action, meanings)
        except InputError as error:
            self._env.close()
            raise Undrivable("keys", str(error)) from error
        self.fps = fps_of(self._env, id)
        self._row = reader(self._env.observation_space)

    def start(self, seed: int, length: int, origin: Provenance) -> None:
        """A new episode, to be driven for `length` steps. Of `origin` all but its beginning is kept."""
        observation, _ = self._env.reset(seed=seed)
        state = state_of(self._env)
        replay = b"" if state is None else state.tobytes()
        self._begin(observation, length, replace(origin, seed=seed, start=0, replay=replay, policy_version=BY_HAND))

    def take_over(self, segment: Steps, origin: Provenance, keep: int) -> None:
        """The segment again up to where `keep` steps are done, the rest to be driven. Raises Undrivable."""
        steps = int(segment.valid.sum())
        if not 0 <= keep < steps:
            raise InputError(f"{keep} steps of {steps} are to be kept: stop the clip before its last step.")
        if not origin.replay:
            raise Undrivable("state", f"the state of {origin.task} is not known: ask to compare.")
        observation, _ = self._env.reset(seed=0)
        put(self._env, np.frombuffer(origin.replay, np.float64))
        self._begin(observation, len(segment.valid), replace(origin, policy_version=BY_HAND))
        self._seen[0] = segment.observation[0]
        for t in range(keep):
            self._do(segment.action[t])
            if self.over or not np.allclose(self._seen[-1], segment.observation[t + 1], atol=CLOSE):
                raise Undrivable("state", f"{origin.task} does not do again what it did: ask to compare.")
            self._seen[-1] = segment.observation[t + 1]

    def _begin(self, observation: object, length: int, origin: Provenance) -> None:
        self._length, self._origin = length, origin
        self._seen, self._done, self._paid = [self._read(observation)], list[np.ndarray](), list[float]()
        self._terminated = self._truncated = False
        self._shown: Image.Image | None = None

    @property
    def at(self) -> int:
        """Steps done, those of a head too."""
        return len(self._done)

    @property
    def length(self) -> int:
        """Steps to be done, where the episode does not end before."""
        return self._length

    @property
    def restorable(self) -> bool:
        """Whether the simulator can be put back to where this began."""
        return bool(self._origin.replay)

    @property
    def over(self) -> bool:
        """Whether nothing is left to be driven."""
        return self._terminated or self._truncated or self.at >= self._length

    def step(self, pressed: Sequence[int]) -> None:
        """One step with what is pressed. Raises InputError where nothing is left to be driven."""
        if self.over:
            raise InputError(f"all {self.at} steps are driven: hand them in or start again.")
        self._do(self.controls.action(pressed))

    def _do(self, action: np.ndarray) -> None:
        given = int(action.argmax()) if self.spec.action.discrete else action
        try:
            observation, reward, self._terminated, self._truncated, _ = self._env.step(given)
        except Exception as error:  # a foreign environment may raise anything
            raise InputError(f"{self.spec.id} failed after {self.at} steps ({error}): start again.") from error
        row = self._read(observation)
        if not (np.isfinite(row).all() and np.isfinite(float(reward))):
            raise InputError(f"{self.spec.id} left the range of numbers after {self.at} steps: start again.")
        self._seen.append(row)
        self._done.append(action)
        self._paid.append(float(reward))

    def _read(self, observation: object) -> np.ndarray:
        row = self._row(observation)
        return np.clip(row, self.spec.low, self.spec.high) if self.spec.low.size else row

    def frame(self) -> Image.Image:
        """What is to be seen now; what cannot be drawn any more stays as it was. Raises Undrivable if it never was."""
        try:
            self._shown = picture(self._env.render)
        except Unseen as error:
            if self._shown is None:
                raise Undrivable("screen", f"{self.spec.id} cannot be drawn: ask to compare.") from error
        return self._shown

    def collected(self) -> Collected:
        """What was driven. An early end is padded as in any segment. Raises InputError where it is not over."""
        if not self.over:
            raise InputError(f"{self.at} of {self._length} steps are driven: go on to the end.")
        length = self._length if self._terminated else self.at
        observation, action = padded(np.stack(self._seen[:-1]), length), padded(np.stack(self._done), length)
        valid = np.arange(length) < self.at
        paid = padded(np.array(self._paid, np.float32), length)
        return Collected(Steps(observation, action, valid, self._terminated), self._origin, paid)

    def close(self) -> None:
        """Ends it."""
        self._env.close()


def check(id: str, kind: str) -> None:
    """Raises InputError where people could not answer this kind of query about an environment at the page."""
    drive = Drive(id)
    try:
        drive.start(0, 1, Provenance(id, 0, 0, 0, 0, 0))
        drive.frame()
        if kind == "correct" and not drive.restorable:
            raise Undrivable("state", f"the state of {id} is not known, so its clips cannot be taken over: compare.")
    finally:
        drive.close()
