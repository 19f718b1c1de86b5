"""Plotly figures of one study, as plain data: the confirmation, what the search saw, cost, importance, slices."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from accord.reports.drawing import TONES, Figure, Trace, dots, error, line, plane, remark, span, with_interval
from accord.reports.read import Estimate
from accord.reports.tried import Best, Tried, anytime, importances, is_number, logarithmic, tried, varied
from accord.reports.words import Language, number, percent, say
from accord.trials import Finalist, Study, Value, Verdict

SLICES = 3  # parameters that are shown one by one
NAMED = 26  # letters of a name that fit a phone


def figures(study: Study, lang: Language) -> dict[str, Figure]:
    """Every figure whose records exist."""
    rows, mattering = tried(study), importances(study)
    drawn = {
        "confirmed": confirmed(study.verdict, lang),
        "gap": gap(study.verdict, lang),
        "anytime": best_so_far(anytime(study), lang),
        "pareto_cpu": pareto(rows, "cpu_seconds", lang),
        "pareto_labels": pareto(rows, "labels", lang),
        "importance": importance(mattering, lang),
        **{f"slice_{i}": slice_of(name, row, lang) for i, (name, row) in enumerate(sliced(study, mattering))},
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def sliced(study: Study, mattering: dict[str, Estimate]) -> list[tuple[str, list[tuple[Value, float]]]]:
    """The parameters that matter most, with their values and scores; those tried most where nothing is told."""
    rows = varied(study)
    order = [name for name in mattering if name in rows] or sorted(rows, key=lambda name: -len(rows[name]))
    return [(name, rows[name]) for name in order[:SLICES]]


def confirmed(verdict: Verdict | None, lang: Language) -> Figure | None:
    """Each finalist's interquartile mean with its interval, named above its own row; the default's as a line."""
    if verdict is None:
        return None
    found = list(verdict.finalists)
    values = [Estimate(each.iqm, *each.ci95) for each in found]
    data: list[Trace] = []
    notes: list[Trace] = []
    for i, (each, value) in enumerate(zip(found, values, strict=True)):
        row, chosen = len(found) - 1 - i, each.name == verdict.chosen
        data.append(dots([value], [row], _short(each.name), "@accent" if chosen else "@muted", chosen))
        name = _short(each.name) + (f" · {say('chosen_mark', lang)}" if chosen else "")
        text = "{}  <b>{}</b>{}".format(name, *with_interval(value, lang))
        notes.append(remark(0, row, text, xref="paper", xanchor="left", yshift=17,
                            font_color="@ink" if chosen else "@soft"))  # fmt: skip
    layout = plane(62 * len(found) + 70, say("x_score", lang), "", notes, top=14)
    layout["xaxis"] |= {"range": list(span([x for value in values for x in (value.floor, value.ceiling)], 0.05))}
    layout["yaxis"] |= {"visible": False, "range": [-0.45, len(found) - 0.25]}
    layout["margin"] |= {"l": 14}
    base = default_of(verdict)
    if base is not None:
        layout["shapes"] = [line(x=base.iqm)]
        notes.append(remark(base.iqm, 1, say("default", lang), yref="paper", yanchor="bottom", font_color="@muted"))
        layout["margin"]["t"] = 28
    said = "; ".join(f"{each.name} {number(each.iqm)}" for each in found)
    return Figure(data, layout, f"{say('confirmed', lang)}: {said}.")


def default_of(verdict: Verdict) -> Finalist | None:
    """The one that others are compared with."""
    return next((each for each in verdict.finalists if each.difference is None), None)


def gap(verdict: Verdict | None, lang: Language) -> Figure | None:
    """From the score that picked a finalist to the one that was confirmed."""
    found = [] if verdict is None else [each for each in verdict.finalists if each.apparent is not None]
    if not found:
        return None
    rows = list(range(len(found) - 1, -1, -1))
    apparent = [each.apparent for each in found if each.apparent is not None]
    now = [each.iqm for each in found]
    data: list[Trace] = [
        {"type": "scatter", "mode": "lines", "x": [a, c], "y": [row, row], "line": {"color": "@muted", "width": 2},
         "hoverinfo": "skip"}
        for a, c, row in zip(apparent, now, rows, strict=True)
    ]  # fmt: skip
    for xs, key, hollow in ((apparent, "apparent", True), (now, "confirmed", False)):
        marker: dict[str, Any] = {"color": "@raised" if hollow else "@accent", "size": 12,
                                  "line": {"width": 2, "color": "@accent"}}  # fmt: skip
        data.append({"type": "scatter", "mode": "markers", "x": xs, "y": rows, "marker": marker, "cliponaxis": False,
                     "hovertemplate": f"%{{x:.4~g}}<extra>{say(key, lang)}</extra>"})  # fmt: skip
    notes = [
        remark(0, row, f"{_short(each.name)}  {number(a)} → <b>{number(each.iqm)}</b>", xref="paper", xanchor="left",
               yshift=17)
        for each, a, row in zip(found, apparent, rows, strict=True)
    ]  # fmt: skip
    layout = plane(62 * len(found) + 70, say("x_score", lang), "", notes, top=14)
    layout["xaxis"] |= {"range": list(span([*apparent, *now], 0.06))}
    layout["yaxis"] |= {"visible": False, "range": [-0.45, len(found) - 0.25]}
    layout["margin"] |= {"l": 14}
    said = "; ".join(f"{each.name} {number(a)} → {number(each.iqm)}" for each, a in zip(found, apparent, strict=True))
    return Figure(data, layout, f"{say('gap', lang)}: {said}.")


def best_so_far(curves: Sequence[Best], lang: Language) -> Figure | None:
    """Steps that rise where an arm's best score did, named at their ends."""
    if not curves:
        return None
    last = max(curve.cpu_seconds[-1] for curve in curves)
    values = [x for curve in curves for x in curve.score]
    low, high = span(values, 0.08)
    data: list[Trace] = []
    notes: list[Trace] = []
    taken: list[float] = []
    for i, curve in enumerate(curves):
        colour = "@accent" if i == 0 else TONES[3 + (i - 1) % 2]
        xs, ys = [*curve.cpu_seconds, last], [*curve.score, curve.score[-1]]
        data.append({"type": "scatter", "mode": "lines", "x": xs, "y": ys, "name": html.escape(curve.arm),
                     "line": {"color": colour, "width": 2.2, "shape": "hv", "dash": ("solid", "dash", "dot")[i % 3]},
                     "hovertemplate": "%{x:,.0f}: %{y:.4~g}<extra>" + html.escape(curve.arm) + "</extra>"})  # fmt: skip
        at = curve.score[-1]
        while any(abs(at - other) < 0.07 * (high - low) for other in taken):
            at -= 0.07 * (high - low)
        taken.append(at)
        notes.append(remark(last, at, _short(curve.arm), xanchor="left", xshift=8,
                            font_color="@accent" if i == 0 else "@muted"))  # fmt: skip
    layout = plane(330, say("x_cpu", lang), say("x_score", lang), notes)
    layout["yaxis"] |= {"range": [min(low, *taken), high + 0.08 * (high - low)]}
    layout["xaxis"] |= {"range": [0, last]}
    layout["margin"] |= {"r": 14 + 8 * max(len(_short(curve.arm)) for curve in curves)}  # names stand beside the plot
    said = "; ".join(f"{curve.arm} {number(curve.score[-1])}" for curve in curves)
    return Figure(data, layout, f"{say('anytime', lang)}: {said}.")


