"""Golden, invariance, learning: objectives against plain ones, micro-batches against a batch, a tiny task learned."""

import numpy as np
import pytest
import torch

from accord.functional import kl
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.fitting import fitted
from accord.policies.text.online import Online, OnlineConfig
from accord.types import InputError, LearnedReward, NotFinite, Shaping
from tests.policies.text.tiny import Counts, Prompts, Valued, model

SIGNAL = LearnedReward(Counts(), shaping=Shaping(kl_coefficient=0.05))


def made(algorithm: str, rank: int = 0, rate: float = 3e-3, **options) -> Online:
    config = OnlineConfig(algorithm, prompts=8, group=4, tokens=12, minibatch=32, **options)
    return Online(Prompts(), Actor(model(), ActorConfig(rank=rank, learning_rate=rate), 0), config, 0)


def gradients(policy: Online) -> list[torch.Tensor]:
    return [torch.zeros(()) if one.grad is None else one.grad.clone() for one in policy.actor.masters.masters]


def plain(policy: Online, made, advantage: torch.Tensor, beta: float) -> torch.Tensor:
    """The objective as the papers write it, response by response, on whole tables of logits."""
    config, total = policy.config, torch.zeros(())
    tokens = sum(map(len, made.responses))
    for k, (prompt, response) in enumerate(zip(made.prompts, made.responses, strict=True)):
        logits = policy.actor.decoder(torch.tensor([[*prompt, *response]]))[0] @ policy.actor.decoder.head.T
        rows = (logits / config.temperature).log_softmax(1)[len(prompt) - 1 : -1]
        log_prob = rows.gather(1, torch.tensor(response)[:, None])[:, 0]
        many = len(response)
        ratio = (log_prob - made.log_prob[k, :many]).exp()
        gain = torch.minimum(
            ratio * advantage[k, :many], ratio.clamp(1 - config.clip, 1 + config.clip_high) * advantage[k, :many]
        )
        if config.algorithm == "grpo":
            log = made.reference[k, :many] - log_prob
            gain = gain - beta * (log.exp() - log - 1)
        way = {"ppo": "token", "rloo": "sum"}.get(config.algorithm, config.average)
        over = {
            "token": tokens,
            "sum": len(made.responses),
            "sequence": many * len(made.responses),
            "length": config.tokens * len(made.responses),
        }[way]
        total = total - gain.sum() / over
    return total


CASES = [
    ("ppo", {}),
    ("rloo", {"temperature": 0.7}),
    ("grpo", {"average": "sequence", "scale": "group"}),
    ("grpo", {"average": "token", "clip_high": 0.28}),
    ("grpo", {"average": "length", "scale": "none"}),
]


