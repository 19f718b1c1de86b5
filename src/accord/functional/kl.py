"""Estimators of KL(pi || ref) from samples of pi, one number per token or step.

Schulman, "Approximating KL divergence" (2020). With `l = log ref(x) - log pi(x)` and `r = e^l`, x drawn from pi:

    name   value            range         bias                   gradient, used as a loss (expectation over pi)
    k1     -l               (-inf, inf)   none                   0: it teaches nothing
    k2     l^2 / 2          [0, inf)      second order in l      that of KL(pi || ref)
    k3     r - 1 - l        [0, inf)      none                   that of KL(ref || pi), the other direction

So: k1 belongs into the reward of a policy gradient (its gradient there is that of KL(pi || ref)); k2 is the loss to
differentiate; k3 is the figure to report, and as a loss it pulls by `1 - r` a sample, bounded above by 1. The samples
must be the current policy's: after several updates on one batch, weigh by the importance ratio.

Differentiable in `log_prob`; detach it where only the figure is wanted.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


def k1(log_prob: Float[Tensor, "*shape"], log_prob_ref: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`log pi - log ref`, in (-inf, inf): unbiased, high variance."""
    return log_prob - log_prob_ref


def k2(log_prob: Float[Tensor, "*shape"], log_prob_ref: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`(log ref - log pi)^2 / 2`, at least 0: biased, low variance, right gradient as a loss."""
    return (log_prob_ref - log_prob).square() / 2


def k3(log_prob: Float[Tensor, "*shape"], log_prob_ref: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`ref / pi - 1 - log(ref / pi)`, at least 0: unbiased, low variance while the two are near.

    `expm1` keeps it from falling below 0 by rounding where the two agree. It overflows to infinity where the
    log-ratio exceeds 88 in float32.
    """
    log_ratio = log_prob_ref - log_prob
    return torch.expm1(log_ratio) - log_ratio


def estimate(
    name: Estimator, log_prob: Float[Tensor, "*shape"], log_prob_ref: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """The estimator of that name."""
    return {"k1": k1, "k2": k2, "k3": k3}[name](log_prob, log_prob_ref)


def sequence_sum(per_step: Float[Tensor, "batch time"], valid: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch"]:
    """KL of whole sequences: the sum over valid tokens or steps (k1 and k3 stay unbiased; prompts are not valid)."""
    return torch.where(valid, per_step, 0.0).sum(1)


def step_mean(per_step: Float[Tensor, "batch time"], valid: Bool[Tensor, "batch time"]) -> Float[Tensor, ""]:
    """Mean over all valid tokens or steps of a batch, every one weighing the same; 0 where none is valid."""
    return torch.where(valid, per_step, 0.0).sum() / valid.sum().clamp(min=1)


def adapted(coefficient: float, measured: float, target: float) -> float:
    """A coefficient nearer to the one that holds KL at its target, after one batch.

    Source: Ziegler et al., arXiv:1909.08593, section 2.2: times 1 + .1 clip(KL / target - 1, -.2, .2).
    """
    return coefficient * (1.0 + 0.1 * min(0.2, max(-0.2, measured / target - 1.0)))
