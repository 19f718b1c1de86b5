"""Golden, property: what a language model makes of replies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.backbones import states
from accord.backbones.decoder import Block
from accord.backbones.states import States
from tests.policies.text.tiny import LETTERS, Letters, model


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> States:
    monkeypatch.setattr(states.text, "load", lambda name, dtype: model(2))
    return States("tiny")


def plain(prompt: str, response: str) -> torch.Tensor:
    """The rows of a whole forward pass after one of two blocks, brought to a size and averaged."""
    decoder, kept = model(2).decoder, list[torch.Tensor]()
    whole = decoder.read

    def keep(
        self: Block,
        x: torch.Tensor,
        turn: tuple[torch.Tensor, torch.Tensor],
        cache: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        kept.append(whole(self, x, turn, cache))
        return kept[-1]

    decoder.read = keep
    ids = Letters().encode(prompt + response)
    with torch.no_grad():
        decoder(torch.tensor([ids]))
    rows = kept[0][0, len(prompt) :] if response else kept[0][0, len(prompt) - 1 :]
    return (rows / rows.square().mean(1, keepdim=True).sqrt()).mean(0)


def test_golden_the_mean_of_a_responses_states_half_way_up(read: States):
    texts = [("ab", "hello"), ("to be", "or not"), ("ab", "x"), ("ab", "")]
    found = read(texts)
    for row, (prompt, response) in zip(found, texts, strict=True):
        torch.testing.assert_close(row, plain(prompt, response), rtol=1e-4, atol=1e-5)


WORDS = st.text(st.sampled_from(LETTERS), min_size=1, max_size=9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_property_what_is_read_beside_a_text_does_not_change_it(texts: list[tuple[str, str]]):
    one = States("tiny")
    one.__dict__["model"] = model(2)
    together = one([*texts, *texts[:1]])
    torch.testing.assert_close(together[0], together[-1])
    torch.testing.assert_close(together[0], one(texts[:1])[0], rtol=1e-4, atol=1e-5)
