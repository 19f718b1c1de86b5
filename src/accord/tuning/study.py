"""A study from its configuration and budget to its folder: what can be refused is refused before the first trial.

`conduct.py` does what happens then. A study is this function; the command line and the benchmarks call it alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from accord import build, config, trials
from accord.config import RunConfig
from accord.runtime import versions
from accord.tasks.control import ControlTask
from accord.trials import Result
from accord.tuning import judge as judges
from accord.tuning.arms import arms_of
from accord.tuning.budget import Budget
from accord.tuning.conduct import Conduct, Setting, check_enough
from accord.tuning.engine import Engine
from accord.tuning.ledger import Watch
from accord.tuning.race import rungs_of
from accord.tuning.trial import learning_of
from accord.types import InputError

ROWS = 4_096  # steps that a rung has at least where nobody is asked: a few updates


def tune(
    settings: RunConfig,
    budget: Budget,
    out: Path,
    engine: Callable[[], Engine],
    resume: bool = False,
    sync: bool = False,
    watch: Watch = lambda trial, ledger: None,
) -> Result:
    """The whole study, from an empty folder (or a stopped study) to the chosen configuration."""
    setting = prepare(settings, budget, sync)
    log = _open(out, setting, resume)
    if (out / trials.RESULT).is_file():
        return trials.read_result(out)
    started = engine()
    try:
        return Conduct(setting, log, started, watch).result()
    finally:
        started.close()


def prepare(settings: RunConfig, budget: Budget, sync: bool) -> Setting:
    """Checks everything that can be checked before a trial. Raises InputError."""
    if sync and budget.unit != "trials":
        raise InputError(
            f"--sync with a budget of {budget}: what does not depend on a clock is counted in trials; give --budget as "
            "in 40trials."
        )
    judge = judges.name_of(settings)
    arms = arms_of(settings)
    base = _base(settings, judge)
    spec = ControlTask(build.copies(base)).spec
    asking = learning_of(base, judge) == "loop"
    least = 2 * build.explore_ticks(base, spec) * spec.envs if asking else ROWS
    rungs = rungs_of(settings.policy.steps, least)
    setting = Setting(settings, base, judge, budget, sync, tuple(arms), rungs)
    known = {"trials": 1.0, "env_steps": float(settings.policy.steps), "labels": float(settings.feedback.labels)}
    if budget.unit == "labels" and not asking and judge != "teacher":
        raise InputError(
            f"--budget is {budget}, and trials of this study ask nobody: give it in time, steps or trials."
        )
    if budget.unit in known:
        check_enough(setting, known[budget.unit])
    return setting


def _base(settings: RunConfig, judge: judges.JudgeName) -> RunConfig:
    """Trials are answered by a teacher: the one like the user where the store tells, else the configured one."""
    feedback = settings.feedback
    like = judges.matched(feedback.store) if feedback.store and judge == "teacher" else None
    kept = feedback.store if judge == "reward" else ""
    feedback = replace(feedback, annotator="teacher", store=kept, teacher=like or feedback.teacher)
    return replace(settings, feedback=feedback, report=replace(settings.report, sinks=()))


def _open(out: Path, setting: Setting, resume: bool) -> trials.Log:
    manifest = trials.Manifest(
        accord=versions().get("accord", "unknown"),
        task=setting.settings.task.id,
        configuration=config.dump(setting.settings),
        budget=str(setting.budget),
        judge=setting.judge,
        seed=setting.settings.seed,
        sync=setting.sync,
    )
    if resume and trials.is_study(out):
        return trials.reopen(out, manifest)
    return trials.create(out, manifest)
