"""A language model as the reward of a run: what the loop, its records and its checkpoints know as a fitted reward.

A member's value of a reply is a column that the member's net picks out, so whatever reads a fitted reward reads this
one. How a model learns from answers: `sequence.py`. Every fit starts from the pretrained model, and holds no answers
out: how well it foretells is measured on the next round's.
"""

from __future__ import annotations

import math

import torch

from accord import runtime
from accord.backbones import text
from accord.backbones.text import LanguageModel
from accord.rewards import sequence
from accord.rewards.annotators import Layout
from accord.rewards.features import Scaler
from accord.rewards.fitted import FitReport, FittedReward
from accord.rewards.nets import MLP
from accord.rewards.sequence import Values, asked
from accord.rewards.settings import SequenceConfig
from accord.types import Evidence


def held(config: SequenceConfig) -> int:
    """Bytes that a reward's own model takes: in float32, with gradients and moments where all its weights learn."""
    return text.numbers(config.model) * (4 if config.rank else 20)


def fit(
    evidence: Evidence, config: SequenceConfig, seed: int, version: int = 1, model: LanguageModel | None = None
) -> FittedReward:
    """On the given model, which is frozen but for adapters; None: one of its own, on a GPU where there is one.

    Raises InputError as `sequence.fit`.
    """
    if model is None:
        model, device = text.load(config.model), runtime.device("auto")
        model.decoder.moved(device, text.quickest(model.decoder, device))
    found = sequence.fit(evidence, model, config, seed, version)
    layout = Layout(asked(evidence), len(evidence.annotators))
    people = torch.stack([member["people"].cpu() for member in found.members])
    count = len(found.members)
    return FittedReward(
        version=version,
        net=MLP(count, 1, 0),
        flat=torch.cat([torch.eye(count), torch.zeros(count, 1)], 1),
        annotators={name: view.clone() for name, view in layout.views(people).items()},
        names=evidence.annotators,
        scaler=Scaler(torch.zeros(count), torch.ones(count), math.inf),
        scale=torch.ones(count),
        shift=torch.zeros(count),
        logits=found.scale,
        report=FitReport(evidence.answers, math.nan, math.nan, config.epochs),
        encode=Values(found),
    )
