"""Golden and invariance tests of packing answers into arrays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.feedback.evidence import Cache, pack, pack_answers, usable
from accord.feedback.store import Store
from accord.types import (
    Answer,
    Approvals,
    Collected,
    Comparisons,
    Demonstrations,
    Evidence,
    Given,
    InputError,
    Order,
    Provenance,
    Query,
    Rankings,
    Ratings,
    Reply,
    Score,
    Side,
    Skip,
    Value,
    Verdict,
)

SEGMENTS = {name: Reply("p" if name < "d" else "r", name) for name in "abcde"}
GROUPS = {name: f"prompt {segment.prompt}" for name, segment in SEGMENTS.items()}


def packed(*pairs: tuple[Query, Answer]) -> Evidence:
    answers = [answer for _, answer in pairs]
    return pack_answers(usable(answers, {query.id: query for query, _ in pairs}), SEGMENTS, GROUPS)


def one(kind: str, segments: str, value: Value, id_: str = "q", annotator: str = "ann", **more):
    """A query about segments named by single letters, and an answer to it."""
    levels = value.levels if isinstance(value, Side | Score) else 2
    shown = more.pop("shown", ())
    query = Query(id_, kind, tuple(segments), levels, **more)
    return query, Answer(f"{annotator}-{id_}", id_, annotator, value, shown=shown)


def test_golden_comparisons_speak_for_what_was_shown_first():
    evidence = packed(
        one("compare", "ab", Side(2, 3), "1"),
        one("compare", "bc", Side(2, 3), "2", annotator="bob", shown=(1, 0), acquisition="bald"),
        one("compare", "ca", Side(6, 7), "3", shown=(0, 1)),
    )
    three, seven = evidence.parts
    assert isinstance(three, Comparisons) and isinstance(seven, Comparisons)
    assert [segment.response for segment in evidence.segments] == ["a", "b", "c"]
    assert (three.levels, list(three.first), list(three.second)) == (3, [0, 2], [1, 1])
    assert list(three.level) == [2, 0]
    assert (seven.levels, list(seven.first), list(seven.second), list(seven.level)) == (7, [2], [0], [6])
    assert evidence.annotators == ("ann", "bob")
    assert list(three.annotator) == [0, 1]
    assert [list(flags) for flags in evidence.uniform] == [[True, False], [True]]
    assert evidence.answers == 3


def test_golden_every_other_kind():
    evidence = packed(
        one("rank", "abc", Order((2, 0, 1)), "1"),
        one("rank", "de", Order((1, 0)), "2"),
        one("rate", "a", Score(3, 5), "3"),
        one("approve", "b", Verdict(True), "4"),
        one("demonstrate", "ab", Given("c"), "5"),
        one("demonstrate", "ab", Given("a"), "6"),
        one("correct", "a", Given("b"), "7"),
    )
    approve, correct, demonstrate, rank, rate = evidence.parts
    assert isinstance(rank, Rankings) and rank.items.tolist() == [[2, 0, 1], [4, 3, -1]]
    assert isinstance(rate, Ratings) and (rate.item[0], rate.level[0], rate.levels) == (0, 3, 5)
    assert isinstance(approve, Approvals) and (approve.item[0], approve.approved[0]) == (1, True)
    assert isinstance(demonstrate, Demonstrations)
    assert demonstrate.chosen.tolist() == [2, 0] and demonstrate.against.tolist() == [[0, 1], [1, -1]]
    assert demonstrate.log_weight.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert isinstance(correct, Comparisons) and correct.kind == "correct"
    assert (correct.first[0], correct.second[0], correct.level[0], correct.levels) == (1, 0, 1, 2)
    assert evidence.groups.tolist() == [0, 0, 0, 1, 1]


def test_golden_importance_weights_stand_beside_their_samples():
    pair = one("demonstrate", "ab", Given("c"))
    (part,) = pack_answers([pair], SEGMENTS, GROUPS, {"b": -1.5}).parts
    assert isinstance(part, Demonstrations)
    assert part.log_weight.tolist() == [[0.0, -1.5]]


def test_golden_a_value_of_another_kind_is_refused():
    with pytest.raises(InputError, match="holds a Verdict where its query needs a Order"):
        packed(one("rank", "abc", Verdict(True)))


@given(st.permutations(range(6)))
def test_invariance_order_of_delivery_does_not_matter(order: list[int]):
    pairs = [
        one("compare", "ab" if i % 2 else "bc", Side(i % 2, 2), str(i), annotator="xyz"[i % 3], round=5 - i)
        for i in range(6)
    ]
    there, back = packed(*pairs), packed(*[pairs[i] for i in order])
    assert there.segments == back.segments and there.annotators == back.annotators
    for mine, other in zip(there.parts, back.parts, strict=True):
        for name in ("first", "second", "level", "annotator"):
            assert np.array_equal(getattr(mine, name), getattr(other, name))


# ----------------------------------------------------------------------------------------- through the store


def stored(path: Path) -> tuple[Store, list[str]]:
    store = Store(f"sqlite:///{path}")
    ids = store.add(
        [
            Collected(Reply(f"prompt {i // 2}", str(i)), Provenance("t", 0, 0, 0, i, 0), np.array([float(i)]))
            for i in range(6)
        ]
    )
    store.ask([Query(f"q{i}", "compare", (ids[i], ids[i + 1])) for i in range(5)])
    store.register("ann", "person")
    return store, list(ids)


def test_golden_only_current_answers_up_to_the_cursor_count(tmp_path: Path):
    store, _ = stored(tmp_path / "a.db")
    store.answer([Answer("1", "q0", "ann", Side(0, 2)), Answer("2", "q1", "ann", Skip())])
    (cursor,) = store.answer([Answer("3", "q2", "ann", Side(1, 2))])
    store.answer([Answer("4", "q0", "ann", Side(1, 2), supersedes="1")])
    (then,) = pack(store, upto=cursor).parts
    (now,) = pack(store).parts
    assert isinstance(then, Comparisons) and isinstance(now, Comparisons)
    assert (then.level.tolist(), now.level.tolist()) == ([0, 1], [1, 1])
    assert pack(store).groups.tolist() == [0, 0, 1, 1]


def test_golden_an_empty_store_packs_to_nothing(tmp_path: Path):
    store, _ = stored(tmp_path / "a.db")
    evidence = pack(store)
    assert (evidence.answers, list(evidence.segments), evidence.parts) == (0, [], ())


def test_invariance_a_cache_changes_nothing_and_reads_nothing_twice(tmp_path: Path):
    store, ids = stored(tmp_path / "a.db")
    cache = Cache()
    store.answer([Answer("1", "q3", "ann", Side(0, 2))])
    pack(store, cache=cache)
    first = cache.segments[ids[3]]
    store.answer([Answer("2", "q0", "ann", Side(1, 2)), Answer("3", "q3", "ann", Side(1, 2), supersedes="1")])
    cached, fresh = pack(store, cache=cache), pack(store)
    assert cached.segments == fresh.segments
    assert any(segment is first for segment in cached.segments)
    (mine,), (other,) = cached.parts, fresh.parts
    assert isinstance(mine, Comparisons) and isinstance(other, Comparisons)
    assert np.array_equal(mine.level, other.level) and np.array_equal(mine.first, other.first)
    # A cursor behind the cache still sees the store as it was.
    (then,) = pack(store, upto=1, cache=cache).parts
    assert isinstance(then, Comparisons) and then.level.tolist() == [0]


def test_golden_usable_drops_superseded_and_skipped():
    query, answer = one("compare", "ab", Side(0, 2))
    later = replace(answer, id="later", value=Skip(), supersedes=answer.id)
    assert usable([answer, later], {query.id: query}) == []


def test_golden_one_round_alone_can_be_packed(tmp_path: Path):
    store, ids = stored(tmp_path / "a.db")
    store.ask([Query("later", "compare", (ids[4], ids[5]), round=1)])
    store.answer([Answer("1", "q0", "ann", Side(0, 2)), Answer("2", "later", "ann", Side(1, 2))])
    cache = Cache()
    assert [pack(store, cache=cache, round=r).answers for r in (0, 1, 2, None)] == [1, 1, 0, 2]
    assert [segment.response for segment in pack(store, cache=cache, round=1).segments] == ["4", "5"]
