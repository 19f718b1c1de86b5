"""Golden, property, invariance: generalised advantages, computed by hand and against their definition as a sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.functional.returns import generalised_advantage, group_relative, leave_one_out, one_step_return


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def advantage(reward, value, value_tp1, discount, ended, lambda_) -> list[float]:
    found = generalised_advantage(
        column(*reward), column(*value), column(*value_tp1), column(*discount), torch.tensor(ended)[:, None], lambda_
    )
    return found[:, 0].tolist()


def test_golden_an_open_end_is_bootstrapped():
    # gamma 1/2, lambda 1/2; delta = (1 + 2/2 - 1, 2 + 4/2 - 2) = (1, 2); A_1 = 2, A_0 = 1 + 1/4 * 2.
    found = advantage([1, 2], [1, 2], [2, 4], [0.5, 0.5], [False, False], 0.5)
    assert found == [1.5, 2.0]


def test_golden_a_terminated_episode_is_worth_nothing_afterwards():
    # The discount is 0 at the end, so neither value_tp1 = 100 nor the next episode's advantage enters.
    found = advantage([1, 2, 8], [1, 2, 3], [2, 100, 4], [0.5, 0.0, 0.5], [False, True, False], 0.5)
    assert found == [1.0 + 0.25 * 0.0, 0.0, 7.0]


def test_golden_a_time_limit_is_bootstrapped_exactly_and_stops_the_sum():
    # Cut after step 1: delta_1 = 2 + 100/2 - 2 = 50 keeps the value of the state that the limit cut; A_2 = 7 stays out.
    found = advantage([1, 2, 8], [1, 2, 3], [2, 100, 4], [0.5, 0.5, 0.5], [False, True, False], 0.5)
    assert found == [1.0 + 0.25 * 50.0, 50.0, 7.0]


def test_golden_lambda_1_is_the_discounted_return_less_the_value():
    # 1 + 2/2 + 4/4 + 8/8 (bootstrap) - 3 = 1
    found = advantage([1, 2, 4], [3, 0, 0], [0, 0, 8], [0.5] * 3, [False] * 3, 1.0)
    assert found[0] == pytest.approx(1 + 1 + 1 + 1 - 3)


def test_golden_with_the_true_values_a_cut_episode_has_no_advantage():
    # Reward 1 for ever is worth 1 / (1 - gamma) at every state, wherever a time limit cuts.
    gamma, time = 0.9, 7
    value = torch.full((time, 1), 1 / (1 - gamma), dtype=torch.float64)
    cut = torch.tensor([False, False, True, False, True, False, False])[:, None]
    found = generalised_advantage(torch.ones_like(value), value, value, torch.full_like(value, gamma), cut, 0.95)
    assert found.abs().max() < 1e-12


@given(st.integers(1, 9), st.integers(1, 3), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**31))
def test_property_the_recursion_is_the_sum_of_discounted_errors(
    time: int, envs: int, gamma: float, lambda_: float, seed: int
):
    rng = np.random.default_rng(seed)
    reward, value, value_tp1 = (torch.from_numpy(rng.normal(size=(time, envs))) for _ in range(3))
    terminated, cut = rng.random((time, envs)) < 0.2, rng.random((time, envs)) < 0.2
    discount = torch.from_numpy(gamma * ~terminated)
    ended = terminated | cut
    found = generalised_advantage(reward, value, value_tp1, discount, torch.from_numpy(ended), lambda_)
    delta = (reward + discount * value_tp1 - value).numpy()
    for env in range(envs):
        for t in range(time):
            total, weight = 0.0, 1.0
            for k in range(t, time):
                total += weight * delta[k, env]
                weight *= gamma * lambda_
                if ended[k, env]:
                    break
            assert found[t, env].item() == pytest.approx(total, abs=1e-9)


@given(st.integers(0, 2**31))
def test_invariance_environments_do_not_mix(seed: int):
    rng = np.random.default_rng(seed)
    reward, value, value_tp1, discount = (torch.from_numpy(rng.random((6, 4))) for _ in range(4))
    ended = torch.from_numpy(rng.random((6, 4)) < 0.3)
    parts = reward, value, value_tp1, discount, ended
    order = torch.from_numpy(rng.permutation(4))
    whole = generalised_advantage(*parts, 0.9)
    assert torch.equal(whole[:, order], generalised_advantage(*(part[:, order] for part in parts), 0.9))


def test_golden_what_follows_the_end_is_worth_nothing():
    found = one_step_return(torch.tensor([1.0, 1.0]), torch.tensor([0.9, 0.0]), torch.tensor([10.0, 10.0]))
    assert found.tolist() == [10.0, 1.0]


def test_golden_leave_one_out_is_the_score_less_the_others_mean():
    found = leave_one_out(torch.tensor([[1.0, 2.0, 6.0]]))
    assert found.tolist() == [[1 - 4.0, 2 - 3.5, 6 - 1.5]]


def test_golden_group_relative_by_each_deviation():
    score = torch.tensor([[0.0, 2.0], [5.0, 5.0]])
    assert group_relative(score, "none").tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    group = group_relative(score, "group")
    assert group[0].tolist() == pytest.approx([-1 / (2**0.5 + 1e-4), 1 / (2**0.5 + 1e-4)])
    assert group[1].tolist() == [0.0, 0.0]
    batch = group_relative(score, "batch")  # the deviation of -1, 1, 0, 0
    assert batch[0, 1].item() == pytest.approx(1 / ((2 / 3) ** 0.5 + 1e-4))
