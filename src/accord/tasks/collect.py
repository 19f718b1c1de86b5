"""From steps to segments, and from a policy to its true return. The only readers of the truth besides teachers.

Segments are cut from the steps that the task took last, so collecting them costs no step unless there are none yet.
A segment that crosses the end of an episode is padded with the absorbing state (`valid` False, worth 0); none runs
across a reset or a time limit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Real

from accord.tasks.control import ControlTask
from accord.tasks.recent import Window
from accord.types import Act, Collected, Provenance, Steps


def explore(task: ControlTask, ticks: int, seed: int) -> None:
    """Takes `ticks` steps of every copy with uniformly random actions, counted as "collect"."""
    rng = np.random.default_rng(seed)
    act = random_actions(task, rng)
    task.count_as("collect")
    observation = task.reset(seed)
    for _ in range(ticks):
        observation = task.step(act(observation)).observation


def collect(
    task: ControlTask, n: int, length: int, rng: np.random.Generator, *, round: int, policy_version: int, seed: int
) -> list[Collected]:
    """Cuts n segments of `length` steps at random from the steps taken last; fewer where there are too few."""
    window = task.recent.window(task.spec.action.size if task.spec.action.discrete else None)
    length = min(length, task.spec.horizon, len(window))
    starts = np.argwhere(cuttable(window, length))
    chosen = starts[np.sort(rng.permutation(len(starts))[:n])]
    made = []
    for t, env in chosen:
        begun = int(window.begun[t, env])
        episode = begun * task.spec.envs + int(env)
        start, replay = window.tick + int(t) - begun, window.state[t, env].tobytes()
        provenance = Provenance(task.spec.id, round, policy_version, seed, episode, start, replay)
        segment, truth = _cut(window, int(t), int(env), length)
        made.append(Collected(segment, provenance, truth))
    return made


def cuttable(window: Window, length: int) -> Bool[np.ndarray, "time env"]:
    """Where a segment of `length` steps may start: it stays in the window and ends only by termination."""
    time, envs = window.real.shape
    left = np.zeros(envs, np.int64)  # steps from here to the end of the stretch, this one included
    closed = np.zeros(envs, bool)  # the stretch ends by termination, so it may be padded
    possible = np.zeros((time, envs), bool)
    for t in range(time - 1, -1, -1):
        ended = window.terminated[t] | window.truncated[t]
        closed = np.where(ended, window.terminated[t], closed)
        left = np.where(ended, 1, left + 1) * window.real[t]
        closed &= window.real[t]
        possible[t] = window.real[t] & ((left >= length) | closed)
    return possible


def _cut(window: Window, t: int, env: int, length: int) -> tuple[Steps, Float32[np.ndarray, "time"]]:
    ends = np.flatnonzero(window.terminated[t : t + length, env])
    steps = int(ends[0]) + 1 if len(ends) else length
    rows = slice(t, t + steps)
    observation = padded(window.observation[rows, env], length)
    action = padded(window.action[rows, env], length)
    valid = np.arange(length) < steps
    reward = padded(window.reward[rows, env], length)
    return Steps(observation, action, valid, ended=bool(len(ends))), reward


def padded(rows: np.ndarray, length: int) -> np.ndarray:
    """Rows with zeros after them up to `length`: the absorbing state."""
    out = np.zeros((length, *rows.shape[1:]), np.uint8 if rows.dtype == np.uint8 else np.float32)
    out[: len(rows)] = rows
    return out


def random_actions(task: ControlTask, rng: np.random.Generator) -> Act:
    """Uniformly random actions; where Box actions lack a bound, standard normal ones, kept within the other."""
    spec, envs = task.spec.action, task.spec.envs
    if spec.discrete:
        return lambda observation: rng.integers(spec.size, size=envs)
    bounded = np.isfinite(spec.low) & np.isfinite(spec.high)
    low, width = np.where(bounded, spec.low, 0.0), np.where(bounded, spec.high - spec.low, 0.0)

    def act(observation: Real[np.ndarray, "env observation"]) -> np.ndarray:
        uniform = low + width * rng.random((envs, spec.size))
        normal = np.clip(rng.standard_normal((envs, spec.size)), spec.low, spec.high)
        return np.where(bounded, uniform, normal).astype(np.float32)

    return act


def evaluate(task: ControlTask, act: Act, seed: int) -> Float[np.ndarray, "env"]:
    """True returns of one whole episode in every copy: the first of each, so that short ones are not favoured."""
    task.count_as("judge")
    observation = task.reset(seed)
    start = task.tick
    task.truth.start(start)
    running = np.ones(task.spec.envs, bool)
    counted: list[np.ndarray] = []
    while running.any():
        counted.append(running)
        transition = task.step(act(observation))
        running = running & ~(transition.terminated | transition.truncated)
        observation = transition.observation
    serial: Int[np.ndarray, "time env"] = np.arange(start * task.spec.envs, task.tick * task.spec.envs)
    rewards = task.truth.at(serial).reshape(len(counted), task.spec.envs)
    return (rewards * np.stack(counted)).sum(axis=0, dtype=np.float64)
