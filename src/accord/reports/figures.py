"""Plotly figures of one run, as plain data: records in, traces and layout out.

Colours are names of the page's own CSS variables (`@accent`), resolved in the browser, so that light, dark and print
share one source. Text that a person or a model wrote is escaped: Plotly reads tags in labels.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from itertools import pairwise

from accord.reports.against_kl import against_kl
from accord.reports.drawing import (
    TONES,
    Figure,
    Trace,
    band_and_line,
    dash,
    dots,
    error,
    from_to,
    line,
    plane,
    remark,
    span,
    trace,
    whole,
    with_interval,
)
from accord.reports.read import Estimate, Json, Run, at, banded, mapping_at, number_at, numbers_at
from accord.reports.verdict import Returns, judged
from accord.reports.view import rules
from accord.reports.words import Language, number, percent, say


def figures(run: Run, lang: Language) -> dict[str, Figure]:
    """Every figure whose records exist."""
    drawn = {
        "baselines": baselines(Returns.read(run.result), lang),
        "curve_labels": curve(run, "labels", lang),
        "curve_steps": curve(run, "env_steps", lang),
        "against_kl": against_kl(run, lang),
        "accuracy": accuracy(run, lang),
        "reliability": reliability(run, lang),
        "scatter": scatter(run, lang),
        "likelihood": likelihood(run, lang),
        "asked": asked(run, lang),
        "annotators": annotators(run, lang),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def baselines(returns: Returns, lang: Language) -> Figure | None:
    """The policy and its controls as dots with intervals, each named above its own row."""
    rows = [("policy", returns.policy), ("true", returns.true), ("constant", returns.constant)]
    measured = [(say(key, lang), key, value) for key, value in [*rows, ("random", returns.random)] if value]
    if returns.policy is None:
        return None
    data = [dots([value], [len(measured) - 1 - i], name, "@accent" if key == "policy" else "@muted", key == "policy")
            for i, (name, key, value) in enumerate(measured)]  # fmt: skip
    values = [x for *_, value in measured for x in (value.floor, value.ceiling)]
    values += [returns.best] if returns.best is not None else []
    low, high = span([*values, 0.0] if 0 < min(values) < 0.4 * max(values) else values, 0.05)
    notes = [
        remark(0, len(measured) - 1 - i, "{}  <b>{}</b>{}".format(name, *with_interval(value, lang)), xref="paper",
              xanchor="left", yshift=17, font_color="@ink" if key == "policy" else "@soft")
        for i, (name, key, value) in enumerate(measured)
    ]  # fmt: skip
    layout = plane(68 * len(measured) + 68, say("x_return", lang), "", notes, top=14)
    layout["xaxis"] |= {"range": [low, high]}
    layout["yaxis"] |= {"visible": False, "range": [-0.45, len(measured) - 0.25]}
    layout["margin"] |= {"l": 14}
    if returns.best is not None:
        layout["shapes"] = [line(x=returns.best)]
        notes.append(remark(returns.best, 1, say("best", lang), yref="paper", xanchor="right", yanchor="bottom"))
        layout["margin"]["t"] = 26
    said = "; ".join(" ".join([name, "".join(with_interval(value, lang))]) for name, _, value in measured)
    return Figure(data, layout, f"{say('baselines', lang)}: {said}.")


def curve(run: Run, by: str, lang: Language) -> Figure | None:
    """True return after each round against labels or steps, with the controls as named lines."""
    points = [(number_at(r, by), banded(r, "true_return")) for r in run.of("judge")]
    seen = [(x, value) for x, value in points if x is not None and value is not None]
    if not seen:
        return None
    title = say("curve", lang)
    data = band_and_line([x for x, _ in seen], [value for _, value in seen], say("policy", lang))
    returns = Returns.read(run.result)
    controls = {"true": returns.true, "constant": returns.constant, "random": returns.random}
    levels = [(say(key, lang), value.mean) for key, value in controls.items() if value]
    low, high = span([x for _, v in seen for x in (v.floor, v.ceiling)] + [y for _, y in levels], 0.1)
    layout = plane(340, say("x_labels" if by == "labels" else "x_steps", lang), say("x_return", lang),
                     _level_notes(levels, high - low, [(x, v.mean) for x, v in seen]))  # fmt: skip
    layout["shapes"] = [line(y=y) for _, y in levels]
    layout["yaxis"] |= {"range": [low, high]}
    layout["xaxis"] |= {"range": [0, 1.02 * max(x for x, _ in seen)]}
    return Figure(data, layout, from_to(title, [v.mean for _, v in seen], lang))


def accuracy(run: Run, lang: Language) -> Figure | None:
    """Held-out accuracy by round with its band, beside the annotators' agreement and a coin."""
    points = [(number_at(r, "round"), banded(r, "accuracy")) for r in run.of("judge")]
    seen = [(x, value) for x, value in points if x is not None and value is not None]
    if not seen:
        return None
    levels = [(say("coin", lang), 0.5)]
    agreement = judged(run, "agreement")
    if agreement is not None:
        levels.insert(0, (say("agreement", lang, p=percent(agreement)), agreement))
    layout = plane(300, say("x_round", lang), say("y_accuracy", lang), _level_notes(levels, 0.7))
    low = min([0.4, *(v.floor - 0.04 for _, v in seen)])
    layout["yaxis"] |= {"range": [low, 1.06], "tickformat": ".0%", "dtick": 0.1 if low > 0.3 else 0.2}
    layout["xaxis"] |= whole([x for x, _ in seen])
    layout["shapes"] = [line(y=y) for _, y in levels]
    data = band_and_line([x for x, _ in seen], [v for _, v in seen], say("y_accuracy", lang), "%{y:.0%}")
    return Figure(data, layout, from_to(say("accuracy", lang), [v.mean for _, v in seen], lang, share=True))


