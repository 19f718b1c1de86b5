"""What annotators said to the questions of another tool: a side, a rating, or names in an order.

Such a tool asks several questions about one thing. Answers to two questions of one sort would be mixed up with each
other, so one of them has to be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from accord.feedback.exchange.columns import Reading, number_of, prompt_of, side_of, text_of
from accord.feedback.exchange.files import Row
from accord.feedback.exchange.judged import Judged
from accord.feedback.exchange.shapes import PAIRS, Read, labelled, ranked, rated
from accord.types import InputError, Reply

_PROMPTS = ("prompt", "question", "instruction")
_RESPONSES = ("response", "completion", "answer", "text")


@dataclass(frozen=True)
class Said:
    """One answer: to which question, about which texts (and by whom: `row`), and what; `items` are what is ranked."""

    question: str
    row: Row
    value: object
    items: Mapping[str, str] = field(default_factory=dict)

    @property
    def sort(self) -> str:
        """What the answer is, in the word by which its question can be chosen."""
        match self.value:
            case bool() | str():
                return "label"
            case int() | float():
                return "rating"
            case list():
                return "ranking"
            case _:
                return "other"


def read_said(said: Sequence[Said], reading: Reading, left: Counter[str]) -> Read:
    """What can be read of them; of the rest, and of what was `left` aside before, how much there was."""
    judged: list[Judged] = []
    questions: dict[str, str] = {}
    for it in said:
        chosen = reading.columns.get(it.sort, it.question)
        found = _judged(it, reading) if chosen == it.question else None
        if found is None:
            left[f"answers to {it.question!r}"] += 1
            continue
        judged.append(found)
        if questions.setdefault(it.sort, it.question) != it.question:
            raise InputError(
                f"{it.row.where}: {it.question!r} and {questions[it.sort]!r} both ask for a {it.sort}; choose one with "
                f"--columns {it.sort}={it.question}."
            )
    return judged, [f"left out: {what} ({count:,})" for what, count in left.items()]


def _judged(it: Said, reading: Reading) -> Judged | None:
    """An answer in our words; None where it is none of a sort that we know."""
    fields = it.row.fields
    prompt = next((prompt_of(it.row, name) for name in _PROMPTS if fields.get(name) is not None), "")
    row = Row(it.row.where, {**fields, "prompt": prompt, "label": it.value})
    if it.sort == "label":
        pair = next((pair for pair in PAIRS if all(fields.get(name) is not None for name in pair)), None)
        known = pair is not None and side_of(it.value, pair, reading) is not None
        return labelled(row, pair, "label", reading) if pair is not None and known else None
    if it.sort == "rating":
        name = next((name for name in _RESPONSES if fields.get(name) is not None), None)
        number = number_of(it.value)  # None for what JSON lets pass as NaN or Infinity
        if name is None or number is None or number != int(number):
            return None
        return rated(row, Reply(prompt, text_of(row, name)), int(number), reading)
    if (
        it.sort == "ranking"
        and isinstance(it.value, list)
        and it.value
        and all(name in [*it.items] for name in it.value)
    ):
        names = [*it.items]
        order = [names.index(name) for name in it.value]
        return ranked(row, [Reply(prompt, text) for text in it.items.values()], order, reading)
    return None
