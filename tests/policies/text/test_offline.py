"""Golden, learning: gradients of the offline family against plain ones, answers that a policy agrees with."""

import numpy as np
import pytest
import torch

from accord.functional import likelihood
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.offline import Offline, OfflineConfig, compared
from accord.policies.text.sft import SFT, SFTConfig, shown_in
from accord.types import (
    Approvals,
    Comparisons,
    Demonstrations,
    Evidence,
    Feedback,
    InputError,
    LearnedReward,
    Reply,
    Shaping,
)
from tests.policies.text.tiny import Counts, Prompts, model

REPLIES = [Reply("ab", "aaaa"), Reply("ab", "hello"), Reply("x", "a, aa."), Reply("x", "to be?"), Reply("ab", "baa")]
PAIRS = Comparisons(np.array([0, 3, 4]), np.array([1, 2, 1]), np.array([1, 0, 1]), np.zeros(3, int), 2)


def answers(*parts) -> Evidence:
    uniform = tuple(np.ones(len(part.annotator), bool) for part in parts)
    return Evidence(REPLIES, np.array([0, 0, 1, 1, 0]), ("teacher",), parts, uniform)


def made(rate: float = 3e-3, **options) -> Offline:
    return Offline(Prompts(), Actor(model(), ActorConfig(learning_rate=rate), 0), OfflineConfig(**options))


def ratios(policy: Offline) -> list[torch.Tensor]:
    """log(pi / ref) of every reply, on whole tables of logits."""
    found = []
    for one in REPLIES:
        tokenizer = policy.actor.tokenizer
        prompt, response = tokenizer.asked(one.prompt), [*tokenizer.encode(one.response), tokenizer.end]
        sums = []
        for net in (policy.actor.decoder, policy.actor.frozen):
            logits = net(torch.tensor([[*prompt, *response]]))[0] @ net.head.T
            rows = logits.log_softmax(1)[len(prompt) - 1 : -1]
            sums.append(rows.gather(1, torch.tensor(response)[:, None]).sum())
        found.append(sums[0] - sums[1].detach())
    return found


def plain(policy: Offline, beta: float) -> torch.Tensor:
    h = ratios(policy)
    many = [len(one.response) + 1 for one in REPLIES]
    wins = [(0, 1), (2, 3), (4, 1)]
    if policy.config.algorithm == "dpo":
        return -torch.stack([torch.nn.functional.logsigmoid(beta * (h[w] - h[v])) for w, v in wins]).mean()
    return torch.stack([(h[w] / many[w] - h[v] / many[v] - 0.5 / beta) ** 2 for w, v in wins]).mean()


@pytest.mark.parametrize("algorithm", ["dpo", "ipo"])
@pytest.mark.parametrize("memory", [4096, 20])
def test_golden_gradients_are_those_of_the_plain_objective(algorithm, memory, monkeypatch):
    policy = made(algorithm=algorithm, memory=memory)
    with torch.no_grad():  # away from the reference, where slopes differ from pair to pair
        for one in policy.actor.decoder.parameters():
            one.add_(0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(1)))
    monkeypatch.setattr(policy.actor, "step", lambda: 0.0)
    policy.improve(Feedback(answers(PAIRS), 0.3), 0, 0)
    ours = [one.grad.clone() for one in policy.actor.masters.masters]
    policy.actor.masters.optimiser.zero_grad()
    plain(policy, 0.3).backward()
    for mine, theirs in zip(ours, policy.actor.masters.masters, strict=True):
        assert torch.allclose(mine, theirs.grad, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["dpo", "ipo", "kto"])
def test_learning_what_won_becomes_likelier_than_what_lost(algorithm):
    policy = made(algorithm=algorithm, epochs=20)
    policy.improve(Feedback(answers(PAIRS), 0.3), 0, 0)
    h = [float(one.detach()) for one in ratios(policy)]
    assert h[0] > h[1] and h[2] > h[3] and h[4] > h[1]


def test_learning_from_approvals_alone():
    policy = made(algorithm="kto", epochs=20)
    part = Approvals(np.array([0, 1, 2]), np.array([True, False, True]), np.zeros(3, int))
    policy.improve(Feedback(answers(part), 0.3), 0, 0)
    h = [float(one.detach()) for one in ratios(policy)]
    assert min(h[0], h[2]) > h[1]


