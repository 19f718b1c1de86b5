"""What one row of somebody else's file says, in our words; and all of them as a parcel.

A question is named by the hash of its segments, whichever way round they stand: what several annotators say of one
pair meets in one query, and a file that is imported again changes nothing. Segments stand in the query in the order of
their ids, so that "the first is better" is no more likely than the other; the order in the file is kept as the order
of showing where the file has one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from accord.feedback.checks import check_answer, check_query
from accord.feedback.codec import answer_row, provenance_row, query_row, segment_row
from accord.feedback.exchange.parcel import Parcel
from accord.types import Answer, InputError, Kind, Order, Provenance, Query, Reply, Side, Value, segment_id


@dataclass(frozen=True)
class Judged:
    """One answer: to what, by whom. `value` counts segments as they stand here."""

    where: str
    kind: Kind
    segments: tuple[Reply, ...]
    value: Value
    annotator: str
    levels: int = 2
    shown: bool = False  # the order here is that in which they were shown
    seconds: float = 0.0
    text: str = ""


def gather(judged: Sequence[Judged], source: str, now: float) -> Parcel:
    """All answers of a file as a parcel; `source` is the task that the segments' provenance names."""
    segments: dict[str, Reply] = {}
    asked: dict[str, dict[str, Any]] = {}
    people = {name: secrets.token_hex(6) for name in dict.fromkeys(it.annotator for it in judged)}
    times: Counter[tuple[str, str]] = Counter()
    answers: list[dict[str, Any]] = []
    for it in judged:
        ids = [segment_id(segment) for segment in it.segments]
        segments |= zip(ids, it.segments, strict=True)
        order = sorted(range(len(ids)), key=lambda i: (ids[i], i))
        query, first = _query(it, tuple(ids[i] for i in order), times)
        row = asked.setdefault(query.id, {**query_row(query), "segments": query.segments, "number": len(asked) + 1,
                                          "gold": None, "repeats": first, "asked": now, "overlap": 0})  # fmt: skip
        row["overlap"] += 1
        answers.append(_answer_row(it, query, order, people[it.annotator], len(answers) + 1, now))
    origin = provenance_row(Provenance(source, round=0, policy_version=0, seed=0, episode=0, start=0))
    return Parcel(
        segments=[{"id": id, **segment_row(segment)} for id, segment in segments.items()],
        provenance=[{"segment": id, **origin} for id in segments],
        annotators=[{"pseudonym": it, "name": name, "kind": "person", "created": now} for name, it in people.items()],
        queries=[*asked.values()],
        answers=answers,
        wheres=[it.where for it in judged],
    )


def _query(it: Judged, ids: tuple[str, ...], times: Counter[tuple[str, str]]) -> tuple[Query, str | None]:
    """The query that this answers, and the one that it repeats where its annotator was asked before in this file."""
    first = _hash(it.kind, it.levels, ids, 0)
    before = times[it.annotator, first]
    times[it.annotator, first] += 1
    # "uniform": no reward of ours chose the question, so its answers measure without bias.
    query = Query(_hash(it.kind, it.levels, ids, before), it.kind, ids, it.levels)
    try:
        check_query(query)
    except InputError as error:
        raise InputError(f"{it.where}: {error}") from error
    return query, first if before else None


def _hash(kind: str, levels: int, ids: Sequence[str], repeat: int) -> str:
    return hashlib.sha256(json.dumps(["imported", kind, levels, ids, repeat]).encode()).hexdigest()


def _answer_row(it: Judged, query: Query, order: Sequence[int], pseudonym: str, seq: int, now: float) -> dict[str, Any]:
    places = sorted(range(len(order)), key=lambda place: order[place])  # where each segment of the file stands
    shown = tuple(places) if it.shown else ()
    answer = Answer("", query.id, it.annotator, _turned(it.value, places), shown, it.seconds, it.text)
    try:
        check_answer(query, answer)
    except InputError as error:
        raise InputError(f"{it.where}: {error}") from error
    row = {**answer_row(answer), "annotator": pseudonym, "revision": 0, "received": now, "seq": seq}
    return row | {"id": None}  # made where it is stored


def _turned(value: Value, places: Sequence[int]) -> Value:
    """What is said of the file's order, said of the query's."""
    match value:
        case Side(level, levels) if [*places] == [1, 0]:
            return Side(levels - 1 - level, levels)
        case Order(best_first) if all(0 <= each < len(places) for each in best_first):
            return Order(tuple(places[each] for each in best_first))
        case _:
            return value


def check_seconds(where: str, seconds: object) -> float:
    """A time that an answer took. InputError for what is no time."""
    try:
        found = float(seconds)  # type: ignore[arg-type]  # refused below
    except (TypeError, ValueError):
        found = -1.0
    if not (isfinite(found) and found >= 0):
        raise InputError(f"{where}: seconds is {seconds!r}; it must be a time of at least 0.")
    return found
