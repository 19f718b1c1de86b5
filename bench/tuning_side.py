"""One side of `bench.tuning_vs_peers` in a fresh process:

    python -m bench.tuning_side WAY ENV STEPS CPU_SECONDS --seed SEED

A way chooses settings of our PPO on a true reward within so many CPU-seconds, by its own lights:

    ours     `accord tune` on the arm ppo, one worker in this process
    zoo      as rl-baselines3-zoo does (rl_zoo3, commit 22e3ff2): one Optuna study, TPE (multivariate, 10 start-up
             trials), median pruner, its ranges for PPO, one run a trial with a seed of its own, objective the mean of
             the last evaluation's 5 episodes, best_trial, no run again. A NaN is a pruned trial
    random   uniform draws from our space, one run each on 20 episodes, the best
    default  the file's own settings; costs nothing

What was chosen is then run on fresh seeds, the same for all ways, and each policy judged on 50 episodes of its own.
Every way trains by `tuning/trial.py`'s means, so that the choice alone differs. A dear trial has no limit of its own
but the study's end, except in ours, which sets one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from accord import build, config, loop, runtime
from accord.config import RunConfig
from accord.rewards.fixed import TrueReward
from accord.runtime import derive
from accord.tasks.collect import evaluate
from accord.tasks.control import ControlTask
from accord.trials import Value
from accord.tuning import study
from accord.tuning.arms import Arm, configured
from accord.tuning.budget import Budget
from accord.tuning.space import drawn, space_of, values_of
from accord.tuning.trial import Job, Outcome, run, warm_up
from accord.types import LearnedReward, NotFinite
from bench.peers.protocol import finish, quiet_output

FRESH, JUDGED = 3, 50  # runs of what was chosen, and episodes of each
EVALUATIONS, EPISODES = 4, 5  # of a trial of the zoo's; its own number of evaluations is one for 100,000 steps
ARM = Arm("ppo")
NETS: Mapping[str, list[int]] = {"tiny": [64], "small": [64, 64], "medium": [256, 256]}
COPIES = 8  # rl-zoo's usual n_envs

Chosen = tuple[Mapping[str, Value], float | None, int]  # values, what the way says of them, and how many trials


class Inline:
    """An engine in this process: one trial at a time, on the one core that is counted."""

    workers = 1

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def next(self) -> Outcome:
        return run(self.jobs.pop(0))

    def close(self) -> None:
        self.jobs.clear()


def base(env_id: str, steps: int, seed: int, episodes: int = 20) -> RunConfig:
    tree = {
        "seed": seed,
        "task": {"id": env_id, "truth": True},
        "policy": {"steps": steps},
        "tune": {"signal": "truth", "arms": ["ppo"], "episodes": episodes},
    }
    return config.from_tree(tree)


def job(settings: RunConfig, values: Mapping[str, Value], seed: int) -> Job:
    return Job(0, {**config.dump(configured(settings, ARM, values)), "seed": seed}, "truth")


def ours(settings: RunConfig, seconds: float) -> Chosen:
    """`expected` is what a study reports of its choice."""
    with tempfile.TemporaryDirectory() as folder:
        result = study.tune(settings, Budget(seconds, "cpu_seconds"), Path(folder) / "study", Inline)
    verdict = result.verdict
    chosen = next(each for each in verdict.finalists if each.name == verdict.chosen)
    return chosen.values, verdict.expected if verdict.expected is not None else chosen.iqm, result.trials


def at_random(settings: RunConfig, seconds: float) -> Chosen:
    spec = ControlTask(build.copies(settings)).spec
    space = space_of(ARM, spec, False, settings.policy.steps, settings.feedback.labels)
    rng, best, n = np.random.default_rng(settings.seed), None, 0
    values: Mapping[str, Value] = {}
    until = time.process_time() + seconds
    while time.process_time() < until:
        tried, n = values_of(space, drawn(space, rng)), n + 1
        found = run(job(settings, tried, derive(settings.seed, "random", n)))
        if found.score is not None and (best is None or found.score > best):
            values, best = tried, found.score
    return values, best, n


def sampled(trial: optuna.Trial, discrete: bool) -> dict[str, Value]:
    """The zoo's ranges for PPO (`sample_ppo_params`), as far as our PPO has the parameter; all are tanh nets here."""
    found: dict[str, Value] = {
        "task.envs": COPIES,
        "policy.minibatch": 2 ** trial.suggest_int("batch_size_pow", 2, 10),
        "policy.rollout": 2 ** trial.suggest_int("n_steps_pow", 5, 12),
        "policy.gamma": 1 - trial.suggest_float("one_minus_gamma", 1e-4, 0.03, log=True),
        "policy.lambda": 1 - trial.suggest_float("one_minus_gae_lambda", 1e-4, 0.1, log=True),
        "policy.learning_rate": trial.suggest_float("learning_rate", 1e-5, 2e-3, log=True),
        "policy.entropy": trial.suggest_float("ent_coef", 1e-8, 0.1, log=True),
        "policy.clip": trial.suggest_float("clip_range", 0.1, 0.4),
        "policy.epochs": trial.suggest_categorical("n_epochs", [1, 5, 10, 20]),
        "policy.gradient_norm": trial.suggest_float("max_grad_norm", 0.3, 2.0),
        "policy.hidden": NETS[trial.suggest_categorical("net_arch", list(NETS))],
        "policy.target_kl": 1e6,  # stable-baselines3 has no such limit
    }
    return found


