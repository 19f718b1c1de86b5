"""The watch: each sign alone ends a run, growth and doubt must come together, and quiet rounds go on."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from accord.safety.watch import DOUBT, Signs, why_stop

QUIET = Signs(gain=0.5, doubt=1.1, kl=2.0, accuracy_high=0.8)


def test_golden_each_sign_alone_ends_it():
    assert why_stop(QUIET, [], 10.0) == ""
    assert "KL is 11.0 nats a response" in why_stop(replace(QUIET, kl=11.0), [], 10.0)
    assert why_stop(replace(QUIET, kl=11.0), [], None) == ""
    assert "worse than a coin" in why_stop(replace(QUIET, accuracy_high=0.45), [], None)
    assert "2.5 times" in why_stop(replace(QUIET, gain=0.6, doubt=2.5), [replace(QUIET, doubt=2.2)], None)


def test_golden_doubt_without_gain_doubt_that_falls_and_doubt_of_one_round_go_on():
    assert why_stop(replace(QUIET, gain=0.4, doubt=2.5), [replace(QUIET, doubt=2.2)], None) == ""
    assert why_stop(replace(QUIET, gain=0.6, doubt=2.5), [QUIET], None) == ""
    assert why_stop(replace(QUIET, gain=0.6, doubt=2.5), [replace(QUIET, doubt=3.0)], None) == ""


@given(st.floats(-10, 10), st.floats(0.0, DOUBT), st.floats(0, 100), st.one_of(st.none(), st.floats(0.5, 1.0)))
def test_property_without_a_sign_a_run_goes_on(gain: float, doubt: float, kl: float, high: float | None):
    assert why_stop(Signs(gain, doubt, kl, high), [QUIET], kl) == ""
