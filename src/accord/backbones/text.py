"""A language model by its name or place: weights and tokenizer together.

smollm2            SmolLM2-135M-Instruct, brought by `accord fetch smollm2`
FOLDER             as Transformers writes it
FILE.gguf          converted once into a folder, which is kept
FILE.bin           of llama2.c, with tok512.bin beside it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from accord.backbones import story, tokens, weights
from accord.backbones.decoder import Decoder
from accord.backbones.tokens import Tokenizer
from accord.types import InputError

STORY_TOKENS = "tok512.bin"


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
    elif place.is_dir():
        described = weights.described(place)
        tokenizer = tokens.FolderTokens(place, chat)
        found = LanguageModel(weights.read(place, dtype), tokenizer, described.config, place)
    else:
        raise InputError(f'"{name}" is no language model here: name a folder, a .gguf file or a .bin file of llama2.c.')
    tokens.check(found.tokenizer, found.decoder.shape.vocabulary, name)
    return found
