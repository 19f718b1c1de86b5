"""What a language model makes of replies: its hidden states part of the way up, averaged over each response's tokens.

Half-way up a model has read what a text is about and has not yet turned to the next token, so its states there tell
more of a text than its last ones do (Skean et al., arXiv:2502.02013). Every token's state is brought to a root mean
square of 1 before the mean, or a few of them would be all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float32
from torch import Tensor

from accord import runtime
from accord.backbones import text
from accord.backbones.batches import micro_batches
from accord.backbones.text import LanguageModel

DEPTH = 0.6  # of the blocks
PROMPT, RESPONSE = 384, 256  # tokens that are read: the last ones of a prompt, the first ones of a response
BUDGET = 4096  # tokens at once


class States:
    """Reads prompts with responses. The model is opened with the first of them, and kept."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def model(self) -> LanguageModel:
        low = runtime.products().bfloat16
        return text.load(self.name, torch.bfloat16 if low else torch.float32)

    @torch.no_grad()
    def __call__(self, texts: Sequence[tuple[str, str]]) -> Float32[Tensor, "text number"]:
        """A row for each; equal texts are read once. An empty response has the state at its prompt's end."""
        distinct = list(dict.fromkeys(texts))
        tokenizer, decoder = self.model.tokenizer, self.model.decoder
        prompts = [tokenizer.asked(prompt)[-PROMPT:] for prompt, _ in distinct]
        responses = [[*tokenizer.encode(response)[:RESPONSE], tokenizer.end] for _, response in distinct]
        blocks = max(1, round(DEPTH * decoder.shape.layers))
        summed = torch.zeros(len(distinct), decoder.shape.width)
        for batch in micro_batches(prompts, responses, budget=BUDGET):
            states = decoder.fork(batch.tokens, batch.position, batch.fork, blocks)[batch.place].float()
            states = states / states.square().mean(1, keepdim=True).sqrt()
            read = (batch.time > 0) | (torch.tensor([len(responses[k]) for k in batch.reply.tolist()]) == 1)
            summed.index_add_(0, batch.reply[read], states[read])
        many = torch.tensor([max(1, len(one) - 1) for one in responses])
        place = {pair: number for number, pair in enumerate(distinct)}
        return (summed / many[:, None])[[place[pair] for pair in texts]]


@lru_cache(maxsize=1)
def reader(name: str = text.SMALL) -> States:
    """The one of this process."""
    return States(name)
