"""Cells of somebody else's rows, read as what they should be; and what the reader of a file was told about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accord.feedback.exchange import chat
from accord.feedback.exchange.files import Row
from accord.feedback.exchange.judged import check_seconds
from accord.types import InputError, Side, Skip

ANNOTATOR = ("annotator", "worker", "worker_id", "annotator_id", "user_id")
ABOUT = (*ANNOTATOR, "seconds", "reason")  # read beside every shape

SIDES = ("a", "b", "tie", "skip")
_TIES = ("tie", "equal", "same", "both", "draw")
_SKIPS = ("skip", "unsure", "can't tell")


@dataclass(frozen=True)
class Reading:
    """What a file does not say of itself."""

    columns: Mapping[str, str] = field(default_factory=dict)  # our word for a column -> the file's
    labels: Mapping[str, str] = field(default_factory=dict)  # a label of the file -> a, b, tie or skip
    scale: tuple[int, int] | None = None  # the lowest and the highest rating
    annotator: str = "imported"  # whose answers they are where the file names nobody

    def __post_init__(self) -> None:
        wrong = [side for side in self.labels.values() if side not in SIDES]
        if wrong:
            raise InputError(f"a label means {wrong[0]!r}; it must mean one of {', '.join(SIDES)}.")
        if not self.annotator:
            raise InputError("an annotator has an empty name; give at least one letter.")
        if self.scale is not None and not 1 <= self.scale[1] - self.scale[0] <= 10:
            raise InputError(f"a scale from {self.scale[0]} to {self.scale[1]}: give one of 2 to 11 levels, as 1-5.")


def reading_of(columns: str, labels: str, scale: str, annotator: str) -> Reading:
    """A reading from words: `prompt=instruction,label=choice`, `0=a,1=b`, `1-5`. InputError for other words."""
    bounds = re.fullmatch(r"(-?\d+)-(-?\d+)", scale)
    if scale and bounds is None:
        raise InputError(f"a scale {scale!r} is none; write the lowest and the highest rating, as 1-5.")
    return Reading(
        _pairs("columns", columns),
        _pairs("labels", labels),
        (int(bounds[1]), int(bounds[2])) if bounds else None,
        annotator,
    )


def _pairs(what: str, words: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in words.split(",") if word]
    if wrong := [name for name, equals, value in pairs if not (name and equals and value)]:
        raise InputError(f"{what}: {wrong[0]!r} stands for nothing; write NAME=NAME, with commas between.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def cell(row: Row, name: str) -> Any:
    """What stands in a column. InputError where there is nothing."""
    if row.fields.get(name) is None:
        raise InputError(f"{row.where}: field {name!r} is missing; fill it or leave the row out.")
    return row.fields[name]


def renamed(fields: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """Fields under our words, where the reading says what theirs are."""
    return {**fields, **{ours: fields[theirs] for ours, theirs in reading.columns.items() if theirs in fields}}


def text_of(row: Row, name: str) -> str:
    """A text. InputError for anything else."""
    found = cell(row, name)
    if not isinstance(found, str):
        raise InputError(f"{row.where}: field {name!r} is {type(found).__name__}, no text; write it in quotes.")
    return found


def prompt_of(row: Row, name: str = "prompt") -> str:
    """A prompt: a text, or messages."""
    found = cell(row, name)
    return text_of(row, name) if isinstance(found, str) else chat.question(_turns(row, name, found))


def reply_of(row: Row, name: str) -> str:
    """A response: a text, or messages."""
    found = cell(row, name)
    return text_of(row, name) if isinstance(found, str) else chat.reply(_turns(row, name, found))


def _turns(row: Row, name: str, found: object) -> list[chat.Turn]:
    return chat.turns_of_messages(f"{row.where}: field {name!r}", found)


def whole_of(row: Row, name: str) -> int:
    """A whole number, as a number or as text."""
    found = cell(row, name)
    number = number_of(found)
    if number is None or number != int(number):
        raise InputError(f"{row.where}: field {name!r} is {str(found)[:40]!r}; it must be a whole number.")
    return int(number)


def number_of(found: object) -> float | None:
    """A number, as a number or as text; None where it is none."""
    try:
        number = None if isinstance(found, bool) else float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if number is not None and abs(number) < 2**53 else None  # a NaN is below nothing


def truth_of(row: Row, name: str) -> bool:
    """True or false, as JSON has it or in words, or as 1 or 0."""
    found = cell(row, name)
    word = str(found).strip().casefold()
    if word not in ("true", "false", "1", "0"):
        raise InputError(f"{row.where}: field {name!r} is {str(found)[:40]!r}; it must be true or false.")
    return word in ("true", "1")


def list_of(row: Row, name: str) -> Sequence[Any]:
    """A list; in a table of text, JSON of one."""
    found = cell(row, name)
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    if not isinstance(found, list):
        raise InputError(f"{row.where}: field {name!r} is no list; write one, in a table as JSON.")
    return found


def about(row: Row, reading: Reading) -> dict[str, Any]:
    """Who answered, how long it took and why, where the file says so."""
    who = next((str(row.fields[name]) for name in ANNOTATOR if row.fields.get(name) not in (None, "")), "")
    seconds, reason = row.fields.get("seconds"), row.fields.get("reason")
    return {
        "where": row.where,
        "annotator": who or reading.annotator,
        "seconds": 0.0 if seconds in (None, "") else check_seconds(row.where, seconds),
        "text": "" if reason is None else text_of(row, "reason"),
    }


def side_of(found: object, names: tuple[str, str], reading: Reading) -> Side | Skip | None:
    """What a label says of two responses that stand under these names; None where it says nothing known.

    Three levels, since a label could have said that they are equal.
    """
    word = str(found).strip().casefold()
    known = {name.casefold(): side for side, name in zip("ab", names, strict=True)}
    known |= {"a": "a", "b": "b", "first": "a", "second": "b", "left": "a", "right": "b"}
    known |= {"model_a": "a", "model_b": "b", **dict.fromkeys(_TIES, "tie"), **dict.fromkeys(_SKIPS, "skip")}
    if names[0].endswith("1") and names[1].endswith("2"):
        known |= {"1": "a", "2": "b", "0": "tie"}
    known = {label.casefold(): side for label, side in reading.labels.items()} or known
    match known.get(word):
        case "a":
            return Side(2, 3)
        case "b":
            return Side(0, 3)
        case "tie":
            return Side(1, 3)
        case "skip":
            return Skip()
        case _:
            return None