def pareto(rows: Sequence[Tried], by: str, lang: Language) -> Figure | None:
    """Score against one cost; what nothing beats in both costs stands out. None where the cost is the same for all."""
    cost = [float(getattr(row, by)) for row in rows]
    if len(set(cost)) < 2:
        return None
    data: list[Trace] = []
    for unbeaten in (False, True):
        some = [(x, row) for x, row in zip(cost, rows, strict=True) if row.unbeaten == unbeaten]
        told = [f"{html.escape(row.name)}, {number(row.labels, 0)} {say('labels_run', lang)}" for _, row in some]
        marker = {"color": "@accent" if unbeaten else "@muted", "size": 11 if unbeaten else 8,
                  "opacity": 1.0 if unbeaten else 0.55, "line": {"width": 0}}  # fmt: skip
        data.append({"type": "scatter", "mode": "markers", "x": [x for x, _ in some],
                     "y": [row.score for _, row in some], "customdata": told, "marker": marker, "cliponaxis": False,
                     "hovertemplate": "%{x:,.4~g}: %{y:.4~g}<extra>%{customdata}</extra>"})  # fmt: skip
    layout = plane(330, say("x_run_cpu" if by == "cpu_seconds" else "x_run_labels", lang), say("x_score", lang), [])
    layout["yaxis"] |= {"range": list(span([row.score for row in rows], 0.08))}
    layout["xaxis"] |= {"rangemode": "tozero"}
    best = ", ".join(row.name for row in rows if row.unbeaten)
    return Figure(data, layout, f"{say('pareto', lang)}: {best}.")


