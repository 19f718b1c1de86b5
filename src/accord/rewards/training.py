"""One ascent for every kind of feedback: nets and annotators together, a whole population of them at once.

Objective, per member: `(sum of log-likelihoods + log-priors) / answers`. The gradient with respect to the values of
segments and to annotators comes from autograd (a few hundred numbers); that of the nets from `fused.Sums`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.functional.adam import adam_
from accord.rewards.annotators import Layout, Questions, log_likelihood
from accord.rewards.features import Features, value_unit
from accord.rewards.fused import Sums
from accord.types import NotFinite

BETAS = (0.9, 0.99)  # a fit has tens to hundreds of steps: 0.999 would average squares over more than all of them
ROWS = 32_768  # rows a group of members works on at once: their hidden layers stay in the cache


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that does not change during a fit."""

    features: Features
    parts: tuple[Questions, ...]
    sums: Sums
    layout: Layout
    net_size: int
    centre: Float[Tensor, "parameter"]
    precision: Float[Tensor, "parameter"]

    @cached_property
    def distinct(self) -> bool:
        """No segment is asked about twice, so there is nothing to merge in a batch."""
        items = self.parts[0].items
        return len(self.parts) == 1 and len(items.unique()) == items.numel() and bool((items >= 0).all())

    @cached_property
    def units(self) -> list[Float[Tensor, "segment"]]:
        """From sums of rewards to values, for each part."""
        return [value_unit(self.features, part.kind) for part in self.parts]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Answers of one part, a row per member. A weight of 0 pads rows of unequal length."""

    query: Int[np.ndarray, "member query"]
    weight: Float[np.ndarray, "member query"]


def chosen(masks: Bool[np.ndarray, "member query"]) -> Chosen:
    """The answers that each member's mask holds."""
    counts = masks.sum(1)
    query = np.zeros((len(masks), max(int(counts.max(initial=0)), 1)), np.int64)
    weight = np.zeros(query.shape, np.float32)
    for row, mask in enumerate(masks):
        query[row, : counts[row]] = np.flatnonzero(mask)
        weight[row, : counts[row]] = 1.0
    return Chosen(query, weight)


def batches(sets: Sequence[Chosen], size: int, rng: np.random.Generator) -> Iterator[list[Chosen]]:
    """One epoch in a fresh order: every batch holds the same share of every part."""
    steps = max(1, round(sum(part.query.shape[1] for part in sets) / size))
    split = []
    for part in sets:
        order = rng.permuted(np.tile(np.arange(part.query.shape[1]), (len(part.query), 1)), axis=1)
        mixed = Chosen(np.take_along_axis(part.query, order, 1), np.take_along_axis(part.weight, order, 1))
        split.append(zip(np.array_split(mixed.query, steps, 1), np.array_split(mixed.weight, steps, 1), strict=True))
    for step in zip(*split, strict=True):
        yield [Chosen(query, weight) for query, weight in step]


