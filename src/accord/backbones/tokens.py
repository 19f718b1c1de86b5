"""Text to tokens and back: what a policy needs to know of a tokenizer, and the one of a Transformers folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from accord.types import InputError


class Tokenizer(Protocol):
    """`end` is the token after which a response is whole. `hash` names the vocabulary that ids belong to."""

    @property
    def end(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def hash(self) -> str: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def asked(self, prompt: str) -> list[int]: ...  # a prompt as the model is to see it, up to where it is to go on


class FolderTokens:
    """The tokenizer of a Transformers folder, asked through its chat template where it has one."""

    def __init__(self, folder: Path, chat: bool | None = None) -> None:
        """`chat`: through the template (True), as plain text (False), or as the folder has it (None).

        Raises InputError where there is no tokenizer, no token for the end, or no template and one is wanted.
        """
        try:
            from transformers import AutoTokenizer
        except ModuleNotFoundError as error:
            raise InputError(f"transformers is missing ({error}): pip install 'accord[text]' and run again.") from error
        try:
            self.inner = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # a reader of foreign files may raise anything
            said = " ".join(str(error).split())[:200]
            raise InputError(
                f"{folder} holds no tokenizer that can be read ({said}): save it beside the model."
            ) from error
        self.chat = bool(self.inner.chat_template) if chat is None else chat
        if self.chat and not self.inner.chat_template:
            raise InputError(f"{folder} has no chat template: give it one, or set task.chat = false for plain text.")
        if self.inner.eos_token_id is None:
            raise InputError(f"{folder} names no token for the end of a text: set eos_token in its tokenizer.")
        self.end, self.size = int(self.inner.eos_token_id), len(self.inner)
        words = sorted(self.inner.get_vocab().items(), key=lambda item: item[1])
        self.hash = sha256(json.dumps(words).encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of plain text."""
        return list(self.inner(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without the marks of turns and ends."""
        return str(self.inner.decode(list(ids), skip_special_tokens=True))

    def asked(self, prompt: str) -> list[int]:
        """A user's message with what comes before an answer, or plain text."""
        if not self.chat:
            ids = self.encode(prompt)
            begin = self.inner.bos_token_id
            return ids if begin is None or ids[:1] == [begin] else [int(begin), *ids]
        said = [{"role": "user", "content": prompt}]
        text = self.inner.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        return self.encode(str(text))


def check(tokenizer: Tokenizer, vocabulary: int, where: str) -> None:
    """Raises InputError where a tokenizer can write tokens that the model has no place for."""
    if tokenizer.size > vocabulary:
        raise InputError(
            f"the tokenizer beside {where} knows {tokenizer.size:,} tokens and the model {vocabulary:,}: "
            "they do not belong together; name the tokenizer that the model was trained with."
        )
