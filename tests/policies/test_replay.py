"""A memory of transitions: what it keeps, what it overwrites, and that it survives being saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from accord.policies.control.replay import Replay
from accord.types import ActionSpec, TaskSpec, Transition

SPEC = TaskSpec("somewhere", 2, ActionSpec(True, 3), 10, True, 2)


def filled(capacity: int, ticks: int, real: tuple[bool, bool] = (True, True)) -> Replay:
    """Two copies; observation, action and serial number of a step all tell its number."""
    replay = Replay(SPEC, capacity)
    for tick in range(ticks):
        serial = np.array([2 * tick, 2 * tick + 1])
        rows = np.repeat(serial[:, None], 2, 1).astype(np.float32)
        ended = serial % 5 == 4
        step = Transition(rows, rows + 0.5, ended, np.zeros(2, bool), np.array(real), serial)
        replay.add(torch.from_numpy(rows), torch.nn.functional.one_hot(torch.from_numpy(serial % 3), 3).float(), step)
    return replay


def test_golden_rows_belong_together():
    rows = filled(100, 20).draw(500, torch.Generator().manual_seed(0))
    number = rows.serial_t.float()
    assert set(rows.serial_t.tolist()) == set(range(40))
    assert torch.equal(rows.observation_t, number[:, None].expand(-1, 2))
    assert torch.equal(rows.observation_tp1, rows.observation_t + 0.5)
    assert torch.equal(rows.action_t.argmax(1), rows.serial_t % 3)
    assert torch.equal(rows.terminated_t, rows.serial_t % 5 == 4)


def test_golden_the_oldest_are_overwritten_first():
    replay = filled(7, 20)
    assert len(replay) == 7
    assert set(replay.draw(500, torch.Generator().manual_seed(0)).serial_t.tolist()) == set(range(33, 40))


def test_golden_a_share_of_a_batch_is_of_the_newest_transitions():
    for capacity, ticks in ((100, 20), (30, 40)):  # before and after the oldest are overwritten
        replay = filled(capacity, ticks)
        drawn = replay.draw(400, torch.Generator().manual_seed(0), near=300, newest=6).serial_t
        assert set(drawn[:300].tolist()) == set(range(2 * ticks - 6, 2 * ticks))
        assert len(set(drawn[300:].tolist())) > 20


def test_golden_a_call_that_only_reset_is_not_remembered():
    replay = filled(100, 20, (True, False))
    assert len(replay) == 20
    assert set(replay.draw(500, torch.Generator().manual_seed(0)).serial_t.tolist()) == set(range(0, 40, 2))


def test_invariance_more_than_it_starts_with_is_kept_and_saved_it_goes_on_the_same(tmp_path: Path):
    for capacity, ticks in ((10_000, 3_000), (50, 40), (50, 0)):
        replay = filled(capacity, ticks)
        replay.save(tmp_path / f"{capacity}-{ticks}")
        other = Replay(SPEC, capacity)
        other.load(tmp_path / f"{capacity}-{ticks}")
        for each in (replay, other):
            rows = np.full((2, 2), 9.0, np.float32)
            step = Transition(
                rows, rows, np.zeros(2, bool), np.zeros(2, bool), np.ones(2, bool), np.array([7_000, 7_001])
            )
            each.add(torch.from_numpy(rows), torch.eye(3)[:2], step)
        drawn = [each.draw(1_000, torch.Generator().manual_seed(1)) for each in (replay, other)]
        assert len(replay) == len(other) == min(capacity, 2 * ticks + 2)
        assert torch.equal(drawn[0].serial_t, drawn[1].serial_t)
        assert torch.equal(drawn[0].observation_tp1, drawn[1].observation_tp1)
