"""Returns and advantages. Time runs along the first axis; `_t` is this step, `_tp1` the next."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def one_step_return(
    reward_t: Float[Tensor, "*batch"], discount_t: Float[Tensor, "*batch"], value_tp1: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """r_t + discount_t V_tp1; `discount_t` is gamma, and 0 where the task terminated (not where a time limit cut)."""
    return reward_t + discount_t * value_tp1


def generalised_advantage(
    reward_t: Float[Tensor, "time env"],
    value_t: Float[Tensor, "time env"],
    value_tp1: Float[Tensor, "time env"],
    discount_t: Float[Tensor, "time env"],
    ended_t: Bool[Tensor, "time env"],
    lambda_: float,
) -> Float[Tensor, "time env"]:
    """A_t = delta_t + discount_t lambda (1 - ended_t) A_tp1, with delta_t = r_t + discount_t V_tp1 - V_t.

    `discount_t` is gamma, and 0 where the task terminated. `value_tp1` is the value of what the step led to, also
    where a time limit cut the episode: `ended_t` (terminated or cut) only stops the sum, so truncation is
    bootstrapped exactly. Source: Schulman et al., arXiv:1506.02438, equations 11 to 16.
    """
    delta_t = one_step_return(reward_t, discount_t, value_tp1) - value_t
    carry_t = discount_t * lambda_ * (~ended_t)
    advantage_t = torch.empty_like(delta_t)
    carried = torch.zeros_like(delta_t[0])
    for t in range(delta_t.shape[0] - 1, -1, -1):
        carried = delta_t[t] + carry_t[t] * carried
        advantage_t[t] = carried
    return advantage_t


def leave_one_out(score: Float[Tensor, "prompt sample"]) -> Float[Tensor, "prompt sample"]:
    """Each response's score less the mean of the others' to the same prompt.

    Source: Ahmadian et al., arXiv:2402.14740, section 3.3 (REINFORCE leave-one-out; Kool et al. 2019).
    """
    samples = score.shape[1]
    return (score - score.mean(1, keepdim=True)) * (samples / (samples - 1))


def group_relative(
    score: Float[Tensor, "prompt sample"], by: Literal["group", "batch", "none"]
) -> Float[Tensor, "prompt sample"]:
    """Each response's score less its group's mean, over a standard deviation: the group's, the whole batch's, or none.

    Sources: Shao et al., arXiv:2402.03300, section 4.1.2 (group); Liu et al., arXiv:2503.20783 (none: dividing by a
    group's own deviation weighs prompts by how alike their responses are); arXiv:2508.08221 (batch).
    """
    centred = score - score.mean(1, keepdim=True)
    if by == "none":
        return centred
    deviation = score.std(1, keepdim=True) if by == "group" else centred.std()
    return centred / (deviation + ADDED)


ADDED = 1e-4  # to a deviation that is divided by: groups in which all responses score alike teach nothing
