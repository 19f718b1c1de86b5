"""A policy of text made to fit into memory, before its first step."""

from __future__ import annotations

from collections.abc import Sequence

from accord.backbones import memory
from accord.backbones.memory import MemoryPlan, Wanted
from accord.policies.text.offline import Offline
from accord.policies.text.online import Online

LONGEST = 100  # prompts of most letters whose tokens are counted


def fitted(policy: Online | Offline, prompts: Sequence[str], free: int | None = None, beside: int = 0) -> MemoryPlan:
    """What will fit, with the policy set to it; `free` bytes (None: what its device has now), less those that something
    else will take `beside` it.

    Raises InputError where nothing fits.
    """
    actor, config = policy.actor, policy.config
    some = sorted(prompts, key=len)[-LONGEST:]
    longest = max(len(actor.tokenizer.asked(prompt)) for prompt in some)
    responses = 2 if isinstance(policy, Offline) else 1  # that stay together in a micro-batch
    wanted = Wanted(
        rows=config.prompts * (config.group or 1),
        places=longest + config.tokens,
        memory=config.memory,
        least=longest + responses * config.tokens,
    )
    room = memory.free(actor.decoder.embedding.device) if free is None else free
    found = memory.plan(actor.decoder, wanted, room, beside)
    policy.room.tokens = found.memory
    return found
