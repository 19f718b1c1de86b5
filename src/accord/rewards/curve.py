"""How well unseen answers are foretold from so many: a learning curve, measured and carried on.

Groups of segments (episodes, prompts) are split into folds, as `fit` splits them: what touches a held-out group is not
trained on. From the rest nested random subsets of growing size are fitted, and every size foretells the same held-out
answers, so that what makes them hard cancels where sizes are compared. Whole groups enter a subset together where they
are small enough for that; else whole questions do. Uniform answers alone are foretold; all are trained on.

Noise has three sources, and `carried` counts them all: who happened to be held out (clusters of answers drawn again),
which subset was drawn (resamplings drawn again), and which answers there happen to be at all. The last cannot be seen
in one set of answers: it is taken from how much small subsets differ, and falls as n^-1.5, between the n^-1 of a curve
that falls as n^-1/2 and the n^-2 of one that falls as n^-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from accord.functional.extrapolation import Curve, extrapolate, shortest
from accord.functional.uncertainty import mean_logit
from accord.rewards.annotators import Questions, log_likelihood, questions
from accord.rewards.denoise import taken
from accord.rewards.features import MEAN_VALUED, read
from accord.rewards.fit import split
from accord.rewards.fitted import FittedReward
from accord.types import Comparisons, Evidence, EvidencePart, InputError

SIZES, SMALLEST = 5, 1 / 6  # subsets of each training part, the smallest as a share of it
FEWEST = 30  # uniform answers
COARSE = 1 / 24  # share of the answers that the largest group may have where whole groups are to enter
DRAWS = 400  # of clusters and resamplings
LUCK = 1.5  # see above

Fit = Callable[[Evidence, int], FittedReward]  # to answers, with a seed; not centred, as thresholds of ratings are not
Done = Callable[[int, int], None]  # how many fits of how many


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure of every row (an answer, or a decided comparison) at every size, under every resampling."""

    rows: Float[np.ndarray, "resampling row size"]
    cluster: Int[np.ndarray, "row"]

    @property
    def means(self) -> Float[np.ndarray, "resampling size"]:
        return self.rows.mean(1)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured at mean training sizes: nats of an answer, and hits of a decided comparison (a tie is half)."""

    sizes: Float[np.ndarray, "size"]
    likelihood: Figure
    accuracy: Figure
    answers: int
    together: str  # what entered subsets as one: "group" or "question"


def measure(
    evidence: Evidence, fit: Fit, seed: int, *, folds: int = 10, resamplings: int = 3, done: Done = lambda i, n: None
) -> Measured:
    """Fits `folds * resamplings * SIZES` rewards. The same arguments give the same figures.

    Raises InputError for fewer than `FEWEST` uniform answers, or all about one group.
    """
    parts = tuple(questions(part) for part in evidence.parts)
    uniform = sum(int(each.sum()) for each in evidence.uniform)
    groups = len(np.unique(np.asarray(evidence.groups)))
    _check(uniform, groups)
    together = _together(evidence, parts)
    folds = min(folds, groups)
    told = [[_Tally(evidence) for _ in range(SIZES)] for _ in range(resamplings)]
    counts = np.zeros((resamplings, folds, SIZES))
    for r in range(resamplings):
        rng = np.random.default_rng([seed, r])
        masks = split(parts, np.asarray(evidence.groups), folds, rng)
        entry = _entry(evidence, parts, together, rng)
        for fold in range(folds):
            out = [mask[fold] for mask in masks]
            for size, kept in enumerate(_nested(entry, out)):
                train = subset(evidence, kept)
                counts[r, fold, size] = train.answers
                if train.answers > 1:
                    told[r][size].add(fit(train, seed + r), out)
                done(1 + size + SIZES * (fold + folds * r), folds * resamplings * SIZES)
    return _measured(evidence, parts, told, counts, together)


def _check(uniform: int, groups: int) -> None:
    if uniform < FEWEST:
        raise InputError(
            f"there are {uniform} answers to uniformly chosen queries, and a learning curve needs {FEWEST}: ask more."
        )
    if groups < 2:
        raise InputError(
            "all answers are about one episode or prompt, so that nothing can be held out: ask about a second one."
        )


def _together(evidence: Evidence, parts: tuple[Questions, ...]) -> str:
    """Whole groups where even the largest is a small share of the answers."""
    group = np.asarray(evidence.groups)
    per = np.zeros(int(group.max()) + 1)
    for part in parts:
        np.add.at(per, group[part.items[:, 0].numpy()], 1)
    return "group" if per.max() <= COARSE * evidence.answers else "question"


def _entry(
    evidence: Evidence, parts: tuple[Questions, ...], together: str, rng: np.random.Generator
) -> list[Int[np.ndarray, "query"]]:
    """When each answer enters: with the last of its groups, or with its question."""
    group = np.asarray(evidence.groups)
    turn = rng.permutation(int(group.max()) + 1)
    found = []
    for part in parts:
        items = part.items.numpy()
        if together == "group":
            found.append(np.where(items >= 0, turn[group[items.clip(0)]], -1).max(1))
        else:
            asked = np.unique(np.sort(items, 1), axis=0, return_inverse=True)[1].ravel()
            found.append(rng.permutation(int(asked.max(initial=-1)) + 1)[asked])
    return found


def _nested(entry: list[Int[np.ndarray, "query"]], out: list[Bool[np.ndarray, "query"]]) -> Iterator[list[np.ndarray]]:
    """Growing subsets of what is not held out: of each kind of answer its share, cut between two that enter."""
    for share in np.geomspace(SMALLEST, 1.0, SIZES):
        kept = []
        for turn, held in zip(entry, out, strict=True):
            inside = np.sort(turn[~held])
            last = inside[max(1, round(share * len(inside))) - 1] if len(inside) else -1
            kept.append(~held & (turn <= last))
        yield kept


class _Tally:
    """Sums over the folds that held a row out: its log-likelihood, and whether its comparison was foretold right."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        rows = [len(part.annotator) for part in evidence.parts]
        self.score, self.hit, self.count = ([np.zeros(n) for n in rows] for _ in range(3))

    def add(self, reward: FittedReward, out: list[Bool[np.ndarray, "query"]]) -> None:
        sums = torch.from_numpy(reward.value(self.evidence.segments))
        for p, (part, held, drawn) in enumerate(zip(self.evidence.parts, out, self.evidence.uniform, strict=True)):
            rows = np.flatnonzero(held & drawn)
            asked = questions(part)
            if not len(rows) or not any(name.startswith(f"{asked.name}/") for name in reward.annotators):
                continue  # nothing to foretell, or no answer of this kind was trained on
            values = sums * _lengths(self.evidence, reward) if asked.kind in MEAN_VALUED else sums
            self.score[p][rows] += _scores(reward, asked, values, rows)
            self.count[p][rows] += 1
            if isinstance(part, Comparisons):
                logit = (sums[:, part.first[rows]] - sums[:, part.second[rows]]).double().numpy()
                said = np.sign(2 * part.level[rows] - (part.levels - 1))
                self.hit[p][rows] += (1.0 + np.sign(mean_logit(logit)) * said) / 2.0


