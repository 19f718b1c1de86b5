"""Curvature without its zeros. Golden: what it computes is what the dense matrix would give; learning: a crowd of many
annotators, a few of whom guess."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.rewards.annotators import Layout, questions
from accord.rewards.arrow import Arrow, Places
from accord.rewards.asked import Asked, asked, gathered, local, score
from accord.rewards.fit import RewardConfig, fit
from accord.types import Comparisons, Evidence, Reply
from tests.rewards.test_fit import evidence


def dense(arrow: Arrow) -> torch.Tensor:
    """The whole matrix."""
    shared, own = arrow.places.shared, arrow.places.own
    found = torch.zeros(len(shared) + own.numel(), len(shared) + own.numel(), dtype=arrow.own.dtype)
    found[shared[:, None], shared] = arrow.shared
    for k, rows in enumerate(own):
        found[rows[:, None], rows] = arrow.own[k]
        found[rows[:, None], shared] = arrow.border[k]
        found[shared[:, None], rows] = arrow.border[k].T
    return found


def arrow(seed: int, annotators: int, own: int, shared: int) -> Arrow:
    """Positive definite, parameters in random places, the first own parameter held at its sum."""
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(shared + annotators * own, generator=rng)
    held = torch.eye(own, dtype=torch.float32)[:, : min(1, own)]
    places = Places(order[:shared], order[shared:].view(annotators, own), held)
    blocks = torch.randn(annotators, own, own, generator=rng, dtype=torch.float64)
    border = torch.randn(annotators, own, shared, generator=rng, dtype=torch.float64)
    return Arrow(
        places, 20.0 * annotators * torch.eye(shared).double(), border, blocks @ blocks.mT + 3 * torch.eye(own)
    )


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_golden_solutions_determinant_and_variances_are_those_of_the_dense_matrix(seed, annotators, own, shared):
    """In the directions in which the held sum stays 0: a basis of them shows what the dense way would find."""
    given_ = arrow(seed, annotators, own, shared)
    factor = given_.cholesky()
    assert factor is not None
    normals, whole = given_.places.normals(), dense(given_)
    free = torch.linalg.svd(normals)[0][:, normals.shape[1] :]
    inner = free.T @ whole @ free
    covariance = free @ torch.linalg.inv(inner) @ free.T
    slope = torch.arange(len(whole)).double()
    assert torch.allclose(factor.solve(slope), covariance @ slope)
    assert factor.log_determinant() == pytest.approx(float(inner.logdet()))
    weights = torch.zeros(len(whole), dtype=torch.float64)
    weights[given_.places.shared], weights[given_.places.own[-1]] = 0.5, 2.0
    found = factor.variance(torch.full((shared,), 0.5).double(), torch.full((own,), 2.0).double())
    assert float(found[-1]) == pytest.approx(float(weights @ covariance @ weights), abs=1e-12)
    back = factor.spread(factor.gather(slope.unsqueeze(1))).squeeze(1)
    assert torch.allclose(whole @ back, slope)
    assert torch.allclose(dense(given_ + given_ - given_), whole)


def test_golden_a_matrix_that_is_not_positive_definite_has_no_factor():
    given_ = arrow(0, 3, 2, 2)
    assert given_.raised(torch.full((8,), -100.0).double()).cholesky() is None
    assert Arrow(given_.places, -given_.shared, given_.border, given_.own).cholesky() is None


def test_golden_slope_and_curvature_of_answers_are_the_derivatives_of_their_likelihood():
    seen = evidence("compare7", "rate", count=60)
    parts = tuple(map(questions, seen.parts))
    layout, rng = Layout(parts, 4), torch.Generator().manual_seed(0)
    columns = torch.randn(200, 5, generator=rng, dtype=torch.float64)
    found: list[Asked] = []
    for part in parts:
        items, row = part.items.unique(dim=0, return_inverse=True)
        found.append(asked(part, layout, columns[items], row))
    start = torch.cat([torch.zeros(5), layout.vectors()[0]]).double()
    places = layout.places.after(5)
    point = places.centred(start + 0.3 * torch.randn(len(start), generator=rng, dtype=torch.float64))

    def total(at: torch.Tensor) -> torch.Tensor:
        return torch.stack([each.sum() for each in score(found, at.unsqueeze(0))]).sum()

    (slope, curve), *rest = [gathered(one, local(one, point)) for one in found]
    for more, and_curve in rest:
        slope, curve = slope + more, curve + and_curve
    free = torch.eye(len(point)) - places.normals() @ places.normals().T
    slope_, curve_ = torch.autograd.functional.jacobian(total, point), torch.autograd.functional.hessian(total, point)
    assert torch.allclose(free @ slope, slope_, atol=1e-9)
    assert torch.allclose(free @ dense(curve) @ free, curve_, atol=1e-5)


def test_learning_a_crowd_of_many_is_fitted_in_seconds_and_its_guessers_are_found():
    """600 annotators: 40 gave 60 answers, 10 of them at random, all others six. Dense, it would be 3,000 x 3,000."""
    rng = np.random.default_rng(0)
    who = np.concatenate([np.repeat(np.arange(40), 60), np.repeat(np.arange(40, 600), 6)])
    worth = 2.0 * rng.normal(size=30)
    first = rng.integers(0, 30, len(who))
    second = (first + rng.integers(1, 30, len(who))) % 30
    level = (worth[first] - worth[second] + rng.logistic(size=len(who)) > 0).astype(int)
    level = np.where(who < 10, rng.integers(0, 2, len(who)), level)
    names = tuple(f"w{k:03}" for k in range(600))
    segments = [Reply("p", str(i)) for i in range(30)]
    seen = Evidence(segments, np.arange(30), names, (Comparisons(first, second, level, who, 2),), ())

    def alone(segments):
        return np.eye(30, dtype=np.float32)[[int(segment.response) for segment in segments]]

    began = time.process_time()
    reward = fit(seen, RewardConfig(kind="linear"), discrete=False, terminates=False, seed=0, encode=alone)
    assert time.process_time() - began < 30.0
    skill = np.array([one.skill for one in reward.report.annotators])
    assert np.corrcoef(reward.value(segments).mean(0), worth)[0, 1] > 0.98
    assert skill[:10].max() < skill[10:40].min() and np.median(skill[:10]) < 0.3
    pooled = float(torch.sigmoid(reward.annotators["compare2/skill_mean"]).mean())
    assert abs(np.median(skill[40:]) - pooled) < 0.05
