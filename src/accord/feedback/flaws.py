"""What is wrong with a teacher: its constants, and the `feedback.teacher` section of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from accord.types import InputError

Flaw = Literal[
    "oracle", "noisy", "mistaken", "skipping", "tying", "myopic", "biased", "spammer", "drifting", "distracted"
]


@dataclass(frozen=True)
class Traits:
    """A teacher's constants. The defaults are the oracle's."""

    beta: float = math.inf  # rationality, per unit of true return
    discount: float = 1.0  # weight of a step relative to the one after it
    mistake: float = 0.0  # probability that the answer is turned round
    skip: float = 0.0  # skip below this share of the mean return
    equal: float = 0.0  # tie below this share of the mean return
    side: float = 0.0  # probability of answering "what is shown first" unseen (negative: last)
    spam: float = 0.0  # probability of an answer at random
    drift: float = 0.0  # added to `mistake` with every query, up to one half
    distraction: float = 0.0  # how far `mistake` depends on how segments look: from none to twice of it at 1


FLAWS: Mapping[Flaw, Traits] = {
    "oracle": Traits(),
    "noisy": Traits(beta=1.0),  # B-Pref `stoc`
    "mistaken": Traits(mistake=0.1),  # B-Pref `mistake`
    "skipping": Traits(skip=0.1),  # B-Pref `skip`
    "tying": Traits(equal=0.1),  # B-Pref `equal`
    "myopic": Traits(discount=0.9),  # B-Pref `myopic`
    "biased": Traits(side=0.3),  # ours
    "spammer": Traits(spam=1.0),  # ours
    "drifting": Traits(drift=0.001),  # ours: a coin after 500 queries
    "distracted": Traits(mistake=0.2, distraction=1.0),  # ours, after the feature-dependent noise of arXiv:2601.01904
}


@dataclass(frozen=True)
class TeacherConfig:
    """A flaw and, where given, other constants in place of or on top of its own (flaws compose)."""

    flaw: Flaw = "oracle"
    beta: float | None = None  # rationality; inf is perfect
    discount: float | None = None  # 0 (exclusive) to 1
    mistake: float | None = None  # 0 to 1
    skip: float | None = None  # 0 and up
    equal: float | None = None  # 0 and up
    side: float | None = None  # -1 to 1
    spam: float | None = None  # 0 to 1
    drift: float | None = None  # 0 to 1, per query
    distraction: float | None = None  # 0 to 1
    low: float | None = None  # true reward per step rated lowest; estimated where not given
    high: float | None = None  # true reward per step rated highest; estimated where not given

    def __post_init__(self) -> None:
        if self.flaw not in FLAWS:
            raise InputError(f"feedback.teacher.flaw is '{self.flaw}': choose one of {', '.join(FLAWS)}.")
        for name, low, high in _LIMITS:
            value = getattr(self.traits, name)
            if not low <= value <= high:
                raise InputError(f"feedback.teacher.{name} is {value}: give a number from {low} to {high}.")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise InputError(f"feedback.teacher.low is {self.low}: give a number below high ({self.high}).")

    @property
    def traits(self) -> Traits:
        """The flaw's constants with the given ones in their place."""
        given = {field.name: getattr(self, field.name) for field in fields(Traits)}
        return replace(FLAWS[self.flaw], **{name: value for name, value in given.items() if value is not None})


_LIMITS = (
    ("beta", 1e-12, math.inf),
    ("discount", 1e-12, 1.0),
    ("mistake", 0.0, 1.0),
    ("skip", 0.0, math.inf),
    ("equal", 0.0, math.inf),
    ("side", -1.0, 1.0),
    ("spam", 0.0, 1.0),
    ("drift", 0.0, 1.0),
    ("distraction", 0.0, 1.0),
)
