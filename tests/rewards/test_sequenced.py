"""Golden, contract: a language model as a fitted reward values replies as by itself, and stays through a save."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accord.rewards import fitted, sequence, sequenced
from accord.rewards.fit import RewardConfig
from accord.rewards.fit import fit as fit_rows
from accord.rewards.fitted import FittedReward
from accord.rewards.replied import Replied
from accord.rewards.sequence import Values
from accord.types import Evidence, InputError, Reply
from tests.policies.text.tiny import model
from tests.rewards.test_sequence import QUICK, compared


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence.text, "load", lambda name: model(3))


def made(evidence: Evidence, members: int = 2) -> tuple[FittedReward, list[Reply]]:
    reward = sequenced.fit(evidence, replace(QUICK, members=members, epochs=2), 5, version=4)
    return reward, [one for one in evidence.segments if isinstance(one, Reply)]


@pytest.mark.usefixtures("tiny")
def test_golden_it_values_replies_as_the_model_does():
    reward, replies = made(compared(24))
    assert isinstance(reward.encode, Values)
    own = reward.encode.reward
    told, alone = Replied(reward)(replies), own(replies)
    torch.testing.assert_close(told.mean, alone.mean)
    torch.testing.assert_close(told.spread, alone.spread)
    gap = own.values(replies) * own.scale[:, None]  # in nats, as the likelihood of answers has it
    np.testing.assert_allclose(reward.value(replies), gap.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("tiny")
def test_contract_it_stays_through_a_save(tmp_path: Path):
    reward, replies = made(compared(24))
    reward.save(tmp_path)
    again = fitted.load(tmp_path)
    assert (again.version, again.names) == (4, ("somebody",))
    np.testing.assert_array_equal(again.value(replies), reward.value(replies))


def test_golden_on_a_policy_s_frozen_weights_it_is_the_same_reward():
    """The policy keeps its adapters, and no weight is held twice."""
    evidence, own = compared(24), model(3)
    alone = sequenced.fit(evidence, QUICK, 5, model=model(3))
    own.decoder.adapt(2, 4.0, seed=1)
    with torch.no_grad():
        for _, one in own.decoder.projections():
            for high in one.up or ():
                high.fill_(0.1)
    before = {name: one.clone() for name, one in own.decoder.named_parameters()}
    beside = sequenced.fit(evidence, QUICK, 5, model=replace(own, decoder=own.decoder.twin()))
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    np.testing.assert_array_equal(beside.value(replies), alone.value(replies))
    assert isinstance(beside.encode, Values)
    theirs = {id(one) for one in beside.encode.reward.decoder.parameters()}
    shared = [one for one in own.decoder.parameters() if not one.requires_grad]
    assert shared and all(id(one) in theirs for one in shared)
    for name, one in own.decoder.named_parameters():
        assert torch.equal(one, before[name])


def test_contract_other_fits_say_that_it_is_not_theirs():
    with pytest.raises(InputError, match=r'reward\.kind is "sequence", a language model that a run of text fits'):
        fit_rows(compared(4), RewardConfig(kind="sequence"), discrete=False, terminates=False, seed=0)


def test_golden_a_record_holds_what_counts_for_its_kind():
    told = RewardConfig(kind="sequence", pessimism=0.5).record()
    assert set(told) == {"kind", "pessimism", "sequence"} and told["pessimism"] == 0.5
    assert "sequence" not in RewardConfig(kind="kernel").record()
