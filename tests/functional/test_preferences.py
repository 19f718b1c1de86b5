"""Golden: the losses of the offline family at points that can be reckoned by hand."""

import math

import pytest
import torch

from accord.functional import likelihood
from accord.functional.preferences import hinge, identity_loss, prospect_loss, robust

ONE, ZERO = torch.ones(1), torch.zeros(1)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_golden_dpo_is_the_likelihood_of_a_comparison():
    # -log sigmoid(beta (h_w - h_l)), equation 7 of arXiv:2305.18290, with beta h as the values.
    value = likelihood.compare(torch.tensor([0.3]), torch.tensor([-0.4]), torch.tensor([1]), None, ONE, ZERO)
    assert value.item() == pytest.approx(log_sigmoid(0.7))


def test_golden_robust_is_unbiased():
    # Of answers turned round with probability e, the mean of the robust form is the form of the true answers.
    right, wrong, flips = torch.tensor([log_sigmoid(0.7)]), torch.tensor([log_sigmoid(-0.7)]), 0.2
    mean = (1 - flips) * robust(right, wrong, flips) + flips * robust(wrong, right, flips)
    assert mean.item() == pytest.approx(right.item())


def test_golden_identity_preference():
    assert identity_loss(torch.tensor([5.0]), 0.1).item() == pytest.approx(0.0)  # 1 / (2 beta) = 5
    assert identity_loss(torch.tensor([3.0]), 0.1).item() == pytest.approx(4.0)


def test_golden_prospect():
    reward, good = torch.tensor([0.5, 0.5]), torch.tensor([True, False])
    found = prospect_loss(reward, torch.tensor(0.2), good, losses=2.0)
    assert found.tolist() == pytest.approx([1 / (1 + math.exp(0.3)), 2 / (1 + math.exp(-0.3))])


def test_golden_hinge():
    assert hinge(torch.tensor([4.0, 20.0]), 0.1).tolist() == pytest.approx([0.6, 0.0])
