"""A decoder-only transformer of the Llama family: one frozen shape, pure functions of weights, no padding on the left.

Llama (Touvron et al., arXiv:2302.13971), with grouped queries (Ainslie et al., arXiv:2305.13245), rotary positions
(Su et al., arXiv:2104.09864) and gated feed-forward layers (Shazeer, arXiv:2002.05202); biases of queries, keys and
values as Qwen2 has them, their norms as Qwen3. What differs from the usual implementations: in training a prompt is
read once, whatever the number of its responses (`attention.Fork`), and no pad is computed; queries, keys and values are
one product, gate and up another; in decoding each row has a position of its own, so that rows of any length go on side
by side.

Weights are read by `backbones.weights`; adapters stand in `Projection` itself. `backbones.foreign` is a decoder whose
passes are Transformers'.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from accord.backbones.attention import Fork, attention, forked
from accord.backbones.projection import Projection

WHOLE = (("norm_attention", "input_layernorm"), ("norm_feed", "post_attention_layernorm"))  # ours, Transformers'
NORMS = (("norm_query", "self_attn.q_norm"), ("norm_key", "self_attn.k_norm"))
FUSED = {  # ours: Transformers', in the order of `Projection.parts`
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@dataclass(frozen=True)
class Stretch:
    """Rotary positions for longer rows, as Llama 3.1 has them (arXiv:2407.21783): slow turns are slowed by `factor`.

    Slow: fewer than `low` turns over `original` tokens; fast ones, more than `high`, stay; between them it is graded.
    """

    factor: float
    low: float
    high: float
    original: int


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
    stretch: Stretch | None = None


@dataclass(frozen=True, eq=False)
class Cache:
    """Keys and values of rows that go on: [layer, row, kv head, place, number]."""

    keys: Float[Tensor, "layer row kv place head"]
    values: Float[Tensor, "layer row kv place head"]

    def rows(self, count: int, places: int) -> Cache:
        """The first rows and places, as views."""
        return Cache(self.keys[:, :count, :, :places], self.values[:, :count, :, :places])


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
        query, key, value = self._attended(x, turn).split(self.parts, -2)
        if cache is not None:
            for kept, new in zip(cache, (key, value), strict=True):
                kept[: len(x), :, : x.shape[1]] = new.transpose(1, 2)
        mixed = attention(query, key, value)
        return self._fed(x + self.out(mixed.flatten(2)))

    def fork(
        self, x: Float[Tensor, "token width"], turn: tuple[Tensor, Tensor], by: Fork
    ) -> Float[Tensor, "token width"]:
        """Prompts and the responses that go on from them, in one line."""
        mixed = forked(self._attended(x, turn), self.parts, by)
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
        query, key, value = self._attended(x, turn).split(self.parts, -2)
        keys, values = cache
        keys[place[0], :, place[1]] = key
        values[place[0], :, place[1]] = value
        asked = query.reshape(len(x), shape.kv_heads, -1, shape.head)  # heads that read the same keys, as if times
        if not x.is_cuda:
            return self._fed(x + self.out(F.scaled_dot_product_attention(asked, keys, values, hidden).flatten(1)))
        weight = (asked * shape.head**-0.5 @ keys.transpose(2, 3) + hidden).softmax(-1, dtype=torch.float32)
        return self._fed(x + self.out((weight.to(x.dtype) @ values).flatten(1)))

    def _attended(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Float[Tensor, "*token head number"]:
        """Queries, keys and values beside each other, the first two turned by their positions."""
        shape = self.shape
        read = self.qkv(norm(x, self.norm_attention, shape.epsilon))
        read = read.unflatten(-1, (shape.heads + 2 * shape.kv_heads, shape.head))
        if self.norm_query is not None and self.norm_key is not None:
            query, key, value = read.split(self.parts, -2)
            normed = norm(query, self.norm_query, shape.epsilon), norm(key, self.norm_key, shape.epsilon)
            read = torch.cat([*normed, value], -2)
        return rotated(read, *turn, shape.heads + shape.kv_heads)

    @property
    def parts(self) -> tuple[int, int, int]:
        """How many heads ask, are read, and are told."""
        return self.shape.heads, self.shape.kv_heads, self.shape.kv_heads

    def _fed(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row width"]:
        gate, up = self.gate_up(norm(x, self.norm_feed, self.shape.epsilon)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    """Tokens to hidden states, after the last norm; `head` is what they are multiplied by to be logits."""

    cosine: Tensor
    sine: Tensor
    own = True  # its passes are ours: a GPU can record a step, and blocks can be computed again on the way back
    turned: Sequence[str] = ()  # products whose weights stand the other way in Transformers

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.norm = nn.Parameter(torch.ones(shape.width))
        self.output = None if shape.tied else nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        angle = torch.outer(torch.arange(shape.context, dtype=torch.float64), frequencies(shape))
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)
        self.read, self.branch, self.write = Block.forward, Block.fork, Block.step
        self.again = False  # blocks of forks are computed again on the way back, and what they made is not kept

    @property
    def head(self) -> Float[Tensor, "token width"]:
        return self.embedding if self.output is None else self.output

    def forward(self, tokens: Int[Tensor, "row time"], cache: Cache | None = None) -> Float[Tensor, "row time width"]:
        """Rows from their beginning, padded on the right with any token; `cache` is filled where one is given."""
        x = self.embedding[tokens]
        turn = self._turn(torch.arange(tokens.shape[1], device=tokens.device), x.dtype)
        for layer, block in enumerate(self.layers()):
            kept = None if cache is None else (cache.keys[layer], cache.values[layer])
            x = self.read(block, x, turn, kept)
        return norm(x, self.norm, self.shape.epsilon)

    def fork(
        self, tokens: Int[Tensor, "token"], position: Int[Tensor, "token"], by: Fork, blocks: int | None = None
    ) -> Float[Tensor, "token width"]:
        """Hidden states of prompts, each once, and of the responses that go on from them; after so many `blocks`."""
        x = F.embedding(tokens, self.embedding)
        turn = self._turn(position, x.dtype)
        for block in self.layers()[:blocks]:
            x = self._branched(block, x, turn, by)
        return norm(x, self.norm, self.shape.epsilon)

    def _branched(self, block: Block, x: Tensor, turn: tuple[Tensor, Tensor], by: Fork) -> Tensor:
        if self.again and torch.is_grad_enabled():
            return checkpoint(self.branch, block, x, turn, by, use_reentrant=False, preserve_rng_state=False)
        return self.branch(block, x, turn, by)

    def step(self, token: Int[Tensor, "row"], position: Int[Tensor, "row"], cache: Cache) -> Float[Tensor, "row width"]:
        """The next hidden state of every row from its next token, which stands at `position`."""
        x, places = self.embedding[token], cache.keys.shape[3]
        turn = self._turn(position, x.dtype)
        place = torch.arange(len(token), device=token.device), position
        later = torch.arange(places, device=token.device) > position.unsqueeze(1)
        hidden = torch.zeros(later.shape, dtype=x.dtype, device=x.device).masked_fill_(later, float("-inf"))
        hidden = hidden[:, None, None]
        for layer, block in enumerate(self.layers()):
            x = self.write(block, x, turn, (cache.keys[layer], cache.values[layer]), place, hidden)
        return norm(x, self.norm, self.shape.epsilon)

    def _turn(self, position: Int[Tensor, "*row"], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine, with an axis for the heads."""
        return self.cosine[position].to(dtype).unsqueeze(-2), self.sine[position].to(dtype).unsqueeze(-2)

    def cache(self, rows: int, places: int) -> Cache:
        """An empty one, on the model's device and in its precision."""
        shape, like = self.shape, self.embedding
        size = (shape.layers, rows, shape.kv_heads, places, shape.head)
        return Cache(like.new_zeros(size), like.new_zeros(size))

    def moved(self, device: torch.device, dtype: torch.dtype) -> Decoder:
        """Itself, on a device and in a precision; the angles of rotary positions stay in float32."""
        cosine, sine = self.cosine, self.sine
        self.to(device=device, dtype=dtype)
        self.cosine, self.sine = cosine.to(device), sine.to(device)
        return self

    def compiled(self) -> None:
        """Blocks are compiled when they are first used: one graph for all of them, as they differ in weights alone.

        Forks are not: their lengths are others in every micro-batch.
        """
        self.read, self.write = torch.compile(Block.forward), torch.compile(Block.step)

    def layers(self) -> list[Block]:
        """The blocks in their order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def projections(self) -> Iterator[tuple[str, Projection]]:
        """Every adaptable product with its name."""
        yield from ((name, one) for name, one in self.named_modules() if isinstance(one, Projection))

    def placed(self) -> Iterator[tuple[Projection, list[str]]]:
        """The same with the names that Transformers has for its parts."""
        for i, block in enumerate(self.blocks):
            for ours, theirs in FUSED.items():
                yield getattr(block, ours), [f"model.layers.{i}.{name}" for name in theirs]

    def named(self) -> list[tuple[Tensor, tuple[str, ...]]]:
        """Every weight with the names of its parts in `LlamaForCausalLM`."""
        found: list[tuple[Tensor, tuple[str, ...]]] = [
            (self.embedding, ("model.embed_tokens.weight",)),
            (self.norm, ("model.norm.weight",)),
        ]
        if self.output is not None:
            found.append((self.output, ("lm_head.weight",)))
        for i, block in enumerate(self.blocks):
            kept = WHOLE + (NORMS if self.shape.normed else ())
            found += [(getattr(block, ours), (f"model.layers.{i}.{theirs}.weight",)) for ours, theirs in kept]
        for one, theirs in self.placed():
            found.append((one.weight, tuple(f"{name}.weight" for name in theirs)))
            if one.bias is not None:
                found.append((one.bias, tuple(f"{name}.bias" for name in theirs)))
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Every weight under its name in Transformers, adapters merged."""
        merged = {id(one.weight): one.merged() for _, one in self.projections()}
        rows = {id(one.weight): one.parts for _, one in self.projections()}
        rows |= {id(one.bias): one.parts for _, one in self.projections() if one.bias is not None}
        found: dict[str, Tensor] = {}
        for ours, theirs in self.named():
            whole = merged.get(id(ours), ours).detach()
            found |= zip(theirs, whole.split(rows.get(id(ours), (len(whole),))), strict=True)
        return found

    def adapt(self, rank: int, alpha: float, seed: int) -> None:
        """Freezes every weight and adds adapters to every product (all linear layers: Schulman and others, 2025)."""
        self.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        for _, one in self.projections():
            one.adapt(rank, alpha, generator)

    def twin(self) -> Decoder:
        """Another on the same weights, not copies of them, without adapters: there is room for its own."""
        found = copy.deepcopy(self, {id(one): one for one in (*self.parameters(), *self.buffers())})
        for _, one in found.projections():
            one.down = one.up = None
            one.adapted = False
        return found

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


