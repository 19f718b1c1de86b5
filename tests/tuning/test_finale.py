"""Golden: whom a race between rewards takes."""

from accord.tuning.finale import Raced, winner


def test_golden_the_likeliest_keeps_its_place_unless_another_is_better_on_every_seed():
    first = Raced("first", (1.0, 2.0, 3.0))
    assert winner([first, Raced("mostly better", (9.0, 9.0, 2.9))]) == 0
    assert winner([first, Raced("always better", (1.1, 2.1, 3.1)), Raced("by more", (2.0, 3.0, 4.0))]) == 2
    assert winner([first, Raced("once failed", (9.0, None, 9.0))]) == 0
    assert winner([Raced("failed", (None, None, None)), Raced("ran", (0.0, 0.0, 0.0))]) == 1
