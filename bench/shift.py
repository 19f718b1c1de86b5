"""Whether a constant on top of every step's reward changes what is learned where episodes can end early.

    python -m bench.shift [--seeds N] [--quick] [--fresh] [--dev]

Hopper-v5 ends when it falls, so the sign of a constant per step decides between surviving and falling at once. The
whole loop runs at `examples/hopper.toml` (PPO, 100,000 steps, 100 comparisons by a noisy teacher) with a reward net of
the user's own (`bench.shifted`) whose output is as it is, 1 too high or 1 too low before the fit scales it and solves
its constant from the answers. `within` says whether the mean return of each of the shifted lies in the 95% interval of
the unshifted mean, over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accord.functional.statistics import bootstrap_interval, mean
from bench import harness
from bench.harness import Bench, column

FIRST_SEED = 10_700
STEPS, LABELS = 100_000, 100
RANDOM = 18.0  # mean return of 400 random episodes
NETS = {"as_it_is": "Level", "up": "Up", "down": "Down"}


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("shift", seeds=5, argv=argv, first=FIRST_SEED)
    bench = Bench.start("shift", options)
    steps, labels = (5_000, 20) if options.quick else (STEPS, LABELS)
    common = ("loop", "Hopper-v5", steps, "--labels", labels, "--flaw", "noisy", "--example", "hopper.toml", "--set")
    ours = harness.ours()
    sides = {name: (ours, (*common, f"reward.kind=module:bench.shifted.{net}")) for name, net in NETS.items()}
    returns = {name: np.array(column(results, "mean")) for name, results in bench.alternate(sides).items()}
    low, high = bootstrap_interval(returns["as_it_is"][:, None], mean, np.random.default_rng(0))
    found = {name: {"mean": float(each.mean()), "runs": each.tolist()} for name, each in returns.items()}
    within = {name: bool(low <= returns[name].mean() <= high) for name in ("up", "down")}
    bench.emit(None, {}, {}, within=within, interval=[low, high], returns=found, random=RANDOM)


if __name__ == "__main__":
    main()
