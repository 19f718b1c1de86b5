"""A net's last, linear step as a posterior over a few columns per segment, and what that says of the annotators.

The last column is the number of steps: a constant per step. The others are centred on the visited steps, so that their
prior says nothing about that constant and its own prior, of mean 0, decides where the answers do not (segments of equal
length never do).

Columns by net: `Fourier` its whole basis; `MLP` and `CNN` their last hidden layer and a constant; any other net its own
sum and the number of steps, so that at least its scale and its constant per step are at their most likely values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from accord.rewards.annotators import Layout, Questions
from accord.rewards.asked import Asked, asked
from accord.rewards.cnn import CNN
from accord.rewards.features import MEAN_VALUED, Features, value_unit
from accord.rewards.fitted import Reliability
from accord.rewards.fourier import Fourier
from accord.rewards.nets import MLP, Net
from accord.rewards.posterior import Posterior

ROWS = 4096  # rows whose features are summed at once: they stay in the cache
SEEN = 1e-6  # squared logits: where all answers together differ by less per unit of coefficient, they say nothing
Z90 = 1.6449  # half a 90% interval, in deviations


@dataclass(frozen=True, eq=False)
class Head:
    """Columns per segment, the mean per step that was taken out of them, and the coefficients now."""

    basis: Float[Tensor, "segment column"]
    middle: Float[Tensor, "column"]
    now: Float[Tensor, "column"]

    def plain(self, coefficients: Float[Tensor, "*member column"]) -> Float32[Tensor, "*member column"]:
        """Coefficients of columns that are not centred: the constant takes back what the others lose."""
        constant = coefficients[..., -1] - coefficients[..., :-1] @ self.middle[:-1].to(coefficients.dtype)
        return torch.cat([coefficients[..., :-1], constant.unsqueeze(-1)], -1).float()


def head(net: Net, flat: Float[Tensor, "parameter"], features: Features) -> Head:
    """The head of one member."""
    size = features.several(ROWS)
    sums = []
    with torch.no_grad():
        for start in range(0, len(features.x), size):
            valid = features.valid[start : start + size]
            sums.append(_sums(net, flat.unsqueeze(0), features.at(slice(start, start + size)), valid))
    raw = torch.cat(sums)
    middle = raw.sum(0) / raw[:, -1].sum().clamp_min(1.0)
    middle[-1] = 0.0
    now = torch.tensor([1.0, 0.0])
    if isinstance(net, Fourier | MLP | CNN):
        now = flat[-raw.shape[1] :].clone()
    now[-1] += now[:-1] @ middle[:-1]
    return Head(raw - raw[:, -1:] * middle, middle, now)


def _sums(net: Net, flat: Tensor, x: Tensor, valid: Tensor) -> Float[Tensor, "segment column"]:
    if isinstance(net, Fourier):
        return net.sums(x, valid)
    keep = valid.unsqueeze(1).to(x.dtype)
    if isinstance(net, MLP | CNN):
        hidden = net.hidden(flat, x.unsqueeze(0)).view(*valid.shape, -1)
    else:
        hidden = net(flat, x.unsqueeze(0), valid.unsqueeze(0))[0].unsqueeze(-1)
    return torch.cat([torch.bmm(keep, hidden).squeeze(1), keep.sum(2)], 1)


def prior(net: Net, size: int, sd: float) -> tuple[Float[Tensor, "column"], Float[Tensor, "column"]]:
    """Mean and precision of the coefficients: `sd` each; a scale and a constant alone have 1 +- 1 and 0 +- 1."""
    if isinstance(net, Fourier | MLP | CNN):
        return torch.zeros(size), torch.full((size,), sd**-2)
    return torch.tensor([1.0, 0.0]), torch.ones(2)


def ask(
    parts: Sequence[Questions],
    layout: Layout,
    features: Features,
    basis: Float[Tensor, "segment column"],
    keep: Sequence[Bool[np.ndarray, "query"]] | None = None,
) -> list[Asked]:
    """Every part's answers, or those to keep, with the columns of the segments that they are about.

    A choice among segments sees only how they differ, so its columns are those less the first segment's, which is
    left out.
    """
    found = []
    for number, part in enumerate(parts):
        kept = part if keep is None else part.at(torch.from_numpy(np.flatnonzero(keep[number])))
        factor = value_unit(features, part.kind)
        items, row = kept.items.unique(dim=0, return_inverse=True)
        rows = (basis * factor.unsqueeze(1)).double()[items.clamp_min(0)]
        if part.kind not in MEAN_VALUED:
            rows = (rows[:, 1:] - rows[:, :1]) * (items[:, 1:] >= 0).unsqueeze(-1)
        found.append(asked(kept, layout, rows, row))
    return found


def narrow(parts: Sequence[Asked], columns: int) -> tuple[list[Asked], Float[Tensor, "column kept"]]:
    """The same answers in the directions of the columns that they depend on, and those, orthonormal; at least one.

    Under a prior alike in all directions the others keep it, and matter neither to the mode nor to the evidence.
    """
    rows = torch.cat([torch.zeros(0, columns).double(), *[one.basis.flatten(0, 1) for one in parts]])
    rows = rows[(rows != 0.0).any(1)]
    few = 0 < len(rows) < columns
    size, vectors = torch.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    kept = size > min(SEEN, float(size[-1]) / 2.0)
    kept[-1] = True
    turn = rows.T @ (vectors[:, kept] / size[kept].sqrt()) if few else vectors[:, kept]
    return [replace(one, basis=one.basis @ turn) for one in parts], turn


def widen(
    coefficients: Float[Tensor, "member kept"],
    turn: Float[Tensor, "column kept"],
    sd: float,
    generator: torch.Generator,
) -> Float[Tensor, "member column"]:
    """Coefficients of all columns again: draws from the prior, whose mean is 0 exactly, where no answer says more."""
    members, rest = len(coefficients), torch.zeros(len(coefficients), len(turn), dtype=turn.dtype)
    if members > 1:
        rest = torch.randn(rest.shape, generator=generator, dtype=turn.dtype)
        rest = (rest - rest.mean(0)) * sd * math.sqrt(members / (members - 1.0))
    return rest + (coefficients - rest @ turn) @ turn.T


def reliabilities(
    posteriors: Sequence[Posterior],
    draws: Float[Tensor, "draw trait"] | None,
    layout: Layout,
    parts: tuple[Questions, ...],
    names: tuple[str, ...],
) -> tuple[Reliability, ...]:
    """Middle and 90% interval of every annotator's skill and slope: from draws, or by Laplace's approximation."""
    found = []
    for part in parts:
        skill, slope, side = (
            _intervals(posteriors, draws, layout, part, wanted)
            for wanted in (("skill_mean", "skill"), ("slope",), ("side",))
        )
        counts = part.annotator.bincount(minlength=len(names))
        for k, name in enumerate(names):
            low, middle, high = (_logistic(x) for x in skill[k])
            slow, usual, steep = (math.exp(x) for x in slope[k])
            found.append(
                Reliability(
                    annotator=name,
                    part=part.name,
                    answers=int(counts[k]),
                    skill=middle,
                    skill_low=low,
                    skill_high=high,
                    slope=usual,
                    slope_low=slow,
                    slope_high=steep,
                    side=float(side[k, 1]),
                )
            )
    return tuple(found)


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _intervals(
    posteriors: Sequence[Posterior],
    draws: Float[Tensor, "draw trait"] | None,
    layout: Layout,
    part: Questions,
    names: tuple[str, ...],
) -> Float[np.ndarray, "annotator 3"]:
    """Low, middle and high of the sum of the named arrays, per annotator (slopes: relative to their mean)."""
    counted = torch.zeros(layout.size, dtype=torch.float64)
    for name, at, entry in layout.entries:
        if name in [f"{part.name}/{wanted}" for wanted in names]:
            counted[at : at + math.prod(entry.shape)] = 1.0
    places = layout.places
    shared, own = counted[places.shared], counted[places.own[0]]

    def summed(flat: Float[Tensor, "draw trait"]) -> Float[np.ndarray, "draw annotator"]:
        found = (flat.double()[:, places.own] @ own + (flat.double()[:, places.shared] @ shared).unsqueeze(1)).numpy()
        return found - found.mean(1, keepdims=True) if names == ("slope",) else found

    if draws is not None:
        return np.quantile(summed(draws), (0.05, 0.5, 0.95), axis=0).T
    middles = summed(torch.stack([one.mode[-layout.size :] for one in posteriors]))
    variances = []
    for one in posteriors:
        head = shared.new_zeros(len(one.factor.places.shared) - len(shared))
        variances.append(one.factor.variance(torch.cat([head, shared]), own).numpy())
    spread = Z90 * np.sqrt(np.mean(variances, 0) + np.var(middles, 0))
    middle = np.mean(middles, 0)
    return np.stack([middle - spread, middle, middle + spread], 1)
