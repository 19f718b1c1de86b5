"""What to try next in one arm: Optuna's samplers as a pure function of what was tried and a seed.

Nothing is remembered between two questions: a study in memory is made from the trials, asked once, and dropped. So a
resumed study asks what the uninterrupted one would have asked, and trials that still run are told as running. Sampler:
a Gaussian process with learned noise (deterministic_objective=False) where few parameters are choices, else TPE; noise
is learned because repeating trials during a search does not pay (Hertel et al. 2020).

Beside it, `neighbour`: two of the best crossed, and some of their parameters moved a little, as evolution strategies do
(no model to be wrong in thirteen dimensions after thirty trials; a step in each is a tenth and a half of its range).

Scores are told as normal quantiles of their ranks (Salinas et al., arXiv:1909.13595, section 3.2): one collapsed run in
ten would else set the scale. A failure is told as the worst, and what stopped early with what it scored by then.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from accord.trials import Trial
from accord.tuning.space import Choice, Number, Parameter, Space, drawn

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

CHOICES = 0.35  # share of a space that may be choices before a Gaussian process is no longer asked
STARTUP = 8  # trials before the sampler is asked: the portfolio's are among them
PARENTS, STEP = 5, 0.15  # the best, by their mean; standard deviation of a step, as a share of a range
CROSSED, MOVED, CHANGED = 0.3, 0.4, 0.1  # parameters from the second parent, moved ones, choices made anew


@dataclass(frozen=True)
class Told:
    """A trial as the sampler sees it. `score` is None where it failed; `running` ones have no score yet."""

    params: Mapping[str, Number]
    score: float | None
    running: bool = False


def suggest(space: Space, told: Sequence[Told], seed: int) -> dict[str, Number]:
    """The next point of a space. The same arguments give the same point."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds = distributions(space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that Optuna calls experimental
        study = optuna.create_study(direction="maximize", sampler=_sampler(space, seed))
        values = quantiles([each.score for each in told if not each.running])
        ended = iter(values)
        for each in told:
            state = optuna.trial.TrialState.RUNNING if each.running else optuna.trial.TrialState.COMPLETE
            value = None if each.running else float(next(ended))
            study.add_trial(
                optuna.trial.create_trial(params=dict(each.params), distributions=dict(kinds), state=state, value=value)
            )
        return dict(study.ask(fixed_distributions=dict(kinds)).params)


def neighbour(space: Space, told: Sequence[Told], seed: int) -> dict[str, Number]:
    """A point near two of the best that have ended; a random one where none has. The same arguments give the same."""
    rng = np.random.default_rng(seed)
    scores: dict[tuple[tuple[str, Number], ...], list[float]] = {}
    for each in told:
        if each.score is not None and not each.running:
            scores.setdefault(tuple(each.params.items()), []).append(each.score)
    best = sorted(scores, key=lambda params: -float(np.mean(scores[params])))[:PARENTS]
    if not best:
        return drawn(space, rng)
    one, other = (dict(best[int(k)]) for k in rng.integers(len(best), size=2))
    crossed = {key: other[key] if rng.random() < CROSSED else value for key, value in one.items()}
    return {each.key: _moved(each, crossed[each.key], rng) for each in space}


def _moved(each: Parameter, value: Number, rng: np.random.Generator) -> Number:
    if isinstance(each, Choice):
        return int(rng.integers(len(each.options))) if rng.random() < CHANGED else value
    if rng.random() >= MOVED:
        return value
    low, high, at = (math.log(x) for x in (each.low, each.high, value)) if each.log else (each.low, each.high, value)
    stepped = min(max(at + STEP * (high - low) * rng.normal(), low), high)
    seen = min(max(math.exp(stepped) if each.log else stepped, each.low), each.high)
    return round(seen) if each.whole else float(seen)


def as_told(params: Mapping[str, Number], space: Space) -> dict[str, Number]:
    """Parameters as `distributions` takes them."""
    choices = {each.key for each in space if isinstance(each, Choice)}
    return {key: value if key in choices else float(value) for key, value in params.items()}


def quantiles(scores: Sequence[float | None]) -> Float[np.ndarray, "trial"]:
    """Scores as normal quantiles of their ranks, ties alike; failures (None) are below all others."""
    if not scores:
        return np.zeros(0)
    known = [score for score in scores if score is not None]
    worst = min(known, default=0.0) - 1.0
    rank = stats.rankdata([worst if score is None else score for score in scores])
    return stats.norm.ppf((rank - 0.5) / len(scores))


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """A space in Optuna's words. Whole numbers are told as numbers and rounded by whoever reads them (`values_of`):

    the acquisition is then climbed by its gradient, where Optuna would try whole numbers one by one, six times as long.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    found: dict[str, BaseDistribution] = {}
    for each in space:
        if isinstance(each, Choice):
            found[each.key] = CategoricalDistribution(tuple(range(len(each.options))))
        else:
            found[each.key] = FloatDistribution(each.low, each.high, log=each.log)
    return found


def _sampler(space: Space, seed: int) -> Any:
    import optuna

    if sum(isinstance(each, Choice) for each in space) <= CHOICES * len(space):
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=False)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)


class Dashboard:
    """The same trials in Optuna's journal, one study an arm, for optuna-dashboard. Written by the coordinator alone.

    It is made again from the study's own records on every start, so a kill cannot leave the two at odds.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._studies: dict[str, Any] = {}

    def add(self, trial: Trial, params: Mapping[str, Number], space: Space) -> None:
        """A trial that has ended, with its curve as intermediate values."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if trial.arm not in self._studies:
            storage = JournalStorage(JournalFileBackend(str(self._path)))
            self._studies[trial.arm] = optuna.create_study(storage=storage, study_name=trial.arm, direction="maximize")
        failed, states = trial.score is None, optuna.trial.TrialState
        told = {"stage": trial.stage, "name": trial.name, "seed": trial.seed, "rung": trial.rung}
        self._studies[trial.arm].add_trial(
            optuna.trial.create_trial(
                state=states.FAIL if failed else states.PRUNED if trial.stopped else states.COMPLETE,
                value=trial.score,
                params=as_told(params, space),
                distributions=distributions(space),
                intermediate_values={point.env_steps: point.score for point in trial.curve},
                user_attrs={**told, "cpu_seconds": trial.cpu_seconds, "labels": trial.labels, "why": trial.why},
            )
        )
