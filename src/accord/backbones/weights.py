"""Weights of a decoder as files: folders as Transformers writes them, safetensors only, read and written.

The architectures are those that `Shape` can say: Llama (SmolLM2 too), Mistral, Qwen2, Qwen3. Rows are kept within a
sliding window where a model has one, so that it makes no difference.
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

from accord.backbones.decoder import Decoder, Shape, Stretch
from accord.types import InputError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth")
NEEDLESS = ("lm_head.weight", "rotary_emb.inv_freq")  # the embedding once more; what is computed
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class Described:
    """A configuration as read: the shape, and what has to be written back with the weights."""

    shape: Shape
    config: Mapping[str, Any]


def configuration(folder: Path) -> dict[str, Any]:
    """`config.json` as it is. Raises InputError for a folder without one."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no language model ({error}): name a folder with {CONFIG}.") from error
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG} says no whole shape (it is no object): restore the file.")
    return config


def described(folder: Path) -> Described:
    """Reads `config.json`. Raises InputError for a folder without one, or an architecture that is not known."""
    config = configuration(folder)
    try:
        if other := beyond(config):
            raise InputError(
                f"{folder} has {other}, which cannot be read; what can is {', '.join(FAMILIES)} as they usually are: "
                "name such a model."
            )
        return Described(_shape(config), config)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{folder / CONFIG} says no whole shape ({error!r}): restore the file.") from error


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of rotary positions: since Transformers 5 in one place, before beside `rope_theta`."""
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = config.get("rope_theta") or said.get("rope_theta") or 10_000.0
    return {**said, "rope_theta": base, "rope_type": said.get("rope_type", said.get("type", "default"))}


def beyond(config: Mapping[str, Any]) -> str:
    """What a configuration asks for that `Shape` cannot say; empty where there is nothing."""
    family, rope = config.get("model_type"), _rope(config)
    asked = (
        (family not in FAMILIES, f'the type "{family}"'),
        (rope["rope_type"] not in ("default", "llama3"), f"rotary positions of the kind {rope['rope_type']}"),
        (rope.get("partial_rotary_factor", 1.0) != 1.0, "rotary positions in a part of each head"),
        (config.get("hidden_act", "silu") != "silu", f"the activation {config.get('hidden_act')}"),
        (family in ("llama", "qwen3") and config.get("attention_bias"), "a bias on the output of attention"),
        (config.get("mlp_bias"), "biases on the feed-forward layers"),
        (config.get("quantization_config"), "quantised weights"),
    )
    return next((what for wrong, what in asked if wrong), "")


def _shape(config: Mapping[str, Any]) -> Shape:
    heads, width, rope = config["num_attention_heads"], config["hidden_size"], _rope(config)
    context, window = config["max_position_embeddings"], config.get("sliding_window")
    if window and (config["model_type"] == "mistral" or config.get("use_sliding_window")):
        context = min(context, window)  # no token of a row so long looks beyond it
    stretch = None
    if rope["rope_type"] == "llama3":
        original = rope.get("original_max_position_embeddings") or config["max_position_embeddings"]
        factor, low, high = (float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
        stretch = Stretch(factor, low, high, int(original))
    sizes = {
        "width": width,
        "inner": config["intermediate_size"],
        "layers": config["num_hidden_layers"],
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head": config.get("head_dim") or width // heads,
        "vocabulary": config["vocab_size"],
        "context": context,
    }
    if wrong := [name for name, size in sizes.items() if not isinstance(size, int) or size < 1]:
        raise ValueError(f"{wrong[0]} is {sizes[wrong[0]]!r}")
    return Shape(
        **sizes,
        epsilon=float(config["rms_norm_eps"]),
        base=float(rope["rope_theta"]),
        tied=bool(config.get("tie_word_embeddings", False)),
        bias=config["model_type"] == "qwen2",
        normed=config["model_type"] == "qwen3",
        stretch=stretch,
    )


def read(folder: Path, dtype: torch.dtype = torch.float32) -> Decoder:
    """The decoder in a folder. Raises InputError where files are missing, or hold other tensors than are needed."""
    return from_named(described(folder).shape, tensors_of(folder), dtype, str(folder))


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, in one file or in several that an index names."""
    whole = any((folder / name).is_file() for name in (WEIGHTS, INDEX))
    if not whole and any(path for kind in PICKLED for path in folder.glob(kind)):
        raise InputError(
            f"{folder} holds its weights as pickle, which can run code when read: save the model with safetensors."
        )
    try:
        names = {WEIGHTS}
        if (folder / INDEX).is_file():
            names = {*json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()}
        found: dict[str, Tensor] = {}
        for name in sorted(names):
            if Path(name).name != name:
                raise InputError(f'{folder / INDEX} names the file "{name}" outside its folder: mend it.')
            found |= load_file(folder / name)
        return found
    except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError) as error:
        raise InputError(f"{folder} holds no readable {WEIGHTS} ({error}): save the model with safetensors.") from error


def from_named(shape: Shape, tensors: Mapping[str, Tensor], dtype: torch.dtype, where: str) -> Decoder:
    """A decoder from tensors under the names of `LlamaForCausalLM`.

    Raises InputError where one is missing, of another size, or there without a place: it would be left out silently.
    """
    with torch.device("meta"):
        decoder = Decoder(shape)
    decoder.to_empty(device="cpu").to(dtype)
    fresh = Decoder(Shape(**{**shape.__dict__, "layers": 0}))
    decoder.cosine, decoder.sine = fresh.cosine, fresh.sine  # which stay in float32
    known: set[str] = set()
    with torch.no_grad():
        for ours, theirs in decoder.named():
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
            known.update(theirs)
    if left := [name for name in sorted({*tensors} - known) if not name.endswith(NEEDLESS)]:
        raise InputError(f"{where} holds the tensor {left[0]}, for which such a decoder has no place: name another.")
    return decoder


def write(
    decoder: Decoder,
    config: Mapping[str, Any],
    folder: Path,
    dtype: torch.dtype = torch.float32,
    head: Mapping[str, Tensor] | None = None,
) -> None:
    """A folder that Transformers and vLLM load; adapters are merged. `head` stands in place of the output."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: one.to("cpu", dtype) for name, one in decoder.tensors().items()}
    if head is not None:
        tensors.pop("lm_head.weight", None)
        tensors |= {name: one.detach().to("cpu", dtype) for name, one in head.items()}
    save_file({name: one.contiguous() for name, one in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    said = {key: value for key, value in config.items() if key != "torch_dtype"}  # the old word for the next
    said["dtype"] = str(dtype).removeprefix("torch.")
    (folder / CONFIG).write_text(json.dumps(said, indent=1), encoding="utf-8")


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
        "attention_bias": False,
    }
