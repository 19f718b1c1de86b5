"""Golden: what bench.hh makes of pairs. Contract: no dialogue is trained on and held out."""

from __future__ import annotations

import numpy as np
import pytest

from accord.types import Comparisons, Reply
from bench import dialogues, hh


def pairs(count: int = 40) -> list[tuple[Reply, Reply]]:
    return [(Reply(f"asked {k % 30}", f"good {k}"), Reply(f"asked {k % 30}", f"bad {k}")) for k in range(count)]


def test_contract_no_dialogue_stands_on_both_sides_and_the_split_is_the_datas():
    some = pairs()
    train, test = hh.split(some, 3)
    assert test.tolist() == np.random.RandomState(3).permutation(40)[32:].tolist()
    asked = [{some[k][0].prompt for k in side} for side in (train, test)]
    assert not asked[0] & asked[1] and len(train) <= 32


def test_golden_sides_are_drawn_and_the_chosen_reply_wins_on_either():
    some = pairs()
    made = dialogues.evidence(some, 0)
    part = made.parts[0]
    assert isinstance(part, Comparisons) and set(part.level.tolist()) == {0, 1}
    for k, (good, bad) in enumerate(some):
        first, second = made.segments[part.first[k]], made.segments[part.second[k]]
        assert (first, second) == ((good, bad) if part.level[k] else (bad, good))
    assert len(np.unique(made.groups)) == 30


def test_golden_hits_and_the_paired_gain():
    assert hh.hits(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])).tolist() == [1.0, 0.0, 0.5]
    one = {"test": [4, 5], "hits": [1.0, 1.0], "baseline": [0.0, 1.0], "sides": {"length": 0.5}, "chosen": "linear",
           "reading": "length"}  # fmt: skip
    other = {**one, "test": [4, 6], "hits": [0.0, 1.0], "baseline": [0.0, 0.0]}
    found = hh.of_splits([one, other])
    assert found["accuracy"] == 0.75 and found["baseline"] == 0.25
    assert found["gain"] == pytest.approx((0.5 + 0.0 + 1.0) / 3)  # pair 4 was held out twice and counts once
