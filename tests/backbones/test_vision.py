"""Golden, property: the convolutional net is the one that the paper draws, and any picture has one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from accord.backbones.vision import NatureCNN, layers, places


def plain(net: NatureCNN, *modules: nn.Module) -> nn.Sequential:
    """The same weights in a net written down layer by layer."""
    found = nn.Sequential(nn.Unflatten(1, net.picture), *modules)
    found.load_state_dict(dict(zip(found.state_dict(), net.state_dict().values(), strict=True)))
    return found


def test_golden_an_atari_picture_goes_through_the_net_of_the_paper():
    net = NatureCNN((4, 84, 84), torch.Generator().manual_seed(0))
    written = plain(
        net,
        nn.Conv2d(4, 32, 8, 4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 512),
        nn.ReLU(),
    )
    rows = torch.rand(3, 4 * 84 * 84, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(net(rows), written(rows), atol=1e-6)
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_684_128  # the paper's, but for its last layer


def test_golden_a_small_picture_goes_through_a_smaller_net():
    net = NatureCNN((1, 12, 12), torch.Generator().manual_seed(0), features=16)
    modules = (nn.Conv2d(1, 32, 4, 2), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 16))
    written = plain(net, *modules, nn.ReLU())
    rows = torch.rand(2, 5, 144, generator=torch.Generator().manual_seed(1))
    assert net(rows).shape == (2, 5, 16)
    assert torch.allclose(net(rows).flatten(0, 1), written(rows.flatten(0, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("side", "shape", "left"),
    [
        (84, ((8, 4), (4, 2), (3, 1)), 7),
        (36, ((8, 4), (4, 2), (3, 1)), 1),
        (35, ((4, 2), (4, 2), (3, 1)), 5),
        (18, ((4, 2), (4, 2), (3, 1)), 1),
        (17, ((4, 2), (3, 1)), 5),
        (8, ((4, 2), (3, 1)), 1),
        (7, ((3, 1),), 5),
        (2, ((1, 1),), 2),
    ],
)
def test_golden_layers_shrink_with_the_picture(side: int, shape: tuple[tuple[int, int], ...], left: int):
    assert layers((3, side, side + 9)) == shape
    assert places((3, side, side))[0] == left


@given(st.integers(1, 4), st.integers(1, 50), st.integers(1, 50))
def test_property_every_picture_has_a_net_that_leaves_some_of_it(channels: int, height: int, width: int):
    net = NatureCNN((channels, height, width), torch.Generator().manual_seed(0), (4, 4, 4), 8)
    rows = torch.rand(2, channels * height * width, generator=torch.Generator().manual_seed(0))
    assert min(places(net.picture)) >= 1
    assert net(rows).shape == (2, 8) and torch.isfinite(net(rows)).all()


def test_property_weights_are_orthogonal_and_drawn_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (NatureCNN((2, 12, 12), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.hidden.weight, other.hidden.weight)
    for layer in (*first.convolutions, first.hidden):
        weight = layer.weight.detach().flatten(1)
        short = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
        assert torch.allclose(short, 2.0 * torch.eye(len(short)), atol=1e-4)
        assert not layer.bias.any()
