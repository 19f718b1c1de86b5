"""Numbers that settings have to lie between, and the one sentence for those that do not."""

from __future__ import annotations

from collections.abc import Mapping

from accord.types import InputError


def inside(name: str, value: float | None, low: float, high: float) -> None:
    """Raises InputError for a value outside; None is left to be chosen and lies in any range."""
    if value is not None and not low <= value <= high:  # a NaN lies nowhere
        raise InputError(
            f"{name} is {value:g}; it must be between {_told(low)} and {_told(high)}: choose a value in that range."
        )


def within(section: str, settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """The same for several attributes of a section of the configuration, named as its keys are."""
    for name, (low, high) in ranges.items():
        inside(f"{section}.{name.rstrip('_')}", getattr(settings, name), low, high)


def _told(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
