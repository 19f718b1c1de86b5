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
ROUNDS = 30  # of the evidence; 8 to 15 are usual
STILL = 0.05  # in nats, logits and logarithms: a round that moves nothing further is the last
DRAWS = 8  # of the head, for its annotators
BOUNDS = (50.0**-2, 0.05**-2)  # prior precisions considered: deviations from 0.05 to 50
NUDGE = 1e-4  # of a value or a parameter, for differences of gradients


@dataclass(frozen=True, eq=False)
class Asked:
    """Answers of one part with the summed features of the segments that each asks about."""

    part: Questions
    basis: Float[Tensor, "query place column"]


@dataclass(frozen=True, eq=False)
class Posterior:
    """Mode and Cholesky factor of the negative Hessian, over head then annotators, and what they are the mode of."""

    mode: Float[Tensor, "parameter"]
    factor: Float[Tensor, "parameter parameter"]
    evidence: float
    asked: Sequence[Asked]
    centre: Float[Tensor, "parameter"]
    precision: Float[Tensor, "parameter"]

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


def slopes(
    asked: Asked,
    layout: Layout,
    values: Float[Tensor, "point query place"],
    annotators: Float[Tensor, "point parameter"],
) -> tuple[Float[Tensor, "point"], Float[Tensor, "point query place"], Float[Tensor, "point parameter"]]:
    """One part's log-likelihood and its gradient at several points at once: they take the place of members."""
    values, annotators = values.detach().requires_grad_(), annotators.detach().requires_grad_()
    with torch.enable_grad():
        query = torch.arange(values.shape[1]).expand(len(values), -1)
        total = log_likelihood(asked.part, layout.views(annotators), values, query).sum(1)
    d_values, d_annotators = torch.autograd.grad(total.sum(), (values, annotators))
    return total.detach(), d_values, d_annotators


def _curvature(asked: Asked, layout: Layout, mode: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of one part's log-likelihood, the latter by central differences of the exact gradient.

    Answers touch each other only through the parameters, so moving one place of all answers at once gives every
    answer's own small block. All moves are one call, in float64: errors are near 1e-8 of the curvature.
    """
    columns, places = len(mode) - layout.size, asked.basis.shape[1]
    values, annotators = asked.basis @ mode[:columns], mode[columns:]
    moves = NUDGE * torch.eye(places + layout.size, dtype=mode.dtype)
    moves = torch.cat([torch.zeros_like(moves[:1]), moves, -moves])
    _, d_values, d_annotators = slopes(
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

    mode, best, damping = start, _joint(asked, layout, start, centre, precision), 0.0
    slope, hessian = _slope(asked, layout, mode, centre, precision)
    for _ in range(steps):
        before = best
        while True:
            factor, info = torch.linalg.cholesky_ex(hessian + torch.diag(damping * precision))
            if not int(info):
                trial = mode + torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1)
                if (reached := _joint(asked, layout, trial, centre, precision)) >= best:
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
    return Posterior(mode, factor, _evidence(best, precision, factor), asked, centre, precision)


def empirical(
    asked: Sequence[Asked],
    layout: Layout,
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
    start: Float[Tensor, "parameter"],
    columns: int,
    rounds: int = ROUNDS,
) -> Posterior:
    """The mode of the head, with annotators and the head's one prior precision fitted to its whole posterior.

    Fitted to the mode alone, a head of many columns explains annotators' mistakes and all of them look reliable. So, in
    turn until nothing moves (expectation-maximisation): a Newton step of the head; `1 / sd^2 = gamma / w.w`, where
    `gamma = columns - tr(S) / sd^2` and S is the head's posterior covariance (MacKay 1992, eq. 4.9); a Newton step of
    the annotators on their log-joint averaged over draws of the head (fixed normal numbers, in pairs of opposite sign).
    """
    noise = torch.randn(columns, DRAWS // 2, generator=torch.Generator().manual_seed(0), dtype=start.dtype)
    noise = torch.cat([noise, -noise], 1)
    precision, mode = precision.clone(), start.clone()
    for _ in range(rounds):
        slope, hessian = _slope(asked, layout, mode, centre, precision)
        factor = _factor(hessian[:columns, :columns], precision[:columns])
        step = torch.cholesky_solve(slope[:columns, None], factor).squeeze(1)
        moved = _climbed(asked, layout, mode, step, centre, precision)
        spread = torch.cholesky_inverse(factor).diagonal().sum()
        gamma = (columns - precision[0] * spread).clamp(1.0, columns)
        wanted = (gamma / moved[:columns].square().sum().clamp_min(1e-6)).clamp(*BOUNDS)
        draws = moved[:columns, None] + torch.linalg.solve_triangular(factor.T, noise, upper=True)
        own = _factor(hessian[columns:, columns:], precision[columns:])
        traits = _attended(asked, layout, draws, moved[columns:], own, centre[columns:], precision[columns:])
        still = float(traits.abs().max()) if len(traits) else 0.0
        change = max(still, float((wanted / precision[0]).log().abs()), float(slope[:columns] @ step))
        moved[columns:] += traits
        mode, precision[:columns] = moved, wanted
        if change < STILL:
            break
    slope, hessian = _slope(asked, layout, mode, centre, precision)
    factor = _factor(hessian, precision)
    best = _joint(asked, layout, mode, centre, precision)
    return Posterior(mode, factor, _evidence(best, precision, factor), asked, centre, precision)


def _climbed(
    asked: Sequence[Asked], layout: Layout, mode: Tensor, step: Tensor, centre: Tensor, precision: Tensor
) -> Tensor:
    """The mode after a step of its head, halved until it climbs."""
    before, size = _joint(asked, layout, mode, centre, precision), 1.0
    while size > 1e-3:
        moved = mode.clone()
        moved[: len(step)] += size * step
        if _joint(asked, layout, moved, centre, precision) >= before:
            return moved
        size *= 0.5
    return mode.clone()


def _attended(
    asked: Sequence[Asked],
    layout: Layout,
    draws: Float[Tensor, "column draw"],
    annotators: Float[Tensor, "parameter"],
    factor: Float[Tensor, "parameter parameter"],
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
) -> Float[Tensor, "parameter"]:
    """A Newton step of the annotators on their log-joint averaged over draws of the head, halved until it climbs."""
    values = [(one.basis @ draws).permute(2, 0, 1).contiguous() for one in asked]
    points = draws.shape[1]

    def mean(at: Tensor) -> tuple[float, Tensor]:
        level, slope = -0.5 * float((precision * (at - centre).square()).sum()), precision * (centre - at)
        for one, rows in zip(asked, values, strict=True):
            total, _, d = slopes(one, layout, rows, at.expand(points, -1).clone())
            level, slope = level + float(total.mean()), slope + d.mean(0)
        return level, slope

    before, slope = mean(annotators)
    step = torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1).clamp(-1.0, 1.0)
    for _ in range(6):
        if mean(annotators + step)[0] >= before:
            return step
        step = 0.5 * step
    return torch.zeros_like(step)


def _joint(asked: Sequence[Asked], layout: Layout, mode: Tensor, centre: Tensor, precision: Tensor) -> float:
    likelihood = sum((part.sum() for part in score(asked, layout, mode)), mode.new_zeros(()))
    return float(likelihood - 0.5 * (precision * (mode - centre).square()).sum())


def _evidence(joint: float, precision: Tensor, factor: Tensor) -> float:
    return joint + 0.5 * float(precision.log().sum()) - float(factor.diagonal().log().sum())


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
