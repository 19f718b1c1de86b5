"""Trials an hour with two local workers against one: does a second core do a second core's work?

The same twenty trials of a small study (PPO on the true reward of Pendulum-v1) through `tuning/engine.py`, with one
worker and with two, in turns. Workers are started before the clock. `ratio` is the throughput of two over that of one;
it can only be 2 where two cores are free, so the load stands beside it, and `ratio_cpu`, what it would be if no other
program had taken part: the processor's seconds of one over the greater share of two's.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence

from accord import config
from accord.tuning.engine import Local
from accord.tuning.trial import Job
from bench import harness

TRIALS, STEPS, REPEATS = 20, 20_000, 3
TREE = {
    "task": {"id": "Pendulum-v1", "truth": True},
    "policy": {"steps": STEPS},
    "tune": {"signal": "truth", "episodes": 10},
}


def timed(workers: int, jobs: Sequence[Job]) -> dict[str, float]:
    """Wall seconds from the first job given to the last one back, and the trials' own CPU-seconds."""
    engine = Local(workers)
    try:
        for job in jobs[:workers]:  # imports, and the first trial's cold caches
            engine.submit(job)
        for _ in jobs[:workers]:
            engine.next()
        began = time.perf_counter()
        for job in jobs:
            engine.submit(job)
        found = [engine.next() for _ in jobs]
        wall = time.perf_counter() - began
    finally:
        engine.close()
    if any(outcome.state != "done" for outcome in found):
        raise RuntimeError(f"a trial failed: {next(each.why for each in found if each.state != 'done')}")
    return {"seconds": wall, "cpu_seconds": sum(outcome.cpu_seconds for outcome in found)}


def main(argv: Sequence[str] | None = None) -> int:
    options = harness.parse("workers", seeds=1, argv=argv)
    first, load = options.seed_list()[0], harness.os.getloadavg()[0]
    trials, repeats = (4, 1) if options.quick else (TRIALS, REPEATS)
    tree = config.dump(config.from_tree(TREE))
    jobs = [Job(i, {**tree, "seed": first + i}, "truth") for i in range(trials)]
    ran: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for repeat in range(repeats):
        for workers in (1, 2) if repeat % 2 == 0 else (2, 1):
            ran[workers].append(timed(workers, jobs))
            print(f"[workers] {workers}: {ran[workers][-1]}", file=sys.stderr, flush=True)
    one, two = ({k: statistics.median(each[k] for each in ran[n]) for k in ran[n][0]} for n in (1, 2))
    line = {
        "name": "workers",
        "ratio": one["seconds"] / two["seconds"],
        "ratio_cpu": 2 * one["cpu_seconds"] / two["cpu_seconds"],
        "one": one,
        "two": two,
        "trials": trials,
        "repeats": repeats,
        "quick": options.quick,
        "machine": {"processor": harness.processor(), "load_start": load, "load_end": harness.os.getloadavg()[0]},
    }
    print(json.dumps(harness.rounded(line)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
