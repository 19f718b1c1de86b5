"""The proof: finalists, the default and the best random one, all on the same fresh seeds, which chose none of them.

Agarwal et al. 2108.13264 for interquartile means, their intervals and probabilities of improvement; seeds are paired. A
finalist is better than the default where a paired test says so after Holm's correction over all of them. Where none is,
"no winner" is the answer, and of those within one standard error of the best the cheapest is taken.

What is best of several is flattered by having been the best, on these seeds too. So the figure that is reported of the
choice is out-of-bag: seeds are drawn again, the rule chooses on the drawn ones, and what it chose is scored on those
that were not drawn (the bootstrap bias-corrected estimate of Tsamardinos et al. 2018).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from accord.functional.statistics import (
    bootstrap_interval,
    holm,
    iqm,
    paired_bootstrap_interval,
    percentiles,
    probability_of_improvement,
)
from accord.trials import Finalist, Verdict
from accord.tuning.ledger import Entry

LEVEL = 0.05  # of the family of tests
EXACT = 12  # differences whose signs are all tried; more are drawn
DRAWS = 2000

Rows = Float[np.ndarray, "candidate run"]


@dataclass(frozen=True)
class Confirmed:
    """A configuration and what its runs on the confirmation's seeds brought: `scores` holds no failure any more."""

    entry: Entry
    apparent: float | None
    scores: tuple[float, ...]
    failed: int = 0
    cpu_seconds: float = 0.0
    env_steps: float = 0.0
    labels: float = 0.0


def verdict(
    found: Sequence[Confirmed], judge: str, seeds: Sequence[int], rng: np.random.Generator, clockless: bool = False
) -> Verdict:
    """What the confirmation says. The first of `found` is the default.

    `clockless`: of the tied ones not the cheapest is taken, which a clock would have to say, but the first in `found`.
    """
    scores = np.array([each.scores for each in found])
    p = holm(np.array([sign_flip(row - scores[0], rng) for row in scores[1:]])) if len(found) > 1 else np.zeros(0)
    costs = np.arange(len(found), dtype=float) if clockless else np.array([each.cpu_seconds for each in found])
    at, won, tied = choice(scores, p, costs)
    finalists = [_finalist(each, found[0], None if i == 0 else float(p[i - 1]), rng) for i, each in enumerate(found)]
    order = np.argsort([-each.iqm for each in finalists], kind="stable")
    expected = out_of_bag(scores, costs, rng)
    return Verdict(
        judge=judge,
        seeds=tuple(seeds),
        finalists=tuple(finalists[i] for i in order),
        chosen=finalists[at].name,
        winner=won,
        tied=tuple(finalists[i].name for i in tied),
        why=_why(finalists, at, won, len(tied), clockless),
        expected=None if expected is None else expected[0],
        expected_ci95=None if expected is None else expected[1],
    )


def choice(
    scores: Rows, p: Float[np.ndarray, "other"], costs: Float[np.ndarray, "candidate"]
) -> tuple[int, bool, list[int]]:
    """Which candidate, whether it is a winner, and which ones are tied with the best. Candidate 0 is the default.

    A winner is the one with the highest interquartile mean among those that the test calls better than the default.
    """
    middle = np.array([iqm(row) for row in scores])
    best = int(middle.argmax())
    better = [i for i in range(1, len(scores)) if p[i - 1] <= LEVEL and middle[i] > middle[0]]
    tied = [
        i for i, row in enumerate(scores) if i == best or middle[best] - middle[i] <= standard_error(scores[best] - row)
    ]
    if better:
        return max(better, key=lambda i: middle[i]), True, tied
    return min(tied, key=lambda i: (costs[i], i)), False, tied


def standard_error(differences: Float[np.ndarray, "run"]) -> float:
    """Of the mean of paired differences."""
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def sign_flip(differences: Float[np.ndarray, "run"], rng: np.random.Generator) -> float:
    """p value of the paired randomisation test (Fisher 1935) that the mean difference is not above 0.

    Under that hypothesis every difference could as well have had the other sign: the share of all choices of signs
    whose mean is as large as the one seen. Exact up to `EXACT` differences, else from as many draws as those have
    choices.
    """
    n = len(differences)
    if n <= EXACT:
        signs = _all_signs(n)
        return float((signs @ differences >= differences.sum() - 1e-12 * np.abs(differences).sum()).mean())
    signs = rng.choice((1.0, -1.0), (2**EXACT, n))
    extreme = (signs @ differences >= differences.sum() - 1e-12 * np.abs(differences).sum()).sum()
    return float((extreme + 1) / (2**EXACT + 1))


@cache
def _all_signs(n: int) -> Float[np.ndarray, "choice run"]:
    return np.array(list(itertools.product((1.0, -1.0), repeat=n)))


def out_of_bag(
    scores: Rows, costs: Float[np.ndarray, "candidate"], rng: np.random.Generator, draws: int = 500
) -> tuple[float, tuple[float, float]] | None:
    """What choosing is worth on seeds that did not choose, with its 95% interval; None where they are too few."""
    runs, found = scores.shape[1], []
    if runs < 4:
        return None
    for _ in range(draws):
        drawn: Int[np.ndarray, "_"] = rng.integers(runs, size=runs)
        left = np.setdiff1d(np.arange(runs), drawn)
        if not len(left):
            continue
        inside = scores[:, drawn]
        p = holm(np.array([sign_flip(row - inside[0], rng) for row in inside[1:]]))
        at, _, _ = choice(inside, p, costs)
        found.append(scores[at, left].mean())
    return float(np.mean(found)), percentiles(np.array(found), 0.95)


def _finalist(each: Confirmed, default: Confirmed, p: float | None, rng: np.random.Generator) -> Finalist:
    own, theirs = (np.array(one.scores)[:, None] for one in (each, default))
    compared = {}
    if p is not None:
        better, interval = probability_of_improvement(own, theirs, rng)
        compared = {
            "difference": iqm(own) - iqm(theirs),
            "difference_ci95": paired_bootstrap_interval(own, theirs, iqm, rng, draws=DRAWS),
            "p_better": better,
            "p_better_ci95": interval,
            "p_holm": p,
        }
    return Finalist(
        name=each.entry.name,
        arm=each.entry.arm.name,
        values=each.entry.values,
        apparent=each.apparent,
        scores=each.scores,
        iqm=iqm(own),
        ci95=bootstrap_interval(own, iqm, rng, draws=DRAWS),
        median=float(np.median(own)),
        failed=each.failed,
        cpu_seconds=each.cpu_seconds,
        env_steps=each.env_steps,
        labels=each.labels,
        **compared,
    )


def _why(finalists: Sequence[Finalist], at: int, won: bool, tied: int, clockless: bool) -> str:
    chosen = finalists[at]
    if won:
        return (
            f"{chosen.name} is better than the default: {chosen.iqm:.5g} against {finalists[0].iqm:.5g} "
            f"(p = {chosen.p_holm:.3g} after Holm's correction)."
        )
    how = "the first of them" if clockless else "the cheapest"
    if tied == 1:
        return f"No winner: nothing is better than the default beyond doubt; {chosen.name} has the highest score."
    return (
        f"No winner: nothing is better than the default beyond doubt; of {tied} that are tied, {chosen.name} is {how}."
    )
