"""Good settings to begin with: the file's own configuration first, then a few of each arm that did well elsewhere.

Entries of one algorithm stand in the order of a greedy cover (`cover`): the first is best on average over tasks, each
next one adds most where the ones before it do badly (as in the portfolios of auto-sklearn 2.0, arXiv:2007.04074,
section 3.1). How PPO's order was measured is told in docs/tuning.md; the others' stand in the order in which their
sources are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from accord.trials import Value
from accord.tuning.arms import Arm
from accord.tuning.ledger import Entry

DEFAULT = "default"  # the name of the file's own configuration

Values = Mapping[str, Value]
PPO: tuple[Values, ...] = (
    {},
    {"task.envs": 32, "policy.gamma": 0.99, "policy.lambda": 0.98, "policy.rollout": 512, "policy.epochs": 5},
    {"task.envs": 32, "policy.gamma": 0.95, "policy.rollout": 64, "policy.minibatch": 128},
    {"task.envs": 8, "policy.gamma": 0.98, "policy.lambda": 0.8, "policy.rollout": 32, "policy.minibatch": 256,
     "policy.epochs": 20, "policy.learning_rate": 1e-3, "policy.entropy": 0.0},  # rl-zoo, CartPole
    {"task.envs": 16, "policy.gamma": 0.999, "policy.lambda": 0.98, "policy.rollout": 256, "policy.minibatch": 64,
     "policy.epochs": 4, "policy.learning_rate": 3e-4},  # rl-zoo, LunarLander, with shorter roll-outs
    {"task.envs": 8, "policy.gamma": 0.9, "policy.rollout": 128, "policy.minibatch": 64, "policy.epochs": 10,
     "policy.learning_rate": 1e-3, "policy.entropy": 0.0},  # rl-zoo, Pendulum, with more copies
)  # fmt: skip
SAC: tuple[Values, ...] = (
    {},
    {"policy.learning_rate": 1e-3, "policy.hidden": [64, 64]},  # rl-zoo, Pendulum, smaller
    {
        "policy.learning_rate": 7.3e-4,
        "policy.gamma": 0.98,
        "policy.tau": 0.02,
        "policy.warmup": 10_000,
    },  # rl-zoo, Hopper
)
TD3: tuple[Values, ...] = (
    {},
    {"policy.gamma": 0.98, "policy.hidden": [64, 64]},  # rl-zoo, Pendulum, smaller
    {"policy.learning_rate": 3e-4, "policy.warmup": 10_000},  # rl-zoo, HalfCheetah
)
ENTRIES: Mapping[str, tuple[Values, ...]] = {"ppo": PPO, "sac": SAC, "td3": TD3}


def portfolio(arms: Sequence[Arm]) -> list[Entry]:
    """The file's own configuration, which is of the first arm, then the arms' entries in turn: first ones first."""
    found = [Entry(DEFAULT, arms[0], {})]
    for place in range(max(len(entries) for entries in ENTRIES.values())):
        for arm in arms:
            entries = ENTRIES.get(arm.algorithm, ({},))
            if place < len(entries) and (entries[place] or arm != arms[0]):  # the first arm's {} is the default
                found.append(Entry(f"{arm.name}/{place}", arm, entries[place]))
    return found


def cover(scores: Float[np.ndarray, "entry task"]) -> Int[np.ndarray, "entry"]:
    """Entries in greedy order: each next one raises the mean over tasks of the best so far by the most.

    Scores are brought to [0, 1] task by task first. Once nothing is raised any more, the rest stand by their mean.
    """
    low, high = scores.min(0), scores.max(0)
    unit = (scores - low) / np.where(high > low, high - low, 1.0)
    best, order, left = np.zeros(scores.shape[1]), [], list(range(len(scores)))
    while left:
        gain = [(float(np.maximum(best, unit[entry]).mean()), float(unit[entry].mean()), -entry) for entry in left]
        chosen = -max(gain)[2]
        best = np.maximum(best, unit[chosen])
        order.append(chosen)
        left.remove(chosen)
    return np.array(order)
