"""Whether our PPO, SAC and TD3 reach what stable-baselines3's reach, on the true reward at equal steps.

    python -m bench.parity [--seeds N] [--quick] [--fresh] [--dev] [--side ours|peer]

Pendulum-v1: PPO for 300,000 steps with the settings of `bench.ppo_vs_sb3`, SAC for 10,000 and TD3 for 20,000 at their
defaults (`bench/peers/offpolicy.py`). TD3's seeds are fresh ones: on the usual ones it was measured at 10,000 steps,
which left one run of either side in mid-climb and could not tell. `normalised` is `(R - random) / (R_sb3 - random)`,
`R_sb3` the peer's mean over the seeds. `p` is that of two one-sided tests (Schuirmann 1987) that our mean lies within
10% of theirs, seed by seed: below 0.05 the two are equivalent. `p_not_worse` is the lower of the two tests alone.

HalfCheetah-v5 stands beside it: 50,000 steps, three seeds, the same settings, to be read and not tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.functional.statistics import bootstrap_interval, mean, tost
from bench import harness
from bench.harness import Bench, Result, column, spread

MARGIN = 0.1
CHEETAH, FEW = "HalfCheetah-v5", 3


@dataclass(frozen=True)
class Task:
    """An algorithm on an environment, for so many steps."""

    algorithm: str
    env: str
    steps: int
    random: float  # mean return of 100 episodes of random actions
    first: int = harness.REPORTED_SEED


PENDULUM = (
    Task("ppo", "Pendulum-v1", 300_000, -1207.6),
    Task("sac", "Pendulum-v1", 10_000, -1207.6),
    Task("td3", "Pendulum-v1", 20_000, -1207.6, first=10_900),
)
BESIDE = tuple(Task(name, CHEETAH, 50_000, -281.0) for name in ("ppo", "sac", "td3"))


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("parity", seeds=10, argv=argv)
    bench = Bench.start("parity", options)
    results = {task: measured(bench, task, options.seeds) for task in PENDULUM}
    beside = {task: measured(bench, task, min(FEW, options.seeds)) for task in BESIDE}
    if options.side != "both":
        bench.emit(None, {}, {}, note=f"only {options.side} was measured")
        return
    figures = {task.algorithm: compared(task, sides) for task, sides in results.items()}
    equivalent = all(found["p"] < 0.05 for found in figures.values()) if options.seeds > 1 else None
    shown = {s: {t.algorithm: side_figures(r[s]) for t, r in results.items()} for s in ("ours", "peer")}
    cheetah = {t.algorithm: {s: side_figures(sides[s]) for s in sides} for t, sides in beside.items()}
    bench.emit(None, shown["ours"], shown["peer"], parity=figures, equivalent=equivalent, halfcheetah=cheetah)


def measured(bench: Bench, task: Task, seeds: int) -> dict[str, list[Result]]:
    """Both sides, in turns."""
    steps = task.steps // 15 if bench.options.quick else task.steps
    if task.algorithm == "ppo":
        theirs = (harness.peer("sb3", "bench/peers/sb3_ppo.py"), (task.env, steps, "defaults"))
    else:
        theirs = (harness.peer("sb3", "bench/peers/offpolicy.py"), (task.env, steps, task.algorithm, "sb3"))
    first = 0 if bench.options.dev else task.first
    sides = bench.wanted({"ours": (harness.ours(), (task.algorithm, task.env, steps)), "peer": theirs})
    return bench.alternate(sides, range(first, first + seeds))


def compared(task: Task, sides: Mapping[str, Sequence[Result]]) -> dict[str, float]:
    """Our normalised return with its bootstrap interval, and the tests."""
    ours, theirs = (np.array(column(sides[side], "mean")) for side in ("ours", "peer"))
    scale = theirs.mean() - task.random
    difference = (ours - theirs) / scale
    low, high = bootstrap_interval(1.0 + difference[:, None], mean, np.random.default_rng(0))
    return {
        "normalised": float(1.0 + difference.mean()),
        "low": low,
        "high": high,
        "p": tost(difference, -MARGIN, MARGIN),
        "p_not_worse": tost(difference, -MARGIN, np.inf),
    }


def side_figures(results: Sequence[Result]) -> dict[str, object]:
    """One side: seconds and final return, and that of every run."""
    return {**{name: spread(column(results, name)) for name in ("seconds", "mean")}, "runs": column(results, "mean")}


if __name__ == "__main__":
    main()
