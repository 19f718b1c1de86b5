"""Golden and property tests of the KL estimators against closed forms on a categorical and a Gaussian."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.kl import adapted, estimate, k1, k2, k3, sequence_sum, step_mean

LOGITS = torch.tensor([0.3, -1.2, 0.7, 0.0], dtype=torch.float64)
REF = torch.tensor([0.1, -0.4, 0.2, 0.5], dtype=torch.float64).log_softmax(0)


def exact(logits: torch.Tensor, ref: torch.Tensor) -> torch.Tensor:
    log_prob = logits.log_softmax(0)
    return (log_prob.exp() * (log_prob - ref)).sum()


def expected_loss_gradient(estimator) -> torch.Tensor:
    """Gradient of `E_x [estimator(log pi(x))]` as a loss on samples: the sampling itself is not differentiated."""
    logits = LOGITS.clone().requires_grad_()
    log_prob = logits.log_softmax(0)
    (log_prob.detach().exp() * estimator(log_prob, REF)).sum().backward()
    assert logits.grad is not None
    return logits.grad


def gradient_of(divergence) -> torch.Tensor:
    logits = LOGITS.clone().requires_grad_()
    divergence(logits).backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize("name", ["k1", "k3"])
def test_golden_unbiased_estimators_have_the_exact_mean(name: str):
    log_prob = LOGITS.log_softmax(0)
    mean = (log_prob.exp() * estimate(name, log_prob, REF)).sum()
    assert mean.item() == pytest.approx(exact(LOGITS, REF).item(), rel=1e-12)


def test_golden_k2_is_right_to_second_order():
    for scale, tolerance in ((0.1, 0.05), (0.01, 0.005)):
        ref = (LOGITS + scale * torch.tensor([1.0, -1.0, 0.5, 0.0])).log_softmax(0)
        log_prob = LOGITS.log_softmax(0)
        mean = (log_prob.exp() * k2(log_prob, ref)).sum()
        assert mean.item() == pytest.approx(exact(LOGITS, ref).item(), rel=tolerance)


def test_golden_gradients_as_losses():
    assert torch.allclose(expected_loss_gradient(k1), torch.zeros(4, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(expected_loss_gradient(k2), gradient_of(lambda z: exact(z, REF)), atol=1e-12)
    reverse = gradient_of(lambda z: (REF.exp() * (REF - z.log_softmax(0))).sum())
    assert torch.allclose(expected_loss_gradient(k3), reverse, atol=1e-12)


def test_golden_gaussian_samples():
    # KL(N(0, 1) || N(.1, 1)) = .005; k3 has a far smaller spread than k1.
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_prob, log_ref = -(x**2) / 2, -((x - 0.1) ** 2) / 2
    found = {name: estimate(name, log_prob, log_ref) for name in ("k1", "k2", "k3")}
    for sample in found.values():
        assert sample.mean().item() == pytest.approx(0.005, abs=4 * sample.std().item() / 100_000**0.5 + 2e-5)
    assert found["k3"].std() < found["k1"].std() / 10


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_property_ranges(log_prob: float, log_ref: float):
    a, b = torch.tensor([log_prob]), torch.tensor([log_ref])
    assert k2(a, b) >= 0 and k3(a, b) >= 0
    assert k1(a, b) == -k1(b, a)
    assert k1(a, a) == k2(a, a) == k3(a, a) == 0


def test_golden_sums_and_means_leave_invalid_steps_out():
    per_step = torch.tensor([[1.0, 2.0, torch.inf], [4.0, torch.nan, torch.nan]])
    valid = torch.tensor([[True, True, False], [True, False, False]])
    assert sequence_sum(per_step, valid).tolist() == [3.0, 4.0]
    assert step_mean(per_step, valid).item() == pytest.approx(7 / 3)
    assert step_mean(per_step, torch.zeros_like(valid)).item() == 0.0


def test_golden_a_coefficient_moves_towards_its_target():
    assert adapted(0.1, measured=12.0, target=10.0) == pytest.approx(0.1 * 1.02)  # a tenth of the excess of a fifth
    assert adapted(0.1, measured=50.0, target=10.0) == pytest.approx(0.1 * 1.02)  # which is the most
    assert adapted(0.1, measured=10.0, target=10.0) == 0.1
    assert adapted(0.1, measured=1.0, target=10.0) == pytest.approx(0.1 * 0.98)
