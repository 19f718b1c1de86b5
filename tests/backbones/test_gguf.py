"""Golden: a .gguf file is a model like the one it was made from; SmolLM2 says where the capital of France is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from accord.backbones import fetch, gguf, text
from accord.backbones.decoder import Decoder
from accord.policies.text.rollout import Engine, Sampling
from accord.types import InputError
from tests.backbones.models import SIZES, VOCABULARY, made, ours, padded, theirs

library = pytest.importorskip("gguf", reason="gguf is not installed: no .gguf file was read.")
WORDS = ["<unk>", "<s>", "</s>", *(chr(code) for code in range(33, 126)), "ab"]


def written(path: Path, kind: str = "llama", stretched: bool = False) -> torch.nn.Module:
    """A tiny Llama as llama.cpp's tools write it: queries and keys with the numbers of a head in pairs."""
    model = made("llama untied", rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 1e4})
    writer = library.GGUFWriter(path, kind)
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {"embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q",
             "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate",
             "up_proj": "ffn_up", "down_proj": "ffn_down"}  # fmt: skip
    for name, weight in model.state_dict().items():
        found = weight
        if "q_proj" in name or "k_proj" in name:
            found = weight.view(-1, 2, 4, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
        if ".layers." in name:
            layer, part = name.split(".")[2], name.split(".")[-2]
            writer.add_tensor(f"blk.{layer}.{parts[part]}.weight", found.contiguous().numpy())
        else:
            short = next(theirs for ours, theirs in names.items() if ours in name)
            writer.add_tensor(f"{short}.weight", found.numpy())
    if stretched:  # as llama.cpp's converter writes Llama 3.1
        writer.add_tensor("rope_freqs.weight", torch.tensor([1.0, 1.0, 4.0, 8.0]).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_golden_a_file_is_converted_once_and_says_the_same(tmp_path: Path, kept: Path, monkeypatch):
    model = written(tmp_path / "tiny.gguf")
    (tmp_path / "adapter_config.json").write_text("{}")  # what lies beside the file is none of its parts
    loaded = text.load(str(tmp_path / "tiny.gguf"))
    tokens, valid = padded()
    assert torch.allclose(ours(loaded.decoder, tokens, valid), theirs(model, tokens, valid), atol=1e-4, rtol=0)
    assert loaded.tokenizer.end == 2 and loaded.tokenizer.size == VOCABULARY
    assert loaded.tokenizer.encode("abc") == [96, 69] and loaded.place.parent == kept / "gguf"
    monkeypatch.setattr(gguf, "_convert", None)  # it would fail now
    (tmp_path / "tiny.gguf").rename(tmp_path / "other.gguf")
    again = text.load(str(tmp_path / "other.gguf"))
    assert again.place == loaded.place
    assert all(torch.equal(a, b) for a, b in zip(again.decoder.parameters(), loaded.decoder.parameters(), strict=True))


SPOILT = {
    "torn": "holds no model that Transformers reads .*: fetch the file anew",
    "empty": "holds no model that Transformers reads",
    "text": "holds no model that Transformers reads",
    "other": 'has the type "bloom", which is none of llama',
    "stretched": "has stretched rotary positions, which get lost on the way",
}


@pytest.mark.parametrize("what", SPOILT)
def test_contract_a_file_that_is_no_such_model_is_refused_and_nothing_is_kept(tmp_path: Path, kept: Path, what: str):
    path = tmp_path / "a.gguf"
    written(path, "bloom" if what == "other" else "llama", what == "stretched")
    whole = path.read_bytes()
    path.write_bytes({"torn": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}.get(what, whole))
    with pytest.raises(InputError, match=rf"a\.gguf {SPOILT[what]}") as error:
        text.load(str(path))
    assert "\n" not in str(error.value) and not any(it.is_dir() for it in (kept / "gguf").iterdir())


@pytest.fixture(scope="module")
def smollm2() -> text.LanguageModel:
    source = fetch.MODELS["smollm2"]
    if not source.place.is_dir() and fetch.importlib.util.find_spec(source.module) is None:
        pytest.skip("SmolLM2 is not here: run accord fetch smollm2 to see what it says.")
    return text.load("smollm2")


@pytest.mark.slow
def test_golden_smollm2_knows_the_capital_of_france(smollm2: text.LanguageModel):
    ids = smollm2.tokenizer.asked("What is the capital of France? Answer in one sentence.")
    engine = Engine(smollm2.decoder, smollm2.tokenizer.end)
    found = engine.sample([ids], 1, Sampling(temperature=0.0, tokens=20), seed=0)
    written = found.tokens[0, : int(found.lengths[0])].tolist()
    assert smollm2.tokenizer.decode(written) == "The capital of France is Paris."
    assert bool(found.ended[0]) and written[-1] == smollm2.tokenizer.end


@pytest.mark.slow
def test_golden_smollm2_is_as_surprised_as_it_should_be(smollm2: text.LanguageModel):
    said = "The United States of America is a country primarily located in North America, consisting of fifty states."
    ids = torch.tensor([smollm2.tokenizer.encode(said)])
    assert ids.shape == (1, 19)
    decoder: Decoder = smollm2.decoder
    with torch.no_grad():
        log = (decoder(ids)[0, :-1] @ decoder.head.T).log_softmax(1)
    surprise = -log.gather(1, ids[0, 1:, None]).mean()
    assert float(surprise.exp()) == pytest.approx(17.66, abs=0.05)
    assert sum(one.numel() for one in decoder.parameters()) == 134_515_008


def test_contract_a_cache_elsewhere_is_used(kept: Path):
    assert gguf.place("x") == Path(os.environ["ACCORD_CACHE"]) / "gguf" / "x"
