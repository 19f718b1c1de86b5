"""The fewest labels at which a policy from comparisons reaches nine tenths of what the true reward teaches.

    python -m bench.labels_to_90 [--seeds N] [--quick] [--fresh] [--dev] [--side ours|peer]

A label is one comparison of two segments of 50 steps by a noisy teacher (Boltzmann at temperature 1), on Reacher-v5 in
seven levels of strength. Settings are those of the examples: Pendulum-v1 `pendulum_sac.toml`, SAC for 10,000 steps;
fixed-horizon CartPole `cartpole.toml`, PPO for 300,000; Reacher-v5 `reacher.toml`, SAC for 20,000; HalfCheetah-v5
`halfcheetah.toml`, SAC for 60,000, at exactly 200 labels and three seeds. Only the number of labels differs from them.

A return is normalised as `(R - random) / (true - random)`, `true` the mean over the seeds of the same algorithm on the
true reward for the same steps. A task's figure is the fewest labels of its counts at which the interquartile mean over
the seeds is 0.9 or more, and is so at all more labels too (`halfcheetah_200`: that mean); `curve` has every count with
its bootstrap interval. Beside them: PEBBLE's recipe in our switches (`bench.ours`), where the algorithm is SAC, and
`peer`, imitation at the fewest labels with its tuned settings and 50,000 steps asked for; their 60 iterations for 200
comparisons become as many fewer. imitation is bound to gymnasium 0.29, which has neither Reacher-v5 nor HalfCheetah-v5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.functional.statistics import bootstrap_interval, iqm
from bench import harness
from bench.harness import Bench, column

REACHED = 0.9
FIRST_SEED = 10_600
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
    counts: tuple[int, ...] = (10, 20, 40)
    seeds: int | None = None  # None: as many as asked for
    first: int = FIRST_SEED  # another where settings were changed after the usual seeds had been seen
    warmup: int | None = None  # random steps of the true reward's runs at first, where not the default: the example's
    best: float | None = None  # what the peer's returns are normalised by; None: the peer cannot run it


TASKS = (
    Task("pendulum", "Pendulum-v1", "pendulum_sac.toml", "sac", 10_000, -1217.0, best=-150.0),
    Task("fixed_cartpole", "accord/FixedCartPole-v0", "cartpole.toml", "ppo", 300_000, 22.0, best=500.0),
    Task("reacher", "Reacher-v5", "reacher.toml", "sac", 20_000, -42.8, (50, 100), first=10_800),
    Task("halfcheetah", "HalfCheetah-v5", "halfcheetah.toml", "sac", 60_000, -281.0, (200,), 3, 11_300, 10_000),
)


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("labels_to_90", seeds=5, argv=argv, first=FIRST_SEED)
    bench = Bench.start("labels_to_90", options)
    curves = {task.figure: curve(bench, task) for task in TASKS}
    fewest = {task.figure: least(task, curves[task.figure]) for task in TASKS}
    found = {**fewest, "halfcheetah_200": curves["halfcheetah"].get(200, {}).get("iqm")}
    found.pop("halfcheetah")
    recipe = {task.figure: pebble(bench, task, fewest[task.figure]) for task in TASKS if task.algorithm == "sac"}
    asked = [] if options.side == "ours" else [task for task in TASKS if task.best is not None]
    peers = {task.figure: peer(bench, task, fewest[task.figure]) for task in asked}
    each = {figure: {str(n): one for n, one in by.items()} for figure, by in curves.items()}
    bench.emit(None, {}, peers, **found, curve=each, pebble=recipe)


def steps_of(bench: Bench, task: Task) -> int:
    return min(task.steps, 30_000) // 5 if bench.options.quick else task.steps


def seeds_of(bench: Bench, task: Task) -> list[int]:
    first = bench.options.seed_list()[0]
    count = min(bench.options.seeds, task.seeds or bench.options.seeds)
    return [each + (0 if bench.options.dev else task.first - first) for each in range(first, first + count)]


def curve(bench: Bench, task: Task) -> dict[int, dict[str, object]]:
    """Normalised return by the number of labels."""
    counts, steps = task.counts[:1] if bench.options.quick else task.counts, steps_of(bench, task)
    sides = {n: loop(task, steps, n) for n in counts}
    results = bench.alternate(
        {**{str(n): side for n, side in sides.items()}, "true": truth(task, steps)},
        seeds_of(bench, task),
    )
    true = float(np.mean(column(results["true"], "mean")))
    return {n: normalised(column(results[str(n)], "mean"), task.random, true) for n in counts}


def truth(task: Task, steps: int) -> tuple[harness.Worker, tuple[object, ...]]:
    """The same algorithm on the true reward."""
    more = () if task.warmup is None else ("--warmup", task.warmup)
    return harness.ours(), (task.algorithm, task.id, steps, *more)


def loop(task: Task, steps: int, labels: int, *more: str) -> tuple[harness.Worker, tuple[object, ...]]:
    """Our loop at the example's settings."""
    common = ("loop", task.id, steps, "--labels", labels, "--flaw", "noisy", "--example", task.example)
    return harness.ours(), (*common, *more)


def normalised(returns: Sequence[float], random: float, true: float) -> dict[str, object]:
    """Interquartile mean with its interval, and every run."""
    scores = (np.array(returns) - random) / (true - random)
    low, high = bootstrap_interval(scores[:, None], iqm, np.random.default_rng(0))
    return {"iqm": iqm(scores), "low": low, "high": high, "runs": scores.tolist(), "true": true}


def least(task: Task, found: Mapping[int, Mapping[str, object]]) -> int | None:
    """The fewest labels from which on the level is held."""
    held = None
    for labels in sorted(found, reverse=True):
        if float(str(found[labels]["iqm"])) < REACHED:
            break
        held = labels
    return held


def pebble(bench: Bench, task: Task, labels: int | None) -> dict[str, object]:
    """PEBBLE's recipe at as many labels."""
    steps, count = steps_of(bench, task), labels or max(task.counts)
    sides = {
        "pebble": loop(task, steps, count, "--recipe", "pebble"),
        "true": truth(task, steps),  # from the journal
    }
    results = bench.alternate(sides, seeds_of(bench, task))
    true = float(np.mean(column(results["true"], "mean")))
    return {"labels": count, **normalised(column(results["pebble"], "mean"), task.random, true)}


def peer(bench: Bench, task: Task, labels: int | None) -> dict[str, object]:
    """Imitation at as many labels."""
    imitation = harness.peer("imitation", "bench/peers/imitation_pc.py", "bench/peers/fixed_cartpole.py")
    count, steps = (20, 6_000) if bench.options.quick else (labels or max(task.counts), ASKED)
    arguments = (task.id, count, steps, "--iterations", max(1, round(0.3 * count)))
    results = [bench.measure(imitation, *arguments, seed=seed) for seed in seeds_of(bench, task)]
    return {"labels": count, **normalised(column(results, "mean"), task.random, float(str(task.best)))}


if __name__ == "__main__":
    main()