def frequencies(shape: Shape) -> Float[Tensor, "half"]:
    """Radians a token by which each pair of a head's numbers is turned."""
    plain = shape.base ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
    if (stretch := shape.stretch) is None:
        return plain
    turns = stretch.original * plain / (2.0 * torch.pi)
    kept = ((turns - stretch.low) / (stretch.high - stretch.low)).clamp(0.0, 1.0)
    return plain * (kept + (1.0 - kept) / stretch.factor)


def rotated(
    x: Float[Tensor, "*row head number"], cosine: Tensor, sine: Tensor, heads: int
) -> Float[Tensor, "*row head number"]:
    """The first heads turned: the two halves of each are the two axes of a plane. The others are left as they are."""
    if not torch.compiler.is_compiling():
        return _Rotated.apply(x, cosine, sine, heads)
    one, other = x[..., :heads, :].chunk(2, -1)
    turned = torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1)
    return torch.cat([turned, x[..., heads:, :]], -2)


class _Rotated(torch.autograd.Function):
    """One copy and four operations in it; backwards, the same with the angle turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        ctx.heads = heads
        return _turned(x, cosine, sine, heads, 1.0)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turned(slopes[0], cosine, sine, ctx.heads, -1.0), None, None, None


def _turned(x: Tensor, cosine: Tensor, sine: Tensor, heads: int, way: float) -> Tensor:
    out = x.clone(memory_format=torch.contiguous_format)
    was, now = x[..., :heads, :].chunk(2, -1), out[..., :heads, :].chunk(2, -1)
    now[0].mul_(cosine).addcmul_(was[1], sine, value=-way)
    now[1].mul_(cosine).addcmul_(was[0], sine, value=way)
    return out
