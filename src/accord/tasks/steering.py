"""Which keys drive which environment: what can be pressed, and what is done while it is. Pure.

A Discrete action is done by the keys that stand for it, several at once where it is called "up and fire"; Box actions
of one or two numbers by arrows, from the middle to either bound. Where no action means "do nothing", as in CartPole,
time stands still until something is pressed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from accord.types import ActionSpec, InputError

AXES = (("left", "right"), ("down", "up"))  # of the first and the second number of a Box action
NUMBERED = 9  # Discrete actions of unknown meaning at most: a digit each
NOTHING = ""

# What each Discrete action is, in words of the page; ids are beginnings.
MEANINGS: dict[str, tuple[str, ...]] = {
    "CartPole-": ("left", "right"),
    "accord/FixedCartPole-": ("left", "right"),
    "MountainCar-v": ("left", NOTHING, "right"),
    "Acrobot-": ("left", NOTHING, "right"),
    "LunarLander-": (NOTHING, "left", "up", "right"),
    # Lanes and speed: the road runs to the right, so the lane to the left lies above.
    **dict.fromkeys(("highway-", "merge-", "roundabout-"), ("up", NOTHING, "down", "right", "left")),
    "intersection-": ("left", NOTHING, "right"),
}
ATARI = {"UP": "up", "DOWN": "down", "LEFT": "left", "RIGHT": "right", "FIRE": "fire"}


@dataclass(frozen=True, eq=False)
class Controls:
    """`names` are what can be pressed; `waits`: nothing pressed is no action. A person drives by `action`."""

    names: tuple[str, ...]
    waits: bool
    spec: ActionSpec
    chords: tuple[frozenset[int], ...] = ()  # of each Discrete action the places of what does it

    def action(self, pressed: Sequence[int]) -> Float32[np.ndarray, "action"]:
        """What is done while these are pressed, the last of them pressed last: a row as in `Steps`.

        Of Discrete actions it is the one that needs most of what is pressed and nothing else.
        """
        when = {place: moment for moment, place in enumerate(pressed)}
        if not self.spec.discrete:
            return self._numbers(when)
        weights = {
            i: (len(chord), max((when[place] for place in chord), default=0))
            for i, chord in enumerate(self.chords)
            if chord <= when.keys()
        }
        return np.eye(self.spec.size, dtype=np.float32)[max(weights, key=weights.__getitem__, default=0)]

    def _numbers(self, pressed: Collection[int]) -> Float32[np.ndarray, "action"]:
        push = np.array([(2 * i + 1 in pressed) - (2 * i in pressed) for i in range(self.spec.size)], np.float32)
        low = np.where(np.isfinite(self.spec.low), self.spec.low, -1.0)
        high = np.where(np.isfinite(self.spec.high), self.spec.high, 1.0)
        middle = np.clip(0.0, low, high)
        return (middle + np.where(push > 0, high - middle, middle - low) * push).astype(np.float32)


def controls(id: str, spec: ActionSpec, meanings: Sequence[str] = ()) -> Controls:
    """The keys of an environment; `meanings` are Atari's own names of its actions, where it has any.

    Raises InputError where keys cannot drive it.
    """
    if not spec.discrete:
        if spec.size > len(AXES):
            raise InputError(f"{id} has {spec.size} numbers an action and keys drive {len(AXES)}: ask to compare.")
        return Controls(tuple(name for axis in AXES[: spec.size] for name in axis), False, spec)
    known = next((words for start, words in MEANINGS.items() if id.startswith(start)), ())
    if meanings:
        chords = [tuple(name for word, name in ATARI.items() if word in meaning) for meaning in meanings]
    elif len(known) == spec.size:
        chords = [(name,) if name else () for name in known]
    elif spec.size <= NUMBERED:
        chords = [(str(i + 1),) for i in range(spec.size)]
    else:
        raise InputError(f"{id} has {spec.size} actions and digits stand for {NUMBERED}: ask to compare.")
    names = tuple(dict.fromkeys(name for chord in chords for name in chord))
    placed = tuple(frozenset(names.index(name) for name in chord) for chord in chords)
    return Controls(names, frozenset() not in placed, spec, placed)
