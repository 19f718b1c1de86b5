"""Actor and critic. Of rows of numbers: two nets of one shape, stacked on a leading axis of 2, as one batched product.

One `baddbmm` a layer instead of two calls: at minibatches of a few thousand rows, calls are a third of the time. Of
pictures: one convolutional net with two last layers, since the convolutions are nearly all of the work.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from accord.backbones.vision import NatureCNN, orthogonal
from accord.functional.mlp import stacked_mlp

ACTOR, CRITIC = 0, 1
BLOCK = 256  # pictures
LAST_GAIN = 0.01  # a near-uniform first policy: Andrychowicz et al., arXiv:2006.05990


class ActorCritic(nn.Module):
    """Two MLPs over the same scaled observation: action preferences (or means), and a value."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: tuple[int, ...],
        log_sd: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = (observation_size, *hidden, action_size)
        gains = [2**0.5] * len(hidden) + [LAST_GAIN]
        self.weights = nn.ParameterList(
            torch.stack([_orthogonal(n, m, gain, generator) for _ in (ACTOR, CRITIC)])
            for n, m, gain in zip(sizes[:-1], sizes[1:], gains, strict=True)
        )
        self.biases = nn.ParameterList(torch.zeros(2, 1, m) for m in sizes[1:])
        self.log_sd = nn.Parameter(torch.full((action_size,), log_sd))

    def forward(
        self, observation: Float[Tensor, "batch observation"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch"]]:
        """The actor's last layer and the critic's value."""
        x = stacked_mlp(observation.expand(2, -1, -1), list(self.weights), list(self.biases))
        return x[ACTOR], x[CRITIC, :, 0]

    def actor(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        """The actor alone."""
        return self._alone(ACTOR, observation)

    def critic(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch"]:
        """The critic alone."""
        return self._alone(CRITIC, observation)[:, 0]

    def value_layer(self) -> tuple[Float[Tensor, "width _"], Float[Tensor, "1 _"]]:
        """Weight and bias of the critic's last layer, to be changed in place where values are rescaled."""
        return self.weights[-1].data[CRITIC], self.biases[-1].data[CRITIC]

    def _alone(self, which: int, x: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch action"]:
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.addmm(bias[which], x, weight[which])
            if i < last:
                x = x.relu()
        return x


class PictureActorCritic(nn.Module):
    """The same of pictures. Convolutions and hidden layer are shared, as in arXiv:1707.06347, section 6.3."""

    def __init__(
        self, picture: tuple[int, int, int], action_size: int, log_sd: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.trunk = NatureCNN(picture, generator)
        self.policy, self.value = (
            orthogonal(nn.Linear, self.trunk.hidden.out_features, size, generator=generator, gain=LAST_GAIN)
            for size in (action_size, 1)
        )
        self.log_sd = nn.Parameter(torch.full((action_size,), log_sd))

    def forward(
        self, observation: UInt8[Tensor, "batch pixel"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch"]]:
        """The actor's last layer and the critic's value. Bytes become numbers here, a batch at a time."""
        features = self.trunk(observation / 255.0)
        return self.policy(features), self.value(features)[:, 0]

    def actor(self, observation: UInt8[Tensor, "batch pixel"]) -> Float[Tensor, "batch action"]:
        """The actor alone."""
        return self.policy(self.trunk(observation / 255.0))

    def critic(self, observation: UInt8[Tensor, "batch pixel"]) -> Float[Tensor, "batch"]:
        """The critic alone; block by block, since the convolutions of a whole rollout would not fit the cache."""
        return torch.cat([self.value(self.trunk(rows / 255.0))[:, 0] for rows in observation.split(BLOCK)])

    def value_layer(self) -> tuple[Float[Tensor, "1 width"], Float[Tensor, "1"]]:
        """Weight and bias of the critic's last layer, to be changed in place where values are rescaled."""
        return self.value.weight.data, self.value.bias.data


def _orthogonal(rows: int, columns: int, gain: float, generator: torch.Generator) -> Float[Tensor, "rows columns"]:
    weight = torch.empty(rows, columns)
    nn.init.orthogonal_(weight, gain, generator=generator)
    return weight
