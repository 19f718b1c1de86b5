"""One run that moves its steps between algorithms beside each of them alone, on the true reward at equal steps.

    python -m bench.allocation [--seeds N] [--quick] [--fresh] [--dev]

Pendulum-v1 for 16,000 steps (PPO, SAC, TD3) and accord/FixedCartPole-v0 for 20,000 (PPO, SAC over choices), four copies
of the environment for every side, so that all that differs is who takes the steps. `normalised` of auto is
`(R - worst) / (best - worst)`, best and worst being the single algorithms by their mean over the seeds; `share` is how
much of the steps went to the one that was best.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from accord import build, runtime
from accord.allocate import Auto
from accord.config import AutoSection, PPOSection, RunConfig, SACSection, TD3Section
from accord.functional.statistics import bootstrap_interval, mean
from accord.rewards.fixed import TrueReward
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import LearnedReward
from bench import harness
from bench.harness import Bench, Result, Worker, column
from bench.peers.protocol import Clock, evaluate, finish, quiet_output, warm_up

TASKS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "Pendulum-v1": (16_000, ("ppo", "sac", "td3")),
    "accord/FixedCartPole-v0": (20_000, ("ppo", "sac")),
}
SECTIONS = {"auto": AutoSection, "ppo": PPOSection, "sac": SACSection, "td3": TD3Section}


def work(argv: Sequence[str]) -> None:
    """`work ALGORITHM ENV STEPS --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.allocation work")
    parser.add_argument("algorithm", choices=tuple(SECTIONS))
    parser.add_argument("env")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    runtime.set_up()
    with quiet_output(), runtime.flushed():
        warm_up()
        clock = Clock()
        task = ControlTask(ControlConfig(id=given.env, envs=build.COPIES_OF_ALL))
        task.truth.start(0)
        policy = build.policy_of(task, RunConfig(policy=SECTIONS[given.algorithm](steps=given.steps)), given.seed)
        signal = LearnedReward(TrueReward(task.truth.at))
        metrics = policy.improve(signal, given.steps, runtime.derive(given.seed, "improve"))
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        returns = evaluate(given.env, lambda rows: policy.act(rows.astype(np.float32)))
    more = {name: value for name, value in metrics.extra.items() if isinstance(policy, Auto)}
    finish(seconds, cpu_seconds, returns, env_steps=sum(task.steps().values()), extra=more)


def compared(results: Mapping[str, Sequence[Result]]) -> Result:
    """Auto against the best and the worst of the others."""
    runs = {name: np.array(column(found, "mean")) for name, found in results.items()}
    alone = {name: float(each.mean()) for name, each in runs.items() if name != "auto"}
    best, worst = max(alone, key=lambda name: alone[name]), min(alone, key=lambda name: alone[name])
    scaled = (runs["auto"] - alone[worst]) / max(alone[best] - alone[worst], 1e-9)
    steps = [one["extra"] for one in results["auto"]]
    return {
        "runs": {name: each.tolist() for name, each in runs.items()},
        "best": best,
        "worst": worst,
        "normalised": float(scaled.mean()),
        "ci95": list(bootstrap_interval(scaled[:, None], mean, np.random.default_rng(0))),
        "share": float(np.mean([_share(each, best) for each in steps])),
        "cpu_seconds": {name: float(np.median(column(found, "cpu_seconds"))) for name, found in results.items()},
    }


def _share(extra: object, best: str) -> float:
    assert isinstance(extra, dict)
    taken = {name: value for name, value in extra.items() if name.startswith("steps_")}
    return taken[f"steps_{best}"] / sum(taken.values())


def main(argv: Sequence[str] | None = None) -> None:
    bench = Bench.start("allocation", harness.parse("allocation", seeds=5, argv=argv))
    version = harness.our_version("bench/allocation.py", "bench/peers/protocol.py")
    worker = Worker("accord", (sys.executable, "-m", "bench.allocation", "work"), version)
    figures = {}
    for env, (steps, algorithms) in TASKS.items():
        length = steps // 4 if bench.options.quick else steps
        sides = {name: (worker, (name, env, length)) for name in ("auto", *algorithms)}
        figures[env] = compared(bench.alternate(sides))
    bench.emit(None, {}, {}, **figures)


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
