"""Argilla 2's exported records: ratings, rankings and labels, with the answers of several users.

`records.to_json` nests (`fields`, `responses` by question); `records.to_datasets` and `to_list(flatten=True)` write
columns `QUESTION.responses`, `.users` and `.status`. Only what was submitted counts; the nested form does not say what
was, so all of it is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from accord.feedback.exchange.columns import Reading, renamed
from accord.feedback.exchange.files import Row
from accord.feedback.exchange.questions import Said, read_said
from accord.feedback.exchange.shapes import Read
from accord.types import InputError

_NESTED, _FLAT = ("fields", "responses"), ".responses"


def is_argilla(columns: Collection[str]) -> bool:
    """Whether the columns are those of records."""
    return set(_NESTED) <= set(columns) or any(name.endswith(_FLAT) for name in columns)


def read_argilla(rows: Sequence[Row], reading: Reading) -> Read:
    """All submitted responses. InputError where a record is none."""
    left: Counter[str] = Counter()
    nested = all(name in rows[0].fields for name in _NESTED)
    of_record = _nested if nested else _flat
    said = [said for row in rows for said in _submitted(row, *of_record(row), reading, left)]
    judged, notes = read_said(said, reading, left)
    return judged, [*notes, *(["the file does not say which responses were submitted: all count"] if nested else [])]


Response = tuple[str, object, object, object]  # question, value, user, status


def _nested(row: Row) -> tuple[Mapping[str, Any], list[Response]]:
    fields, responses = row.fields.get("fields"), row.fields.get("responses")
    if not isinstance(fields, dict) or not isinstance(responses, dict):
        raise InputError(f"{row.where} is no record of Argilla: its fields and responses are objects.")
    found: list[Response] = []
    for question, given in responses.items():
        for each in given or ():
            match each:
                case {"value": value, "user_id": user}:
                    found.append((question, value, user, each.get("status")))
                case _:
                    raise InputError(f"{row.where}: a response to {question!r} lacks value or user_id: export again.")
    return fields, found


def _flat(row: Row) -> tuple[Mapping[str, Any], list[Response]]:
    questions = [name.removesuffix(_FLAT) for name in row.fields if name.endswith(_FLAT)]
    found: list[Response] = []
    for question in questions:
        values, users, statuses = (
            row.fields.get(f"{question}{_FLAT}{what}") or [] for what in ("", ".users", ".status")
        )
        if not all(isinstance(each, list) for each in (values, users, statuses)) or len(values) != len(users):
            raise InputError(f"{row.where}: the responses to {question!r} are no lists of one length: export again.")
        found += [(question, *each) for each in zip_longest(values, users, statuses)]
    texts = {name: value for name, value in row.fields.items() if "." not in name and isinstance(value, str | list)}
    return texts, found


def _submitted(
    row: Row, fields: Mapping[str, Any], found: Sequence[Response], reading: Reading, left: Counter[str]
) -> Iterator[Said]:
    items = {name: text for name, text in fields.items() if isinstance(text, str)}
    for question, value, user, status in found:
        if status in (None, "submitted"):
            about = Row(row.where, {**renamed(fields, reading), "annotator": user})
            ranked = _names(value)
            named = {name: text for name, text in items.items() if name in ranked}
            yield Said(question, about, ranked or value, named)
        else:
            left[f"responses that are {status}"] += 1


def _names(value: object) -> list[str]:
    """Names best first, as texts or as objects with a rank; empty where it is no order."""
    match value:
        case [str(), *_]:
            return [str(each) for each in value]
        case [{"value": _, "rank": _}, *_]:
            return [each["value"] for each in sorted(value, key=lambda each: each["rank"])]
        case _:
            return []
