"""Golden, invariance: what is written, how likely it was, and that neighbours, order and closing up change nothing."""

import pytest
import torch

from accord.backbones.batches import micro_batches, table
from accord.policies.text.rollout import Engine, Sampling, draw, narrowed
from accord.types import InputError
from tests.policies.text.tiny import decoder

PROMPTS = [[1, 2], [3], [4, 5, 6, 7, 8], [1, 2]]


def responses_of(sampled) -> list[list[int]]:
    return [row[:many] for row, many in zip(sampled.tokens.tolist(), sampled.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_golden_log_probabilities_are_those_of_the_training_forward(temperature):
    model = decoder()
    sampled = Engine(model, 31).sample(PROMPTS, 3, Sampling(temperature, tokens=24), 0)
    prompts = [prompt for prompt in PROMPTS for _ in range(3)]
    batches = micro_batches(prompts, responses_of(sampled), budget=100)
    again = table(model, batches, (12, sampled.tokens.shape[1]), temperature)
    assert (sampled.log_prob - again).abs().max() < 1e-4
    assert bool(sampled.ended.any()) and not bool(sampled.ended.all())


def test_golden_a_step_with_a_cache_is_the_whole_forward():
    model, rows = decoder(), torch.randint(0, 31, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, cache = model(rows), model.cache(3, 16)
        model(rows[:, :4], cache)
        for t in range(4, 9):
            step = model.step(rows[:, t], torch.full((3,), t), cache)
            assert (step - whole[:, t]).abs().max() < 1e-5


def test_golden_the_cheapest_token_that_reaches_the_noise_is_drawn():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(4, 3)
    token, log = draw(logits, torch.tensor([0.0, 0.49, 0.51, 0.99]), Sampling())
    assert token.tolist() == [0, 0, 1, 2]
    assert log.exp().tolist() == pytest.approx([0.5, 0.5, 0.3, 0.2])


@pytest.mark.parametrize("words", [1, 2, 3, 97, 512, 1000])
def test_golden_a_draw_by_stretches_is_the_inverse_of_the_whole_sum(words):
    generator = torch.Generator().manual_seed(words)
    logits = 3.0 * torch.randn(200, words, generator=generator)
    logits = logits.masked_fill(torch.rand(logits.shape, generator=generator) < 0.3, float("-inf"))
    logits[:, words // 2] = 0.0
    noise = torch.rand(200, generator=generator)
    noise[:2] = torch.tensor([0.0, 1.0 - 2.0**-24])
    reached = logits.double().softmax(1).cumsum(1)
    token, log = draw(logits, noise, Sampling())
    assert torch.isfinite(log).all()  # never one that has no odds
    assert torch.allclose(log, logits.log_softmax(1).gather(1, token[:, None])[:, 0], atol=1e-5)
    upper = reached.gather(1, token[:, None])[:, 0]
    assert (upper > noise - 1e-5).all() and (upper - log.double().exp() <= noise + 1e-5).all()


def test_golden_greedy_takes_the_likeliest():
    token, log = draw(torch.tensor([[0.1, 2.0, -1.0]]), torch.tensor([0.99]), Sampling(temperature=0.0))
    assert token.tolist() == [1] and log.item() == pytest.approx(
        torch.tensor([0.1, 2.0, -1.0]).log_softmax(0)[1].item()
    )


def test_golden_narrowed_keeps_the_likeliest_and_their_shares():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    by_k = narrowed(logits, Sampling(top_k=2)).softmax(1)
    assert by_k.tolist()[0] == pytest.approx([0.625, 0.375, 0.0, 0.0])
    by_p = narrowed(logits, Sampling(top_p=0.79)).softmax(1)  # .5 and .3 reach .8
    assert by_p.tolist()[0] == pytest.approx([0.625, 0.375, 0.0, 0.0])
    assert narrowed(logits, Sampling(top_p=0.01)).softmax(1).tolist()[0] == pytest.approx([1.0, 0.0, 0.0, 0.0])


def test_golden_shares_of_what_is_drawn_are_the_models():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(20_000, 3)
    token, _ = draw(logits, torch.rand(20_000, generator=torch.Generator().manual_seed(0)), Sampling())
    share = torch.bincount(token, minlength=3) / 20_000
    assert (share - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 0.01


def test_invariance_a_response_depends_on_neither_neighbours_nor_the_engine_s_past():
    model = decoder()
    engine = Engine(model, 31)
    whole = engine.sample(PROMPTS, 3, Sampling(tokens=40), 0)
    engine.sample([[9]], 1, Sampling(tokens=4), 5)
    again = engine.sample(PROMPTS, 3, Sampling(tokens=40), 0)
    assert torch.equal(whole.tokens, again.tokens) and torch.equal(whole.log_prob, again.log_prob)
    alone = Engine(model, 31).sample(PROMPTS[:1], 3, Sampling(tokens=40), 0)  # its noise is the first rows'
    many = whole.lengths[:3].tolist()
    assert alone.lengths.tolist() == many
    for row in range(3):
        assert torch.equal(alone.tokens[row, : many[row]], whole.tokens[row, : many[row]])


def test_invariance_closing_up_changes_nothing(monkeypatch):
    model = decoder()
    whole = Engine(model, 31).sample(PROMPTS, 8, Sampling(tokens=40), 0)
    monkeypatch.setattr("accord.policies.text.rollout.LEAVE", 0.0)
    apart = Engine(model, 31).sample(PROMPTS, 8, Sampling(tokens=40), 0)
    assert torch.equal(whole.lengths, apart.lengths) and torch.equal(whole.tokens, apart.tokens)
    assert (whole.log_prob - apart.log_prob).abs().max() < 1e-5


def test_golden_what_cannot_be_written_is_refused():
    engine = Engine(decoder(), 31)
    with pytest.raises(InputError, match=r"prompt 1 is empty: give it at least one token\."):
        engine.sample([[1], []], 1, Sampling(tokens=4), 0)
    with pytest.raises(InputError, match=r"prompt 0 has 40 tokens and policy.tokens is 30, beyond the model's 64"):
        engine.sample([[1] * 40], 1, Sampling(tokens=30), 0)
    with pytest.raises(InputError, match=r"policy.top_p is 0; it must be between 1e-06 and 1"):
        Sampling(top_p=0.0)
