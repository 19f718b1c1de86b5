"""The engine for many machines: each job a task of Ray with one core, wherever the cluster has one free.

Ray is an extra (`accord[scale]`), imported here alone. `RAY_ADDRESS` names the cluster; without it one is started, for
this machine alone. (Ray would look for one that was started here before, and where that was killed it waits for ever.)
A node that dies takes its jobs along: each is given back as lost, as `engine.py` does with a worker that died, and the
study gives it out once more. Ray is not asked to retry: the study's journal has to know of every try.
"""

from __future__ import annotations

import os
from typing import Any

from accord import runtime
from accord.tuning import trial
from accord.tuning.engine import ONE_THREAD, Work
from accord.tuning.trial import Job, Outcome
from accord.types import InputError

LOOPBACK = "127.0.0.1"


class Ray:
    """Runs jobs on a cluster."""

    def __init__(self, workers: int | None = None, work: Work = trial.run) -> None:
        """`workers`: how many jobs at once at most; None is one for each core of the cluster."""
        try:
            import ray
        except ImportError:
            raise InputError("--engine is ray, which is not installed here: pip install 'accord[scale]'.") from None
        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            where = os.environ.get("RAY_ADDRESS", "")
            here = {} if where else {"_node_ip_address": LOOPBACK, "include_dashboard": False}
            ray.init(where or "local", log_to_driver=False, configure_logging=False, **here)
        variables = {"env_vars": dict.fromkeys(ONE_THREAD, "1")}
        self._task = ray.remote(num_cpus=1, max_retries=0, runtime_env=variables)(_once)
        self._work, self._given = work, workers
        self._waiting: list[Job] = []
        self._running: dict[Any, Job] = {}

    @property
    def workers(self) -> int:
        """Of the cluster as it is now: nodes come and go."""
        return self._given or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, job: Job) -> None:
        """Gives a job to the cluster, or keeps it until fewer are there than it may have."""
        self._waiting.append(job)
        self._hand_out()

    def next(self) -> Outcome:
        """The outcome of whichever job ends first."""
        if not self._running:
            raise RuntimeError("no job was submitted, so there is nothing to wait for")
        done, _ = self._ray.wait(list(self._running), num_returns=1)
        job = self._running.pop(done[0])
        try:
            outcome = self._ray.get(done[0])
        except self._ray.exceptions.RayError as error:
            outcome = Outcome(job.number, "lost", why=f"{type(error).__name__} of Ray")
        self._hand_out()
        return outcome

    def close(self) -> None:
        """Ends what still runs, and the connection where it was made here."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._ours:
            self._ray.shutdown()

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < self.workers:
            job = self._waiting.pop(0)
            self._running[self._task.remote(self._work, job)] = job


def _once(work: Work, job: Job) -> Outcome:
    """What a node does with a job."""
    runtime.set_up()
    return work(job)
