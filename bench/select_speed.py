"""How fast a reward is chosen among hundreds of candidates, and whether the fast choice is the thorough one's.

    python -m bench.select_speed [--seeds N] [--quick] [--dev] [--fresh]

500 comparisons of 50 steps of Pendulum-v1, by random actions, answered by a teacher whose log-odds are three per
standard deviation of return. `seconds` is the wall time of `rewards.select` on the default grid (five folds, up to five
members) with two workers, their start included; `cpu_seconds` is the processor time of the jobs.

`ratio`: the time of fitting every candidate under every fold, one after another, over `seconds`; `cpu_ratio`, over
`cpu_seconds`. A sample is timed, one fold of two candidates of each architecture and size (with the members that the
candidate has, 1, 3, 5 or 10), and counts for all that are alike: an extrapolation.

`agreement`: of resamplings (other segments, other answers), in how many the choice among 24 candidates is within one
standard error of the likeliest under an exhaustive cross-validation of all 24; `regret` is the difference, in nats.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accord import runtime
from accord.rewards.candidates import Candidate, grid
from accord.rewards.crossval import FOLDS, Reading, by_group, mean_told, paired, tell, touched
from accord.rewards.fit import RewardConfig
from accord.rewards.jobs import Fold, Material, working
from accord.rewards.select import select
from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import Comparisons, Evidence
from bench import harness
from bench.harness import Bench, Result, Worker, column
from bench.peers.protocol import Clock, finish, quiet_output, warm_up

ANSWERS, STEPS, SURE, WORKERS, RESAMPLED = 500, 50, 3.0, 2, 20
HERE = {"": Reading()}


def compared(seed: int, answers: int = ANSWERS, env: str = "Pendulum-v1") -> Evidence:
    """Comparisons of segments that random actions led to, none of them asked about twice."""
    task, rng = ControlTask(ControlConfig(id=env, envs=8)), np.random.default_rng(seed)
    explore(task, 2 * answers * STEPS // 8, seed)
    made = collect(task, 2 * answers, STEPS, rng, round=0, policy_version=0, seed=seed)
    returns = np.array([0.0 if one.truth is None else one.truth.sum() for one in made])
    order = rng.permutation(len(made) // 2 * 2).reshape(2, -1)
    logit = SURE * (returns[order[0]] - returns[order[1]]) / returns.std()
    level = (rng.random(order.shape[1]) < 1.0 / (1.0 + np.exp(-logit))).astype(np.int64)
    part = Comparisons(order[0], order[1], level, np.zeros(len(level), np.int64), 2)
    groups = np.unique([one.provenance.group for one in made], return_inverse=True)[1]
    return Evidence([one.segment for one in made], groups, ("teacher",), (part,), (np.ones(len(level), bool),))


def panel() -> list[Candidate]:
    """Twenty-four of the grid: every architecture but the slow ones, both inputs, ensembles of three."""
    base = RewardConfig(members=3)
    closed = [("linear", None), ("kernel", False), ("kernel", True)]
    configs = [replace(base, kind=kind, weighed=weighed) for kind, weighed in closed]
    sizes = ((32, 1), (64, 1), (64, 2))
    configs += [replace(base, width=w, depth=d, decay=decay) for w, d in sizes for decay in (0.1, 1.0, 10.0)]
    return [Candidate(replace(one, inputs=read)) for read in ("state_action", "state") for one in configs]


def timed(seed: int, form: str) -> tuple[list[float], Result]:
    """The whole choice: wall time, and processor time of its jobs."""
    evidence = compared(seed, 100 if form == "quick" else ANSWERS)
    candidates = panel() if form == "quick" else grid(RewardConfig(), 1)
    began = time.perf_counter()
    found = select(evidence, candidates, HERE, seed, workers=WORKERS)
    wall = time.perf_counter() - began
    figures: Result = {"wall": wall, "jobs": found.seconds, "candidates": len(candidates), "fits": found.fits}
    return [found.apparent], {**figures, "chosen": found.chosen.name, "confirmed": found.confirmed[0]}


def one_by_one(seed: int, form: str) -> tuple[list[float], Result]:
    """Seconds of every candidate under every fold, from a sample: two of each architecture and size."""
    evidence = compared(seed, 100 if form == "quick" else ANSWERS)
    candidates = panel() if form == "quick" else grid(RewardConfig(), 1)
    (held,), alike = by_group(evidence, seed), defaultdict(list)
    for one in candidates:
        alike[one.kind, one.config.width, one.config.depth, one.config.members].append(one)
    rng, total, sampled = np.random.default_rng(seed), 0.0, 0
    for some in alike.values():
        chosen = rng.choice(len(some), min(len(some), 1 if form == "quick" else 2), replace=False)
        spent = [tell(evidence, some[k].config, [held[0]], HERE[""], seed)[0].seconds for k in chosen]
        total += FOLDS * len(some) * float(np.mean(spent))
        sampled += len(chosen)
    return [total], {"candidates": len(candidates), "sampled": sampled}


def agreed(seed: int, form: str) -> tuple[list[float], Result]:
    """Whether the choice is within one standard error of the likeliest of all, cross-validated one by one."""
    evidence = compared(seed, 100 if form == "quick" else ANSWERS)
    candidates = panel()
    found, groups = select(evidence, candidates, HERE, seed), touched(evidence)
    scores = {}
    with working(Material(evidence, HERE, by_group(evidence, seed), seed), 1) as run:
        for one in candidates:
            jobs = [Fold(one.work, (one.config.members,), fold) for fold in range(FOLDS)]
            scores[one] = mean_told([done.told[0] for done in run(jobs)])
    best = max(scores, key=lambda one: float(np.nanmean(scores[one])))
    gap = paired(scores[best], scores[found.chosen], groups)
    within = found.chosen == best or gap.difference <= gap.error
    return [float(within)], {
        "regret": gap.difference,
        "error": gap.error,
        "best": best.name,
        "chosen": found.chosen.name,
    }


WORK = {"timed": timed, "one_by_one": one_by_one, "agreed": agreed}


def work(argv: Sequence[str]) -> None:
    """`work WHAT FORM --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.select_speed work")
    parser.add_argument("what", choices=tuple(WORK))
    parser.add_argument("form", choices=("full", "quick"))
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    runtime.set_up()
    with quiet_output():
        warm_up()
        clock = Clock()
        values, figures = WORK[given.what](given.seed, given.form)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, values, **figures)


def main(argv: Sequence[str] | None = None) -> None:
    bench = Bench.start("select_speed", harness.parse("select_speed", seeds=RESAMPLED, argv=argv, quick_seeds=2))
    form, seeds = "quick" if bench.options.quick else "full", bench.options.seed_list()
    version = harness.our_version("bench/select_speed.py")
    worker = Worker("accord", (sys.executable, "-m", "bench.select_speed", "work"), version)
    few = seeds[: max(1, min(3, len(seeds)))]
    quick = [bench.measure(worker, "timed", form, seed=seed) for seed in few]
    slow = [bench.measure(worker, "one_by_one", form, seed=seed) for seed in few]
    same = [bench.measure(worker, "agreed", form, seed=seed) for seed in seeds]
    jobs, wall, all_of = (
        np.median(column(rows, name)) for rows, name in ((quick, "jobs"), (quick, "wall"), (slow, "mean"))
    )
    bench.emit(
        float(all_of / wall),
        {"seconds": float(wall), "cpu_seconds": float(jobs)},
        {"seconds": float(all_of), "extrapolated_from": slow[0]["sampled"]},
        cpu_ratio=float(all_of / jobs),
        candidates=quick[0]["candidates"],
        fits=quick[0]["fits"],
        agreement=float(np.mean(column(same, "mean"))),
        regret={"mean": float(np.mean(column(same, "regret"))), "max": max(column(same, "regret"))},
    )


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
