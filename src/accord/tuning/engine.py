"""Where trials run: processes of this machine, one thread each, that share nothing. `ray_engine.py` is the other one.

An engine takes jobs and gives outcomes back as they come; it knows nothing of studies. Workers are forked from a server
that has imported everything and started no thread (where there is none, as on Windows, they are spawned): a fork of the
coordinator may hang, and imports take seconds of each. A worker that dies is noticed by its sentinel, replaced, and its
job given back as lost; one whose coordinator dies ends itself at once, so that a killed study leaves no process behind.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from accord import runtime
from accord.tuning import trial
from accord.tuning.trial import Job, Outcome

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Work = Callable[[Job], Outcome]


class Engine(Protocol):
    """Runs jobs. `next` waits for any of those submitted; an outcome that is `lost` says that its worker died."""

    @property
    def workers(self) -> int: ...
    def submit(self, job: Job) -> None: ...
    def next(self) -> Outcome: ...
    def close(self) -> None: ...


@dataclass
class Worker:
    """A process and the two ends of its pipe; `job` is what it works on."""

    process: BaseProcess
    pipe: Connection
    job: Job | None = None


class Local:
    """Processes of this machine. Jobs beyond the number of workers wait in the order in which they came."""

    def __init__(self, workers: int | None = None, work: Work = trial.run) -> None:
        """`workers`: None is one for each core that this process may use."""
        self._work = work
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver") if forks else multiprocessing.get_context("spawn")
        if forks:
            self._context.set_forkserver_preload([trial.__name__])
        self._waiting: list[Job] = []
        with one_thread():
            self._workers = [self._start() for _ in range(workers or runtime.machine().cores)]

    @property
    def workers(self) -> int:
        return len(self._workers)

    def submit(self, job: Job) -> None:
        """Gives a job to a free worker, or keeps it until one is free."""
        self._waiting.append(job)
        self._hand_out()

    def next(self) -> Outcome:
        """The outcome of whichever job ends first."""
        while True:
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                raise RuntimeError("no job was submitted, so there is nothing to wait for")
            ready = wait([end for worker in busy for end in (worker.pipe, worker.process.sentinel)])
            for worker in busy:
                if worker.pipe in ready or worker.process.sentinel in ready:
                    outcome = self._outcome(worker)
                    self._hand_out()
                    return outcome

    def close(self) -> None:
        """Ends all workers, whatever they do."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def pids(self) -> list[int]:
        """Of the workers' processes."""
        return [worker.process.pid or 0 for worker in self._workers]

    def _outcome(self, worker: Worker) -> Outcome:
        job = worker.job
        assert job is not None
        try:
            outcome = worker.pipe.recv() if worker.pipe.poll() else None
        except (EOFError, OSError):
            outcome = None
        worker.job = None
        if isinstance(outcome, Outcome):
            return outcome
        worker.process.kill()
        worker.process.join()
        code = worker.process.exitcode
        worker.pipe.close()
        with one_thread():
            self._workers[self._workers.index(worker)] = self._start()
        return Outcome(job.number, "lost", why=f"the worker ended with {code}")

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.job is None and self._waiting:
                worker.job = self._waiting.pop(0)
                try:
                    worker.pipe.send(worker.job)
                except OSError:  # it died while it had nothing to do; its sentinel says so to `next`
                    continue

    def _start(self) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)


def _serve(pipe: Connection, work: Work) -> None:
    """A worker's life: job in, outcome out, until the coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a key pressed at the terminal is the coordinator's to hear
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    runtime.set_up()
    trial.warm_up()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(work(job))


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """What is started inside has one thread: told by the environment, which libraries ask as they are imported."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
