"""Responses as text, and the best of n of them: counted, told how far from the start, chosen by the reward alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from accord.backbones import text
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.best_of_n import BestOfN, BestOfNConfig
from accord.policies.text.rollout import Sampling
from accord.policies.text.writing import write
from accord.types import Evidence, Feedback, InputError, LearnedReward, NotFinite, Reply, Scored

MODEL = Path(__file__).resolve().parents[3] / "shared" / "data" / "models" / "stories260K.bin"
PROMPTS = ["Tom went to the park.", "Lily saw a big cat."]


@pytest.fixture(scope="module")
def actor() -> Actor:
    if not MODEL.is_file():
        pytest.skip("../shared/data is not here: no story was written.")
    return Actor(text.load(str(MODEL)), ActorConfig(), seed=0)


class Letters:
    """Longer is better."""

    version = 1

    def __call__(self, replies: Sequence[Reply]) -> Scored:
        found = torch.tensor([float(len(one.response)) for one in replies])
        return Scored(found, torch.zeros_like(found))


class Lost(Letters):
    def __call__(self, replies: Sequence[Reply]) -> Scored:
        scored = super().__call__(replies)
        scored.mean[1] = float("nan")
        return scored


def test_golden_responses_answer_their_prompts_and_the_start_model_is_no_way_from_itself(actor: Actor):
    written = write(actor, Sampling(tokens=8), PROMPTS, 3, 0)
    assert [one.prompt for one in written.replies] == [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3
    assert written.kl.numpy() == pytest.approx(0.0, abs=1e-3) and written.tokens.max() <= 8
    assert all(len(one.token_ids) == many for one, many in zip(written.replies, written.tokens.tolist(), strict=True))
    again = write(actor, Sampling(tokens=8), PROMPTS, 3, 0)
    assert again.replies == written.replies and write(actor, Sampling(tokens=8), PROMPTS, 3, 1).replies != again.replies


def test_golden_the_best_of_n_is_the_best_of_what_was_written(actor: Actor, tmp_path: Path):
    config = BestOfNConfig(n=4, tokens=8)
    best = BestOfN(actor, config)
    assert best.write(PROMPTS, 2, 0).replies == write(actor, best.sampling, PROMPTS, 2, 0).replies  # no reward yet
    metrics = best.improve(LearnedReward(Letters()), 100, 0)
    every = write(actor, best.sampling, PROMPTS, 8, 5).replies
    wanted = [max(every[k : k + 4], key=lambda one: len(one.response)) for k in range(0, 16, 4)]
    written = best.write(PROMPTS, 2, 5)
    assert [len(one.response) for one in written.replies] == [len(one.response) for one in wanted]
    assert [one.prompt for one in written.replies] == [PROMPTS[0]] * 2 + [PROMPTS[1]] * 2
    assert written.kl.tolist() == pytest.approx([math.log(4) - 0.75] * 4) and metrics.steps == 0
    best.save(tmp_path)
    other = BestOfN(actor, config)
    other.load(tmp_path)
    assert other.version == best.version == 1


def test_contract_what_it_cannot_choose_by_is_told(actor: Actor):
    best = BestOfN(actor, BestOfNConfig(n=2, tokens=4))
    with pytest.raises(InputError, match="chooses by a reward"):
        best.improve(Feedback(Evidence([], np.zeros(0, np.int64), (), (), ()), 0.1), 1, 0)
    best.improve(LearnedReward(Lost()), 1, 0)
    with pytest.raises(NotFinite, match="the reward of response 1 is no number"):
        best.write(PROMPTS, 2, 0)
    with pytest.raises(InputError, match=r"policy\.n is 0"):
        BestOfNConfig(n=0)
