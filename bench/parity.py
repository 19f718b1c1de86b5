"""Whether our PPO, SAC and TD3 reach what stable-baselines3's reach, on the true reward at equal steps.

    python -m bench.parity [--seeds N] [--quick] [--fresh] [--dev] [--side ours|peer]

Pendulum-v1: PPO for 300,000 steps with the settings of `bench.ppo_vs_sb3`, SAC and TD3 for 10,000 at their defaults
(`bench/peers/offpolicy.py`). `normalised` is `(R - random) / (R_sb3 - random)`, `R_sb3` the peer's mean over the seeds.
`p` is that of two one-sided tests (Schuirmann 1987) that our mean lies within 10% of theirs, seed by seed: below 0.05
the two are equivalent. `p_not_worse` is the lower of the two tests alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from accord.functional.statistics import bootstrap_interval, mean, tost
from bench import harness
from bench.harness import Bench, Result, column, spread

ENV, RANDOM = "Pendulum-v1", -1207.6  # mean return of 100 episodes of random actions
STEPS = {"ppo": 300_000, "sac": 10_000, "td3": 10_000}
QUICK = {"ppo": 20_000, "sac": 1_500, "td3": 1_500}
MARGIN = 0.1


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("parity", seeds=10, argv=argv)
    bench = Bench.start("parity", options)
    ours = harness.ours()
    ppo = harness.peer("sb3", "bench/peers/sb3_ppo.py")
    off = harness.peer("sb3", "bench/peers/offpolicy.py")
    results: dict[str, dict[str, list[Result]]] = {}
    for name, steps in (QUICK if options.quick else STEPS).items():
        theirs = (ppo, (ENV, steps, "defaults")) if name == "ppo" else (off, (ENV, steps, name, "sb3"))
        results[name] = bench.alternate(bench.wanted({"ours": (ours, (name, ENV, steps)), "peer": theirs}))
    if options.side == "both":
        figures = {name: compared(sides) for name, sides in results.items()}
        equivalent = all(found["p"] < 0.05 for found in figures.values()) if options.seeds > 1 else None
        shown = {s: {n: side_figures(r[s]) for n, r in results.items()} for s in ("ours", "peer")}
        bench.emit(None, shown["ours"], shown["peer"], parity=figures, equivalent=equivalent)
    else:
        bench.emit(None, {}, {}, note=f"only {options.side} was measured")


def compared(sides: Mapping[str, Sequence[Result]]) -> dict[str, float]:
    """Our normalised return with its bootstrap interval, and the tests."""
    ours, theirs = (np.array(column(sides[side], "mean")) for side in ("ours", "peer"))
    scale = theirs.mean() - RANDOM
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
    """One side: seconds and final return."""
    return {name: spread(column(results, name)) for name in ("seconds", "mean")}


if __name__ == "__main__":
    main()
