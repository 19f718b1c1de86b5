"""Segments as numbers: what a reward net reads.

Control: the observation, scaled by a mean and a deviation that are frozen with the reward and then clipped, beside the
action (0 where the reward reads the state alone). Pictures stay bytes until a net reads them, divided by 255. Replies
and images: one step whose observation is the vector that an injected encoder gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Real, UInt8
from torch import Tensor

from accord.types import InputError, Kind, NotFinite, Segment, Steps

Encoder = Callable[[Sequence[Segment]], np.ndarray]  # segments -> [segment, feature]
MEAN_VALUED = ("rate", "approve")  # "how well": the mean over valid steps; all else asks for the sum
UNIT = 5.0  # a reward of 1 at every step is worth this much on the logit scale: conditions Adam, changes no model
PIXELS = 1 << 23  # numbers that pictures are turned into at once: 32 MB; of twice as many a CNN takes 1.5 times as long
CLIP = 10.0  # deviations; the usual limit of observation normalisation in control


@dataclass(frozen=True, eq=False)
class Raw:
    """Segments padded to one length, in their own units. Steps that are not valid are 0. Pictures are uint8."""

    observation: Real[np.ndarray, "segment time observation"]
    action: Float32[np.ndarray, "segment time action"]
    valid: Bool[np.ndarray, "segment time"]


@dataclass(frozen=True, eq=False)
class Scaler:
    """`(x - mean) / sd` of observation beside action, clipped. A one-hot action passes unchanged.

    A column of infinite deviation is 0 for every row, so that nothing can be learned from it. Pictures have no columns
    here: their scale is 255, wherever they are from.
    """

    mean: Float[Tensor, "feature"]
    sd: Float[Tensor, "feature"]
    clip: float = CLIP

    def __call__(
        self, observation: Real[Tensor, "batch time observation"], action: Float[Tensor, "batch time action"]
    ) -> Float[Tensor, "batch time feature"]:
        x = torch.cat([observation, action], -1).to(torch.float32)
        return ((x - self.mean) / self.sd).clamp_(-self.clip, self.clip)


@dataclass(frozen=True, eq=False)
class Features:
    """Scaled rows; a step that is not valid is all zeros, and worth 0 whatever a net says of it.

    Of pictures, `x` holds the action alone; `pixels` are bytes that `at` puts before it.
    """

    x: Float[Tensor, "segment time feature"]
    valid: Bool[Tensor, "segment time"]
    pixels: UInt8[Tensor, "segment time pixel"] | None = None

    def at(self, index: slice | Int[Tensor, "*some"]) -> Float[Tensor, "*several time column"]:
        """What a net reads of these segments."""
        if self.pixels is None:
            return self.x[index]
        pixels, action = self.pixels[index], self.x[index]
        found = torch.empty(*pixels.shape[:-1], pixels.shape[-1] + action.shape[-1])
        torch.div(pixels, 255.0, out=found[..., : pixels.shape[-1]])
        found[..., pixels.shape[-1] :] = action
        return found

    def several(self, rows: int) -> int:
        """How many segments have so many rows together; of large pictures fewer, so that they fit the memory."""
        if self.pixels is not None:
            rows = min(rows, PIXELS // self.pixels.shape[2])
        return max(1, rows // max(1, self.x.shape[1]))

    @property
    def lengths(self) -> Float[Tensor, "segment"]:
        """Valid steps of each segment, at least 1."""
        return self.valid.sum(1).clamp_min(1).to(torch.float32)


def read(segments: Sequence[Segment], encode: Encoder | None = None) -> Raw:
    """Segments of one sort as arrays. Raises InputError for a mixture or a missing encoder, NotFinite for a NaN."""
    steps = [segment for segment in segments if isinstance(segment, Steps)]
    if steps and len(steps) < len(segments):
        raise InputError(
            f"{len(steps)} of {len(segments)} segments are control steps: fit one sort of segment at a time."
        )
    raw = _steps(steps) if steps else _encoded(segments, encode)
    for name, array in (("observation", raw.observation), ("action", raw.action)):
        bad = [] if array.dtype == np.uint8 else np.flatnonzero(~np.isfinite(array).all((1, 2)))
        if len(bad):
            raise NotFinite(f"reward features: the {name} of segment {bad[0]} is not finite.")
    return raw


def _steps(segments: Sequence[Steps]) -> Raw:
    time = max(len(segment.valid) for segment in segments)
    shape = (len(segments), time)
    first = segments[0].observation
    observation = np.zeros((*shape, first.shape[1]), np.uint8 if first.dtype == np.uint8 else np.float32)
    action = np.zeros((*shape, segments[0].action.shape[1]), np.float32)
    valid = np.zeros(shape, bool)
    for row, segment in enumerate(segments):
        keep = segment.valid
        valid[row, : len(keep)] = keep
        observation[row, : len(keep)][keep] = segment.observation[keep]
        action[row, : len(keep)][keep] = segment.action[keep]
    return Raw(observation, action, valid)


def _encoded(segments: Sequence[Segment], encode: Encoder | None) -> Raw:
    if encode is None:
        raise InputError(
            "The segments are replies or images and no encoder was given: pass encode= to turn them into rows."
        )
    rows = np.asarray(encode(segments), np.float32)
    if rows.ndim != 2 or len(rows) != len(segments):
        raise InputError(
            f"The encoder gave shape {rows.shape} for {len(segments)} segments: it must be [segment, feature]."
        )
    return Raw(rows[:, None, :], np.zeros((len(rows), 1, 0), np.float32), np.ones((len(rows), 1), bool))


def fit_scaler(raw: Raw, discrete: bool, inputs: str = "state_action", together: bool = False) -> Scaler:
    """Mean and deviation over valid steps; a column that hardly varies is only centred, a one-hot action left alone.

    Where `inputs` is "state", actions have an infinite deviation. `together`: all columns share one deviation, so that
    whoever made them decides what each is worth; the length of a text beside hundreds of columns of an embedding. Then
    nothing is clipped, since one column may hold most of what there is.
    """
    seen = [] if raw.observation.dtype == np.uint8 else [raw.observation]
    rows = np.concatenate([*seen, raw.action], -1)[raw.valid]
    mean, sd = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    sd = np.where(sd > 1e-4 * (1.0 + np.abs(mean)), sd, 1.0)
    if together:
        sd[:] = np.sqrt(np.mean(np.square(rows.std(0, dtype=np.float64)))) or 1.0
    action = slice(rows.shape[1] - raw.action.shape[-1], None)
    if inputs == "state":
        sd[action] = np.inf
    elif discrete:
        mean[action], sd[action] = 0.0, 1.0
    clip = float("inf") if together else CLIP
    return Scaler(torch.tensor(mean, dtype=torch.float32), torch.tensor(sd, dtype=torch.float32), clip)


def scaled(raw: Raw, scaler: Scaler) -> Features:
    """What the nets read."""
    valid = torch.from_numpy(raw.valid)
    found = features_of(torch.from_numpy(raw.observation), torch.from_numpy(raw.action), valid, scaler)
    return replace(found, x=found.x * valid.unsqueeze(-1))


def features_of(
    observation: Real[Tensor, "segment time observation"],
    action: Float[Tensor, "segment time action"],
    valid: Bool[Tensor, "segment time"],
    scaler: Scaler,
) -> Features:
    """The same of steps as they are, those that are not valid too."""
    if observation.dtype == torch.uint8:
        return Features(scaler(observation[..., :0], action), valid, observation)
    return Features(scaler(observation, action), valid)


def value_unit(features: Features, kind: Kind) -> Float[Tensor, "segment"]:
    """What a sum of rewards over each segment is multiplied by: one constant, or for a mean over its length too."""
    lengths = features.lengths
    return UNIT / (lengths if kind in MEAN_VALUED else lengths.mean().expand_as(lengths))