@pytest.mark.parametrize(("algorithm", "options"), CASES)
@pytest.mark.parametrize("memory", [4096, 60])
def test_golden_gradients_are_those_of_the_plain_objective(algorithm, options, memory, monkeypatch):
    policy = made(algorithm, memory=memory, epochs=1, **options)
    monkeypatch.setattr(policy.actor, "step", lambda: 0.0)
    experience = policy._experience(SIGNAL, 0)
    advantage, _ = policy._advantages(experience, 0.05)
    policy._learn(experience, SIGNAL.shaping, 0)
    ours = gradients(policy)
    policy.actor.masters.optimiser.zero_grad()
    plain(policy, experience, advantage, 0.05).backward()
    for mine, theirs in zip(ours, gradients(policy), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
@pytest.mark.parametrize("memory", [250, 60])
def test_invariance_micro_batches_make_the_step_of_the_batch(algorithm, memory):
    whole, cut = made(algorithm), made(algorithm, memory=memory)
    for policy in (whole, cut):
        policy.improve(SIGNAL, 32, 0)
    for one, other in zip(whole.actor.masters.masters, cut.actor.masters.masters, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_golden_advantages_of_ppo_end_in_the_score():
    policy = made("ppo", gamma=1.0, lambda_=1.0)
    experience = policy._experience(SIGNAL, 0)
    policy.critic.value = lambda state: torch.zeros(state.shape[:-1])  # a critic that knows nothing
    _, target = policy._advantages(experience, 0.05)
    penalty = kl.k1(experience.log_prob, experience.reference) * experience.valid
    for k, many in enumerate(map(len, experience.responses)):  # what is still to come: the score less the penalties
        assert target[k, 0].item() == pytest.approx((experience.score[k] - 0.05 * penalty[k].sum()).item(), abs=1e-5)
        assert target[k, many - 1].item() == pytest.approx(
            (experience.score[k] - 0.05 * penalty[k, many - 1]).item(), abs=1e-5
        )


def test_golden_the_guard_is_near_nothing_before_a_step():
    assert made("rloo").improve(SIGNAL, 32, 0).extra["guard"] < 1e-4


@pytest.mark.parametrize(("algorithm", "rank"), [("ppo", 0), ("rloo", 0), ("grpo", 0), ("rloo", 4)])
def test_learning_more_of_the_letter_that_is_wanted(algorithm, rank):
    policy, signal = made(algorithm, rank, rate=1e-2), LearnedReward(Counts(), shaping=Shaping(kl_coefficient=0.002))
    before = policy.improve(signal, 32, 0).extra["score"]
    after = policy.improve(signal, 32 * 30, 1).extra["score"]
    assert after > before + 0.1  # of random weights about .03 of the letters are a
    assert policy.task.taken == policy.steps >= 32 * 31


def test_invariance_a_saved_policy_goes_on_as_it_would_have(tmp_path):
    whole, cut = made("ppo"), made("ppo")
    for policy in (whole, cut):
        policy.improve(SIGNAL, 64, 0)
    cut.save(tmp_path)
    fresh = made("ppo")
    fresh.load(tmp_path)
    for policy in (whole, fresh):
        policy.improve(SIGNAL, 64, 7)
    for one, other in zip(whole.actor.masters.masters, fresh.actor.masters.masters, strict=True):
        assert torch.equal(one, other)
    assert (fresh.version, fresh.steps) == (whole.version, whole.steps)


def test_golden_the_budget_of_kl_ends_an_improvement():
    policy = made("rloo")
    metrics = policy.improve(LearnedReward(Counts(), shaping=Shaping(kl_budget=0.0)), 320, 0)
    later = policy.improve(LearnedReward(Counts(), shaping=Shaping(kl_budget=0.0)), 320, 1)
    assert metrics.steps < 320 and later.updates == 0  # beyond it nothing is learned


def test_golden_what_cannot_be_learned_from_is_refused():
    class Nothing:
        version = 1

        def __call__(self, replies):
            mean = torch.full((len(replies),), float("nan"))
            return Valued(mean, mean)

    with pytest.raises(NotFinite, match=r"the reward of response 0 is no number"):
        made("rloo").improve(LearnedReward(Nothing()), 32, 0)
    with pytest.raises(InputError, match=r'policy.group is 1, and "rloo" compares responses to one prompt'):
        OnlineConfig("rloo", group=1)
    with pytest.raises(InputError, match=r"policy.clip is 0; it must be between"):
        OnlineConfig(clip=0.0)


def test_invariance_the_same_seed_learns_the_same():
    first, second = made("grpo"), made("grpo")
    for policy in (first, second):
        policy.improve(SIGNAL, 64, 3)
    assert np.array_equal(*(policy.actor.masters.masters[0].detach().numpy() for policy in (first, second)))


def test_invariance_an_adapted_coefficient_goes_on_where_it_was(tmp_path):
    aimed = LearnedReward(Counts(), shaping=Shaping(kl_coefficient=0.05, kl_target=1e-6))
    policy = made("rloo")
    policy.improve(aimed, 32, 0)
    assert policy.beta == pytest.approx(0.05 * 0.98)  # before anything was learned there is no divergence
    policy.improve(aimed, 32, 1)
    assert policy.beta == pytest.approx(0.05 * 0.98 * 1.02)
    policy.save(tmp_path)
    again = made("rloo")
    again.load(tmp_path)
    assert again.beta == policy.beta


def test_golden_a_policy_is_set_to_what_fits_and_learns_the_same():
    roomy, tight = made("grpo"), made("grpo")
    assert fitted(roomy, ["ab", "hello"], 2**30).memory == roomy.room.tokens == roomy.config.memory
    plenty = fitted(roomy, ["ab", "hello"], 2**30)
    assert fitted(roomy, ["ab", "hello"], 2**30, beside=2**20).lasting == plenty.lasting + 2**20
    found = fitted(tight, ["ab", "hello"], int((plenty.lasting + 1_100 * plenty.by_token) / 0.9))
    assert tight.room.tokens == found.memory == 1_024 and not found.again
    for policy in (roomy, tight):
        policy.improve(SIGNAL, 32, 0)
    for one, other in zip(roomy.actor.masters.masters, tight.actor.masters.masters, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
