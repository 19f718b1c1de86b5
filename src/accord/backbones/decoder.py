"""A decoder-only transformer of the Llama family: one frozen shape, pure functions of weights, no padding on the left.

Llama (Touvron et al., arXiv:2302.13971), with grouped queries (Ainslie et al., arXiv:2305.13245), rotary positions
(Su et al., arXiv:2104.09864) and gated feed-forward layers (Shazeer, arXiv:2002.05202); biases of queries, keys and
values as Qwen2 has them, their norms as Qwen3. What differs from the usual implementations: in training a prompt is
read once, whatever the number of its responses (`attention.Fork`), and no pad is computed; queries, keys and values are
one product, gate and up another; in decoding each row has a position of its own, so that rows of any length go on side
by side.

Weights are read by `backbones.weights`; adapters stand in `Projection` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from accord.backbones.attention import Fork, attention, forked


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder. `context` is the longest row it was made for, in tokens."""

    width: int
    inner: int  # of the feed-forward layers
    layers: int
    heads: int
    kv_heads: int
    head: int  # numbers a head
    vocabulary: int
    context: int
    epsilon: float = 1e-5  # of the norms
    base: float = 10_000.0  # of the rotary frequencies
    tied: bool = True  # the output is the embedding
    bias: bool = False  # on queries, keys and values
    normed: bool = False  # queries and keys, head by head


@dataclass(frozen=True, eq=False)
class Cache:
    """Keys and values of rows that go on: [layer, row, kv head, place, number]."""

    keys: Float[Tensor, "layer row kv place head"]
    values: Float[Tensor, "layer row kv place head"]

    def rows(self, count: int, places: int) -> Cache:
        """The first rows and places, as views."""
        return Cache(self.keys[:, :count, :, :places], self.values[:, :count, :, :places])


