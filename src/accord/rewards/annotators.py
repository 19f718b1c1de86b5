"""Annotators as parameters: what each kind of answer says about the values of segments, given who gave it.

For every part of the evidence and every annotator k: a slope `beta_k` (their geometric mean is 1, so that the reward's
own scale is identified), a side bias, a skill `1 - eps_k`, what is answered in the rest of the cases, and thresholds.
Each is a pooled value plus a deviation with a normal prior, so an annotator of few answers falls back to the pool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.functional import likelihood
from accord.rewards.arrow import Places
from accord.types import Approvals, Comparisons, Demonstrations, EvidencePart, Kind, Rankings, Ratings


@dataclass(frozen=True, eq=False)
class Questions:
    """A part of the evidence in one form for every kind. `items` pads with -1."""

    kind: Kind
    levels: int
    items: Int[Tensor, "query place"]
    outcome: Int[Tensor, "query"]
    annotator: Int[Tensor, "query"]
    log_weight: Float[Tensor, "query place"] | None = None
    weight: Float[Tensor, "query"] | None = None  # how much of an answer each is; None: one

    @property
    def name(self) -> str:
        """`compare2`, `rate5`, `rank`: how parameters of this part are called."""
        return f"{self.kind}{self.levels}" if self.levels else self.kind

    def at(self, rows: Int[Tensor, "row"]) -> Questions:
        """Only these answers."""
        sample = None if self.log_weight is None else self.log_weight[rows]
        weight = None if self.weight is None else self.weight[rows]
        return Questions(
            self.kind, self.levels, self.items[rows], self.outcome[rows], self.annotator[rows], sample, weight
        )


def questions(part: EvidencePart) -> Questions:
    """Evidence as it is packed, in the common form."""
    who = torch.as_tensor(np.asarray(part.annotator), dtype=torch.int64)
    none = torch.zeros_like(who)

    def table(*columns: np.ndarray) -> Tensor:
        return torch.as_tensor(np.column_stack(columns), dtype=torch.int64)

    match part:
        case Comparisons():
            level = torch.as_tensor(np.asarray(part.level), dtype=torch.int64)
            weight = None if part.weight is None else torch.as_tensor(np.asarray(part.weight), dtype=torch.float32)
            return Questions(part.kind, part.levels, table(part.first, part.second), level, who, weight=weight)
        case Rankings():
            return Questions("rank", 0, table(part.items), none, who)
        case Ratings():
            level = torch.as_tensor(np.asarray(part.level), dtype=torch.int64)
            return Questions("rate", part.levels, table(part.item), level, who)
        case Approvals():
            approved = torch.as_tensor(np.asarray(part.approved), dtype=torch.int64)
            return Questions("approve", 0, table(part.item), approved, who)
        case Demonstrations():
            weight = torch.as_tensor(np.asarray(part.log_weight), dtype=torch.float32)
            padded = F.pad(weight, (1, 0)).nan_to_num(0.0, posinf=0.0, neginf=0.0)
            return Questions("demonstrate", 0, table(part.chosen, part.against), none, who, padded)


NORMAL = 1e6  # degrees of freedom


@dataclass(frozen=True)
class Prior:
    """A prior on every entry of one array of parameters: Student's t, as good as normal unless told otherwise."""

    shape: tuple[int, ...]
    centre: float | tuple[float, ...]
    sd: float
    each: bool = False  # a row for every annotator
    freedom: float = NORMAL  # degrees of it


