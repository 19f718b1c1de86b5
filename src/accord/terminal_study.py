"""How a study looks in a terminal: a bar over its budget, and what was confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from accord import trials
from accord.terminal import clock_time
from accord.trials import Finalist, Trial
from accord.tuning.budget import WORDS, Budget
from accord.tuning.ledger import Ledger, Watch

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
    whole = [trial for trial in ledger.ended if trial.score is not None and not trial.stopped]
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
    if trial.score is None:
        return f"failed: {trial.why}"
    return f"{_figure(trial.score)}, stopped" if trial.stopped else _figure(trial.score)


def _figure(value: float, sign: str = "") -> str:
    return f"{value:{sign},.3g}" if abs(value) < 1000 else f"{value:{sign},.0f}"


def _value(value: trials.Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
