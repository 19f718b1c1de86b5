"""How long a reward fit takes per net, pair of segments and epoch.

`python -m bench.reward_fit [--quick] [--seeds N]` times whole epochs of `training.climb` as a fit runs them: order,
look-up, forward, likelihood with annotators, backward, Adam. Segments have 50 steps, nets 2 x 64, one thread. The
population is 5 folds x 5 members, each net on the four fifths of the answers that its fold leaves. Imitation 1.0.1
needs 713 us.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import platform
import statistics
import sys
import time

import numpy as np
import torch

from accord import runtime
from accord.rewards.annotators import Layout, questions
from accord.rewards.features import Features
from accord.rewards.fit import RewardConfig, problem_of
from accord.rewards.nets import MLP
from accord.rewards.training import Chosen, Plan, climb
from accord.types import Comparisons

TIME, WIDTH, DEPTH, BATCH = 50, 64, 2, 128
TARGET_US = 35.0


def seconds_a_pair(members: int, folds: int, inputs: int, pairs: int, epochs: int, seed: int) -> float:
    """Seconds per net, pair and epoch of a population: `members` nets, each on its own folds."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((2 * pairs, TIME, inputs), np.float32))
    features = Features(x, torch.ones(x.shape[:2], dtype=torch.bool))
    order = rng.permutation(2 * pairs)
    who = np.zeros(pairs, np.int64)
    part = questions(Comparisons(order[:pairs], order[pairs:], rng.integers(0, 2, pairs), who, 2))
    net = MLP(inputs, WIDTH, DEPTH)
    problem = problem_of(RewardConfig(), net, features, (part,), Layout((part,), 1))
    generator = torch.Generator().manual_seed(seed)
    start = torch.cat([net.start(members, generator), problem.centre[net.size :].expand(members, -1)], 1)
    fold = rng.integers(0, folds, pairs)
    keep = [np.flatnonzero(fold != m % folds) if folds > 1 else np.arange(pairs) for m in range(members)]
    count = min(len(rows) for rows in keep)
    train = [Chosen(np.stack([rows[:count] for rows in keep]), np.ones((members, count), np.float32))]
    nothing = [Chosen(np.zeros((members, 1), np.int64), np.zeros((members, 1), np.float32))]
    began = time.perf_counter()
    climb(problem, start, train, nothing, Plan(epochs, epochs, BATCH, 1e-3), rng)
    return (time.perf_counter() - began) / (members * count * epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--seeds", type=int, default=None, help="repeats, 9 unless told")
    options = parser.parse_args()
    runtime.set_up()  # as a run does
    repeats = options.seeds or (3 if options.quick else 9)
    figures: dict[str, list[float]] = {"single": [], "population": [], "ratio": []}
    seconds_a_pair(1, 1, 6, 640, 1, 0)  # loads kernels
    for seed in range(10_000, 10_000 + repeats):
        inputs = (4, 6, 8)[seed % 3]
        single = seconds_a_pair(1, 1, inputs, 1280, 4, seed)  # side by side, so that a busy machine slows both
        population = seconds_a_pair(25, 5, inputs, 640, 1, seed)
        for name, value in (("single", single * 1e6), ("population", population * 1e6), ("ratio", population / single)):
            figures[name].append(value)
        print(
            f"seed {seed}, {inputs} features: {single * 1e6:.1f} us, population {population * 1e6:.1f} us",
            file=sys.stderr,
        )
    result = {
        "name": "reward_fit",
        "us_per_pair": round(statistics.median(figures["single"]), 2),
        "us_per_pair_range": [round(min(figures["single"]), 2), round(max(figures["single"]), 2)],
        "us_per_pair_population": round(statistics.median(figures["population"]), 2),
        "population_over_single": round(statistics.median(figures["ratio"]), 3),
        "population_over_single_range": [round(min(figures["ratio"]), 3), round(max(figures["ratio"]), 3)],
        "target_us": TARGET_US,
        "imitation_us": 713,  # published measurement of another machine state; the peer is not run here
        "batch": BATCH,
        "seeds": repeats,
        "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
