"""Golden: a model of another family says here what it says in Transformers, adapted, merged and token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from accord.backbones import peft as adapters
from accord.backbones import weights
from accord.backbones.batches import micro_batches, table
from accord.backbones.memory import Wanted, plan
from accord.policies.text.rollout import Engine, Sampling
from accord.types import InputError
from tests.backbones.models import CONTEXT, SIZES, VOCABULARY, padded, randomly

transformers = pytest.importorskip("transformers", reason="transformers is not installed: no model was run by it.")
peft = pytest.importorskip("peft", reason="peft is not installed: no adapters of its were read.")
from accord.backbones import foreign  # noqa: E402  which needs Transformers

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

CLOSE = 1e-4  # float32, of logits of size 1
KINDS: dict[str, dict[str, Any]] = {
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT, "bos_token_id": 0, "eos_token_id": 0},
    "GPTNeoX": {"rotary_pct": 0.5},
    "Phi3": {"pad_token_id": 0},
    "Gemma3Text": {"head_dim": 16, "sliding_window": 48, "layer_types": ["sliding_attention", "full_attention"]},
    "Olmo2": {},
    "SmolLM3": {"no_rope_layers": [1, 0], "pad_token_id": 0},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "Gemma2": ({"head_dim": 16}, "its logits are more than a product of its last states and its output matrix"),
    "Mamba": ({"state_size": 4}, "cannot be run"),
}


def saved(folder: Path, kind: str, more: dict[str, Any]) -> Any:
    """A tiny one with random weights, written to a folder."""
    model = randomly(kind, {**SIZES, **more})
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def said(model: Any, tokens: Tensor, valid: Tensor) -> Tensor:
    return model(input_ids=tokens, attention_mask=valid.long()).logits[valid]


@pytest.mark.parametrize("kind", KINDS)
def test_golden_rows_steps_and_forks_say_what_transformers_says(tmp_path: Path, kind: str):
    model = saved(tmp_path, kind, KINDS[kind])
    assert weights.beyond(weights.configuration(tmp_path))
    decoder = foreign.read(tmp_path)
    tokens, valid = padded()
    expected = said(model, tokens, valid)
    assert expected.std() > 0.1
    with torch.no_grad():
        assert torch.allclose((decoder(tokens) @ decoder.head.T)[valid], expected, atol=CLOSE, rtol=0)
    sampled = Engine(decoder, 0).sample([[5, 9, 11], [7, 8, 1, 3, 2]], 2, Sampling(tokens=12), seed=3)
    prompts = [[5, 9, 11]] * 2 + [[7, 8, 1, 3, 2]] * 2
    found = table(decoder, micro_batches(prompts, sampled.responses), tuple(sampled.tokens.shape))
    assert torch.allclose(found, sampled.log_prob, atol=CLOSE, rtol=0)
    for prompt, response, row in zip(prompts, sampled.responses, found, strict=True):
        whole = torch.tensor([prompt + response])
        log = said(model, whole, torch.ones_like(whole).bool()).log_softmax(1)[len(prompt) - 1 : -1]
        expected = log.gather(1, torch.tensor(response)[:, None])[:, 0]
        assert torch.allclose(row[: len(response)], expected, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("kind", ["GPT2", "Gemma3Text", "Phi3"])
def test_golden_adapters_and_merged_weights_are_read_by_others(tmp_path: Path, kind: str):
    model = saved(tmp_path / "model", kind, KINDS[kind])
    decoder = foreign.read(tmp_path / "model")
    decoder.adapt(3, 6.0, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, one in decoder.projections():
            for high in one.up or ():
                high.copy_(torch.randn(high.shape, generator=generator) * 0.1)
    tokens, valid = padded()
    before = said(model, tokens, valid)
    with torch.no_grad():
        learned = (decoder(tokens) @ decoder.head.T)[valid]
        with decoder.bare():
            assert torch.allclose((decoder(tokens) @ decoder.head.T)[valid], before, atol=CLOSE, rtol=0)
    assert (learned - before).abs().max() > 0.01
    weights.write(decoder, weights.configuration(tmp_path / "model"), tmp_path / "merged")
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert torch.allclose(said(merged, tokens, valid), learned, atol=CLOSE, rtol=0)
    adapters.write(decoder, tmp_path / "adapters", base="somewhere")
    theirs = peft.PeftModel.from_pretrained(model, tmp_path / "adapters").eval()
    assert torch.allclose(said(theirs, tokens, valid), learned, atol=CLOSE, rtol=0)
    again = foreign.read(tmp_path / "model")
    adapters.read(again, tmp_path / "adapters")
    with torch.no_grad():
        assert torch.allclose((again(tokens) @ again.head.T)[valid], learned, atol=CLOSE, rtol=0)


def test_golden_gradients_are_those_of_transformers(tmp_path: Path):
    model = saved(tmp_path, "GPTNeoX", KINDS["GPTNeoX"])
    decoder = foreign.read(tmp_path)
    prompts, responses = [[5, 9, 11]] * 2, [[4, 6, 1, 2], [8, 3]]
    for batch in micro_batches(prompts, responses):
        hidden = decoder.fork(batch.tokens, batch.position, batch.fork)[batch.place]
        (hidden @ decoder.head.T).log_softmax(1).gather(1, batch.target[:, None]).sum().backward()
    for prompt, response in zip(prompts, responses, strict=True):
        log = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].log_softmax(1)
        log.gather(1, torch.tensor(response)[:, None]).sum().backward()
    theirs = {name: one.grad for name, one in model.named_parameters()}
    for name, one in decoder.model.named_parameters():
        expected = theirs[name]
        assert one.grad is not None and expected is not None
        assert torch.allclose(one.grad, expected, atol=1e-4 * float(expected.abs().max() + 1e-3), rtol=1e-4), name


def test_contract_a_plan_does_not_say_that_its_blocks_are_computed_again(tmp_path: Path):
    saved(tmp_path, "GPT2", KINDS["GPT2"])
    decoder, wanted = foreign.read(tmp_path), Wanted(rows=2, places=32, memory=1024, least=32)
    roomy = plan(decoder, wanted, 2**30)
    tight = plan(decoder, wanted, int((roomy.lasting + 40 * roomy.by_token) / 0.9))
    assert tight.memory < 64 and not tight.again and not decoder.again
    with pytest.raises(InputError, match="learning takes"):
        plan(decoder, wanted, roomy.lasting)


@pytest.mark.parametrize("kind", REFUSED)
def test_contract_a_model_that_is_not_as_relied_on_is_refused(tmp_path: Path, kind: str):
    more, words = REFUSED[kind]
    saved(tmp_path, kind, more)
    with pytest.raises(InputError, match=words):
        foreign.read(tmp_path)


def test_contract_quantised_weights_are_not_read(tmp_path: Path):
    saved(tmp_path, "GPT2", KINDS["GPT2"])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(InputError, match="has quantised weights"):
        foreign.read(tmp_path)


def test_contract_pickled_weights_are_not_read(tmp_path: Path):
    model = saved(tmp_path, "GPT2", KINDS["GPT2"])
    assert model.config.vocab_size == VOCABULARY
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="no weights as safetensors"):
        foreign.read(tmp_path)
