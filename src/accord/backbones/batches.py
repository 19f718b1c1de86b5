"""Prompts with responses as micro-batches: rows of like length together, as many as a budget of tokens holds.

Rows are padded on the right, so a pad is read by nothing, and where a minibatch is cut changes no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from accord.backbones.decoder import Decoder
from accord.functional.tokens import token_log_prob

BUDGET = 4096  # tokens, pads counted, in a micro-batch


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows, and where their responses' tokens are foretold; `reply` and `time` say which token it is, of which."""

    tokens: Int[Tensor, "row time"]
    place: Int[Tensor, "token"]  # in the rows laid end to end: the token before the foretold one
    target: Int[Tensor, "token"]
    reply: Int[Tensor, "token"]
    time: Int[Tensor, "token"]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        parts = (self.tokens, self.place, self.target, self.reply, self.time)
        return Batch(*(part.to(device) for part in parts))


def micro_batches(
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    which: Sequence[int] | None = None,
    budget: int = BUDGET,
) -> list[Batch]:
    """The pairs numbered `which` (all, if None), cut so that rows times the longest stay within the budget.

    One row is always taken, whatever its length.
    """
    chosen = range(len(prompts)) if which is None else which
    order = sorted(chosen, key=lambda k: len(prompts[k]) + len(responses[k]))
    cut: list[list[int]] = []
    for k in order:
        longest = len(prompts[k]) + len(responses[k])
        if not cut or (len(cut[-1]) + 1) * longest > budget:
            cut.append([])
        cut[-1].append(k)
    return [_batch(prompts, responses, rows) for rows in cut]


def _batch(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], rows: Sequence[int]) -> Batch:
    longest = max(len(prompts[k]) + len(responses[k]) for k in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    place, target, reply, time = [], [], [], []
    for row, k in enumerate(rows):
        whole = torch.tensor([*prompts[k], *responses[k]])
        tokens[row, : len(whole)] = whole
        start, many = len(prompts[k]), len(responses[k])
        place.append(torch.arange(start - 1, start - 1 + many) + row * longest)
        target.append(whole[start:])
        reply.append(torch.full((many,), k))
        time.append(torch.arange(many))
    return Batch(tokens, *(torch.cat(parts) for parts in (place, target, reply, time)))


def foretold(
    decoder: Decoder, batch: Batch, temperature: float = 1.0
) -> tuple[Float[Tensor, "token"], Float[Tensor, "token"], Float[Tensor, "token width"]]:
    """Log-probability and entropy of every token of the responses, and the hidden states that they come from."""
    hidden = decoder(batch.tokens).flatten(0, 1)[batch.place]
    log_prob, entropy = token_log_prob(hidden, decoder.head, batch.target, temperature)
    return log_prob, entropy, hidden


@torch.no_grad()
def table(decoder: Decoder, batches: Sequence[Batch], shape: tuple[int, int], temperature: float = 1.0) -> Tensor:
    """Log-probabilities of all responses, [reply, time], 0 where there is no token."""
    device = decoder.embedding.device
    found = torch.zeros(shape, device=device)
    for batch in (one.to(device) for one in batches):
        found[batch.reply, batch.time] = foretold(decoder, batch, temperature)[0]
    return found