class Projection(nn.Module):
    """x W' + b, of several outputs side by side, with a low-rank addition for each where adapters are there.

    Low-rank adaptation: Hu et al., arXiv:2106.09685, equation 3; B starts at 0. `parts` are the rows of each output.
    """

    def __init__(self, inputs: int, parts: tuple[int, ...], bias: bool = False) -> None:
        super().__init__()
        self.parts = parts
        self.weight = nn.Parameter(torch.empty(sum(parts), inputs))
        self.bias = nn.Parameter(torch.zeros(sum(parts))) if bias else None
        self.down: nn.Parameter | None = None  # [part x rank, input]
        self.up: nn.ParameterList | None = None  # [output of the part, rank]
        self.scale, self.adapted = 0.0, False

    def adapt(self, rank: int, alpha: float, generator: torch.Generator) -> None:
        """Adds adapters in float32: A by Kaiming's uniform law (the paper's code), B zero."""
        inputs = self.weight.shape[1]
        drawn = torch.rand(len(self.parts) * rank, inputs, generator=generator) * 2 - 1
        self.down = nn.Parameter((drawn / inputs**0.5).to(self.weight.device))
        self.up = nn.ParameterList([torch.zeros(rows, rank, device=self.weight.device) for rows in self.parts])
        self.scale, self.adapted = alpha / rank, True

    def forward(self, x: Float[Tensor, "*row input"]) -> Float[Tensor, "*row output"]:
        out = F.linear(x, self.weight, self.bias)
        if not self.adapted or self.down is None or self.up is None:
            return out
        low = F.linear(x, self.down.to(x.dtype) * self.scale).chunk(len(self.parts), -1)
        added = [F.linear(one, up.to(x.dtype)) for one, up in zip(low, self.up, strict=True)]
        return out + (added[0] if len(added) == 1 else torch.cat(added, -1))

    @torch.no_grad()
    def merged(self) -> Float[Tensor, "output input"]:
        """The weight with its adapters added, in float32 on the way."""
        if not self.adapted or self.down is None or self.up is None:
            return self.weight
        low = self.down.chunk(len(self.parts), 0)
        added = torch.cat([up @ one for up, one in zip(self.up, low, strict=True)])
        return (self.weight.float() + self.scale * added).to(self.weight.dtype)


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a norm and beside the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        query, key = shape.heads * shape.head, shape.kv_heads * shape.head
        self.norm_attention = nn.Parameter(torch.ones(shape.width))
        self.qkv = Projection(shape.width, (query, key, key), shape.bias)
        self.norm_query = nn.Parameter(torch.ones(shape.head)) if shape.normed else None
        self.norm_key = nn.Parameter(torch.ones(shape.head)) if shape.normed else None
        self.out = Projection(query, (shape.width,))
        self.norm_feed = nn.Parameter(torch.ones(shape.width))
        self.gate_up = Projection(shape.width, (shape.inner, shape.inner))
        self.down = Projection(shape.inner, (shape.width,))

    def forward(
        self, x: Float[Tensor, "row time width"], turn: tuple[Tensor, Tensor], cache: tuple[Tensor, Tensor] | None
    ) -> Float[Tensor, "row time width"]:
        """Whole rows from their beginning; keys and values are written to the first places of `cache`."""
        query, key, value = self._attended(x, turn)
        if cache is not None:
            for kept, new in zip(cache, (key, value), strict=True):
                kept[: len(x), :, : x.shape[1]] = new.transpose(1, 2)
        mixed = attention(query, key, value)
        return self._fed(x + self.out(mixed.flatten(2)))

    def fork(
        self, x: Float[Tensor, "token width"], turn: tuple[Tensor, Tensor], by: Fork
    ) -> Float[Tensor, "token width"]:
        """Prompts and the responses that go on from them, in one line."""
        mixed = forked(*self._attended(x, turn), by)
        return self._fed(x + self.out(mixed.flatten(1)))

    def step(
        self,
        x: Float[Tensor, "row width"],
        turn: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor],
        place: tuple[Tensor, Tensor],
        hidden: Float[Tensor, "row 1 1 place"],
    ) -> Float[Tensor, "row width"]:
        """One token a row. `place` is the row's number and position; `hidden` is -inf at places not yet written."""
        shape = self.shape
        query, key, value = self._attended(x.unsqueeze(1), turn)
        keys, values = cache
        keys[place[0], :, place[1]] = key[:, 0]
        values[place[0], :, place[1]] = value[:, 0]
        asked = query.view(len(x), shape.kv_heads, -1, shape.head) * shape.head**-0.5
        weight = (asked @ keys.transpose(2, 3) + hidden).softmax(-1, dtype=torch.float32).to(x.dtype)
        return self._fed(x + self.out((weight @ values).flatten(1)))

    def _attended(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [row, time, head, number], the first two turned by their positions."""
        shape = self.shape
        read = self.qkv(norm(x, self.norm_attention, shape.epsilon))
        read = read.unflatten(-1, (shape.heads + 2 * shape.kv_heads, shape.head))
        both, value = read.split((shape.heads + shape.kv_heads, shape.kv_heads), -2)
        if self.norm_query is not None and self.norm_key is not None:
            query, key = both.split((shape.heads, shape.kv_heads), -2)
            normed = norm(query, self.norm_query, shape.epsilon), norm(key, self.norm_key, shape.epsilon)
            both = torch.cat(normed, -2)
        query, key = rotated(both, *turn).split((shape.heads, shape.kv_heads), -2)
        return query, key, value

    def _fed(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row width"]:
        gate, up = self.gate_up(norm(x, self.norm_feed, self.shape.epsilon)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    """Tokens to hidden states, after the last norm; `head` is what they are multiplied by to be logits."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.norm = nn.Parameter(torch.ones(shape.width))
        self.output = None if shape.tied else nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        frequency = shape.base ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
        angle = torch.outer(torch.arange(shape.context, dtype=torch.float64), frequency)
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    cosine: Tensor
    sine: Tensor

    @property
    def head(self) -> Float[Tensor, "token width"]:
        return self.embedding if self.output is None else self.output

    def forward(self, tokens: Int[Tensor, "row time"], cache: Cache | None = None) -> Float[Tensor, "row time width"]:
        """Rows from their beginning, padded on the right with any token; `cache` is filled where one is given."""
        x = self.embedding[tokens]
        turn = self._turn(torch.arange(tokens.shape[1], device=tokens.device), x.dtype)
        for layer, block in enumerate(self.layers()):
            kept = None if cache is None else (cache.keys[layer], cache.values[layer])
            x = block(x, turn, kept)
        return norm(x, self.norm, self.shape.epsilon)

    def fork(
        self, tokens: Int[Tensor, "token"], position: Int[Tensor, "token"], by: Fork
    ) -> Float[Tensor, "token width"]:
        """Hidden states of prompts, each once, and of the responses that go on from them."""
        x = F.embedding(tokens, self.embedding)
        turn = self._turn(position, x.dtype)
        for block in self.layers():
            x = block.fork(x, turn, by)
        return norm(x, self.norm, self.shape.epsilon)

    def step(self, token: Int[Tensor, "row"], position: Int[Tensor, "row"], cache: Cache) -> Float[Tensor, "row width"]:
        """The next hidden state of every row from its next token, which stands at `position`."""
        x, places = self.embedding[token], cache.keys.shape[3]
        cosine, sine = self._turn(position, x.dtype)
        turn = cosine.unsqueeze(1), sine.unsqueeze(1)  # [row, time, 1, number]
        place = torch.arange(len(token), device=token.device), position
        later = torch.arange(places, device=token.device) > position.unsqueeze(1)
        hidden = torch.zeros(later.shape, dtype=x.dtype, device=x.device).masked_fill_(later, float("-inf"))
        hidden = hidden[:, None, None]
        for layer, block in enumerate(self.layers()):
            x = block.step(x, turn, (cache.keys[layer], cache.values[layer]), place, hidden)
        return norm(x, self.norm, self.shape.epsilon)

    def _turn(self, position: Int[Tensor, "*row"], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine, with an axis for the heads."""
        return self.cosine[position].to(dtype).unsqueeze(-2), self.sine[position].to(dtype).unsqueeze(-2)

    def cache(self, rows: int, places: int) -> Cache:
        """An empty one, on the model's device and in its precision."""
        shape, like = self.shape, self.embedding
        size = (shape.layers, rows, shape.kv_heads, places, shape.head)
        return Cache(like.new_zeros(size), like.new_zeros(size))

    def layers(self) -> list[Block]:
        """The blocks in their order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def projections(self) -> Iterator[tuple[str, Projection]]:
        """Every adaptable product with its name."""
        yield from ((name, one) for name, one in self.named_modules() if isinstance(one, Projection))

    def adapt(self, rank: int, alpha: float, seed: int) -> None:
        """Freezes every weight and adds adapters to every product (all linear layers: Schulman and others, 2025)."""
        self.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        for _, one in self.projections():
            one.adapt(rank, alpha, generator)

    @contextmanager
    def bare(self) -> Iterator[None]:
        """Without adapters: the model as it was."""
        switched = [one for _, one in self.projections() if one.adapted]
        for one in switched:
            one.adapted = False
        try:
            yield
        finally:
            for one in switched:
                one.adapted = True


def norm(x: Float[Tensor, "*row number"], weight: Float[Tensor, "number"], epsilon: float) -> Tensor:
    """x over its root mean square (Zhang and Sennrich, arXiv:1910.07467)."""
    return F.rms_norm(x, weight.shape, weight, epsilon)


def rotated(x: Float[Tensor, "*row head number"], cosine: Tensor, sine: Tensor) -> Tensor:
    """The two halves of every head as the two axes of a plane, turned."""
    one, other = x.chunk(2, -1)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1)
