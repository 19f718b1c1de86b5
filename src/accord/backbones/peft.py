"""Adapters as folders of PEFT: `adapter_config.json` and `adapter_model.safetensors`, written and read.

Where ours stand on products side by side, PEFT has one adapter for each (`q_proj`, `k_proj`, ...), as `Projection` does
in its parts, so nothing is lost either way. Read are plain adapters of linear layers: what else PEFT can put into such
a folder changes what the numbers mean, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.backbones.decoder import Decoder
from accord.backbones.projection import Projection
from accord.types import InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
WITHIN = "base_model.model."  # what PEFT puts before the names of a causal language model
PLAIN: Mapping[str, object] = {  # what these have to be, where they are said at all
    "use_dora": False,
    "bias": "none",
    "lora_bias": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "layer_replication": None,
    "alora_invocation_tokens": None,
}


def write(decoder: Decoder, folder: Path, base: str = "") -> None:
    """Writes a decoder's adapters; `base` is where PEFT finds the model below them.

    Raises InputError where there are none, or not of one rank and scale, for which the form has no place.
    """
    tensors: dict[str, Tensor] = {}
    ranks, scales, targets = set[int](), set[float](), set[str]()
    for one, names in decoder.placed():
        if one.down is None or one.up is None:
            continue
        for name, low, high in zip(names, one.down.chunk(len(one.parts)), one.up, strict=True):
            tensors[f"{WITHIN}{name}.lora_A.weight"] = low.detach().float().cpu().clone()
            tensors[f"{WITHIN}{name}.lora_B.weight"] = high.detach().float().cpu().clone()
            targets.add(name.rsplit(".", 1)[1])
        ranks.add(one.up[0].shape[1])
        scales.add(one.scale)
    if len(ranks) != 1 or len(scales) != 1:
        raise InputError(f"the model has adapters of {len(ranks)} ranks; this form holds one: set policy.rank.")
    rank, scale = ranks.pop(), scales.pop()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base or None,
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": 0.0,
        "target_modules": sorted(targets),
        "bias": "none",
        "fan_in_fan_out": bool(decoder.turned),
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def read(decoder: Decoder, folder: Path) -> None:
    """Puts the adapters of a folder on a decoder, which is frozen but for them.

    Raises InputError for a folder without any, of another kind, or made for a model of other sizes.
    """
    rank, alpha = _config(folder, bool(decoder.turned))
    tensors = _tensors(folder)
    found: list[tuple[Projection, list[tuple[Tensor, Tensor] | None]]] = []
    for one, names in decoder.placed():
        pairs = [_pair(tensors, WITHIN + name, (rank, one.weight.shape[1]), rows, folder)
                 for name, rows in zip(names, one.parts, strict=True)]  # fmt: skip
        if any(pair is not None for pair in pairs):
            found.append((one, pairs))
    if tensors or not found:
        left = min(tensors, default="nothing")
        raise InputError(f"{folder} holds {left}, for which this model has no place: name adapters made for it.")
    decoder.requires_grad_(False)
    for one, pairs in found:
        _put(one, pairs, rank, alpha)


def _config(folder: Path, turned: bool) -> tuple[int, float]:
    """Rank, and alpha as if the scale were alpha over rank."""
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, rank, alpha = config["peft_type"], int(config["r"]), float(config["lora_alpha"])
        usual = {**PLAIN, "fan_in_fan_out": turned}
        odd = [key for key, plain in usual.items() if config.get(key, plain) not in (plain, None)]
        rooted = bool(config.get("use_rslora"))  # Kalajdzievski, arXiv:2312.03732: alpha over the root of the rank
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder} holds no adapters of PEFT ({error!r}): name a folder with {CONFIG}.") from error
    if kind != "LORA" or odd or rank < 1:
        what = f"{odd[0]} = {config[odd[0]]!r}" if odd else f"the type {kind} and rank {rank}"
        raise InputError(f"{folder} has adapters with {what}; plain LORA ones can be read: merge these into the model.")
    return rank, alpha * rank**0.5 if rooted else alpha


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder} holds no readable {WEIGHTS} ({error}): save it with safetensors.") from error


def _pair(
    tensors: dict[str, Tensor], name: str, low: tuple[int, int], rows: int, folder: Path
) -> tuple[Tensor, Tensor] | None:
    """Both halves of one adapter, taken out of `tensors`; None where there is none."""
    one, other = (tensors.pop(f"{name}.lora_{half}.weight", None) for half in "AB")
    if one is None and other is None:
        return None
    if one is None or other is None or one.shape != low or other.shape != (rows, low[0]):
        sizes = [None if half is None else tuple(half.shape) for half in (one, other)]
        raise InputError(
            f"{folder} has {name} as {sizes[0]} and {sizes[1]} where {low} and {(rows, low[0])} belong: "
            "name adapters made for this model."
        )
    return one, other


@torch.no_grad()
def _put(one: Projection, pairs: Sequence[tuple[Tensor, Tensor] | None], rank: int, alpha: float) -> None:
    """Adapters on one product; a part without one gets zeros, which add nothing."""
    one.adapt(rank, alpha, torch.Generator())
    assert one.down is not None and one.up is not None
    one.down.zero_()
    for low, high, pair in zip(one.down.chunk(len(pairs)), one.up, pairs, strict=True):
        if pair is not None:
            low.copy_(pair[0])
            high.copy_(pair[1])
