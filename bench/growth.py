"""How time and memory grow: a fit with the number of labels, an update with the size of the memory.

    python -m bench.growth [--seeds N] [--quick] [--fresh] [--dev]

Labels: comparisons of segments of 50 steps of six numbers, a kernel reward, a fresh process each. Memory: SAC's of
Pendulum-v1 filled with so many transitions, then batches of 256 drawn from it, and the whole of it written as a
checkpoint is. `megabytes` is what the process grew by at its peak. `exponent_*` is the slope of the logarithm of time
or memory on that of the size, between the two greatest sizes: 1 is linear.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from bench import harness
from bench.harness import Bench

LABELS = (100, 1_000, 10_000, 100_000)
REPLAY = (10_000, 100_000, 1_000_000)


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("growth", seeds=1, argv=argv)
    bench = Bench.start("growth", options)
    fits = table(bench, "fit", LABELS[:2] if options.quick else LABELS, ("fit_seconds", "megabytes"))
    memory = table(bench, "replay", REPLAY[:2] if options.quick else REPLAY, ("draw_us", "save_seconds", "megabytes"))
    bench.emit(None, {}, {}, labels=fits, replay=memory, **exponents("fit", fits), **exponents("replay", memory))


def table(bench: Bench, work: str, sizes: Sequence[int], names: Sequence[str]) -> dict[int, dict[str, float]]:
    """Medians over the seeds by size."""
    worker = harness.ours("bench/sizes.py")
    found = {}
    for size in sizes:
        results = [bench.measure(worker, work, size, seed=seed) for seed in bench.options.seed_list()]
        found[size] = {name: statistics.median(float(str(each[name])) for each in results) for name in names}
    return found


def exponents(work: str, found: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Slopes between the last two sizes."""
    few, many = sorted(found)[-2:]
    return {
        f"exponent_{work}_{name}": math.log(found[many][name] / found[few][name]) / math.log(many / few)
        for name in found[many]
    }


if __name__ == "__main__":
    main()
