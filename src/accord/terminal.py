"""How a run looks in a terminal: one moving bar where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from accord import trials
from accord.progress import Progress
from accord.records import Result, Return
from accord.trials import Finalist, Trial
from accord.tuning.budget import WORDS, Budget
from accord.tuning.ledger import Ledger, Watch

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
    table.add_row("true return", f"{_return(true)}, sd {true.std:,.1f} over {true.episodes:,} episodes")
    for name, value in (
        ("random", result.random_return),
        ("constant", result.constant_reward_return),
        ("true", result.true_reward_return),
    ):
        known = result.baselines.get(name)
        table.add_row(BASELINES[name], _return(known) if known else _number(value))
    table.add_row("reward's accuracy", _accuracy(result))
    table.add_row("spent", f"{result.labels:,} labels, {result.env_steps:,} steps, {result.seconds.total:,.1f} s")
    table.add_row("folder", str(folder))
    if page is not None:
        table.add_row("report", str(page))
    return table


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


# ------------------------------------------------------------------------------------------------- a study

SAID = {"portfolio": "race", "race": "race", "search": "search", "random": "search", "confirm": "confirmation"}


@contextmanager
def studying(console: Console, budget: Budget) -> Iterator[Watch]:
    """Shows a study while inside: a bar over its budget on a terminal, a line for each trial that ended elsewhere."""
    if not console.is_terminal:

        def line(trial: Trial, ledger: Ledger) -> None:
            if trial.state != "started":
                text = f"{SAID[trial.stage]} · {_standing(ledger, budget)} · {trial.name} {_score(trial)}"
                console.print(text, markup=False, highlight=False, soft_wrap=True)

        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}", markup=True),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Bar(*columns, console=console, refresh_per_second=4, transient=True) as bar:
        shown = bar.add_task("start", total=budget.amount, figures="")

        def move(trial: Trial, ledger: Ledger) -> None:
            done = min(budget.amount, _spent(ledger, budget))
            bar.update(shown, description=SAID[trial.stage], completed=done, figures=_standing(ledger, budget))

        yield move


def chosen(result: trials.Result, folder: Path, page: Path | None = None) -> RenderableType:
    """What a study found: the finalists on the confirmation's seeds, the choice in a sentence, and where it is kept."""
    told = result.verdict
    failures = any(each.failed for each in told.finalists)
    heads = ["confirmed", "over the default", "P", "p", "apparent", "CPU", *(["failed"] if failures else [])]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")  # names give way before figures do
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for each in told.finalists:
        mine = each.name == told.chosen
        row = _row(each, len(told.seeds))[: len(heads)]
        table.add_row(f"{'>' if mine else ' '} {each.name}", *row, style="bold" if mine else "")
    meant = (
        f"confirmed: interquartile mean of {len(told.seeds)} fresh seeds, its 95% interval; P: of being better than "
        "the default; p: of a test that it is not (Holm); apparent: mean of the scores that picked it; "
        "CPU: seconds of a run"
    )
    best = next(each for each in told.finalists if each.name == told.chosen)
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts.add_row("task", f"{result.task}, judged by {_judge(told.judge)}")
    facts.add_row(
        "chosen", f"{best.name}{''.join(f'{chr(10)}  {key} = {_value(v)}' for key, v in best.values.items())}"
    )
    if told.expected is not None and told.expected_ci95 is not None:
        expected = _ranged(told.expected, told.expected_ci95)
        facts.add_row("to expect", f"{expected} on seeds that chose nothing")
    facts.add_row("spent", _took(result))
    facts.add_row("to run it", f"accord run {folder / trials.CHOSEN}")
    if page is not None:
        facts.add_row("page", str(page))
    return Group(table, Text(meant, style="dim"), Text(""), Text(told.why), Text(""), facts)


def _row(each: Finalist, seeds: int) -> list[str]:
    against = "" if each.difference is None else _ranged(each.difference, each.difference_ci95, "+")
    return [
        _ranged(each.iqm, each.ci95),
        against,
        "" if each.p_better is None else f"{each.p_better:.2f}",
        "" if each.p_holm is None else f"{each.p_holm:.3f}",
        "" if each.apparent is None else _figure(each.apparent),
        f"{each.cpu_seconds:,.1f}",
        f"{each.failed} of {seeds}" if each.failed else "",
    ]


def _ranged(value: float, interval: tuple[float, float] | None, sign: str = "") -> str:
    inside = "" if interval is None else f" ({_figure(interval[0])} to {_figure(interval[1])})"
    return _figure(value, sign) + inside


def _judge(name: str) -> str:
    return {"truth": "the true return", "teacher": "a teacher", "reward": "a reward of held-out answers"}.get(
        name, name
    )


def _took(result: trials.Result) -> str:
    parts = [f"{result.trials:,} trials" + (f" ({result.failed:,} failed)" if result.failed else "")]
    parts += [f"{clock_time(result.seconds)} of wall time", f"{clock_time(result.cpu_seconds)} of processor time"]
    parts += [f"{result.env_steps:,} steps", f"{result.labels:,} labels"]
    return ", ".join(parts)


def _standing(ledger: Ledger, budget: Budget) -> str:
    """Spent of the budget, trials, the best score so far, in one line."""
    whole = [trial for trial in ledger.ended if trial.score is not None]
    parts = [f"{_spent(ledger, budget):,.0f}/{budget.amount:,.0f} {WORDS[budget.unit]}"]
    if budget.unit != "trials":
        parts.append(f"{len(ledger.ended):,} trials")
    if failed := sum(trial.state == "failed" for trial in ledger.ended):
        parts.append(f"{failed:,} failed")
    if whole:
        parts.append(f"best {_figure(max(trial.score for trial in whole if trial.score is not None))}")
    return " · ".join(parts)


def _spent(ledger: Ledger, budget: Budget) -> float:
    return ledger.elapsed if budget.unit == "seconds" else budget.spent(ledger.ended)


def _score(trial: Trial) -> str:
    return f"failed: {trial.why}" if trial.score is None else _figure(trial.score)


def _figure(value: float, sign: str = "") -> str:
    return f"{value:{sign},.3g}" if abs(value) < 1000 else f"{value:{sign},.0f}"


def _value(value: trials.Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
