"""Responses by the token: an engine that stays between improvements and reads the policy's weights where they lie.

A prompt is read once, and its keys and values are copied to the rows of its group. Rows go on side by side, each at a
position of its own; those that ended leave, and the others close up. Sampling, log-probability and the mark of the end
are part of the step. One uniform number decides a token (the inverse of the cumulative distribution), and the numbers
of a response are drawn beforehand, so what is written depends on neither its neighbours nor when they leave.

The log-probabilities are those of the distribution that was drawn from. On a GPU a step is captured once for each
number of rows and places, and replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.backbones.decoder import Cache, Decoder
from accord.ranges import within
from accord.types import InputError

PLACES = 64  # a cache grows by so many
READ, CAPTURED_READ = 16, 128  # attention reads whole stretches of so many places
LOOK = 8  # steps between looks at who has ended
LAST = 1.0 - 2.0**-22  # as near 1 as a product with it stays below the other factor
LEAVE = 0.75  # rows close up where no more than this share goes on
RANGES = {
    "temperature": (0.0, 10.0),
    "top_k": (0, 10**7),
    "top_p": (1e-6, 1.0),
    "tokens": (1, 10**6),
}


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. With `top_k` or `top_p` the log-probabilities are the narrowed distribution's."""

    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    tokens: int = 64  # of a response, at most

    def __post_init__(self) -> None:
        within("policy", self, RANGES)

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

    @property
    def responses(self) -> list[list[int]]:
        """Without pads."""
        return [row[:many] for row, many in zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)]

    @property
    def valid(self) -> Bool[Tensor, "reply time"]:
        """Where there is a token."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]


@dataclass(eq=False)
class Rows:
    """What goes on: a row for each response, and where what it writes is kept. All of it is changed in place."""

    cache: Cache
    token: Int[Tensor, "row"]  # the last
    position: Int[Tensor, "row"]  # where it stands
    ended: Bool[Tensor, "row"]
    reply: Int[Tensor, "row"]  # which response it is
    time: Int[Tensor, "1"]  # how many tokens were written
    noise: Float[Tensor, "reply time"]
    tokens: Int[Tensor, "reply time"]
    log_prob: Float[Tensor, "reply time"]
    lengths: Int[Tensor, "reply"]

    def first(self, rows: int, places: int) -> Rows:
        """The first rows, as views, reading so many places."""
        parts = (self.token, self.position, self.ended, self.reply)
        token, position, ended, reply = (part[:rows] for part in parts)
        cache = self.cache.rows(rows, places)
        return replace(self, cache=cache, token=token, position=position, ended=ended, reply=reply)


BY_ROW = ("token", "position", "ended", "reply")


class Engine:
    """Samples from a decoder. Its cache is kept, and grows where it has to."""

    def __init__(self, decoder: Decoder, end: int) -> None:
        self.decoder, self.end = decoder, end
        self.kept: Rows | None = None
        self.captured = Captured(self) if decoder.embedding.is_cuda and decoder.own else None

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], group: int, sampling: Sampling, seed: int) -> Sampled:
        """`group` responses to every prompt. Raises InputError for a prompt that is empty or leaves no room."""
        check(prompts, self.decoder.shape.context, sampling.tokens)
        count, most, longest = len(prompts) * group, sampling.tokens, max(map(len, prompts))
        whole = self._room(count, longest + most, most)
        noise = torch.rand(count, most, generator=torch.Generator().manual_seed(seed))
        whole.noise[:count, :most] = noise.to(whole.noise.device)
        self.write(whole.first(count, longest), self._read(whole, prompts, group, longest), sampling)
        alive = count
        for t in range(1, most):
            if t % LOOK == 0:
                alive = self._close_up(whole, alive)
                if not alive:
                    break
            stretch = CAPTURED_READ if self.captured else READ
            rows = whole.first(alive, min(-(-(longest + t) // stretch) * stretch, whole.cache.keys.shape[3]))
            if self.captured:
                self.captured(rows, sampling)
            else:
                self.step(rows, sampling)
        tokens, log_prob, lengths = whole.tokens[:count], whole.log_prob[:count], whole.lengths[:count].clone()
        ended = tokens.gather(1, lengths[:, None] - 1)[:, 0] == self.end
        last = int(lengths.max())
        return Sampled(tokens[:, :last].clone(), lengths, log_prob[:, :last].clone(), ended)

    def step(self, rows: Rows, sampling: Sampling) -> None:
        """One more token to every row."""
        self.write(rows, self.decoder.step(rows.token, rows.position, rows.cache), sampling)

    def write(self, rows: Rows, hidden: Float[Tensor, "row width"], sampling: Sampling) -> None:
        """Draws a token for every row that has not ended and writes it down; nothing here waits for a GPU."""
        drawn, log = draw(hidden @ self.decoder.head.T, rows.noise[rows.reply, rows.time], sampling)
        live = ~rows.ended
        drawn = torch.where(live, drawn, self.end)
        rows.tokens[rows.reply, rows.time] = drawn
        rows.log_prob[rows.reply, rows.time] = torch.where(live, log, 0.0)
        now = live & (drawn == self.end)
        rows.time += 1
        rows.lengths[rows.reply] = torch.where(now, rows.time, rows.lengths[rows.reply])
        rows.ended |= now
        rows.token.copy_(drawn)
        rows.position += 1

    def _read(
        self, whole: Rows, prompts: Sequence[Sequence[int]], group: int, longest: int
    ) -> Float[Tensor, "row width"]:
        """Every distinct prompt once, its keys and values copied to its rows; the hidden states that go on."""
        device = whole.token.device
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        place = {prompt: row for row, prompt in enumerate(distinct)}
        ids = torch.full((len(distinct), longest), self.end)
        for row, prompt in enumerate(distinct):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        read = self.decoder.cache(len(distinct), longest)
        hidden = self.decoder(ids.to(device), read)
        which = torch.tensor([place[tuple(prompt)] for prompt in prompts]).repeat_interleave(group).to(device)
        last = torch.tensor([len(prompt) - 1 for prompt in prompts]).repeat_interleave(group).to(device)
        whole.cache.keys[:, : len(which), :, :longest] = read.keys[:, which]
        whole.cache.values[:, : len(which), :, :longest] = read.values[:, which]
        whole.position[: len(which)] = last
        return hidden[which, last]

    def _room(self, count: int, places: int, most: int) -> Rows:
        """Rows that nothing was written to, larger than the last ones only where they have to be."""
        places = -(-places // PLACES) * PLACES
        kept = self.kept
        if kept is None or len(kept.token) < count or kept.cache.keys.shape[3] < places or kept.tokens.shape[1] < most:
            if kept is not None:
                count, places = max(count, len(kept.token)), max(places, kept.cache.keys.shape[3])
                most = max(most, kept.tokens.shape[1])
            self.kept = kept = self._made(count, places, most)
            if self.captured:
                self.captured.forget()
        kept.time.zero_()
        kept.ended.zero_()
        kept.tokens.fill_(self.end)
        kept.log_prob.zero_()
        kept.lengths.fill_(most)
        kept.reply.copy_(torch.arange(len(kept.reply)))
        return kept

    def _made(self, count: int, places: int, most: int) -> Rows:
        device = self.decoder.embedding.device
        whole, numbers = torch.zeros(count, dtype=torch.long, device=device), torch.zeros(count, most, device=device)
        return Rows(
            self.decoder.cache(count, places),
            whole,
            whole.clone(),
            whole.bool(),
            whole.clone(),
            whole.new_zeros(1),
            numbers,
            numbers.long(),
            numbers.clone(),
            whole.clone(),
        )

    def _close_up(self, whole: Rows, alive: int) -> int:
        """Rows that have ended leave, where enough have; returns how many rows go on."""
        stay = (~whole.ended[:alive]).nonzero()[:, 0]
        many = len(stay)
        if self.captured and many:  # a graph for every number of rows would be many
            many = min(alive, self.captured.rows(many))
        if many > LEAVE * alive:
            return alive
        stay = torch.cat([stay, whole.ended[:alive].nonzero()[: many - len(stay), 0]])
        for kept in (whole.cache.keys, whole.cache.values):
            kept[:, :many] = kept[:, stay]
        for name in BY_ROW:
            part = getattr(whole, name)
            part[:many] = part[stay]
        return many


class Captured:
    """Steps as graphs of a GPU: one for each number of rows and places, kept as long as the rows lie where they lie."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.graphs: dict[tuple[int, int, Sampling], torch.cuda.CUDAGraph] = {}
        self.stream = torch.cuda.Stream()

    def __call__(self, rows: Rows, sampling: Sampling) -> None:
        key = (len(rows.token), rows.cache.keys.shape[3], sampling)
        if key not in self.graphs:
            self.graphs[key] = self._capture(rows, sampling)
        self.graphs[key].replay()

    @staticmethod
    def rows(alive: int) -> int:
        """How many rows a graph has that these fit into: a power of two, at least eight."""
        return max(8, 1 << (alive - 1).bit_length())

    def forget(self) -> None:
        """The rows lie elsewhere now."""
        self.graphs.clear()

    def _capture(self, rows: Rows, sampling: Sampling) -> torch.cuda.CUDAGraph:
        """Records a step. What its trial run wrote is put back."""
        changed = (rows.token, rows.position, rows.ended, rows.time, rows.tokens, rows.log_prob, rows.lengths)
        before = [one.clone() for one in changed]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.engine.step(rows, sampling)
        torch.cuda.current_stream().wait_stream(self.stream)
        for one, was in zip(changed, before, strict=True):
            one.copy_(was)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.engine.step(rows, sampling)
        return graph


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

    The first token whose cumulative probability exceeds `noise`, which is uniform in [0, 1): first the stretch of it is
    found, then its place there, since a sum that runs over a whole vocabulary is slow. Rounding leads to no token of
    odds 0.
    """
    logits = logits.float()
    if sampling.temperature == 0.0:
        log = logits.log_softmax(1)
        best = log.argmax(1)
        return best, log.gather(1, best[:, None])[:, 0]
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    if not sampling.whole:
        logits = narrowed(logits, sampling)
    many = 1 << (logits.shape[1].bit_length() // 2)  # tokens of a stretch
    highest = logits.amax(1, keepdim=True)
    odds = torch.nn.functional.pad((logits - highest).exp_(), (0, -logits.shape[1] % many)).unflatten(1, (-1, many))
    stretches = odds.sum(2)
    reached = stretches.cumsum(1)
    aim = noise.clamp(max=LAST).unsqueeze(1) * reached[:, -1:]
    which = torch.searchsorted(reached, aim, right=True).clamp(max=stretches.shape[1] - 1)  # beyond: odds that are NaN
    left = (aim - reached.gather(1, which)) / stretches.gather(1, which) + 1.0  # of that stretch, between 0 and 1
    within = odds.gather(1, which[:, :, None].expand(-1, -1, many))[:, 0].cumsum(1)
    token = which * many + torch.searchsorted(within, left.clamp(0.0, LAST) * within[:, -1:], right=True)
    token = token.clamp(max=logits.shape[1] - 1)
    log = logits.gather(1, token) - highest - reached[:, -1:].log()
    return token[:, 0], log[:, 0]


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