def importance(found: dict[str, Estimate], lang: Language) -> Figure | None:
    """Bars with intervals, each named above itself."""
    if not found:
        return None
    names, rows = list(found)[:8], list(range(min(8, len(found)) - 1, -1, -1))
    values = [found[name] for name in names]
    data: list[Trace] = [{
        "type": "bar", "orientation": "h", "x": [value.mean for value in values], "y": rows, "width": 0.26,
        "marker": {"color": "@accent", "line": {"width": 0}}, "hovertemplate": "%{x:.0%}<extra></extra>",
        "error_x": error([v.ceiling - v.mean for v in values], [v.mean - v.floor for v in values], "@muted"),
    }]  # fmt: skip
    notes = [
        remark(0, row, f"{_short(name)}  <b>{percent(value.mean)}</b> "
                       f"({percent(value.floor)}–{percent(value.ceiling)})", xref="paper", xanchor="left", yshift=18)
        for name, value, row in zip(names, values, rows, strict=True)
    ]  # fmt: skip
    layout = plane(54 * len(names) + 64, say("x_share", lang), "", notes, top=12)
    layout["xaxis"] |= {"range": [0, max(v.ceiling for v in values) * 1.05], "tickformat": ".0%"}
    layout["yaxis"] |= {"visible": False, "range": [-0.45, len(names) - 0.3]}
    layout["margin"] |= {"l": 14}
    said = "; ".join(f"{name} {percent(value.mean)}" for name, value in zip(names, values, strict=True))
    return Figure(data, layout, f"{say('importance', lang)}: {said}.")


def slice_of(name: str, row: Sequence[tuple[Value, float]], lang: Language) -> Figure:
    """Scores against one parameter: numbers along an axis, in decades where they span some, words side by side."""
    values = [value for value, _ in row]
    numbers = all(map(is_number, values))
    xs: list[Any] = list(values) if numbers else [html.escape(str(value)) for value in values]
    data: list[Trace] = [{
        "type": "scatter", "mode": "markers", "x": xs, "y": [score for _, score in row],
        "marker": {"color": "@accent", "size": 7, "opacity": 0.55, "line": {"width": 0}},
        "hovertemplate": "%{x}: %{y:.4~g}<extra></extra>", "cliponaxis": False,
    }]  # fmt: skip
    layout = plane(240, "", say("x_score", lang), [])
    layout["meta"] = name
    layout["yaxis"] |= {"range": list(span([score for _, score in row], 0.08))}
    if not numbers:
        layout["xaxis"] |= {"type": "category"}
    elif logarithmic(values):
        layout["xaxis"] |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    return Figure(data, layout, f"{name}: {say('slice_sub', lang)}")


def _short(name: str) -> str:
    """A name that fits a phone's width, its tags shown as text."""
    return html.escape(name if len(name) <= NAMED else f"{name[: NAMED - 1]}…")
