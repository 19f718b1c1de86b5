"""Prompts read once for all their responses. Golden: what a row of prompt and response gives, forwards and backwards.
Invariance: how a minibatch is cut and in which order it comes changes nothing.
"""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from accord.backbones.attention import fork
from accord.backbones.batches import foretold, micro_batches
from accord.backbones.decoder import Decoder, Shape

VOCABULARY = 50
Pairs = tuple[list[list[int]], list[list[int]]]


def decoder(**more: bool) -> Decoder:
    torch.manual_seed(0)
    made = Decoder(Shape(16, 24, 2, 4, 2, 4, VOCABULARY, 64, **more))
    with torch.no_grad():
        for one in made.parameters():
            one.normal_(std=0.4)
    return made


def pairs(seed: int) -> Pairs:
    """Three prompts, one of them with one response; lengths from 1 up, and the first response is of one token."""
    rng = random.Random(seed)

    def some(least: int, most: int) -> list[int]:
        return [rng.randrange(VOCABULARY) for _ in range(rng.randint(least, most))]

    asked = [some(1, 7) for _ in range(3)]
    prompts = [asked[0], asked[1], asked[2], asked[0], asked[1], asked[0]]
    return prompts, [some(1, 1), *(some(2, 9) for _ in prompts[1:])]


def rows(made: Decoder, prompts: list[list[int]], responses: list[list[int]]) -> dict[tuple[int, int], Tensor]:
    """The plain way: every prompt again with each response."""
    found = {}
    for k, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        logits = made(torch.tensor([[*prompt, *response]]))[0] @ made.head.T
        for t, token in enumerate(response):
            found[k, t] = logits[len(prompt) - 1 + t].log_softmax(0)[token]
    return found


def forks(made: Decoder, given: Pairs, budget: int, which: list[int] | None = None) -> dict[tuple[int, int], Tensor]:
    found = {}
    for batch in micro_batches(*given, which, budget):
        for k, t, one in zip(batch.reply.tolist(), batch.time.tolist(), foretold(made, batch)[0], strict=True):
            assert (k, t) not in found
            found[k, t] = one
    return found


def weighed(found: dict[tuple[int, int], Tensor]) -> Tensor:
    """A different weight for every token, whatever order they come in."""
    return torch.stack([one * ((7 * k + 3 * t) % 5 - 1.5) for (k, t), one in found.items()]).sum()


def slopes(made: Decoder, found: dict[tuple[int, int], Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(weighed(found), list(made.parameters())))


@pytest.mark.parametrize("more", [{}, {"normed": True}, {"bias": True, "tied": False}])
@pytest.mark.parametrize("budget", [10_000, 25, 1])
def test_golden_a_fork_is_its_rows_forwards_and_backwards(more: dict[str, bool], budget: int):
    made, given = decoder(**more), pairs(1)
    plain, ours = rows(made, *given), forks(made, given, budget)
    assert plain.keys() == ours.keys()
    for where, one in plain.items():
        assert float(ours[where].detach()) == pytest.approx(float(one.detach()), abs=2e-5)
    for wanted, slope in zip(slopes(made, plain), slopes(made, ours), strict=True):
        torch.testing.assert_close(slope, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_invariance_a_minibatch_holds_the_chosen_pairs_in_any_order():
    made, given = decoder(), pairs(2)
    one, other = forks(made, given, 30, [5, 0, 3]), forks(made, given, 10_000, [0, 3, 5])
    assert {k for k, _ in one} == {0, 3, 5}
    for where, value in other.items():
        assert float(one[where].detach()) == pytest.approx(float(value.detach()), abs=2e-5)


def test_property_a_micro_batch_keeps_its_budget_and_holds_a_prompt_once():
    given = pairs(3)
    alone = micro_batches(*given, budget=1)
    assert [len(batch.fork.stem) for batch in alone] == [1] * 6
    for batch in micro_batches(*given, budget=40):
        assert len(batch.fork.there) <= 40
    whole = micro_batches(*given, budget=10_000)
    assert len(whole) == 1 and whole[0].fork.stems[0] == 3
    tokens = sum(map(len, {tuple(prompt) for prompt in given[0]})) + sum(len(one) - 1 for one in given[1])
    assert len(whole[0].tokens) == tokens


def test_golden_places_of_a_fork():
    # Two stems of 1 and 2 tokens, three branches of 2, 0 and 1 from the second, the second and the first.
    made = fork([1, 2], [2, 0, 1], [1, 1, 0])
    assert made.stems == (2, 2) and made.branches == (3, 2)
    assert made.back.tolist() == [0, 2, 3, 4, 5, 8]
    assert made.there.tolist() == [0, 0, 1, 2, 3, 4, 0, 0, 5, 0]
    assert made.pads.tolist() == [1, 6, 7, 9]
    assert made.reads[2, 0].tolist() == [[True, False, True, False], [True, False, True, True]]