# Spreads between annotators, on the logit scale for skill. The pool is near 0.8, give or take. In a crowd most are
# near the pool and a few nowhere near it, so skill has a heavy tail: one annotator in ten lies outside 0.18 to 0.99 of
# it. Of few annotators a tail tells nothing, and one alone could be thought to guess (fixed-horizon CartPole, 40
# comparisons by one teacher: with the tail two runs of three ended below 400, without it none of the three): theirs is
# normal, one in ten outside 0.25 to 0.98. Slopes are held close to each other: a small slope and a low skill look alike
# in few answers, and skill is the one that is reported (four simulated annotators of skills 0.3 to 0.95 and equal
# slopes, 500 comparisons: with a spread of 0.25 the lowest skill was found 0.1 higher than with 0.1). What real votes
# say of tail and gaps: docs/benchmarks.md.
CROWD = 20  # annotators
SKILL, SKILL_SD, SKILL_SPREAD, CROWD_SPREAD, CROWD_FREEDOM = 1.4, 1.5, 1.5, 1.0, 2.0
ATTENDING, FIXED = 14.0, 1e-3  # a lapse in a million answers; a deviation that leaves nothing to find
SLOPE_SPREAD, SIDE_SPREAD, NOISE_SPREAD, CUT_SPREAD, GAP_SPREAD = 0.1, 0.5, 0.5, 0.5, 0.5


def priors(part: Questions, annotators: int, anchor: bool, lapses: bool = True) -> dict[str, Prior]:
    """The parameters of one part. The anchor's slopes set the unit of the reward; other kinds have their own scale.

    Without lapses everybody attends always: a prior so narrow is a constant.
    """
    found = {
        "slope": Prior((annotators,), 0.0, SLOPE_SPREAD, True),
        "skill_mean": Prior((1,), SKILL, SKILL_SD),
        "skill": Prior((annotators,), 0.0, SKILL_SPREAD, True),
    }
    if annotators >= CROWD:
        found["skill"] = Prior((annotators,), 0.0, CROWD_SPREAD, True, CROWD_FREEDOM)
    if not lapses:
        found["skill_mean"] = Prior((1,), ATTENDING, FIXED)
        found["skill"] = Prior((annotators,), 0.0, FIXED, True)
    if not anchor:
        found["scale"] = Prior((1,), 0.0, 1.0)
    if part.kind == "compare":
        found["side"] = Prior((annotators,), 0.0, SIDE_SPREAD, True)
        found["noise"] = Prior((annotators, part.levels), 0.0, NOISE_SPREAD, True)
        half = (part.levels - 1) // 2
        if half:
            found["gaps"] = Prior((half,), 0.0, 1.0)
            found["gap"] = Prior((annotators,), 0.0, GAP_SPREAD, True)
    if part.kind == "approve":
        found["cut_mean"] = Prior((1,), 0.0, 3.0)
        found["cut"] = Prior((annotators,), 0.0, 1.0, True)
    if part.kind == "rate":
        gap = math.log(4.0 / part.levels)  # levels spread over about four units of the logistic
        cuts = (-2.0 * (part.levels - 2) / part.levels, *[gap] * (part.levels - 2))
        found["cut_mean"] = Prior((part.levels - 1,), cuts, 1.5)
        found["cut"] = Prior((annotators, part.levels - 1), 0.0, CUT_SPREAD, True)
    return found


