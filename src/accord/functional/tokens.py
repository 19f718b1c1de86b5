"""Log-probabilities of tokens from hidden states, piece by piece: [token, vocabulary] is never held whole.

The logits of a piece are computed, used and dropped, and computed again where the gradient is wanted. That costs one
product more than keeping them and saves their memory: 512 tokens of a vocabulary of 49,152 are 96 MiB in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

PIECE, PIECE_GPU = 2**25, 2**28  # logits at once: 128 MiB in float32, and a GiB where launches are what costs


def token_log_prob(
    hidden: Float[Tensor, "token width"],
    head: Float[Tensor, "vocabulary width"],
    target: Int[Tensor, "token"],
    temperature: float = 1.0,
) -> tuple[Float[Tensor, "token"], Float[Tensor, "token"]]:
    """`log softmax(hidden head' / T)[target]` in float32, and the entropy of that distribution (without a gradient)."""
    return _TokenLogProb.apply(hidden, head, target, temperature)


def pieces(hidden: Float[Tensor, "token width"], head: Float[Tensor, "vocabulary width"]) -> list[slice]:
    """Stretches of tokens whose logits fit into a piece."""
    tokens, many = len(hidden), max(1, (PIECE_GPU if hidden.is_cuda else PIECE) // len(head))
    return [slice(start, min(start + many, tokens)) for start in range(0, tokens, many)]


class _TokenLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        log_prob, entropy, total = (hidden.new_empty(len(hidden), dtype=torch.float32) for _ in range(3))
        for some in pieces(hidden, head):
            logits = (hidden[some] @ head.T).float().div_(temperature)
            total[some] = logits.logsumexp(1)
            log_prob[some] = logits.gather(1, target[some, None])[:, 0] - total[some]
            share = (logits - total[some, None]).exp_()
            entropy[some] = total[some] - (share * logits).sum(1)
        ctx.save_for_backward(hidden, head, target, total)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropy)
        return log_prob, entropy

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        slope, (hidden, head, target, total) = slopes[0], ctx.saved_tensors
        wanted_hidden, wanted_head = ctx.needs_input_grad[:2]
        to_hidden = torch.empty_like(hidden) if wanted_hidden else None
        to_head = torch.zeros_like(head, dtype=torch.float32) if wanted_head else None
        for some in pieces(hidden, head):
            logits = (hidden[some] @ head.T).float().div_(ctx.temperature)
            share = logits.sub_(total[some, None]).exp_().neg_()  # d log p / d logit = [token is target] - p
            share.scatter_add_(1, target[some, None], torch.ones_like(share[:, :1]))
            share = share.mul_(slope[some, None] / ctx.temperature).to(head.dtype)
            if to_hidden is not None:
                to_hidden[some] = share @ head
            if to_head is not None:
                to_head += share.T @ hidden[some]
        return to_hidden, None if to_head is None else to_head.to(head.dtype), None, None
