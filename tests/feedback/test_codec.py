"""Golden and contract tests of what the store writes and what it refuses."""

from math import nan

import numpy as np
import pytest

from accord.feedback.checks import check_answer, check_query, check_text
from accord.feedback.codec import pack, read_marks, read_segment, read_value, segment_row, unpack, write_value
from accord.types import Answer, Given, Image, InputError, Order, Query, Score, Side, Skip, Steps, Verdict, segment_id


def test_golden_arrays_are_raw_bytes_padded_to_eight():
    arrays = [np.array([[1, 2, 3]], "u1"), np.array([1.0], "<f4"), np.zeros((0, 2), ">i2"), np.array(True)]
    layout, body = pack(arrays)
    assert layout == [["|u1", [1, 3]], ["<f4", [1]], [">i2", [0, 2]], ["|b1", []]]
    assert body == b"\1\2\3" + bytes(5) + b"\0\0\x80\x3f" + bytes(4) + b"\1" + bytes(7)
    again = unpack(layout, body)
    assert [array.dtype for array in again] == [array.dtype for array in arrays]
    assert all(np.array_equal(left, right) for left, right in zip(arrays, again, strict=True))


def test_golden_segments_are_tagged_and_keep_their_layout():
    steps = Steps(np.zeros((2, 3), "f4"), np.ones((2, 1), "f4"), np.array([True, False]), True)
    row = segment_row(steps)
    assert (row["kind"], row["header"]) == ("steps", '[[["<f4", [2, 3]], ["<f4", [2, 1]], ["|b1", [2]]], true]')
    assert len(row["body"]) == 24 + 8 + 8
    image = read_segment(**segment_row(Image(np.zeros((1, 2, 3), "u1"), np.ones(4, "f2"))))
    assert isinstance(image, Image) and image.pixels.shape == (1, 2, 3) and image.latent.dtype == np.float16


def test_golden_pictures_are_compressed_and_come_back_as_they_were():
    rows = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 4_000), dtype=np.uint8), 20, 0)
    steps = Steps(rows, np.ones((20, 1), "f4"), np.ones(20, bool), False)
    row = segment_row(steps)
    assert row["header"].endswith('false, "zlib"]') and len(row["body"]) < rows.nbytes / 10
    again = read_segment(**row)
    assert isinstance(again, Steps) and again.observation.dtype == np.uint8
    assert segment_id(again) == segment_id(steps)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Side(1, 2), '{"is": "side", "level": 1, "levels": 2}'),
        (Order((2, 0, 1)), '{"is": "order", "best_first": [2, 0, 1]}'),
        (Score(3, 11), '{"is": "score", "level": 3, "levels": 11}'),
        (Verdict(True), '{"is": "verdict", "approved": true}'),
        (Given("id"), '{"is": "given", "segment": "id"}'),
        (Skip("blurred"), '{"is": "skip", "reason": "blurred"}'),
    ],
)
def test_golden_values_are_tagged_json(value, written):
    assert write_value(value) == written
    assert read_value(written) == value and read_marks(written) == ()


def test_golden_marks_stand_beside_their_value():
    written = write_value(Skip("marks"), (3, 7))
    assert written == '{"is": "skip", "reason": "marks", "marks": [3, 7]}'
    assert read_value(written) == Skip("marks") and read_marks(written) == (3, 7)
    assert read_marks(write_value(Skip("marks"))) == ()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (Query("q", "compare", ("a",)), "1 segments to compare, the limit is 2"),
        (Query("q", "rank", ("a",)), "the limit is 2 to 50"),
        (Query("q", "rate", ("a", "b")), "the limit is 1"),
        (Query("q", "compare", ("a", "b"), levels=4), "4 levels to compare; use 2, 3"),
        (Query("q", "rate", ("a",), levels=12), "12 levels to rate; use 2 to 11"),
        (Query("q", "approve", ("a",), overlap=0), "overlap of 0"),
        (Query("q\0", "approve", ("a",)), "NUL"),
    ],
)
def test_contract_a_question_that_nobody_could_answer_is_refused(query, why):
    with pytest.raises(InputError, match=why):
        check_query(query)


COMPARE = Query("q", "compare", ("a", "b"), levels=3)
RANK = Query("q", "rank", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("query", "answer", "why"),
    [
        (COMPARE, {"value": Verdict(True)}, "Verdict does not answer 'compare'; send Side or Skip"),
        (COMPARE, {"value": Side(3, 3)}, "levels 0 to 2"),
        (COMPARE, {"value": Side(-1, 3)}, "levels 0 to 2"),
        (COMPARE, {"value": Side(1, 7)}, "levels 0 to 2"),
        (RANK, {"value": Order((0, 0, 1))}, "3 segments"),
        (RANK, {"value": Order((0, 3))}, "3 segments"),
        (RANK, {"value": Order(())}, "3 segments"),
        (RANK, {"value": Skip(), "shown": (0, 1)}, "no order of 3 segments"),
        (RANK, {"value": Skip(), "seconds": nan}, "finite time"),
        (RANK, {"value": Skip(), "seconds": -1.0}, "finite time"),
        (RANK, {"value": Skip(), "text": "a\0b"}, "NUL"),
        (RANK, {"value": Skip(), "marks": (7, 2)}, "rising"),
        (RANK, {"value": Skip(), "marks": (10_001,)}, "steps from 0 to 10,000"),
        (RANK, {"value": Skip("\ud800")}, "half a surrogate pair"),
    ],
)
def test_contract_an_answer_that_does_not_fit_its_question_is_refused(query, answer, why):
    with pytest.raises(InputError, match=why):
        check_answer(query, Answer("id", "q", "ann", **answer))


def test_contract_answers_that_fit_are_let_through():
    check_answer(RANK, Answer("id", "q", "ann", Order((2, 0)), shown=(2, 1, 0), seconds=0.5, text="因为 ♞"))
    check_answer(COMPARE, Answer("id", "q", "ann", Side(1, 3)))
    check_text("", "plain", "因为 ♞ 🙂")