def reliability(run: Run, lang: Language) -> Figure | None:
    """Observed share against predicted probability, with Wilson 95% intervals; on the diagonal is calibrated."""
    bins = _bins(at(run.last("judge"), "reliability") or ())
    if not bins:
        return None
    most = max(n for *_, n in bins)
    ends = [wilson(o, n) for _, o, n in bins]
    data: list[Trace] = [{
        "type": "scatter", "mode": "markers", "x": [p for p, *_ in bins], "y": [o for _, o, _ in bins],
        "marker": {"color": "@accent", "size": [7 + 11 * math.sqrt(n / most) for *_, n in bins], "line": {"width": 0}},
        "error_y": error([hi - o for (_, o, _), (_, hi) in zip(bins, ends, strict=True)],
                          [o - lo for (_, o, _), (lo, _) in zip(bins, ends, strict=True)], "@accent"),
        "customdata": [n for *_, n in bins], "hovertemplate": "%{x:.2f} → %{y:.2f}, n = %{customdata}<extra></extra>",
    }]  # fmt: skip
    ece = judged(run, "ece")
    told = say("none", lang) if ece is None else number(ece, 3)
    note = remark(0.97, 0.03, f"ECE <b>{told}</b>", xref="paper", yref="paper", xanchor="right", yanchor="bottom")
    layout = plane(320, say("x_p", lang), say("y_observed", lang), [note])
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"range": [-0.03, 1.05], "dtick": 0.25, "tickformat": ".0%"}
    layout["shapes"] = [{"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "layer": "below", "line": dash()}]
    return Figure(data, layout, say("alt_reliability", lang, title=say("reliability", lang), n=len(bins), ece=told))


def _bins(records: Sequence[Json]) -> list[tuple[float, float, float]]:
    """Predicted, observed and number of answers of every group that holds any."""
    rows = [(number_at(each, "p"), number_at(each, "observed"), number_at(each, "n")) for each in records]
    return [(p, o, n) for p, o, n in rows if p is not None and o is not None and n]


def scatter(run: Run, lang: Language) -> Figure | None:
    """Predicted against true reward of segments, with Spearman's rank correlation."""
    spread = mapping_at(run.last("judge"), "scatter")
    truth, reward = numbers_at(spread, "truth"), numbers_at(spread, "reward")
    if not truth or len(truth) != len(reward):
        return None
    rho = judged(run, "spearman")
    told = say("none", lang) if rho is None else number(rho, 2)
    data: list[Trace] = [{
        "type": "scatter", "mode": "markers", "x": list(truth), "y": list(reward),
        "marker": {"color": "@accent", "size": 6, "opacity": 0.4, "line": {"width": 0}},
        "hovertemplate": "%{x:.3g} → %{y:.3g}<extra></extra>",
    }]  # fmt: skip
    spoken = say("truth_alike", lang) if min(truth) == max(truth) else f"Spearman <b>{told}</b>"
    note = remark(1, 1, spoken, xref="paper", yref="paper", xanchor="right", yanchor="bottom", yshift=8)
    layout = plane(320, say("x_truth", lang), say("y_reward_short", lang), [note])
    title = say("scatter", lang)
    return Figure(data, layout, say("alt_scatter", lang, title=title, n=len(truth), rho=told))


def likelihood(run: Run, lang: Language) -> Figure | None:
    """Training and held-out log-likelihood per answer: where they part, the reward has begun to learn by heart."""
    train, heldout = (_points(run.of("fit"), f"{name}_log_likelihood") for name in ("train", "heldout"))
    if not train and not heldout:
        return None
    lines = [("train", train, "@muted"), ("heldout", heldout, "@accent")]
    data = [
        trace([x for x, _ in points], [y for _, y in points], say(key, lang), colour)
        for key, points, colour in lines
        if points
    ]
    low, high = span([y for _, y in train + heldout], 0.1)
    crowded = bool(train and heldout) and abs(train[-1][1] - heldout[-1][1]) < 0.08 * (high - low)
    push = 9 if crowded else 0
    if train and heldout and train[-1][1] < heldout[-1][1]:
        push = -push
    notes = [
        remark(points[-1][0], points[-1][1], say(key, lang), xanchor="left", xshift=9, font_color=colour,
              yshift=push if key == "train" else -push)
        for key, points, colour in lines if points
    ]  # fmt: skip
    layout = plane(300, say("x_round", lang), say("y_ll", lang), notes)
    layout["xaxis"] |= whole([x for x, _ in train + heldout])
    layout["yaxis"] |= {"range": [low, high]}
    layout["margin"] |= {"r": 62}
    return Figure(data, layout, from_to(say("likelihood", lang), [y for _, y in heldout or train], lang))


def _points(records: Sequence[Json], key: str) -> list[tuple[float, float]]:
    pairs = [(number_at(r, "round"), number_at(r, key)) for r in records]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def asked(run: Run, lang: Language) -> Figure | None:
    """Questions of each round, stacked by the rule that chose them; the page sets the key beside it."""
    totals = rules(run)
    records = [(x, mapping_at(r, "acquisition")) for r in run.of("ask") if (x := number_at(r, "round")) is not None]
    if not totals or not records:
        return None
    xs = [x for x, _ in records]
    data: list[Trace] = [
        {"type": "bar", "name": html.escape(rule), "x": xs,
         "y": [number_at(counts, rule) or 0 for _, counts in records],
         "marker": {"color": TONES[i % len(TONES)], "line": {"width": 0}},
         "hovertemplate": "%{y}<extra>%{fullData.name}</extra>"}
        for i, rule in enumerate(totals)
    ]  # fmt: skip
    layout = plane(310, say("x_round", lang), say("y_asked", lang), []) | {"barmode": "stack", "bargap": 0.4}
    layout["xaxis"] |= whole(xs)
    said = ", ".join(f"{rule} {number(total, 0)}" for rule, total in totals.items())
    return Figure(data, layout, f"{say('asked', lang)}: {said}.")


def annotators(run: Run, lang: Language) -> Figure | None:
    """Skill of each annotator as a dot with its interval, the most skilled above."""
    people = [(name, Estimate(skill, number_at(who, "low"), number_at(who, "high")))
              for name, who in mapping_at(run.last("fit"), "annotators").items()
              if (skill := number_at(who, "skill")) is not None]  # fmt: skip
    if not people:
        return None
    people.sort(key=lambda each: each[1].mean)
    rows = list(range(len(people)))
    data = [dots([value for _, value in people], rows, say("skill", lang), "@accent", True, "%{x:.0%}")]
    notes = [remark(0, row, f"{_short(name)}  <b>{percent(value.mean)}</b>", xref="paper", xanchor="left",
                   yshift=16) for row, (name, value) in zip(rows, people, strict=True)]  # fmt: skip
    layout = plane(max(150, 50 * len(people) + 60), say("skill", lang), "", notes, top=10)
    layout["xaxis"] |= {"range": [0, 1.04], "tickformat": ".0%", "dtick": 0.25}
    layout["yaxis"] |= {"visible": False, "range": [-0.5, len(people) - 0.25]}
    layout["margin"] |= {"l": 14}
    said = "; ".join(f"{name} {percent(value.mean)}" for name, value in reversed(people))
    return Figure(data, layout, f"{say('annotators', lang)}: {said}.")


def _short(name: str) -> str:
    """A name that fits a phone's width, its tags shown as text."""
    return html.escape(name if len(name) <= 28 else f"{name[:27]}…")


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share observed in n trials (Wilson 1927), within 0 and 1."""
    z2 = 1.959964**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _level_notes(
    levels: Sequence[tuple[str, float]], span: float, curve: Sequence[tuple[float, float]] = ()
) -> list[Trace]:
    """Names of horizontal lines above each line: at the right, or at the left where only there the curve is far off.

    Where lines lie closer than a row of text, the lowest is named below its line and the others share the row above.
    """
    rows: list[list[tuple[str, float]]] = []
    for name, y in sorted(levels, key=lambda level: -level[1]):
        if rows and rows[-1][0][1] - y < 0.08 * span:
            rows[-1].append((name, y))
        else:
            rows.append([(name, y)])
    notes = []
    for row in rows:
        above, below = (row, []) if len(row) == 1 else (row[:-1], row[-1:])
        x = _freer_end(curve, above[0][1], span)
        placed = {"xref": "paper", "xanchor": "right" if x else "left", "xshift": 0 if x else 4, "font_color": "@muted"}
        notes.append(
            remark(x, above[0][1], " · ".join(name for name, _ in above), yanchor="bottom", yshift=1, **placed)
        )
        notes += [remark(x, y, name, yanchor="top", yshift=-2, **placed) for name, y in below]
    return notes


def _freer_end(curve: Sequence[tuple[float, float]], y: float, span: float) -> int:
    """Where a name above the line at `y` is crossed less by the curve: 1 for the right, 0 for the left."""
    last = max((x for x, _ in curve), default=0.0)
    pieces = list(pairwise(sorted(curve)))

    def room(start: float, end: float) -> float:
        """How far the curve stays from the name, which is about two fifths of the plot long, in rows of text."""
        gaps = [3.0]
        for (x0, y0), (x1, y1) in pieces:
            inside = [x for x in (x0, x1, start, end) if start <= x <= end and x0 <= x <= x1]
            heights = [y0 + (y1 - y0) * (x - x0) / ((x1 - x0) or 1.0) - y for x in inside]
            if heights:
                gaps.append(max(0.0, min(heights) / (0.08 * span) - 1.0, -max(heights) / (0.08 * span)))
        return min(gaps)

    return int(room(0.6 * last, last) >= min(room(0.0, 0.4 * last), 0.25))
