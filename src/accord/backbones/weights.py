"""Weights of a decoder as files: folders as Transformers writes them, safetensors only, read and written.

The architectures are those that `Shape` can say: Llama (SmolLM2 too), Mistral without a sliding window, Qwen2, Qwen3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.backbones.decoder import Decoder, Shape
from accord.types import InputError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
WHOLE = (("norm_attention", "input_layernorm"), ("norm_feed", "post_attention_layernorm"))  # ours, theirs
NORMS = (("norm_query", "self_attn.q_norm"), ("norm_key", "self_attn.k_norm"))
FUSED = {  # ours: theirs, in the order of `Projection.parts`
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@dataclass(frozen=True)
class Described:
    """A configuration as read: the shape, and what has to be written back with the weights."""

    shape: Shape
    config: Mapping[str, Any]


def described(folder: Path) -> Described:
    """Reads `config.json`. Raises InputError for a folder without one, or an architecture that is not known."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no language model ({error}): name a folder with {CONFIG}.") from error
    family = config.get("model_type")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if family not in FAMILIES or kind != "default" or config.get("use_sliding_window"):
        raise InputError(
            f'{folder} is a model of type "{family}" with {kind} rotary positions; these can be read: '
            f"{', '.join(FAMILIES)}, with default ones: name such a model."
        )
    heads, width = config["num_attention_heads"], config["hidden_size"]
    shape = Shape(
        width=width,
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head=config.get("head_dim") or width // heads,
        vocabulary=config["vocab_size"],
        context=config["max_position_embeddings"],
        epsilon=config["rms_norm_eps"],
        base=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
        tied=bool(config.get("tie_word_embeddings", False)),
        bias=bool(config.get("attention_bias", family == "qwen2")),
        normed=family == "qwen3",
    )
    return Described(shape, config)


def read(folder: Path, dtype: torch.dtype = torch.float32) -> Decoder:
    """The decoder in a folder. Raises InputError where files are missing, or hold other tensors than are needed."""
    tensors = _tensors(folder)
    decoder = from_named(described(folder).shape, tensors, dtype, str(folder))
    return decoder


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        names = {WEIGHTS}
        if (folder / INDEX).is_file():
            names = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        found: dict[str, Tensor] = {}
        for name in sorted(names):
            if Path(name).name != name:
                raise InputError(f'{folder / INDEX} names the file "{name}" outside its folder: mend it.')
            found |= load_file(folder / name)
        return found
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder} holds no readable {WEIGHTS} ({error}): save the model with safetensors.") from error


def from_named(shape: Shape, tensors: Mapping[str, Tensor], dtype: torch.dtype, where: str) -> Decoder:
    """A decoder from tensors under the names of `LlamaForCausalLM`."""
    with torch.device("meta"):
        decoder = Decoder(shape)
    decoder.to_empty(device="cpu").to(dtype)
    fresh = Decoder(Shape(**{**shape.__dict__, "layers": 0}))
    decoder.cosine, decoder.sine = fresh.cosine, fresh.sine  # which stay in float32
    with torch.no_grad():
        for ours, theirs in named(decoder):
            try:
                found = torch.cat([tensors[name] for name in theirs])
            except KeyError as error:
                raise InputError(f"{where} lacks the tensor {error}: it is no whole model.") from error
            if found.shape != ours.shape:
                raise InputError(
                    f"{where} has {theirs[0]} as {tuple(found.shape)} where its configuration says "
                    f"{tuple(ours.shape)}: its files do not belong together."
                )
            ours.copy_(found)
    return decoder


def named(decoder: Decoder) -> list[tuple[Tensor, tuple[str, ...]]]:
    """Every weight with the names of its parts in `LlamaForCausalLM`."""
    found: list[tuple[Tensor, tuple[str, ...]]] = [
        (decoder.embedding, ("model.embed_tokens.weight",)),
        (decoder.norm, ("model.norm.weight",)),
    ]
    if decoder.output is not None:
        found.append((decoder.output, ("lm_head.weight",)))
    for i, block in enumerate(decoder.blocks):
        at = f"model.layers.{i}."
        found += [(getattr(block, ours), (f"{at}{theirs}.weight",)) for ours, theirs in WHOLE]
        if decoder.shape.normed:
            found += [(getattr(block, ours), (f"{at}{theirs}.weight",)) for ours, theirs in NORMS]
        for ours, theirs in FUSED.items():
            one = getattr(block, ours)
            found.append((one.weight, tuple(f"{at}{name}.weight" for name in theirs)))
            if one.bias is not None:
                found.append((one.bias, tuple(f"{at}{name}.bias" for name in theirs)))
    return found


def write(decoder: Decoder, config: Mapping[str, Any], folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """A folder that Transformers and vLLM load; adapters are merged."""
    folder.mkdir(parents=True, exist_ok=True)
    merged = {id(one.weight): one.merged() for _, one in decoder.projections()}
    rows = {id(one.weight): one.parts for _, one in decoder.projections()}
    rows |= {id(one.bias): one.parts for _, one in decoder.projections() if one.bias is not None}
    tensors: dict[str, Tensor] = {}
    for ours, theirs in named(decoder):
        whole = merged.get(id(ours), ours).detach().to("cpu", dtype)
        tensors |= zip(theirs, whole.split(rows.get(id(ours), (len(whole),))), strict=True)
    save_file({name: one.contiguous() for name, one in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    kind = str(dtype).removeprefix("torch.")
    (folder / CONFIG).write_text(json.dumps({**config, "dtype": kind}, indent=1), encoding="utf-8")


def config_of(shape: Shape) -> dict[str, Any]:
    """A `config.json` for a decoder that came from elsewhere, as a Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.base,
        "tie_word_embeddings": shape.tied,
        "attention_bias": shape.bias,
    }
