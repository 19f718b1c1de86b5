"""The posterior of a linear head and of the annotators together, by Newton's method and Laplace's approximation.

A reward that is linear in its parameters, `R = w . phi(s, a)`, needs each segment's features only once, summed over its
steps: the rest is a generalised linear model with a few hundred columns, solved in milliseconds to its maximum.

`log p(w, a | D) = sum log-likelihood + log-priors`, mode `m`, Hessian `-H`: posterior `Normal(m, H^-1)`, evidence
`log p(D) ~ log-joint(m) + 1/2 log det(prior precision) - 1/2 log det H` (MacKay 1992; Rasmussen and Williams 2006,
eq. 3.32). Differs from them in: annotators are integrated with the head, and the mixture makes the likelihood only
nearly concave, so Newton steps are damped (Levenberg 1944) until they climb. Where a prior is not normal, it is the one
that touches it at the mode (`Layout.eased`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from accord.rewards.annotators import Layout
from accord.rewards.arrow import Arrow, Factor, Places
from accord.rewards.asked import Asked, blocks, gathered, local, score, slopes

STEPS = 40  # Newton steps at most; 6 to 12 are usual
TOLERANCE = 0.01  # nats: a step that gains less ends the climb; the next would gain its square or so
ROUNDS = 30  # of the evidence; 4 to 10 are usual
STILL = 0.05  # see `empirical`
DRAWS = 8  # of the head, for its annotators
BOUNDS = (50.0**-2, 0.05**-2)  # prior precisions considered: deviations from 0.05 to 50


@dataclass(frozen=True, eq=False)
class Posterior:
    """Mode and Cholesky factor of the negative Hessian, over head then annotators, and what they are the mode of."""

    mode: Float[Tensor, "parameter"]
    factor: Factor
    evidence: float
    parts: Sequence[Asked]
    centre: Float[Tensor, "parameter"]
    precision: Float[Tensor, "parameter"]

    def draws(self, members: int, generator: torch.Generator) -> Float[Tensor, "member parameter"]:
        """Draws whose mean is the mode exactly, with the posterior's covariance in expectation."""
        noise = torch.randn(len(self.mode), members, generator=generator, dtype=self.mode.dtype)
        if members == 1:
            return self.mode.unsqueeze(0)
        noise = (noise - noise.mean(1, keepdim=True)) * math.sqrt(members / (members - 1.0))
        return self.mode + self.factor.held(self.factor.spread(noise)).T


def maximise(
    parts: Sequence[Asked],
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
    start: Float[Tensor, "parameter"],
) -> Posterior:
    """The mode by damped Newton steps from `start`, and the curvature there."""
    mode, damping, given = _places(parts, len(start)).centred(start), 0.0, precision
    precision = _eased(parts, mode, centre, given)
    best, slope, hessian = _slope(parts, mode, centre, precision)
    for _ in range(STEPS):
        before = best
        while True:
            factor = hessian.raised(damping * precision).cholesky()
            if factor is not None:
                trial = mode + factor.solve(slope)
                if (reached := _joint(parts, trial, centre, precision)) >= best:
                    break
            if damping > 1e6:
                trial, reached = mode, best
                break
            damping = max(4.0 * damping, 0.1)
        mode, damping = trial, (damping / 8.0 if damping > 0.05 else 0.0)
        precision = _eased(parts, mode, centre, given)
        best, slope, hessian = _slope(parts, mode, centre, precision)
        if reached - before < TOLERANCE:
            break
    factor = _factored(hessian, precision)
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
    precision, mode, was = precision.clone(), _places(parts, len(start)).centred(start), 0.0
    given = precision.clone()
    for _ in range(ROUNDS):
        precision[columns:] = _eased(parts, mode, centre, given)[columns:]
        level, slope, head, annotators = _turns(parts, mode, centre, precision, columns)
        factor = _factor(head, precision[:columns])
        step = torch.cholesky_solve(slope[:columns, None], factor).squeeze(1)
        moved = _climbed(parts, mode, step, level, centre, precision)
        inverse = torch.linalg.solve_triangular(factor, torch.eye(columns, dtype=factor.dtype), upper=False)
        gamma = (columns - precision[0] * inverse.square().sum()).clamp(1.0, columns)
        wanted = (gamma / moved[:columns].square().sum().clamp_min(1e-6)).clamp(*BOUNDS)
        turn = float((wanted / precision[0]).log())
        draws = moved.repeat(DRAWS, 1)
        draws[:, :columns] += (inverse.T @ noise).T
        own = _factored(annotators, precision[columns:])
        moves = _attended(parts, draws, own, centre, precision)
        change = max(float(moves.abs().max()) if len(moves) else 0.0, abs(turn), float(slope[:columns] @ step))
        moved[columns:] += moves
        mode = moved
        precision[:columns] = (precision[0] * math.exp(turn * _speed(turn, was))).clamp(*BOUNDS)
        if change < still:
            break
        was = turn
    best, _, hessian = _slope(parts, mode, centre, precision)
    factor = _factored(hessian, precision)
    return Posterior(mode, factor, _evidence(best, precision, factor), parts, centre, precision)


