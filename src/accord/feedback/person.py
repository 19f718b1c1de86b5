"""People at the annotation page, as the loop sees them: their answers come by themselves."""

from __future__ import annotations


class Person:
    """The `Annotator` protocol for whoever opens the page; each has a name of their own in the store."""

    name = "people"

    def work(self) -> int:
        """Nothing is to be done: answers arrive in the store."""
        return 0
