"""What a response is worth from here on: a small net on the frozen reference's hidden states.

They do not move while the policy learns, so the critic fits a fixed map, and no pass through the model is its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from accord.functional.objectives import squared_error

WIDTH, RATE, ROWS = 128, 1e-3, 512  # of the hidden layer; Adam's usual rate; tokens an update


class Critic:
    """Values in units of the returns seen so far: their mean and deviation are kept beside the net."""

    def __init__(self, width: int, seed: int, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            last = nn.Linear(WIDTH, 1)
            self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, WIDTH), nn.SiLU(), last)
        nn.init.zeros_(last.weight)  # it says nothing before it has learned
        nn.init.zeros_(last.bias)
        self.net.to(device)
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=RATE, fused=True)
        self.mean, self.sd = 0.0, 1.0

    @torch.no_grad()
    def value(self, state: Float[Tensor, "*token width"]) -> Float[Tensor, "*token"]:
        """Before each token."""
        return self.net(state.float())[..., 0] * self.sd + self.mean

    def learn(
        self, state: Float[Tensor, "token width"], target: Float[Tensor, "token"], epochs: int, seed: int
    ) -> float:
        """Fits the targets; returns the mean loss of the last epoch, in their units' square over their variance."""
        if self.sd == 1.0 and self.mean == 0.0:
            self.mean, self.sd = float(target.mean()), max(float(target.std()), 1e-6)
        scaled, rng, total = (target - self.mean) / self.sd, np.random.default_rng(seed), 0.0
        rows = state.float()
        for _ in range(epochs):
            total = 0.0
            order = torch.from_numpy(rng.permutation(len(rows))).to(rows.device)
            for some in order.split(ROWS):
                loss = squared_error(self.net(rows[some])[:, 0], scaled[some]).mean()
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                total += float(loss.detach()) * len(some)
        return total / len(rows)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, moments and units under stable names, for a checkpoint."""
        found = {f"net.{name}": value.cpu().contiguous() for name, value in self.net.state_dict().items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            found |= {f"adam.{i}.{name}": value.cpu().contiguous() for name, value in state.items()}
        return found | {"unit": torch.tensor([self.mean, self.sd], dtype=torch.float64)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """What `tensors` gave."""
        own = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
        self.net.load_state_dict(own)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("adam."):
                _, i, key = name.split(".")
                state.setdefault(int(i), {})[key] = value.clone()
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.mean, self.sd = (float(x) for x in tensors["unit"])
