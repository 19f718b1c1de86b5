"""Invariance: what learns on a GPU by captured graphs is what learns on the CPU, to rounding. Skipped without a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from accord.policies.control.captured import Here, learning_on
from accord.policies.control.offpolicy import OffPolicyConfig
from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.stack import Stack
from accord.policies.control.td3 import TD3, TD3Config
from accord.rewards.fixed import TrueReward
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import InputError, LearnedReward
from tests.tasks.environments import FOLLOW, IDENTITY

gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch finds no GPU: captured updates were not tested."
)

SMALL: dict[str, tuple[str, OffPolicyConfig]] = {
    "sac": (FOLLOW, SACConfig(hidden=(32, 32), batch=64, warmup=50, precision="float32")),
    "choices": (IDENTITY, SACConfig(hidden=(32, 32), batch=64, warmup=50, precision="float32")),
    "td3": (FOLLOW, TD3Config(hidden=(32, 32), batch=64, warmup=50, precision="float32")),
}


def learned(name: str, device: str, *budgets: int, via: Path | None = None) -> SAC | TD3:
    """After so many steps; kept and loaded again in between where there is a place to."""
    id, config = SMALL[name]
    task = ControlTask(ControlConfig(id=id, envs=2))
    task.truth.start(0)
    made = SAC if isinstance(config, SACConfig) else TD3
    policy = made(task, replace(config, device=device), 0)  # type: ignore[arg-type]
    for number, budget in enumerate(budgets):
        policy.improve(LearnedReward(TrueReward(task.truth.at)), budget, number)
        if via is not None:
            policy.save(via)
            policy = made(task, replace(config, device=device), 1)  # type: ignore[arg-type]
            policy.load(via)
    return policy


@gpu
@pytest.mark.parametrize("name", SMALL)
def test_invariance_a_gpu_learns_what_the_cpu_learns(name: str):
    there, here = (learned(name, device, 90) for device in ("cuda", "cpu"))
    assert there.updates == here.updates > 30
    for key, net in here.learned.items():
        other = there.learned[key].flat
        assert other.device.type == "cpu", "what was learned comes back"
        moved = float((net.flat - other).norm() / net.flat.norm())
        assert moved < 5e-3, (key, moved)  # rounding, and where epsilon stands in the first steps of Adam
        assert float(net.step) == float(there.learned[key].step), "warming up is no step"


@gpu
@pytest.mark.parametrize("name", SMALL)
def test_invariance_a_gpu_goes_on_from_what_was_saved(name: str, tmp_path: Path):
    straight, resumed = learned(name, "cuda", 70, 40), learned(name, "cuda", 70, 40, via=tmp_path)
    for key, net in straight.learned.items():
        assert torch.equal(net.flat, resumed.learned[key].flat), key


def test_invariance_on_the_cpu_nothing_moves():
    stack = Stack(2, (3, 8, 1), torch.Generator().manual_seed(0), torch.bfloat16)
    before, rows = stack.flat.clone(), torch.ones(4, 3)
    acted = stack(rows)
    with learning_on(torch.device("cpu"), {"stack": stack}, stack, lambda batch: {}) as learner:
        assert isinstance(learner, Here)
    stack.move(torch.device("cpu"))
    assert stack.shown is stack.flat and stack.flat.equal(before) and stack(rows).equal(acted)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_contract_a_gpu_that_is_not_there_is_refused_in_a_sentence():
    id, config = SMALL["sac"]
    with pytest.raises(InputError, match='finds no GPU here: choose "auto" or "cpu"'):
        SAC(ControlTask(ControlConfig(id=id)), replace(config, device="cuda"), 0)  # type: ignore[arg-type]
