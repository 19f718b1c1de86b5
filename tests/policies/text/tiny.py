"""A decoder of a few thousand weights with a tokenizer of letters: what the tests of text policies share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from accord.backbones.decoder import Decoder, Shape
from accord.backbones.text import LanguageModel
from accord.backbones.weights import config_of
from accord.types import Reply

SHAPE = Shape(16, 32, 2, 4, 2, 4, 32, 64)
LETTERS = " abcdefghijklmnopqrstuvwxyz.,!?"  # 31 of them; the 32nd token is the end


@dataclass(frozen=True)
class Letters:
    """One token a letter."""

    end: int = 31
    size: int = 32
    hash: str = "letters"

    def encode(self, text: str) -> list[int]:
        return [LETTERS.index(letter) for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(LETTERS[id] for id in ids if id < len(LETTERS))

    def asked(self, prompt: str) -> list[int]:
        return self.encode(prompt)


def decoder(seed: int = 0, spread: float = 0.4, shape: Shape = SHAPE) -> Decoder:
    made = Decoder(shape)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in made.parameters():
            if one.dim() > 1:
                one.copy_(spread * torch.randn(one.shape, generator=generator))
    return made


def model(seed: int = 0) -> LanguageModel:
    return LanguageModel(decoder(seed), Letters(), config_of(SHAPE), Path())


@dataclass(frozen=True, eq=False)
class Valued:
    mean: torch.Tensor
    spread: torch.Tensor


class Counts:
    """A reward that is easy to learn: the share of the letter `a` among the letters."""

    version = 1

    def __call__(self, replies: Sequence[Reply]) -> Valued:
        mean = torch.tensor([one.response.count("a") / max(1, len(one.response)) for one in replies])
        return Valued(mean, torch.zeros_like(mean))


class Prompts:
    """Prompts to draw from, and how many responses were counted."""

    def __init__(self) -> None:
        self.taken = 0

    def draw(self, count: int, seed: int) -> list[str]:
        return list(np.random.default_rng(seed).choice(["ab", "hello", "to be", "x"], count))

    def took(self, responses: int) -> None:
        self.taken += responses
