"""From hundreds of candidates to a few that are cross-validated in full, by successive halving.

Three rungs. A glance: closed forms are solved once with every fold left out by a Newton step
(`posterior.left_out`), nets keep the hidden layers they were drawn with and have their heads solved, so that width,
depth, inputs and likelihood are told apart before any net is climbed. A short climb of the nets that are left, now with
every prior. Then folds: all finalists on the first two, and those on the rest that these do not rule out.

At each rung a candidate goes that is worse than the best by more than `FAR` standard errors of their paired difference.
The rule is generous, since the first rungs flatter some (`fit.glance`), and the best of each architecture goes on to
the next rung unless it is worse by `HOPELESS`. Sources: Jamieson and Talwalkar 2016 (halving); Maron and Moore 1997
(races among models by paired errors). Differs from both in that rungs are resources of different sorts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from accord.progress import Progress
from accord.rewards.candidates import Candidate, beats, spread_over
from accord.rewards.crossval import Told, mean_told, paired
from accord.rewards.fit import FOLDS
from accord.rewards.jobs import Done, Fold, Look, Run

SHORT = 3  # epochs of the second rung
FAR, HOPELESS = 2.0, 4.0  # standard errors
MOST, CLIMBING = 8, 8  # fits in the folds; of what is glanced at, nets that climb, each under all its priors
FEW = 2  # members of a net that has no head of its own: it has to climb to be looked at, and climbs slowly
HEADED = ("mlp", "cnn")  # nets whose last layer is solved
FIRST = 2  # folds, before the last candidates go

Scores = dict[Candidate, Float[np.ndarray, "answer"]]
Groups = Int[np.ndarray, "answer place"]


@dataclass(eq=False)
class Race:
    """What has been seen so far: each candidate's last score, the stage at which it left, and what it cost."""

    scores: Scores = field(default_factory=dict)
    left: dict[Candidate, str] = field(default_factory=dict)
    seconds: dict[Candidate, float] = field(default_factory=dict)
    told: dict[Candidate, list[Told]] = field(default_factory=dict)
    failed: dict[Candidate, str] = field(default_factory=dict)


def raced(
    candidates: Sequence[Candidate], folds: int, groups: Groups, run: Run, kept: Sequence[Candidate], progress: Progress
) -> Race:
    """All candidates through all rungs. Those `kept` reach the folds whatever is seen of them before."""
    race, works = Race(), spread_over(candidates)
    always = [candidate.work for candidate in kept]
    progress.announce(f"{len(candidates):,} candidates, {len(works):,} different fits.")
    _glance(race, list(works), groups, run, always)
    finalists = survivors(race.scores, groups, MOST, always)
    for work in works:
        if work not in finalists and work not in race.left:
            race.left[work] = "glance" if work.closed else "short"
    progress.announce(f"{len(finalists)} fits go on to {folds} folds.")
    _folds(race, {work: works[work] for work in works if work in finalists}, folds, groups, run, always)
    return race


def _glance(race: Race, works: list[Candidate], groups: Groups, run: Run, always: Sequence[Candidate]) -> None:
    """The first two rungs: leaves in `race.scores` what may go on to the folds."""
    closed = [work for work in works if work.closed]
    nets = [work for work in works if work.config.kind in HEADED]
    looks = list(dict.fromkeys(work.glance for work in nets))
    found = dict(zip([*closed, *looks], run([Look(one) for one in [*closed, *looks]]), strict=True))
    _note(race, {one: found[one] for one in closed})
    good = survivors({one: done.score for one, done in found.items() if one in looks}, groups, CLIMBING, ())
    shared = Counter(work.glance for work in nets)
    for work in nets:
        race.seconds[work] = found[work.glance].seconds / shared[work.glance]
        if work.glance not in good and work not in always:
            race.left[work] = "glance"
    climbing = [work for work in works if not work.closed and work not in race.left]
    short = [replace(work, config=replace(work.config, epochs=min(SHORT, work.config.epochs))) for work in climbing]
    looks = [Look(one, FOLDS if one.config.kind in HEADED else FEW) for one in short]
    _note(race, dict(zip(climbing, run(looks), strict=True)))


def _note(race: Race, found: Mapping[Candidate, Done]) -> None:
    for work, done in found.items():
        race.seconds[work] = race.seconds.get(work, 0.0) + done.seconds
        if done.failed:
            race.failed[work] = done.failed
            race.left[work] = "failed"
        else:
            race.scores[work] = done.score


def survivors(scores: Scores, groups: Groups, most: int, always: Sequence[Candidate]) -> list[Candidate]:
    """Those not far from the best, at most so many, the best of every kind among them unless it is hopeless."""
    if not scores:
        return []
    ranked = sorted(scores, key=lambda one: -float(np.nanmean(scores[one])))
    best, seen, near, leaders = ranked[0], set(), [], []
    for one in ranked:
        gap = paired(scores[best], scores[one], groups)
        if not beats(gap.difference, gap.error, FAR):
            near.append(one)
        leader = one.kind not in seen
        seen.add(one.kind)
        if leader and not beats(gap.difference, gap.error, HOPELESS):
            leaders.append(one)
    wanted = list(dict.fromkeys([*(one for one in always if one in scores), *leaders, *near]))
    return wanted[: max(most, len(always))]


def _folds(
    race: Race,
    works: Mapping[Candidate, tuple[int, ...]],
    folds: int,
    groups: Groups,
    run: Run,
    always: Sequence[Candidate],
) -> None:
    """The last rung: the first folds of all, then the rest of those that may still be the best."""
    first = min(FIRST, folds)
    _tell(race, works, range(first), run)
    so_far = {one: mean_told(told) for one, told in race.told.items()}
    best = max(so_far, key=lambda one: float(np.nanmean(so_far[one])), default=None)
    going: dict[Candidate, tuple[int, ...]] = {}
    for work, counts in works.items():
        own = [count for count in counts if replace_members(work, count) in so_far]
        near = [
            count
            for count in own
            if best is not None and not _far(so_far[best], so_far[replace_members(work, count)], groups)
        ]
        if near or work in always:
            going[work] = counts
        elif own:
            race.left[work] = "first folds"
    _tell(race, going, range(first, folds), run)


def _far(best: np.ndarray, other: np.ndarray, groups: Groups) -> bool:
    gap = paired(best, other, groups)
    return beats(gap.difference, gap.error, FAR)


def _tell(race: Race, works: Mapping[Candidate, tuple[int, ...]], folds: range, run: Run) -> None:
    jobs = [Fold(work, counts, fold) for fold in folds for work, counts in works.items()]
    for job, done in zip(jobs, run(jobs), strict=True):
        race.seconds[job.work] = race.seconds.get(job.work, 0.0) + done.seconds
        if done.failed:
            race.failed[job.work], race.left[job.work] = done.failed, "failed"
        for count, told in zip(job.members, done.told, strict=False):
            race.told.setdefault(replace_members(job.work, count), []).append(told)
    for work in [work for work in works if work in race.failed]:
        for count in works[work]:
            race.told.pop(replace_members(work, count), None)


def replace_members(work: Candidate, members: int) -> Candidate:
    """The candidate of this work with so many members."""
    return replace(work, config=replace(work.config, members=members))