def zoo_trial(settings: RunConfig, values: Mapping[str, Value], seed: int, trial: optuna.Trial) -> float:
    """One run, evaluated four times on five episodes; raises TrialPruned where the pruner says so or a NaN appeared."""
    made = configured(settings, ARM, values)
    task = ControlTask(build.copies(made))
    task.truth.start(0)
    policy = build.policy_of(task, made, seed)
    score = 0.0
    for piece in range(1, EVALUATIONS + 1):
        left = made.policy.steps * piece // EVALUATIONS - loop.learning_steps(task)
        try:
            if left > 0:
                policy.improve(LearnedReward(TrueReward(task.truth.at)), left, derive(seed, piece))
        except NotFinite as error:
            raise optuna.TrialPruned from error
        score = float(evaluate(task.sibling(EPISODES), policy.acting(), derive(seed, "eval", piece)).mean())
        trial.report(score, piece)
        if trial.should_prune():
            raise optuna.TrialPruned
    return score


def zoo(settings: RunConfig, seconds: float) -> Chosen:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    spec = ControlTask(build.copies(settings)).spec
    sampler = optuna.samplers.TPESampler(n_startup_trials=10, seed=settings.seed, multivariate=True)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=10, n_warmup_steps=EVALUATIONS // 3)
    searched = optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
    seeds = np.random.default_rng(settings.seed)  # "unseeded" there; here a new one for every trial, repeatably
    until, kept = time.process_time() + seconds, {}
    while time.process_time() < until:
        trial = searched.ask()
        kept[trial.number] = sampled(trial, spec.action.discrete)
        try:
            searched.tell(trial, zoo_trial(settings, kept[trial.number], int(seeds.integers(2**31)), trial))
        except optuna.TrialPruned:
            searched.tell(trial, state=optuna.trial.TrialState.PRUNED)
    whole = [t for t in searched.trials if t.state is optuna.trial.TrialState.COMPLETE]
    if not whole:
        return {}, None, len(searched.trials)
    return kept[searched.best_trial.number], searched.best_value, len(searched.trials)


WAYS: Mapping[str, Any] = {
    "ours": ours,
    "zoo": zoo,
    "random": at_random,
    "default": lambda settings, seconds: ({}, None, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tuning_side")
    parser.add_argument("way", choices=tuple(WAYS))
    parser.add_argument("env")
    parser.add_argument("steps", type=int)
    parser.add_argument("budget", type=float)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    runtime.set_up()
    with quiet_output():
        warm_up()
        settings = base(given.env, given.steps, given.seed)
        wall, cpu = time.perf_counter(), time.process_time()
        values, said, trials = WAYS[given.way](settings, given.budget)
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        judged = base(given.env, given.steps, given.seed, JUDGED)
        fresh = [run(job(judged, values, derive(given.seed, "fresh", i))) for i in range(FRESH)]
    returns = [outcome.score for outcome in fresh if outcome.score is not None]
    failed = sum(outcome.score is None for outcome in fresh)
    cost = float(np.mean([outcome.cpu_seconds for outcome in fresh]))
    finish(seconds, max(cpu_seconds, 1e-9), returns, said=said, trials=trials, failed=failed, values=values, cost=cost)


if __name__ == "__main__":
    main()
