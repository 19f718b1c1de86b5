"""What a study tried, as tables: each configuration with its cost, the best so far, what nothing beats, what mattered.

Pure. Scores of the highest rung alone are compared, since shorter trials are not worth the same. Importance is
PED-ANOVA (Watanabe et al., arXiv:2304.10255) as Optuna has it, within one arm, with trials drawn again for its
intervals: a handful of trials says little, and the bars say so.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from accord.reports.read import Estimate
from accord.trials import Study, Trial, Value

FEWEST = 12  # trials of an arm from which importance is told
DRAWS = 40  # of them again
LOGARITHMIC = 30.0  # ratio of the largest to the smallest positive value, from which a parameter is read in decades


@dataclass(frozen=True)
class Tried:
    """One configuration at the highest rung that it reached: means over its seeds."""

    name: str
    arm: str
    score: float
    trials: int
    cpu_seconds: float
    labels: float
    values: dict[str, Value]
    unbeaten: bool = False  # nothing scores more at no more labels and no more processor time


def ended(study: Study) -> list[Trial]:
    """Trials that are over, those of the confirmation apart."""
    return [trial for trial in study.trials if trial.state != "started" and trial.stage != "confirm"]


def top(study: Study) -> list[Trial]:
    """Those with a score, of the highest rung that there is; of those that stopped, it is the one they had by then."""
    done = [trial for trial in ended(study) if trial.state == "done" and trial.score is not None]
    highest = max((trial.rung for trial in done), default=0)
    return [trial for trial in done if trial.rung == highest]


def whole(study: Study) -> list[Trial]:
    """Of those, the ones that learned to their end."""
    return [trial for trial in top(study) if not trial.stopped]


def tried(study: Study) -> list[Tried]:
    """Every configuration that reached the end of the highest rung, the best first, with the unbeaten marked."""
    rows: dict[str, list[Trial]] = {}
    for trial in whole(study):
        rows.setdefault(trial.name, []).append(trial)
    found = [_mean(name, trials) for name, trials in rows.items()]
    marked = [Tried(**{**vars(one), "unbeaten": not any(_beats(other, one) for other in found)}) for one in found]
    return sorted(marked, key=lambda one: -one.score)


def _mean(name: str, trials: Sequence[Trial]) -> Tried:
    scores = [trial.score for trial in trials if trial.score is not None]
    cost, labels = (float(np.mean([getattr(trial, key) for trial in trials])) for key in ("cpu_seconds", "labels"))
    return Tried(name, trials[0].arm, float(np.mean(scores)), len(trials), cost, labels, dict(trials[0].values))


def _beats(one: Tried, other: Tried) -> bool:
    no_worse = one.score >= other.score and one.cpu_seconds <= other.cpu_seconds and one.labels <= other.labels
    return no_worse and (one.score, -one.cpu_seconds, -one.labels) != (other.score, -other.cpu_seconds, -other.labels)


@dataclass(frozen=True)
class Best:
    """The best score of an arm so far, where it rose: against processor-seconds that the whole study had spent."""

    arm: str
    cpu_seconds: tuple[float, ...]
    score: tuple[float, ...]


def anytime(study: Study) -> list[Best]:
    """One curve an arm, the best at the end first."""
    counted, spent = set(map(id, whole(study))), 0.0
    rows: dict[str, list[tuple[float, float]]] = {}
    for trial in sorted(ended(study), key=lambda each: (each.elapsed, each.number)):
        spent += trial.cpu_seconds
        if id(trial) not in counted or trial.score is None:
            continue
        row = rows.setdefault(trial.arm, [])
        if not row or trial.score > row[-1][1]:
            row.append((spent, trial.score))
    curves = [Best(arm, *zip(*row, strict=True)) for arm, row in rows.items()]
    return sorted(curves, key=lambda curve: -curve.score[-1])


def arm_of(study: Study) -> str | None:
    """The arm with most trials at the highest rung: where parameters can be compared."""
    arms = [trial.arm for trial in top(study)]
    return max(dict.fromkeys(arms), key=arms.count, default=None)


def varied(study: Study) -> dict[str, list[tuple[Value, float]]]:
    """Of that arm: each parameter that took two values or more, with value and score of every trial that had it."""
    own = [trial for trial in top(study) if trial.arm == arm_of(study) and trial.score is not None]
    names = dict.fromkeys(name for trial in own for name in trial.values)
    rows = {name: [(trial.values[name], trial.score or 0.0) for trial in own if name in trial.values] for name in names}
    return {name: row for name, row in rows.items() if len({_word(value) for value, _ in row}) > 1}


def logarithmic(values: Sequence[Value]) -> bool:
    """Whether numbers are better read in decades."""
    found = [float(value) for value in values if is_number(value)]
    return len(found) == len(values) and min(found) > 0 and max(found) / min(found) >= LOGARITHMIC


def is_number(value: Value) -> TypeGuard[float]:
    """Truth values and words are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def importances(study: Study, seed: int = 0) -> dict[str, Estimate]:
    """Share of the spread of good scores that each parameter of the arm explains, with its 90% bootstrap interval.

    Empty for fewer than `FEWEST` trials, or where Optuna cannot tell.
    """
    own = [trial for trial in top(study) if trial.arm == arm_of(study)]
    names = [name for name, row in varied(study).items() if len(row) == len(own)]
    if len(own) < FEWEST or not names:
        return {}
    rng, found = np.random.default_rng(seed), []
    for draw in range(DRAWS + 1):
        rows = range(len(own)) if draw == 0 else rng.integers(len(own), size=len(own))
        told = _told([own[i] for i in rows], own, names)
        if told:
            found.append([told.get(name, 0.0) for name in names])
        elif draw == 0:
            return {}
    table = np.array(found)
    low, high = np.quantile(table[1:], [0.05, 0.95], axis=0) if len(table) > 1 else (table[0], table[0])
    rows = [
        Estimate(float(table[0, i]), float(min(low[i], table[0, i])), float(max(high[i], table[0, i])))
        for i in range(len(names))
    ]
    return dict(sorted(zip(names, rows, strict=True), key=lambda each: -each[1].mean))


def _told(trials: Sequence[Trial], whole: Sequence[Trial], names: Sequence[str]) -> dict[str, float]:
    """Optuna's shares, on a study made of these trials; the ranges are those of all."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges = {name: _range([trial.values[name] for trial in whole]) for name in names}
    quantile = min(0.5, max(0.1, 6.0 / len(trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is called experimental
        study = optuna.create_study(direction="maximize")
        for trial in trials:
            values = {name: _as(ranges[name], trial.values[name]) for name in names}
            study.add_trial(optuna.trial.create_trial(params=values, distributions=ranges, value=trial.score))
        try:
            evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
            shares = get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # too few different trials were drawn
            return {}
    return {name: share for name, share in shares.items() if math.isfinite(share)}


def _range(values: Sequence[Value]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(map(is_number, values)):
        found = [float(value) for value in values if is_number(value)]
        return FloatDistribution(min(found), max(found), log=logarithmic(values))
    return CategoricalDistribution(sorted({_word(value) for value in values}))


def _as(range_: Any, value: Value) -> float | str:
    from optuna.distributions import FloatDistribution

    return float(value) if isinstance(range_, FloatDistribution) and is_number(value) else _word(value)


def _word(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
