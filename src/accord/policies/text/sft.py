"""Supervised fine-tuning: what people showed becomes likelier, the mean of -log pi over the tokens they wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from accord.backbones.batches import foretold, micro_batches
from accord.backbones.memory import Room
from accord.policies.text.actor import Actor
from accord.ranges import within
from accord.types import Comparisons, Demonstrations, Evidence, Feedback, InputError, Metrics, Reply, Signal


@dataclass(frozen=True)
class SFTConfig:
    """Sources beside the defaults."""

    epochs: int = 3  # arXiv:2203.02155 trained for 16 and overfitted after one; small sets want a few
    minibatch: int = 32  # responses an update (arXiv:2203.02155)
    memory: int = 4096  # tokens of a micro-batch

    def __post_init__(self) -> None:
        within("policy", self, {"epochs": (1, 100), "minibatch": (1, 10**6), "memory": (1, 10**9)})


class SFT:
    """The `Policy` protocol for text, learning from demonstrations, corrections, and what won a comparison."""

    def __init__(self, actor: Actor, config: SFTConfig) -> None:
        self.actor, self.config = actor, config
        self.room = Room(config.memory)
        self.version = self.steps = 0

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """All that was shown, `epochs` times. Raises InputError where nothing was."""
        if not isinstance(signal, Feedback):
            raise InputError("sft learns from what people show, not from a reward: choose ppo, rloo or grpo.")
        began, tokenizer = time.perf_counter(), self.actor.tokenizer
        shown = shown_in(signal.answers)
        prompts = [tokenizer.asked(one.prompt) for one in shown]
        responses = [[*tokenizer.encode(one.response), tokenizer.end] for one in shown]
        updates, loss = self.learn(prompts, responses, seed)
        self.version += 1
        return Metrics(0, time.perf_counter() - began, updates, {"loss": loss})

    def learn(
        self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], seed: int
    ) -> tuple[int, float]:
        """The epochs; returns the updates and the last epoch's loss in nats a token."""
        config, actor, rng = self.config, self.actor, np.random.default_rng(seed)
        device, updates, loss = actor.decoder.embedding.device, 0, 0.0
        for _ in range(config.epochs):
            order, loss, tokens = rng.permutation(len(prompts)), 0.0, sum(map(len, responses))
            for some in np.array_split(order, max(1, round(len(order) / config.minibatch))):
                many = sum(len(responses[k]) for k in some)
                longest = max(len(prompts[k]) + len(responses[k]) for k in some)

                def work(room: int, some: np.ndarray = some, many: int = many) -> float:
                    summed = 0.0
                    for batch, counts in actor.share.of(micro_batches(prompts, responses, some.tolist(), room)):
                        log_prob = counts * foretold(actor.decoder, batch.to(device))[0]
                        (-log_prob.sum() / many).backward()
                        summed -= float(log_prob.detach().sum())
                    return float(actor.share.summed(torch.tensor(summed)))

                loss += self.room.within(work, actor.forget, longest) / tokens
                actor.step()
                updates += 1
        actor.refresh()
        return updates, loss


def shown_in(answers: Evidence) -> list[Reply]:
    """Every demonstration, every correction, and every response that won a comparison, once."""
    places: list[int] = []
    for part in answers.parts:
        if isinstance(part, Demonstrations):
            places += part.chosen.tolist()
        elif isinstance(part, Comparisons):
            half = (part.levels - 1) / 2
            places += part.first[part.level > half].tolist() + part.second[part.level < half].tolist()
    found = [answers.segments[place] for place in dict.fromkeys(places)]
    replies = [one for one in found if isinstance(one, Reply)]
    if not replies or len(replies) < len(found):
        raise InputError("sft has no replies that it can learn from: ask people to demonstrate, correct or compare.")
    return replies
