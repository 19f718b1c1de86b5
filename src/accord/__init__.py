"""accord: from human feedback to a policy that does what people want.

The parts of the loop under one name each. A part is imported when it is first used, so `import accord` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accord.config import RunConfig as RunConfig
    from accord.config import load as load
    from accord.feedback.store import Store as Store
    from accord.feedback.teachers import TeacherConfig as TeacherConfig
    from accord.policies.control.ppo import PPO as PPO
    from accord.policies.control.ppo import PPOConfig as PPOConfig
    from accord.records import Result as Result
    from accord.records import read_records as read_records
    from accord.records import read_result as read_result
    from accord.rewards.fit import RewardConfig as RewardConfig
    from accord.rewards.fit import fit as fit
    from accord.tasks.control import ControlConfig as ControlConfig
    from accord.tasks.control import ControlTask as ControlTask
    from accord.types import InputError as InputError
    from accord.types import NotFinite as NotFinite

_HOME = {
    "ControlConfig": "accord.tasks.control",
    "ControlTask": "accord.tasks.control",
    "InputError": "accord.types",
    "NotFinite": "accord.types",
    "PPO": "accord.policies.control.ppo",
    "PPOConfig": "accord.policies.control.ppo",
    "Result": "accord.records",
    "RewardConfig": "accord.rewards.fit",
    "RunConfig": "accord.config",
    "Store": "accord.feedback.store",
    "TeacherConfig": "accord.feedback.teachers",
    "fit": "accord.rewards.fit",
    "load": "accord.config",
    "read_records": "accord.records",
    "read_result": "accord.records",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'accord' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
