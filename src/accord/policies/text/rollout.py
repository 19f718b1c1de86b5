"""Responses by the token: an engine that stays between improvements and reads the policy's weights where they lie.

A prompt is read once, and its keys and values are copied to the rows of its group. Rows go on side by side, each at a
position of its own; those that ended leave, and the others close up. Sampling, log-probability and the mark of the end
are part of the step. One uniform number decides a token (the inverse of the cumulative distribution), and the numbers
of a response are drawn beforehand, so what is written depends on neither its neighbours nor when they leave.

The log-probabilities are those of the distribution that was drawn from. On a GPU a step is captured once for each
number of rows and places and replayed (`captured`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.backbones.decoder import Cache, Decoder
from accord.types import InputError

PLACES = 64  # a cache grows by so many
READ = 16  # attention reads whole stretches of so many places
LOOK = 8  # steps between looks at who has ended
LEAVE = 0.75  # rows close up where no more than this share goes on


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. With `top_k` or `top_p` the log-probabilities are the narrowed distribution's."""

    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    tokens: int = 64  # of a response, at most

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("temperature", self.temperature, 0.0, 10.0),
            ("top_k", self.top_k, 0, 10**7),
            ("top_p", self.top_p, 1e-6, 1.0),
            ("tokens", self.tokens, 1, 10**6),
        ):
            if not low <= value <= high:
                raise InputError(
                    f"policy.{name} is {value:g}; it must be between {low:g} and {high:,}: choose a value "
                    "in that range."
                )

    @property
    def whole(self) -> bool:
        """Whether every token can be drawn: else a ratio of probabilities is not that of two policies."""
        return self.top_k == 0 and self.top_p == 1.0 and self.temperature > 0.0


@dataclass(frozen=True, eq=False)
class Sampled:
    """Responses, padded on the right with the end token; response r answers prompt `r // group`."""

    tokens: Int[Tensor, "reply time"]
    lengths: Int[Tensor, "reply"]  # the end token counts
    log_prob: Float[Tensor, "reply time"]  # 0 beyond the end
    ended: Bool[Tensor, "reply"]  # False: cut off


@dataclass(eq=False)
class Rows:
    """What goes on: one row for each response that has not ended."""

    cache: Cache
    token: Int[Tensor, "row"]  # the last
    position: Int[Tensor, "row"]  # where it stands
    ended: Bool[Tensor, "row"]


