"""A language model that learns: the weights that move, the reference that does not, and the engine that writes.

Full: every weight moves and the reference is a copy. With adapters: the model is one, frozen, and the reference is the
model without them; the engine writes with a copy into which they are merged after every update.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord import runtime
from accord.backbones.batches import foretold, micro_batches
from accord.backbones.masters import Masters
from accord.backbones.sharding import ALONE, Share, shard, whole
from accord.backbones.text import LanguageModel, quickest
from accord.policies.text.rollout import Engine
from accord.policies.text.served import Served
from accord.ranges import inside
from accord.types import InputError, Reply

RATE, RATE_WEIGHTS, RATE_POWER, ADAPTED = 3e-6, 1e9, 0.6, 10.0


@dataclass(frozen=True)
class ActorConfig:
    """How the weights are held."""

    rank: int = 0  # of adapters on every product; 0: all weights move
    alpha: float | None = None  # None: twice the rank
    learning_rate: float | None = None  # None: 3e-6 at a billion weights, as their number^-.6; of adapters ten times
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where that is faster
    device: str = "auto"
    server: str = ""  # of vLLM, which writes in place of the engine (`served.py`); with adapters alone

    def __post_init__(self) -> None:
        if self.server and not self.rank:
            raise InputError("policy.server is given and policy.rank is 0; a server takes adapters: set policy.rank.")
        inside("policy.rank", self.rank, 0, 4096)


def rate(config: ActorConfig, weights: int) -> float:
    """The learning rate: the configured one, or by the number of weights."""
    if config.learning_rate is not None:
        return config.learning_rate
    found = RATE * (RATE_WEIGHTS / weights) ** RATE_POWER
    return found * ADAPTED if config.rank else found


class Actor:
    """One model in its parts. With several processes each has all of this, and a share of the weights that move."""

    def __init__(self, model: LanguageModel, config: ActorConfig, seed: int, share: Share = ALONE) -> None:
        self.model, self.tokenizer, self.config, self.share = model, model.tokenizer, config, share
        device = runtime.device(config.device)
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(config.precision)
        self.decoder = model.decoder.moved(device, dtype or quickest(model.decoder, device))
        if device.type == "cuda":
            self.decoder.compiled()
        self.acting = self.frozen = self.decoder
        self.served = None
        count = sum(one.numel() for one in self.decoder.parameters())
        if config.rank:
            if not config.server:
                self.acting = copy.deepcopy(self.decoder)
            self.decoder.adapt(config.rank, config.alpha or 2.0 * config.rank, seed)
        else:
            self.frozen = copy.deepcopy(self.decoder).requires_grad_(False)
            if share.size > 1:
                self.acting = copy.deepcopy(self.frozen)
        shard(self.decoder, share)
        self.rate = rate(config, count)
        self.masters = Masters(self.decoder.parameters(), self.rate)
        self.engine: Engine | Served = Engine(self.acting, model.tokenizer.end)
        if config.server:
            context = self.decoder.shape.context
            self.engine = self.served = Served(config.server, model.tokenizer.end, context, device)

    def replies(self, prompts: Sequence[str], responses: Sequence[Sequence[int]]) -> list[Reply]:
        """Responses as text, one to each prompt, with the tokens that they were written in."""
        tokenizer = self.tokenizer
        return [
            Reply(prompt, tokenizer.decode(ids), tuple(ids), tokenizer.hash)
            for prompt, ids in zip(prompts, responses, strict=True)
        ]

    def step(self) -> float:
        """One step down the gradient that micro-batches have left."""
        return self.masters.step()

    def forget(self) -> None:
        """What micro-batches have left since the last step."""
        self.masters.forget()

    @torch.no_grad()
    def refresh(self) -> None:
        """The engine's copy, or the server, takes over what was learned."""
        if self.served is not None:
            self.served.take(self.decoder)
            return
        if self.acting is self.decoder:
            return
        if not self.config.rank:
            for here, there in zip(self.acting.parameters(), self.decoder.parameters(), strict=True):
                here.copy_(whole(there))
            return
        for (_, here), (_, there) in zip(self.acting.projections(), self.decoder.projections(), strict=True):
            here.weight.copy_(there.merged(whole))

    @torch.no_grad()
    def reference(
        self,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        valid: Bool[Tensor, "reply time"],
        temperature: float,
        memory: int,
        states: bool = False,
    ) -> tuple[Float[Tensor, "reply time"], Float[Tensor, "reply time width"] | None]:
        """The reference's log-probabilities of responses, 0 beyond their ends; with its hidden states where wanted."""
        found = torch.zeros(valid.shape, device=valid.device)
        state = None
        if states:
            width = self.decoder.shape.width
            state = torch.zeros(*valid.shape, width, device=valid.device, dtype=self.decoder.embedding.dtype)
        with self.frozen.bare() if self.frozen is self.decoder else nullcontext():
            for batch in (one.to(valid.device) for one in micro_batches(prompts, responses, budget=memory)):
                log_prob, _, hidden = foretold(self.frozen, batch, temperature)
                found[batch.reply, batch.time] = log_prob
                if state is not None:
                    state[batch.reply, batch.time] = hidden
        return found, state

    def save(self, folder: Path) -> None:
        """What moves, as safetensors: masters and moments."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.cpu().contiguous() for k, v in self.masters.tensors().items()}, folder / "policy.safetensors")

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        self.masters.restore(load_file(folder / "policy.safetensors"))
        self.refresh()
