"""Models in a .gguf file, as llama.cpp has them: turned into a folder once, through Transformers, and read from there.

The folder stands in the cache under the file's SHA-256. Quantised weights are written out in float32, four bytes each.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

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
    with tempfile.TemporaryDirectory() as alone:  # what else lies beside the file would be read too
        (Path(alone) / file.name).symlink_to(file.resolve())
        model, tokenizer = _read(file, alone)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _trim(folder / "tokenizer.json", model.config.vocab_size)


def _read(file: Path, alone: str) -> tuple[Any, Any]:
    """The model and the tokenizer of the file in a folder where nothing else is."""
    try:
        import gguf
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging
    except ImportError as error:
        raise InputError(f"{file} cannot be read yet ({error}): pip install -U transformers gguf.") from error
    logging.disable_progress_bar()
    try:
        beyond = _stretched(gguf.GGUFReader(file))
        config = AutoConfig.from_pretrained(alone, gguf_file=file.name, local_files_only=True)
        if config.model_type not in FAMILIES:
            beyond = f'the type "{config.model_type}", which is none of {", ".join(FAMILIES)}'
        if not beyond:
            tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=file.name, local_files_only=True)
            whole = GgufConfig(dequantize=True)
            return AutoModelForCausalLM.from_pretrained(
                alone, gguf_file=file.name, local_files_only=True, dtype=torch.float32, quantization_config=whole
            ), tokenizer
    except Exception as error:  # a reader of foreign files may raise anything
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{file} holds no model that Transformers reads ({said}): fetch the file anew.") from error
    raise InputError(f"{file} has {beyond}: name another model, or its folder of Transformers if there is one.")


def _stretched(reader: Any) -> str:
    """What a file says of stretched rotary positions, as Llama 3.1 has them: Transformers would pass over it."""
    kinds = [str(field.contents()) for key, field in reader.fields.items() if key.endswith(".rope.scaling.type")]
    factors = [one.data for one in reader.tensors if one.name == "rope_freqs.weight"]
    stretched = any(kind != "none" for kind in kinds) or any((one != 1.0).any() for one in factors)
    return "stretched rotary positions, which get lost on the way out of such a file" if stretched else ""


def _trim(path: Path, vocabulary: int) -> None:
    """Takes out tokens that the model has no place for: GPT-2's end of text, which Transformers adds to its like."""
    said = json.loads(path.read_text(encoding="utf-8"))
    said["added_tokens"] = [token for token in said["added_tokens"] if token["id"] < vocabulary]
    path.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
