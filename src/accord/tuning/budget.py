"""What a study may spend: wall time, CPU-seconds, environment steps, trials or labels. One grammar, one parser.

NUMBER UNIT     10m   600s   2h   1.5h      wall time
                600cpu-s   10cpu-m   1cpu-h  processor time of the trials, judging too
                200000steps   200_000 steps  environment steps that trials take for any purpose
                40trials                     runs of a configuration, short ones too
                2000labels                   answers given to trials, and to a judge that asks
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from accord.trials import Trial, totals
from accord.types import InputError

Unit = Literal["seconds", "cpu_seconds", "env_steps", "trials", "labels"]
UNITS: dict[str, tuple[Unit, int]] = {
    "s": ("seconds", 1),
    "m": ("seconds", 60),
    "h": ("seconds", 3600),
    "cpu-s": ("cpu_seconds", 1),
    "cpu-m": ("cpu_seconds", 60),
    "cpu-h": ("cpu_seconds", 3600),
    "steps": ("env_steps", 1),
    "trials": ("trials", 1),
    "labels": ("labels", 1),
}
WORDS: dict[Unit, str] = {
    "seconds": "s",
    "cpu_seconds": "cpu-s",
    "env_steps": "steps",
    "trials": "trials",
    "labels": "labels",
}
WHOLE = ("env_steps", "trials", "labels")
_FORM = re.compile(r"\s*(\d[\d_]*(?:\.\d+)?)\s*([a-z-]+)\s*")


@dataclass(frozen=True)
class Budget:
    """An amount of one unit."""

    amount: float
    unit: Unit

    def __str__(self) -> str:
        """The shortest way to write it that `parse` reads back."""
        return f"{told(self.amount)}{WORDS[self.unit]}"

    def spent(self, trials: Sequence[Trial]) -> float:
        """What trials that have ended took of this unit."""
        return float(totals(trials)[self.unit])


def parse(text: str) -> Budget:
    """A budget as the command line gives it. Raises InputError."""
    found = _FORM.fullmatch(text)
    if found is None or found[2] not in UNITS:
        raise InputError(
            f'--budget is "{text}"; it must be a number and one of {", ".join(UNITS)}: give one, such as 10m, '
            "600cpu-s, 200000steps, 40trials or 2000labels."
        )
    unit, factor = UNITS[found[2]]
    amount = float(found[1].replace("_", "")) * factor
    if amount <= 0 or (unit in WHOLE and not amount.is_integer()):
        raise InputError(f'--budget is "{text}"; it must be above 0, and whole where it counts: give such a number.')
    return Budget(amount, unit)


def told(amount: float) -> str:
    """A number without an exponent, and without a point where it is whole."""
    return str(int(amount)) if amount.is_integer() else f"{amount:f}".rstrip("0").rstrip(".")
