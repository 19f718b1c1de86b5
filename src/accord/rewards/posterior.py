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
from jaxtyping import Bool, Float
from torch import Tensor

from accord.rewards.annotators import Layout, Questions, answered, rows, traits

STEPS = 40  # Newton steps at most; 6 to 12 are usual
TOLERANCE = 0.01  # nats: a step that gains less ends the climb; the next would gain its square or so
ROUNDS = 30  # of the evidence; 4 to 10 are usual
STILL = 0.05  # see `empirical`
DRAWS = 8  # of the head, for its annotators
BOUNDS = (50.0**-2, 0.05**-2)  # prior precisions considered: deviations from 0.05 to 50
NUDGE = 1e-4  # of a value or a parameter, for differences of gradients


@dataclass(frozen=True, eq=False)
class Asked:
    """Answers of one part, with the summed features of the segments that each asks about.

    `traits` takes the annotators' parameters to every annotator's own row (`annotators.rows`).
    """

    part: Questions
    basis: Float[Tensor, "query place column"]
    traits: Float[Tensor, "annotator trait parameter"]


def asked(part: Questions, layout: Layout, basis: Float[Tensor, "query place column"]) -> Asked:
    """The rows of annotators are linear in the parameters, so unit vectors show the matrix."""
    unit = torch.eye(layout.size, dtype=basis.dtype)
    return Asked(part, basis, rows(part, layout.views(unit)).permute(1, 2, 0).contiguous())


@dataclass(frozen=True, eq=False)
class Posterior:
    """Mode and Cholesky factor of the negative Hessian, over head then annotators, and what they are the mode of."""

    mode: Float[Tensor, "parameter"]
    factor: Float[Tensor, "parameter parameter"]
    evidence: float
    parts: Sequence[Asked]
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


def _given(
    one: Asked, points: Float[Tensor, "point parameter"]
) -> tuple[Float[Tensor, "point query place"], Float[Tensor, "point annotator trait"]]:
    """What the answers depend on: the values at their places, and the rows of the annotators."""
    columns = one.basis.shape[2]
    values = (points[:, :columns] @ one.basis.flatten(0, 1).T).view(len(points), *one.basis.shape[:2])
    return values, torch.einsum("ktp,mp->mkt", one.traits, points[:, columns:])


def _scored(
    one: Asked, values: Float[Tensor, "point query place"], table: Float[Tensor, "point annotator trait"]
) -> Float[Tensor, "point query"]:
    query = torch.arange(values.shape[1]).expand(len(values), -1)
    return answered(one.part, traits(one.part, table[:, one.part.annotator]), values, query)


def score(parts: Sequence[Asked], points: Float[Tensor, "point parameter"]) -> list[Float[Tensor, "point query"]]:
    """Log-likelihood of every answer of each part at several points at once."""
    return [_scored(one, *_given(one, points)) for one in parts]


def slopes(
    one: Asked, points: Float[Tensor, "point parameter"]
) -> tuple[Float[Tensor, "point"], Float[Tensor, "point parameter"]]:
    """One part's log-likelihood and its slope at several points at once."""
    values, table = (given.detach().requires_grad_() for given in _given(one, points))
    with torch.enable_grad():
        found = _scored(one, values, table).sum(1)
    d_values, d_table = torch.autograd.grad(found.sum(), (values, table))
    d_head = d_values.flatten(1) @ one.basis.flatten(0, 1)
    return found.detach(), torch.cat([d_head, torch.einsum("ktp,mkt->mp", one.traits, d_table)], 1)


@dataclass(frozen=True, eq=False)
class Local:
    """Every answer's log-likelihood, slope and curvature in the few numbers that it depends on."""

    score: Float[Tensor, "query"]
    slope: Float[Tensor, "query own"]
    curve: Float[Tensor, "query own own"]


def local(one: Asked, mode: Float[Tensor, "parameter"]) -> Local:
    """Curvature by central differences of the exact slope.

    Answers touch each other only through the parameters, so moving one number of all answers at once gives every
    answer's own small block. All moves are one call, in float64: errors are near 1e-8 of the curvature.
    """
    values, table = _given(one, mode.unsqueeze(0))
    own = torch.cat([values, table[:, one.part.annotator]], -1)
    moves = NUDGE * torch.eye(own.shape[2], dtype=mode.dtype).unsqueeze(1)
    own = torch.cat([own, own + moves, own - moves]).detach().requires_grad_()
    query = torch.arange(own.shape[1]).expand(len(own), -1)
    with torch.enable_grad():
        places = values.shape[2]
        found = answered(one.part, traits(one.part, own[..., places:]), own[..., :places], query)
    slope = torch.autograd.grad(found.sum(), own)[0]
    up, down = slope[1:].chunk(2)
    curve = ((up - down) / (2.0 * NUDGE)).permute(1, 0, 2)
    return Local(found[0].detach(), slope[0], 0.5 * (curve + curve.transpose(1, 2)))


