"""The posterior of a linear head and of the annotators together, by Newton's method and Laplace's approximation.

A reward that is linear in its parameters, `R = w . phi(s, a)`, needs each segment's features only once, summed over its
steps: the rest is a generalised linear model with a few hundred columns, solved in milliseconds to its maximum.

`log p(w, a | D) = sum log-likelihood + log-priors`, mode `m`, Hessian `-H`: posterior `Normal(m, H^-1)`, evidence
`log p(D) ~ log-joint(m) + 1/2 log det(prior precision) - 1/2 log det H` (MacKay 1992; Rasmussen and Williams 2006,
eq. 3.32). Differs from them in: annotators are integrated with the head, and the mixture makes the likelihood only
nearly concave, so Newton steps are damped (Levenberg 1944) until they climb.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from accord.rewards.annotators import Layout, Questions, log_likelihood

STEPS = 40  # Newton steps at most; 6 to 12 are usual
TOLERANCE = 0.01  # nats: a step that gains less ends the climb; the next would gain its square or so
ROUNDS = 10  # of the evidence; 3 to 6 are usual
BOUNDS = (50.0**-2, 0.05**-2)  # prior precisions considered: deviations from 0.05 to 50
NUDGE = 1e-4  # of a value or a parameter, for differences of gradients


@dataclass(frozen=True, eq=False)
class Asked:
    """Answers of one part with the summed features of the segments that each asks about."""

    part: Questions
    basis: Float[Tensor, "query place column"]


@dataclass(frozen=True, eq=False)
class Posterior:
    """Mode and Cholesky factor of the negative Hessian, over head then annotators."""

    mode: Float[Tensor, "parameter"]
    factor: Float[Tensor, "parameter parameter"]
    log_joint: float
    evidence: float

    def covariance(self) -> Float[Tensor, "parameter parameter"]:
        return torch.cholesky_inverse(self.factor)

    def draws(self, members: int, generator: torch.Generator) -> Float[Tensor, "member parameter"]:
        """Draws whose mean is the mode exactly, with the posterior's covariance in expectation."""
        noise = torch.randn(len(self.mode), members, generator=generator, dtype=self.mode.dtype)
        if members == 1:
            return self.mode.unsqueeze(0)
        noise = (noise - noise.mean(1, keepdim=True)) * math.sqrt(members / (members - 1.0))
        return self.mode + torch.linalg.solve_triangular(self.factor.T, noise, upper=True).T


def score(asked: Sequence[Asked], layout: Layout, mode: Float[Tensor, "parameter"]) -> list[Float[Tensor, "query"]]:
    """Log-likelihood of every answer."""
    columns = len(mode) - layout.size
    parameters = layout.views(mode[columns:].unsqueeze(0))
    found = []
    for one in asked:
        query = torch.arange(len(one.basis)).unsqueeze(0)
        found.append(log_likelihood(one.part, parameters, (one.basis @ mode[:columns]).unsqueeze(0), query)[0])
    return found


def _slopes(
    asked: Asked,
    layout: Layout,
    values: Float[Tensor, "point query place"],
    annotators: Float[Tensor, "point parameter"],
) -> tuple[Float[Tensor, "point query place"], Float[Tensor, "point parameter"]]:
    """Gradient of one part's log-likelihood at several points at once: they take the place of members."""
    values, annotators = values.requires_grad_(), annotators.requires_grad_()
    with torch.enable_grad():
        query = torch.arange(values.shape[1]).expand(len(values), -1)
        total = log_likelihood(asked.part, layout.views(annotators), values, query).sum()
    d_values, d_annotators = torch.autograd.grad(total, (values, annotators))
    return d_values, d_annotators


