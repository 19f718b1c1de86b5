"""Models in the format of karpathy/llama2.c: one file of float32 weights, one of the tokenizer's pieces.

The 260,000 parameters of stories260K write stories of a few sentences, so that a test of everything takes seconds.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accord.backbones.decoder import Decoder, Shape
from accord.backbones.weights import from_named
from accord.types import InputError

UNKNOWN, BEGIN, FIRST_BYTE, FIRST_PIECE = 0, 1, 3, 259


def read(path: Path, dtype: torch.dtype = torch.float32) -> Decoder:
    """The decoder in a `.bin` file. Raises InputError where its size is not what its head says."""
    try:
        whole = path.read_bytes()
        width, inner, layers, heads, kv_heads, vocabulary, context = struct.unpack_from("<7i", whole)
    except (OSError, struct.error) as error:
        raise InputError(f"{path} holds no model of llama2.c ({error}): name its .bin file.") from error
    head = width // heads if heads > 0 else 0
    shape = Shape(width, inner, layers, heads, kv_heads, head, vocabulary, context)
    sizes = _sizes(shape)
    numbers = np.frombuffer(whole, "<f4", offset=28)
    if min(width, inner, layers, heads, kv_heads, vocabulary, context) < 1 or len(numbers) != sum(
        int(np.prod(size)) for size in sizes.values()
    ):
        raise InputError(f"{path} holds {len(numbers):,} numbers, which is not what its head says: fetch it anew.")
    found, at = {}, 0
    for name, size in sizes.items():
        many = int(np.prod(size))
        found[name] = torch.from_numpy(numbers[at : at + many].reshape(size).copy())
        at += many
    return from_named(shape, _named(shape, found), dtype, str(path))


def _sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    layers, width, inner = shape.layers, shape.width, shape.inner
    query, key = shape.heads * shape.head, shape.kv_heads * shape.head
    return {
        "embed_tokens": (shape.vocabulary, width),
        "input_layernorm": (layers, width),
        "self_attn.q_proj": (layers, query, width),
        "self_attn.k_proj": (layers, key, width),
        "self_attn.v_proj": (layers, key, width),
        "self_attn.o_proj": (layers, width, query),
        "post_attention_layernorm": (layers, width),
        "mlp.gate_proj": (layers, inner, width),
        "mlp.down_proj": (layers, width, inner),
        "mlp.up_proj": (layers, inner, width),
        "norm": (width,),
        "rotary": (shape.context * shape.head,),
    }


def _named(shape: Shape, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under the names of Llama, whose heads turn halves where these turn neighbours."""
    named = {"model.embed_tokens.weight": found["embed_tokens"], "model.norm.weight": found["norm"]}
    order = torch.cat([torch.arange(0, shape.head, 2), torch.arange(1, shape.head, 2)])
    for name, stacked in found.items():
        for layer in range(shape.layers if name not in ("embed_tokens", "norm", "rotary") else 0):
            one = stacked[layer]
            if name in ("self_attn.q_proj", "self_attn.k_proj"):
                one = one.view(-1, shape.head, shape.width)[:, order].reshape(-1, shape.width)
            named[f"model.layers.{layer}.{name}.weight"] = one
    return named


class StoryTokens:
    """The tokenizer beside it: pieces merged by score. A story begins with `begin`, which also ends the one before."""

    begin = end = BEGIN

    def __init__(self, path: Path) -> None:
        try:
            whole = path.read_bytes()
            self.pieces, self.scores = _pieces(whole)
        except (OSError, struct.error) as error:
            raise InputError(f"{path} holds no tokenizer of llama2.c ({error}): name its tok512.bin.") from error
        self.place = {piece: number for number, piece in enumerate(self.pieces) if number >= FIRST_PIECE}
        self.size, self.hash, self.templated = len(self.pieces), sha256(whole).hexdigest(), False

    def encode(self, text: str) -> list[int]:
        """Ids of a text from its beginning: `begin` first, then a space before the first word."""
        ids = [BEGIN]
        if not text:
            return ids
        for letter in " " + text:
            raw = letter.encode("utf-8")
            known = self.place.get(raw)
            ids += [known] if known is not None else [byte + FIRST_BYTE for byte in raw]
        while (best := self._best(ids)) is not None:
            at, joined = best
            ids[at : at + 2] = [joined]
        return ids

    def _best(self, ids: Sequence[int]) -> tuple[int, int] | None:
        """Where the pair stands whose join has the highest score (the leftmost of equals), and the join."""
        found: tuple[float, int, int] | None = None
        for at, (one, other) in enumerate(itertools.pairwise(ids)):
            joined = self.place.get(self.pieces[one] + self.pieces[other])
            if joined is not None and (found is None or self.scores[joined] > found[0]):
                found = self.scores[joined], at, joined
        return None if found is None else found[1:]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; what is no text, the marks of beginning and end, is left out."""
        raw = b"".join(self._bytes(id) for id in ids)
        return raw.decode("utf-8", errors="replace")

    def _bytes(self, id: int) -> bytes:
        if id < FIRST_BYTE:
            return b""
        return bytes([id - FIRST_BYTE]) if id < FIRST_PIECE else self.pieces[id]

    def asked(self, prompt: str) -> list[int]:
        """Ids of a prompt that is to be continued."""
        return self.encode(prompt)


def _pieces(whole: bytes) -> tuple[list[bytes], list[float]]:
    at, pieces, scores = 4, [], []
    while at < len(whole):
        score, long = struct.unpack_from("<fi", whole, at)
        at += 8
        pieces.append(whole[at : at + long])
        scores.append(score)
        at += long
    return pieces, scores