def _speed(change: float, before: float) -> float:
    """How many times as far to go, where changes shrink by `change / before` each: `1 / (1 - ratio)`, at most 4."""
    ratio = change / before if before else 0.0
    return 1.0 / (1.0 - ratio) if 0.0 < ratio < 0.75 else 1.0


def left_out(posterior: Posterior, folds: Sequence[Sequence[Bool[Tensor, "_"]]]) -> list[Float[Tensor, "fold _"]]:
    """Log-likelihood of every answer once the answers of each fold, a mask for each part, are taken away.

    One Newton step from the mode of all of them, `m - (H - H_fold)^-1 g_fold` (Beirami et al. 2017, eq. 9).
    """
    parts = posterior.parts
    each, modes = [local(one, posterior.mode) for one in parts], []
    whole = _prior(parts, posterior.precision)
    for one, found in zip(parts, each, strict=True):
        whole = whole - gathered(one, found)[1]
    for masks in folds:
        slope, hessian = torch.zeros_like(posterior.mode), whole
        for one, found, mask in zip(parts, each, masks, strict=True):
            d, dd = gathered(one, found, mask)
            slope, hessian = slope - d, hessian + dd
        modes.append(posterior.mode + _factored(hessian, posterior.precision).solve(slope))
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
    factor: Factor,
    centre: Float[Tensor, "parameter"],
    precision: Float[Tensor, "parameter"],
) -> Float[Tensor, "trait"]:
    """A Newton step of the annotators on their log-joint averaged over draws of the head, halved until it climbs."""
    first = draws.shape[1] - parts[0].layout.size if parts else draws.shape[1]
    at, centre, precision = draws[0, first:], centre[first:], precision[first:]
    before, slope = -0.5 * float((precision * (at - centre).square()).sum()), precision * (centre - at)
    for one in parts:
        total, d = slopes(one, draws)
        before, slope = before + float(total.mean()), slope + d[:, first:].mean(0)
    step = factor.solve(slope).clamp(-1.0, 1.0)
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


def _evidence(joint: float, precision: Tensor, factor: Factor) -> float:
    normals = factor.places.normals()
    prior = float(precision.log().sum() + (normals.T @ (normals / precision.unsqueeze(1))).logdet())
    return joint + 0.5 * (prior - factor.log_determinant())


def _eased(parts: Sequence[Asked], mode: Tensor, centre: Tensor, precision: Tensor) -> Tensor:
    """The head's prior is normal; the annotators' let go of those far out."""
    if not parts:
        return precision
    first = len(mode) - parts[0].layout.size
    own = parts[0].layout.eased(mode[first:], centre[first:], precision[first:])
    return torch.cat([precision[:first], own])


def _places(parts: Sequence[Asked], size: int) -> Places:
    """Of a head before the annotators; all of a head, where nobody was asked."""
    if parts:
        return parts[0].layout.places.after(size - parts[0].layout.size)
    return Layout((), 0).places.after(size)


def _prior(parts: Sequence[Asked], precision: Tensor) -> Arrow:
    places = _places(parts, len(precision))
    annotators, own, shared = *places.own.shape, len(places.shared)
    return Arrow(
        places,
        precision.new_zeros(shared, shared),
        precision.new_zeros(annotators, own, shared),
        precision.new_zeros(annotators, own, own),
    ).raised(precision)


def _slope(parts: Sequence[Asked], mode: Tensor, centre: Tensor, precision: Tensor) -> tuple[float, Tensor, Arrow]:
    """The log-joint, its gradient and its negative Hessian."""
    level = -0.5 * float((precision * (mode - centre).square()).sum())
    slope, hessian = precision * (centre - mode), _prior(parts, precision)
    for one in parts:
        each = local(one, mode)
        d, dd = gathered(one, each)
        level, slope, hessian = level + float(each.score.sum()), slope + d, hessian - dd
    return level, slope, hessian


def _turns(
    parts: Sequence[Asked], mode: Tensor, centre: Tensor, precision: Tensor, columns: int
) -> tuple[float, Tensor, Tensor, Arrow]:
    """The same with the negative Hessian of the head and that of the annotators, each given the other."""
    level = -0.5 * float((precision * (mode - centre).square()).sum())
    slope, head = precision * (centre - mode), torch.diag(precision[:columns])
    annotators = _prior(parts, precision[columns:])
    for one in parts:
        each = local(one, mode)
        found = blocks(one, each)
        level, slope = level + float(each.score.sum()), slope + found.slope
        head, annotators = head - found.head, annotators - found.annotators
    return level, slope, head, annotators


def _factor(hessian: Tensor, precision: Tensor) -> Tensor:
    """Cholesky factor; where the mixture leaves a direction not concave, its curvature is raised until it is."""
    damping = 0.0
    while True:
        factor, info = torch.linalg.cholesky_ex(hessian + torch.diag(damping * precision))
        if not int(info):
            return factor
        damping = max(2.0 * damping, 0.05)


def _factored(hessian: Arrow, precision: Tensor) -> Factor:
    """The same of an arrow."""
    damping = 0.0
    while (factor := hessian.raised(damping * precision).cholesky()) is None:
        damping = max(2.0 * damping, 0.05)
    return factor