def foretold(reward: FittedReward, evidence: Evidence) -> dict[str, float]:
    """Mean `likelihood` of uniform answers that a reward has not seen, and `accuracy` of its decided comparisons."""
    tally = _Tally(evidence)
    tally.add(reward, [np.ones(len(part.annotator), bool) for part in evidence.parts])
    seen = np.concatenate(tally.count) > 0
    decided = seen & np.concatenate([_decided(part) for part in evidence.parts])
    return {
        "likelihood": float(np.concatenate(tally.score)[seen].mean()),
        "accuracy": float(np.concatenate(tally.hit)[decided].mean()) if decided.any() else float("nan"),
    }


def _lengths(evidence: Evidence, reward: FittedReward) -> Float[Tensor, "segment"]:
    """What takes a sum over steps to the mean over them that ratings are about, on the same scale."""
    lengths = torch.from_numpy(read(evidence.segments, reward.encode).valid.sum(1)).float().clamp_min(1.0)
    return lengths.mean() / lengths


def _scores(
    reward: FittedReward, part: Questions, values: Float[Tensor, "member segment"], rows: Int[np.ndarray, "row"]
) -> Float[np.ndarray, "row"]:
    """Log of the mean probability over members of the answers in these rows."""
    which = torch.from_numpy(rows)
    of = values[:, part.items[which].clamp_min(0)]
    members = len(of)
    found = log_likelihood(part, reward.annotators, of, which.expand(members, -1))
    return (found.logsumexp(0) - np.log(members)).double().numpy()


def _measured(
    evidence: Evidence,
    parts: tuple[Questions, ...],
    told: list[list[_Tally]],
    counts: Float[np.ndarray, "resampling fold size"],
    together: str,
) -> Measured:
    """Rows that were foretold at every size, each with the cluster that its answers share luck with."""
    group = np.asarray(evidence.groups)
    cluster = np.concatenate([group[part.items[:, 0].numpy()] for part in parts])
    seen = np.stack([np.concatenate(each.count) for row in told for each in row]).min(0) > 0
    if seen.sum() < FEWEST:
        raise InputError(
            f"only {int(seen.sum())} answers can be held out whole with their episodes or prompts, and {FEWEST} are "
            "needed: ask about more of those."
        )
    decided = seen & np.concatenate([_decided(part) for part in evidence.parts])

    def rows(name: str, keep: Bool[np.ndarray, "row"]) -> Figure:
        table = [
            [np.concatenate(getattr(each, name))[keep] / np.concatenate(each.count)[keep] for each in row]
            for row in told
        ]
        return Figure(np.moveaxis(np.array(table).reshape(len(told), SIZES, -1), 1, 2), cluster[keep])

    return Measured(counts.mean((0, 1)), rows("score", seen), rows("hit", decided), evidence.answers, together)


