"""A short race of policies between rewards that held-out answers cannot tell apart: how `accord select` ends.

Every finalist teaches the configured algorithm on the same seeds, from recorded answers, and is judged by a reward of
other answers (`judge.py`), at each seed of others: its own likelihood chose it, so that may not judge it, and one judge
would be wrong in the same way at every seed. The first keeps its place unless another is better on every seed, which of
five equally good ones happens once in 32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from accord import config
from accord.config import RunConfig
from accord.progress import Progress
from accord.rewards.candidates import Candidate
from accord.runtime import derive
from accord.tuning import judge
from accord.tuning.engine import Engine
from accord.tuning.trial import Job
from accord.types import InputError

SEEDS = 5
SHARE, LEAST = 2, 2_000  # of the steps of a run, and no fewer than so many


@dataclass(frozen=True)
class Raced:
    """A finalist's policies by the judge, one score a seed; None: that one failed."""

    name: str
    scores: tuple[float | None, ...]


def can(settings: RunConfig, finalists: Sequence[Candidate]) -> bool:
    """Whether there is something to race, and enough answers to judge it by."""
    return len(finalists) > 1 and settings.task.kind == "control" and judge.name_of(settings) == "reward"


def race(
    settings: RunConfig, finalists: Sequence[Candidate], start: Callable[[], Engine], progress: Progress
) -> list[Raced]:
    """Runs every finalist on every seed; the store is `settings.feedback.store`."""
    steps = max(LEAST, settings.policy.steps // SHARE)
    short = replace(settings, policy=replace(settings.policy, steps=min(steps, settings.policy.steps)))
    seeds = judge.in_turn([derive(settings.seed, "finale", k) for k in range(SEEDS)])
    jobs = []
    for place, one in enumerate(finalists):
        taught = config.dump(replace(short, reward=replace(one.config, select="fixed")))
        jobs += [Job(place * SEEDS + k, {**taught, "seed": seed}, "reward") for k, seed in enumerate(seeds)]
    progress.announce(f"{len(finalists)} rewards are left: each teaches {SEEDS} short runs, judged by other answers.")
    engine, scores = start(), dict[int, float | None]()
    try:
        for job in jobs:
            engine.submit(job)
        for _ in jobs:
            ended = engine.next()
            scores[ended.number] = ended.score if ended.state == "done" else None
    finally:
        engine.close()
    if all(score is None for score in scores.values()):
        raise InputError("every run of the race between rewards failed: look at policy and task, or give --no-race.")
    return [
        Raced(one.name, tuple(scores[place * SEEDS + k] for k in range(SEEDS))) for place, one in enumerate(finalists)
    ]


def winner(raced: Sequence[Raced]) -> int:
    """The first, unless another is better on every seed; of several such, the one with the highest sum."""
    first = [float("-inf") if score is None else score for score in raced[0].scores]
    better = [
        (sum(score for score in one.scores if score is not None), place)
        for place, one in enumerate(raced)
        if all(score is not None and score > own for score, own in zip(one.scores, first, strict=True))
    ]
    return max(better)[1] if better else 0
