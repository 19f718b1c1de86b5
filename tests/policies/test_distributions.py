"""Golden, property: action distributions against torch.distributions, and the frequencies of their draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.policies.control.distributions import Categorical, Gaussian, Squashed
from accord.types import ActionSpec, InputError

NONE = torch.zeros(0)


def box(low: list[float], high: list[float]) -> ActionSpec:
    return ActionSpec(False, len(low), np.array(low, np.float32), np.array(high, np.float32))


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_property_categorical_is_torchs(size: int, rows: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, size, generator=generator)
    action = torch.randint(size, (rows,), generator=generator)
    law, theirs = Categorical(size), torch.distributions.Categorical(logits=logits)
    assert torch.allclose(law.log_prob(logits, NONE, action), theirs.log_prob(action), atol=1e-5)
    assert torch.allclose(law.entropy(logits, NONE), theirs.entropy(), atol=1e-5)
    assert torch.equal(law.mode(logits), theirs.probs.argmax(-1))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_property_gaussian_is_torchs(size: int, rows: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    mean, action = (torch.randn(rows, size, generator=generator) for _ in range(2))
    log_sd = 0.5 * torch.randn(size, generator=generator)
    law = Gaussian(box([-1.0] * size, [1.0] * size))
    theirs = torch.distributions.Independent(torch.distributions.Normal(mean, log_sd.exp()), 1)
    assert torch.allclose(law.log_prob(mean, log_sd, action), theirs.log_prob(action), atol=1e-4)
    assert torch.allclose(law.entropy(mean, log_sd), theirs.entropy(), atol=1e-5)


def test_property_categorical_draws_come_as_often_as_their_probability():
    law, n = Categorical(4), 20_000
    logits = torch.tensor([0.1, 0.2, 0.0, 0.7]).log().clamp(min=-60.0).expand(n, 4)
    drawn = law.sample(logits, NONE, law.noise((n,), torch.Generator().manual_seed(0)))
    share = torch.bincount(drawn, minlength=4) / n
    # Within four standard errors of 0.1, 0.2, 0 and 0.7.
    assert (share - torch.tensor([0.1, 0.2, 0.0, 0.7])).abs().max() < 4 * 0.5 / n**0.5
    assert share[2] == 0


@pytest.mark.parametrize("noise", [0.0, 1 - 2**-24])
def test_golden_categorical_draws_at_the_edges_of_the_noise_are_choices(noise: float):
    logits = torch.tensor([[50.0, -50.0, -50.0], [-50.0, -50.0, 50.0], [0.0, 0.0, 0.0]])
    drawn = Categorical(3).sample(logits, NONE, torch.full((3, 1), noise))
    assert drawn.min() >= 0 and drawn.max() <= 2
    assert noise == 0 or drawn.tolist() == [0, 2, 2]


def test_property_gaussian_draws_have_the_mean_and_deviation_asked_for():
    law, n = Gaussian(box([-2.0, 0.0], [2.0, 1.0])), 20_000
    mean, log_sd = torch.tensor([0.3, -1.0]).expand(n, 2), torch.tensor([0.5, 2.0]).log()
    drawn = law.sample(mean, log_sd, law.noise((n,), torch.Generator().manual_seed(0)))
    assert torch.allclose(drawn.mean(0), mean[0], atol=4 * 2 / n**0.5)
    assert torch.allclose(drawn.std(0), log_sd.exp(), rtol=0.03)


def test_golden_actions_reach_the_environment_in_its_units_and_bounds():
    law = Gaussian(box([-2.0, 0.0], [2.0, 1.0]))
    drawn = torch.tensor([[0.0, 0.0], [1.0, -1.0], [5.0, 0.5]])
    assert law.to_env(drawn).tolist() == [[0.0, 0.5], [2.0, 0.0], [2.0, 0.75]]
    assert torch.equal(law.to_env_rows(drawn), torch.from_numpy(law.to_env(drawn)))


def test_golden_without_bounds_numbers_pass_as_they_are_and_one_bound_still_holds():
    inf = float("inf")
    law = Gaussian(box([-inf, 0.0], [inf, inf]))
    assert law.to_env(torch.tensor([[3.0, -3.0], [-7.0, 2.0]])).tolist() == [[3.0, 0.0], [-7.0, 2.0]]


def test_golden_a_choice_reaches_rewards_as_one_hot():
    law = Categorical(3)
    assert law.to_env_rows(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert law.to_env(torch.tensor([2, 0])).tolist() == [2, 0]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_property_squashed_is_torchs(size: int, rows: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    out, noise = torch.randn(rows, 2 * size, generator=generator), torch.randn(rows, size, generator=generator)
    law = Squashed(box([-1.0] * size, [1.0] * size))
    mean, log_sd = out[:, :size], out[:, size:].clamp(max=2.0)
    normal = torch.distributions.Normal(mean, log_sd.exp())
    theirs = torch.distributions.TransformedDistribution(normal, torch.distributions.TanhTransform(cache_size=1))
    action, log_prob = law.draw(out, noise)
    assert torch.allclose(action, (mean + log_sd.exp() * noise).tanh(), atol=1e-6)
    inside = action.abs().max() < 0.999  # nearer to the bound their inverse loses the digits that ours keeps
    if inside:
        assert torch.allclose(log_prob, theirs.log_prob(action).sum(-1), atol=1e-3)
    assert torch.allclose(law.sample(out, noise), action, atol=1e-6)
    assert torch.equal(law.mode(out), mean.tanh())


def test_golden_a_squashed_density_stays_finite_at_the_bound():
    """At u = 20 the tanh is 1 in float32, and log(1 - tanh(u)^2) = log 4 - 40."""
    law = Squashed(box([-1.0], [1.0]))
    _, log_prob = law.draw(torch.tensor([[20.0, 0.0]]), torch.zeros(1, 1))
    assert log_prob.item() == pytest.approx(-0.5 * np.log(2 * np.pi) - (np.log(4.0) - 40.0), rel=1e-6)


def test_golden_a_squashed_action_fills_the_range():
    law = Squashed(box([-2.0, 0.0], [2.0, 10.0]))
    assert law.to_env_rows(torch.tensor([[1.0, -1.0], [0.0, 0.5]])).tolist() == [[2.0, 0.0], [0.0, 7.5]]


def test_golden_a_range_without_a_bound_is_refused():
    with pytest.raises(InputError, match="no bound"):
        Squashed(box([-np.inf], [np.inf]))