def gathered(
    one: Asked, each: Local, keep: Bool[Tensor, "query"] | None = None
) -> tuple[Float[Tensor, "parameter"], Float[Tensor, "parameter parameter"]]:
    """Slope and curvature of one part's log-likelihood, or of the answers to keep, in the parameters."""
    basis, who, slope, curve = one.basis, one.part.annotator, each.slope, each.curve
    if keep is not None:
        basis, who, slope, curve = basis[keep], who[keep], slope[keep], curve[keep]
    places, own = basis.shape[1], one.traits[who]
    flat, wide = basis.flatten(0, 1), own.flatten(0, 1)
    head = flat.T @ torch.bmm(curve[:, :places, :places], basis).flatten(0, 1)
    cross = flat.T @ torch.bmm(curve[:, :places, places:], own).flatten(0, 1)
    rest = wide.T @ torch.bmm(curve[:, places:, places:], own).flatten(0, 1)
    hessian = torch.cat([torch.cat([head, cross], 1), torch.cat([cross.T, rest], 1)])
    return torch.cat([slope[:, :places].flatten() @ flat, slope[:, places:].flatten() @ wide]), hessian


def maximise(
    parts: Sequence[Asked],
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
    start: Float[Tensor, "parameter"],
) -> Posterior:
    """The mode by damped Newton steps from `start`, and the curvature there."""
    mode, damping = start, 0.0
    best, slope, hessian = _slope(parts, mode, centre, precision)
    for _ in range(STEPS):
        before = best
        while True:
            factor, info = torch.linalg.cholesky_ex(hessian + torch.diag(damping * precision))
            if not int(info):
                trial = mode + torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1)
                if (reached := _joint(parts, trial, centre, precision)) >= best:
                    break
            if damping > 1e6:
                trial, reached = mode, best
                break
            damping = max(4.0 * damping, 0.1)
        mode, damping = trial, (damping / 8.0 if damping > 0.05 else 0.0)
        best, slope, hessian = _slope(parts, mode, centre, precision)
        if reached - before < TOLERANCE:
            break
    factor = _factor(hessian, precision)
    return Posterior(mode, factor, _evidence(best, precision, factor), parts, centre, precision)


