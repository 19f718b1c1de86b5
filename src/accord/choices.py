"""What the command line does to choose: accord select.

Nothing heavy is imported before a command runs, as in `cli`, which lists this command among its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from accord.chosen import Outcome

WIDE = 120  # columns of a table that no terminal limits


def select(
    file: Path,
    /,
    *,
    store: str = "",
    workers: int | None = None,
    out: Path | None = None,
    race: bool = True,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> None:
    """Chooses the reward model for FILE from recorded answers; asks nobody anything.

    Writes selection.json, and chosen.toml, which accord run takes as it is.

    Parameters
    ----------
    file
        The configuration; its own reward is a candidate that is compared in full.
    store
        Where the answers are: a run's folder, or the URL of a database; feedback.store of FILE where not given.
    workers
        Processes that work at once; as many as there are cores where not given.
    out
        The folder to write to; runs/NAME-choice where not given.
    race
        Rewards that answers cannot tell apart teach short runs, judged by other answers, where there are enough.
    """
    from accord import config
    from accord.types import InputError

    settings = config.load(file, overrides)
    place = store or settings.feedback.store
    if not place:
        raise InputError("no answers to choose by: give --store, a run's folder or the URL of a database.")
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}; at least 1 has to work: leave it out for one a core.")

    from rich.console import Console

    from accord import chosen, lineage, runtime, terminal, terminal_choice
    from accord.feedback.store import Store

    runtime.set_up()
    opened = Store(lineage.url_at(place))
    try:
        outcome = chosen.choose(
            settings, opened, workers or runtime.machine().cores, terminal.Lines(Console(stderr=True))
        )
    finally:
        opened.close()
    if race:
        outcome = _raced(outcome, lineage.url_at(place), workers)
    record, made = chosen.write(outcome, out or Path("runs") / f"{file.stem}-choice")
    console = Console() if Console().is_terminal else Console(width=WIDE)
    terminal_choice.show_choice(
        console, outcome.selection.record(), [one.record() for one in outcome.finalists], str(made), outcome.raced
    )
    print(record)


def _raced(outcome: Outcome, url: str, workers: int | None) -> Outcome:
    """The same, after a race between its finalists, where there is one to be run."""
    from dataclasses import replace

    from rich.console import Console

    from accord import terminal
    from accord.rewards.finalists import finalists
    from accord.tuning import finale
    from accord.tuning.engine import Local

    settings, left = outcome.settings, finalists(outcome.selection)
    recorded = replace(settings, feedback=replace(settings.feedback, store=url))
    if not finale.can(recorded, left):
        return outcome
    raced = finale.race(recorded, left, lambda: Local(workers), terminal.Lines(Console(stderr=True)))
    first = left[finale.winner(raced)]
    reward = replace(first.config, text=first.text, select="fixed")
    scores = {one.name: list(one.scores) for one in raced}
    return replace(outcome, raced=scores, taken=first.name, settings=replace(settings, reward=reward))
