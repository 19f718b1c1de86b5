"""What answers say at given parameters: their log-likelihood, its slope and its curvature.

An answer depends on few numbers, the values at its places and the row of its annotator, and each of those is linear in
the parameters: the derivatives in the few numbers come first, and sums over answers carry them to the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.rewards.annotators import Layout, Questions, answered, rows, traits
from accord.rewards.arrow import Arrow

BLOCK = 4096  # answers at once: what is made of them stays in the cache
NUDGE = 1e-4  # of a value or a parameter, for differences of gradients


@dataclass(frozen=True, eq=False)
class Asked:
    """Answers of one part, with the summed features of the segments that each asks about.

    Answers about the same segments share a `row` of the basis, which may leave out a first place whose value is 0.
    `shared` and `own` take parameters to the row of an annotator (`Layout.linear`).
    """

    part: Questions
    layout: Layout
    basis: Float[Tensor, "row place column"]
    row: Int[Tensor, "query"]
    shared: Float[Tensor, "trait shared"]
    own: Float[Tensor, "trait own"]

    @property
    def skipped(self) -> int:
        """How many places the basis leaves out."""
        return self.part.items.shape[1] - self.basis.shape[1]


def asked(
    part: Questions,
    layout: Layout,
    basis: Float[Tensor, "row place column"],
    row: Int[Tensor, "query"] | None = None,
) -> Asked:
    """A row for each answer, where none is given."""
    shared, own = (each.to(basis.dtype) for each in layout.linear(part))
    return Asked(part, layout, basis, torch.arange(len(basis)) if row is None else row, shared, own)


def _given(
    one: Asked, points: Float[Tensor, "point parameter"]
) -> tuple[Float[Tensor, "point query place"], Float[Tensor, "point annotator trait"]]:
    """What the answers depend on: the values at their places, and the rows of the annotators."""
    columns = one.basis.shape[2]
    values = (points[:, :columns] @ one.basis.flatten(0, 1).T).view(len(points), *one.basis.shape[:2])
    return F.pad(values[:, one.row], (one.skipped, 0)), rows(one.part, one.layout.views(points[:, columns:]))


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
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        found = _scored(one, *_given(one, points)).sum(1)
    return found.detach(), torch.autograd.grad(found.sum(), points)[0]


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
    each = [
        _local(one, torch.cat([values[:, some], table[:, one.part.annotator[some]]], -1), some)
        for some in torch.arange(len(one.row)).split(BLOCK)
    ]
    return Local(*(torch.cat(column) for column in zip(*each, strict=True)))


def _local(
    one: Asked, own: Float[Tensor, "1 some own"], query: Int[Tensor, "some"]
) -> tuple[Float[Tensor, "some"], Float[Tensor, "some own"], Float[Tensor, "some own own"]]:
    moves = NUDGE * torch.eye(own.shape[2], dtype=own.dtype).unsqueeze(1)
    own = torch.cat([own, own + moves, own - moves]).detach().requires_grad_()
    with torch.enable_grad():
        places = one.part.items.shape[1]
        found = answered(one.part, traits(one.part, own[..., places:]), own[..., :places], query.expand(len(own), -1))
    slope = torch.autograd.grad(found.sum(), own)[0]
    up, down = slope[1:].chunk(2)
    curve = ((up - down) / (2.0 * NUDGE)).permute(1, 0, 2)
    return found[0].detach(), slope[0], 0.5 * (curve + curve.transpose(1, 2))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Slope of a log-likelihood, and its curvature as if head and annotators met in no answer."""

    slope: Float[Tensor, "parameter"]
    head: Float[Tensor, "column column"]
    annotators: Arrow


def blocks(one: Asked, each: Local) -> Blocks:
    """Of one part, all that is needed to climb by turns."""
    basis, first, places = one.basis.flatten(0, 1), one.skipped, one.part.items.shape[1]
    inner = _by(one.part.annotator, each.curve[:, places:, places:], one.layout.annotators)
    middle = _by(one.row, each.curve[:, first:places, first:places], len(one.basis))
    head = basis.T @ torch.bmm(middle, one.basis).flatten(0, 1)
    own, shared = one.own.T @ inner, inner.sum(0) @ one.shared
    arrow = Arrow(one.layout.places, one.shared.T @ shared, own @ one.shared, own @ one.own)
    outer = _by(one.part.annotator, each.slope[:, places:], one.layout.annotators)
    rest = arrow.places.together((outer.sum(0) @ one.shared).unsqueeze(1), (outer @ one.own).unsqueeze(2))
    values = _by(one.row, each.slope[:, first:places], len(one.basis)).flatten() @ basis
    return Blocks(torch.cat([values, rest.squeeze(1)]), head, arrow)


def gathered(
    one: Asked, each: Local, keep: Bool[Tensor, "query"] | None = None
) -> tuple[Float[Tensor, "parameter"], Arrow]:
    """Slope and curvature of one part's log-likelihood, or of the answers to keep, in the parameters."""
    if keep is not None:
        part = one.part.at(keep.nonzero().squeeze(1))
        one, each = (
            replace(one, part=part, row=one.row[keep]),
            Local(each.score[keep], each.slope[keep], each.curve[keep]),
        )
    found, places, columns = blocks(one, each), one.part.items.shape[1], one.basis.shape[2]
    met = each.curve[:, one.skipped : places, places:]
    between = one.basis.flatten(0, 1).T @ _by(one.row, met @ one.shared, len(one.basis)).flatten(0, 1)
    rest, border = found.annotators, _border(one, met @ one.own)
    shared = torch.cat([torch.cat([found.head, between], 1), torch.cat([between.T, rest.shared], 1)])
    return found.slope, Arrow(rest.places.after(columns), shared, torch.cat([border, rest.border], 2), rest.own)


def _border(one: Asked, met: Float[Tensor, "query place own"]) -> Float[Tensor, "annotator own column"]:
    """What head and annotators have in common: each annotator meets few rows, so most of the way is sparse."""
    (answers, places, own), lines = met.shape, one.basis.flatten(0, 1)
    who = one.part.annotator.view(-1, 1, 1) * own + torch.arange(own)
    line = one.row.view(-1, 1, 1) * places + torch.arange(places).view(-1, 1)
    at = torch.stack([each.expand(answers, places, own).flatten() for each in (who, line)])
    table = torch.sparse_coo_tensor(at, met.flatten(), (one.layout.annotators * own, len(lines)), check_invariants=True)
    return (table @ lines).view(one.layout.annotators, own, -1)


def _by(group: Int[Tensor, "query"], tables: Float[Tensor, "query *some"], groups: int) -> Float[Tensor, "group *some"]:
    """Summed over the answers of each group."""
    return tables.new_zeros(groups, *tables.shape[1:]).index_add_(0, group, tables)
