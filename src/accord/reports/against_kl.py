"""The learned reward and the gold score against KL: where the one goes on rising and the other does not."""

from __future__ import annotations

from accord.reports.drawing import Figure, Trace, from_to, line, plane, remark, span, trace
from accord.reports.read import Run, number_at
from accord.reports.words import Language, say


def against_kl(run: Run, lang: Language) -> Figure | None:
    """Both in deviations of the start model's responses, from the start on; None for a run that is not of text."""
    rounds = [(number_at(r, "kl"), number_at(r, "signs", "gain"), number_at(r, "true_return")) for r in run.of("judge")]
    mean, std = (number_at(run.result, "baselines", "start", key) for key in ("mean", "std"))
    reward = [(0.0, 0.0), *((kl, gain) for kl, gain, _ in rounds if kl is not None and gain is not None)]
    if len(reward) < 2:
        return None
    gold = [(0.0, 0.0)]
    if mean is not None and std:
        gold += [(kl, (score - mean) / std) for kl, _, score in rounds if kl is not None and score is not None]
    lines = [("line_reward", reward, "@accent"), ("line_gold", gold, "@second")]
    drawn = [(say(key, lang), points, colour) for key, points, colour in lines if len(points) > 1]
    data = [trace([x for x, _ in points], [y for _, y in points], name, tone) for name, points, tone in drawn]
    low, high = span([y for _, points, _ in drawn for _, y in points], 0.12)
    ends = sorted(((points[-1], name, tone) for name, points, tone in drawn), key=lambda end: -end[0][1])
    near = len(ends) > 1 and ends[0][0][1] - ends[1][0][1] < 0.1 * (high - low)
    notes: list[Trace] = [
        remark(x, y, name, xanchor="left", xshift=9, font_color=tone, yshift=(9 - 18 * place) if near else 0)
        for place, ((x, y), name, tone) in enumerate(ends)
    ]
    layout = plane(320, say("x_kl", lang), say("y_gain", lang), notes)
    layout["yaxis"] |= {"range": [low, high]}
    layout["xaxis"] |= {"range": [0, 1.05 * max(x for _, points, _ in drawn for x, _ in points) or 1.0]}
    layout["margin"] |= {"r": 66}
    layout["shapes"] = [line(y=0.0)]
    said = " ".join(
        from_to(f"{say('against_kl', lang)}, {name}", [y for _, y in points], lang) for name, points, _ in drawn
    )
    return Figure(data, layout, said)
