"""Which arm: successive halving over configurations of all arms, on paired seeds (Jamieson & Talwalkar,
arXiv:1502.07943).

A rung is a share of the steps, and of the labels with them; of those on it the best third goes on to the next. Every
configuration of a rung runs on the same seeds, so that what the seeds do to all of them cancels. Differs from the paper
in: the file's own configuration is never dropped, and configurations run in brackets, between which it is asked how
well a rung foretold the next: short runs are known to rank wrongly (Obando-Ceron et al., arXiv:2406.17523). A rung
whose rank correlation with the next is below a half is left out from then on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.functional.statistics import spearman
from accord.trials import Agreement, Trial
from accord.tuning.ledger import Entry
from accord.tuning.portfolio import DEFAULT

ETA = 3
RUNGS = 3  # at most: a ninth, a third, all of the steps
LIMIT = 0.5  # of the rank correlation
LEAST = 5  # trials on two rungs, before anything is said of them

Run = Callable[[Sequence[Entry], int], Mapping[str, Sequence[Trial]]]  # entries on a rung: the trials by entry's name


def rungs_of(steps: int, least: int) -> tuple[int, ...]:
    """Steps of each rung, shortest first, the last one whole; none is shorter than `least` but that one."""
    shares = [steps // ETA**place for place in range(RUNGS)]
    return tuple(reversed([shares[0], *(each for each in shares[1:] if each >= least)]))


def sizes(entries: int, rungs: int) -> list[int]:
    """How many configurations run on each rung of a bracket: the best third goes on, rounded up."""
    found = [entries]
    for _ in range(rungs - 1):
        found.append(max(1, math.ceil(found[-1] / ETA)))
    return found


def brackets(entries: Sequence[Entry], rungs: int) -> list[list[Entry]]:
    """Entries in the order given, as many to a bracket as leave one at its top."""
    size = ETA ** (rungs - 1)
    return [list(entries[start : start + size]) for start in range(0, len(entries), size)]


def price(entries: int, rungs: int, seeds: int, counted: bool = False) -> float:
    """What racing them costs in whole runs, the default going all the way; `counted`: a short run counts as one."""

    def of(n: int, rung: int) -> float:
        return float(n) if counted else n * ETA ** (rung + 1 - rungs)

    total, left = sum(of(1, rung) for rung in range(1, rungs)), entries
    while left > 0:
        total += sum(of(n, rung) for rung, n in enumerate(sizes(min(left, ETA ** (rungs - 1)), rungs)))
        left -= ETA ** (rungs - 1)
    return seeds * total


@dataclass(frozen=True)
class Raced:
    """Where a configuration got to: the highest rung it ran on, and its mean score there (-inf: it failed)."""

    entry: Entry
    rung: int
    score: float


def race(entries: Sequence[Entry], rungs: int, run: Run, agree: Callable[[Agreement], None]) -> list[Raced]:
    """Races all entries; best first, those that got further before those that did not."""
    skipped: set[int] = set()
    seen: dict[int, dict[tuple[str, int], float]] = {}
    found: dict[str, Raced] = {}
    for bracket in brackets(entries, rungs):
        alive = bracket
        for rung in (each for each in range(rungs) if each not in skipped):
            trials = run(alive, rung)
            for name, own in trials.items():
                seen.setdefault(rung, {}).update({(name, t.seed): t.score for t in own if t.score is not None})
            ranked = sorted((Raced(entry, rung, mean_score(trials[entry.name])) for entry in alive), key=_order)
            found |= {each.entry.name: each for each in ranked}
            ahead = [each.entry for each in ranked[: max(1, math.ceil(len(ranked) / ETA))]]
            alive = ahead + [each for each in alive if each.name == DEFAULT and each not in ahead]
        for agreement in agreements(seen, rungs):
            agree(agreement)
            if not agreement.kept:
                skipped.add(agreement.rung)
    return sorted(found.values(), key=_order)


def agreements(seen: Mapping[int, Mapping[tuple[str, int], float]], rungs: int) -> list[Agreement]:
    """How well each rung foretold the next one that was run, over the trials (configuration, seed) that ran on both."""
    found = []
    for rung in range(rungs - 1):
        later = [each for each in range(rung + 1, rungs) if each in seen]
        if rung not in seen or not later:
            continue
        both = sorted(seen[rung].keys() & seen[later[0]].keys())
        rho = math.nan
        if len(both) >= LEAST:
            rho = spearman(*(np.array([seen[at][key] for key in both], float) for at in (rung, later[0])))
        told = None if math.isnan(rho) else rho
        found.append(Agreement(rung, later[0], len(both), told, told is None or told >= LIMIT))
    return found


def mean_score(trials: Sequence[Trial]) -> float:
    """Over seeds; -inf where one of them failed."""
    scores = [trial.score for trial in trials]
    return -math.inf if not scores or None in scores else float(np.mean([s for s in scores if s is not None]))


def _order(raced: Raced) -> tuple[int, float, str]:
    return -raced.rung, -raced.score, raced.entry.name
