"""Attention in training: rows that stand alone, and responses that go on from prompts which are read once.

A prompt with its responses is a fork: a stem and branches. A branch's token reads the stem and what comes before it in
its own branch. That is what it reads in a row of prompt and response, so nothing else is computed than with the prompt
repeated for each; but prompts are computed once, also backwards, where their gradients add up.

Everything but attention goes token by token, over all tokens laid end to end without a pad. `Fork` says where in that
line the tokens of the rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Fork:
    """Stems, then branches, each kind as rows padded on the right; `there` and `back` are each other's inverse."""

    stems: tuple[int, int]  # rows and times
    branches: tuple[int, int]
    there: Int[Tensor, "place"]  # of each place of the padded rows, the token in the line; a pad's is any
    back: Int[Tensor, "token"]  # of each token in the line, its place
    pads: Int[Tensor, "pad"]  # the places where no token is
    stem: Int[Tensor, "branch"]  # from which a branch goes on
    reads: Bool[Tensor, "branch 1 time read"]  # which places of its stem and of itself a branch's token reads

    def to(self, device: torch.device) -> Fork:
        """The same on a device."""
        parts = (self.there, self.back, self.pads, self.stem, self.reads)
        return Fork(self.stems, self.branches, *(part.to(device) for part in parts))


def fork(stems: Sequence[int], branches: Sequence[int], stem: Sequence[int]) -> Fork:
    """Of stems and branches of those lengths, which stand in the line one after another, stems first."""
    lengths = torch.tensor([*stems, *branches])
    tall, wide = max(stems), max((*branches, 1))
    row = torch.tensor([*range(0, len(stems) * tall, tall), *range(0, len(branches) * wide, wide)])
    row[len(stems) :] += len(stems) * tall
    within = torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    back = row.repeat_interleave(lengths) + within
    there = torch.full((len(stems) * tall + len(branches) * wide,), -1)
    there[back] = torch.arange(len(back))
    pads = (there < 0).nonzero()[:, 0]
    which = torch.tensor(stem, dtype=torch.long)
    above = torch.arange(tall) < torch.tensor(stems)[which, None]
    own = torch.ones(wide, wide, dtype=torch.bool).tril()
    reads = torch.cat([above[:, None].expand(-1, wide, -1), own.expand(len(branches), -1, -1)], 2)
    return Fork((len(stems), tall), (len(branches), wide), there.clamp(min=0), back, pads, which, reads[:, None])


def attention(
    query: Float[Tensor, "row time head number"],
    key: Float[Tensor, "row time kv number"],
    value: Float[Tensor, "row time kv number"],
) -> Float[Tensor, "row time head number"]:
    """Causal: a token reads those before it and itself."""
    return _attended(query, key, value, None)


def _attended(
    query: Float[Tensor, "row time head number"],
    key: Float[Tensor, "row read kv number"],
    value: Float[Tensor, "row read kv number"],
    reads: Bool[Tensor, "row 1 time read"] | None,
) -> Float[Tensor, "row time head number"]:
    """Causal where `reads` is None. In float32 on a processor, whose kernel takes twice as long for bfloat16."""
    wanted = query.dtype if query.is_cuda else torch.float32
    laid = [x.to(wanted).transpose(1, 2) for x in (query, key, value)]
    grouped = query.shape[2] != key.shape[2]
    mixed = F.scaled_dot_product_attention(*laid, attn_mask=reads, is_causal=reads is None, enable_gqa=grouped)
    return mixed.transpose(1, 2).to(query.dtype)


def forked(
    x: Float[Tensor, "token head number"], parts: tuple[int, int, int], by: Fork
) -> Float[Tensor, "token query number"]:
    """Of all tokens in the line, from their queries, keys and values, `parts` heads of each."""
    heads, kv, _ = parts
    laid = _Moved.apply(x, by.there, by.back, None)
    cut = by.stems[0] * by.stems[1]
    above, own = laid[:cut].unflatten(0, by.stems), laid[cut:].unflatten(0, by.branches)
    stem = attention(*above.split(parts, 2))
    asked = own[:, :, :heads]
    both = torch.cat([above[:, :, heads:].index_select(0, by.stem), own[:, :, heads:]], 1)
    read, told = both.split(kv, 2)
    if heads != kv and x.is_cuda:  # with a mask no kernel there reads grouped heads
        read, told = (one.repeat_interleave(heads // kv, 2) for one in (read, told))
    branch = _attended(asked, read, told, by.reads)
    mixed = torch.cat([stem.flatten(0, 1), branch.flatten(0, 1)])
    return _Moved.apply(mixed, by.back, by.there, by.pads)


class _Moved(torch.autograd.Function):
    """Rows by their numbers, where the way back is known too: a gradient goes it, and is 0 at what are pads here."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor, pads: Tensor | None) -> Tensor:
        ctx.save_for_backward(back)
        ctx.pads = pads
        return x.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        slope = slopes[0].index_select(0, ctx.saved_tensors[0])
        return slope if ctx.pads is None else slope.index_fill_(0, ctx.pads, 0.0), None, None, None
