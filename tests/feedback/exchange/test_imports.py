"""Golden: what each shape of preference data means in a store, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from accord.feedback.evidence import pack
from accord.feedback.exchange.columns import Reading, reading_of
from accord.feedback.exchange.exports import export_file
from accord.feedback.exchange.imports import Imported, import_file
from accord.feedback.store import Store
from accord.types import Comparisons, InputError, Order, Reply, Score, Side, Skip, Value, Verdict

Empty = Callable[[], Store]
Told = tuple[str, str, list[str], Value]  # who, the prompt, the responses in the query, and what was said of them


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
    else:
        text = "\n".join(map(json.dumps, rows))
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def taken(store: Store, path: Path, reading: Reading | None = None) -> Imported:
    return import_file(path, store, reading, lambda: 100.0)


def told(store: Store) -> list[Told]:
    """Everything that was said, in words that do not depend on how the segments of a query are ordered."""
    found = []
    for answer in store.answers():
        (query,) = store.queries([answer.query])
        replies = [segment for segment in store.segments(query.segments) if isinstance(segment, Reply)]
        assert len({reply.prompt for reply in replies}) == 1
        found.append((answer.annotator, replies[0].prompt, [reply.response for reply in replies], answer.value))
    return found


def favoured(who: Told) -> str | None:
    """The response that a comparison prefers; None: a tie."""
    _, _, responses, value = who
    assert isinstance(value, Side)
    middle = (value.levels - 1) / 2
    return None if value.level == middle else responses[0] if value.level > middle else responses[1]


MESSAGES = [{"role": "user", "content": "Why?"}]
GOOD, BAD = ([{"role": "assistant", "content": text}] for text in ("good", "bad"))
CHOSEN = {
    "explicit": {"prompt": "Why?", "chosen": "good", "rejected": "bad"},
    "explicit messages": {"prompt": MESSAGES, "chosen": GOOD, "rejected": BAD},
    "implicit messages": {"chosen": MESSAGES + GOOD, "rejected": MESSAGES + BAD},
    "prompt beside conversations": {"prompt": "Why?", "chosen": MESSAGES + GOOD, "rejected": MESSAGES + BAD},
    "dialogue": {"chosen": "\n\nHuman: Why?\n\nAssistant: good", "rejected": "\n\nHuman: Why?\n\nAssistant: bad"},
    "text": {"chosen": "Why? good", "rejected": "Why? bad"},
}


@pytest.mark.parametrize("shape", CHOSEN)
def test_golden_chosen_and_rejected_in_all_their_forms(empty: Empty, tmp_path: Path, shape: str):
    store = empty()
    found = taken(store, written(tmp_path / "a.jsonl", [CHOSEN[shape]]))
    (only,) = told(store)
    assert (found.shape, only[:2], sorted(only[2])) == ("chosen and rejected", ("imported", "Why?"), ["bad", "good"])
    assert favoured(only) == "good" and isinstance(only[3], Side) and only[3].levels == 2


def test_golden_a_longer_dialogue_keeps_its_shared_turns_as_the_prompt(empty: Empty, tmp_path: Path):
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c"
    apart = {"chosen": "\n\nHuman: a\n\nAssistant: x\n\nHuman: y\n\nAssistant: z", "rejected": start + "\n\nAssistant:"}
    rows = [{"chosen": start + "\n\nAssistant: d\n\ne", "rejected": start + "\n\nAssistant: f"}, apart]
    store = empty()
    taken(store, written(tmp_path / "a.jsonl.gz", rows))
    first, second = told(store)
    assert first[1] == start + "\n\nAssistant:" and favoured(first) == "d\n\ne"
    assert second[1] == "a" and favoured(second) == "x\n\nHuman: y\n\nAssistant: z"
    assert sorted(second[2]) == ["b\n\nHuman: c\n\nAssistant: ", "x\n\nHuman: y\n\nAssistant: z"]


def test_golden_margins_are_strengths_where_they_are_small_whole_numbers(empty: Empty, tmp_path: Path):
    rows = [{**CHOSEN["explicit"], "prompt": str(m), "margin": m} for m in (3, 0, None)]
    store = empty()
    assert taken(store, written(tmp_path / "a.jsonl", rows)).notes == ()
    strong, even, plain = told(store)
    assert isinstance(strong[3], Side) and strong[3].levels == 7 and strong[3].level in (0, 6)
    assert even[3] == Side(3, 7) and isinstance(plain[3], Side) and plain[3].levels == 2
    assert [favoured(each) for each in (strong, even, plain)] == ["good", None, "good"]
    other = empty()
    rows[0]["margin"] = 0.37
    notes = taken(other, written(tmp_path / "b.csv", rows)).notes
    assert notes == ("left out: margins, which are no whole numbers from 0 to 3",)
    assert {value.levels for *_, value in told(other) if isinstance(value, Side)} == {2}


LABELS = [("a", "first"), ("B", "second"), ("tie", None), ("response_a", "first"), ("right", "second")]


@pytest.mark.parametrize(("label", "better"), LABELS)
def test_golden_a_label_says_which_of_two(empty: Empty, tmp_path: Path, label: str, better: str | None):
    row = {"prompt": "p", "response_a": "first", "response_b": "second", "label": label, "annotator": "w1"}
    store = empty()
    taken(store, written(tmp_path / "a.csv", [row]))
    (only,) = told(store)
    assert only[0] == "w1" and favoured(only) == better
    (answer,) = store.answers()
    # The order in the file is kept as the order of showing, wherever the ids have put the segments.
    assert [only[2][place] for place in answer.shown] == ["first", "second"]


def test_golden_numbers_are_labels_where_they_can_mean_one_thing_only(empty: Empty, tmp_path: Path):
    pairs = [{"prompt": str(n), "response1": "x", "response2": "y", "label": n} for n in (1, 2, 0)]
    store = empty()
    taken(store, written(tmp_path / "a.jsonl", pairs))
    assert [favoured(each) for each in told(store)] == ["x", "y", None]
    doubtful = written(tmp_path / "b.jsonl", [pairs[0], pairs[2]])
    with pytest.raises(InputError, match="0 may be a tie or the first response; say which with --labels"):
        taken(empty(), doubtful)
    store = empty()
    taken(store, doubtful, reading_of("", "0=a,1=b", "", "w"))
    assert [(who, favoured((who, *rest))) for who, *rest in told(store)] == [("w", "y"), ("w", "x")]


def test_golden_a_skip_is_an_answer_and_other_words_are_not(empty: Empty, tmp_path: Path):
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "label": "skip", "seconds": 2.5, "reason": "odd"}
    store = empty()
    taken(store, written(tmp_path / "a.jsonl", [row]))
    (answer,) = store.answers()
    assert (answer.value, answer.seconds, answer.text) == (Skip(), 2.5, "odd")
    with pytest.raises(InputError, match="line 1: field 'label' is 'yes', none of a, b, tie or skip"):
        taken(empty(), written(tmp_path / "b.jsonl", [{**row, "label": "yes"}]))


def test_golden_ratings_rankings_and_approvals(empty: Empty, tmp_path: Path):
    store = empty()
    taken(store, written(tmp_path / "a.csv", [{"prompt": "p", "response": "x", "rating": 4, "levels": 5}]))
    taken(
        store,
        written(tmp_path / "b.csv", [{"prompt": "p", "response": "x", "rating": 0}]),
        reading_of("", "", "0-10", "z"),
    )
    ranking = {"prompt": "p", "responses": ["u", "v", "w"], "order": [2, 0, 1]}
    taken(store, written(tmp_path / "c.jsonl", [ranking]))
    taken(store, written(tmp_path / "d.csv", [{"prompt": "p", "responses": '["u", "v", "w"]', "ranks": "[2, 3, 1]"}]),
          reading_of("", "", "", "other"))  # fmt: skip
    taken(store, written(tmp_path / "e.csv", [{"prompt": "p", "completion": "x", "label": "False"}]))
    rate, scaled, order, ranks, approve = told(store)
    assert (rate[3], scaled[3], approve[3]) == (Score(3, 5), Score(0, 11), Verdict(False))
    for each in (order, ranks):
        assert isinstance(each[3], Order) and [each[2][place] for place in each[3].best_first] == ["w", "u", "v"]
    assert len({answer.query for answer in store.answers()}) == 4  # both rankings answer one query
    assert [query.overlap for query in store.queries() if query.kind == "rank"] == [2]


def test_contract_many_annotators_meet_in_one_query_whichever_way_round(empty: Empty, tmp_path: Path):
    one = {"prompt": "p", "response_a": "x", "response_b": "y", "label": "a", "worker": "w1"}
    other = {"prompt": "p", "response_a": "y", "response_b": "x", "label": "a", "worker": "w2"}
    store = empty()
    taken(store, written(tmp_path / "a.jsonl", [one, other]))
    (query,) = store.queries()
    assert (query.overlap, store.waiting()) == (2, 0)
    assert [favoured(each) for each in told(store)] == ["x", "y"]
    # And in the evidence each is a win of what was shown first.
    (part,) = pack(store).parts
    assert (
        isinstance(part, Comparisons) and part.level.tolist() == [2, 2] and part.first.tolist() != part.second.tolist()
    )


def test_contract_whoever_is_asked_twice_answers_twice(empty: Empty, tmp_path: Path):
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "label": "a", "worker": "w1"}
    path = written(tmp_path / "a.jsonl", [row, {**row, "label": "b"}])
    store = empty()
    assert taken(store, path).taken.queries == 2 and taken(store, path).taken.known == 2
    assert [favoured(each) for each in told(store)] == ["x", "y"]


def test_contract_importing_again_changes_nothing_and_more_rows_grow_the_overlap(empty: Empty, tmp_path: Path):
    row = {"prompt": "p", "response_a": "x", "response_b": "y", "label": "a", "worker": "w1"}
    store = empty()
    taken(store, written(tmp_path / "a.jsonl", [row]))
    before = store.answers(), store.queries()
    again = taken(store, tmp_path / "a.jsonl").taken
    assert (again.answers, again.queries, again.segments, again.annotators, again.known) == (0, 0, 0, 0, 1)
    assert (store.answers(), store.queries()) == before
    more = taken(store, written(tmp_path / "b.jsonl", [row, {**row, "worker": "w2"}])).taken
    assert (more.answers, more.known, more.queries) == (1, 1, 0) and store.queries()[0].overlap == 2
    with pytest.raises(InputError, match="line 1: this annotator has answered the question already, otherwise"):
        taken(store, written(tmp_path / "c.jsonl", [{**row, "label": "b"}]))


def test_golden_what_is_read_and_what_is_left_out_is_said(empty: Empty, tmp_path: Path):
    row = {"instruction": "p", "one": "x", "two": "y", "choice": "2", "model": "m"}
    path = written(tmp_path / "a.csv", [row])
    with pytest.raises(
        InputError, match="columns instruction, one, two, choice, model are no known shape; known are: "
    ):
        taken(empty(), path)
    reading = reading_of("prompt=instruction,response1=one,response2=two,label=choice", "", "", "w")
    found = taken(empty(), path, reading)
    assert found.shape == "labelled pairs" and found.notes == ("left out: columns model",)
    with pytest.raises(InputError, match="there is no column 'oen'; the file has instruction, one"):
        taken(empty(), path, Reading({"response1": "oen"}))


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}
RATE = {"prompt": "p", "response": "x", "rating": 4, "levels": 5}
RANK = {"prompt": "p", "responses": ["x", "y"], "order": [0, 1]}
APPROVE = {"prompt": "p", "completion": "x", "label": True}
RIGHT = (PAIR, RATE, RANK, APPROVE)
WRONG = {
    "missing": ({**PAIR, "chosen": None}, "line 2: field 'chosen' is missing"),
    "number": ({**PAIR, "chosen": 3}, "line 2: field 'chosen' is no list of messages"),
    "role": ({**PAIR, "chosen": [{"role": "robot", "content": ""}]}, "line 2: field 'chosen' holds no message of user"),
    "picture": ({**PAIR, "chosen": [{"role": "user", "content": [{"type": "image"}]}]}, "that is no text"),
    "nul": ({**PAIR, "annotator": "a\0"}, "line 2: the text 'a.x00' holds a NUL"),
    "time": ({**PAIR, "seconds": "soon"}, "line 2: seconds is 'soon'; it must be a time"),
    "high": ({**RATE, "rating": 6}, "line 2: field 'rating' is 6; the scale is 1 to 5"),
    "half": ({**RATE, "rating": 2.5}, "line 2: field 'rating' is '2.5'; it must be a whole number"),
    "levels": ({**RATE, "levels": None}, "line 2: field 'levels' is missing, so 4 says little; give --scale"),
    "many": ({**RATE, "levels": 99}, "line 2: .* 99 levels to rate; use 2 to 11"),
    "order": ({**RANK, "order": [0, 2]}, "line 2: .* is out of range"),
    "ranks": ({**RANK, "order": None, "ranks": [1, 1]}, "line 2: field 'ranks' is no order without"),
    "truth": (
        {"prompt": "p", "completion": "x", "label": "maybe"},
        "line 2: field 'label' is 'maybe'; it must be true",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_golden_a_wrong_row_is_one_sentence_with_its_line_and_nothing_is_kept(empty: Empty, tmp_path: Path, what: str):
    row, words = WRONG[what]
    right = next(each for each in RIGHT if set(each) & set(row) - {"prompt"})
    store = empty()
    with pytest.raises(InputError, match=words) as error:
        taken(store, written(tmp_path / "a.jsonl", [right, row]))
    assert "\n" not in str(error.value) and not store.queries() and not store.answers()


FILES = {
    "a.txt": (b"", "ends in none of .jsonl, .json, .csv, .tsv, .parquet"),
    "a.jsonl": (b"", "holds no row"),
    "b.jsonl": (b'{"a": 1}\n{"a"', "line 2 is no JSON"),
    "c.jsonl": (b"[1]", "line 1 is no JSON object"),
    "d.jsonl": (b"\xff", "is no UTF-8 at byte 0"),
    "e.jsonl": (b"[" * 100_000, "line 1 is no JSON"),
    "a.json": (b'{"a": 1}', "holds no list of objects"),
    "a.csv": (b"a,b\n1\n", "line 2 has 1 cells, the header has 2"),
    "b.csv": (b'a,b\n"1,2\n', "is no row of a table"),
    "a.csv.gz": (b"no gzip", "no whole gzip file"),
    "a.parquet": (b"no parquet", "Parquet"),
}


@pytest.mark.parametrize("name", FILES)
def test_golden_a_file_that_is_not_what_its_name_says_is_refused(empty: Empty, tmp_path: Path, name: str):
    if name == "a.parquet":
        pytest.importorskip("pyarrow", reason="Parquet is not tested: pyarrow is not installed.")
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        taken(empty(), tmp_path / name)


def test_golden_parquet_without_pyarrow_names_the_extra(empty: Empty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"pyarrow is missing; pip install 'accord\[parquet\]', or use .jsonl"):
        taken(empty(), tmp_path / "a.parquet")


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv.gz", ".parquet", ""])  # without one: a folder of datasets
def test_invariance_a_data_set_written_and_read_again_says_the_same(empty: Empty, tmp_path: Path, ending: str):
    if ending in (".parquet", ""):
        pytest.importorskip("pyarrow", reason="Parquet is not tested: pyarrow is not installed.")
    store = empty()
    margins = [{**PAIR, "prompt": f'a "b",\n{m}', "margin": m, "worker": f"w{m or 0}"} for m in (3, 1, None, 0)]
    labels = [{"prompt": "p", "response_a": "x", "response_b": "y", "label": label} for label in ("skip", "tie", "b")]
    unpaired = [{"prompt": "p", "completion": "x", "label": label, "worker": str(label)} for label in (True, False)]
    ranking = {**RANK, "responses": ["u", "v", "w"], "order": [2, 0, 1]}
    for number, rows in enumerate((margins, labels, unpaired, [RATE], [ranking])):
        taken(store, written(tmp_path / f"{number}.jsonl", rows))
    counts = {"preferences": 4, "approvals": 2, "ratings": 1, "rankings": 1}
    copy = empty()
    for form, count in counts.items():
        done = export_file(store, tmp_path / f"{form}{ending}", form, names=True)  # type: ignore[arg-type]
        assert done.rows == count
        assert form != "preferences" or (done.left["ties"], done.left["skips"], done.left["answers to rate"]) == (
            2,
            1,
            1,
        )
        taken(copy, tmp_path / f"{form}{ending}")
    unsayable = (Skip(), Side(1, 3), Side(3, 7))
    kept = [each for each in told(store) if each[3] not in unsayable]
    assert sorted(str(said(each)) for each in told(copy)) == sorted(str(said(each)) for each in kept)


def test_golden_text_that_no_file_can_hold_is_left_out_and_counted(empty: Empty, tmp_path: Path):
    store = empty()
    taken(store, written(tmp_path / "a.jsonl", [PAIR, {**PAIR, "chosen": "\ud800"}]))
    done = export_file(store, tmp_path / "b.jsonl", "preferences")
    assert (done.rows, dict(done.left)) == (1, {"answers about half a surrogate pair": 1})


def said(who: Told) -> tuple:
    """What was said, by the responses' own words; of labels that knew a tie, only which was better."""
    name, prompt, responses, value = who
    if isinstance(value, Side):
        strength = abs(value.level - 3) if value.levels == 7 else None
        return name, prompt, sorted(responses), favoured(who), strength
    if isinstance(value, Order):
        return name, prompt, [responses[place] for place in value.best_first]
    return name, prompt, responses, value
