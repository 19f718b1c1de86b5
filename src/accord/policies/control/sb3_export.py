"""Our policies as models of stable-baselines3: the same actions, for whatever plays or fine-tunes its models.

SAC and TD3 carry over exactly, critics included. PPO's observations are scaled by running statistics, which become
part of the first layer, and its values by theirs, part of the last; what ours clips at ten deviations, theirs does not.
Optimisers and memories are not carried over. What stable-baselines3 has no model of is refused: discrete SAC, pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from jaxtyping import Float
from stable_baselines3 import PPO as PPOModel
from stable_baselines3 import SAC as SACModel
from stable_baselines3 import TD3 as TD3Model
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from accord.policies.control.nets import ACTOR, CRITIC, ActorCritic
from accord.policies.control.ppo import PPO
from accord.policies.control.sac import SAC
from accord.policies.control.sb3_policy import SB3
from accord.policies.control.stack import Stack
from accord.policies.control.td3 import TD3
from accord.types import InputError, Policy

Layer = tuple[Float[Tensor, "_ _"], Float[Tensor, "_"]]


class Spaces(gymnasium.Env):
    """Nothing but the spaces, which a model asks an environment for."""

    def __init__(self, observations: spaces.Space, actions: spaces.Space) -> None:
        self.observation_space, self.action_space = observations, actions


def write(policy: Policy, observations: spaces.Space, actions: spaces.Space, out: Path) -> None:
    """One .zip that `stable_baselines3.PPO.load` (SAC, TD3) reads. Raises InputError where there is no such model."""
    if not isinstance(policy, SB3) and not (isinstance(observations, spaces.Box) and len(observations.shape) == 1):
        raise InputError(f"observations are {observations}; only rows of numbers carry over to stable-baselines3.")
    match policy:
        case SB3():
            model = policy.model
        case PPO(net=ActorCritic() as net):
            model = _ppo(policy, net, Spaces(observations, actions))
        case SAC() if isinstance(actions, spaces.Box):
            model = _sac(policy, Spaces(observations, actions))
        case TD3():
            model = _td3(policy, Spaces(observations, actions))
        case _:
            raise InputError(
                f"stable-baselines3 has no model of {type(policy).__name__} with {actions}: use accord's own `predict`."
            )
    model.save(out)


def _ppo(policy: PPO, net: ActorCritic, env: Spaces) -> BaseAlgorithm:
    hidden = list(policy.config.hidden)
    kwargs = {"net_arch": {"pi": hidden, "vf": hidden}, "activation_fn": nn.ReLU, "ortho_init": False}
    model = PPOModel("MlpPolicy", env, policy_kwargs=kwargs, device="cpu")
    theirs: Any = model.policy
    sd = (policy.scale.variance + 1e-8).sqrt()
    actor, critic = (_scaled_in(_of(net, which), policy.scale.mean, sd) for which in (ACTOR, CRITIC))
    spread = policy.returns.variance.sqrt()
    weight, bias = critic[-1]
    critic[-1] = (weight[:, :1] * spread, bias[:1] * spread + policy.returns.mean)  # the one that is a value
    if not policy.task.spec.action.discrete:
        middle, half = _range(env.action_space)
        weight, bias = actor[-1]
        actor[-1] = (weight * half, bias * half + middle)  # theirs are in the environment's units
        theirs.log_std.data.copy_(net.log_sd.data + half.log())
    extractor = theirs.mlp_extractor
    _copy([*_linear(extractor.policy_net), theirs.action_net], actor)
    _copy([*_linear(extractor.value_net), theirs.value_net], critic)
    return model


def _sac(policy: SAC, env: Spaces) -> BaseAlgorithm:
    kwargs = {"net_arch": list(policy.config.hidden)}
    model = SACModel("MlpPolicy", env, policy_kwargs=kwargs, buffer_size=1, device="cpu")
    *hidden, (weight, bias) = _net(policy.actor, 0)
    size = weight.shape[1] // 2
    last = [(weight[:, :size], bias[:size]), (weight[:, size:], bias[size:])]
    theirs: Any = model
    actor = theirs.policy.actor
    _copy([*_linear(actor.latent_pi), actor.mu, actor.log_std], [*hidden, *last])
    _critics(policy.critic, theirs.policy.critic)
    _critics(policy.target, theirs.policy.critic_target)
    theirs.log_ent_coef.data.copy_(policy.log_temperature.flat)
    return model


def _td3(policy: TD3, env: Spaces) -> BaseAlgorithm:
    kwargs = {"net_arch": list(policy.config.hidden)}
    model = TD3Model("MlpPolicy", env, policy_kwargs=kwargs, buffer_size=1, device="cpu")
    theirs: Any = model.policy
    _copy(_linear(theirs.actor.mu), _net(policy.actor, 0))
    _copy(_linear(theirs.actor_target.mu), _net(policy.actor_target, 0))
    _critics(policy.critic, theirs.critic)
    _critics(policy.critic_target, theirs.critic_target)
    return model


def _critics(ours: Stack, theirs: Any) -> None:
    for number in range(ours.nets):
        _copy(_linear(theirs.q_networks[number]), _net(ours, number))


def _net(stack: Stack, number: int) -> list[Layer]:
    """One net of a stack; the bias of its first layer is the last row of the weights."""
    (first, _), *rest = stack.layers(stack.flat)
    layers = [(first[number, :-1], first[number, -1])]
    return layers + [(weight[number], bias[number, 0]) for weight, bias in rest]


def _of(net: ActorCritic, which: int) -> list[Layer]:
    return [(w[which].data, b[which, 0].data) for w, b in zip(net.weights, net.biases, strict=True)]


def _scaled_in(layers: list[Layer], mean: Tensor, sd: Tensor) -> list[Layer]:
    """`(x - mean) / sd` as part of the first layer."""
    weight, bias = layers[0]
    return [(weight / sd[:, None], bias - (mean / sd) @ weight), *layers[1:]]


def _range(space: spaces.Space) -> tuple[Tensor, Tensor]:
    """Middle and half-width of every action; 0 and 1 where it has no bound, as `Gaussian` counts it."""
    assert isinstance(space, spaces.Box)
    low, high = (torch.from_numpy(bound).float() for bound in (space.low, space.high))
    bounded = torch.isfinite(low) & torch.isfinite(high)
    low, high = torch.where(bounded, low, -1.0), torch.where(bounded, high, 1.0)
    return (low + high) / 2, (high - low) / 2


def _linear(net: nn.Module) -> list[nn.Linear]:
    return [each for each in net.modules() if isinstance(each, nn.Linear)]


def _copy(theirs: Sequence[nn.Linear], ours: Sequence[Layer]) -> None:
    for layer, (weight, bias) in zip(theirs, ours, strict=True):
        layer.weight.data.copy_(weight.T)
        layer.bias.data.copy_(bias)