def _curvature(asked: Asked, layout: Layout, mode: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of one part's log-likelihood, the Hessian by central differences of the exact gradient.

    Answers touch each other only through the parameters, so moving one place of all answers at once gives every answer's
    own small block. All moves are one call, in float64: errors are near 1e-8 of the curvature.
    """
    columns, places = len(mode) - layout.size, asked.basis.shape[1]
    values, annotators = asked.basis @ mode[:columns], mode[columns:]
    moves = NUDGE * torch.eye(places + layout.size, dtype=mode.dtype)
    moves = torch.cat([torch.zeros_like(moves[:1]), moves, -moves])
    d_values, d_annotators = _slopes(
        asked, layout, values + moves[:, :places].unsqueeze(1), annotators + moves[:, places:]
    )
    count = places + layout.size
    dd_values = (d_values[1 : 1 + count] - d_values[1 + count :]) / (2.0 * NUDGE)
    dd_annotators = (d_annotators[1 : 1 + count] - d_annotators[1 + count :]) / (2.0 * NUDGE)
    flat = asked.basis.flatten(0, 1)
    blocks = dd_values[:places].permute(1, 0, 2)  # query place place
    blocks = 0.5 * (blocks + blocks.transpose(1, 2))
    head = flat.T @ torch.bmm(blocks, asked.basis).flatten(0, 1)
    cross = flat.T @ dd_values[places:].flatten(1).T
    own = 0.5 * (dd_annotators[places:] + dd_annotators[places:].T)
    hessian = torch.cat([torch.cat([head, cross], 1), torch.cat([cross.T, own], 1)])
    return torch.cat([flat.T @ d_values[0].flatten(), d_annotators[0]]), hessian


def maximise(
    asked: Sequence[Asked],
    layout: Layout,
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
    start: Float[Tensor, "parameter"],
    steps: int = STEPS,
) -> Posterior:
    """The mode by damped Newton steps from `start`, and the curvature there."""

    def joint(mode: Tensor) -> float:
        likelihood = sum((part.sum() for part in score(asked, layout, mode)), mode.new_zeros(()))
        return float(likelihood - 0.5 * (precision * (mode - centre).square()).sum())

    mode, best, damping = start, joint(start), 0.0
    slope, hessian = _slope(asked, layout, mode, centre, precision)
    for _ in range(steps):
        before = best
        while True:
            factor, info = torch.linalg.cholesky_ex(hessian + torch.diag(damping * precision))
            if not int(info):
                trial = mode + torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1)
                if (reached := joint(trial)) >= best:
                    break
            if damping > 1e6:
                trial, reached = mode, best
                break
            damping = max(4.0 * damping, 0.1)
        mode, best, damping = trial, reached, (damping / 8.0 if damping > 0.05 else 0.0)
        slope, hessian = _slope(asked, layout, mode, centre, precision)
        if best - before < TOLERANCE:
            break
    factor = _factor(hessian, precision)
    evidence = best + 0.5 * float(precision.log().sum()) - float(factor.diagonal().log().sum())
    return Posterior(mode, factor, best, evidence)


def empirical(
    asked: Sequence[Asked],
    layout: Layout,
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
    start: Float[Tensor, "parameter"],
    columns: int,
) -> tuple[Posterior, Float[Tensor, "parameter"]]:
    """`maximise`, with the one prior precision of the first `columns` parameters chosen by the evidence.

    MacKay 1992, eq. 4.9: `1 / sd^2 = gamma / w.w`, `gamma = columns - tr(S) / sd^2` the number of well-determined columns,
    S the posterior covariance. With a fixed wide prior a head explains the mistakes of annotators, and all look reliable.
    """
    precision, found = precision.clone(), maximise(asked, layout, centre, precision, start, steps=4)
    for _ in range(ROUNDS):
        spread = torch.cholesky_inverse(found.factor).diagonal()[:columns].sum()
        gamma = (columns - precision[0] * spread).clamp(1.0, columns)
        wanted = (gamma / found.mode[:columns].square().sum().clamp_min(1e-6)).clamp(*BOUNDS)
        settled = bool((wanted / precision[0]).log().abs() < 0.2)
        precision[:columns] = wanted
        found = maximise(asked, layout, centre, precision, found.mode, steps=STEPS if settled else 4)
        if settled:
            break
    return found, precision


def _slope(
    asked: Sequence[Asked], layout: Layout, mode: Tensor, centre: Tensor, precision: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient of the log-joint, and its negative Hessian."""
    slope, hessian = precision * (centre - mode), torch.diag(precision)
    for part in asked:
        d, dd = _curvature(part, layout, mode)
        slope, hessian = slope + d, hessian - dd
    return slope, hessian


def _factor(hessian: Tensor, precision: Tensor) -> Tensor:
    """Cholesky factor; where the mixture leaves a direction not concave, its curvature is raised until it is."""
    damping = 0.0
    while True:
        factor, info = torch.linalg.cholesky_ex(hessian + torch.diag(damping * precision))
        if not int(info):
            return factor
        damping = max(2.0 * damping, 0.05)
