"""What every timed process does alike, ours and the peers': warm up, time the work, evaluate, print one JSON line.

Plain NumPy and Gymnasium, so that it runs in each peer's own interpreter as well as in ours.

The clock covers the same work on every side: from making the environments to holding the trained policy. Imports,
including the ones that torch puts off until an optimiser is first made, come before it; evaluation comes after it.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import gymnasium
import numpy as np
import torch

EVALUATION_SEED = 1_000_000  # episode i starts from this seed plus i: the same starts on every side
EVALUATION_EPISODES = 100
FIRST = 1_000  # steps of an off-policy algorithm that its rate leaves out
CURVE_SEED, CURVE_EPISODES = 2_000_000, 20  # of a point of a learning curve


def warm_up() -> None:
    """One thread, and everything that torch imports only when an optimiser first steps."""
    torch.set_num_threads(1)
    weight = torch.nn.Parameter(torch.zeros(2))
    optimiser = torch.optim.Adam([weight])
    weight.sum().backward()
    optimiser.step()


class Clock:
    """Wall and processor seconds since it was made; `pause` leaves out what the comparison is not about."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def seconds(self) -> float:
        """Wall seconds so far."""
        return time.perf_counter() - self._wall

    def cpu_seconds(self) -> float:
        """Processor seconds so far: what one thread would need on an idle machine."""
        return time.process_time() - self._cpu

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Time spent inside does not count."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self._wall += time.perf_counter() - wall
        self._cpu += time.process_time() - cpu


class Solved:
    """When the mean return of the last 100 finished training episodes first reached `level`."""

    def __init__(self, clock: Clock, level: float, episodes: int = 100) -> None:
        self.clock, self.level, self.episodes = clock, level, episodes
        self.seconds: float | None = None
        self.steps: int | None = None

    def check(self, returns: list[float], steps: int) -> None:
        """To be called after each roll-out, with the returns of the training episodes finished so far, in order."""
        recent = returns[-self.episodes :]
        if self.seconds is None and len(recent) == self.episodes and float(np.mean(recent)) >= self.level:
            self.seconds, self.steps = self.clock.seconds(), steps


def evaluate(
    env_id: str,
    act: Callable[[np.ndarray], np.ndarray],
    episodes: int = EVALUATION_EPISODES,
    first_seed: int = EVALUATION_SEED,
) -> list[float]:
    """True returns of fresh episodes, each from its own seed; `act` maps observations (row each) to actions."""
    envs = [gymnasium.make(env_id) for _ in range(episodes)]
    observations = [env.reset(seed=first_seed + i)[0] for i, env in enumerate(envs)]
    returns, alive = [0.0] * episodes, list(range(episodes))
    while alive:
        actions = act(np.stack([observations[i] for i in alive]))
        still = []
        for i, action in zip(alive, actions, strict=True):
            observations[i], reward, terminated, truncated, _ = envs[i].step(action)
            returns[i] += float(reward)
            if not (terminated or truncated):
                still.append(i)
        alive = still
    return returns


@contextlib.contextmanager
def quiet_output() -> Iterator[None]:
    """Whatever a library prints goes to standard error: standard output is for the one JSON line."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def finish(clock_seconds: float, cpu_seconds: float, returns: list[float], **figures: object) -> None:
    """Prints the JSON line that the harness reads."""
    line = {
        "seconds": clock_seconds,
        "cpu_seconds": cpu_seconds,
        "mean": float(np.mean(returns)),
        "std": float(np.std(returns)),
        "episodes": len(returns),
        **figures,
    }
    print(json.dumps(line), flush=True)
