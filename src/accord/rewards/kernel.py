"""A reward that is linear in its parameters, or in random Fourier features whose length the evidence chooses.

One posterior for each length, in the directions that the answers see; the next length starts where the one before
ended. The best of them is then climbed to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from accord.rewards.annotators import Layout, Questions
from accord.rewards.features import Features
from accord.rewards.heads import Head, ask, head, narrow, widen
from accord.rewards.nets import Fourier, fourier
from accord.rewards.posterior import STILL, Asked, Posterior, empirical

LENGTHS = (1.5, 0.7, 3.0)  # of the kernel, in deviations times sqrt(inputs)
WAVES = 256  # random Fourier features: enough for a few thousand answers about tens of inputs
NEAR = 0.2  # how still a length's evidence must be to be told from another's
SAMPLE = 2000  # rows for the middle of the waves: the head takes the rest of it out exactly


@dataclass(frozen=True, eq=False)
class Solved:
    """A linear reward of one length: its head, and the posterior in those directions that the answers see."""

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
    features: Features, parts: tuple[Questions, ...], layout: Layout, waves: bool, sd: float, seed: int
) -> Solved:
    """The mode and the curvature there. `sd` is where the search for the head's prior deviation starts."""
    rows = features.x[features.valid]
    rows = rows[:: 1 + len(rows) // SAMPLE]
    tried: list[Solved] = []
    for length in LENGTHS if waves else (1.0,):
        net = fourier(rows, WAVES if waves else 0, length, torch.Generator().manual_seed(seed))
        now = head(net, torch.zeros(net.size), features)
        asked, turn = narrow(ask(parts, layout, features, now.basis), net.size)
        before = [one.posterior for one in tried[-1:]]
        tried.append(Solved(net, now, turn, _posterior(asked, layout, turn.shape[1], sd, before, waves)))
    best = max(tried, key=lambda one: one.posterior.evidence)
    if not waves:
        return best
    found = best.posterior
    ended = empirical(found.parts, found.centre, found.precision, found.mode, best.turn.shape[1])
    return replace(best, posterior=ended)


def _posterior(
    asked: Sequence[Asked], layout: Layout, columns: int, sd: float, before: Sequence[Posterior], rough: bool
) -> Posterior:
    """Climbed to from the prior, or from the values and the precision where the length before it ended."""
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
    return empirical(asked, centre, precision, start, columns, NEAR if rough else STILL)
