"""How a choice of the reward and a learning curve look in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

SHOWN = 12  # rewards of the table; the file holds all of them
LEFT = {
    "glance": "at a glance",
    "short": "after a short climb",
    "first folds": "after the first folds",
    "failed": "with a number that was not finite",
}


def sketch(
    points: Sequence[tuple[float, float]],
    band: Sequence[tuple[float, float, float, float]],
    width: int = 64,
    height: int = 12,
) -> str:
    """Points over a band of (x, low, middle, high), in characters; x is logarithmic."""
    x = np.geomspace(band[0][0], band[-1][0], width)
    low, middle, high = (np.interp(x, [row[0] for row in band], [row[i] for row in band]) for i in (1, 2, 3))
    bottom, top = min(low.min(), *(y for _, y in points)), max(high.max(), *(y for _, y in points))
    levels = np.linspace(top, bottom, height)
    half = (top - bottom) / (2.0 * (height - 1)) or 1.0
    canvas = np.where((levels[:, None] >= low - half) & (levels[:, None] <= high + half), "░", " ")
    canvas[np.abs(levels[:, None] - middle).argmin(0), np.arange(width)] = "─"
    for at, y in points:
        canvas[np.abs(levels - y).argmin(), np.abs(np.log(x / at)).argmin()] = "●"
    rows = [f"{level:8.3f} │{''.join(row)}" for level, row in zip(levels, canvas, strict=True)]
    ends = f"{x[0]:,.0f}".ljust(width - 8) + f"{x[-1]:,.0f}".rjust(8)
    return "\n".join([*rows, f"{'':8} └{'─' * width}", f"{'':10}{ends}"])


def show_choice(
    console: Console,
    selection: Mapping[str, Any],
    finalists: Sequence[Mapping[str, Any]],
    file: str,
    raced: Mapping[str, Sequence[float | None]] | None = None,
) -> None:
    """A selection's record as people read it: the table, what left earlier, a closer look, the choice in a sentence."""
    ended = [row for row in selection["rows"] if row["score"] is not None]
    chosen = next(place for place, row in enumerate(ended) if row["name"] == selection["chosen"])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", width=1)
    table.add_column("reward", overflow="fold")
    for name in ("log-likelihood", "to the best", "accuracy", "ECE", "CPU s"):
        table.add_column(name, justify="right", no_wrap=True)
    for place in dict.fromkeys([*range(min(SHOWN, len(ended))), chosen]):
        table.add_row(*_choice_cells(ended[place], place == chosen), style="bold" if place == chosen else "")
    console.print(table)
    gone = Counter(LEFT[row["left"]] for row in selection["rows"] if row["score"] is None)
    rest = [f"{len(ended) - table.row_count} more ended within these"] if len(ended) > table.row_count else []
    told = "; ".join([*rest, *(f"{count} left {when}" for when, count in gone.items())])
    _plain(console, told + "." if told else "")
    if len(finalists) > 1:
        console.print(_closer(finalists))
    _plain(console, f"\nChosen: {selection['why']}")
    if raced:
        console.print(_race(raced))
    _plain(console, _expected(selection))
    _plain(console, f"accord run {file}")


def _choice_cells(row: Mapping[str, Any], chosen: bool) -> list[str]:
    accuracy = "" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
    if row["accuracy_ci"] is not None:
        accuracy += f" [{row['accuracy_ci'][0]:.2f} {row['accuracy_ci'][1]:.2f}]"
    return [
        "→" if chosen else "",
        row["name"],
        f"{row['score']:.4f}",
        f"{row['difference']:+.4f} ± {row['difference_error']:.4f}" if row["difference_error"] else "best",
        accuracy,
        "" if row["ece"] is None else f"{row['ece']:.3f}",
        f"{row['seconds']:.1f}",
    ]


def _closer(finalists: Sequence[Mapping[str, Any]]) -> Table:
    """What likelihood does not know of the finalists."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title_style="", title_justify="left")
    heads = {
        "by_annotator": "other annotators",
        "by_time": "newest answers",
        "spread": "spread now/asked",
        "reach": "reach",
        "length": "with length",
        "action": "with action",
    }
    known = [name for name in heads if any(one[name] is not None for one in finalists)]
    table.add_column("a closer look", overflow="fold")
    for name in known:
        table.add_column(heads[name], justify="right")
    for one in finalists:
        cells = []
        for name in known:
            value, error = one[name], one.get(f"{name}_error")
            tail = "" if not error else f" ± {error:.4f}"
            form = "+.4f" if name.startswith("by_") else ".2f"
            cells.append("" if value is None else f"{value:{form}}{tail}")
        table.add_row(one["name"], *cells)
    return table


def _race(raced: Mapping[str, Sequence[float | None]]) -> Table:
    """What policies learned from each, by a reward of other answers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("short runs, judged by other answers", overflow="fold")
    table.add_column("one a seed", justify="right")
    for name, scores in raced.items():
        table.add_row(name, "  ".join("failed" if score is None else f"{score:.4g}" for score in scores))
    return table


def _expected(selection: Mapping[str, Any]) -> str:
    known = selection["confirmed"]
    told = f"{selection['answers']:,} answers, {selection['folds']} folds; it scored {selection['apparent']:.4f}"
    if known is None:
        return f"{told} by the answers that chose it."
    return f"{told} by the answers that chose it; {known[0]:.4f} is what such a choice scores on others."


def _plain(console: Console, text: str) -> None:
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
