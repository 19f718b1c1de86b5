"""Reward nets: the hand-written pass against autograd, ensembles against single members, causality."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from accord.rewards.features import Features, Scaler, fit_scaler, read, scaled
from accord.rewards.fourier import fourier
from accord.rewards.fused import Fused, Plain
from accord.rewards.nets import MLP, SegmentTransformer, Stacked, module_class
from accord.types import InputError, NotFinite, Reply, Steps


class Classical(nn.Module):
    """`concat -> 64 -> 1`, the net of many a paper."""

    def __init__(self, observation_size: int, action_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(observation_size + action_size, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([state, action], -1))


def rows(seed: int, segments: int, time: int, inputs: int, whole: bool = False) -> Features:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, time + 1, (segments,), generator=generator)
    valid = torch.arange(time) < (torch.full_like(lengths, time) if whole else lengths).unsqueeze(1)
    return Features(torch.randn(segments, time, inputs, generator=generator) * valid.unsqueeze(-1), valid)


@given(st.integers(0, 10_000), st.integers(0, 3), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_invariance_the_hand_written_pass_is_autograd(seed, depth, inputs, members, whole):
    features = rows(seed, 7, 6, inputs, whole)
    net, generator = MLP(inputs, 8, depth), torch.Generator().manual_seed(seed)
    flat = net.start(members, generator)
    index = torch.randint(0, 7, (members, 5), generator=generator)
    d_totals = torch.randn(members, 5, generator=generator)
    plain, fused = Plain(net, features), Fused(net, features, torch.float32)
    assert torch.allclose(fused.totals(flat, index), plain.totals(flat, index), atol=1e-4, rtol=1e-4)
    assert torch.allclose(fused.gradient(d_totals), plain.gradient(d_totals), atol=1e-4, rtol=1e-3)


def test_invariance_bfloat16_working_copies_point_the_same_way():
    features, net = rows(1, 64, 20, 5), MLP(5, 32, 2)
    generator = torch.Generator().manual_seed(1)
    flat = net.start(2, generator)
    index, d_totals = torch.randint(0, 64, (2, 40), generator=generator), torch.randn(2, 40, generator=generator)
    low, high = Fused(net, features, torch.bfloat16), Fused(net, features, torch.float32)
    totals = high.totals(flat, index)
    assert (low.totals(flat, index) - totals).abs().max() < 0.05 * totals.std()
    wanted, found = high.gradient(d_totals), low.gradient(d_totals)
    assert torch.cosine_similarity(wanted, found).min() > 0.999


def test_invariance_buffers_are_clean_between_calls_of_different_sizes():
    features, net = rows(2, 30, 8, 4), MLP(4, 16, 2)
    flat = net.start(1, torch.Generator().manual_seed(0))
    used, fresh = Fused(net, features, torch.float32), Fused(net, features, torch.float32)
    used.totals(flat, torch.arange(30).unsqueeze(0))
    used.gradient(torch.ones(1, 30))
    few = torch.tensor([[3, 1]])
    assert torch.equal(used.totals(flat, few), fresh.totals(flat, few))
    assert torch.equal(used.gradient(torch.ones(1, 2)), fresh.gradient(torch.ones(1, 2)))


def nets() -> list:
    pair = (3, 2)
    generator = torch.Generator().manual_seed(0)
    return [
        MLP(5, 16, 2),
        MLP(5, 16, 0),
        fourier(torch.randn(100, 5, generator=generator), 32, 1.0, True, torch.ones(5), generator),
        Stacked(SegmentTransformer, pair, {"width": 16, "depth": 2}),
        Stacked(Classical, pair, {}),
    ]


@pytest.mark.parametrize("net", nets(), ids=lambda net: type(net).__name__)
def test_contract_an_ensemble_is_its_members_one_by_one(net):
    features = rows(3, 4, 7, 5)
    flat = torch.randn(3, net.size, generator=torch.Generator().manual_seed(4)) * 0.3
    x, valid = features.x.unsqueeze(0), features.valid.unsqueeze(0)
    together = net(flat, x, valid)
    assert together.shape == (3, 4, 7) and net.precision().shape == (net.size,)
    for member in range(3):
        assert torch.allclose(net(flat[member : member + 1], x, valid)[0], together[member], atol=1e-5)
    own_rows = net(flat, x.expand(3, -1, -1, -1), valid.expand(3, -1, -1))
    assert torch.allclose(own_rows, together, atol=1e-5)


@pytest.mark.parametrize("net", nets(), ids=lambda net: type(net).__name__)
def test_contract_members_start_apart_and_repeatably(net):
    first, second = (net.start(3, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert type(net).__name__ == "Fourier" or not torch.equal(first[0], first[1])


def test_property_the_transformer_never_looks_ahead():
    net = Stacked(SegmentTransformer, (3, 2), {"width": 16, "depth": 2})
    flat = net.start(1, torch.Generator().manual_seed(0)) * 3.0
    features = rows(5, 2, 9, 5, whole=True)
    changed = features.x.clone()
    changed[:, 6:] += 1.0
    valid = features.valid.unsqueeze(0)
    before, after = net(flat, features.x.unsqueeze(0), valid), net(flat, changed.unsqueeze(0), valid)
    assert torch.allclose(before[..., :6], after[..., :6], atol=1e-6)
    assert not torch.allclose(before[..., 6:], after[..., 6:], atol=1e-3)


def test_contract_a_module_is_found_by_its_path_and_nothing_else_is():
    assert module_class("module:accord.rewards.nets.SegmentTransformer") is SegmentTransformer
    for wrong in ("module:nowhere.Net", "module:accord.rewards.nets.Absent", "module:pathlib.Path", "module:"):
        with pytest.raises(InputError, match="module"):
            module_class(wrong)


# ----------------------------------------------------------------------------------------------- features


def steps(observation: np.ndarray, action: np.ndarray) -> Steps:
    valid = np.ones(len(action), bool)
    return Steps(observation.astype(np.float32), action.astype(np.float32), valid, False)


def test_golden_scaling_leaves_one_hot_actions_and_dead_columns_alone():
    observation = np.array([[1.0, 5.0], [3.0, 5.0]])
    raw = read([steps(observation, np.eye(2))])
    x = scaled(raw, fit_scaler(raw, discrete=True)).x[0]
    assert x.tolist() == [[-1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]


@pytest.mark.parametrize("discrete", [True, False])
def test_golden_where_a_reward_reads_the_state_alone_every_action_is_zero(discrete):
    raw = read([steps(np.array([[1.0], [3.0]]), np.eye(2))])
    x = scaled(raw, fit_scaler(raw, discrete, "state")).x[0]
    assert x.tolist() == [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_golden_outliers_are_clipped_at_ten_deviations():
    scaler = Scaler(torch.zeros(1), torch.ones(1))
    assert scaler(torch.tensor([[[99.0], [-99.0]]]), torch.zeros(1, 2, 0)).flatten().tolist() == [10.0, -10.0]


def test_golden_steps_after_the_end_are_zero_and_do_not_move_the_scale():
    done = Steps(np.full((3, 1), 7, np.float32), np.full((3, 1), 7, np.float32), np.array([True, False, False]), True)
    whole = steps(np.array([[1.0], [3.0], [1.0]]), np.array([[1.0], [3.0], [1.0]]))
    raw = read([done, whole])
    assert raw.observation[0].tolist() == [[7.0], [0.0], [0.0]]
    assert float(fit_scaler(raw, False).mean[0]) == pytest.approx(3.0)


def test_contract_bad_segments_are_named():
    good, bad = steps(np.ones((2, 1)), np.ones((2, 1))), steps(np.array([[1.0], [np.nan]]), np.ones((2, 1)))
    with pytest.raises(NotFinite, match="observation of segment 1"):
        read([good, bad])
    with pytest.raises(InputError, match="encoder"):
        read([Reply("a", "b")])
    with pytest.raises(InputError, match="one sort"):
        read([good, Reply("a", "b")])
    with pytest.raises(InputError, match="shape"):
        read([Reply("a", "b")], lambda segments: np.zeros(3))
