"""From answers to a reward: one maximum a posteriori fit for every kind of feedback (design, section 3).

Members see different folds: member m never sees fold m, which stops it early and makes the ensemble disagree where the
answers do not decide. A fold never splits a group of segments (one episode, one prompt).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.rewards.annotators import Layout, Questions, log_slopes, questions, skill_logits
from accord.rewards.features import Encoder, Features, fit_scaler, read, scaled
from accord.rewards.fitted import FitReport, FittedReward, Reliability
from accord.rewards.fused import Fused, Plain, Sums, bfloat16_is_native
from accord.rewards.nets import MLP, Net
from accord.rewards.training import UNIT, Chosen, Plan, Problem, chosen, climb, mean_scores
from accord.types import Evidence, InputError

__all__ = ["FitReport", "FittedReward", "Reliability", "RewardConfig", "fit"]


@dataclass(frozen=True)
class RewardConfig:
    kind: str = "mlp"  # linear | mlp | transformer | module:package.Class
    members: int = 5  # of the ensemble; 3 to 5 in the field
    width: int = 64
    depth: int = 2
    rate: float = 3e-3  # Adam's
    batch: int = 128  # answers
    epochs: int = 40  # at most, from a fresh start
    warm_epochs: int = 10  # at most, from a previous fit
    patience: int = 8  # epochs without a better held-out likelihood
    decay: float = 1.0  # prior precision of weights
    precision: str = "auto"  # of products: auto | float32 | bfloat16

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "mlp", "transformer") and not self.kind.startswith("module:"):
            raise InputError(f'reward.kind is "{self.kind}": use linear, mlp, transformer or module:package.Class.')
        for name in ("members", "width", "depth", "batch", "epochs", "warm_epochs", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"reward.{name} is {getattr(self, name)}: it must be at least 1.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f'reward.precision is "{self.precision}": use auto, float32 or bfloat16.')


def fit(
    evidence: Evidence,
    config: RewardConfig,
    *,
    discrete: bool,
    terminates: bool,
    seed: int,
    warm: FittedReward | None = None,
    version: int | None = None,
    encode: Encoder | None = None,
) -> FittedReward:
    """Fits nets and annotators together. `discrete`: actions are one-hot; `terminates`: an episode can end early.

    The same evidence, configuration and seed give the same reward, bit for bit, on one machine.
    """
    began = time.perf_counter()
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    raw = read(evidence.segments, encode)
    scaler = warm.scaler if warm is not None else fit_scaler(raw, discrete)
    features = scaled(raw, scaler)
    parts = tuple(questions(part) for part in evidence.parts if len(part.annotator))
    net = build(config, features.x.shape[2])
    layout = Layout(parts, len(evidence.annotators))
    problem = _problem(config, net, features, parts, layout)
    start = _start(net, layout, problem, config, generator, warm, evidence.annotators)
    train, heldout = split(parts, np.asarray(evidence.groups), config.members, rng)
    plan = Plan(config.epochs if warm is None else config.warm_epochs, config.patience, config.batch, config.rate)
    found = climb(problem, start, train, heldout, plan, rng)
    train_score = float(mean_scores(problem, found.flat, train).mean())
    report = FitReport(
        answers=evidence.answers,
        train=train_score,
        heldout=float(found.heldout.mean()),
        epochs=found.epochs,
        seconds=time.perf_counter() - began,
        annotators=_reliabilities(problem, found.flat, evidence.annotators),
    )
    flat = found.flat[:, : net.size].contiguous()
    mean, sd = _moments(net, flat, features)
    shift = torch.zeros_like(mean) if terminates else -mean
    return FittedReward(
        version=version if version is not None else (warm.version + 1 if warm is not None else 1),
        net=net,
        flat=flat,
        annotators={name: view.clone() for name, view in layout.views(found.flat[:, net.size :]).items()},
        names=evidence.annotators,
        scaler=scaler,
        scale=1.0 / sd,
        shift=shift,
        logits=sd * problem.sum_unit,
        report=report,
        encode=encode,
    )


def build(config: RewardConfig, inputs: int) -> Net:
    """The net that a configuration names."""
    return MLP(inputs, config.width, 0 if config.kind == "linear" else config.depth)


def _problem(
    config: RewardConfig, net: Net, features: Features, parts: tuple[Questions, ...], layout: Layout
) -> Problem:
    low = config.precision == "bfloat16" or (config.precision == "auto" and bfloat16_is_native())
    sums: Sums = Plain(net, features)
    if isinstance(net, MLP):
        sums = Fused(net, features, torch.bfloat16 if low else torch.float32)
    centre, precision = layout.vectors()
    return Problem(
        features=features,
        parts=parts,
        sums=sums,
        layout=layout,
        net_size=net.size,
        centre=torch.cat([torch.zeros(net.size), centre]),
        precision=torch.cat([net.precision() * config.decay, precision]),
    )


def _start(
    net: Net,
    layout: Layout,
    problem: Problem,
    config: RewardConfig,
    generator: torch.Generator,
    warm: FittedReward | None,
    names: tuple[str, ...],
) -> Float[Tensor, "member parameter"]:
    annotators = problem.centre[net.size :].expand(config.members, -1).clone()
    if warm is None or warm.flat.shape != (config.members, net.size):
        return torch.cat([net.start(config.members, generator), annotators], 1)
    views = layout.views(annotators)
    for name, view in views.items():
        if name not in warm.annotators:
            continue
        old = warm.annotators[name]
        if old.shape == view.shape and warm.names == names:
            view.copy_(old)
    return torch.cat([warm.flat, annotators], 1)


def split(
    parts: tuple[Questions, ...], groups: Int[np.ndarray, "segment"], folds: int, rng: np.random.Generator
) -> tuple[list[Chosen], list[Chosen]]:
    """Training and held-out answers of each member: fold m is held out from member m. No group of segments is in both."""
    fold_of_group = rng.permutation(int(groups.max()) + 1) % max(folds, 5)
    fold = fold_of_group[groups]
    train, heldout = [], []
    for part in parts:
        items = part.items.numpy()
        of_place = np.where(items >= 0, fold[items.clip(0)], -1)
        touched = np.stack([(of_place == member).any(1) for member in range(folds)])
        train.append(chosen(~touched))
        heldout.append(chosen(touched))
    return train, heldout


def _moments(
    net: Net, flat: Float[Tensor, "member parameter"], features: Features
) -> tuple[Float[Tensor, "member"], Float[Tensor, "member"]]:
    """Mean and deviation of each member's reward over the visited steps."""
    with torch.no_grad():
        reward = net(flat, features.x.unsqueeze(0), features.valid.unsqueeze(0))[:, features.valid]
    sd = reward.std(1)
    return reward.mean(1), torch.where(sd > 1e-8, sd, 1.0)


def _reliabilities(
    problem: Problem, flat: Float[Tensor, "member parameter"], names: tuple[str, ...]
) -> tuple[Reliability, ...]:
    parameters = problem.layout.views(flat[:, problem.net_size :])
    found = []
    for part in problem.parts:
        skill = torch.sigmoid(skill_logits(part, parameters)).mean(0)
        slope = log_slopes(part, parameters).mean(0).exp()
        side = parameters.get(f"{part.name}/side")
        for k, name in enumerate(names):
            found.append(
                Reliability(
                    name,
                    part.name,
                    int((part.annotator == k).sum()),
                    float(skill[k]),
                    math.nan,
                    math.nan,
                    float(slope[k]),
                    math.nan,
                    math.nan,
                    0.0 if side is None else float(side[:, k].mean()),
                )
            )
    return tuple(found)
