"""The work of a choice, in this process or in several: pure functions of a candidate, a fold and a seed.

Processes are spawned and share nothing; results come back in the order of the jobs. One thread each, so that sums are
taken in one order: what is chosen does not depend on how many work. The evidence travels once, when a process starts.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from accord import runtime
from accord.rewards.candidates import Candidate
from accord.rewards.crossval import Reading, Told, tell
from accord.rewards.fit import FOLDS, glance
from accord.rewards.settings import RewardConfig
from accord.types import Evidence, NotFinite

Readings = Mapping[str, Reading]  # by `Candidate.text`


@dataclass(frozen=True, eq=False)
class Material:
    """What every job reads: the answers, how segments are read, and which answers each fold holds out."""

    evidence: Evidence
    readings: Readings
    held: Sequence[Bool[np.ndarray, "fold _"]]
    seed: int
    precision: str = "auto"  # of products; told once, so that no process finds another for itself

    def fixed(self, candidate: Candidate) -> RewardConfig:
        """The candidate's configuration with what is left to the machine decided."""
        config = candidate.config
        return replace(config, precision=self.precision) if config.precision == "auto" else config


@dataclass(frozen=True)
class Look:
    """A cheap look at a candidate: members that leave out a fold each (`fit.glance`). Five see every answer unseen."""

    candidate: Candidate
    members: int = FOLDS


@dataclass(frozen=True)
class Fold:
    """A full fit of one fold, told for ensembles of these sizes."""

    work: Candidate
    members: tuple[int, ...]
    fold: int


@dataclass(frozen=True, eq=False)
class Done:
    """What a job found. `told` has one entry for each size of ensemble; none where a number was not finite."""

    score: Float[np.ndarray, "answer"]
    told: tuple[Told, ...]
    seconds: float  # of the processor
    failed: str = ""


Job = Look | Fold


class Run(Protocol):
    """Does jobs; results in their order."""

    def __call__(self, jobs: Sequence[Job]) -> list[Done]: ...


def do(material: Material, job: Job) -> Done:
    """One job. A number that is not finite fails the candidate, not the choice."""
    began = time.process_time()
    answers = material.evidence.answers
    try:
        if isinstance(job, Look):
            score, told = _look(material, job), ()
        else:
            told = _fold(material, job)
            score = told[0].score
    except NotFinite as error:
        return Done(np.full(answers, -math.inf), (), time.process_time() - began, str(error))
    return Done(score, told, time.process_time() - began)


def _look(material: Material, job: Look) -> Float[np.ndarray, "answer"]:
    candidate, reading = job.candidate, material.readings[job.candidate.text]
    found = glance(
        material.evidence,
        replace(material.fixed(candidate), members=1 if candidate.closed else job.members),
        discrete=reading.discrete,
        seed=material.seed,
        encode=reading.encode,
        picture=reading.picture,
    )
    return np.concatenate([np.zeros(0), *found])


def _fold(material: Material, job: Fold) -> tuple[Told, ...]:
    held = [masks[job.fold] for masks in material.held]
    reading, seed = material.readings[job.work.text], runtime.derive(material.seed, "fold", job.fold)
    return tuple(tell(material.evidence, material.fixed(job.work), held, reading, seed, job.members))


@contextmanager
def working(material: Material, workers: int) -> Iterator[Run]:
    """Jobs done while inside: here for one worker, else in so many processes of one thread."""
    fixed = settled(material)
    if workers < 2:
        yield lambda jobs: [do(fixed, job) for job in jobs]
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _begin, (fixed,)) as pool:
        yield lambda jobs: list(pool.map(_done, jobs))


def settled(material: Material) -> Material:
    """The same with parts that hold answers alone, as a glance numbers them, and with one precision for everybody."""
    full = [place for place, part in enumerate(material.evidence.parts) if len(part.annotator)]
    evidence = replace(
        material.evidence,
        parts=tuple(material.evidence.parts[place] for place in full),
        uniform=tuple(material.evidence.uniform[place] for place in full),
    )
    precision = "bfloat16" if runtime.products().bfloat16 else "float32"
    return replace(material, evidence=evidence, held=[material.held[place] for place in full], precision=precision)


_own: list[Material] = []  # of a spawned process: set once, as it starts


def _begin(material: Material) -> None:
    runtime.set_up()
    _own[:] = [material]


def _done(job: Job) -> Done:
    return do(_own[0], job)