def test_learning_online_from_the_best_and_the_worst_of_a_group():
    policy = made(rate=1e-2, prompts=8, group=4, tokens=12)

    def score() -> float:
        sampled = policy.actor.engine.sample([[1, 2], [24]], 64, policy.sampling, 9)
        texts = [
            policy.actor.tokenizer.decode(row[:many])
            for row, many in zip(sampled.tokens.tolist(), sampled.lengths.tolist(), strict=True)
        ]
        return float(Counts()([Reply("", text) for text in texts]).mean.mean())

    before = score()
    policy.improve(LearnedReward(Counts()), 32 * 30, 0)
    assert score() > before + 0.1 and policy.task.taken == 32 * 30


def test_learning_online_ends_at_the_budget_of_kl():
    free, held = (made(rate=3e-3, group=4, prompts=4, tokens=8, beta=1.0) for _ in range(2))
    free.improve(LearnedReward(Counts()), 400, 0)
    told = held.improve(LearnedReward(Counts(), shaping=Shaping(kl_budget=1.0)), 400, 0)
    assert free.kl > 3.0
    assert told.extra["kl"] == held.kl > 1.0  # of responses that were not learned from any more
    assert held.steps < free.steps


def test_golden_kl_of_its_own_responses_is_how_much_likelier_they_are_than_by_the_reference():
    policy = made(group=2, prompts=2, tokens=8)
    assert policy.improve(LearnedReward(Counts()), 4, 0).extra["kl"] == pytest.approx(0.0, abs=1e-5)
    judged, log_prob = policy._own(LearnedReward(Counts()), 1)
    told = 0.0
    for prompt, response in zip(judged.prompts, judged.responses, strict=True):
        for sign, net in ((1, policy.actor.decoder), (-1, policy.actor.frozen)):
            rows = (net(torch.tensor([[*prompt, *response]]))[0] @ net.head.T).log_softmax(1)[len(prompt) - 1 : -1]
            told += sign * float(rows.gather(1, torch.tensor(response)[:, None]).detach().sum()) / len(judged.prompts)
    assert float((log_prob - policy._reference(judged.prompts, judged.responses).sum(1)).mean()) == pytest.approx(
        told, abs=1e-4
    )


def test_golden_ties_and_strengths_are_read_on_their_scales():
    first, second = torch.tensor([0.4, 0.4, 0.4]), torch.tensor([-0.2, -0.2, -0.2])
    levels = torch.tensor([2, 3, 7])
    found = compared(first, second, torch.tensor([1, 1, 5]), levels, 0.0)
    one, zero = torch.ones(1), torch.zeros(1)
    for k, (level, many) in enumerate(((1, 2), (1, 3), (5, 7))):
        cuts = None if many == 2 else likelihood.symmetric_cuts(torch.zeros((many - 1) // 2), many)[None]
        alone = likelihood.compare(first[:1], second[:1], torch.tensor([level]), cuts, one, zero)
        assert found[k].item() == pytest.approx(alone.item())


def test_learning_what_was_shown_becomes_likely():
    actor = Actor(model(), ActorConfig(learning_rate=1e-2), 0)
    learner = SFT(actor, SFTConfig(epochs=30, minibatch=4))
    part = Demonstrations(np.array([0, 2]), np.array([[1], [3]]), np.zeros((2, 1)), np.zeros(2, int))
    first = learner.improve(Feedback(answers(part), 0.1), 0, 0).extra["loss"]
    again = learner.improve(Feedback(answers(part), 0.1), 0, 1).extra["loss"]
    assert again < first and again < 0.5  # of random weights 3.4 nats a token


def test_golden_what_won_is_what_was_shown():
    assert [one.response for one in shown_in(answers(PAIRS))] == ["aaaa", "baa", "a, aa."]


def test_golden_answers_of_another_kind_are_refused():
    part = Approvals(np.array([0]), np.array([True]), np.zeros(1, int))
    with pytest.raises(InputError, match=r"dpo has no answers that it can learn from: ask people to compare"):
        made(algorithm="dpo").improve(Feedback(answers(part), 0.1), 0, 0)
    with pytest.raises(InputError, match=r"policy.flips is 0.5; it must be between 0 and 0.49"):
        OfflineConfig(flips=0.5)
    with pytest.raises(InputError, match=r"sft has no replies that it can learn from"):
        shown_in(answers(part))
