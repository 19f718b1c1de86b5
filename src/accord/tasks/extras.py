"""Environments of other packages, which register them only once they are imported: so they are, when one is asked for.

Floor 2. Gymnasium finds the rest by itself. None of these states the steps of an episode where Gymnasium looks for it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from accord import runtime
from accord.types import InputError


@dataclass(frozen=True)
class Extra:
    """Ids that begin with one of `ids` come with `package`, installed by `accord[extra]`."""

    ids: tuple[str, ...]
    package: str
    extra: str
    horizon: int | None = None  # steps after which every episode ends by itself at the latest


EXTRAS = (
    Extra(("dm_control/",), "shimmy", "dm-control", 1000),  # 1,000 control steps, whatever the domain's seconds
    Extra(("highway-fast-",), "highway_env", "driving", 30),
    Extra(("highway-",), "highway_env", "driving", 40),
    Extra(("merge-", "roundabout-", "intersection-"), "highway_env", "driving"),
)


def extra_of(id: str) -> Extra | None:
    """The extra that an id belongs to."""
    return next((each for each in EXTRAS if id.startswith(each.ids)), None)


def install(id: str) -> None:
    """Imports the package that registers an id, if it belongs to an extra."""
    extra = extra_of(id)
    if extra is None:
        return
    runtime.draw_without_screen()  # dm_control settles on import how it will draw
    try:
        importlib.import_module(extra.package)
    except ImportError as error:
        raise InputError(
            f"{id} needs the package {extra.package} ({error}): pip install 'accord[{extra.extra}]'."
        ) from error


def horizon(id: str) -> int | None:
    """The steps of an episode, where the package does not tell Gymnasium."""
    extra = extra_of(id)
    return None if extra is None else extra.horizon
