"""Pendulum-v1 from 200 comparisons and 50,000 steps: `mean` and `worst` true return over 20 seeds.

The teacher is imitation's default, Boltzmann on the sum of true rewards at temperature 1. The peer's figures are those
that its authors published, 100 runs of their tuned settings with 200 comparisons and 50,000 asked steps (pull request
771). Its loop takes more steps than it is asked for (`bench.loop_vs_imitation` counts them); 50,000 here is every step
that acts or learns. `ratio` is the peer's mean cost over ours. A return is that of the deterministic policy over 100
fresh episodes.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench import harness
from bench.harness import Bench, column, spread

LABELS, STEPS = 200, 50_000
FIRST_SEED = 10_300  # earlier ones were seen before the settings last changed
PUBLISHED = {"mean": -196.5, "median": -165.5, "sd": 138.0, "worst": -1043.0, "runs": 100, "source": "imitation #771"}
FAILED = -400.0


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("pendulum_200", seeds=20, argv=argv, first=FIRST_SEED)
    bench = Bench.start("pendulum_200", options)
    labels, steps = (20, 10_000) if options.quick else (LABELS, STEPS)
    arguments = ("loop", "Pendulum-v1", steps, "--labels", labels, "--flaw", "noisy")
    results = [bench.measure(harness.ours(), *arguments, seed=seed) for seed in options.seed_list()]
    returns = column(results, "mean")
    mean = sum(returns) / len(returns)
    bench.emit(
        PUBLISHED["mean"] / mean,
        {
            "returns": returns,
            "median": spread(returns)["median"],
            "seconds": spread(column(results, "seconds")),
            "env_steps": spread(column(results, "env_steps")),
            "labels": spread(column(results, "labels")),
        },
        PUBLISHED,
        mean=mean,
        worst=min(returns),
        below_400=sum(value < FAILED for value in returns),
    )


if __name__ == "__main__":
    main()
