"""Golden: adapters go to PEFT and come from it, and the model says the same; what changes their meaning is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from accord.backbones import peft as adapters
from accord.backbones import weights
from accord.backbones.decoder import Decoder
from accord.types import InputError
from tests.backbones.models import made, ours, padded, saved, theirs

peft = pytest.importorskip("peft", reason="peft is not installed: no adapters were compared.")

# Peft 0.21 asks Transformers 5.24 for something by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

KINDS = ("llama untied", "qwen 2", "qwen 3")
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapted(folder: Path, kind: str, rank: int = 3) -> Decoder:
    """A decoder whose adapters do something."""
    saved(folder, kind)
    decoder = weights.read(folder)
    decoder.adapt(rank, 6.0, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, one in decoder.projections():
            for high in one.up or ():
                high.copy_(torch.randn(high.shape, generator=generator) * 0.1)
    return decoder


def learned(kind: str, **said: Any) -> Any:
    """A model of PEFT, with random adapters."""
    model = peft.get_peft_model(made(kind), peft.LoraConfig(task_type="CAUSAL_LM", **said))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_golden_peft_reads_what_is_written(tmp_path: Path, kind: str):
    decoder = adapted(tmp_path / "model", kind)
    adapters.write(decoder, tmp_path / "adapters", base="somewhere")
    plain = made(kind)
    tokens, valid = padded()
    before = theirs(plain, tokens, valid)
    model = peft.PeftModel.from_pretrained(plain, tmp_path / "adapters").eval()
    said = theirs(model, tokens, valid)
    assert torch.allclose(ours(decoder, tokens, valid), said, atol=1e-4, rtol=0)
    assert (said - before).abs().max() > 0.1
    assert sorted(model.peft_config["default"].target_modules) == sorted(EVERY)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", [
    {"r": 4, "lora_alpha": 6, "target_modules": EVERY},
    {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]},
    {"r": 4, "lora_alpha": 3, "target_modules": ["up_proj", "down_proj"], "use_rslora": True},
    {"r": 2, "lora_alpha": 4, "target_modules": EVERY, "layers_to_transform": [1]},
])  # fmt: skip
def test_golden_what_peft_writes_is_read(tmp_path: Path, kind: str, said: dict[str, Any]):
    """Where only some of the products that stand side by side are adapted, the others stay as they were."""
    model = learned(kind, **said)
    model.save_pretrained(tmp_path / "adapters")
    saved(tmp_path / "model", kind)
    decoder = weights.read(tmp_path / "model")
    adapters.read(decoder, tmp_path / "adapters")
    tokens, valid = padded()
    assert torch.allclose(ours(decoder, tokens, valid), theirs(model, tokens, valid), atol=1e-4, rtol=0)
    moving = [name.split(".")[3] for name, one in decoder.named_parameters() if one.requires_grad]
    assert set(moving) == {"down", "up"}  # of a product: its adapters, not its weight


def test_invariance_written_and_read_again_they_are_the_same(tmp_path: Path):
    decoder = adapted(tmp_path / "model", "qwen 3")
    adapters.write(decoder, tmp_path / "one")
    again = weights.read(tmp_path / "model")
    adapters.read(again, tmp_path / "one")
    adapters.write(again, tmp_path / "two")
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert len(one) == 2 * 7 * 2
    scales = {one.scale for _, one in again.projections()}
    assert scales == {2.0}


CHANGED: dict[str, dict[str, Any]] = {  # in the configuration
    "dora": {"use_dora": True},
    "bias": {"bias": "all"},
    "pattern": {"rank_pattern": {"q_proj": 8}},
    "modules": {"modules_to_save": ["lm_head"]},
    "kind": {"peft_type": "IA3"},
    "rank": {"r": 5},
}


def spoil(folder: Path, what: str) -> None:
    whole, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    tensors = load_file(whole)
    config.write_text(json.dumps(json.loads(config.read_text()) | CHANGED.get(what, {})))
    match what:
        case "half":
            tensors.pop(min(tensors))
        case "more":
            tensors["base_model.model.lm_head.weight"] = torch.ones(2)
        case "empty":
            tensors = {}
        case "pickle":
            torch.save(tensors, folder / "adapter_model.bin")
        case "no config":
            config.unlink()
    whole.unlink()
    if what != "pickle":
        save_file(tensors, whole)


SPOILT = {
    "dora": "has adapters with use_dora = True; plain LORA ones can be read",
    "bias": "has adapters with bias = 'all'",
    "pattern": "has adapters with rank_pattern",
    "modules": "has adapters with modules_to_save",
    "kind": "has adapters with the type IA3",
    "rank": r"lora_A|as \(3, 32\) and",
    "half": "as None and",
    "more": "holds base_model.model.lm_head.weight, for which this model has no place",
    "empty": "holds nothing, for which",
    "pickle": "holds no readable adapter_model.safetensors",
    "no config": "holds no adapters of PEFT .*: name a folder with adapter_config.json",
}


@pytest.mark.parametrize("what", SPOILT)
def test_contract_other_adapters_are_refused_and_the_model_stays_as_it_was(tmp_path: Path, what: str):
    adapters.write(adapted(tmp_path / "model", "llama untied"), tmp_path / "adapters")
    spoil(tmp_path / "adapters", what)
    decoder = weights.read(tmp_path / "model")
    with pytest.raises(InputError, match=SPOILT[what]) as error:
        adapters.read(decoder, tmp_path / "adapters")
    assert "\n" not in str(error.value) and not any(one.adapted for _, one in decoder.projections())


def test_contract_adapters_of_several_ranks_have_no_form(tmp_path: Path):
    decoder = adapted(tmp_path, "llama untied")
    decoder.blocks[0].out.adapt(2, 4.0, torch.Generator())
    with pytest.raises(InputError, match="adapters of 2 ranks; this form holds one"):
        adapters.write(decoder, tmp_path / "adapters")
    with pytest.raises(InputError, match="adapters of 0 ranks"):
        adapters.write(weights.read(tmp_path), tmp_path / "adapters")