def _decided(part: EvidencePart) -> Bool[np.ndarray, "query"]:
    """Comparisons that are no ties."""
    if isinstance(part, Comparisons):
        return 2 * np.asarray(part.level) != part.levels - 1
    return np.zeros(len(part.annotator), bool)


# ------------------------------------------------------------------------------------------------- carried on


@dataclass(frozen=True, eq=False)
class Carried:
    """A figure's curve beyond what was measured. `luck` is the variance of one fit's at the curve's largest size."""

    sizes: Float[np.ndarray, "size"]
    mean: Float[np.ndarray, "size"]
    sd: Float[np.ndarray, "size"]
    curve: Curve
    luck: float
    noise: Float[np.ndarray, "draw"]  # standard normal: what luck will make of it

    def at(self, n: float) -> tuple[float, float, float]:
        """Median and the 90% interval of what n answers give on average."""
        found = self.curve.at(n)
        return float(np.median(found)), *shortest(found)

    def gain(self, n: float, more: float) -> tuple[float, float, float]:
        """The same of what so many more will add, their luck included."""
        found = self.curve.gain(n, more)
        spread = np.sqrt(max(0.0, self._luck(n) - self._luck(n + more)))
        return float(np.median(found)), *shortest(found + spread * self.noise)

    def _luck(self, n: float) -> float:
        return self.luck * (self.curve.high / n) ** LUCK


def carried(figure: Figure, sizes: Float[np.ndarray, "size"], rng: np.random.Generator, ceiling: float) -> Carried:
    """Extrapolates one figure. Pure; raises nothing."""
    means, share = figure.means, sizes / sizes[-1]
    inside = share < 0.8  # beyond, subsets are nearly all the same
    each = means[:, inside].var(0, ddof=1) / (1.0 - share[inside]) * share[inside] ** LUCK if len(means) > 1 else [0.0]
    luck = float(np.mean(each))
    own = np.sqrt(luck * share ** (1.0 - LUCK))  # what these answers, and no others, make of every size
    covariance = np.cov(_redrawn(figure, rng), rowvar=False) + np.outer(own, own)
    mean = means.mean(0)
    curve = extrapolate(sizes, mean, covariance, rng, ceiling)
    return Carried(sizes, mean, np.sqrt(np.diag(covariance)), curve, luck, rng.standard_normal(len(curve.height)))


def _redrawn(figure: Figure, rng: np.random.Generator) -> Float[np.ndarray, "draw size"]:
    """The mean curve with resamplings and clusters drawn again."""
    number = np.unique(figure.cluster, return_inverse=True)[1].ravel()
    clusters, resamplings = int(number.max()) + 1, len(figure.rows)
    sums = np.zeros((resamplings, clusters, figure.rows.shape[2]))
    for r, rows in enumerate(figure.rows):
        np.add.at(sums[r], number, rows)
    counts = np.bincount(number, minlength=clusters)
    again = rng.multinomial(clusters, np.full(clusters, 1 / clusters), DRAWS)
    drawn = rng.multinomial(resamplings, np.full(resamplings, 1 / resamplings), DRAWS) / resamplings
    return np.einsum("dr,dc,rck->dk", drawn, again, sums) / (again @ counts)[:, None]


# --------------------------------------------------------------------------------------------------- subsets

PLACES = ("first", "second", "items", "item", "chosen", "against")  # fields that number segments


def subset(evidence: Evidence, masks: Sequence[Bool[np.ndarray, "query"]]) -> Evidence:
    """Only the answers that the masks, one a part, hold, and the segments that those are about."""
    kept = taken(evidence, masks)
    numbers = [getattr(part, name) for part in kept.parts for name in PLACES if name in vars(part)]
    used = np.unique(np.concatenate([each.ravel() for each in numbers]))
    used = used[used >= 0]
    place = np.full(len(evidence.segments) + 1, -1)  # the last stands for -1, which pads
    place[used] = np.arange(len(used))
    parts = tuple(
        replace(part, **{name: place[getattr(part, name)] for name in PLACES if name in vars(part)})
        for part in kept.parts
    )
    segments = [evidence.segments[i] for i in used]
    return replace(kept, segments=segments, groups=np.asarray(evidence.groups)[used], parts=parts)
