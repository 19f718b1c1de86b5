"""The fewest labels at which a policy from comparisons reaches nine tenths of what the true reward teaches.

    python -m bench.labels_to_90 [--seeds N] [--quick] [--fresh] [--dev] [--side ours|peer]

A label is one comparison of two segments of 50 steps by a noisy teacher (Boltzmann at temperature 1). Pendulum-v1:
`examples/pendulum_sac.toml`, SAC for 10,000 steps. Fixed-horizon CartPole: `examples/cartpole.toml`, PPO for 300,000
steps. Only the number of labels differs from those files.

A return is normalised as `(R - random) / (true - random)`, `true` the mean over the seeds of the same algorithm on the
true reward for the same steps. `pendulum` and `fixed_cartpole` are the fewest labels of `COUNTS` at which the
interquartile mean over the seeds is 0.9 or more, and is so at all more labels too; `curve` has every count with its
bootstrap interval. `peer` is imitation at those labels, with its tuned settings and 50,000 steps asked for; their 60
iterations for 200 comparisons become as many fewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.functional.statistics import bootstrap_interval, iqm
from bench import harness
from bench.harness import Bench, column

COUNTS, QUICK = (10, 20, 40), (10,)
REACHED = 0.9
FIRST_SEED = 10_400
ASKED = 50_000  # steps that imitation is asked for; it takes more


@dataclass(frozen=True)
class Task:
    """A task, the example whose settings it runs at, and how the true reward is learned from."""

    figure: str
    id: str
    example: str
    algorithm: str
    steps: int
    random: float  # mean return of 400 random episodes


TASKS = (
    Task("pendulum", "Pendulum-v1", "pendulum_sac.toml", "sac", 10_000, -1217.0),
    Task("fixed_cartpole", "accord/FixedCartPole-v0", "cartpole.toml", "ppo", 300_000, 22.0),
)


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("labels_to_90", seeds=5, argv=argv, first=FIRST_SEED)
    bench = Bench.start("labels_to_90", options)
    curves = {task.figure: curve(bench, task) for task in TASKS}
    fewest = {figure: least(found) for figure, found in curves.items()}
    peers = {} if options.side == "ours" else {task.figure: peer(bench, task, fewest[task.figure]) for task in TASKS}
    bench.emit(None, {}, peers, **fewest, curve={f: {str(n): each for n, each in c.items()} for f, c in curves.items()})


def curve(bench: Bench, task: Task) -> dict[int, dict[str, object]]:
    """Normalised return by the number of labels."""
    ours = harness.ours()
    steps = min(task.steps, 30_000) // 5 if bench.options.quick else task.steps
    sides = {
        labels: (ours, ("loop", task.id, steps, "--labels", labels, "--flaw", "noisy", "--example", task.example))
        for labels in (QUICK if bench.options.quick else COUNTS)
    }
    results = bench.alternate(
        {**{str(n): side for n, side in sides.items()}, "true": (ours, (task.algorithm, task.id, steps))}
    )
    true = float(np.mean(column(results["true"], "mean")))
    return {n: normalised(column(results[str(n)], "mean"), task.random, true) for n in sides}


def normalised(returns: Sequence[float], random: float, true: float) -> dict[str, object]:
    """Interquartile mean with its interval, and every run."""
    scores = (np.array(returns) - random) / (true - random)
    low, high = bootstrap_interval(scores[:, None], iqm, np.random.default_rng(0))
    return {"iqm": iqm(scores), "low": low, "high": high, "runs": scores.tolist(), "true": true}


def least(found: Mapping[int, Mapping[str, object]]) -> int | None:
    """The fewest labels from which on the level is held."""
    held = None
    for labels in sorted(found, reverse=True):
        if float(str(found[labels]["iqm"])) < REACHED:
            break
        held = labels
    return held


def peer(bench: Bench, task: Task, labels: int | None) -> dict[str, object]:
    """Imitation at as many labels."""
    imitation = harness.peer("imitation", "bench/peers/imitation_pc.py", "bench/peers/fixed_cartpole.py")
    count, steps = (20, 6_000) if bench.options.quick else (labels or max(COUNTS), ASKED)
    arguments = (task.id, count, steps, "--iterations", max(1, round(0.3 * count)))
    results = [bench.measure(imitation, *arguments, seed=seed) for seed in bench.options.seed_list()]
    best = {"pendulum": -150.0, "fixed_cartpole": 500.0}[task.figure]
    return {"labels": count, **normalised(column(results, "mean"), task.random, best)}


if __name__ == "__main__":
    main()
