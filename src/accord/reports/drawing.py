"""What the pages' Plotly figures are made of, as plain data: layout, notes, dots with intervals, bands.

Colours are names of the page's own CSS variables (`@accent`), resolved in the browser, so that light, dark and print
share one source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accord.reports.read import Estimate
from accord.reports.words import Language, number, percent, say

Trace = dict[str, Any]
TONES = tuple(f"@tone{i}" for i in range(6))  # one hue, dark to light: told apart without colour


@dataclass(frozen=True)
class Figure:
    """What Plotly draws, and the same in words for those who cannot see it."""

    data: list[Trace]
    layout: dict[str, Any]
    alt: str


def plane(height: int, x: str, y: str, notes: list[Trace], top: int = 30) -> dict[str, Any]:
    """Quiet axes; the vertical axis is named above itself, where it needs no turned head."""
    axis = {"gridcolor": "@grid", "zeroline": False, "linecolor": "@grid", "tickcolor": "@grid", "automargin": True,
            "fixedrange": True, "nticks": 6, "tickfont": {"color": "@muted"}}  # fmt: skip
    if y:
        notes.append(
            remark(0, 1, y, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=8, xshift=-34)
        )
    return {
        "height": height, "margin": {"l": 46, "r": 12, "t": top, "b": 48}, "autosize": True, "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "hovermode": "closest", "dragmode": False,
        "font": {"color": "@ink", "size": 13}, "annotations": notes,
        "hoverlabel": {"bgcolor": "@raised", "bordercolor": "@line", "font": {"color": "@ink"}},
        "xaxis": axis | {"showgrid": False, "ticks": "outside", "ticklen": 4,
                         "title": {"text": x, "font": {"color": "@muted", "size": 13}, "standoff": 10}},
        "yaxis": dict(axis),
    }  # fmt: skip


def remark(x: float, y: float, text: str, **more: Any) -> Trace:
    """Text at a place of the plot."""
    font = {"color": more.pop("font_color", "@soft"), "size": 13}
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": font, "borderpad": 0} | more


def dash() -> Trace:
    """How lines of comparison are drawn."""
    return {"color": "@muted", "width": 1.2, "dash": "4px,4px"}


def line(x: float | None = None, y: float | None = None) -> Trace:
    """A dashed line across the whole plot."""
    if x is not None:
        return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": dash()}
    return {"type": "line", "y0": y, "y1": y, "xref": "paper", "x0": 0, "x1": 1, "layer": "below", "line": dash()}


def trace(xs: Sequence[float], ys: Sequence[float], name: str, colour: str, y: str = "%{y:.4~g}") -> Trace:
    """A line with its points."""
    return {
        "type": "scatter", "mode": "lines+markers", "x": list(xs), "y": list(ys), "name": name,
        "line": {"color": colour, "width": 2.2}, "marker": {"color": colour, "size": 6},
        "hovertemplate": f"%{{x:,}}: {y}<extra>{name}</extra>",
    }  # fmt: skip


def band_and_line(xs: Sequence[float], values: Sequence[Estimate], name: str, y: str = "%{y:.4~g}") -> list[Trace]:
    """A line in the band of its intervals, where they are known."""
    line = trace(xs, [v.mean for v in values], name, "@accent", y)
    if any(v.low is None for v in values):
        return [line]
    around = [v.ceiling for v in values] + [v.floor for v in reversed(values)]
    band = {"type": "scatter", "mode": "lines", "x": [*xs, *reversed(xs)], "y": around, "fill": "toself",
            "fillcolor": "@band", "line": {"width": 0}, "hoverinfo": "skip"}  # fmt: skip
    return [band, line]


def dots(values: Sequence[Estimate], rows: Sequence[float], name: str, colour: str, strong: bool,
          x: str = "%{x:.4~g}") -> Trace:  # fmt: skip
    """Dots with their intervals, one a row."""
    trace: Trace = {
        "type": "scatter", "mode": "markers", "x": [v.mean for v in values], "y": list(rows), "name": name,
        "marker": {"color": colour, "size": 13 if strong else 10, "line": {"width": 0}},
        "hovertemplate": f"{name} {x}<extra></extra>", "cliponaxis": False,
    }  # fmt: skip
    if any(v.low is not None for v in values):
        trace["error_x"] = error([v.ceiling - v.mean for v in values], [v.mean - v.floor for v in values], colour)
    return trace


def error(plus: Sequence[float], minus: Sequence[float], colour: str) -> Trace:
    """Whiskers of unequal length."""
    return {"type": "data", "symmetric": False, "array": [max(0.0, x) for x in plus],
            "arrayminus": [max(0.0, x) for x in minus], "color": colour, "thickness": 2, "width": 0}  # fmt: skip


def span(values: Sequence[float], room: float) -> tuple[float, float]:
    """A range with some room around the values."""
    low, high = min(values), max(values)
    pad = room * (high - low or abs(high) or 1.0)
    return low - pad, high + pad


def whole(xs: Sequence[float]) -> dict[str, Any]:
    """Rounds are whole numbers: a tick for each while there is room."""
    step = max(1, round((max(xs) - min(xs)) / 8))
    return {"range": [min(xs) - 0.6, max(xs) + 0.6], "dtick": step, "tick0": min(xs)}


def with_interval(value: Estimate, lang: Language) -> tuple[str, str]:
    """The mean, and its interval in brackets where there is one."""
    if value.low is None or value.high is None:
        return number(value.mean), ""
    size = max(abs(value.low), abs(value.high))
    digits = 0 if size >= 100 else 1 if size >= 1 else 2
    span = say("span", lang, low=number(value.low, digits), high=number(value.high, digits))
    return number(value.mean, digits), f" ({span})"


def from_to(title: str, values: Sequence[float], lang: Language, share: bool = False) -> str:
    """A curve in words."""
    first, last = (percent(x) if share else number(x) for x in (values[0], values[-1]))
    return say("alt_from_to", lang, title=title, first=first, last=last)
