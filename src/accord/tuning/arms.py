"""An arm of a study: an algorithm and a kind of reward, with one flat search space of its own (`space.py`).

One study per arm, because one conditional space over all algorithms falls apart in a Gaussian process: parameters that
are there only sometimes are drawn at random (Optuna's GPSampler does that). Whether an arm can act in a task is not
told by rules of ours: it is made, and whoever cannot be made says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accord import build, config
from accord.config import RunConfig
from accord.rewards.settings import check_kind
from accord.tasks.control import ControlTask
from accord.toml import Tree
from accord.trials import Value
from accord.types import InputError

ALGORITHMS = ("ppo", "sac", "td3")
REWARDS = ("kernel", "mlp", "cnn")  # what can read a task's observations is tried; others where the user names them


@dataclass(frozen=True)
class Arm:
    """`reward` is "" where trials learn from the truth: then there is nothing to fit."""

    algorithm: str
    reward: str = ""

    @property
    def name(self) -> str:
        return f"{self.algorithm}+{self.reward}" if self.reward else self.algorithm


def arm_of(settings: RunConfig) -> Arm:
    """The arm that a configuration is of."""
    return Arm(settings.policy.algorithm, "" if settings.tune.signal == "truth" else settings.reward.kind)


def arms_of(settings: RunConfig) -> list[Arm]:
    """The configuration's own arm, then those that the user names, else all that can act in the task.

    Raises InputError where one that the user names cannot act there.
    """
    own = arm_of(settings)
    check(settings, own)
    if settings.tune.arms:
        named = [read(name, settings) for name in settings.tune.arms]
        for arm in named:
            check(settings, arm)
        return list(dict.fromkeys([own, *named]))
    rewards = REWARDS if own.reward else ("",)
    tried = [Arm(algorithm, reward) for reward in rewards for algorithm in ALGORITHMS]
    return list(dict.fromkeys([own, *(arm for arm in tried if can_act(settings, arm))]))


def read(name: str, settings: RunConfig) -> Arm:
    """An arm by its name. Where trials learn from people, a name without a reward has the configuration's own."""
    algorithm, _, reward = name.partition("+")
    if settings.tune.signal == "truth":
        if reward:
            raise InputError(
                f'tune.arms names "{name}", and with tune.signal = "truth" no reward is fitted: write "{algorithm}".'
            )
        return Arm(algorithm)
    return Arm(algorithm, reward or settings.reward.kind)


def check(settings: RunConfig, arm: Arm) -> None:
    """Raises InputError where the arm cannot act in the task."""
    try:
        made = configured(settings, arm)
        task = ControlTask(build.copies(made))
        if arm.reward:
            check_kind(made.reward, task.spec.picture)
        build.policy_of(task, made, 0)
    except InputError as error:
        raise InputError(f"the arm {arm.name} cannot act in {settings.task.id}: {error}") from error


def can_act(settings: RunConfig, arm: Arm) -> bool:
    """Whether `check` has nothing against it."""
    try:
        check(settings, arm)
    except InputError:
        return False
    return True


def configured(settings: RunConfig, arm: Arm, values: Mapping[str, Value] | None = None) -> RunConfig:
    """The study's configuration with another arm and values in place of its own.

    An arm of another algorithm starts from that algorithm's defaults, and from as many copies of the environment. An
    arm keeps its kind of reward through a run; the user's own configuration, without other values, is left as it is.
    """
    tree = config.dump(settings)
    if arm.algorithm != settings.policy.algorithm:
        tree["policy"] = {"algorithm": arm.algorithm, "steps": settings.policy.steps}
        tree["task"] = {**tree["task"], "envs": None, "cut": None}
    if arm.reward and (values or arm != arm_of(settings)):
        tree["reward"] = {**tree["reward"], "kind": arm.reward, "select": "fixed"}
    for key, value in (values or {}).items():
        tree = placed(tree, key.split("."), value)
    return config.from_tree(tree)


def placed(tree: Tree, path: Sequence[str], value: Value) -> Tree:
    """The tree with one value in another's place."""
    inner = placed(tree.get(path[0], {}), path[1:], value) if len(path) > 1 else value
    return {**tree, path[0]: inner}
