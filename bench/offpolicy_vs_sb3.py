"""Environment steps a second of SAC and TD3, with one update each, beside stable-baselines3 and sbx.

    python -m bench.offpolicy_vs_sb3 [--seeds N] [--quick] [--fresh] [--dev] [--side ours|peer]

Pendulum-v1, nets of 2 x 256, batches of 256, one environment, one thread, every library's own defaults
(`bench/peers/offpolicy.py`). Steps are counted after the first 1,000: sbx compiles in those. `sac_ratio` is our rate
over stable-baselines3's, of the medians over the seeds, `sac_ratio_sbx` over sbx's.

`limit` is the rate at which this processor would do nothing but an update's products of 256 x 256 by 256 x 256, as it
multiplies them here: sixteen for SAC (three of the targets, six of the critics, seven of the actor's climb), eleven and
a half for TD3 (its actor climbs one critic, every second time).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from bench import harness
from bench.harness import Bench, Result, column, ratio_of, spread

ENV, STEPS, QUICK = "Pendulum-v1", 3_000, 1_200
PRODUCTS = {"sac": 16.0, "td3": 11.5}
REPEATS = 300


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("offpolicy_vs_sb3", seeds=3, argv=argv)
    bench = Bench.start("offpolicy_vs_sb3", options)
    ours = harness.ours()
    peers = {library: harness.peer(library, "bench/peers/offpolicy.py") for library in ("sb3", "sbx")}
    steps = QUICK if options.quick else STEPS
    results: dict[str, dict[str, list[Result]]] = {}
    for name in PRODUCTS:
        sides = {library: (worker, (ENV, steps, name, library)) for library, worker in peers.items()}
        results[name] = bench.alternate(bench.wanted({"ours": (ours, (name, ENV, steps)), **sides}))
    if options.side == "both":
        report(bench, results)
    else:
        bench.emit(None, {}, {}, note=f"only {options.side} was measured")


def report(bench: Bench, results: Mapping[str, Mapping[str, Sequence[Result]]]) -> None:
    rates = {
        name: {side: column(r, "steps_per_second") for side, r in sides.items()} for name, sides in results.items()
    }
    against = {
        f"{name}_ratio{suffix}": ratio_of(each["ours"], each[library])  # of rates: ours over theirs
        for name, each in rates.items()
        for library, suffix in (("sb3", ""), ("sbx", "_sbx"))
    }
    shown = {side: {name: spread(each[side]) for name, each in rates.items()} for side in ("ours", "sb3", "sbx")}
    bench.emit(
        min(found["median"] for figure, found in against.items() if not figure.endswith("sbx")),
        shown["ours"],
        {library: shown[library] for library in ("sb3", "sbx")},
        **{figure: found["median"] for figure, found in against.items()},
        spread=against,
        limit={dtype: limits(getattr(torch, dtype)) for dtype in ("float32", "bfloat16")},
    )


def limits(dtype: torch.dtype) -> dict[str, float]:
    """Updates a second of nothing but products."""
    torch.set_num_threads(1)
    a, b = torch.randn(2, 256, 256).to(dtype), torch.randn(2, 256, 256).to(dtype)
    out = torch.empty_like(a)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(REPEATS):
            torch.bmm(a, b, out=out)
        seconds.append((time.perf_counter() - began) / REPEATS / 2)
    return {name: 1.0 / (products * min(seconds)) for name, products in PRODUCTS.items()}


if __name__ == "__main__":
    main()
