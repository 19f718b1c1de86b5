"""Environment steps a second of SAC and TD3 on a GPU, beside stable-baselines3 and sbx there and everybody on the CPU.

    python -m bench.offpolicy_gpu [--seeds N] [--quick] [--fresh] [--dev]

What `bench.offpolicy_vs_sb3` measures, where there is a GPU: Pendulum-v1, nets of 2 x 256, batches of 256, one
environment, one update a step. `ratio` is the lesser of our rates on the GPU over stable-baselines3's best, wherever
that is; `sac_ratio`, `td3_ratio` and their `_sbx` are against each peer's own better device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench import harness
from bench.harness import Bench, column, ratio_of, spread
from bench.offpolicy_vs_sb3 import ENV, PRODUCTS, QUICK

STEPS = 2_000
DEVICES, PEERS = ("cuda", "cpu"), ("sb3", "sbx")


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("offpolicy_gpu", seeds=3, argv=argv)
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here, and this benchmark is about one.")
    bench, steps = Bench.start("offpolicy_gpu", options), QUICK if options.quick else STEPS
    workers = {"ours": harness.ours(), **{name: harness.peer(name, "bench/peers/offpolicy.py") for name in PEERS}}
    rates: dict[str, dict[str, list[float]]] = {}
    for algorithm in PRODUCTS:
        sides = {}
        for device in DEVICES:
            sides[f"ours {device}"] = workers["ours"], (algorithm, ENV, steps, "--device", device)
            for name in PEERS:
                sides[f"{name} {device}"] = workers[name], (ENV, steps, algorithm, name, "--device", device)
        found = bench.alternate(sides)
        rates[algorithm] = {side: column(results, "steps_per_second") for side, results in found.items()}
    report(bench, rates)


def report(bench: Bench, rates: dict[str, dict[str, list[float]]]) -> None:
    against = {}
    for algorithm, by in rates.items():
        for name, suffix in zip(PEERS, ("", "_sbx"), strict=True):
            better = max(DEVICES, key=lambda device: spread(by[f"{name} {device}"])["median"])
            against[f"{algorithm}_ratio{suffix}"] = ratio_of(by["ours cuda"], by[f"{name} {better}"])
    shown = {algorithm: {side: spread(each) for side, each in by.items()} for algorithm, by in rates.items()}
    ours = {algorithm: {s: each for s, each in by.items() if s.startswith("ours")} for algorithm, by in shown.items()}
    peers = {
        algorithm: {s: each for s, each in by.items() if s not in ours[algorithm]} for algorithm, by in shown.items()
    }
    medians = {name: each["median"] for name, each in against.items()}
    lesser = min(medians["sac_ratio"], medians["td3_ratio"])
    bench.emit(lesser, ours, peers, **medians, spread=against, gpu=torch.cuda.get_device_name(0))


if __name__ == "__main__":
    main()