class Layout:
    """Where each array of parameters lies in one flat vector, and the prior of every entry of it."""

    def __init__(self, parts: tuple[Questions, ...], annotators: int, lapses: bool = True) -> None:
        anchor = max(range(len(parts)), key=lambda p: len(parts[p].annotator)) if parts else 0
        self.parts, self.annotators, self.lapses = parts, annotators, lapses
        self.entries: list[tuple[str, int, Prior]] = []
        self.size = 0
        for number, part in enumerate(parts):
            for name, prior in priors(part, annotators, number == anchor, lapses).items():
                self.entries.append((f"{part.name}/{name}", self.size, prior))
                self.size += math.prod(prior.shape)

    @cached_property
    def places(self) -> Places:
        """Which parameters are shared and which each annotator's own; the slopes of a part have mean 0."""
        shared, own, slopes = [torch.arange(0)], [torch.arange(0).expand(self.annotators, 0)], [torch.zeros(0, 0)]
        for name, at, prior in self.entries:
            width = math.prod(prior.shape)
            if not prior.each:
                shared.append(torch.arange(at, at + width))
                continue
            own.append(torch.arange(at, at + width).view(self.annotators, -1))
            slopes.append(torch.full((own[-1].shape[1], int(name.endswith("/slope"))), 1.0))
        return Places(torch.cat(shared), torch.cat(own, 1), torch.block_diag(*slopes))

    def linear(self, part: Questions) -> tuple[Float[Tensor, "trait shared"], Float[Tensor, "trait own"]]:
        """How one annotator's row (`rows`) depends on what is shared and on what is its own, slopes held at mean 0."""
        alone = Layout(self.parts, 1, self.lapses)
        columns = rows(part, alone.views(torch.eye(alone.size)), centred=False)[:, 0]
        shared, own = alone.places.apart(columns)
        return shared.T, own[0].T

    def eased(
        self,
        own: Float[Tensor, "parameter"],
        centre: Float[Tensor, "parameter"],
        precision: Float[Tensor, "parameter"],
    ) -> Float[Tensor, "parameter"]:
        """Precisions of the normal priors that touch the heavier-tailed ones here: far from the centre they let go.

        Climbing under these, found anew after each step, climbs under Student's t (expectation-maximisation over its
        scale: Lange, Little and Taylor 1989).
        """
        freedom = self.freedom.to(own.dtype)
        return precision * (freedom + 1.0) / (freedom + precision * (own - centre).square())

    @cached_property
    def freedom(self) -> Float[Tensor, "parameter"]:
        """Degrees of freedom of every parameter's prior."""
        each = [torch.full((math.prod(prior.shape),), prior.freedom) for _, _, prior in self.entries]
        return torch.cat([torch.zeros(0), *each])

    def vectors(self) -> tuple[Float[Tensor, "parameter"], Float[Tensor, "parameter"]]:
        """Prior mean and prior precision of every parameter."""
        centre, precision = torch.zeros(self.size), torch.zeros(self.size)
        for _, at, prior in self.entries:
            end = at + math.prod(prior.shape)
            precision[at:end] = prior.sd**-2
            row = torch.as_tensor(prior.centre, dtype=torch.float32)
            centre[at:end] = row.expand(prior.shape).reshape(-1)
        return centre, precision

    def views(self, flat: Float[Tensor, "member parameter"]) -> dict[str, Tensor]:
        """Every array by name, with its member axis first."""
        return {
            name: flat[:, at : at + math.prod(prior.shape)].view(-1, *prior.shape) for name, at, prior in self.entries
        }


def log_slopes(
    part: Questions, parameters: Mapping[str, Tensor], centred: bool = True
) -> Float[Tensor, "member annotator"]:
    """`log beta_k`, of mean 0 over annotators, plus the scale of the kind where it is not the anchor."""
    deviation = parameters[f"{part.name}/slope"]
    scale = parameters.get(f"{part.name}/scale")
    if centred:
        deviation = deviation - deviation.mean(1, keepdim=True)
    return deviation if scale is None else deviation + scale


def skill_logits(part: Questions, parameters: Mapping[str, Tensor]) -> Float[Tensor, "member annotator"]:
    """`logit(1 - eps_k)`: the pooled value plus the annotator's own deviation."""
    return parameters[f"{part.name}/skill_mean"] + parameters[f"{part.name}/skill"]


@dataclass(frozen=True, eq=False)
class Traits:
    """What the likelihood of one part needs of whoever gave each answer; some with an axis more."""

    slope: Float[Tensor, "member query"]
    log_skill: Float[Tensor, "member query"]
    log_lapse: Float[Tensor, "member query"]
    side: Float[Tensor, "member query"] | None = None  # for approve: minus the threshold
    log_noise: Float[Tensor, "member query level"] | None = None
    cuts: Float[Tensor, "member query cut"] | None = None


def rows(
    part: Questions, parameters: Mapping[str, Tensor], centred: bool = True
) -> Float[Tensor, "member annotator trait"]:
    """Every annotator's own numbers, each a linear function of the parameters: `traits` says what they mean."""

    def own(name: str) -> Tensor:
        return parameters[f"{part.name}/{name}"]

    skill = skill_logits(part, parameters)
    found = [torch.stack([log_slopes(part, parameters, centred), skill], -1)]
    if part.kind == "compare":
        found += [own("side").unsqueeze(-1), own("noise")]
        if part.levels > 2:
            found.append(own("gaps").unsqueeze(1) + own("gap").unsqueeze(-1))
    if part.kind == "approve":
        found.append(-(own("cut_mean") + own("cut")).unsqueeze(-1))
    if part.kind == "rate":
        found.append(own("cut_mean").unsqueeze(1) + own("cut"))
    return torch.cat(found, -1)


