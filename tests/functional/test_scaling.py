"""Golden, property, invariance: running mean and variance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.scaling import CLIP, Scale, merged, scaled


def test_golden_two_batches_by_hand():
    # {1, 3}: mean 2, variance 1. With {5, 5, 5, 9}: mean 28/6, variance (1 + 9 + 25 * 3 + 81) / 6 - (28/6)^2.
    first = merged(Scale.unit(1), torch.tensor([[1.0], [3.0]]))
    assert (first.mean.item(), first.variance.item(), first.count) == (2.0, 1.0, 2.0)
    both = merged(first, torch.tensor([[5.0], [5.0], [5.0], [9.0]]))
    assert both.mean.item() == pytest.approx(28 / 6)
    assert both.variance.item() == pytest.approx(166 / 6 - (28 / 6) ** 2, rel=1e-5)
    assert both.count == 6


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 2**31))
def test_property_merging_pieces_is_the_whole_at_once(sizes: list[int], features: int, seed: int):
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.normal(3.0, 2.0, size=(sum(sizes), features)))
    scale = Scale(torch.zeros(features).double(), torch.ones(features).double(), 0.0)
    for piece in rows.split(sizes):
        scale = merged(scale, piece)
    assert scale.count == len(rows)
    assert torch.allclose(scale.mean, rows.mean(0))
    assert torch.allclose(scale.variance, rows.var(0, correction=0))


def test_golden_memory_bounds_what_was_seen():
    # A thousand zeros that count for 1, then a single 2: mean 1, variance 1.
    old = merged(Scale.unit(1), torch.zeros(1000, 1))
    new = merged(old, torch.tensor([[2.0]]), memory=1.0)
    assert (new.mean.item(), new.variance.item(), new.count) == (1.0, 1.0, 2.0)


def test_golden_scaled_is_clipped_and_nothing_seen_changes_nothing():
    scale = Scale(torch.tensor([1.0, 0.0]), torch.tensor([4.0, 1.0]), 10.0)
    found = scaled(scale, torch.tensor([[3.0, 1000.0], [1.0, -1000.0]]))
    assert torch.allclose(found, torch.tensor([[1.0, CLIP], [0.0, -CLIP]]))
    rows = torch.tensor([[0.5, -2.0]])
    assert torch.allclose(scaled(Scale.unit(2), rows), rows)


def test_golden_a_feature_that_never_varies_is_zero_and_finite():
    scale = merged(Scale.unit(1), torch.full((5, 1), 7.0))
    assert scaled(scale, torch.full((2, 1), 7.0)).tolist() == [[0.0], [0.0]]


@given(st.floats(-5, 5), st.floats(0.1, 5), st.integers(0, 2**31))
def test_invariance_units_of_measurement_do_not_matter(shift: float, factor: float, seed: int):
    rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(20, 2)))
    unit = Scale(torch.zeros(2).double(), torch.ones(2).double(), 0.0)
    here, there = rows, rows * factor + shift
    same = scaled(merged(unit, here), here), scaled(merged(unit, there), there)
    assert torch.allclose(*same, atol=1e-4)


def test_invariance_merging_changes_no_argument():
    scale = Scale.unit(2)
    merged(scale, torch.ones(3, 2))
    assert (scale.count, scale.mean.tolist(), scale.variance.tolist()) == (0.0, [0.0, 0.0], [1.0, 1.0])
