"""How a policy acts through episodes where it looks at nothing but the observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Real

from accord.types import Policy


@dataclass(frozen=True)
class Memoryless:
    """The `Acting` of such a policy: call after call the same."""

    policy: Policy

    def __call__(
        self,
        observation: Real[np.ndarray, "env observation"],
        started: Bool[np.ndarray, "env"] | None = None,
        seed: int | None = None,
    ) -> np.ndarray:
        return self.policy.act(observation, seed)
