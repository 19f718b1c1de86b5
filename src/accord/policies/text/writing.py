"""Responses as text: what a policy of text writes to prompts, and how far it is from the reference there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from accord import runtime
from accord.functional import kl
from accord.policies.text.actor import Actor
from accord.policies.text.rollout import Sampling
from accord.types import Reply

CACHE = 1 << 28  # bytes of keys and values that are written with at once


@dataclass(frozen=True, eq=False)
class Written:
    """Response r answers prompt `r // group`. `kl` is in nats a response, estimated (k1) at the response itself."""

    replies: list[Reply]
    kl: Float[Tensor, "reply"]
    tokens: Int[Tensor, "reply"]


Write = Callable[[Sequence[str], int, int], Written]  # prompts, responses to each, and a seed


def write(actor: Actor, sampling: Sampling, prompts: Sequence[str], group: int, seed: int) -> Written:
    """`group` responses to every prompt, as many prompts at once as the cache holds."""
    tokenizer, shape = actor.tokenizer, actor.decoder.shape
    ids = [tokenizer.asked(prompt) for prompt in prompts]
    a_place = 8 * shape.layers * shape.kv_heads * shape.head  # bytes of keys and values, in float32
    a_prompt = group * a_place * (max(map(len, ids), default=1) + sampling.tokens)
    several = max(1, CACHE // a_prompt)
    parts = [
        _write(actor, sampling, prompts[at : at + several], ids[at : at + several], group, runtime.derive(seed, at))
        for at in range(0, len(prompts), several)
    ]
    replies = [reply for part in parts for reply in part.replies]
    return Written(replies, torch.cat([part.kl for part in parts]), torch.cat([part.tokens for part in parts]))


def _write(
    actor: Actor, sampling: Sampling, prompts: Sequence[str], ids: list[list[int]], group: int, seed: int
) -> Written:
    sampled = actor.engine.sample(ids, group, sampling, seed)
    responses, valid = sampled.responses, sampled.valid
    replies = actor.replies([prompt for prompt in prompts for _ in range(group)], responses)
    asked = [one for one in ids for _ in range(group)]
    reference, _ = actor.reference(asked, responses, valid, sampling.temperature, 4096)
    far = kl.sequence_sum(kl.k1(sampled.log_prob, reference), valid)
    return Written(replies, far.float().cpu(), sampled.lengths.cpu())
