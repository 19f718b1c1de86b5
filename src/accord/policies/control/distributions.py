"""How an actor's last layer becomes an action: a choice, or numbers between bounds.

`sample` takes its noise as an argument, drawn once for a whole rollout.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from accord.types import ActionSpec, InputError


class Categorical:
    """One of `size` choices; the last layer holds their logits."""

    def __init__(self, size: int) -> None:
        self.size = size

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "*shape one"]:
        """Uniform numbers, one for each choice to be made."""
        return torch.rand((*shape, 1), generator=generator)

    def sample(self, logits: Tensor, log_sd: Tensor, noise: Tensor) -> Int[Tensor, "*batch"]:
        """The choice whose stretch of the cumulative distribution holds the noise."""
        return (logits.softmax(-1).cumsum(-1)[..., :-1] < noise).sum(-1)

    def mode(self, logits: Float[Tensor, "*batch choice"]) -> Int[Tensor, "*batch"]:
        """The most likely choice."""
        return logits.argmax(-1)

    def log_prob(self, logits: Tensor, log_sd: Tensor, action: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """log pi(a | s)."""
        return logits.log_softmax(-1).gather(-1, action[..., None])[..., 0]

    def entropy(self, logits: Float[Tensor, "*batch choice"], log_sd: Tensor) -> Float[Tensor, "*batch"]:
        """In nats."""
        log_p = logits.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def to_env(self, action: Int[Tensor, "*batch"]) -> np.ndarray:
        """As the environment takes it."""
        return action.numpy()

    def to_env_rows(self, action: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch choice"]:
        """As rewards take it: one-hot."""
        return torch.nn.functional.one_hot(action, self.size).float()


class Gaussian:
    """Numbers around the last layer with a standard deviation of their own; -1 to 1 covers the action's bounds.

    The likelihood is that of the draw before it is clipped to the bounds, as in stable-baselines3.
    """

    def __init__(self, action: ActionSpec) -> None:
        bounded = np.isfinite(action.low) & np.isfinite(action.high)
        self.size = action.size
        self.low, self.high = torch.from_numpy(action.low), torch.from_numpy(action.high)
        low, high = np.where(bounded, action.low, np.float32(-1)), np.where(bounded, action.high, np.float32(1))
        self.middle, self.half = torch.from_numpy((low + high) / 2), torch.from_numpy((high - low) / 2)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "*shape action"]:
        """Standard normal numbers."""
        return torch.randn((*shape, self.size), generator=generator)

    def sample(self, mean: Tensor, log_sd: Tensor, noise: Tensor) -> Float[Tensor, "*batch action"]:
        """mean + sd * noise."""
        return mean + log_sd.exp() * noise

    def mode(self, mean: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch action"]:
        """The mean."""
        return mean

    def log_prob(self, mean: Tensor, log_sd: Tensor, action: Tensor) -> Float[Tensor, "*batch"]:
        """log pi(a | s)."""
        z = (action - mean) * (-log_sd).exp()
        return -(0.5 * z.square() + log_sd).sum(-1) - 0.5 * math.log(2 * math.pi) * self.size

    def entropy(self, mean: Float[Tensor, "*batch action"], log_sd: Tensor) -> Float[Tensor, "*batch"]:
        """In nats; the same for every state."""
        return (log_sd + 0.5 * math.log(2 * math.pi * math.e)).sum().expand(mean.shape[:-1])

    def to_env(self, action: Float[Tensor, "*batch action"]) -> np.ndarray:
        """In the environment's units, inside its bounds."""
        return self.to_env_rows(action).numpy()

    def to_env_rows(self, action: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch action"]:
        """As rewards take it: in the environment's units."""
        return (self.middle + self.half * action).clamp(self.low, self.high)


class Squashed:
    """tanh of a Gaussian whose mean and log standard deviation the actor gives: always inside the bounds.

    Actions are counted in half-widths of the range, from -1 to 1, whatever the environment's units.
    Source: Haarnoja et al., arXiv:1801.01290, appendix C; the range of the log deviation is the authors' code's.
    """

    LEAST, MOST = -20.0, 2.0

    def __init__(self, action: ActionSpec) -> None:
        if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
            raise InputError(
                "An action of this task has no bound, and sac and td3 need one: wrap the environment, or choose ppo."
            )
        self.size = action.size
        low, high = torch.from_numpy(action.low), torch.from_numpy(action.high)
        self.middle, self.half = (low + high) / 2, (high - low) / 2

    def sample(
        self, out: Float[Tensor, "batch both"], noise: Float[Tensor, "batch action"]
    ) -> Float[Tensor, "batch action"]:
        """tanh(mean + sd * noise): a draw where the noise is normal."""
        mean, log_sd = out.chunk(2, -1)
        return torch.addcmul(mean, log_sd.clamp(self.LEAST, self.MOST).exp(), noise).tanh()

    def draw(
        self, out: Float[Tensor, "batch both"], noise: Float[Tensor, "batch action"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch"]]:
        """The same, and its log-density: `log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u))`."""
        mean, log_sd = out.chunk(2, -1)
        log_sd = log_sd.clamp(self.LEAST, self.MOST)
        u = torch.addcmul(mean, log_sd.exp(), noise)
        half = u + 2.0 * F.softplus(-u, beta=2.0)
        surprise = torch.add(log_sd, noise.square(), alpha=0.5).sub(half, alpha=2.0).sum(-1)
        return u.tanh(), -surprise - self.size * (0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0))

    def mode(self, out: Float[Tensor, "batch both"]) -> Float[Tensor, "batch action"]:
        """tanh of the mean: what the field evaluates by."""
        return out.chunk(2, -1)[0].tanh()

    def to_env_rows(self, action: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch action"]:
        """In the environment's units."""
        return self.middle + self.half * action
