"""A fitted reward: an ensemble, scaled and shifted once, then frozen until the next fit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from accord.rewards import encoders, sequence
from accord.rewards.cnn import CNN
from accord.rewards.encoders import TextEncoder
from accord.rewards.features import Encoder, Features, Scaler, features_of, read, scaled
from accord.rewards.fourier import Fourier
from accord.rewards.nets import MLP, Net, SegmentTransformer, Stacked
from accord.rewards.sequence import Values
from accord.types import InputError, NotFinite, Scored, Segment, StepBatch

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
    annotators: tuple[Reliability, ...] = ()
    heldout_scores: tuple[
        Float[np.ndarray, "_"], ...
    ] = ()  # for each part, log P(answer) of members that did not see it
    left_out: int = 0  # answers that the others contradict, where they were looked for and leaving them out is better


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
    report: FitReport = FitReport(0, math.nan, math.nan, 0)
    encode: Encoder | None = None
    chosen: str = ""  # the candidate's name, where there was a choice
    why: str = ""  # it was taken when it was

    def members(self, features: Features) -> Float[Tensor, "member segment time"]:
        """Scaled reward of every member at every step; 0 where the step is not valid."""
        size = features.several(ROWS)
        found = []
        with torch.no_grad():
            for start in range(0, len(features.x), size):
                valid = features.valid[start : start + size].unsqueeze(0)
                reward = self.net(self.flat, features.at(slice(start, start + size)).unsqueeze(0), valid)
                found.append((reward + self.shift[:, None, None]) * self.scale[:, None, None] * valid)
        return torch.cat(found, 1)

    def __call__(self, batch: StepBatch) -> Scored:
        """Raises NotFinite where a net's output is not."""
        reward = self.members(features_of(batch.observation, batch.action, batch.valid, self.scaler))
        mean = reward.mean(0)
        if not bool(torch.isfinite(mean).all()):
            raise NotFinite(f"reward version {self.version}: its output is not finite on a batch of steps.")
        return Scored(mean, reward.std(0, correction=0))

    def value(self, segments: Sequence[Segment]) -> Float32[np.ndarray, "member segment"]:
        """`G = sum_t R` of each segment on the scale of the link: `P(a over b) = sigmoid(G_a - G_b)`."""
        features = scaled(read(segments, self.encode), self.scaler)
        return (self.members(features).sum(-1) * self.logits.unsqueeze(1)).numpy()

    def save(self, folder: Path) -> None:
        """Writes `reward.safetensors` and `reward.json`; an encoder of replies beside them."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.encode, TextEncoder | Values):
            self.encode.save(folder)
        tensors = {f"annotators/{name}": array for name, array in self.annotators.items()}
        tensors |= {name: getattr(self, name) for name in TENSORS}
        tensors |= {"scaler/mean": self.scaler.mean, "scaler/sd": self.scaler.sd}
        tensors |= {"scaler/clip": torch.tensor(self.scaler.clip)}
        if isinstance(self.net, Fourier):
            tensors |= {f"net/{name}": getattr(self.net, name) for name in FOURIER}
        scores = {f"heldout/{p}": torch.from_numpy(rows) for p, rows in enumerate(self.report.heldout_scores)}
        save_file({name: array.contiguous() for name, array in (tensors | scores).items()}, folder / WEIGHTS)
        report = asdict(replace(self.report, heldout_scores=()))
        text = {
            "format": 1,
            "version": self.version,
            "names": self.names,
            "chosen": self.chosen,
            "why": self.why,
            "net": _described(self.net),
            "report": report,
        }
        (folder / TEXT).write_text(json.dumps(text, indent=1), encoding="utf-8")


WEIGHTS, TEXT = "reward.safetensors", "reward.json"
TENSORS = ("flat", "scale", "shift", "logits")
FOURIER = ("frequency", "phase", "centre", "relevance", "middle")


def _described(net: Net) -> dict[str, object]:
    if isinstance(net, MLP):
        return {"kind": "mlp", **asdict(net)}
    if isinstance(net, CNN):
        return {"kind": "cnn", **asdict(net)}
    if isinstance(net, Stacked):
        name = f"{net.make.__module__}.{net.make.__qualname__}"
        return {"kind": "stacked", "make": name, "sizes": net.sizes, "options": net.options}
    return {"kind": "fourier"}


def load(folder: Path, encode: Encoder | None = None, module: type[nn.Module] | None = None) -> FittedReward:
    """Reads what `save` wrote. A reward of a user's own net needs its class, since a file must not name code to run.

    Raises InputError where the folder holds no reward, or one of another class.
    """
    try:
        text = json.loads((folder / TEXT).read_text(encoding="utf-8"))
        # Copies are aligned as fresh tensors are: from another address a cosine is rounded otherwise.
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder} holds no readable reward ({error}); give the folder of a saved one.") from error
    if encode is None and (folder / encoders.TEXT).is_file():
        encode = encoders.load(folder)
    if encode is None and (folder / sequence.TEXT).is_file():
        encode = Values(sequence.load(folder))
    report = text["report"]
    heldout = [tensors[f"heldout/{p}"].numpy() for p in range(sum(name.startswith("heldout/") for name in tensors))]
    report["annotators"] = tuple(Reliability(**row) for row in report["annotators"])
    return FittedReward(
        version=text["version"],
        net=_net(text["net"], tensors, module),
        annotators={n.removeprefix("annotators/"): t for n, t in tensors.items() if n.startswith("annotators/")},
        names=tuple(text["names"]),
        scaler=Scaler(tensors["scaler/mean"], tensors["scaler/sd"], float(tensors["scaler/clip"])),
        report=FitReport(**report | {"heldout_scores": tuple(heldout)}),
        encode=encode,
        chosen=text.get("chosen", ""),
        why=text.get("why", ""),
        **{name: tensors[name] for name in TENSORS},
    )


def _net(described: dict[str, Any], tensors: dict[str, Tensor], module: type[nn.Module] | None) -> Net:
    if described["kind"] == "mlp":
        return MLP(described["inputs"], described["width"], described["depth"])
    if described["kind"] == "cnn":
        channels, height, width = described["picture"]
        return CNN((channels, height, width), described["action"], described["width"])
    if described["kind"] == "fourier":
        return Fourier(*(tensors[f"net/{name}"] for name in FOURIER))
    make = module or SegmentTransformer
    name = f"{make.__module__}.{make.__qualname__}"
    if name != described["make"]:
        raise InputError(f"The reward was fitted with {described['make']}, not {name}: pass that class as module=.")
    return Stacked(make, tuple(described["sizes"]), described["options"])
