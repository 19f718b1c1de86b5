"""Losses of the offline family: a policy learned from answers, without a reward model between.

`margin` and `reward` below are implicit: beta log(pi(y | x) / ref(y | x)), summed over the response's tokens (Rafailov
et al., arXiv:2305.18290, equation 5). DPO itself is not here: with that reward as the value of a response its loss is
the log-likelihood of a comparison, `likelihood.compare`, ties and strengths included.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def robust(log_first: Float[Tensor, "pair"], log_second: Float[Tensor, "pair"], flips: float) -> Float[Tensor, "pair"]:
    """An unbiased log-likelihood where a share of the answers was turned round.

    `log_first` is log P(the answer), `log_second` that of its opposite. Source: Chowdhury et al., arXiv:2403.00409,
    equation 12.
    """
    return ((1.0 - flips) * log_first - flips * log_second) / (1.0 - 2.0 * flips)


def identity_loss(margin: Float[Tensor, "pair"], beta: float) -> Float[Tensor, "pair"]:
    """(h - 1 / (2 beta))^2, h the difference of the log-ratios, each a mean over tokens.

    Source: Azar et al., arXiv:2310.12036, equation 17; means as its authors' later code has them.
    """
    return (margin - 0.5 / beta).square()


def prospect_loss(
    reward: Float[Tensor, "reply"], reference: Float[Tensor, ""], good: Bool[Tensor, "reply"], losses: float = 1.0
) -> Float[Tensor, "reply"]:
    """1 - sigmoid(r - z) of a good response, `losses` (1 - sigmoid(z - r)) of a bad one; z is beta KL(pi || ref).

    Source: Ethayarajh et al., arXiv:2402.01306, equation 8. `reference` takes no gradient.
    """
    away = torch.where(good, reward - reference, reference - reward)
    return torch.where(good, 1.0, losses) * torch.sigmoid(-away)


def hinge(margin: Float[Tensor, "pair"], beta: float) -> Float[Tensor, "pair"]:
    """max(0, 1 - beta h): Zhao et al., arXiv:2305.10425 (SLiC), equation 2 with the log-ratios as its scores."""
    return F.relu(1.0 - beta * margin)
