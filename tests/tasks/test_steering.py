"""Keys of environments. Golden: what is done while what is pressed; property: always an action of the environment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.tasks.steering import controls
from accord.types import ActionSpec, InputError


def box(low: list[float], high: list[float]) -> ActionSpec:
    return ActionSpec(False, len(low), np.array(low, np.float32), np.array(high, np.float32))


def chosen(id: str, size: int, *meanings: str) -> dict[tuple[str, ...], int]:
    """Which action each key alone and nothing does."""
    found = controls(id, ActionSpec(True, size), meanings)
    pressed = [((), ()), *(((name,), (place,)) for place, name in enumerate(found.names))]
    return {names: int(found.action(places).argmax()) for names, places in pressed}


def test_golden_cartpole_has_no_idle_action_so_time_waits():
    assert chosen("CartPole-v1", 2) == {(): 0, ("left",): 0, ("right",): 1}
    assert controls("CartPole-v1", ActionSpec(True, 2)).waits


def test_golden_where_idling_is_an_action_it_is_what_no_key_does():
    assert chosen("MountainCar-v0", 3) == {(): 1, ("left",): 0, ("right",): 2}
    assert chosen("highway-fast-v0", 5) == {(): 1, ("up",): 0, ("down",): 2, ("right",): 3, ("left",): 4}
    assert not controls("MountainCar-v0", ActionSpec(True, 3)).waits


def test_golden_actions_of_unknown_meaning_are_digits():
    assert chosen("Nobody-v0", 3) == {(): 0, ("1",): 0, ("2",): 1, ("3",): 2}


def test_golden_several_keys_are_one_action_of_atari_and_the_last_of_opposites_counts():
    meanings = ("NOOP", "FIRE", "UP", "LEFT", "UPLEFT", "UPLEFTFIRE")
    found = controls("ALE/Nothing-v5", ActionSpec(True, 6), meanings)
    place = {name: place for place, name in enumerate(found.names)}
    done = lambda *names: meanings[int(found.action([place[name] for name in names]).argmax())]  # noqa: E731
    assert (done(), done("left", "up"), done("fire", "up", "left")) == ("NOOP", "UPLEFT", "UPLEFTFIRE")
    assert (done("fire", "left"), done("left", "fire")) == ("LEFT", "FIRE")  # no such chord


def test_golden_arrows_push_numbers_to_their_bounds():
    found = controls("Reacher-v5", box([-2, 0], [2, np.inf]))
    assert found.names == ("left", "right", "down", "up") and not found.waits
    rows = [found.action(pressed).tolist() for pressed in ((), (0,), (1, 3), (0, 1), (2,))]
    assert rows == [[0, 0], [-2, 0], [2, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("spec", [box([-1] * 3, [1] * 3), ActionSpec(True, 10)])
def test_golden_what_keys_cannot_drive_is_refused_in_one_sentence(spec: ActionSpec):
    with pytest.raises(InputError, match="ask to compare"):
        controls("Nobody-v0", spec)


@given(st.lists(st.integers(0, 63), max_size=8), st.sampled_from(["CartPole-v1", "Acrobot-v1", "Nobody-v0"]))
def test_property_whatever_is_pressed_is_an_action(pressed: list[int], id: str):
    for spec in (ActionSpec(True, 2 if id == "CartPole-v1" else 3), box([-1, -3], [1, 2])):
        row = controls(id, spec).action(pressed)
        assert row.shape == (spec.size,) and row.dtype == np.float32
        assert row.sum() == 1 if spec.discrete else ((spec.low <= row) & (row <= spec.high)).all()
