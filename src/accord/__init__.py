"""accord: from human feedback to a policy that does what people want.

The parts of the loop under one name each. A part is imported when it is first used, so `import accord` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accord.build import run as run
    from accord.config import RunConfig as RunConfig
    from accord.config import load as load
    from accord.feedback.evidence import pack as pack
    from accord.feedback.queries import Candidates as Candidates
    from accord.feedback.queries import QueryConfig as QueryConfig
    from accord.feedback.queries import compose as compose
    from accord.feedback.store import Store as Store
    from accord.feedback.teachers import Teacher as Teacher
    from accord.feedback.teachers import TeacherConfig as TeacherConfig
    from accord.lineage import verify as verify
    from accord.policies.control.ppo import PPO as PPO
    from accord.policies.control.ppo import PPOConfig as PPOConfig
    from accord.policies.control.sac import SAC as SAC
    from accord.policies.control.sac import SACConfig as SACConfig
    from accord.policies.control.td3 import TD3 as TD3
    from accord.policies.control.td3 import TD3Config as TD3Config
    from accord.records import Result as Result
    from accord.records import read_records as read_records
    from accord.records import read_result as read_result
    from accord.rewards.fit import RewardConfig as RewardConfig
    from accord.rewards.fit import fit as fit
    from accord.tasks.collect import collect as collect
    from accord.tasks.collect import evaluate as evaluate
    from accord.tasks.collect import explore as explore
    from accord.tasks.control import ControlConfig as ControlConfig
    from accord.tasks.control import ControlTask as ControlTask
    from accord.trained import load_policy as load_policy
    from accord.types import InputError as InputError
    from accord.types import LearnedReward as LearnedReward
    from accord.types import NotFinite as NotFinite

_HOME = {
    "Candidates": "accord.feedback.queries",
    "ControlConfig": "accord.tasks.control",
    "ControlTask": "accord.tasks.control",
    "InputError": "accord.types",
    "LearnedReward": "accord.types",
    "NotFinite": "accord.types",
    "PPO": "accord.policies.control.ppo",
    "PPOConfig": "accord.policies.control.ppo",
    "QueryConfig": "accord.feedback.queries",
    "Result": "accord.records",
    "RewardConfig": "accord.rewards.fit",
    "RunConfig": "accord.config",
    "SAC": "accord.policies.control.sac",
    "SACConfig": "accord.policies.control.sac",
    "Store": "accord.feedback.store",
    "TD3": "accord.policies.control.td3",
    "TD3Config": "accord.policies.control.td3",
    "Teacher": "accord.feedback.teachers",
    "TeacherConfig": "accord.feedback.teachers",
    "collect": "accord.tasks.collect",
    "compose": "accord.feedback.queries",
    "evaluate": "accord.tasks.collect",
    "explore": "accord.tasks.collect",
    "fit": "accord.rewards.fit",
    "load": "accord.config",
    "load_policy": "accord.trained",
    "pack": "accord.feedback.evidence",
    "read_records": "accord.records",
    "read_result": "accord.records",
    "run": "accord.build",
    "verify": "accord.lineage",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'accord' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
