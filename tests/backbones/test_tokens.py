"""Contract: a folder's tokenizer and chat template are followed, and a folder that lacks what is needed says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from accord.backbones import text, tokens
from accord.types import InputError
from tests.backbones.models import VOCABULARY, saved

TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }} {{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant{% endif %}"
)
WORDS = ["<unk>", "<s>", "</s>", "user", "assistant", "why", "not"]


def tokenizer(folder: Path, words: int = len(WORDS), **said: Any) -> None:
    """A tokenizer of whole words, saved as Transformers does."""
    library = pytest.importorskip("tokenizers", reason="tokenizers is not installed: no tokenizer was read.")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: no tokenizer was read.")
    known = WORDS + [f"word{number}" for number in range(words - len(WORDS))]
    inner = library.Tokenizer(library.models.WordLevel({word: id for id, word in enumerate(known)}, "<unk>"))
    inner.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | said
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **{k: v for k, v in marks.items() if v})
    made.save_pretrained(folder)


def test_golden_a_prompt_goes_through_the_chat_template(tmp_path: Path):
    tokenizer(tmp_path, chat_template=TEMPLATE)
    found = tokens.FolderTokens(tmp_path)
    assert found.chat and found.end == 2 and found.size == len(WORDS)
    assert found.asked("why not") == [1, 3, 5, 6, 2, 1, 4]
    assert found.decode([5, 6, 2]) == "why not"
    plain = tokens.FolderTokens(tmp_path, chat=False)
    assert plain.asked("why not") == [1, 5, 6] and plain.asked("<s> why") == [1, 5]
    assert plain.hash == found.hash


def test_golden_without_a_template_a_prompt_is_plain_text(tmp_path: Path):
    tokenizer(tmp_path)
    found = tokens.FolderTokens(tmp_path)
    assert not found.chat and found.asked("why") == [1, 5]
    tokenizer(tmp_path / "other", words=20)
    assert tokens.FolderTokens(tmp_path / "other").hash != found.hash


def test_contract_a_model_with_its_tokenizer_is_loaded_whole(tmp_path: Path):
    saved(tmp_path, "llama tied")
    tokenizer(tmp_path, chat_template=TEMPLATE)
    model = text.load(str(tmp_path))
    assert (model.place, model.config["model_type"]) == (tmp_path, "llama")
    assert model.tokenizer.asked("why")[-1] == 4 and model.decoder.shape.vocabulary == VOCABULARY
    assert text.numbers(str(tmp_path)) == sum(one.numel() for one in model.decoder.parameters())


def spoil(folder: Path, what: str) -> None:
    match what:
        case "no template" | "sound":
            tokenizer(folder)
        case "more words":
            tokenizer(folder, words=VOCABULARY + 1)
        case "no end":
            tokenizer(folder, eos_token=None)
        case "torn":
            tokenizer(folder)
            (folder / "tokenizer.json").write_text('{"version": "1.0"')
        case "code":
            tokenizer(folder)
            config = json.loads((folder / "tokenizer_config.json").read_text())
            config |= {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "tokenizer_class": "Tokenizer"}
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
            (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Tokenizer: pass\n")


SPOILT = {
    "no template": "has no chat template: give it one, or set task.chat = false",
    "more words": "knows 98 tokens and the model 97: they do not belong together",
    "no end": "names no token for the end of a text",
    "torn": "holds no tokenizer",
    "nothing": "holds no tokenizer",
}


@pytest.mark.parametrize("what", SPOILT)
def test_contract_a_folder_that_lacks_what_is_needed_says_so(tmp_path: Path, what: str):
    saved(tmp_path, "llama tied")
    spoil(tmp_path, what)
    with pytest.raises(InputError, match=SPOILT[what]) as error:
        text.load(str(tmp_path), chat=True if what == "no template" else None)
    assert "\n" not in str(error.value)


def test_contract_code_in_a_folder_is_never_run(tmp_path: Path):
    saved(tmp_path, "llama tied")
    spoil(tmp_path, "code")
    try:
        text.load(str(tmp_path))
    except InputError as error:
        assert "tokenizer" in str(error)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["nowhere", "minilm", "a.txt", ""])
def test_contract_a_name_that_is_none_is_told_what_names_there_are(name: str, monkeypatch: Any, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(InputError, match=r"is no language model here: name smollm2, a folder, a \.gguf file or a"):
        text.load(name)
