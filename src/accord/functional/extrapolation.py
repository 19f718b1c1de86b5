"""A learning curve beyond where it was measured: closed forms, and an interval that widens with the distance.

Families: the power law `a - b (n + d)^-c`, plain (d = 0) or late (POW4 of Viering and Loog's survey, arXiv:2103.10948,
section 4: what learns nothing from the first few), and the exponential `a - b exp(-n / t)`. Given its shape (c and d,
or t) each is linear in what is left, so a grid of shapes with Gaussian linear models is the whole posterior: nothing is
iterated. Differs from the survey's least squares in: shapes are averaged by how well they explain what was measured;
that may be off by the noise between sizes that the caller gives, and by a share of its rise besides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr, ndtr, ndtri

EXPONENTS = np.geomspace(0.05, 2.0, 20)  # c; the survey's fits lie between .1 and 2, and 0 is a logarithm
DELAYS = (0.0, 0.25, 1.0, 4.0)  # d, in units of the largest size
TIMES = np.geomspace(0.2, 4.0, 16)  # t, in the same units
EXPONENTIAL = 0.3  # what the exponential is thought to be worth before anything is measured
MISFIT = 0.05  # standard deviation of what no family explains, as a share of the measured rise
FREEDOM = 8.0  # degrees of freedom that the caller's noise is taken to have: it was estimated from few repeats


@dataclass(frozen=True, eq=False)
class Shapes:
    """Forms of a curve, up to its height and its rise. `time` is that of an exponential, and NaN of a power law."""

    exponent: Float[np.ndarray, "shape"]
    delay: Float[np.ndarray, "shape"]
    time: Float[np.ndarray, "shape"]

    def at(self, rows: Int[np.ndarray, "row"]) -> Shapes:
        """Only these."""
        return Shapes(self.exponent[rows], self.delay[rows], self.time[rows])

    def fallen(self, n: float, low: float, high: float) -> Float[np.ndarray, "shape"]:
        """How far below the height at `high` a curve is at n, in units of its rise: 1 at `low`, 0 at `high`.

        `(f(n) - f(high)) / (f(low) - f(high))` with `f(n) = (n + d)^-c` or `exp(-n / t)`; below 0 beyond `high`.
        """

        def f(at: float) -> Float[np.ndarray, "shape"]:  # relative to `high`, so that nothing underflows
            power = ((at + self.delay) / (high + self.delay)) ** -self.exponent
            return np.where(np.isnan(self.time), power, np.exp(-(at - high) / self.time))

        return (f(n) - 1.0) / (f(low) - 1.0)


def grid(high: float) -> tuple[Shapes, Float[np.ndarray, "shape"]]:
    """Every shape that is considered, for curves measured up to `high`, and what each is worth before that."""
    exponent, delay = (each.ravel() for each in np.meshgrid(EXPONENTS, np.array(DELAYS) * high))
    powers, times = len(exponent), len(TIMES)
    worth = np.repeat([(1.0 - EXPONENTIAL) / powers, EXPONENTIAL / times], [powers, times])
    pad = np.ones(times)
    time = np.concatenate([np.full(powers, np.nan), TIMES * high])
    return Shapes(np.concatenate([exponent, pad]), np.concatenate([delay, 0.0 * pad]), time), worth


@dataclass(frozen=True, eq=False)
class Curve:
    """Draws of a rising curve: `height` at the largest size measured, `rise` from the smallest to it, and a shape."""

    low: float
    high: float
    height: Float[np.ndarray, "draw"]
    rise: Float[np.ndarray, "draw"]
    shapes: Shapes

    def at(self, n: float) -> Float[np.ndarray, "draw"]:
        """The curve at size n, draw by draw."""
        return self.height - self.rise * self.shapes.fallen(n, self.low, self.high)

    def gain(self, n: float, more: float) -> Float[np.ndarray, "draw"]:
        """What `more` answers beside n would add; never below 0."""
        return np.maximum(self.at(n + more) - self.at(n), 0.0)

    @property
    def limit(self) -> Float[np.ndarray, "draw"]:
        """Where the curve leads."""
        return self.at(np.inf)


def extrapolate(
    sizes: Float[np.ndarray, "size"],
    measured: Float[np.ndarray, "size"],
    covariance: Float[np.ndarray, "size size"],
    rng: np.random.Generator,
    ceiling: float = 0.0,
    draws: int = 4000,
) -> Curve:
    """The posterior of a curve that rises towards a limit below the ceiling.

    `measured` at rising `sizes`, three at least, with the covariance of what was measured. Flat priors on height and
    on a rise of at least 0; shapes on a logarithmic grid. A ceiling below all that was measured is raised to there.
    """
    low, high = float(sizes[0]), float(sizes[-1])
    shapes, worth = grid(high)
    x = np.stack([shapes.fallen(float(n), low, high) for n in sizes], 1)
    noise = covariance + ((MISFIT * float(np.ptp(measured))) ** 2 + 1e-12) * np.eye(len(sizes))
    centre, cov, chi2 = _lines(x, measured, noise)
    weight = -0.5 * (FREEDOM + len(sizes) - 2.0) * np.log1p(chi2 / FREEDOM) + 0.5 * np.linalg.slogdet(cov)[1]
    weight = weight + log_ndtr(centre[:, 1] / np.sqrt(cov[:, 1, 1])) + np.log(worth)
    share = np.exp(weight - weight.max())
    which, height, rise = _drawn(share / share.sum(), centre, cov, rng, draws)
    curve = Curve(low, high, height, rise, shapes.at(which))
    allowed = np.flatnonzero(curve.limit <= max(ceiling, float(measured.max())))
    if not len(allowed):  # all lie above: the lowest of them are the nearest
        allowed = np.argsort(curve.limit)[: max(1, draws // 20)]
    kept = rng.choice(allowed, draws) if len(allowed) < draws else allowed
    return Curve(low, high, height[kept], rise[kept], curve.shapes.at(kept))


def shortest(draws: Float[np.ndarray, "draw"], level: float = 0.9, floor: float = -np.inf) -> tuple[float, float]:
    """The shortest interval that holds `level` of the draws; where it begins with the lowest, at their floor."""
    found = np.sort(draws)
    inside = max(1, int(np.ceil(level * len(found)))) - 1
    start = int(np.argmin(found[inside:] - found[: len(found) - inside]))
    low = floor if np.isfinite(floor) and start <= len(found) // 50 else float(found[start])
    return low, float(found[start + inside])


def _lines(
    x: Float[np.ndarray, "shape size"], y: Float[np.ndarray, "size"], noise: Float[np.ndarray, "size size"]
) -> tuple[Float[np.ndarray, "shape 2"], Float[np.ndarray, "shape 2 2"], Float[np.ndarray, "shape"]]:
    """Generalised least squares of `y = height - rise x` for every shape: coefficients, covariance, misfit."""
    design = np.stack([np.ones_like(x), -x], -1)
    inverse = np.linalg.inv(noise)
    cov = np.linalg.inv(np.einsum("ski,kl,slj->sij", design, inverse, design))
    centre = np.einsum("sij,skj,kl,l->si", cov, design, inverse, y)
    left = y - np.einsum("ski,si->sk", design, centre)
    return centre, cov, np.einsum("sk,kl,sl->s", left, inverse, left)


def _drawn(
    share: Float[np.ndarray, "shape"],
    centre: Float[np.ndarray, "shape 2"],
    cov: Float[np.ndarray, "shape 2 2"],
    rng: np.random.Generator,
    draws: int,
) -> tuple[Int[np.ndarray, "draw"], Float[np.ndarray, "draw"], Float[np.ndarray, "draw"]]:
    """Shapes, heights and rises of at least 0: a rise from its truncated normal, the height given it."""
    which = rng.choice(len(share), draws, p=share)
    tail = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, draws))  # a covariance that was itself estimated
    mean, sd = centre[which, 1], np.sqrt(cov[which, 1, 1]) * tail
    outside = ndtr(-mean / sd)
    rise = mean + sd * ndtri(np.clip(outside + (1.0 - outside) * rng.random(draws), 1e-15, 1.0 - 1e-15))
    slope = cov[which, 0, 1] / cov[which, 1, 1]
    left = np.sqrt(np.maximum(cov[which, 0, 0] - slope * cov[which, 0, 1], 0.0)) * tail
    height = centre[which, 0] + slope * (rise - mean) + left * rng.standard_normal(draws)
    return which, height, np.maximum(rise, 0.0)
