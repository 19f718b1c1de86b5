"""Golden: log-probabilities by the piece are those of the whole table, with its gradients; nothing large is held."""

from itertools import pairwise

import pytest
import torch

from accord.functional import tokens
from accord.functional.tokens import token_log_prob


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("piece", [8, 2**23])
def test_golden_values_and_gradients_are_those_of_log_softmax(temperature, piece, monkeypatch):
    monkeypatch.setattr(tokens, "PIECE", piece * 7)
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(23, 5, generator=generator), torch.randn(7, 5, generator=generator)
    target, slope = torch.randint(0, 7, (23,), generator=generator), torch.randn(23, generator=generator)
    ours = [hidden.clone().requires_grad_(), head.clone().requires_grad_()]
    plain = [hidden.clone().requires_grad_(), head.clone().requires_grad_()]
    log_prob, entropy = token_log_prob(ours[0], ours[1], target, temperature)
    whole = (plain[0] @ plain[1].T / temperature).log_softmax(1)
    assert torch.allclose(log_prob, whole.gather(1, target[:, None])[:, 0], atol=1e-6)
    assert torch.allclose(entropy, -(whole.exp() * whole).sum(1), atol=1e-5)
    (log_prob * slope).sum().backward()
    (whole.gather(1, target[:, None])[:, 0] * slope).sum().backward()
    for mine, theirs in zip(ours, plain, strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


def test_golden_a_piece_is_never_larger_than_its_limit():
    hidden, head = torch.zeros(10_000, 2), torch.zeros(50_000, 2)
    found = tokens.pieces(hidden, head)
    assert max((one.stop - one.start) * 50_000 for one in found) <= tokens.PIECE
    assert (found[0].start, found[-1].stop) == (0, 10_000)
    assert all(one.stop == other.start for one, other in pairwise(found))
