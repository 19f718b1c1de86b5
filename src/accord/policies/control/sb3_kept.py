"""What an algorithm of stable-baselines3 has learned, as numbers in safetensors and JSON: nothing in it can execute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor

# What the classes count beside their parameters; not every class has each.
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate")
ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def memory(model: BaseAlgorithm) -> ReplayBuffer | None:
    """Where it has one."""
    return model.replay_buffer if isinstance(model, OffPolicyAlgorithm) else None


def filled(buffer: ReplayBuffer) -> int:
    """Rows that hold something."""
    return buffer.buffer_size if buffer.full else buffer.pos


def save(model: BaseAlgorithm, folder: Path, counters: Mapping[str, object]) -> None:
    """Parameters and memory as safetensors, counters and the shape of it all as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: list[Tensor] = []
    shape = _apart({**model.get_parameters(), "variables": _variables(model)}, tensors)
    save_file({str(i): tensor.detach().contiguous() for i, tensor in enumerate(tensors)}, folder / "policy.safetensors")
    counted = {name: vars(model)[name] for name in COUNTERS if name in vars(model)}
    whole: dict[str, Any] = {"counters": dict(counters), "counted": counted, "shape": shape}
    if (buffer := memory(model)) is not None:
        n = filled(buffer)
        save_arrays({name: vars(buffer)[name][:n].copy() for name in ARRAYS}, folder / "replay.safetensors")
        whole["memory"] = {"pos": buffer.pos, "full": buffer.full}
    (folder / "policy.json").write_text(json.dumps(whole))


def load(model: BaseAlgorithm, folder: Path) -> dict[str, Any]:
    """What `save` wrote; gives the counters back."""
    whole = json.loads((folder / "policy.json").read_text())
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "policy.safetensors").items()}
    found = _together(whole["shape"], tensors)
    for name, value in found.pop("variables").items():
        _variables(model)[name].data.copy_(value)
    model.set_parameters(found, exact_match=True, device="cpu")
    vars(model).update(whole["counted"])
    if (buffer := memory(model)) is not None:
        for name, array in load_arrays(folder / "replay.safetensors").items():
            vars(buffer)[name][: len(array)] = array
        buffer.pos, buffer.full = whole["memory"]["pos"], whole["memory"]["full"]
    return whole["counters"]


def _variables(model: BaseAlgorithm) -> dict[str, Tensor]:
    """What is learned outside any module, such as the logarithm of a temperature."""
    names = model._get_torch_save_params()[1]
    return {name: vars(model)[name] for name in names if isinstance(vars(model)[name], Tensor)}


def _apart(value: Any, tensors: list[Tensor]) -> Any:
    """The value with every tensor's place in a list instead of it, as JSON can hold it."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, Mapping):
        return {"mapping": [[_apart(key, tensors), _apart(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_apart(item, tensors) for item in value]}
    return value.item() if isinstance(value, np.generic) else value


def _together(shape: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `_apart` took apart; tuples come back as lists."""
    if not isinstance(shape, dict):
        return shape
    if "tensor" in shape:
        return tensors[str(shape["tensor"])]
    if "list" in shape:
        return [_together(item, tensors) for item in shape["list"]]
    return {_together(key, tensors): _together(item, tensors) for key, item in shape["mapping"]}
