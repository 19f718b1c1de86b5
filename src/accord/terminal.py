"""How a run looks in a terminal: one moving bar where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from accord.progress import Progress
from accord.records import Result, Return, Texts

WRITING = {"start": "start model", "constant": "constant reward", "true": "gold scorer as reward"}
BASELINES = {"random": "random policy", "constant": "constant reward", "true": "true reward"}


@dataclass
class Standing:
    """Where a run stands, as the loop last told; what is shown is read from here. Times in seconds."""

    clock: Callable[[], float] = time.monotonic
    name: str = "start"
    round: int = 0
    rounds: int = 0
    steps: int = 0
    total: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    since: tuple[float, int] | None = None  # when the first steps were told, and how many: a resumed run has some

    def advance(self, steps: int, total: int) -> None:
        self.steps, self.total = steps, total
        if self.since is None:
            self.since = (self.clock(), steps)

    @property
    def left(self) -> float | None:
        """Seconds left at the pace so far; None before a pace is known."""
        if self.since is None or self.steps <= self.since[1] or not self.total:
            return None
        passed, done = self.clock() - self.since[0], self.steps - self.since[1]
        return passed * max(0, self.total - self.steps) / done

    def figures(self) -> str:
        """Steps, labels, return and time left in one line; what is not known yet is left out."""
        parts = [f"{self.steps:,}/{self.total:,} steps"] if self.total else []
        labels, budget = self.numbers.get("labels"), self.numbers.get("labels_total")
        if labels is not None:
            parts.append(f"{labels:,.0f}{'' if budget is None else f'/{budget:,.0f}'} labels")
        if (reached := self.numbers.get("true_return")) is not None:
            parts.append(f"return {reached:,.1f}")
        if self.left is not None:
            parts.append(f"{clock_time(self.left)} left")
        return " · ".join(parts)

    def place(self) -> str:
        """The stage, with its round while rounds go on."""
        return f"round {self.round + 1}/{self.rounds} {self.name}" if self.round < self.rounds else self.name


class Lines:
    """One plain line a stage, for logs and pipes."""

    def __init__(self, console: Console, standing: Standing | None = None) -> None:
        self._console = console
        self._standing = standing or Standing()

    def stage(self, name: str, round: int, rounds: int) -> None:
        self._standing.name, self._standing.round, self._standing.rounds = name, round, rounds
        line = " · ".join(filter(None, [self._standing.place(), self._standing.figures()]))
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, steps: int, total: int) -> None:
        self._standing.advance(steps, total)

    def note(self, **numbers: float) -> None:
        self._standing.numbers.update(numbers)

    def announce(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Moving:
    """A bar over environment steps with the stage before it and the figures behind it."""

    def __init__(self, bar: Bar, standing: Standing | None = None) -> None:
        self._bar = bar
        self._standing = standing or Standing()
        self._task = bar.add_task("start", total=None, figures="")

    def stage(self, name: str, round: int, rounds: int) -> None:
        self._standing.name, self._standing.round, self._standing.rounds = name, round, rounds
        self._show()

    def advance(self, steps: int, total: int) -> None:
        self._standing.advance(steps, total)
        self._show()

    def note(self, **numbers: float) -> None:
        self._standing.numbers.update(numbers)
        self._show()

    def announce(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        now = self._standing
        self._bar.update(
            self._task,
            description=now.place(),
            completed=now.steps,
            total=now.total or None,
            figures=now.figures(),
        )


@contextmanager
def shown(console: Console) -> Iterator[Progress]:
    """Shows progress while inside: a bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}", markup=True),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Bar(*columns, console=console, refresh_per_second=8, transient=True) as bar:
        yield Moving(bar)


def summary(result: Result, folder: Path, page: Path | None) -> Table:
    """The figures of a run as a table. What was not measured says so."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    true = result.true_return
    table.add_row("task", f"{result.task}, seed {result.seed}")
    if result.texts is not None:
        _of_texts(table, result, result.texts)
    else:
        told = (
            "not measured" if true is None else f"{_return(true)}, sd {true.std:,.1f} over {true.episodes:,} episodes"
        )
        table.add_row("true return", told)
        for name, value in (
            ("random", result.random_return),
            ("constant", result.constant_reward_return),
            ("true", result.true_reward_return),
        ):
            known = result.baselines.get(name)
            table.add_row(BASELINES[name], _return(known) if known else _number(value))
    table.add_row("reward's accuracy", _accuracy(result))
    unit = "steps" if result.texts is None else "responses"
    table.add_row("spent", f"{result.labels:,} labels, {result.env_steps:,} {unit}, {result.seconds.total:,.1f} s")
    table.add_row("folder", str(folder))
    if page is not None:
        table.add_row("report", str(page))
    return table


def _of_texts(table: Table, result: Result, texts: Texts) -> None:
    """Gold scores, which are small numbers, and what is measured of texts alone."""
    rows = {"policy": result.true_return, **{name: result.baselines.get(name) for name in WRITING}}
    for name, value in rows.items():
        told = (
            "not measured" if value is None else f"{value.mean:.3f} (95%: {value.ci95[0]:.3f} to {value.ci95[1]:.3f})"
        )
        table.add_row(f"gold score, {WRITING.get(name, name)}", told)
    won = texts.win_rate
    told = "not measured" if won is None else f"{won.mean:.2f} (95%: {won.ci95[0]:.2f} to {won.ci95[1]:.2f})"
    told += f", by people on {won.prompts} prompts" if won is not None and texts.judged_by == "people" else ""
    table.add_row("win rate against the start", told)
    table.add_row(
        "KL", f"{texts.kl:.1f} nats a response, {texts.tokens:.0f} tokens (at the start {texts.start_tokens:.0f})"
    )
    if texts.stopped:
        table.add_row("ended early", texts.stopped)


def clock_time(seconds: float) -> str:
    """`0:05`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _return(value: Return) -> str:
    return f"{value.mean:,.1f} (95%: {value.ci95[0]:,.1f} to {value.ci95[1]:,.1f})"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,.1f}"


def _accuracy(result: Result) -> str:
    quality = result.reward
    if quality.heldout_accuracy is None:
        return "not measured"
    interval = "" if quality.ci95 is None else f" (95%: {quality.ci95[0]:.2f} to {quality.ci95[1]:.2f})"
    return f"{quality.heldout_accuracy:.2f}{interval}"
