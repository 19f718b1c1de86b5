"""Curvature of parameters that all share and of parameters that each annotator has alone, without the zeros.

Two annotators' own parameters meet in no answer, so the matrix over all of them is an arrow: a small block for each
annotator, a border of what is shared, and nothing else. Its Cholesky factor keeps that shape where the blocks come
first, so thousands of annotators cost time and memory in proportion to their number, not to its square or cube.

The slopes of a part have mean 0 over annotators. Every step and draw is held to that: what is free is conditioned on
it (`x - V (A' V)^-1 A' x`, V = H^-1 A), which costs one more solution for each part of the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Places:
    """Where the shared parameters and each annotator's own lie in a flat vector, and what must stay 0 of the latter."""

    shared: Int[Tensor, "shared"]
    own: Int[Tensor, "annotator own"]
    held: Float[Tensor, "own held"]  # a column for each sum over annotators that stays as it is

    def after(self, columns: int) -> Places:
        """The same where so many shared parameters, those of a head, stand before all of these."""
        return replace(self, shared=torch.cat([torch.arange(columns), self.shared + columns]), own=self.own + columns)

    def apart(self, flat: Float[Tensor, "parameter column"]) -> tuple[Tensor, Tensor]:
        """Rows of the shared parameters, and of the annotators' own: `[shared, column]`, `[annotator, own, column]`."""
        return flat[self.shared], flat[self.own]

    def together(
        self, shared: Float[Tensor, "shared column"], own: Float[Tensor, "annotator own column"]
    ) -> Float[Tensor, "parameter column"]:
        """The inverse of `apart`."""
        flat = shared.new_empty(len(self.shared) + self.own.numel(), shared.shape[1])
        flat[self.shared] = shared
        flat[self.own.flatten()] = own.flatten(0, 1)
        return flat

    def normals(self) -> Float[Tensor, "parameter held"]:
        """A unit vector for each sum that is held."""
        unit = self.held.double() / max(1, len(self.own)) ** 0.5
        nothing = torch.zeros(len(self.shared), unit.shape[1], dtype=unit.dtype)
        return self.together(nothing, unit.expand(len(self.own), -1, -1))

    def centred(self, flat: Float[Tensor, "parameter"]) -> Float[Tensor, "parameter"]:
        """The nearest vector whose held sums are 0."""
        normals = self.normals().to(flat.dtype)
        return flat - normals @ (normals.T @ flat)


@dataclass(frozen=True, eq=False)
class Arrow:
    """A symmetric matrix over the parameters at `places`."""

    places: Places
    shared: Float[Tensor, "shared shared"]
    border: Float[Tensor, "annotator own shared"]
    own: Float[Tensor, "annotator own own"]

    def __add__(self, other: Arrow) -> Arrow:
        shared, border, own = self.shared + other.shared, self.border + other.border, self.own + other.own
        return Arrow(self.places, shared, border, own)

    def __sub__(self, other: Arrow) -> Arrow:
        shared, border, own = self.shared - other.shared, self.border - other.border, self.own - other.own
        return Arrow(self.places, shared, border, own)

    def raised(self, diagonal: Float[Tensor, "parameter"]) -> Arrow:
        """With so much more on its diagonal."""
        shared, own = self.places.apart(diagonal.unsqueeze(1))
        return replace(
            self, shared=self.shared + torch.diag(shared[:, 0]), own=self.own + torch.diag_embed(own[..., 0])
        )

    def cholesky(self) -> Factor | None:
        """None where it is not positive definite."""
        own, failed = torch.linalg.cholesky_ex(self.own)
        if bool(failed.any()):
            return None
        border = torch.linalg.solve_triangular(own, self.border, upper=False)
        flat = border.flatten(0, 1)
        shared, failed = torch.linalg.cholesky_ex(self.shared - flat.T @ flat)
        return None if int(failed) else Factor(self.places, shared, border, own)


@dataclass(frozen=True, eq=False)
class Factor:
    """`H = L L'` of an arrow, annotators' own parameters before the shared ones."""

    places: Places
    shared: Float[Tensor, "shared shared"]
    border: Float[Tensor, "annotator own shared"]
    own: Float[Tensor, "annotator own own"]

    def float(self) -> Factor:
        """In single precision."""
        return replace(self, shared=self.shared.float(), border=self.border.float(), own=self.own.float())

    def gather(self, flat: Float[Tensor, "parameter column"]) -> Float[Tensor, "parameter column"]:
        """`L^-1 x`."""
        shared, own = self.places.apart(flat)
        own = torch.linalg.solve_triangular(self.own, own, upper=False)
        rest = shared - self.border.flatten(0, 1).T @ own.flatten(0, 1)
        return self.places.together(torch.linalg.solve_triangular(self.shared, rest, upper=False), own)

    def spread(self, flat: Float[Tensor, "parameter column"]) -> Float[Tensor, "parameter column"]:
        """`L'^-1 x`: of standard normal numbers, draws with covariance `H^-1`."""
        shared, own = self.places.apart(flat)
        shared = torch.linalg.solve_triangular(self.shared.T, shared, upper=True)
        own = torch.linalg.solve_triangular(self.own.mT, own - self.border @ shared, upper=True)
        return self.places.together(shared, own)

    def held(self, flat: Float[Tensor, "parameter column"]) -> Float[Tensor, "parameter column"]:
        """Steps or draws under `H^-1`, conditioned on the sums that stay as they are."""
        normals, moved, inner = self._held()
        return flat - moved @ torch.linalg.solve(inner, normals.T @ flat)

    def solve(self, slope: Float[Tensor, "parameter"]) -> Float[Tensor, "parameter"]:
        """`H^-1 g`, held."""
        return self.held(self.spread(self.gather(slope.unsqueeze(1)))).squeeze(1)

    def log_determinant(self) -> float:
        """Of the curvature in the directions that are free."""
        diagonals = (each.diagonal(dim1=-2, dim2=-1).log().sum() for each in (self.shared, self.own))
        return 2.0 * float(sum(diagonals)) + float(self._held()[2].logdet())

    def variance(self, shared: Float[Tensor, "shared"], own: Float[Tensor, "own"]) -> Float[Tensor, "annotator"]:
        """Posterior variance of one weighted sum of parameters for each annotator: the shared ones and their own."""
        inner = torch.linalg.solve_triangular(self.own, own.expand(len(self.own), -1).unsqueeze(2), upper=False)
        rest = shared.unsqueeze(1) - (self.border.mT @ inner).squeeze(2).T
        outer = torch.linalg.solve_triangular(self.shared, rest, upper=False)
        _, moved, fixed = self._held()
        moved_shared, moved_own = self.places.apart(moved)
        along = (moved_own * own.unsqueeze(1)).sum(1) + shared @ moved_shared
        lost = (along * torch.linalg.solve(fixed, along.T).T).sum(1)
        return (inner.square().sum((1, 2)) + outer.square().sum(0) - lost).clamp_min(0.0)

    def _held(self) -> tuple[Tensor, Tensor, Tensor]:
        """A, V = H^-1 A and A' V."""
        normals = self.places.normals().to(self.own.dtype)
        moved = self.spread(self.gather(normals))
        return normals, moved, normals.T @ moved
