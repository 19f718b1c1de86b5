"""Soft actor-critic with an automatic temperature: Haarnoja et al., arXiv:1812.05905, algorithm 1, equations 5 to 18.

For a choice among few actions the expectations over them are exact: Christodoulou, arXiv:1910.07207.

Differs from the papers in: actions are counted in half-widths of their range; the critics learn first and the actor
then climbs what they have become, in the same update; rewards are read anew with every batch (`offpolicy.py`); the
hidden layers may be multiplied in bfloat16 (`stack.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from accord.functional.objectives import soft_value, soft_value_of_choices, squared_error, temperature_slope
from accord.functional.returns import one_step_return
from accord.policies.control.distributions import Squashed
from accord.policies.control.offpolicy import OffPolicy, OffPolicyConfig
from accord.policies.control.replay import Batch
from accord.policies.control.stack import Learned, Stack
from accord.ranges import inside
from accord.types import ActionSpec, Task


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Sources beside the defaults."""

    temperature: float = 1.0  # to start from; the authors' code
    target_entropy: float | None = None  # nats; None: minus the actions (arXiv:1812.05905), of choices .98 log n

    def __post_init__(self) -> None:
        super().__post_init__()
        inside("policy.temperature", self.temperature, 1e-8, 1e8)


class SAC(OffPolicy):
    """The `Policy` protocol for control."""

    name: ClassVar[str] = "sac"

    def __init__(self, task: Task, config: SACConfig, seed: int) -> None:
        super().__init__(task, config, seed)
        spec = task.spec
        self.law: Law = Choices(spec.action) if spec.action.discrete else Numbers(spec.action)
        self.target_entropy = self.law.entropy if config.target_entropy is None else config.target_entropy
        generator = torch.Generator().manual_seed(seed)
        sizes = (spec.observation_size, *config.hidden, self.law.actor_out)
        self.actor = Stack(1, sizes, generator, config.dtype)
        self.log_temperature = Learned(torch.tensor(math.log(config.temperature)))
        self.start_critic(generator)

    def start_critic(self, generator: torch.Generator) -> None:
        """Two critics, and as many targets that are what they are."""
        sizes = (self.task.spec.observation_size + self.law.critic_in, *self.config.hidden, self.law.critic_out)
        self.critic, self.target = (Stack(2, sizes, generator, self.config.dtype) for _ in range(2))
        self.target.follow(self.critic, 1.0)
        self.learned = {
            "actor": self.actor,
            "critic": self.critic,
            "target": self.target,
            "log_temperature": self.log_temperature,
        }

    def noise(self, batch: int, generator: torch.Generator) -> Float[Tensor, "both action"]:
        """Of what it does next, and of what it does now."""
        return torch.randn(2 * batch, self.law.noises, generator=generator)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """The critics towards the soft value of what came next, the actor up their lower one, T to the entropy."""
        law, rate, rows = self.law, self.config.learning_rate, len(batch.reward_t)
        temperature = self.log_temperature.flat.exp()
        # What it does next and what it does now in one pass, of which only the second is to learn.
        both = torch.cat([batch.observation_tp1, batch.observation_t])
        drawn = law.draw(self.actor.learn(both, beside=rows)[0], batch.noise)
        (action_tp1, action_t), (log_prob_tp1, log_prob_t) = (each.split(rows) for each in drawn)

        with torch.no_grad():
            next_value = law.value(self.target, batch.observation_tp1, action_tp1, log_prob_tp1, temperature)
            goal = one_step_return(batch.reward_t, batch.discount_t, next_value)
        critic_loss = squared_error(law.taken(self.critic, batch), goal).sum() / rows
        self.critic.descend(critic_loss, rate)

        value = law.value(self.critic, batch.observation_t, action_t, log_prob_t, temperature)
        self.actor.descend(-value.mean(), rate)
        entropy = law.entropy_of(log_prob_t.detach())
        self.log_temperature.down(temperature_slope(entropy, self.target_entropy), rate)
        self.target.follow(self.critic, self.config.tau)
        return {"critic_loss": critic_loss.detach(), "entropy": entropy.mean(), "temperature": temperature}

    def explore(
        self, observation: Float[Tensor, "env observation"], generator: torch.Generator
    ) -> Float[Tensor, "env action"]:
        noise = torch.randn(len(observation), self.law.noises, generator=generator)
        return self.law.sample(self.actor(observation)[0], noise)

    def mode(self, observation: Float[Tensor, "env observation"]) -> Float[Tensor, "env action"]:
        return self.law.mode(self.actor(observation)[0])

    def any_action(self, rows: int, generator: torch.Generator) -> Float[Tensor, "env action"]:
        return self.law.any_action(rows, generator)

    def to_env(self, action: Float[Tensor, "env action"]) -> np.ndarray:
        return self.law.to_env(action)

    def as_scored(self, action: Float[Tensor, "batch action"]) -> Float[Tensor, "batch action"]:
        return self.law.as_scored(action)


