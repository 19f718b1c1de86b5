"""Search ranges: one flat space for each arm, without conditions; each range with its source beside it.

Starting points are rl-baselines3-zoo's (`rl_zoo3/hyperparams_opt.py`, commit 22e3ff2), ARLBench's, PufferLib's and
imitation's (pull request 771), widened where they are known to be too narrow: the zoo searches gamma from .97 and its
own tuned Pendulum uses .9. Copies of the environment are searched too, since our roll-outs are `rollout` x `envs` rows.

A parameter is what Optuna sees: 1 - gamma on a logarithmic scale, an exponent of two, the number of a choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accord.policies.control.ppo import PPOConfig, resolved
from accord.toml import Tree
from accord.trials import Value
from accord.tuning.arms import Arm
from accord.types import TaskSpec

Number = int | float


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, as Optuna sees it; `read` and `write` turn it into the key's value and back."""

    key: str
    low: Number
    high: Number
    log: bool = False
    read: Callable[[Number], Value] = lambda seen: seen
    write: Callable[[Number], Number] = lambda value: value

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)

    def clipped(self, value: Number) -> Number:
        """A key's value as Optuna sees it, at the nearest end where it lies outside."""
        seen = min(max(self.write(value), self.low), self.high)
        return round(seen) if self.whole else float(seen)


@dataclass(frozen=True)
class Choice:
    """One of a few values without an order; Optuna sees its number."""

    key: str
    options: tuple[Value, ...]


Parameter = Range | Choice
Space = tuple[Parameter, ...]


def complement(key: str, low: float, high: float) -> Range:
    """1 less the value, on a logarithmic scale: .99 and .999 are as far apart as .9 and .99."""
    return Range(key, low, high, True, lambda seen: 1.0 - seen, lambda value: 1.0 - value)


def power(key: str, low: int, high: int) -> Range:
    """A power of two."""
    return Range(key, low, high, False, lambda seen: 2 ** int(seen), lambda value: math.log2(max(1.0, value)))


NETS = Choice("policy.hidden", ([64], [64, 64], [256, 256]))  # the zoo's, for PPO
WIDE = Choice("policy.hidden", ([64, 64], [128, 128], [256, 256]))  # the zoo's, less [400, 300]: twice the time

PPO: Space = (
    Range("policy.learning_rate", 1e-5, 1e-2, log=True),  # the zoo to 2e-3, #771 to 5e-3; ours is 2e-3 by default
    complement("policy.gamma", 1e-4, 0.2),  # PufferLib .8-.9999; the zoo .97-.9999
    complement("policy.lambda", 1e-3, 0.4),  # PufferLib .6-.995; the zoo .9-.9999
    Range("policy.entropy", 1e-8, 0.1, log=True),  # the zoo
    Range("policy.clip", 0.1, 0.4),  # the zoo
    Range("policy.epochs", 1, 20, log=True),  # the zoo 1, 5, 10, 20
    power("policy.minibatch", 5, 10),  # the zoo 2^2-2^10; below 2^5 a step costs more than it teaches
    power("policy.rollout", 4, 10),  # the zoo 2^5-2^12 for few copies; ours are many
    power("task.envs", 2, 6),  # not in the zoo's space; its tuned settings have 1 to 64
    Range("policy.gradient_norm", 0.3, 5.0, log=True),  # the zoo .3-2; its MountainCarContinuous has 5
    Range("policy.target_kl", 0.003, 0.3, log=True),  # .01-.05 in the field
    NETS,
)
GAUSSIAN: Space = (
    Range("policy.log_sd", -3.5, 0.5),
)  # the zoo's MountainCarContinuous -3.3, HalfCheetah -2; where Box
OFF_POLICY: Space = (
    Range("policy.learning_rate", 1e-5, 5e-3, log=True),  # the zoo to 2e-3
    complement("policy.gamma", 1e-4, 0.2),  # as for PPO
    Range("policy.tau", 1e-3, 0.08, log=True),  # the zoo
    power("policy.batch", 5, 9),  # the zoo 2^2-2^11; beyond 2^9 an update costs several times 2^8
    Range("policy.warmup", 100, 10_000, log=True),  # not in the zoo's space; its tuned settings have 100 to 10,000
    WIDE,
)
TD3: Space = (
    Range("policy.noise", 0.0, 0.5),  # the zoo
    Range("policy.smoothing", 0.0, 0.5),  # not in the zoo's space
    Range("policy.delay", 1, 4),  # not in the zoo's space
)
SAC: Space = (Range("policy.temperature", 0.01, 1.0, log=True),)  # not in the zoo's space
# What people are asked, and when; research and ranges: imitation #771, B-Pref, PEBBLE.
ASKING: Space = (
    Range("feedback.rounds", 2, 60, log=True),  # #771: 5-100, chosen 60
    Range("feedback.first", 0.05, 0.3),  # #771: .05-.25, chosen .1
    Choice("feedback.segment", (10, 25, 50, 100)),  # PEBBLE 50, Meta-world 25, Preference Transformer 100
)
KERNEL: Space = (
    Range("reward.kernel_sd", 0.5, 20.0, log=True),  # where the search for it starts, so little depends on it
    Choice("reward.inputs", ("state_action", "state")),  # GAIfO, AIRL
)
MLP: Space = (
    Range("reward.rate", 1e-4, 1e-2, log=True),  # field 1e-4-3e-3, ours 3e-3
    Range("reward.epochs", 1, 20, log=True),  # #771, chosen 10
    power("reward.width", 4, 7),  # 2 x 64-256 in the field
    Range("reward.decay", 0.01, 100.0, log=True),  # weight decay 0-1e-2 in the field, as a prior's precision
    Choice("reward.inputs", ("state_action", "state")),
)
ALGORITHM = {"ppo": PPO, "sac": (*OFF_POLICY, *SAC), "td3": (*OFF_POLICY, *TD3)}
REWARD = {"kernel": KERNEL, "mlp": MLP, "cnn": ()}


