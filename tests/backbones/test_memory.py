"""Golden, invariance: what fits, what is switched on to make it fit, and one sentence where nothing does."""

from __future__ import annotations

import pytest
import torch

from accord.backbones.batches import foretold, micro_batches
from accord.backbones.decoder import Decoder
from accord.backbones.memory import GIB, PROBE, Room, Wanted, plan, saved
from accord.types import InputError
from tests.policies.text.tiny import decoder

WANTED = Wanted(rows=8, places=32, memory=1024, least=40)


def lasting(model: Decoder) -> int:
    """Of a float32 model that learns whole: moments, gradients, one more of the widest, odds, the cache."""
    numbers = [one.numel() for one in model.parameters()]
    shape = model.shape
    odds = 12 * 8 * shape.vocabulary
    return odds + 4 * (3 * sum(numbers) + max(numbers)) + 4 * 2 * shape.layers * 8 * 32 * shape.kv_heads * shape.head


def test_golden_what_lies_there_is_counted_and_a_token_is_measured():
    model = decoder()
    found = plan(model, WANTED, GIB)
    assert found.lasting == lasting(model) and not found.again and found.memory == 1024
    assert found.by_token == saved(model) // PROBE
    assert found.sentence() == "Memory: 0.0 of 1.0 GiB."
    model.again = True
    layers, width, inner = model.shape.layers, model.shape.width, model.shape.inner
    with_again = saved(model) / PROBE
    assert with_again < found.by_token / 2  # a block leaves what went into it
    assert found.by_token > 4 * layers * (3 * width + 3 * inner)  # and else at least its products' inputs


def test_golden_a_smaller_micro_batch_comes_before_another_pass_and_both_before_giving_up():
    model = decoder()
    by_token = saved(model) // PROBE
    base = lasting(model)
    some = plan(model, WANTED, int((base + 512 * by_token) / 0.9) + 1)
    assert (some.memory, some.again) == (512, False) and not model.again
    assert some.sentence().endswith("to fit, a micro-batch holds 512 tokens in place of 1,024.")
    little = plan(model, WANTED, int((base + 200 * by_token) / 0.9))
    assert little.again and model.again
    assert "blocks are computed again on the way back" in little.sentence()
    with pytest.raises(InputError, match=r"at least and 0\.0 are free: set policy\.rank to 8"):
        plan(model, WANTED, base // 2)
    with pytest.raises(InputError, match=r"lower policy\.prompts or policy\.group"):
        plan(model, Wanted(10**6, 32, 1024, 40), 2 * GIB)
    model.adapt(2, 4.0, 0)
    with pytest.raises(InputError, match="name a smaller model"):
        plan(model, WANTED, 1000)


def test_invariance_blocks_that_are_computed_again_give_the_same_gradient():
    found = []
    for again in (False, True):
        model = decoder(3)
        model.again = again
        (batch,) = micro_batches([[1, 2, 3], [1, 2, 3], [4, 5]], [[5, 6, 7], [8, 9], [1, 2, 3]], budget=10**6)
        foretold(model, batch)[0].sum().backward()
        found.append([one.grad.clone() for one in model.parameters() if one.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_golden_memory_that_runs_out_halves_the_micro_batch():
    tried, undone, room = [], [], Room(1000)

    def work(tokens: int) -> str:
        tried.append(tokens)
        if tokens > 300:
            raise (
                torch.OutOfMemoryError("CUDA out of memory.")
                if tokens > 600
                else RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
                )
            )
        return "done"

    assert room.within(work, lambda: undone.append(1), 7) == "done"
    assert tried == [1000, 500, 250] and len(undone) == 2 and room.tokens == 250
    room.within(work, lambda: None, 7)
    assert tried[-1] == 250  # it stays so
    with pytest.raises(InputError, match=r"over 400 tokens, which belong together: lower policy\.tokens"):
        Room(900).within(work, lambda: None, 400)


def test_golden_other_errors_are_not_about_memory():
    def broken(tokens: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Room(10).within(broken, lambda: None, 1)
