"""The log-likelihood of every kind of answer: one objective for all feedback.

An answer is a choice among alternatives, so its log-likelihood is `E[R - b]` with `b` the log-partition over what could
have been chosen instead. (With a `b` that does not depend on the parameters the objective has no maximum.)

Sources: Bradley and Terry 1952 (two levels); Rao and Kupper 1967 (tie); McCullagh 1980 (cumulative link); Luce 1959 and
Plackett 1975 (orders); Finn et al. 2016, eq. 4 (importance-weighted partition of demonstrations). Differs from them in:
every model is mixed with what the annotator answers when not attending, `P = (1 - eps) * model + eps * noise`, and a
comparison has a `side` bias inside the link.

All functions are pure and work on logits. A leading `*member` axis, where present, is an ensemble.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

FAR = 1.0e4  # a threshold so far out that the sigmoid beyond it is exactly 0 or 1, and its gradient finite
LEAST = -1.0e9  # the value of a padded place: it never takes part in a choice


def log1mexp(gap: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`log(1 - exp(-gap))` for gap > 0, without cancellation at either end (Maechler 2012)."""
    gap = gap.clamp_min(1e-6)
    near = torch.log(-torch.expm1(-gap.clamp_max(1.0)))
    far = torch.log1p(-torch.exp(-gap.clamp_min(0.5)))
    return torch.where(gap < math.log(2.0), near, far)


def symmetric_cuts(log_gaps: Float[Tensor, "*member half"], levels: int) -> Float[Tensor, "*member cut"]:
    """The `levels - 1` thresholds of a symmetric link, from the logarithms of their `(levels - 1) // 2` distances.

    An even number of levels has a threshold at 0 (two levels: only that one). An odd number has a tie around 0, whose
    half-width is the first distance. `cut_j = -cut_(levels - j)`: swapping the sides mirrors the levels.
    """
    outward = torch.cumsum(log_gaps.exp(), -1)
    centre = outward.new_zeros((*outward.shape[:-1], 1 - levels % 2))
    return torch.cat([-outward.flip(-1), centre, outward], -1)


def ordered_cuts(first: Float[Tensor, "*batch"], log_gaps: Float[Tensor, "*batch gap"]) -> Float[Tensor, "*batch cut"]:
    """Rising thresholds: the first, and the logarithms of the distances to the next ones."""
    start = first.unsqueeze(-1)
    return torch.cat([start, start + torch.cumsum(log_gaps.exp(), -1)], -1)


def log_cumulative_link(
    logit: Float[Tensor, "*batch"], level: Int[Tensor, "*batch"], cuts: Float[Tensor, "*batch cut"]
) -> Float[Tensor, "*batch"]:
    """`log P(level)`, `P(level >= j) = sigmoid(logit - cut_j)` for j = 1 .. levels - 1 (McCullagh 1980).

    The difference of two sigmoids is `s(u) s(-v) (1 - exp(v - u))`, so nothing cancels however far out the logit is.
    """
    padded = F.pad(F.pad(cuts, (1, 0), value=-FAR), (0, 1), value=FAR)
    lower = padded.gather(-1, level.unsqueeze(-1)).squeeze(-1)
    upper = padded.gather(-1, level.unsqueeze(-1) + 1).squeeze(-1)
    return F.logsigmoid(logit - lower) + F.logsigmoid(upper - logit) + log1mexp(upper - lower)


def log_mixture(
    log_model: Float[Tensor, "*batch"],
    log_skill: Float[Tensor, "*batch"],
    log_lapse: Float[Tensor, "*batch"],
    log_noise: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """`log((1 - eps) exp(log_model) + eps exp(log_noise))`, `log_skill = log(1 - eps)`, `log_lapse = log eps`."""
    return torch.logaddexp(log_skill + log_model, log_lapse + log_noise)


def compare(
    first: Float[Tensor, "*batch"],
    second: Float[Tensor, "*batch"],
    level: Int[Tensor, "*batch"],
    cuts: Float[Tensor, "*batch cut"] | None,
    slope: Float[Tensor, "*batch"],
    side: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """`CL(slope * (G_first - G_second) + side)`: level 0 is "the second is far better".

    Two levels are Bradley-Terry and need no `cuts` (they are 0). Symmetric cuts give Rao-Kupper for three levels
    (`cut = log theta`) and strength of preference for seven.
    """
    logit = slope * (first - second) + side
    if cuts is None:  # Bradley-Terry, the common case, in a third of the operations
        return F.logsigmoid(logit * (2 * level - 1))
    return log_cumulative_link(logit, level, cuts)


def plackett_luce(
    values: Float[Tensor, "*batch place"], valid: Bool[Tensor, "*batch place"], slope: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """`sum_i (v_i - log sum_(j >= i) exp v_j)`, best first, `v = slope * G`; places that are not valid do not count."""
    scaled = (values * slope.unsqueeze(-1)).masked_fill(~valid, LEAST)
    remaining = torch.logcumsumexp(scaled.flip(-1), -1).flip(-1)
    return torch.where(valid, scaled - remaining, 0.0).sum(-1)


def log_uniform_order(valid: Bool[Tensor, "*batch place"]) -> Float[Tensor, "*batch"]:
    """`-log n!`: every order of n valid places is as likely."""
    return -torch.lgamma(valid.sum(-1).to(torch.get_default_dtype()) + 1.0)


def rate(
    value: Float[Tensor, "*batch"],
    level: Int[Tensor, "*batch"],
    cuts: Float[Tensor, "*batch cut"],
    slope: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """Cumulative link on `slope * G` with the annotator's own thresholds; G is a mean over steps."""
    return log_cumulative_link(slope * value, level, cuts)


def rate_gaussian(
    value: Float[Tensor, "*batch"],
    score: Float[Tensor, "*batch"],
    slope: Float[Tensor, "*batch"],
    intercept: Float[Tensor, "*batch"],
    log_sd: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """The plain form of a rating, `score ~ Normal(slope * G + intercept, sd^2)`: least squares up to its constant."""
    error = (score - slope * value - intercept) * torch.exp(-log_sd)
    return -0.5 * error.square() - log_sd - 0.5 * math.log(2.0 * math.pi)


def approve(
    value: Float[Tensor, "*batch"],
    approved: Int[Tensor, "*batch"],
    threshold: Float[Tensor, "*batch"],
    slope: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """`P(approved) = sigmoid(slope * G - threshold)`, each annotator its own threshold; G is a mean over steps."""
    return F.logsigmoid((slope * value - threshold) * (2 * approved - 1))


def demonstrate(
    values: Float[Tensor, "*batch place"],
    valid: Bool[Tensor, "*batch place"],
    log_weight: Float[Tensor, "*batch place"],
    slope: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """`v_0 - log sum_j w_j exp v_j`: the demonstration, in place 0, first against samples of the policy.

    `log_weight` corrects for how the samples were drawn (minus their log-probability, up to a constant), so that the
    sum estimates maximum-entropy IRL's partition function (Finn et al. 2016, eq. 4). The demonstration itself is in
    the sum, which bounds the likelihood by 1 where its own weight is 1.
    """
    scaled = values * slope.unsqueeze(-1)
    weighted = (scaled + log_weight).masked_fill(~valid, LEAST)
    return scaled[..., 0] - torch.logsumexp(weighted, -1)
