"""A reward that is linear in its parameters, or in waves, lines and squares whose shape the evidence chooses.

One posterior for each family, in the directions that the answers see; the next starts where the one before ended. Then
every input is weighed by how much the best rewards so far depend on it, the root of the mean squared slope, and they
are solved anew: few answers are soon told which inputs matter (Radhakrishnan et al., Science 2024, whose kernel turns
with the whole average outer product of slopes; here its diagonal, and the evidence judges every step).

What no answer has shown to matter a weighed reward ignores, and a policy may learn to exploit just that. Where there
are few inputs, that costs more than it gains: then they weigh alike, and there are waves and lines alone.

The evidence and the held-out likelihood know the weights, which all answers have shaped: both flatter a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from accord.rewards.annotators import Layout, Questions
from accord.rewards.asked import Asked
from accord.rewards.features import Features
from accord.rewards.fourier import Fourier, fourier
from accord.rewards.heads import Head, ask, head, narrow, widen
from accord.rewards.posterior import STILL, Posterior, empirical

WAVES = 256  # random Fourier features: enough for a few thousand answers about tens of inputs
REFINED, ROUNDS = 2, 3  # so many of the best are weighed anew, so many times
NEAR = 0.2  # how still a family's evidence must be to be told from another's
ENOUGH = 2000  # answers by which families and inputs are told apart; the chosen one is solved on all
SAMPLE = 2000  # rows for the middle of the waves: the head takes the rest of it out exactly


@dataclass(frozen=True)
class Family:
    """Features of one sort: how many waves, their length in deviations times sqrt(inputs), and whether squares."""

    waves: int
    length: float
    squares: bool


LINEAR = Family(0, 1.0, False)
BOUNDED = (Family(WAVES, 1.5, False), Family(WAVES, 0.7, False), Family(WAVES, 3.0, False))
FAMILIES = (Family(WAVES, 1.5, True), Family(WAVES, 3.0, False), Family(0, 1.0, True))


@dataclass(frozen=True, eq=False)
class Solved:
    """A linear reward of one family: its head, and the posterior in those directions that the answers see."""

    family: Family
    net: Fourier
    head: Head
    turn: Float[Tensor, "column kept"]
    posterior: Posterior

    def draws(
        self, members: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "member parameter"], Float[Tensor, "member trait"]]:
        """Parameters of nets, and of annotators, from the posterior: their mean is its mode."""
        found, kept = self.posterior.draws(members, generator), self.turn.shape[1]
        wide = widen(found[:, :kept], self.turn, float(self.posterior.precision[0]) ** -0.5, generator)
        return self.head.plain(wide), found[:, kept:].float()


def solve(
    features: Features, parts: tuple[Questions, ...], layout: Layout, waves: bool, sd: float, seed: int, weighed: bool
) -> Solved:
    """The mode and the curvature there. `sd` is where the search for the head's prior deviation starts.

    `weighed`: squares too, and inputs by their relevance.
    """
    if not waves:
        return _attempt(LINEAR, features, parts, layout, torch.ones(features.x.shape[2]), sd, seed, [])
    small, few = some(features, parts, ENOUGH)
    rows = _rows(small)
    tried: list[Solved] = []
    for family in FAMILIES if weighed else BOUNDED:
        tried.append(_attempt(family, small, few, layout, torch.ones(rows.shape[1]), sd, seed, tried[-1:]))
    fresh = tried
    for _ in range(ROUNDS if weighed else 0):
        best = sorted(tried, key=_evidence, reverse=True)[:REFINED]
        again = [one for one in best if one in fresh]
        fresh = [_attempt(one.family, small, few, layout, relevance(one, rows), sd, seed, [one]) for one in again]
        tried = best + fresh
    chosen = max(tried, key=_evidence)
    if few is not parts:
        return _attempt(chosen.family, features, parts, layout, chosen.net.relevance, sd, seed, [], STILL)
    found = chosen.posterior
    ended = empirical(found.parts, found.centre, found.precision, found.mode, chosen.turn.shape[1])
    return replace(chosen, posterior=ended)


def _attempt(
    family: Family,
    features: Features,
    parts: tuple[Questions, ...],
    layout: Layout,
    weight: Float[Tensor, "input"],
    sd: float,
    seed: int,
    before: Sequence[Solved],
    still: float = NEAR,
) -> Solved:
    generator = torch.Generator().manual_seed(seed)
    net = fourier(_rows(features), family.waves, family.length, family.squares, weight, generator)
    now = head(net, torch.zeros(net.size), features)
    asked, turn = narrow(ask(parts, layout, features, now.basis), net.size)
    last, calm = [one.posterior for one in before], STILL if family is LINEAR else still
    return Solved(family, net, now, turn, _posterior(asked, layout, turn.shape[1], sd, last, calm))


def _rows(features: Features) -> Float[Tensor, "row input"]:
    rows = features.x[features.valid]
    return rows[:: 1 + len(rows) // SAMPLE]


def some(features: Features, parts: tuple[Questions, ...], most: int) -> tuple[Features, tuple[Questions, ...]]:
    """Every so many-th answer, and the segments that those are about; all where there are no more than `most`."""
    answers = sum(len(part.outcome) for part in parts)
    if answers <= most:
        return features, parts
    few = [part.at(torch.arange(0, len(part.outcome), -(-answers // most))) for part in parts]
    named = torch.cat([part.items.flatten() for part in few])
    used, place = named.clamp_min(0).unique(return_inverse=True)
    places = torch.where(named >= 0, place, -1).split([part.items.numel() for part in few])
    moved = tuple(replace(part, items=at.view_as(part.items)) for part, at in zip(few, places, strict=True))
    return Features(features.x[used], features.valid[used]), moved


def _evidence(one: Solved) -> float:
    return one.posterior.evidence


def relevance(one: Solved, rows: Float[Tensor, "row input"]) -> Float[Tensor, "input"]:
    """The root of the mean squared slope in every input, in units of their mean: 1 where all matter alike."""
    flat = one.draws(1, torch.Generator())[0][0]  # of a single draw: the mode
    squared = one.net.slope(flat, rows).square().mean(0)
    mean = squared.mean()
    return (squared / mean).sqrt() if float(mean) > 0.0 else torch.ones_like(squared)


def _posterior(
    asked: Sequence[Asked], layout: Layout, columns: int, sd: float, before: Sequence[Posterior], still: float
) -> Posterior:
    """Climbed to from the prior, or from the values and the precision where the one before it ended."""
    means, precisions = layout.vectors()
    centre = torch.cat([torch.zeros(columns), means]).double()
    precision = torch.cat([torch.full((columns,), sd**-2), precisions]).double()
    start = centre.clone()
    for last in before:
        at, tight = len(last.mode) - layout.size, last.precision[0]
        rows = torch.cat([one.basis.flatten(0, 1) for one in asked])
        values = torch.cat([(one.basis @ last.mode[:at]).flatten() for one in last.parts])
        start = torch.cat([rows.T @ values / (rows.square().sum(0) + tight), last.mode[at:]])  # columns are orthogonal
        precision[:columns] = tight
    return empirical(asked, centre, precision, start, columns, still)
