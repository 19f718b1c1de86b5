"""Our side of bench.text_vs_trl, with the arguments of bench/peers/trl_text.py.

    python -m bench.text_side WHAT FORM MODEL_FOLDER PROMPTS GROUP TOKENS STEPS [--beta B] [--rate R] [--scorer S]
        [--epochs E] --seed SEED

FORM is the precision of the weights; the optimiser's are float32 in either. No end is ever drawn: it is a token that
is not there. What is compared for dpo and a reward is plain text, as trl takes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from accord.backbones import text
from accord.backbones.text import LanguageModel
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.offline import Offline, OfflineConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.policies.text.rollout import Engine
from accord.rewards.sequence import Learner, SequenceConfig, read
from accord.types import Comparisons, Evidence, Feedback, LearnedReward, Reply, Scored, Shaping
from bench.harness import ROOT

sys.path.insert(0, str(ROOT / "bench" / "peers"))  # where the peers' scripts find them

from protocol import Clock, finish, warm_up
from text_work import PAIRED, Steps, Work, pairs, work

WHATS, FORMS = ("grpo", "rloo", "ppo", "dpo", "reward"), ("auto", "float32", "bfloat16")
NOWHERE = -1  # the number of a token that is never drawn


class Endless:
    """A tokenizer without an end."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.end, self.size, self.hash = inner, NOWHERE, inner.size, inner.hash

    def encode(self, text: str) -> list[int]:
        return self.inner.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.inner.decode(ids)

    def asked(self, prompt: str) -> list[int]:
        return self.inner.asked(prompt)


class Beginnings:
    """The same prompts for every update."""

    def __init__(self, prompts: list[str]) -> None:
        self.prompts, self.responses = prompts, 0

    def draw(self, count: int, seed: int) -> list[str]:
        return self.prompts[:count]

    def took(self, responses: int) -> None:
        self.responses += responses


class Fixed:
    """The reward of both sides."""

    version = 0

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, batch: Sequence[Reply]) -> Scored:
        found = torch.tensor([self.work.score(one.response) for one in batch])
        return Scored(found, torch.zeros_like(found))


class TimedEngine(Engine):
    """Writing that is timed."""

    steps: Steps

    def sample(self, *args: Any, **more: Any) -> Any:
        with self.steps.part("generate"):
            return super().sample(*args, **more)


class Timed(Online):
    """Learning whose parts are timed."""

    def __init__(self, steps: Steps, *args: Any) -> None:
        super().__init__(*args)
        self.watched = steps
        self.actor.engine = TimedEngine(self.actor.acting, self.actor.tokenizer.end)
        self.actor.engine.steps = steps

    def _experience(self, *args: Any) -> Any:
        with self.watched.part("collect"):
            return super()._experience(*args)

    def _learn(self, *args: Any) -> Any:
        with self.watched.part("learn"):
            return super()._learn(*args)


def actor(work: Work, model: LanguageModel) -> Actor:
    """With the peer's learning rate."""
    return Actor(model, ActorConfig(learning_rate=work.rate, precision=work.form), work.seed)


def online(work: Work, steps: Steps) -> list[dict[str, float]]:
    """ppo, rloo or grpo: what is told of every update."""
    whole = text.load(str(work.model))
    model = LanguageModel(whole.decoder, Endless(whole.tokenizer), whole.config, whole.place)
    config = OnlineConfig(
        algorithm=work.what,
        prompts=work.prompts,
        group=work.group,
        epochs=work.epochs if work.what == "ppo" else 1,
        minibatch=work.batch,
        kl=work.beta,
        unfinished=0.0,
        tokens=work.tokens,
    )
    policy = Timed(steps, Beginnings(work.asked()), actor(work, model), config, work.seed)
    signal = LearnedReward(Fixed(work), shaping=Shaping(kl_coefficient=work.beta))
    return [updated(policy, signal, work, steps, number) for number in range(work.steps)]


def offline(work: Work, steps: Steps) -> list[dict[str, float]]:
    """dpo."""
    policy = Offline(
        Beginnings(work.asked()),
        actor(work, text.load(str(work.model), chat=False)),
        OfflineConfig(minibatch=work.batch, beta=work.beta),
    )
    return [updated(policy, Feedback(told(work), work.beta), work, steps, number) for number in range(work.steps)]


def told(work: Work) -> Evidence:
    """The pairs that dpo and a reward learn from."""
    asked, chosen, rejected = zip(*pairs(work, work.batch), strict=True)
    replies = [Reply(*one) for responses in (chosen, rejected) for one in zip(asked, responses, strict=True)]
    each = np.arange(work.batch)
    answers = Comparisons(each, work.batch + each, np.ones_like(each), np.zeros_like(each), 2)
    return Evidence(replies, np.tile(each, 2), ("somebody",), (answers,), (each >= 0,))


def reward(work: Work, steps: Steps) -> list[dict[str, float]]:
    """All weights of a model with a head."""
    model, evidence = text.load(str(work.model), chat=False), told(work)
    device = torch.device("cpu")
    model.decoder.moved(device, text.quickest(model.decoder, device))
    config = SequenceConfig(rank=0, minibatch=work.batch, learning_rate=work.rate)
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    learner = Learner(model.decoder, evidence, *read(model.tokenizer, replies), config)
    found = []
    for _ in range(work.steps):
        found.append({"loss": learner.update(learner.answers)})
        steps.mark()
    return found


def updated(policy: Any, signal: Any, work: Work, steps: Steps, number: int) -> dict[str, float]:
    """One update, after which the clock is looked at."""
    metrics = policy.improve(signal, work.batch, work.seed * 1000 + number)
    steps.mark()
    return metrics.extra


def main(work: Work) -> None:
    warm_up()
    steps, clock = Steps(), Clock()
    updates = {"dpo": offline, "reward": reward}.get(work.what, online)(work, steps)
    seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    logged = {name: [one[name] for one in updates] for name in updates[0]}
    rewards = logged["loss" if work.what in PAIRED else "score"]
    finish(seconds, cpu_seconds, rewards, **steps.figures(work.batch), logged=logged)


if __name__ == "__main__":
    main(work(FORMS, WHATS))