def traits(part: Questions, own: Float[Tensor, "member query trait"]) -> Traits:
    """What the rows of whoever gave each answer mean."""
    slope, skill = own[..., 0].exp(), own[..., 1]
    log_skill = F.logsigmoid(skill)
    log_lapse = log_skill - skill
    if part.kind == "compare":
        log_noise = own[..., 3 : 3 + part.levels].log_softmax(-1)
        cuts = None  # of two levels: 0
        if part.levels > 2:
            cuts = likelihood.symmetric_cuts(own[..., 3 + part.levels :], part.levels)
        return Traits(slope, log_skill, log_lapse, own[..., 2], log_noise, cuts)
    if part.kind == "approve":
        return Traits(slope, log_skill, log_lapse, own[..., 2])
    if part.kind == "rate":
        return Traits(slope, log_skill, log_lapse, cuts=likelihood.ordered_cuts(own[..., 2], own[..., 3:]))
    return Traits(slope, log_skill, log_lapse)


def log_likelihood(
    part: Questions,
    parameters: Mapping[str, Tensor],
    values: Float[Tensor, "member query place"],
    query: Int[Tensor, "member query"],
) -> Float[Tensor, "member query"]:
    """The log-likelihood of the answers numbered `query`, given the values of their segments under each member."""
    own, who = rows(part, parameters), part.annotator[query].unsqueeze(-1)
    return answered(part, traits(part, own.gather(1, who.expand(-1, -1, own.shape[2]))), values, query)


def answered(
    part: Questions,
    own: Traits,
    values: Float[Tensor, "member query place"],
    query: Int[Tensor, "member query"],
) -> Float[Tensor, "member query"]:
    """The same from the traits of whoever gave each answer: here answers have nothing in common any more."""
    model, noise = _model(part, own, values, part.items[query] >= 0, query, part.outcome[query])
    found = likelihood.log_mixture(model, own.log_skill, own.log_lapse, noise)
    return found if part.weight is None else found * part.weight[query]


def _model(
    part: Questions,
    own: Traits,
    values: Float[Tensor, "member query place"],
    valid: Bool[Tensor, "member query place"],
    query: Int[Tensor, "member query"],
    outcome: Int[Tensor, "member query"],
) -> tuple[Float[Tensor, "member query"], Float[Tensor, "member query"]]:
    """The kind's own log-likelihood, and that of an annotator who is not attending."""
    if part.kind == "correct":
        # What is given is always preferred, so a liking for one side or for one answer could explain everything.
        given, corrected = values.unbind(-1)
        model = likelihood.compare(given, corrected, outcome, None, own.slope, torch.zeros_like(own.slope))
        return model, torch.full_like(model, -math.log(2.0))
    if part.kind == "compare":
        assert own.side is not None and own.log_noise is not None
        first, second = values.unbind(-1)
        noise = own.log_noise.gather(-1, outcome.unsqueeze(-1)).squeeze(-1)
        return likelihood.compare(first, second, outcome, own.cuts, own.slope, own.side), noise
    if part.kind == "rank":
        return likelihood.plackett_luce(values, valid, own.slope), likelihood.log_uniform_order(valid)
    if part.kind == "rate":
        assert own.cuts is not None
        model = likelihood.rate(values[..., 0], outcome, own.cuts, own.slope)
        return model, torch.full_like(model, -math.log(part.levels))
    if part.kind == "approve":
        assert own.side is not None
        model = likelihood.approve(values[..., 0], outcome, -own.side, own.slope)
        return model, torch.full_like(model, -math.log(2.0))
    assert part.log_weight is not None
    model = likelihood.demonstrate(values, valid, part.log_weight[query], own.slope)
    return model, -valid.sum(-1).to(values.dtype).log()
