"""What to try next in one arm: Optuna's samplers as a pure function of what was tried and a seed.

Nothing is remembered between two questions: a study in memory is made from the trials, asked once, and dropped. So a
resumed study asks what the uninterrupted one would have asked, and trials that still run are told as running. Sampler:
a Gaussian process with learned noise (deterministic_objective=False) where few parameters are choices, else TPE; noise
is learned because repeating trials during a search does not pay (Hertel et al. 2020).

Scores are told as normal quantiles of their ranks (Salinas et al., arXiv:1909.13595, section 3.2): one collapsed run in
ten would else set the scale. A failure is told as the worst. Nothing is ever pruned.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from accord.trials import Trial
from accord.tuning.space import Choice, Number, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

CHOICES = 0.35  # share of a space that may be choices before a Gaussian process is no longer asked
STARTUP = 8  # trials before the sampler is asked: the portfolio's are among them


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
        failed = trial.score is None
        told = {"stage": trial.stage, "name": trial.name, "seed": trial.seed, "rung": trial.rung}
        self._studies[trial.arm].add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
                value=trial.score,
                params=as_told(params, space),
                distributions=distributions(space),
                intermediate_values={point.env_steps: point.score for point in trial.curve},
                user_attrs={**told, "cpu_seconds": trial.cpu_seconds, "labels": trial.labels, "why": trial.why},
            )
        )
