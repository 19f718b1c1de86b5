"""Golden and property tests of the uncertainty of Bernoulli members."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accord.functional.uncertainty import (
    bald,
    bernoulli_entropy,
    d_optimality,
    disagreement,
    entropy,
    information,
    log_sigmoid,
    mean_logit,
)

LOGITS = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.floats(-800, 800))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_golden_two_members():
    # p = .2 and .8: mean .5, sd .3, H(.2) = .5004024235381879, H(.5) = log 2.
    z = np.array([[logit(0.2)], [logit(0.8)]])
    assert disagreement(z)[0] == pytest.approx(0.3)
    assert entropy(z)[0] == pytest.approx(0.5004024235381879)
    assert bald(z)[0] == pytest.approx(math.log(2) - 0.5004024235381879)
    assert mean_logit(z)[0] == pytest.approx(0.0, abs=1e-12)


def test_golden_tails_are_exact():
    z = np.array([-800.0, -40.0, 40.0])
    assert log_sigmoid(z) == pytest.approx([-800.0, -40.0, -math.exp(-40)], rel=1e-12)
    # H(e^-40) = e^-40 (40 + 1) to first order; a naive p log p of the rounded 1 - p would lose the second term.
    assert bernoulli_entropy(z)[1:] == pytest.approx([41 * math.exp(-40)] * 2, rel=1e-12)
    # Two members sure of opposite sides: an answer tells one bit.
    assert bald(np.array([[-800.0], [800.0]]))[0] == pytest.approx(math.log(2))


@given(LOGITS)
def test_property_ranges_and_symmetry(z: np.ndarray):
    for score, top in ((disagreement, 0.5), (entropy, math.log(2)), (bald, math.log(2))):
        found = score(z)
        assert np.isfinite(found).all() and (found >= 0).all() and (found <= top + 1e-12).all()
        assert np.allclose(found, score(-z), atol=1e-12)
        assert np.allclose(found, score(z[::-1]), atol=1e-12)


@given(LOGITS)
def test_property_agreeing_members_learn_nothing(z: np.ndarray):
    same = np.repeat(z[:1], 3, axis=0)
    assert np.allclose(bald(same), 0, atol=1e-12) and np.allclose(disagreement(same), 0, atol=1e-12)


def test_golden_d_optimality_is_the_growth_of_the_log_determinant():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(30, 3)), rng.normal(size=30)
    h = information(x, z, damping=0.5)
    by_hand = 0.5 * np.eye(3) + sum(np.outer(a, a) / (2 + 2 * math.cosh(b)) for a, b in zip(x, z, strict=True))
    assert np.allclose(h, by_hand)
    score = d_optimality(x[:1], z[:1], np.linalg.inv(h))[0]
    # The matrix determinant lemma: det(H + w x x^T) = det H (1 + w x^T H^-1 x).
    grown = h + np.outer(x[0], x[0]) / (2 + 2 * math.cosh(z[0]))
    assert math.log(1 + score) == pytest.approx(np.linalg.slogdet(grown)[1] - np.linalg.slogdet(h)[1])
