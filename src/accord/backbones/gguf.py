"""Models in a .gguf file, as llama.cpp has them: turned into a folder once, through Transformers, and read from there.

The folder stands in the cache under the file's SHA-256. Quantised weights are written out in float32, four bytes each.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from accord.backbones import cache
from accord.backbones.weights import FAMILIES
from accord.durable import hash_file
from accord.types import InputError


def place(sha256: str) -> Path:
    """Where the model in a file of that hash is kept."""
    return cache.folder() / "gguf" / sha256


def converted(file: Path) -> Path:
    """The folder of a file's model, made where it is not there. Raises InputError for a file that is no such model."""
    return cache.made(place(hash_file(file)), lambda folder: _convert(file, folder))


def _convert(file: Path, folder: Path) -> None:
    """Half a minute for 135 million weights."""
    try:
        import gguf  # noqa: F401  # Transformers reads the file with it, and would say so only after a while
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging
    except ImportError as error:
        raise InputError(
            f"{file} cannot be read without all of 'accord[text]' ({error}): pip install -U it."
        ) from error
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as alone:  # what else lies beside the file would be read too
        (Path(alone) / file.name).symlink_to(file.resolve())
        try:
            config = AutoConfig.from_pretrained(alone, gguf_file=file.name, local_files_only=True)
            if config.model_type in FAMILIES:
                tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=file.name, local_files_only=True)
                model = AutoModelForCausalLM.from_pretrained(
                    alone,
                    gguf_file=file.name,
                    local_files_only=True,
                    dtype=torch.float32,
                    quantization_config=GgufConfig(dequantize=True),
                )
        except Exception as error:  # a reader of foreign files may raise anything
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{file} holds no model that Transformers reads ({said}): fetch the file anew.") from error
    if config.model_type not in FAMILIES:
        raise InputError(
            f'{file} is a model of the type "{config.model_type}"; those that can be read are {", ".join(FAMILIES)}: '
            "name such a one."
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
