"""Our side of bench.text_vs_trl, with the arguments of bench/peers/trl_text.py.

    python -m bench.text_side WHAT FORM MODEL_FOLDER PROMPTS GROUP TOKENS STEPS [--beta B] --seed SEED

FORM is the precision of the weights; the optimiser's are float32 in either. No end is ever drawn: it is a token that
is not there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from accord.backbones import text
from accord.backbones.text import LanguageModel
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.policies.text.rollout import Engine
from accord.types import LearnedReward, Reply, Scored, Shaping
from bench.harness import ROOT

sys.path.insert(0, str(ROOT / "bench" / "peers"))  # where the peers' scripts find them

from protocol import Clock, finish, warm_up
from text_work import PAIRED, Steps, Work, score, work

FORMS = ("auto", "float32", "bfloat16")
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


class Letters:
    """The reward of both sides."""

    version = 0

    def __call__(self, batch: Sequence[Reply]) -> Scored:
        found = torch.tensor([score(one.response) for one in batch])
        return Scored(found, torch.zeros_like(found))


class TimedEngine(Engine):
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


def online(work: Work, steps: Steps) -> tuple[list[float], dict[str, list[float]]]:
    """ppo, rloo or grpo: the mean reward of every update, and all that is told of it."""
    whole = text.load(str(work.model))
    model = LanguageModel(whole.decoder, Endless(whole.tokenizer), whole.config, whole.place)
    actor = Actor(model, replace(ActorConfig(), learning_rate=work.rate, precision=work.form), work.seed)
    config = OnlineConfig(
        algorithm=work.what,
        prompts=work.prompts,
        group=work.group,
        minibatch=work.batch,
        kl=work.beta,
        unfinished=0.0,
        tokens=work.tokens,
    )
    task = Beginnings(work.asked())
    policy = Timed(steps, task, actor, config, work.seed)
    signal = LearnedReward(Letters(), shaping=Shaping(kl_coefficient=work.beta))
    told: dict[str, list[float]] = {}
    for number in range(work.steps):
        metrics = policy.improve(signal, work.batch, work.seed * 1000 + number)
        steps.mark()
        for name, value in metrics.extra.items():
            told.setdefault(name, []).append(value)
    return told["score"], told


def main(work: Work) -> None:
    warm_up()
    steps, clock = Steps(), Clock()
    rewards, told = online(work, steps)
    finish(clock.seconds(), clock.cpu_seconds(), rewards, **steps.figures(work.batch), logged=told)


if __name__ == "__main__":
    main(work(FORMS, tuple(set(("grpo", "rloo", "ppo")))))
