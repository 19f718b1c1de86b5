"""Twin delayed deep deterministic policy gradient: Fujimoto et al., arXiv:1802.09477, algorithm 1.

Differs from the paper in: actions are counted in half-widths of their range; rewards are read anew with every batch
(`offpolicy.py`); the hidden layers may be multiplied in bfloat16 (`stack.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from accord.functional.objectives import squared_error
from accord.functional.returns import one_step_return
from accord.policies.control.distributions import Squashed
from accord.policies.control.offpolicy import OffPolicy, OffPolicyConfig
from accord.policies.control.replay import Batch
from accord.policies.control.stack import Stack
from accord.ranges import inside
from accord.types import InputError, Task


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Sources beside the defaults. Deviations are in half-widths of the action's range."""

    learning_rate: float = 1e-3  # of actor and critic; arXiv:1802.09477, table 3
    noise: float = 0.1  # standard deviation while exploring; arXiv:1802.09477, section 6.1
    smoothing: float = 0.2  # standard deviation of the target's noise; arXiv:1802.09477, section 6.1
    smoothing_limit: float = 0.5  # where that is cut off; arXiv:1802.09477, section 6.1
    delay: int = 2  # critic updates for one of the actor; arXiv:1802.09477, section 6.1

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("policy.noise", self.noise, 0.0, 10.0)
        inside("policy.smoothing", self.smoothing, 0.0, 10.0)
        inside("policy.smoothing_limit", self.smoothing_limit, 0.0, 10.0)
        inside("policy.delay", self.delay, 1, 1_000)


class TD3(OffPolicy):
    """The `Policy` protocol for control with Box actions."""

    name: ClassVar[str] = "td3"
    config: TD3Config

    def __init__(self, task: Task, config: TD3Config, seed: int) -> None:
        super().__init__(task, config, seed)
        spec = task.spec
        if spec.action.discrete:
            raise InputError(
                f"{spec.id} has discrete actions, and td3 acts in numbers: choose the sac or ppo algorithm."
            )
        self.bounds = Squashed(spec.action)
        generator = torch.Generator().manual_seed(seed)
        sizes = (spec.observation_size, *config.hidden, spec.action.size)
        self.actor, self.actor_target = (Stack(1, sizes, generator, config.dtype) for _ in range(2))
        self.actor_target.follow(self.actor, 1.0)
        self.start_critic(generator)

    def start_critic(self, generator: torch.Generator) -> None:
        """Two critics, and as many targets that are what they are."""
        spec = self.task.spec
        sizes = (spec.observation_size + spec.action.size, *self.config.hidden, 1)
        self.critic, self.critic_target = (Stack(2, sizes, generator, self.config.dtype) for _ in range(2))
        self.critic_target.follow(self.critic, 1.0)
        self.learned = {
            "actor": self.actor,
            "actor_target": self.actor_target,
            "critic": self.critic,
            "critic_target": self.critic_target,
        }

    @property
    def climbs(self) -> bool:
        """Whether the actor learns in this update too."""
        return self.updates % self.config.delay == 0

    def noise(self, batch: int, generator: torch.Generator) -> Float[Tensor, "batch action"]:
        """Of the target's actions."""
        return torch.randn(batch, self.bounds.size, generator=generator)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """The critics towards the smoothed value of what came next; every second time the actor up the first one."""
        config, rate = self.config, self.config.learning_rate
        with torch.no_grad():
            noise = (config.smoothing * batch.noise).clamp(-config.smoothing_limit, config.smoothing_limit)
            action_tp1 = (self.actor_target.still(1, batch.observation_tp1)[0].tanh() + noise).clamp(-1.0, 1.0)
            q_tp1 = self.critic_target.still(2, batch.observation_tp1, action_tp1)[..., 0]
            goal = one_step_return(batch.reward_t, batch.discount_t, torch.minimum(q_tp1[0], q_tp1[1]))
        q = self.critic.learn(batch.observation_t, batch.action_t)[..., 0]
        critic_loss = squared_error(q, goal).sum() / len(goal)
        self.critic.descend(critic_loss, rate)
        told = {"critic_loss": critic_loss.detach()}
        if self.climbs:
            action = self.actor.learn(batch.observation_t)[0].tanh()
            loss = -self.critic.still(1, batch.observation_t, action).mean()
            self.actor.descend(loss, rate)
            self.critic_target.follow(self.critic, config.tau)
            self.actor_target.follow(self.actor, config.tau)
            told["actor_loss"] = loss.detach()
        return told

    def explore(
        self, observation: Float[Tensor, "env observation"], generator: torch.Generator
    ) -> Float[Tensor, "env action"]:
        noise = self.config.noise * torch.randn(len(observation), self.bounds.size, generator=generator)
        return (self.mode(observation) + noise).clamp(-1.0, 1.0)

    def mode(self, observation: Float[Tensor, "env observation"]) -> Float[Tensor, "env action"]:
        return self.actor(observation)[0].tanh()

    def any_action(self, rows: int, generator: torch.Generator) -> Float[Tensor, "env action"]:
        return 2.0 * torch.rand(rows, self.bounds.size, generator=generator) - 1.0

    def to_env(self, action: Float[Tensor, "env action"]) -> np.ndarray:
        return self.bounds.to_env_rows(action).numpy()

    def as_scored(self, action: Float[Tensor, "batch action"]) -> Float[Tensor, "batch action"]:
        return self.bounds.to_env_rows(action)
