"""A trial that takes no time: what a configuration is worth is a formula of it, with noise of its seed.

Worth most where the learning rate is 1e-3 and gamma .95, 10 below that for every decade off; SAC is worth 5 less.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from accord import config
from accord.config import RunConfig
from accord.trials import Point
from accord.tuning.trial import Job, Outcome

TREE = {
    "seed": 3,
    "task": {"id": "Pendulum-v1", "truth": True},
    "policy": {"steps": 9_000},
    "tune": {"signal": "truth", "arms": ["ppo", "sac"], "confirm": 4, "finalists": 2},
}


def settings(**tune: object) -> RunConfig:
    return config.from_tree({**TREE, "tune": {**TREE["tune"], **tune}})


def worth(job: Job) -> float:
    """Without noise."""
    policy = job.tree["policy"]
    rate = policy["learning_rate"] or 1e-2
    off = abs(math.log10(rate) + 3.0) + abs(math.log10((1 - policy["gamma"]) / 0.05))
    return -10.0 * off - (5.0 if policy["algorithm"] == "sac" else 0.0) - 1e4 / policy["steps"]


def toy(job: Job) -> Outcome:
    seed = job.tree["seed"]
    noise = float(np.random.default_rng([seed, int(1e6 * worth(job)) % 2**31]).normal())
    score, steps = worth(job) + noise, job.tree["policy"]["steps"]
    return Outcome(job.number, "done", score, (Point(steps, 1.0, score),), 1.0, steps / 9_000, steps, 0)


def restless(job: Job) -> Outcome:
    """The same, after a time that has nothing to do with the job: whoever depends on the order shows it."""
    time.sleep(0.02 * int.from_bytes(os.urandom(1), "big") / 255)
    return toy(job)


def slow(job: Job) -> Outcome:
    time.sleep(0.05)
    return toy(job)


def deadly(job: Job) -> Outcome:
    """Kills its worker; once where the folder that the task's store names has no mark yet, else always."""
    mark = Path(job.tree["feedback"]["demonstrations"])
    if job.number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if job.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return toy(job)


def failing(job: Job) -> Outcome:
    return Outcome(job.number, "failed", why="NotFinite: the loss became nan.")


class Inline:
    """An engine in this process, with as many places as it is told; jobs end in the order given."""

    def __init__(self, work: Callable[[Job], Outcome] = toy, workers: int = 1) -> None:
        self.work, self.workers, self.jobs = work, workers, list[Job]()

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def next(self) -> Outcome:
        return self.work(self.jobs.pop(0))

    def close(self) -> None:
        self.jobs.clear()