def empirical(
    parts: Sequence[Asked],
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
    start: Float[Tensor, "parameter"],
    columns: int,
    still: float = STILL,
) -> Posterior:
    """The mode of the head, with annotators and the head's one prior precision fitted to its whole posterior.

    Fitted to the mode alone, a head of many columns explains annotators' mistakes and all of them look reliable. So, in
    turn until nothing moves (expectation-maximisation): a Newton step of the head; `1 / sd^2 = gamma / w.w`, where
    `gamma = columns - tr(S) / sd^2` and S is the head's posterior covariance (MacKay 1992, eq. 4.9); a Newton step of
    the annotators on their log-joint averaged over draws of the head (fixed normal numbers, in pairs of opposite sign).
    The precision's logarithm comes nearer by a constant factor a round, so it is sped up (Aitken 1926). A round in
    which nothing moves by more than `still` nats, logits or logarithms is the last.
    """
    noise = torch.randn(columns, DRAWS // 2, generator=torch.Generator().manual_seed(0), dtype=start.dtype)
    noise = torch.cat([noise, -noise], 1)
    precision, mode, was = precision.clone(), start.clone(), 0.0
    for _ in range(ROUNDS):
        level, slope, hessian = _slope(parts, mode, centre, precision)
        factor = _factor(hessian[:columns, :columns], precision[:columns])
        step = torch.cholesky_solve(slope[:columns, None], factor).squeeze(1)
        moved = _climbed(parts, mode, step, level, centre, precision)
        inverse = torch.linalg.solve_triangular(factor, torch.eye(columns, dtype=factor.dtype), upper=False)
        gamma = (columns - precision[0] * inverse.square().sum()).clamp(1.0, columns)
        wanted = (gamma / moved[:columns].square().sum().clamp_min(1e-6)).clamp(*BOUNDS)
        turn = float((wanted / precision[0]).log())
        draws = moved.repeat(DRAWS, 1)
        draws[:, :columns] += (inverse.T @ noise).T
        own = _factor(hessian[columns:, columns:], precision[columns:])
        moves = _attended(parts, draws, own, centre, precision)
        change = max(float(moves.abs().max()) if len(moves) else 0.0, abs(turn), float(slope[:columns] @ step))
        moved[columns:] += moves
        mode = moved
        precision[:columns] = (precision[0] * math.exp(turn * _speed(turn, was))).clamp(*BOUNDS)
        if change < still:
            break
        was = turn
    best, _, hessian = _slope(parts, mode, centre, precision)
    factor = _factor(hessian, precision)
    return Posterior(mode, factor, _evidence(best, precision, factor), parts, centre, precision)


def _speed(change: float, before: float) -> float:
    """How many times as far to go, where changes shrink by `change / before` each: `1 / (1 - ratio)`, at most 4."""
    ratio = change / before if before else 0.0
    return 1.0 / (1.0 - ratio) if 0.0 < ratio < 0.75 else 1.0


def left_out(posterior: Posterior, folds: Sequence[Sequence[Bool[Tensor, "_"]]]) -> list[Float[Tensor, "fold _"]]:
    """Log-likelihood of every answer once the answers of each fold, a mask for each part, are taken away.

    One Newton step from the mode of all of them, `m - (H - H_fold)^-1 g_fold` (Beirami et al. 2017, eq. 9).
    """
    parts, whole = posterior.parts, posterior.factor @ posterior.factor.T
    each, modes = [local(one, posterior.mode) for one in parts], []
    for masks in folds:
        slope, hessian = torch.zeros_like(posterior.mode), whole
        for one, found, mask in zip(parts, each, masks, strict=True):
            d, dd = gathered(one, found, mask)
            slope, hessian = slope - d, hessian + dd
        step = torch.cholesky_solve(slope.unsqueeze(1), _factor(hessian, posterior.precision)).squeeze(1)
        modes.append(posterior.mode + step)
    return score(parts, torch.stack(modes))


def _climbed(
    parts: Sequence[Asked], mode: Tensor, step: Tensor, before: float, centre: Tensor, precision: Tensor
) -> Tensor:
    """The mode after a step of its head, halved until it climbs."""
    size = 1.0
    while size > 1e-3:
        moved = mode.clone()
        moved[: len(step)] += size * step
        if _joint(parts, moved, centre, precision) >= before:
            return moved
        size *= 0.5
    return mode.clone()


def _attended(
    parts: Sequence[Asked],
    draws: Float[Tensor, "draw parameter"],
    factor: Float[Tensor, "trait trait"],
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
) -> Float[Tensor, "trait"]:
    """A Newton step of the annotators on their log-joint averaged over draws of the head, halved until it climbs."""
    first = draws.shape[1] - len(factor)
    at, centre, precision = draws[0, first:], centre[first:], precision[first:]
    before, slope = -0.5 * float((precision * (at - centre).square()).sum()), precision * (centre - at)
    for one in parts:
        total, d = slopes(one, draws)
        before, slope = before + float(total.mean()), slope + d[:, first:].mean(0)
    step = torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1).clamp(-1.0, 1.0)
    for _ in range(6):
        moved = torch.cat([draws[:, :first], (at + step).expand(len(draws), -1)], 1)
        after = sum((each.sum() for each in score(parts, moved)), slope.new_zeros(())) / len(draws)
        if float(after - 0.5 * (precision * (at + step - centre).square()).sum()) >= before:
            return step
        step = 0.5 * step
    return torch.zeros_like(step)


def _joint(parts: Sequence[Asked], mode: Tensor, centre: Tensor, precision: Tensor) -> float:
    likelihood = sum((each.sum() for each in score(parts, mode.unsqueeze(0))), mode.new_zeros(()))
    return float(likelihood - 0.5 * (precision * (mode - centre).square()).sum())


def _evidence(joint: float, precision: Tensor, factor: Tensor) -> float:
    return joint + 0.5 * float(precision.log().sum()) - float(factor.diagonal().log().sum())


def _slope(parts: Sequence[Asked], mode: Tensor, centre: Tensor, precision: Tensor) -> tuple[float, Tensor, Tensor]:
    """The log-joint, its gradient and its negative Hessian."""
    level = -0.5 * float((precision * (mode - centre).square()).sum())
    slope, hessian = precision * (centre - mode), torch.diag(precision)
    for one in parts:
        each = local(one, mode)
        d, dd = gathered(one, each)
        level, slope, hessian = level + float(each.score.sum()), slope + d, hessian - dd
    return level, slope, hessian


def _factor(hessian: Tensor, precision: Tensor) -> Tensor:
    """Cholesky factor; where the mixture leaves a direction not concave, its curvature is raised until it is."""
    damping = 0.0
    while True:
        factor, info = torch.linalg.cholesky_ex(hessian + torch.diag(damping * precision))
        if not int(info):
            return factor
        damping = max(2.0 * damping, 0.05)
