"""Golden: the gradient of pairs taken a part at a time is that of all pairs at once, for DPO and IPO."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from accord.backbones import weights
from accord.backbones.decoder import Decoder, Shape
from accord.backbones.text import LanguageModel
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.offline import Judged, Offline, OfflineConfig


class Numbers:
    """A tokenizer that is never asked."""

    end, size, hash = 0, 40, "numbers"

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    decode = asked = encode


class Nobody:
    """A task that nothing is drawn from."""

    def draw(self, count: int, seed: int) -> list[str]:
        raise NotImplementedError

    def took(self, responses: int) -> None:
        raise NotImplementedError


def policy(algorithm: str, memory: int) -> Offline:
    torch.manual_seed(0)
    decoder = Decoder(Shape(16, 24, 2, 4, 2, 4, 40, 64))
    with torch.no_grad():
        for one in decoder.parameters():
            one.normal_(std=0.4)
    model = LanguageModel(decoder, Numbers(), weights.config_of(decoder.shape), Path("nowhere"))
    actor = Actor(model, ActorConfig(precision="float32", device="cpu"), seed=0)
    return Offline(Nobody(), actor, OfflineConfig(algorithm=algorithm, memory=memory))


def judged() -> Judged:
    rng = random.Random(0)
    asked = [[rng.randrange(40) for _ in range(rng.randint(1, 6))] for _ in range(3)]
    prompts = [asked[k % 3] for k in range(12)]
    responses = [[rng.randrange(40) for _ in range(rng.randint(1, 8))] for _ in prompts]
    pairs = np.array([(k, other) for k in range(12) for other in range(k) if other % 3 == k % 3])
    level = np.arange(len(pairs)) % 3  # ties too
    none = np.zeros(0, np.int64)
    return Judged(prompts, responses, pairs[:, 0], pairs[:, 1], level, np.full(len(pairs), 3), none, none.astype(bool))


@pytest.mark.parametrize("algorithm", ["dpo", "ipo"])
@pytest.mark.parametrize("memory", [1, 60, 10_000])
def test_golden_pairs_a_part_at_a_time_give_the_gradient_of_all_at_once(algorithm: str, memory: int):
    made, answers = policy(algorithm, memory), judged()
    pairs = torch.tensor([0, 2, 3, 5, 8, 11, 13])
    parts = made._parts(answers, pairs, memory)
    assert sorted(int(pair) for part in parts for pair in part) == pairs.tolist()
    assert (len(parts) == 1) == (memory == 10_000)
    many = torch.tensor([len(one) for one in answers.responses])
    reference = -2.0 * many.float()
    found = []
    for way, rest in ((made._once, (pairs,)), (made._twice, (pairs, pairs[:0]))):
        told = way(answers, *rest, reference, many, 0.1, memory)
        found.append((told, [one.grad for one in made.actor.decoder.parameters()]))
        made.actor.decoder.zero_grad(set_to_none=True)
    ((ratio, loss), slopes), ((ratio_all, loss_all), slopes_all) = found
    assert loss == pytest.approx(loss_all, rel=1e-5)
    decided = pairs.numpy()[answers.level[pairs.numpy()] != 1]  # ipo reads no others
    used = np.unique(np.concatenate([answers.first[decided], answers.second[decided]]))
    torch.testing.assert_close(ratio[used], ratio_all[used], rtol=1e-4, atol=1e-4)
    for one, other in zip(slopes, slopes_all, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()) + 1e-7)