def space_of(arm: Arm, spec: TaskSpec, asking: bool, steps: int, labels: int) -> Space:
    """The arm's space; () where there is none to search, as for another library's algorithms.

    `asking`: trials ask their own questions, so when and about what is searched too. Nothing is longer than a quarter
    of the steps, and no round is without a label.
    """
    if arm.algorithm not in ALGORITHM:
        return ()
    own = ALGORITHM[arm.algorithm]
    own = (*own, *GAUSSIAN) if arm.algorithm == "ppo" and not spec.action.discrete else own
    if spec.picture is not None:
        own = tuple(each for each in own if each.key != "policy.hidden")
    reward = REWARD.get(arm.reward, ())
    most = {
        "policy.warmup": max(200, steps // 4),
        "policy.rollout": max(5, int(math.log2(max(2, steps // 16)))),
        "feedback.rounds": max(3, labels),
    }
    space = (*own, *reward, *(ASKING if asking else ()))
    return tuple(
        replace(p, high=min(p.high, most[p.key])) if isinstance(p, Range) and p.key in most else p for p in space
    )


def values_of(space: Space, params: Mapping[str, Number]) -> dict[str, Value]:
    """The keys' values of what Optuna saw; whole numbers are rounded."""
    found: dict[str, Value] = {}
    for each in space:
        seen = params[each.key]
        if isinstance(each, Choice):
            found[each.key] = each.options[int(seen)]
        else:
            found[each.key] = each.read(round(seen) if each.whole else seen)
    return found


def params_of(space: Space, tree: Tree, envs: int) -> dict[str, Number]:
    """A configuration's tables as Optuna sees them; what lies outside the space stands at its edge.

    What a configuration leaves to be chosen is what was chosen, with `envs` copies of the environment.
    """
    chosen = _chosen(tree, envs)
    found: dict[str, Number] = {}
    for each in space:
        value = chosen.get(each.key)
        if value is None:
            value = _at(tree, each.key.split("."))
        if isinstance(each, Choice):
            found[each.key] = _nearest(each, value)
        else:
            assert isinstance(value, int | float), each.key
            found[each.key] = each.clipped(value)
    return found


def drawn(space: Space, rng: np.random.Generator) -> dict[str, Number]:
    """A uniformly random point, as Optuna sees it."""
    found: dict[str, Number] = {}
    for each in space:
        if isinstance(each, Choice):
            found[each.key] = int(rng.integers(len(each.options)))
        elif each.log:
            # of whole numbers every one gets the room from half below to half above it
            half = 0.5 if each.whole else 0.0
            seen = math.exp(rng.uniform(math.log(each.low - half), math.log(each.high + half)))
            found[each.key] = min(max(round(seen), int(each.low)), int(each.high)) if each.whole else seen
        elif each.whole:
            found[each.key] = int(rng.integers(int(each.low), int(each.high) + 1))
        else:
            found[each.key] = float(rng.uniform(each.low, each.high))
    return found


def _chosen(tree: Tree, envs: int) -> dict[str, Number]:
    found: dict[str, Number] = {"task.envs": envs}
    policy = tree["policy"]
    if policy["algorithm"] == "ppo":
        names = ("steps", "rollout", "minibatch", "epochs", "learning_rate")
        schedule = resolved(PPOConfig(**{name: policy[name] for name in names}), envs)
        found |= {f"policy.{name}": getattr(schedule, name) for name in names[1:]}
    return found


def _at(tree: Tree, path: Sequence[str]) -> Value:
    value: Tree = tree
    for key in path:
        value = value[key]
    return value  # type: ignore[return-value]  # a tree's leaf


def _nearest(choice: Choice, value: Value) -> int:
    """The option that it is; else the first."""
    wanted = list(value) if isinstance(value, list | tuple) else value
    return choice.options.index(wanted) if wanted in choice.options else 0