class Engine:
    """Samples from a decoder. Its cache is kept, and grows where it has to."""

    def __init__(self, decoder: Decoder, end: int) -> None:
        self.decoder, self.end = decoder, end
        self.whole = decoder.cache(0, 0)

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], group: int, sampling: Sampling, seed: int) -> Sampled:
        """`group` responses to every prompt. Raises InputError for a prompt that is empty or leaves no room."""
        check(prompts, self.decoder.shape.context, sampling.tokens)
        device, count = self.decoder.embedding.device, len(prompts) * group
        noise = torch.rand(count, sampling.tokens, generator=torch.Generator().manual_seed(seed)).to(device)
        tokens = torch.full((count, sampling.tokens), self.end, device=device)
        log_prob = torch.zeros(count, sampling.tokens, device=device)
        lengths = torch.full((count,), sampling.tokens, device=device)
        longest = max(map(len, prompts))
        rows, hidden = self._read(prompts, group, longest, sampling.tokens)
        alive = torch.arange(count, device=device)  # which response a row is of
        for t in range(sampling.tokens):
            drawn, log = draw(hidden @ self.decoder.head.T, noise[alive, t], sampling)
            live = ~rows.ended
            tokens[alive, t] = torch.where(live, drawn, self.end)
            log_prob[alive, t] = torch.where(live, log, 0.0)
            now = live & (drawn == self.end)
            lengths[alive] = torch.where(now, t + 1, lengths[alive])
            rows.ended |= now
            rows.token, rows.position = drawn, rows.position + 1
            if t + 1 == sampling.tokens or (t % LOOK == LOOK - 1 and bool(rows.ended.all())):
                break
            if t % LOOK == LOOK - 1:
                alive = self._close_up(rows, alive)
            places = -(-(longest + t + 1) // READ) * READ
            hidden = self.decoder.step(rows.token, rows.position, rows.cache.rows(len(alive), places))
        ended = tokens.gather(1, lengths[:, None] - 1)[:, 0] == self.end
        longest = int(lengths.max())
        return Sampled(tokens[:, :longest], lengths, log_prob[:, :longest], ended)

    def _read(
        self, prompts: Sequence[Sequence[int]], group: int, longest: int, more: int
    ) -> tuple[Rows, Float[Tensor, "row width"]]:
        """Every distinct prompt once, its keys and values copied to its rows; the hidden states that go on."""
        device = self.decoder.embedding.device
        places = -(-(longest + more) // PLACES) * PLACES
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        ids = torch.full((len(distinct), longest), self.end)
        for row, prompt in enumerate(distinct):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        ids = ids.to(device)
        read = self.decoder.cache(len(distinct), longest)
        hidden = self.decoder(ids, read)
        which = torch.tensor([distinct.index(tuple(prompt)) for prompt in prompts], device=device)
        which = which.repeat_interleave(group)
        cache = self._room(len(which), places)
        cache.keys[:, :, :, :longest] = read.keys[:, which]
        cache.values[:, :, :, :longest] = read.values[:, which]
        last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device).repeat_interleave(group)
        return Rows(cache, ids[which, last], last, torch.zeros_like(last, dtype=torch.bool)), hidden[which, last]

    def _room(self, rows: int, places: int) -> Cache:
        had = self.whole.keys.shape
        if had[1] < rows or had[3] < places:
            self.whole = self.decoder.cache(max(rows, had[1]), max(places, had[3]))
        return self.whole.rows(rows, places)

    def _close_up(self, rows: Rows, alive: Tensor) -> Tensor:
        """Rows that have ended leave, where enough have."""
        stay = (~rows.ended).nonzero()[:, 0]
        if len(stay) > LEAVE * len(alive):
            return alive
        cache = rows.cache
        for whole in (cache.keys, cache.values):
            whole[:, : len(stay)] = whole[:, stay]
        rows.cache = cache.rows(len(stay), cache.keys.shape[3])
        rows.token, rows.position, rows.ended = rows.token[stay], rows.position[stay], rows.ended[stay]
        return alive[stay]


def check(prompts: Sequence[Sequence[int]], context: int, tokens: int) -> None:
    """Raises InputError for a prompt that is empty, or too long for a response of so many tokens."""
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise InputError(f"prompt {number} is empty: give it at least one token.")
        if len(prompt) + tokens > context:
            raise InputError(
                f"prompt {number} has {len(prompt):,} tokens and policy.tokens is {tokens:,}, beyond the model's "
                f"{context:,}: shorten the prompt or lower policy.tokens."
            )


def draw(
    logits: Float[Tensor, "row token"], noise: Float[Tensor, "row"], sampling: Sampling
) -> tuple[Int[Tensor, "row"], Float[Tensor, "row"]]:
    """A token for each row, and its log-probability under the distribution it was drawn from.

    The first token whose cumulative probability exceeds `noise`, which is uniform in [0, 1).
    """
    logits = logits.float()
    if sampling.temperature == 0.0:
        log = logits.log_softmax(1)
        best = log.argmax(1)
        return best, log.gather(1, best[:, None])[:, 0]
    logits = logits / sampling.temperature
    if not sampling.whole:
        logits = narrowed(logits, sampling)
    total = logits.logsumexp(1, keepdim=True)
    reached = (logits - total).exp().cumsum(1)
    aim = (noise * reached[:, -1]).unsqueeze(1)  # rounding leaves the last sum a little off 1
    token = torch.searchsorted(reached, aim, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
    return token, logits.gather(1, token[:, None])[:, 0] - total[:, 0]


def narrowed(logits: Float[Tensor, "row token"], sampling: Sampling) -> Float[Tensor, "row token"]:
    """-inf outside the `top_k` likeliest and the fewest that hold `top_p` (Holtzman et al., arXiv:1904.09751)."""
    order = logits.sort(1, descending=True)
    out = torch.zeros_like(order.values, dtype=torch.bool)
    if sampling.top_k:
        out[:, sampling.top_k :] = True
    if sampling.top_p < 1.0:
        share = order.values.masked_fill(out, float("-inf")).softmax(1)
        out |= share.cumsum(1) - share >= sampling.top_p
    out[:, 0] = False
    return logits.masked_fill(out.scatter(1, order.indices, out), float("-inf"))
