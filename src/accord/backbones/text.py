"""A language model by its name or place: weights and tokenizer together.

smollm2            SmolLM2-135M-Instruct, brought by `accord fetch smollm2`
FOLDER             as Transformers writes it; run by our decoder, or by Transformers where it is of another family
FILE.gguf          converted once into a folder, which is kept in the cache
FILE.bin           of llama2.c, with tok512.bin beside it
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from accord import runtime
from accord.backbones import fetch, gguf, story, tokens, weights
from accord.backbones.decoder import Decoder
from accord.backbones.tokens import Tokenizer
from accord.types import InputError

SMALL, STORY_TOKENS = "smollm2", "tok512.bin"
LARGE = 10**8  # weights from which a processor learns in bfloat16: 1.4 times as fast at 135 million


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A decoder, its tokenizer, and the configuration with which it is written back."""

    decoder: Decoder
    tokenizer: Tokenizer
    config: Mapping[str, Any]
    place: Path


def load(name: str, dtype: torch.dtype = torch.float32, chat: bool | None = None) -> LanguageModel:
    """The model of that name or place. Raises InputError where it is not there, or its parts do not fit together."""
    place = Path(name)
    if place.is_file() and place.suffix == ".bin":
        decoder, tokenizer = story.read(place, dtype), story.StoryTokens(place.with_name(STORY_TOKENS))
        found = LanguageModel(decoder, tokenizer, weights.config_of(decoder.shape), place)
    else:
        folder = _folder(name)
        config = weights.configuration(folder)
        decoder = _foreign(folder, dtype) if weights.beyond(config) else weights.read(folder, dtype)
        found = LanguageModel(decoder, tokens.FolderTokens(folder, chat), config, folder)
    tokens.check(found.tokenizer, found.decoder.shape.vocabulary, name)
    return found


def numbers(name: str) -> int:
    """How many weights a model has, without reading them."""
    place = Path(name)
    if place.is_file() and place.suffix == ".bin":
        return place.stat().st_size // 4
    found = 0
    for path in _folder(name).glob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            found += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())
    return found


def quickest(decoder: Decoder, device: torch.device) -> torch.dtype:
    """The precision in which it learns fastest there: bfloat16 on a GPU, and where a processor gains by it."""
    weights = sum(one.numel() for one in decoder.parameters())
    low = device.type == "cuda" or (weights >= LARGE and runtime.products().bfloat16)
    return torch.bfloat16 if low else torch.float32


def _foreign(folder: Path, dtype: torch.dtype) -> Decoder:
    """A model that Transformers has to run."""
    try:
        from accord.backbones import foreign  # which imports Transformers: seconds that others need not wait for
    except ModuleNotFoundError as error:
        raise InputError(f"{folder} needs Transformers ({error}): pip install 'accord[text]' and run again.") from error
    return foreign.read(folder).moved(torch.device("cpu"), dtype)


def _folder(name: str) -> Path:
    """The folder, as Transformers writes them, of the model that a name stands for."""
    place = Path(name)
    if name == SMALL:
        return fetch.found(name)
    if name and place.is_dir():
        return place
    if place.is_file() and place.suffix == ".gguf":
        return gguf.converted(place)
    raise InputError(
        f'"{name}" is no language model here: name {SMALL}, a folder, a .gguf file or a .bin file of llama2.c.'
    )
