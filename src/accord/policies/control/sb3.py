"""Any algorithm of stable-baselines3 or sb3-contrib as a `Policy`: `policy.algorithm = "sb3:TQC"`.

What it is told, and which class that names. The policy itself is in `sb3_policy.py`, which imports the library: here it
is asked for only once somebody names one of its algorithms.
"""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accord.types import InputError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

PREFIX = "sb3:"
LIBRARIES = ("stable_baselines3", "sb3_contrib")
LEFT_OUT = {
    "MaskablePPO": "needs masks of actions, which a task here does not give",  # without them it is PPO
}


@dataclass(frozen=True)
class SB3Config:
    """What every algorithm is told alike, and what its class takes beside it."""

    steps: int = 50_000  # environment steps of the whole run: the library's schedules run over them
    hidden: tuple[int, ...] = ()  # hidden layers of every net; () is the class's own
    arguments: tuple[str, ...] = ()  # of the class, each as it would stand in a TOML file: "learning_rate = 1e-3"
    algorithm: str = "sb3:PPO"  # the class, of stable-baselines3 or sb3-contrib

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 10**12:
            raise InputError(f"policy.steps is {self.steps}; it must be between 1 and 1e12: choose one in that range.")
        self.given()

    @property
    def name(self) -> str:
        """The class's."""
        return self.algorithm.removeprefix(PREFIX)

    def given(self) -> dict[str, Any]:
        """The arguments by name. Raises InputError where one cannot be read."""
        found: dict[str, Any] = {}
        for line in self.arguments:
            try:
                found |= tomllib.loads(line)
            except tomllib.TOMLDecodeError as error:
                raise InputError(
                    f'policy.arguments has "{line}", which is no line of TOML ({error}): write "name = value".'
                ) from error
        return found

    def off_policy(self) -> bool:
        """Whether the class learns from a memory. Raises InputError where there is no such class."""
        found = learner(self.name)
        from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

        return issubclass(found, OffPolicyAlgorithm)


def learner(name: str) -> type[BaseAlgorithm]:
    """The class of that name. Raises InputError where the library or the class is missing, or cannot be used."""
    try:
        modules = [importlib.import_module(library) for library in LIBRARIES]
    except ModuleNotFoundError as error:
        raise InputError(
            f'policy.algorithm is "{PREFIX}{name}", which needs a package that is missing ({error.name}): '
            "pip install 'accord[sb3]'."
        ) from error
    from stable_baselines3.common.base_class import BaseAlgorithm

    classes = {
        word: found
        for module in modules
        for word, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, BaseAlgorithm) and word not in LEFT_OUT
    }
    if name not in classes:
        why = LEFT_OUT.get(name, "is not there")
        raise InputError(
            f'policy.algorithm is "{PREFIX}{name}", which {why}: choose one of {", ".join(sorted(classes))}.'
        )
    return classes[name]
