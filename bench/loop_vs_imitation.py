"""The whole loop beside imitation 1.0.1's preference comparisons, on Pendulum-v1 and the fixed-horizon CartPole.

Same labels, same teacher (Boltzmann on the sum of true rewards, temperature 1), and as many environment steps as
imitation really takes: they are counted at its environments, and ours gets that number. `ratio` is the lower of the
two tasks' ratios of wall time (of the medians). `p_improvement` is the lower of the two tasks' probabilities that a
run of ours beats a run of imitation's, over all pairs: on the final return, or, where the median of both sides
reaches the ceiling (95 % of the way from a random policy to the best known), on the area under the learning curve.

The final return is the true one of the deterministic policy over 100 fresh episodes, which start alike on both
sides. The curve holds that of 20 episodes after each round, against the steps counted by then, from a random policy's
on. Imports are outside the clock on both sides and so is imitation's evaluation; ours after each round and at the end
is inside, as a part of the loop, and its steps count as ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.functional import statistics
from bench import harness
from bench.harness import Bench, Options, Result, Worker, column, ratio_of, spread


@dataclass(frozen=True)
class Task:
    """One task's budget as imitation's authors tuned it on Pendulum, and the scale of its returns."""

    id: str
    labels: int
    asked_steps: int  # what imitation is asked for; it takes more, and the real number is counted
    random: float  # mean of 400 random episodes
    best: float  # the best that is known

    @property
    def ceiling(self) -> float:
        """95 % of the way from random to best."""
        return self.random + 0.95 * (self.best - self.random)


TASKS = (
    Task("Pendulum-v1", 200, 50_000, random=-1217.0, best=-150.0),
    Task("accord/FixedCartPole-v0", 200, 50_000, random=22.0, best=500.0),
)
QUICK = {"labels": 20, "asked_steps": 6_000, "iterations": 3}


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("loop_vs_imitation", seeds=10, argv=argv)
    bench = Bench.start("loop_vs_imitation", options)
    imitation = harness.peer("imitation", "bench/peers/imitation_pc.py", "bench/peers/fixed_cartpole.py")
    ours = harness.ours()
    results = {task.id: measure(bench, task, ours, imitation) for task in TASKS}
    if options.side == "peer":
        bench.emit(None, {}, {}, note="only peer was measured")
    else:
        report(bench, results)


def measure(bench: Bench, task: Task, ours: Worker, imitation: Worker) -> dict[str, list[Result]]:
    """Both sides at every seed, imitation first: ours gets the steps that imitation turned out to take."""
    results: dict[str, list[Result]] = {"ours": [], "peer": []}
    for seed in bench.options.seed_list():
        theirs = bench.measure(imitation, *peer_arguments(task, bench.options), seed=seed)
        results["peer"].append(theirs)
        if bench.options.side != "peer":
            arguments = (
                "loop",
                task.id,
                theirs["env_steps"],
                "--labels",
                theirs["labels"],
                "--flaw",
                "noisy",
                "--many",
            )
            results["ours"].append(bench.measure(ours, *arguments, seed=seed))
    return results


def peer_arguments(task: Task, options: Options) -> tuple[object, ...]:
    """What imitation's script is given."""
    if options.quick:
        return (task.id, QUICK["labels"], QUICK["asked_steps"], "--iterations", QUICK["iterations"])
    return (task.id, task.labels, task.asked_steps)


def report(bench: Bench, results: Mapping[str, Mapping[str, Sequence[Result]]]) -> None:
    """The figures that the issue names, from the results of both tasks."""
    ratios = {name: ratio_of(column(s["peer"], "seconds"), column(s["ours"], "seconds")) for name, s in results.items()}
    improvement = {task.id: improvements(task, results[task.id]) for task in TASKS}
    bench.emit(
        min(ratio["median"] for ratio in ratios.values()),
        {name: side_figures(sides["ours"]) for name, sides in results.items()},
        {name: side_figures(sides["peer"]) for name, sides in results.items()},
        p_improvement=min(float(str(found["counted"])) for found in improvement.values()),
        improvement=improvement,
        spread={"ratio": ratios},
    )


def improvements(task: Task, sides: Mapping[str, Sequence[Result]]) -> dict[str, object]:
    """P(improvement) on the final return and on the area under the curve, and which of them counts."""
    final = {side: column(results, "mean") for side, results in sides.items()}
    total = column(sides["peer"], "env_steps")
    areas = {side: [area(r, task, n) for r, n in zip(results, total, strict=True)] for side, results in sides.items()}
    at_ceiling = all(spread(values)["median"] >= task.ceiling for values in final.values())
    on_final, final_interval = improvement(final["ours"], final["peer"])
    on_area, area_interval = improvement(areas["ours"], areas["peer"])
    return {
        "counted": on_area if at_ceiling else on_final,
        "both_at_ceiling": at_ceiling,
        "on_final_return": on_final,
        "on_final_return_ci95": final_interval,
        "on_area_under_curve": on_area,
        "on_area_under_curve_ci95": area_interval,
        "area": {side: spread(values) for side, values in areas.items()},
    }


def improvement(ours: Sequence[float], peer: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """P(a run of ours is better), with its 95 % interval."""
    rng = np.random.default_rng(0)
    return statistics.probability_of_improvement(np.array(ours)[:, None], np.array(peer)[:, None], rng)


def area(result: Result, task: Task, total: float) -> float:
    """Mean height of one run's learning curve over the steps that both sides were given."""
    curve = result["curve"]
    assert isinstance(curve, list)
    return harness.area_under_curve([step for step, _ in curve], [height for _, height in curve], total, task.random)


def side_figures(results: Sequence[Result]) -> dict[str, object]:
    """One side on one task: seconds, processor seconds and final return with their spread, and what it used."""
    figures: dict[str, object] = {name: spread(column(results, name)) for name in ("seconds", "cpu_seconds", "mean")}
    returns = column(results, "mean")
    figures["average_return"] = sum(returns) / len(returns)
    figures["returns"] = returns
    return {**figures, "labels": column(results, "labels")[0], "env_steps": column(results, "env_steps")}


if __name__ == "__main__":
    main()
