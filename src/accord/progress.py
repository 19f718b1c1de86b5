"""How the loop tells where it is, without knowing who watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told by the loop as it goes; shown by the command line, or by nobody."""

    def stage(self, name: str, round: int, rounds: int) -> None:
        """A stage (collect, ask, fit, improve, judge, ...) of round `round` begins; `rounds` in all, from 0."""
        ...

    def advance(self, steps: int, total: int) -> None:
        """Environment steps taken so far in the whole run, of `total`: the measure of time left."""
        ...

    def note(self, **numbers: float) -> None:
        """Latest numbers by name. `labels`, `labels_total` and `true_return` have a place of their own."""
        ...

    def announce(self, text: str) -> None:
        """Something that whoever runs this must see, such as where to answer."""
        ...


class Silent:
    """Watches nothing: for notebooks, tests and benchmarks."""

    def stage(self, name: str, round: int, rounds: int) -> None:
        pass

    def advance(self, steps: int, total: int) -> None:
        pass

    def note(self, **numbers: float) -> None:
        pass

    def announce(self, text: str) -> None:
        pass
