"""Label Studio's JSON export: Pairwise, Choices about two texts, Ranker and Rating.

A task holds `data` and `annotations`; an annotation holds one result for each control, and was cancelled where somebody
skipped it (https://labelstud.io/guide/task_format). The labelling configuration, which says what is the prompt, is not
in the export: texts are known by their names in `data`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from accord.feedback.exchange.columns import Reading, renamed
from accord.feedback.exchange.files import Row
from accord.feedback.exchange.questions import Said, read_said
from accord.feedback.exchange.shapes import Read
from accord.types import InputError

STARS = 5  # of a Rating, where the configuration does not say otherwise


def is_label_studio(columns: Collection[str]) -> bool:
    """Whether the columns are those of tasks."""
    return {"data", "annotations"} <= set(columns)


def read_label_studio(rows: Sequence[Row], reading: Reading) -> Read:
    """All annotations that were not cancelled. InputError where a task is none."""
    left: Counter[str] = Counter()
    return read_said([said for row in rows for said in _of_task(row, reading, left)], reading, left)


def _of_task(row: Row, reading: Reading, left: Counter[str]) -> Iterator[Said]:
    data, annotations = row.fields.get("data"), row.fields.get("annotations")
    if not isinstance(data, dict) or not isinstance(annotations, list):
        raise InputError(f"{row.where} is no task of Label Studio: its data are an object, its annotations a list.")
    texts, items = renamed(data, reading), _items(data)
    for annotation in annotations:
        match annotation:
            case {"was_cancelled": True}:
                left["cancelled annotations"] += 1
            case {"result": list() as results}:
                fields = {
                    **texts,
                    "levels": STARS,
                    "seconds": annotation.get("lead_time"),
                    "annotator": _who(annotation),
                }
                for result in results:
                    yield from _of_result(Row(row.where, fields), items, result, left)
            case _:
                raise InputError(f"{row.where} holds an annotation without a result: export the project again.")


def _who(annotation: Mapping[str, Any]) -> str | None:
    match annotation.get("completed_by"):
        case {"id": id} | {"email": id} | (int() | str() as id):
            return str(id)
        case _:
            return None


def _of_result(row: Row, items: Mapping[str, str], result: object, left: Counter[str]) -> Iterator[Said]:
    match result:
        case {"type": "pairwise", "value": {"selected": value}, "from_name": str(question)}:
            yield Said(question, row, value)
        case {"type": "choices", "value": {"choices": [value]}, "from_name": str(question)}:
            yield Said(question, row, value)
        case {"type": "rating", "value": {"rating": value}, "from_name": str(question)}:
            yield Said(question, row, value)
        case {"type": "ranker", "value": {"ranker": list() as value}, "from_name": str(question)}:
            yield Said(question, row, value, items)
        case {"type": "ranker", "value": {"ranker": dict() as buckets}, "from_name": str(question)} if (
            len(buckets) == 1
        ):
            yield Said(question, row, next(iter(buckets.values())), items)
        case {"type": sort}:
            left[f"results of type {sort!r}"] += 1
        case _:
            raise InputError(f"{row.where} holds a result without a type: export the project again.")


def _items(data: Mapping[str, Any]) -> dict[str, str]:
    """What a Ranker orders: the first list of objects with an id, and their texts."""
    for found in data.values():
        match found:
            case [{"id": _}, *_]:
                return {each["id"]: str(each.get("body") or each.get("title") or "") for each in found if "id" in each}
    return {}
