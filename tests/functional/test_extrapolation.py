"""Golden, property: a curve whose form is known is carried on to where it goes; the interval covers what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.extrapolation import Curve, extrapolate, grid, shortest

SIZES = np.geomspace(50.0, 400.0, 6)
SURE = 1e-8 * np.eye(len(SIZES))
LEVEL, TRIALS = 0.9, 100

KNOWN = {
    "power": lambda n: -0.45 - 1.0 * n**-0.5,
    "late": lambda n: -0.4 - 40.0 / (n + 150.0),
    "exponential": lambda n: -0.45 - 0.15 * np.exp(-n / 150.0),
    "logarithm": lambda n: -0.69 + 0.03 * np.log(n),
}


def carried(measured: np.ndarray, covariance: np.ndarray = SURE, seed: int = 0, sizes: np.ndarray = SIZES) -> Curve:
    return extrapolate(sizes, measured, covariance, np.random.default_rng(seed))


def test_golden_shapes_are_the_formulas():
    shapes, worth = grid(100.0)
    assert worth.sum() == pytest.approx(1.0)
    assert np.allclose(shapes.fallen(20.0, 20.0, 100.0), 1.0) and np.allclose(shapes.fallen(100.0, 20.0, 100.0), 0.0)
    for i in (3, 30, 77, len(worth) - 2):
        c, d, t = (float(each[i]) for each in (shapes.exponent, shapes.delay, shapes.time))
        f = (lambda n, t=t: np.exp(-n / t)) if np.isfinite(t) else (lambda n, c=c, d=d: (n + d) ** -c)
        for n in (40.0, 250.0, np.inf):
            by_hand = (f(n) - f(100.0)) / (f(20.0) - f(100.0))
            assert shapes.fallen(n, 20.0, 100.0)[i] == pytest.approx(by_hand)


@pytest.mark.parametrize("name", KNOWN)
def test_golden_a_curve_measured_without_noise_is_carried_on_to_twice_as_many(name: str):
    truth = KNOWN[name]
    curve = carried(truth(SIZES))
    assert float(np.median(curve.at(400.0))) == pytest.approx(truth(400.0), abs=1e-3)
    low, high = shortest(curve.gain(400.0, 400.0))
    assert low <= truth(800.0) - truth(400.0) <= high and high - low < 0.05


@pytest.mark.parametrize("name", [*KNOWN, "flat"])
def test_golden_the_interval_of_what_was_not_measured_covers_as_often_as_it_says(name: str):
    """Known curves, noise whose covariance is itself estimated: what twice as many bring lies inside 90% intervals."""
    truth, held, widths = KNOWN.get(name, lambda n: -0.6 + 0.0 * n), 0, []
    sd = 0.006 * np.sqrt(SIZES[-1] / SIZES)
    near = 0.5 ** np.abs(np.subtract.outer(range(6), range(6)))
    covariance = np.outer(sd, sd) * near
    for trial in range(TRIALS):
        rng = np.random.default_rng(trial)
        drawn = rng.multivariate_normal(np.zeros(6), covariance, 9)
        curve = carried(truth(SIZES) + drawn[0], drawn[1:].T @ drawn[1:] / 8, trial)
        low, high = shortest(curve.gain(400.0, 400.0), LEVEL, 0.0)
        held += low <= truth(800.0) - truth(400.0) <= high
        widths.append(high - low)
    assert held / TRIALS > LEVEL - 2.5 * np.sqrt(LEVEL * (1 - LEVEL) / TRIALS)
    assert np.median(widths) < 0.08  # and not because it says nothing


def test_golden_the_largest_size_held_out_is_foretold():
    """The residual of extrapolation: fitted to all sizes but the last, the curve covers what was measured there."""
    held = 0
    for trial in range(TRIALS):
        rng = np.random.default_rng(trial)
        name = list(KNOWN)[trial % len(KNOWN)]
        measured = KNOWN[name](SIZES) + 0.004 * rng.standard_normal(6)
        curve = carried(measured[:5], 0.004**2 * np.eye(5), trial, SIZES[:5])
        low, high = shortest(curve.at(SIZES[5]) + 0.004 * rng.standard_normal(len(curve.height)))
        held += low <= measured[5] <= high
    assert 0.83 <= held / TRIALS <= 0.99


@given(
    st.lists(st.floats(-0.8, -0.2), min_size=6, max_size=6),
    st.floats(1e-4, 0.05),
    st.floats(1.5, 50.0),
)
def test_property_it_rises_stays_below_its_ceiling_and_does_not_depend_on_units(
    heights: list[float], sd: float, factor: float
):
    measured, noise = np.array(heights), sd**2 * np.eye(6)
    curve = carried(measured, noise)
    path = np.stack([curve.at(n) for n in (50.0, 100.0, 400.0, 800.0, np.inf)])
    assert (np.diff(path, axis=0) >= -1e-9).all() and (curve.gain(400.0, 100.0) >= 0.0).all()
    assert np.median(curve.limit) <= max(0.0, measured.max()) + 5 * sd + np.ptp(measured)
    other = extrapolate(factor * SIZES, measured, noise, np.random.default_rng(0))
    assert np.allclose(other.at(factor * 600.0), curve.at(600.0), atol=1e-6)
    lifted = extrapolate(SIZES, measured + 0.1, noise, np.random.default_rng(0), ceiling=0.1)
    assert np.allclose(lifted.at(600.0), curve.at(600.0) + 0.1, atol=1e-6)


def test_golden_the_shortest_interval():
    assert shortest(np.array([0.0, 1.0, 2.0, 3.0, 10.0]), 0.8) == (0.0, 3.0)
    assert shortest(np.array([-9.0, 1.0, 2.0, 3.0, 4.0]), 0.8) == (1.0, 4.0)
    crowded = np.random.default_rng(0).exponential(size=10_000)
    low, high = shortest(crowded, 0.9, floor=0.0)
    assert low == 0.0 and high == pytest.approx(np.log(10.0), rel=0.03)