def _places(problem: Problem, batch: Sequence[Chosen]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The segments that a batch asks about, each once a member, and where every place of every query finds its own."""
    items = [part.items.numpy()[rows.query] for part, rows in zip(problem.parts, batch, strict=True)]
    members = len(items[0])
    flat = np.concatenate([item.reshape(members, -1) for item in items], 1)
    if problem.distinct:
        at = np.tile(np.arange(flat.shape[1]), (len(flat), 1))
        return flat, [at.reshape(items[0].shape)]
    flat = flat.clip(0)
    unique = [np.unique(row, return_inverse=True) for row in flat]
    index = np.zeros((members, max(len(segments) for segments, _ in unique)), np.int64)
    for row, (segments, _) in enumerate(unique):
        index[row, : len(segments)] = segments
    places = np.stack([inverse.reshape(-1) for _, inverse in unique])
    ends = np.cumsum([item[0].size for item in items])[:-1]
    return index, [place.reshape(item.shape) for place, item in zip(np.split(places, ends, 1), items, strict=True)]


def _score(
    problem: Problem,
    batch: Sequence[Chosen],
    annotators: Float[Tensor, "member parameter"],
    totals: Float[Tensor, "member segment"],
    index: Int[Tensor, "member segment"],
    places: Sequence[np.ndarray],
) -> list[Float[Tensor, "member query"]]:
    """Log-likelihood of every answer of a batch, given the sums of rewards over the segments it asks about."""
    parameters = problem.layout.views(annotators)
    found = []
    for part, rows, place, unit in zip(problem.parts, batch, places, problem.units, strict=True):
        worth = totals * unit[index]
        query = torch.from_numpy(rows.query)
        at = torch.from_numpy(place)
        values = worth.gather(1, at.flatten(1)).view(at.shape)
        found.append(log_likelihood(part, parameters, values, query))
    return found


def group_rows(problem: Problem, batch: Sequence[Chosen]) -> list[slice]:
    """Members in groups whose hidden rows fit the cache together."""
    asked = sum(rows.query.shape[1] * part.items.shape[1] for part, rows in zip(problem.parts, batch, strict=True))
    rows = min(asked, len(problem.features.x)) * problem.features.x.shape[1]
    size = max(1, ROWS // max(rows, 1))
    members = len(batch[0].query)
    return [slice(start, min(start + size, members)) for start in range(0, members, size)]


def _group(batch: Sequence[Chosen], group: slice) -> list[Chosen]:
    return [Chosen(part.query[group], part.weight[group]) for part in batch]


def gradient(
    problem: Problem, flat: Float[Tensor, "member parameter"], batch: Sequence[Chosen]
) -> Float[Tensor, "member parameter"]:
    """Gradient of minus the mean log-likelihood of a batch, each member on its own answers."""
    found = torch.empty_like(flat)
    split = problem.net_size
    for group in group_rows(problem, batch):
        rows = _group(batch, group)
        index, places = _places(problem, rows)
        at = torch.from_numpy(index)
        totals = problem.sums.totals(flat[group, :split], at).requires_grad_()
        annotators = flat[group, split:].detach().requires_grad_()
        with torch.enable_grad():
            scores = _score(problem, rows, annotators, totals, at, places)
        answers = np.maximum(sum(part.weight.sum(1, keepdims=True) for part in rows), 1.0)
        d_scores = [torch.from_numpy(-part.weight / answers) for part in rows]
        d_totals, d_annotators = torch.autograd.grad(scores, (totals, annotators), d_scores)
        found[group, :split] = problem.sums.gradient(d_totals)
        found[group, split:] = d_annotators
    return found


def scores(
    problem: Problem, flat: Float[Tensor, "member parameter"], sets: Sequence[Chosen]
) -> list[Float[Tensor, "member query"]]:
    """Log-likelihood of every chosen answer under its member; entries of weight 0 are padding."""
    groups = []
    with torch.no_grad():
        for group in group_rows(problem, sets):
            rows = _group(sets, group)
            index, places = _places(problem, rows)
            at = torch.from_numpy(index)
            totals = problem.sums.totals(flat[group, : problem.net_size], at)
            groups.append(_score(problem, rows, flat[group, problem.net_size :], totals, at, places))
    return [torch.cat(part) for part in zip(*groups, strict=True)]


def mean_scores(
    problem: Problem, flat: Float[Tensor, "member parameter"], sets: Sequence[Chosen]
) -> Float[Tensor, "member"]:
    """Mean log-likelihood per answer of each member."""
    found = scores(problem, flat, sets)
    weights = [torch.from_numpy(part.weight) for part in sets]
    total = sum((score * weight).sum(1) for score, weight in zip(found, weights, strict=True))
    return total / torch.as_tensor(sum(weight.sum(1) for weight in weights)).clamp_min(1.0)


def added(problem: Problem, flat: Float[Tensor, "member parameter"]) -> float:
    """What the values of segments add to the mean log-likelihood of an answer, in nats."""
    every = [chosen(np.ones((len(flat), len(part.outcome)), bool)) for part in problem.parts]
    blank = torch.cat([torch.zeros_like(flat[:, : problem.net_size]), flat[:, problem.net_size :]], 1)
    return float((mean_scores(problem, flat, every) - mean_scores(problem, blank, every)).mean())


@dataclass(frozen=True)
class Plan:
    """How long and how fast to climb."""

    epochs: int
    patience: int
    batch: int
    rate: float


@dataclass(frozen=True, eq=False)
class Climb:
    """Where each member was at its best epoch, by its own held-out answers."""

    flat: Float[Tensor, "member parameter"]
    best_epoch: Int[np.ndarray, "member"]
    heldout: Float[Tensor, "member"]
    epochs: int


def climb(
    problem: Problem,
    start: Float[Tensor, "member parameter"],
    train: Sequence[Chosen],
    heldout: Sequence[Chosen],
    plan: Plan,
    rng: np.random.Generator,
) -> Climb:
    """Adam on every member at once; each keeps the parameters of its best held-out epoch. Raises NotFinite."""
    flat = start.clone()
    mean, square, step = torch.zeros_like(flat), torch.zeros_like(flat), torch.zeros(())
    answers = torch.from_numpy(sum(part.weight.sum(1, keepdims=True) for part in train)).clamp_min(1.0)
    precision = problem.precision / answers
    judged = any(part.weight.any() for part in heldout)
    best, best_flat = mean_scores(problem, flat, heldout), flat.clone()
    best_epoch = np.zeros(len(flat), np.int64)
    epoch = 0
    for epoch in range(1, plan.epochs + 1):
        for batch in batches(train, plan.batch, rng):
            slope = gradient(problem, flat, batch).addcmul_(flat - problem.centre, precision)
            adam_(flat, mean, square, step, slope, plan.rate, BETAS)
        if not bool(torch.isfinite(flat).all()):
            member = int((~torch.isfinite(flat)).any(1).nonzero()[0])
            raise NotFinite(f"reward fit: the parameters of member {member} are not finite after epoch {epoch}.")
        if judged:
            score = mean_scores(problem, flat, heldout)
            better = score > best
            best = torch.where(better, score, best)
            best_flat[better] = flat[better]
            best_epoch[better.numpy()] = epoch
            if epoch - best_epoch.max() >= plan.patience:
                break
        else:
            best_flat, best_epoch[:] = flat, epoch
    return Climb(best_flat, best_epoch, best, epoch)
