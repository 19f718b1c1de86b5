"""Prompts with responses as micro-batches: responses to one prompt together, as many as a budget of tokens holds.

A prompt stands in a micro-batch once, whatever the number of its responses there, and only attention is laid out with
pads (`attention.Fork`). Where a minibatch is cut changes no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from accord.backbones.attention import Fork, fork
from accord.backbones.decoder import Decoder
from accord.functional.tokens import token_log_prob

BUDGET = 4096  # tokens, pads counted, in a micro-batch
WHOLE = 10**12  # tokens: what was cut already is not cut again
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batch:
    """Some pairs, and where responses' tokens are foretold; `reply` and `time` say which token it is, of which."""

    tokens: Int[Tensor, "token"]  # the prompts in one line, then what follows them: responses without their last tokens
    position: Int[Tensor, "token"]
    fork: Fork
    place: Int[Tensor, "target"]  # in the line: the token before the foretold one
    target: Int[Tensor, "target"]
    reply: Int[Tensor, "target"]
    time: Int[Tensor, "target"]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        whose = (self.place, self.target, self.reply, self.time)
        line = self.tokens.to(device), self.position.to(device), self.fork.to(device)
        return Batch(*line, *(part.to(device) for part in whose))


def cut(some: Sequence[T], tokens: Callable[[T], int], budget: int) -> list[list[T]]:
    """What has to be learned from together, such as pairs, in their order: as many at once as `budget` tokens hold.

    One is always taken, whatever its length.
    """
    parts: list[list[T]] = []
    room = 0
    for one in some:
        if not parts or tokens(one) > room:
            parts.append([])
            room = budget
        parts[-1].append(one)
        room -= tokens(one)
    return parts


def micro_batches(
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    which: Sequence[int] | None = None,
    budget: int = BUDGET,
) -> list[Batch]:
    """The pairs numbered `which` (all, if None), cut so that each kind of row times its longest is within the budget.

    One pair is always taken, whatever its length.
    """
    same: dict[tuple[int, ...], list[int]] = {}
    for k in range(len(prompts)) if which is None else which:
        same.setdefault(tuple(prompts[k]), []).append(k)
    longest = {prompt: max(len(responses[k]) for k in group) for prompt, group in same.items()}
    cut: list[list[int]] = []
    stems = tall = wide = 0
    for prompt in sorted(same, key=lambda one: len(one) + longest[one]):
        new = True
        for k in sorted(same[prompt], key=lambda one: len(responses[one])):
            tall, wide = max(tall, len(prompt)), max(wide, len(responses[k]))
            if not cut or (stems + new) * tall + (len(cut[-1]) + 1) * wide > budget:
                cut.append([])
                stems, tall, wide, new = 0, len(prompt), len(responses[k]), True
            cut[-1].append(k)
            stems, new = stems + new, False
    return [_batch(prompts, responses, pairs) for pairs in cut]


def _batch(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pairs: Sequence[int]) -> Batch:
    stems = {prompt: number for number, prompt in enumerate(dict.fromkeys(tuple(prompts[k]) for k in pairs))}
    line = [token for prompt in stems for token in prompt]
    position = [at for prompt in stems for at in range(len(prompt))]
    ends = np.cumsum([len(prompt) for prompt in stems]) - 1  # where each prompt's last token stands
    stem = [stems[tuple(prompts[k])] for k in pairs]
    place: list[int] = []
    for k, whose in zip(pairs, stem, strict=True):
        begin, many = len(line), max(0, len(responses[k]) - 1)
        place += [int(ends[whose]), *range(begin, begin + many)][: len(responses[k])]
        line += responses[k][:many]
        position += range(len(prompts[k]), len(prompts[k]) + many)
    return Batch(
        torch.tensor(line),
        torch.tensor(position),
        fork([len(prompt) for prompt in stems], [max(0, len(responses[k]) - 1) for k in pairs], stem),
        torch.tensor(place, dtype=torch.long),
        torch.tensor([token for k in pairs for token in responses[k]], dtype=torch.long),
        torch.tensor([k for k in pairs for _ in responses[k]], dtype=torch.long),
        torch.tensor([at for k in pairs for at in range(len(responses[k]))], dtype=torch.long),
    )


def foretold(
    decoder: Decoder, batch: Batch, temperature: float = 1.0
) -> tuple[Float[Tensor, "token"], Float[Tensor, "token"], Float[Tensor, "token width"]]:
    """Log-probability and entropy of every token of the responses, and the hidden states that they come from."""
    hidden = decoder.fork(batch.tokens, batch.position, batch.fork).index_select(0, batch.place)
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
