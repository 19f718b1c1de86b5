"""Golden: what Label Studio and Argilla export, as a store holds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accord.feedback.exchange.columns import Reading, reading_of
from accord.feedback.exchange.imports import Imported, import_file
from accord.feedback.store import Store
from accord.types import InputError, Order, Reply, Score, Side

Empty = Callable[[], Store]


def taken(store: Store, path: Path, rows: list[Any], reading: Reading | None = None) -> Imported:
    path.write_text(json.dumps(rows))
    return import_file(path, store, reading)


def told(store: Store) -> list[tuple]:
    """Who said what: of two the better (None: a tie), of several the order, of one the level."""
    found = []
    for answer in store.answers():
        (query,) = store.queries([answer.query])
        texts = [each.response for each in store.segments(query.segments) if isinstance(each, Reply)]
        match answer.value:
            case Side(level, levels):
                said: Any = None if 2 * level == levels - 1 else texts[0] if 2 * level > levels - 1 else texts[1]
            case Order(places):
                said = [texts[place] for place in places]
            case other:
                said = other
        found.append((answer.annotator, said))
    return found


def task(data: dict[str, Any], *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": 1, "data": data, "annotations": [*annotations], "predictions": [{"result": []}]}


def annotation(who: object, kind: str, value: object, question: str = "q", **more: Any) -> dict[str, Any]:
    result = {
        "from_name": question,
        "to_name": "x",
        "type": kind,
        "value": {"selected" if kind == "pairwise" else kind: value},
    }
    return {"id": 5, "completed_by": who, "was_cancelled": False, "lead_time": 4.5, "result": [result], **more}


PAIR = {"prompt": "p", "text1": "x", "text2": "y"}
ITEMS = {"prompt": "p", "items": [{"id": name, "title": "t", "body": f"body {name}"} for name in ("u", "v", "w")]}


def test_golden_tasks_of_label_studio(empty: Empty, tmp_path: Path):
    store = empty()
    rows = [
        task(PAIR, annotation(7, "pairwise", "left"), annotation({"id": 8, "email": "e@x"}, "choices", ["tie"])),
        task(ITEMS, annotation(7, "ranker", {"rank": ["w", "u", "v"]}), annotation(9, "ranker", ["u", "v", "w"])),
        task({"prompt": "p", "response": "x"}, annotation(7, "rating", 4)),
        task(PAIR, annotation(9, "pairwise", "right", was_cancelled=True)),
        task(PAIR, annotation(9, "textarea", ["why"])),
        task(ITEMS, annotation(8, "ranker", {"good": ["u"], "bad": ["v", "w"]})),
        task(PAIR, annotation(9, "choices", ["purple"])),
    ]
    found = taken(store, tmp_path / "a.json", rows, reading_of("label=q", "", "", "w"))
    bodies = [f"body {name}" for name in "uvw"]
    assert told(store) == [
        ("7", "x"),
        ("8", None),
        ("7", [bodies[2], bodies[0], bodies[1]]),
        ("9", bodies),
        ("7", Score(3, 5)),
    ]
    assert {answer.seconds for answer in store.answers()} == {4.5}
    assert sorted(found.notes) == [
        "left out: answers to 'q' (1)",
        "left out: cancelled annotations (1)",
        "left out: results of type 'ranker' (1)",
        "left out: results of type 'textarea' (1)",
    ]
    assert "e@x" not in str(store.pseudonyms())


def test_golden_a_wrong_task_is_refused_with_its_row(empty: Empty, tmp_path: Path):
    good = task(PAIR, annotation(7, "pairwise", "left"))
    for wrong, words in (
        ({"data": [], "annotations": []}, "row 2 is no task of Label Studio"),
        (task(PAIR, {"id": 1}), "row 2 holds an annotation without a result"),
        (
            task({"prompt": "p", "response": "x"}, annotation(7, "rating", 9)),
            "row 2: .* the scale is 1 to 5: give --scale",
        ),
    ):
        store = empty()
        with pytest.raises(InputError, match=words):
            taken(store, tmp_path / "a.json", [good, wrong])
        assert not store.answers()


@pytest.mark.parametrize(
    "said",
    [annotation(7, "rating", float("nan")), annotation(7, "rating", float("inf")), annotation(7, "ranker", [{}])],
)
def test_golden_what_is_no_number_and_no_name_is_left_out_and_told(empty: Empty, tmp_path: Path, said: dict[str, Any]):
    """JSON as Python reads it lets NaN and Infinity pass."""
    data = {"prompt": "p", "response": "x", "items": ITEMS["items"]}
    rows = [task(data, annotation(1, "rating", 4)), task(data, said)]
    store = empty()
    taken(store, tmp_path / "a.json", rows)
    assert [value for _, value in told(store)] == [Score(3, 5)]


def test_golden_of_two_questions_of_one_sort_one_is_chosen(empty: Empty, tmp_path: Path):
    rows = [task({"response": "x"}, annotation(7, "rating", 4, "help"), annotation(7, "rating", 1, "harm"))]
    with pytest.raises(
        InputError, match="'harm' and 'help' both ask for a rating; choose one with --columns rating=harm"
    ):
        taken(empty(), tmp_path / "a.json", rows)
    store = empty()
    found = taken(store, tmp_path / "a.json", rows, Reading({"rating": "harm"}))
    assert told(store) == [("7", Score(0, 5))] and found.notes == ("left out: answers to 'help' (1)",)


FIELDS = {"prompt": "p", "response1": "x", "response2": "y"}


def test_golden_nested_records_of_argilla(empty: Empty, tmp_path: Path):
    store = empty()
    record = {
        "id": "1",
        "fields": FIELDS,
        "metadata": {},
        "suggestions": {"better": {"value": "response1", "score": None, "agent": "m"}},
        "responses": {
            "better": [{"value": "response2", "user_id": "ann"}, {"value": "tie", "user_id": "bo"}],
            "order": [{"value": ["response2", "response1"], "user_id": "ann"}],
            "comment": [{"value": "because", "user_id": "ann"}],
        },
        "vectors": {},
        "_server_id": "s",
    }
    found = taken(store, tmp_path / "a.json", [record])
    assert told(store) == [("ann", "y"), ("bo", None), ("ann", ["y", "x"])]
    assert found.shape == "records of Argilla" and found.notes == (
        "left out: answers to 'comment' (1)",
        "the file does not say which responses were submitted: all count",
    )


def test_golden_flat_records_of_argilla_count_what_was_submitted(empty: Empty, tmp_path: Path):
    row = {
        "id": "1",
        "status": "completed",
        "prompt": "p",
        "response": "x",
        "quality.responses": [7, 3, 5],
        "quality.responses.users": ["ann", "bo", "cy"],
        "quality.responses.status": ["submitted", "discarded", "draft"],
        "quality.suggestion": None,
    }
    with pytest.raises(InputError, match="so 7 says little; give --scale"):
        taken(empty(), tmp_path / "a.json", [row])
    store = empty()
    found = taken(store, tmp_path / "a.json", [row], reading_of("", "", "0-10", "w"))
    assert told(store) == [("ann", Score(7, 11))]
    assert found.notes == ("left out: responses that are discarded (1)", "left out: responses that are draft (1)")
    with pytest.raises(InputError, match="no lists of one length"):
        taken(empty(), tmp_path / "a.json", [{**row, "quality.responses.users": ["ann"]}])


def test_golden_a_file_without_a_readable_answer_is_refused(empty: Empty, tmp_path: Path):
    rows = [task(PAIR, annotation(7, "textarea", ["why"]))]
    with pytest.raises(
        InputError, match=r"no row holds an answer that accord can read \(left out: results of type 'textarea'"
    ):
        taken(empty(), tmp_path / "a.json", rows)
