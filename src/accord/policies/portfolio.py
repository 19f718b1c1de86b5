"""Configurations that are good in many tasks: what a run of `policy.algorithm = "auto"` chooses among.

The first entry of each algorithm is its default; the others stand by for a learner that collapsed, and are of the sort
that survives where the default does not: smaller steps, longer sight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from accord.policies.control.ppo import PPO, PPOConfig
from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.td3 import TD3, TD3Config
from accord.types import InputError, Policy, Task, TaskSpec

Algorithm = Literal["ppo", "sac", "td3"]
Make = Callable[[Task, int], Policy]  # on a task, with a seed


@dataclass(frozen=True, eq=False)
class Entry:
    """One configuration of one algorithm."""

    algorithm: str
    make: Make


def able(spec: TaskSpec) -> tuple[Algorithm, ...]:
    """What can act in a task."""
    if spec.picture is not None:
        return ("ppo",)
    if spec.action.discrete:
        return ("ppo", "sac")
    bounded = np.isfinite(spec.action.low).all() and np.isfinite(spec.action.high).all()
    return ("ppo", "sac", "td3") if bounded else ("ppo",)


def portfolio(spec: TaskSpec, algorithms: Sequence[Algorithm], steps: int, gamma: float | None) -> tuple[Entry, ...]:
    """Every entry of these algorithms (none: of all that can act), first entries first.

    `gamma` is every entry's, where it is given. Raises InputError for an algorithm that cannot act in the task.
    """
    can = able(spec)
    for name in algorithms:
        if name not in can:
            raise InputError(
                f'policy.arms names "{name}", which cannot act in {spec.id}: choose among {", ".join(can)}.'
            )
    wanted = tuple(algorithms) or can
    told = {} if gamma is None else {"gamma": gamma}
    rows = {name: [_entry(name, replace(each, steps=steps, **told)) for each in ENTRIES[name]] for name in wanted}
    deepest = max(map(len, rows.values()))
    return tuple(rows[name][depth] for depth in range(deepest) for name in wanted if depth < len(rows[name]))


def _entry(algorithm: Algorithm, config: PPOConfig | SACConfig | TD3Config) -> Entry:
    def make(task: Task, seed: int) -> Policy:
        match config:
            case SACConfig():
                return SAC(task, config, seed)
            case TD3Config():
                return TD3(task, config, seed)
            case _:
                return PPO(task, config, seed)

    return Entry(algorithm, make)


ENTRIES: dict[Algorithm, tuple[PPOConfig | SACConfig | TD3Config, ...]] = {
    "ppo": (PPOConfig(), PPOConfig(learning_rate=5e-4, gamma=0.99, target_kl=0.015), PPOConfig(gamma=0.9)),
    "sac": (SACConfig(), SACConfig(learning_rate=1e-3, gamma=0.98), SACConfig(learning_rate=1e-4)),
    "td3": (TD3Config(), TD3Config(learning_rate=3e-4), TD3Config(noise=0.2, gamma=0.98)),
}
assert tuple(ENTRIES) == get_args(Algorithm)
