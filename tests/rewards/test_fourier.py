"""Golden, property and learning: the features of a linear reward, and the inputs that its answers show to matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from accord.rewards.annotators import Layout, questions
from accord.rewards.features import fit_scaler, read, scaled
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.fourier import fourier
from accord.rewards.kernel import relevance, solve
from accord.types import Comparisons, Evidence, Steps

INPUTS = 6


def about(seed: int, count: int, worth) -> tuple[Evidence, np.ndarray]:
    """Comparisons of segments of 20 random steps by an oracle of `worth(observation)`, and 200 more to judge by."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2 * count + 200, 20, INPUTS)).astype(np.float32) + rng.normal(
        size=(2 * count + 200, 1, INPUTS)
    ).astype(np.float32)
    truth = worth(rows).sum(1)
    valid = np.ones(20, bool)
    segments = [Steps(row, np.zeros((20, 1), np.float32), valid, False) for row in rows]
    first, second = np.arange(0, 2 * count, 2), np.arange(1, 2 * count, 2)
    level = (truth[first] > truth[second]).astype(int)
    part = Comparisons(first, second, level, np.zeros(count, int), 2)
    return Evidence(segments, np.arange(len(segments)), ("oracle",), (part,), (np.ones(count, bool),)), truth


def rank_correlation(evidence: Evidence, truth: np.ndarray) -> float:
    reward = fit(evidence, RewardConfig(kind="kernel", weighed=True), discrete=False, terminates=False, seed=0)
    unseen = slice(len(truth) - 200, None)
    return float(spearmanr(reward.value(evidence.segments[unseen]).mean(0), truth[unseen])[0])


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("count", [0, 16])
def test_golden_slope_is_the_derivative(count, squares):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(50, 4, generator=generator)
    net = fourier(rows, count, 1.0, squares, torch.tensor([0.5, 1.0, 2.0, 0.0]), generator)
    flat = torch.randn(1, net.size, generator=generator)
    x = rows[:7].clone().requires_grad_()
    out = net(flat, x[None, :, None], torch.ones(1, 7, 1, dtype=torch.bool)).sum()
    (expected,) = torch.autograd.grad(out, x)
    assert torch.allclose(net.slope(flat[0], rows[:7]), expected, atol=1e-5)


def test_golden_a_constant_alone_moves_the_mean():
    """Waves, lines and squares have mean 0 over the rows they were made for, so `u` is the mean reward."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(500, 3, generator=generator)
    rows = rows - rows.mean(0)
    net = fourier(rows, 8, 1.5, True, torch.ones(3), generator)
    flat = torch.randn(1, net.size, generator=generator)
    mean = net(flat, rows[None, None], torch.ones(1, 1, 500, dtype=torch.bool)).mean()
    assert abs(float(mean - flat[0, -1])) < 1e-4


def test_property_the_inputs_that_answers_depend_on_are_found():
    evidence, _ = about(3, 60, lambda x: 2.0 * x[..., 1] - x[..., 4] ** 2)
    features = scaled(read(evidence.segments), fit_scaler(read(evidence.segments), False))
    parts = tuple(questions(part) for part in evidence.parts)
    solved = solve(features, parts, Layout(parts, 1), True, 5.0, 0, True)
    weight = relevance(solved, features.x[features.valid])
    matters = sorted(weight.argsort(descending=True)[:2].tolist())
    assert matters == [1, 4] and float(weight[[0, 2, 3, 5]].max()) < 0.5 * float(weight[[1, 4]].min())


@pytest.mark.parametrize(
    ("worth", "least"),
    [(lambda x: x[..., 2], 0.95), (lambda x: -(x[..., 0] ** 2), 0.95), (lambda x: np.abs(x[..., 1]) < 0.5, 0.75)],
    ids=["line", "square", "band"],  # of a band most segments tie with many
)
def test_learning_one_input_of_six_is_learned_from_eighty_answers(worth, least):
    evidence, truth = about(4, 80, worth)
    assert rank_correlation(evidence, truth) > least
