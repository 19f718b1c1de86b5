"""Writes the table of every key into docs/command-line.md, from the dataclasses themselves:  python docs/keys.py

A key's meaning is the comment that stands beside its field; its default is the field's own.
"""

from __future__ import annotations

import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from accord.config import ActsSection, RunConfig, TextSection, WritesSection

PAGE = Path(__file__).resolve().parent / "command-line.md"
BEGIN, END = "<!-- keys: written by docs/keys.py -->", "<!-- end of keys -->"
# What a key is, where the comment beside its field only says where the default comes from, or there is none.
SAID = {
    "seed": "of the whole run",
    "task.id": "a Gymnasium id, or `accord/FixedCartPole-v0`; `ALE/...` with the extra `atari`",
    "task.kind": "`control`: a Gymnasium environment; `text`: prompts that a model answers, in the next tables",
    "feedback.annotator": "who answers: a teacher, or people at the annotation page",
    "feedback.teacher.flaw": "which teacher, see [feedback.md](feedback.md)",
    "feedback.teacher.discount": "weight of a step relative to the one after it",
    "feedback.teacher.mistake": "probability that the answer is turned round",
    "feedback.teacher.skip": "skip where all are below this share of the mean return",
    "feedback.teacher.equal": "tie below this share of the mean return",
    "feedback.teacher.side": "probability of answering what is shown first (negative: last)",
    "feedback.teacher.spam": "probability of an answer at random",
    "feedback.teacher.drift": "added to `mistake` with every query",
    "feedback.queries.kind": "what is asked",
    "feedback.queries.rule": "how queries are chosen",
    "feedback.segment": "length of a segment",
    "feedback.rounds": "how many",
    "reward.kind": "the net",
    "reward.rate": "learning rate",
    "reward.batch": "size of a minibatch",
    "policy.steps": "environment steps to learn from",
    "policy.hidden": "hidden layers of actor and critic",
    "policy.epochs": "passes over a rollout",
    "policy.learning_rate": "Adam's",
    "policy.gamma": "discount",
    "policy.lambda": "of the advantages",
    "policy.clip": "of the probability ratio",
    "policy.entropy": "bonus",
    "policy.gradient_norm": "clipped to",
    "policy.log_sd": "logarithm of the standard deviation",
    "policy.algorithm": "in an environment `ppo`; `sac`, `td3`, `auto` and `sb3:NAME` have keys of their own, in the "
    "next tables, and so have those of text: `rloo`, `grpo`, `ppo`, `best-of-n`",
    "policy.batch": "transitions in an update",
    "policy.temperature": "weight of the entropy",
    "task.prompts": "what the policy answers",
    "task.gold": "the scorer that teachers and evaluation alone read",
    "policy.tokens": "of a response, at most",
    "policy.n": "responses written for one that is given",
    "policy.device": "`auto`, `cpu`, `cuda`",
    "report.episodes": "evaluated",
    "report.lang": "language",
    "report.sinks": "other tools",
}


Row = tuple[str, str, str, str]


def rows(owner: type, above: str = "") -> Iterator[Row]:
    """Key, allowed values where they are words, default and meaning of every key, in the order of the fields.

    Of a section that may be one of several, the first.
    """
    hints, comments = get_type_hints(owner), comments_of(owner)
    for field in fields(owner):
        key = f"{above}{field.name.rstrip('_')}"
        if sections := sections_of(hints[field.name]):
            yield from rows(sections[0], f"{key}.")
        else:
            yield (
                key,
                kind_of(hints[field.name]),
                default_of(field),
                "; ".join(filter(None, (SAID.get(key), comments.get(field.name)))),
            )


def sections_of(hint: object) -> list[type]:
    """The dataclasses that a section may be; none where it is a value."""
    return [each for each in get_args(hint) or (hint,) if isinstance(each, type) and is_dataclass(each)]


def others() -> list[tuple[dict[str, str], list[Row]]]:
    """What a section holds where another than the first is chosen: by which keys, and its rows."""
    text = {"task.kind": "text"}
    found = [(text, list(rows(TextSection, "task.")))]
    for each in [*get_args(ActsSection)[1:], *get_args(WritesSection)]:
        chosen = {"policy.algorithm": each.algorithm}
        found.append((text | chosen if each in get_args(WritesSection) else chosen, list(rows(each, "policy."))))
    return found


def comments_of(owner: type) -> dict[str, str]:
    """The comment beside each field, of the classes that it inherits from too."""
    found: dict[str, str] = {}
    for each in reversed([one for one in owner.__mro__ if is_dataclass(one)]):
        source = textwrap.dedent(inspect.getsource(each))
        field = ""
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            line = token.line.strip()
            if token.type == tokenize.NAME and token.start[1] == 4 and line.startswith(f"{token.string}:"):
                field = token.string
            if token.type == tokenize.NAME and token.string == "def":
                break
            if token.type == tokenize.COMMENT and field:
                found[field] = token.string.removeprefix("#").strip().replace("None:", "`none`:").replace("|", "or")
    return found


def kind_of(hint: object) -> str:
    """Words as they are, numbers and texts by their kind."""
    if isinstance(hint, type):
        return {int: "whole number", float: "number", bool: "true, false", str: "text"}.get(hint, "list")
    words = [option for option in get_args(hint) if option is not Ellipsis]
    if any(isinstance(option, str) for option in words):
        return ", ".join(f"`{option}`" for option in words)
    if getattr(hint, "__origin__", None) is tuple:
        return f"list of {kind_of(words[0])}"
    return " or ".join("`none`" if option is type(None) else kind_of(option) for option in words)


def default_of(field: Field) -> str:
    """As it stands in a TOML file."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value is None:
        return "`none`"
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value!r}"
    return f"`{list(value)!r}`" if isinstance(value, tuple) else f"`{text}`"


def table(found: Iterable[Row]) -> str:
    """Rows as Markdown."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key}` | {kind} | {default} | {said} |".replace("  ", " ") for key, kind, default, said in found]
    return "\n".join(lines)


def tables() -> str:
    """All of them, the other algorithms' under a heading each."""
    apart = []
    for chosen, found in others():
        head = " and ".join(f'`{key} = "{word}"`' for key, word in chosen.items())
        apart.append(f"### {head}\n\n{table(found)}")
    return "\n\n".join([table(rows(RunConfig)), *apart])


def rewritten(page: str) -> str:
    """A page with the tables between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
