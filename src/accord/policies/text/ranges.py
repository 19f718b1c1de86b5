"""The ranges that settings of text policies have to lie in."""

from __future__ import annotations

from collections.abc import Mapping

from accord.types import InputError


def within(settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises InputError for a value outside its range; None is left to be chosen and lies in any."""
    for name, (low, high) in ranges.items():
        value: float | None = getattr(settings, name)
        if value is not None and not low <= value <= high:  # a NaN lies nowhere
            raise InputError(
                f"policy.{name.rstrip('_')} is {value:g}; it must be between {low:g} and {high:g}: choose a value in "
                "that range."
            )
