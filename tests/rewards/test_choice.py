"""The choice within a run: when it is due, what may take another's place, and that few answers change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from accord.rewards import choice
from accord.rewards.candidates import Candidate
from accord.rewards.choice import LEAST, choose, due
from accord.rewards.crossval import Reading
from accord.rewards.fit import RewardConfig
from tests.rewards.choice import compared

LINEAR = Candidate(RewardConfig(kind="linear", members=3))
KERNEL = Candidate(RewardConfig(kind="kernel", weighed=False, members=3))


def test_golden_a_choice_is_due_whenever_answers_have_grown_by_half():
    made, before = [], 0
    for answers in range(10, 200, 5):
        if due(answers, before):
            made.append(answers)
        before = answers
    assert made == [40, 60, 90, 135]
    assert not due(LEAST - 1, 0) and due(10_000, 0)


def test_learning_another_takes_its_place_only_where_answers_leave_no_doubt():
    bent = choose(compared(240, curved=True), [LINEAR, KERNEL], LINEAR, {"": Reading()}, 0, 0)
    assert bent.candidate == KERNEL and "likelier than linear" in bent.why
    gain, error = bent.record()["gains"][KERNEL.name]
    assert gain > 2.0 * error > 0.0
    for seed in range(3):  # equals: whatever is there stays
        for kept in (LINEAR, KERNEL):
            found = choose(compared(100, seed), [LINEAR, KERNEL], kept, {"": Reading()}, seed, 0)
            assert found.candidate == kept and "kept" in found.why


def test_golden_what_was_configured_is_kept_while_there_is_little_to_go_by(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choice, "tell", None)  # nothing is fitted
    few = compared(30, curved=True)
    assert choose(few, [LINEAR, KERNEL], LINEAR, {"": Reading()}, 0, 0).why == "configured"
    same = compared(50, curved=True)
    assert choose(same, [LINEAR, KERNEL], KERNEL, {"": Reading()}, 0, 45).candidate == KERNEL
    lone = replace(compared(50), groups=np.zeros(48, np.int64))
    assert "too few episodes" in choose(lone, [LINEAR, KERNEL], LINEAR, {"": Reading()}, 0, 0).why


def test_invariance_the_same_arguments_choose_the_same():
    first, second = (choose(compared(60), [LINEAR, KERNEL], LINEAR, {"": Reading()}, 5, 0).record() for _ in range(2))
    assert first == second