class Law(Protocol):
    """How SAC differs between numbers and choices: what the nets give, and values in expectation over the policy."""

    actor_out: int
    critic_in: int
    critic_out: int
    noises: int
    entropy: float

    def draw(
        self, out: Float[Tensor, "batch out"], noise: Float[Tensor, "batch noise"]
    ) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch ..."]]:
        """Actions with a gradient into what the actor gave, and the log-probabilities that `value` takes."""
        ...

    def value(
        self, critic: Stack, observation: Tensor, action: Tensor, log_prob: Tensor, temperature: Tensor
    ) -> Float[Tensor, "batch"]:
        """Soft value under the lower critic, with a gradient into the action and its log-probability alone."""
        ...

    def entropy_of(self, log_prob: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch"]:
        """In nats, estimated where it has no closed form."""
        ...

    def taken(self, critic: Stack, batch: Batch) -> Float[Tensor, "net batch"]:
        """Each critic's value of the action that was taken."""
        ...

    def sample(self, out: Tensor, noise: Tensor) -> Float[Tensor, "env action"]: ...
    def mode(self, out: Tensor) -> Float[Tensor, "env action"]: ...
    def any_action(self, rows: int, generator: torch.Generator) -> Float[Tensor, "env action"]: ...
    def to_env(self, action: Tensor) -> np.ndarray: ...
    def as_scored(self, action: Tensor) -> Tensor: ...


class Numbers:
    """Box actions: the actor gives mean and log deviation of a squashed Gaussian; critics read the action."""

    def __init__(self, action: ActionSpec) -> None:
        self.squashed = Squashed(action)
        self.actor_out, self.critic_in, self.critic_out, self.noises = 2 * action.size, action.size, 1, action.size
        self.entropy = -float(action.size)

    def draw(self, out: Tensor, noise: Tensor) -> tuple[Float[Tensor, "batch action"], Float[Tensor, "batch"]]:
        return self.squashed.draw(out, noise)

    def value(
        self, critic: Stack, observation: Tensor, action: Tensor, log_prob: Tensor, temperature: Tensor
    ) -> Float[Tensor, "batch"]:
        q = critic.still(2, observation, action)[..., 0]
        return soft_value(torch.minimum(q[0], q[1]), log_prob, temperature)

    def entropy_of(self, log_prob: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        return -log_prob

    def taken(self, critic: Stack, batch: Batch) -> Float[Tensor, "net batch"]:
        return critic.learn(batch.observation_t, batch.action_t)[..., 0]

    def sample(self, out: Tensor, noise: Tensor) -> Float[Tensor, "env action"]:
        return self.squashed.sample(out, noise)

    def mode(self, out: Tensor) -> Float[Tensor, "env action"]:
        return self.squashed.mode(out)

    def any_action(self, rows: int, generator: torch.Generator) -> Float[Tensor, "env action"]:
        return 2.0 * torch.rand(rows, self.squashed.size, generator=generator) - 1.0

    def to_env(self, action: Tensor) -> np.ndarray:
        return self.squashed.to_env_rows(action).numpy()

    def as_scored(self, action: Tensor) -> Tensor:
        return self.squashed.to_env_rows(action)


class Choices:
    """Discrete actions, one-hot in the memory: the actor gives logits, critics a value for every choice."""

    def __init__(self, action: ActionSpec) -> None:
        self.size = action.size
        self.actor_out, self.critic_in, self.critic_out, self.noises = action.size, 0, action.size, action.size
        self.entropy = 0.98 * math.log(action.size)

    def draw(self, out: Tensor, noise: Tensor) -> tuple[Float[Tensor, "batch choice"], Float[Tensor, "batch choice"]]:
        log_prob = out.log_softmax(-1)
        return log_prob, log_prob  # nothing is drawn: the expectation is over all choices

    def value(
        self, critic: Stack, observation: Tensor, action: Tensor, log_prob: Tensor, temperature: Tensor
    ) -> Float[Tensor, "batch"]:
        return soft_value_of_choices(critic.still(2, observation).amin(0), log_prob, temperature)

    def entropy_of(self, log_prob: Float[Tensor, "batch choice"]) -> Float[Tensor, "batch"]:
        return -(log_prob.exp() * log_prob).sum(-1)

    def taken(self, critic: Stack, batch: Batch) -> Float[Tensor, "net batch"]:
        return (critic.learn(batch.observation_t) * batch.action_t).sum(-1)

    def sample(self, out: Tensor, noise: Tensor) -> Float[Tensor, "env action"]:
        uniform = torch.special.ndtr(noise).clamp(1e-6, 1.0 - 1e-6)
        return self._one_hot((out - (-uniform.log()).log()).argmax(-1))  # Gumbel's maximum is a draw

    def mode(self, out: Tensor) -> Float[Tensor, "env action"]:
        return self._one_hot(out.argmax(-1))

    def any_action(self, rows: int, generator: torch.Generator) -> Float[Tensor, "env action"]:
        return self._one_hot(torch.randint(self.size, (rows,), generator=generator))

    def to_env(self, action: Tensor) -> np.ndarray:
        return action.argmax(-1).numpy()

    def as_scored(self, action: Tensor) -> Tensor:
        return action

    def _one_hot(self, choice: Tensor) -> Float[Tensor, "env action"]:
        return torch.nn.functional.one_hot(choice, self.size).float()
