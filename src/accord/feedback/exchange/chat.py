"""Dialogues as text: the prompt that two of them share, and what each says after it.

Two forms are read: lists of messages (`role`, `content`), and the form of Anthropic's HH data, one text whose turns
begin with a blank line and `Human:` or `Assistant:`. A dialogue is kept in the second form, except that one question is
kept as it stands, and so is one reply.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from accord.types import InputError

Turn = tuple[str, str]  # who, and what

_SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System", "tool": "Tool"}
_MARK = re.compile(r"\n\n(Human|Assistant):")


def is_dialogue(text: object) -> bool:
    """Whether a text is written as those of HH are."""
    return isinstance(text, str) and text.startswith("\n\nHuman:")


def turns_of_dialogue(text: str) -> list[Turn]:
    """The turns of a text in the form of HH."""
    parts = _MARK.split(text)[1:]
    return [(who, said.removeprefix(" ")) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def turns_of_messages(where: str, messages: object) -> list[Turn]:
    """The turns of a list of messages. InputError where it is none."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InputError(f"{where} is no list of messages: write objects with role and content.")
    return [_turn(where, message) for message in messages]


def _turn(where: str, message: object) -> Turn:
    match message:
        case {"role": str(role), "content": content} if role in _SPEAKERS:
            return _SPEAKERS[role], _words(where, content)
        case _:
            raise InputError(
                f"{where} holds no message of {', '.join(_SPEAKERS)}: write objects with role and content."
            )


def _words(where: str, content: object) -> str:
    match content:
        case str():
            return content
        case [{"type": "text", "text": str(text)}]:
            return text
        case _:
            raise InputError(f"{where} holds a message that is no text: leave calls of tools and pictures out.")


def question(turns: Sequence[Turn]) -> str:
    """A prompt as text."""
    if [who for who, _ in turns] == ["Human"]:
        return turns[0][1]
    asked = turns and turns[-1][0] == "Human"
    return "".join(map(_written, turns)) + ("\n\nAssistant:" if asked else "")


def reply(turns: Sequence[Turn]) -> str:
    """What follows a prompt, as text: the words of the assistant, and further turns in the form of HH."""
    if turns and turns[0][0] == "Assistant":
        return turns[0][1] + "".join(map(_written, turns[1:]))
    return "".join(map(_written, turns))


def _written(turn: Turn) -> str:
    return f"\n\n{turn[0]}: {turn[1]}"


def split_turns(chosen: Sequence[Turn], rejected: Sequence[Turn]) -> tuple[str, str, str]:
    """The prompt that two dialogues share, and what each says after it: at least its last turn."""
    most = min(len(chosen), len(rejected)) - 1
    shared = next((i for i in range(most) if chosen[i] != rejected[i]), most)
    return question(chosen[:shared]), reply(chosen[shared:]), reply(rejected[shared:])


def split_texts(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The same of two plain texts: what they share, up to a whole word."""
    both = zip(chosen, rejected, strict=False)
    cut = next((i for i, (one, other) in enumerate(both) if one != other), min(len(chosen), len(rejected)))
    while cut and not chosen[cut - 1].isspace():
        cut -= 1
    prompt = chosen[:cut].rstrip()
    return prompt, chosen[cut:], rejected[cut:]
