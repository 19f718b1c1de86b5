"""Golden, invariance, learning: a language model as a reward."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from accord.rewards import sequence
from accord.rewards.sequence import Learner, SequenceConfig, fit, read
from accord.types import Approvals, Comparisons, Evidence, InputError, Reply
from tests.policies.text.tiny import Letters, model

QUICK = SequenceConfig(rank=4, epochs=6, minibatch=8, learning_rate=2e-2, memory=60)


def compared(pairs: int = 64, seed: int = 0, levels: int = 2) -> Evidence:
    """The reply with more letters `a` is better; of equal ones neither, where ties can be said."""
    rng = np.random.default_rng(seed)
    replies = [
        Reply(("ab", "to be")[k % 4 // 2], "".join(rng.choice(list("abc"), rng.integers(2, 7))))
        for k in range(2 * pairs)
    ]
    first, second = np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)
    many = np.array([one.response.count("a") / len(one.response) for one in replies])
    level = (np.sign(many[first] - many[second]).astype(np.int64) + 1) * (levels - 1) // 2
    part = Comparisons(first, second, level, np.zeros(pairs, np.int64), levels)
    return Evidence(replies, np.arange(2 * pairs) // 2, ("somebody",), (part,), (np.ones(pairs, bool),))


def learner(evidence: Evidence, config: SequenceConfig = QUICK) -> Learner:
    whole = model(3)
    whole.decoder.adapt(config.rank, 2.0 * config.rank, 0)
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    return Learner(whole.decoder, evidence, *read(Letters(), replies), config)


def test_golden_an_update_goes_down_the_likelihoods_plain_gradient():
    evidence = compared(6)
    one = learner(evidence)
    with torch.no_grad():
        one.head.copy_(torch.randn(len(one.head), generator=torch.Generator().manual_seed(1)))
    plain = copy.deepcopy(one.decoder)
    head = one.head.detach().clone().requires_grad_()
    values = []
    for reply in evidence.segments:
        assert isinstance(reply, Reply)
        row = [*Letters().encode(reply.prompt), *Letters().encode(reply.response), Letters().end]
        values.append(plain(torch.tensor([row]))[0, -1] @ head)
    value = torch.stack(values)
    skill = torch.sigmoid(torch.tensor(1.4))  # the annotators' prior: attending or not, and then either
    part = evidence.parts[0]
    assert isinstance(part, Comparisons)
    sign = torch.from_numpy(2.0 * part.level - 1.0).float()
    gap = sign * (value[part.first] - value[part.second])
    mean = (value[part.first] + value[part.second]) / 2
    expected = (-(skill * gap.sigmoid() + (1 - skill) / 2).log() + QUICK.centre * mean.square()).mean()
    expected.backward()
    for some in one.cut(one.answers, 60):  # in several micro-batches
        (one.loss(some) / len(one.answers)).backward()
    assert one.head.grad is not None and head.grad is not None
    torch.testing.assert_close(one.head.grad, head.grad, rtol=1e-4, atol=1e-6)
    for (name, ours), theirs in zip(one.decoder.named_parameters(), plain.parameters(), strict=True):
        if ours.requires_grad and theirs.grad is not None:
            assert ours.grad is not None
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("memory", [1, 60, 10**6])
def test_invariance_micro_batches_are_the_batch(memory: int):
    evidence, rows = compared(12), []
    for room in (memory, 10**6):
        one = learner(evidence, replace(QUICK, memory=room))
        for _ in range(3):
            one.update(one.answers)
        rows.append(one.head.detach().clone())
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-3, atol=1e-5)


def test_learning_a_reward_foretells_answers_about_new_replies():
    reward = fit(compared(96), model(3), QUICK, 0)
    fresh = compared(200, seed=1)
    replies = [one for one in fresh.segments if isinstance(one, Reply)]
    value, part = reward(replies).mean.numpy(), fresh.parts[0]
    assert isinstance(part, Comparisons)
    many = np.array([one.response.count("a") / len(one.response) for one in replies])
    gap, told = many[part.first] - many[part.second], value[part.first] - value[part.second]
    right = (np.sign(gap) == np.sign(told))[gap != 0].mean()
    assert right > 0.8  # by chance .5


def test_learning_ties_bring_values_together():
    evidence = compared(96, levels=3)
    part = evidence.parts[0]
    assert isinstance(part, Comparisons)
    tied = replace(evidence, parts=(replace(part, level=np.ones_like(part.level)),))
    spread = []
    for one in (evidence, tied):
        made = learner(one)
        for _ in range(8):
            made.update(made.answers)
        spread.append(float(made.head.detach().norm()))
    assert spread[0] > 3 * spread[1]


def test_golden_members_have_one_unit_and_stay_through_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    evidence = compared(24)
    reward = fit(evidence, model(3), replace(QUICK, members=2, epochs=1), 5, version=4)
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    rows = reward.values(replies)
    torch.testing.assert_close(rows.std(1), torch.ones(2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rows.mean(1), torch.zeros(2), rtol=1e-4, atol=1e-4)
    assert float((rows[0] - rows[1]).abs().max()) > 1e-3  # they are not one
    reward.save(tmp_path)
    monkeypatch.setattr(sequence.text, "load", lambda name: model(3))
    again = sequence.load(tmp_path)
    assert again.version == 4
    torch.testing.assert_close(again.values(replies), rows)


def test_invariance_one_fitted_in_bfloat16_is_read_so_and_exactly_where_asked(tmp_path: Path, monkeypatch):
    evidence, whole = compared(24), model(3)
    whole.decoder.moved(torch.device("cpu"), torch.bfloat16)
    reward = fit(evidence, whole, QUICK, 5)
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    reward.save(tmp_path)
    monkeypatch.setattr(sequence.text, "load", lambda name: model(3))
    assert torch.equal(sequence.load(tmp_path).values(replies), reward.values(replies))
    assert sequence.load(tmp_path, exact=True).decoder.embedding.dtype == torch.float32


def test_contract_transformers_reads_it_as_a_classifier(tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    whole, evidence = model(3), compared(24)
    reward = fit(evidence, whole, replace(QUICK, epochs=1), 0)
    reward.export(tmp_path, whole)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, local_files_only=True).eval()
    replies = [one for one in evidence.segments if isinstance(one, Reply)][:5]
    logits = []
    for one in replies:
        row = [*Letters().encode(one.prompt), *Letters().encode(one.response), Letters().end]
        with torch.no_grad():
            logits.append(theirs(input_ids=torch.tensor([row])).logits[0, 0])
    ours = reward.values(replies)[0] + reward.centre[0] / reward.scale[0]
    torch.testing.assert_close(torch.stack(logits).float(), ours, rtol=1e-4, atol=1e-4)


def test_contract_other_kinds_of_answers_count_too():
    evidence = compared(24)
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    good = np.array([one.response.count("a") / len(one.response) > 0.4 for one in replies])
    part = Approvals(np.arange(len(replies)), good, np.zeros(len(replies), np.int64))
    approved = replace(evidence, parts=(part,), uniform=(np.ones(len(replies), bool),))
    made = learner(approved)
    losses = [made.update(made.answers) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0] and np.isfinite(losses).all()


def test_contract_bad_input_is_one_sentence():
    with pytest.raises(InputError, match=r"reward\.sequence\.rank is -1; it must be between 0 and 4,096"):
        SequenceConfig(rank=-1)
    nothing = Evidence([], np.zeros(0, np.int64), (), (), ())
    with pytest.raises(InputError, match="0 answers"):
        fit(nothing, model(), QUICK, 0)
