"""Golden, property: a last ballot's questions and what comes of the answers, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import ballot
from accord.tasks.text import TextConfig, TextTask
from accord.types import Answer, Side, Skip, segment_id
from tests.test_winning import graded

PROMPTS = 8


def asked(seed: int = 0, most: int = 20, word: str = "new") -> ballot.Ballot:
    task = TextTask(TextConfig(prompts=tuple(f"p{k}" for k in range(PROMPTS)), heldout=0.0), 0)
    policy, start = (graded(None, shape=(PROMPTS, 2), word=each) for each in (word, "old"))
    return ballot.ballot(task, policy, start, most, overlap=2, round=3, policy_version=2, seed=seed)


def answers(found: ballot.Ballot, levels: list[int | None]) -> list[Answer]:
    """What one person says of each question; None: can't tell."""
    values = [Skip() if level is None else Side(level, 3) for level in levels]
    return [
        Answer(f"a{k}", query.id, "ann", value)
        for k, (query, value) in enumerate(zip(found.queries, values, strict=True))
    ]


def test_golden_a_question_is_about_the_first_response_of_each_side_to_one_prompt():
    found = asked()
    assert len(found.queries) == PROMPTS and found.same == 0
    for k, (query, first) in enumerate(zip(found.queries, found.ours_first, strict=True)):
        sides = [segment_id(one.segment) for one in found.made if one.segment.prompt == f"p{k}"]  # start's, policy's
        assert list(query.segments) == (sides[::-1] if first else sides)
        assert query.round == 3 and query.kind == "compare" and query.acquisition == ballot.RULE and query.overlap == 2
    assert 0 < sum(found.ours_first) < PROMPTS  # whoever answers can't tell which is which
    assert {one.provenance.policy_version for one in found.made} == {0, 2}
    assert len(asked(most=3).queries) == 3 and asked(1).queries == asked(1).queries  # a resumed run asks the same


def test_golden_wins_by_hand_with_ties_and_what_nobody_could_tell():
    found = asked()
    ours = [2 if first else 0 for first in found.ours_first]
    levels = [*ours[:4], 1, 2 - ours[5], None, None]  # four wins, a tie, a loss, two that nobody could tell
    won = ballot.won(found, answers(found, levels))
    assert won is not None and won.prompts == 6 and won.mean == pytest.approx(4.5 / 6.0)
    assert won.ci95[0] < won.mean < won.ci95[1]
    assert ballot.won(found, answers(found, [None] * PROMPTS)) is None


def test_golden_of_several_people_the_mean_counts_once():
    found = asked(most=1)
    best = 2 if found.ours_first[0] else 0
    query = found.queries[0].id
    said = [Answer(name, query, name, Side(level, 3)) for name, level in (("a", best), ("b", best), ("c", 2 - best))]
    won = ballot.won(found, said)
    assert won is not None and won.prompts == 1 and won.mean == pytest.approx(2.0 / 3.0)


def test_golden_nobody_is_asked_where_both_sides_said_the_same():
    found = asked(word="old")
    won = ballot.won(found, [])
    assert not found.queries and found.same == PROMPTS
    assert won is not None and won.mean == 0.5 and won.prompts == PROMPTS


@given(st.lists(st.integers(0, 2), min_size=PROMPTS, max_size=PROMPTS), st.integers(0, 50))
def test_property_what_one_side_wins_the_other_loses(levels: list[int], seed: int):
    found = asked(seed)
    one, other = (ballot.won(found, answers(found, said)) for said in (levels, [2 - level for level in levels]))
    assert one is not None and other is not None and one.mean + other.mean == pytest.approx(1.0)
    assert np.allclose([*one.ci95], [1.0 - x for x in reversed(other.ci95)])
