"""Our side of `bench.growth`, one fresh process each:

python -m bench.sizes fit LABELS --seed SEED
python -m bench.sizes replay ROWS --seed SEED
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from accord import runtime
from accord.policies.control.replay import Replay
from accord.rewards.fit import RewardConfig, fit
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import Comparisons, Evidence, Steps, Transition
from bench.peers.protocol import Clock, finish

TIME, INPUTS, BATCH, DRAWS = 50, 6, 256, 2_000


def peak() -> float:
    """Megabytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def comparisons(labels: int, seed: int) -> Evidence:
    """A noisy teacher of a line less a square, about segments that drift."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2 * labels, TIME, INPUTS)).astype(np.float32)
    rows += rng.normal(size=(2 * labels, 1, INPUTS)).astype(np.float32)
    truth = (rows[..., 0] - rows[..., 3] ** 2).sum(1)
    first, second = np.arange(0, 2 * labels, 2), np.arange(1, 2 * labels, 2)
    level = (rng.random(labels) < 1 / (1 + np.exp(np.clip(truth[second] - truth[first], -50, 50)))).astype(int)
    valid, none = np.ones(TIME, bool), np.zeros((TIME, 1), np.float32)
    part = Comparisons(first, second, level, np.zeros(labels, int), 2)
    segments = [Steps(row, none, valid, False) for row in rows]
    return Evidence(segments, np.arange(2 * labels), ("noisy",), (part,), (np.ones(labels, bool),))


def of_fit(labels: int, seed: int) -> None:
    evidence, before = comparisons(labels, seed), peak()
    clock = Clock()
    fit(evidence, RewardConfig(kind="kernel"), discrete=False, terminates=False, seed=seed)
    seconds = clock.seconds()
    finish(seconds, clock.cpu_seconds(), [0.0], fit_seconds=seconds, megabytes=max(1.0, peak() - before))


def of_replay(rows: int, seed: int) -> None:
    spec = ControlTask(ControlConfig(id="Pendulum-v1", envs=1)).spec
    generator, before = torch.Generator().manual_seed(seed), peak()
    clock = Clock()
    replay, many = Replay(spec, rows), 1_000
    state = np.random.default_rng(seed).normal(size=(many, 3)).astype(np.float32)
    no, yes = np.zeros(many, bool), np.ones(many, bool)
    for start in range(0, rows, many):
        step = Transition(state, state, no, no, yes, np.arange(start, start + many))
        replay.add(torch.from_numpy(state), torch.zeros(many, 1), step)
    began = time.perf_counter()
    for _ in range(DRAWS):
        replay.draw(BATCH, generator)
    drawn = (time.perf_counter() - began) / DRAWS
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        replay.save(Path(folder) / "replay.safetensors")
        saved = time.perf_counter() - began
    megabytes = max(1.0, peak() - before)
    finish(clock.seconds(), clock.cpu_seconds(), [0.0], draw_us=1e6 * drawn, save_seconds=saved, megabytes=megabytes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sizes")
    parser.add_argument("work", choices=("fit", "replay"))
    parser.add_argument("size", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    runtime.set_up()
    (of_fit if given.work == "fit" else of_replay)(given.size, given.seed)


if __name__ == "__main__":
    main()
