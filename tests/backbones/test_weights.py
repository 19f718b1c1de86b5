"""Golden: our decoder says what Transformers' own models say, from their files and back; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from accord.backbones import weights
from accord.types import InputError
from tests.backbones.models import CONTEXT, KINDS, ours, padded, saved, theirs

CLOSE = 1e-4  # float32, of logits of size 1


@pytest.mark.parametrize("kind", KINDS)
def test_golden_logits_of_padded_rows_are_those_of_transformers(tmp_path: Path, kind: str):
    model = saved(tmp_path, kind)
    tokens, valid = padded()
    expected = theirs(model, tokens, valid)
    assert expected.std() > 0.1  # something is said at all
    assert torch.allclose(ours(weights.read(tmp_path), tokens, valid), expected, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_invariance_token_by_token_is_the_whole_row_at_once(tmp_path: Path, kind: str):
    saved(tmp_path, kind)
    decoder = weights.read(tmp_path)
    tokens, _ = padded((16, 16))
    with torch.no_grad():
        whole = decoder(tokens)
        cache = decoder.cache(2, CONTEXT)
        decoder(tokens[:, :5], cache)
        for place in range(5, 16):
            now = decoder.step(tokens[:, place], torch.full((2,), place), cache)
            assert torch.allclose(now, whole[:, place], atol=CLOSE, rtol=0)


def test_contract_a_row_is_no_longer_than_a_sliding_window(tmp_path: Path):
    saved(tmp_path / "window", "mistral within its window")
    saved(tmp_path / "whole", "mistral")
    assert weights.described(tmp_path / "window").shape.context == 24
    assert weights.described(tmp_path / "whole").shape.context == CONTEXT


@pytest.mark.parametrize("kind", ["llama untied", "llama 3"])
def test_golden_both_forms_of_rotary_positions_are_read(tmp_path: Path, kind: str):
    """Transformers 5 writes `rope_parameters`; before, there were `rope_theta` and `rope_scaling`."""
    saved(tmp_path, kind)
    new = weights.described(tmp_path).shape
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if kind == "llama 3" else None
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert weights.described(tmp_path).shape == new and new.base == config["rope_theta"] != 10_000.0


def test_golden_a_model_in_several_files_is_read(tmp_path: Path):
    model = saved(tmp_path, "qwen 2")
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len([*(tmp_path / "parts").glob("*.safetensors")]) > 2
    one, parts = weights.read(tmp_path), weights.read(tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), parts.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [0, 3])
def test_golden_what_is_written_is_read_by_transformers(tmp_path: Path, kind: str, rank: int):
    """With its adapters merged, where there are any."""
    from transformers import AutoModelForCausalLM

    plain = saved(tmp_path / "theirs", kind)
    decoder = weights.read(tmp_path / "theirs")
    if rank:
        decoder.adapt(rank, 6.0, seed=0)
        with torch.no_grad():
            for _, one in decoder.projections():
                for number, high in enumerate(one.up or ()):
                    high.copy_(torch.randn(high.shape, generator=torch.Generator().manual_seed(number)) * 0.1)
    weights.write(decoder, weights.described(tmp_path / "theirs").config, tmp_path / "ours")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", local_files_only=True).eval()
    tokens, valid = padded()
    said = theirs(model, tokens, valid)
    assert torch.allclose(ours(decoder, tokens, valid), said, atol=CLOSE, rtol=0)
    assert torch.allclose(theirs(plain, tokens, valid), said, atol=CLOSE, rtol=0) == (rank == 0)


def test_contract_a_model_in_bfloat16_stays_so_in_its_files(tmp_path: Path):
    saved(tmp_path / "a", "llama tied").to(torch.bfloat16)
    decoder = weights.read(tmp_path / "a", torch.bfloat16)
    assert {one.dtype for one in decoder.parameters()} == {torch.bfloat16} and decoder.cosine.dtype == torch.float32
    weights.write(decoder, weights.described(tmp_path / "a").config, tmp_path / "b", torch.bfloat16)
    assert {one.dtype for one in load_file(tmp_path / "b" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "b" / "config.json").read_text())["dtype"] == "bfloat16"


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "family": ({"model_type": "gpt2"}, 'has the type "gpt2", which cannot be read; what can is llama, mistral'),
    "rotary": ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rotary positions of the kind yarn"),
    "partial": ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "in a part of each head"),
    "activation": ({"hidden_act": "gelu"}, "the activation gelu"),
    "bias": ({"attention_bias": True}, "a bias on the output of attention"),
    "feed-forward": ({"mlp_bias": True}, "biases on the feed-forward layers"),
    "quantised": ({"quantization_config": {"quant_method": "gptq"}}, "quantised weights"),
    "size": ({"hidden_size": "wide"}, "says no whole shape"),
    "heads": ({"num_attention_heads": 0}, "says no whole shape .*heads is 0"),
    "missing": ({"vocab_size": None}, "says no whole shape"),
    "width": ({"intermediate_size": 40}, r"mlp.gate_proj.weight as \(96, 32\) where its configuration says \(80, 32\)"),
    "layers": ({"num_hidden_layers": 3}, "lacks the tensor 'model.layers.2.input_layernorm.weight': it is no whole"),
    "fewer layers": ({"num_hidden_layers": 1}, "holds the tensor model.layers.1.input_layernorm.weight, for which"),
}


@pytest.mark.parametrize("what", SAID)
def test_contract_a_configuration_that_cannot_be_followed_is_refused(tmp_path: Path, what: str):
    saved(tmp_path, "llama untied")
    changed, words = SAID[what]
    config = {**json.loads((tmp_path / "config.json").read_text()), **changed}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(words, lambda: weights.read(tmp_path))


def spoil(folder: Path, what: str) -> None:
    """Something wrong with the files of a model."""
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    match what:
        case "missing":
            tensors.pop("model.norm.weight")
            save_file(tensors, whole)
        case "more":
            save_file({**tensors, "model.layers.0.self_attn.o_proj.bias": torch.ones(32)}, whole)
        case "pickle":
            torch.save(tensors, folder / "pytorch_model.bin")
            whole.unlink()
        case "torn":
            whole.write_bytes(whole.read_bytes()[:-100])
        case "nothing":
            whole.unlink()
        case "no config":
            (folder / "config.json").unlink()
        case _:
            name, text = JSON[what]
            (folder / name).write_text(text)


INDEX = "model.safetensors.index.json"
JSON = {
    "index": (INDEX, "[]"),
    "outside": (INDEX, '{"weight_map": {"a": "../model.safetensors"}}'),
    "absent": (INDEX, '{"weight_map": {"a": "other.safetensors"}}'),
    "no object": ("config.json", "[]"),
}
SPOILT = {
    "missing": "lacks the tensor 'model.norm.weight': it is no whole model",
    "more": "holds the tensor model.layers.0.self_attn.o_proj.bias, for which such a decoder has no place",
    "pickle": "holds its weights as pickle, which can run code when read: save the model with safetensors",
    "torn": "holds no readable model.safetensors",
    "nothing": "holds no readable model.safetensors",
    "index": "holds no readable model.safetensors",
    "outside": 'names the file "../model.safetensors" outside its folder',
    "absent": "holds no readable model.safetensors",
    "no config": "holds no language model .*: name a folder with config.json",
    "no object": "says no whole shape",
}


@pytest.mark.parametrize("what", SPOILT)
def test_contract_files_that_are_no_whole_model_are_refused(tmp_path: Path, what: str):
    saved(tmp_path, "llama tied")
    spoil(tmp_path, what)
    refused(SPOILT[what], lambda: weights.read(tmp_path))


def refused(words: str, read: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=words) as error:
        read()
    assert "\n" not in str(error.value)
