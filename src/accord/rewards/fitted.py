"""A fitted reward: an ensemble, scaled and shifted once, then frozen until the next fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.rewards.features import Encoder, Features, Scaler, read, scaled
from accord.rewards.nets import Net
from accord.types import NotFinite, Scored, Segment, StepBatch

ROWS = 16_384  # rows scored at once: hidden layers stay in the cache


@dataclass(frozen=True)
class Reliability:
    """What a fit learned of one annotator in one part of the evidence: posterior mode and 90% interval."""

    annotator: str
    part: str
    answers: int
    skill: float  # 1 - eps: the share of answers given with attention
    skill_low: float
    skill_high: float
    slope: float  # relative to the other annotators of the same part
    slope_low: float
    slope_high: float
    side: float  # bias towards the first side, on the logit scale


@dataclass(frozen=True)
class FitReport:
    """Log-likelihoods are natural logarithms per answer, means over members; `nan` where nothing was held out."""

    answers: int
    train: float
    heldout: float
    epochs: int
    seconds: float
    annotators: tuple[Reliability, ...] = ()


@dataclass(frozen=True, eq=False)
class FittedReward:
    """Mean and spread per step. `flat` holds nets and annotators; `names` maps annotators' arrays for a warm start."""

    version: int
    net: Net
    flat: Float[Tensor, "member parameter"]
    annotators: dict[str, Tensor]
    names: tuple[str, ...]
    scaler: Scaler
    scale: Float[Tensor, "member"]  # multiplies a net's output: unit deviation per visited step
    shift: Float[Tensor, "member"]  # is added to it before
    logits: Float[Tensor, "member"]  # a scaled reward of 1 at one step, on the scale of the link
    report: FitReport
    encode: Encoder | None = None

    def members(self, features: Features) -> Float[Tensor, "member segment time"]:
        """Scaled reward of every member at every step; 0 where the step is not valid."""
        size = max(1, ROWS // max(1, features.x.shape[1]))
        found = []
        with torch.no_grad():
            for start in range(0, len(features.x), size):
                valid = features.valid[start : start + size].unsqueeze(0)
                reward = self.net(self.flat, features.x[start : start + size].unsqueeze(0), valid)
                found.append((reward + self.shift[:, None, None]) * self.scale[:, None, None] * valid)
        return torch.cat(found, 1)

    def __call__(self, batch: StepBatch) -> Scored:
        """Raises NotFinite where a net's output is not."""
        features = Features(self.scaler(batch.observation, batch.action), batch.valid)
        reward = self.members(features)
        mean = reward.mean(0)
        if not bool(torch.isfinite(mean).all()):
            raise NotFinite(f"reward version {self.version}: its output is not finite on a batch of steps.")
        return Scored(mean, reward.std(0, correction=0))

    def value(self, segments: Sequence[Segment]) -> Float32[np.ndarray, "member segment"]:
        """`G = sum_t R` of each segment on the scale of the link: `P(a over b) = sigmoid(G_a - G_b)`."""
        features = scaled(read(segments, self.encode), self.scaler)
        return (self.members(features).sum(-1) * self.logits.unsqueeze(1)).numpy()
