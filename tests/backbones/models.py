"""Tiny language models as Transformers makes them, with random weights, and what they say of rows of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from accord.backbones.decoder import Decoder

VOCABULARY, CONTEXT = 97, 64
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT}  # fmt: skip
PLAIN = {"rope_type": "default"}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}  # fmt: skip
KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama tied": ("Llama", {"tie_word_embeddings": True}),
    "llama untied": ("Llama", {"tie_word_embeddings": False, "rope_parameters": PLAIN | {"rope_theta": 5e5}}),
    "llama 3": ("Llama", {"rope_parameters": LLAMA3}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 16}),
    "mistral within its window": ("Mistral", {"sliding_window": 24}),
    "qwen 2": ("Qwen2", {"tie_word_embeddings": True, "rope_parameters": PLAIN | {"rope_theta": 1e6}}),
    "qwen 3": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
}  # fmt: skip


def made(kind: str, seed: int = 0, **more: Any) -> Any:
    """A model of Transformers."""
    family, said = KINDS[kind]
    return randomly(family, {**SIZES, **said, **more}, seed)


def randomly(family: str, said: Mapping[str, Any], seed: int = 0) -> Any:
    """Norms and biases are random too: as they usually begin, they would hide mistakes."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: no model was compared.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = getattr(transformers, f"{family}Config")(**said)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(torch.randn_like(weight) * (0.3 if weight.ndim == 1 else 0.1) + (weight.ndim == 1) * 0.7)
    return model


def saved(folder: Path, kind: str, seed: int = 0, **more: Any) -> Any:
    """The same, written to a folder."""
    model = made(kind, seed, **more)
    model.save_pretrained(folder)
    return model


def padded(lengths: tuple[int, ...] = (20, 7, 13), seed: int = 1) -> tuple[Tensor, Tensor]:
    """Rows of tokens padded on the right, and where they are no pads."""
    tokens = torch.randint(VOCABULARY, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    return tokens, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@torch.no_grad()
def theirs(model: Any, tokens: Tensor, valid: Tensor) -> Tensor:
    """Their logits at places that are no pads."""
    return model(input_ids=tokens, attention_mask=valid.long()).logits[valid]


@torch.no_grad()
def ours(decoder: Decoder, tokens: Tensor, valid: Tensor) -> Tensor:
    """Ours."""
    return (decoder(tokens) @ decoder.head.T)[valid]
