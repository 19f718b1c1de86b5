"""Reward nets whose output is off by a constant: a user's own module may be, and nothing may come of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Level(nn.Module):
    """`observation, action -> 64 -> 64 -> 1`, and a constant per step on top."""

    constant = 0.0

    def __init__(self, observation_size: int, action_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(observation_size + action_size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        return self.layers(torch.cat([state, action], -1)) + self.constant


class Up(Level):
    """One too high at every step."""

    constant = 1.0


class Down(Level):
    """One too low."""

    constant = -1.0
