"""Real votes of a crowd on which of two arguments convinces more: the files, spammers, and how else to count votes.

UKPConvArg1, Ivan Habernal and Iryna Gurevych, Ubiquitous Knowledge Processing Lab, TU Darmstadt, CC BY 4.0,
https://github.com/UKPLab/acl2016-convincing-arguments. Nothing of the files is kept here.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from accord.functional.agreement import dawid_skene
from accord.types import Comparisons, Evidence, Reply

LEVELS = {"a2": 0, "equal": 1, "a1": 2}
FOLDS, USABLE, SPAMMERS = 4, 30, 0.2  # of debates; votes that a worker must have to be replaced; share of those
WEIGHTS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)  # answers that a prior counts for: what is tried

LogLikelihood = Float[np.ndarray, "vote"]


@dataclass(frozen=True, eq=False)
class Votes:
    """One row a vote: which pair of arguments, by whom, and 2, 1 or 0 for the first, equal or the second."""

    arguments: Sequence[Reply]  # a prompt is the topic; the same text on the same topic is one argument
    debate: Int[np.ndarray, "argument"]  # two topics, its sides, make a debate
    first: Int[np.ndarray, "vote"]
    second: Int[np.ndarray, "vote"]
    pair: Int[np.ndarray, "vote"]
    worker: Int[np.ndarray, "vote"]
    level: Int[np.ndarray, "vote"]
    workers: tuple[str, ...]

    @property
    def debates(self) -> Int[np.ndarray, "vote"]:
        return self.debate[self.first]

    @property
    def groups(self) -> int:
        """How many debates there are votes on."""
        return int(self.debates.max()) + 1

    def counts(self, keep: Bool[np.ndarray, "vote"] | None = None) -> Int[np.ndarray, "pair level"]:
        """How many gave each pair each level."""
        found = np.zeros((int(self.pair.max()) + 1, 3), np.int64)
        rows = slice(None) if keep is None else keep
        np.add.at(found, (self.pair[rows], self.level[rows]), 1)
        return found

    def habits(self, keep: Bool[np.ndarray, "vote"]) -> Int[np.ndarray, "worker level"]:
        """How often each worker gave each level."""
        found = np.zeros((len(self.workers), 3), np.int64)
        np.add.at(found, (self.worker[keep], self.level[keep]), 1)
        return found

    def evidence(self, keep: Bool[np.ndarray, "vote"]) -> Evidence:
        """What a fit takes: these votes, and the arguments that they are about."""
        used, place = np.unique(np.concatenate([self.first[keep], self.second[keep]]), return_inverse=True)
        first, second = np.split(place, 2)
        part = Comparisons(first, second, self.level[keep], self.worker[keep], 3)
        segments = [self.arguments[i] for i in used]
        return Evidence(segments, self.debate[used], self.workers, (part,), (np.ones(len(first), bool),))


def read(folder: Path) -> Votes:
    """The votes in a folder that holds `ukp_args.jsonl.gz` and `ukp_votes.tsv.gz`."""
    with gzip.open(folder / "ukp_args.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with gzip.open(folder / "ukp_votes.tsv.gz", "rt", encoding="utf-8") as lines:
        given = [line.rstrip("\n").split("\t") for line in lines][1:]
    place = {row["id"]: i for i, row in enumerate(rows)}
    debates = [row["topic"].split("_")[0] for row in rows]
    number = {name: i for i, name in enumerate(sorted(set(debates)))}
    workers = sorted({worker for _, _, worker, _ in given})
    who = {name: i for i, name in enumerate(workers)}
    pairs: dict[tuple[str, str], int] = {}
    return Votes(
        arguments=[Reply(row["topic"], row["text"]) for row in rows],
        debate=np.array([number[name] for name in debates]),
        first=np.array([place[first] for first, *_ in given]),
        second=np.array([place[second] for _, second, *_ in given]),
        pair=np.array([pairs.setdefault((first, second), len(pairs)) for first, second, *_ in given]),
        worker=np.array([who[worker] for _, _, worker, _ in given]),
        level=np.array([LEVELS[label] for *_, label in given]),
        workers=tuple(workers),
    )


def some(votes: Votes, debates: int) -> Votes:
    """The votes on the first debates alone."""
    keep = votes.debates < debates
    rows = {name: getattr(votes, name)[keep] for name in ("first", "second", "worker", "level")}
    return replace(votes, pair=np.unique(votes.pair[keep], return_inverse=True)[1], **rows)


def usable(votes: Votes) -> Int[np.ndarray, "worker"]:
    """Votes of each worker for one side, on pairs where the others' majority is for one side."""
    others = votes.counts()[votes.pair]
    others[np.arange(len(others)), votes.level] -= 1
    counting = (votes.level != 1) & (others[:, 2] != others[:, 0])
    return np.bincount(votes.worker[counting], minlength=len(votes.workers))


def spammed(votes: Votes, rng: np.random.Generator) -> tuple[Votes, Int[np.ndarray, "spammer"]]:
    """A share of the workers with many usable votes answers at random, each level as likely; and who they are."""
    many = np.flatnonzero(usable(votes) >= USABLE)
    bad = rng.choice(many, round(SPAMMERS * len(many)), replace=False)
    theirs = np.isin(votes.worker, bad)
    return replace(votes, level=np.where(theirs, rng.integers(0, 3, len(theirs)), votes.level)), bad


def folds(votes: Votes) -> Iterator[Bool[np.ndarray, "vote"]]:
    """Which votes are on the debates of each fold, as the data's README splits them."""
    for some in np.array_split(np.random.RandomState(0).permutation(votes.groups), FOLDS):
        yield np.isin(votes.debates, some)


# -------------------------------------------------------------------------------------- other ways to count votes


def shares(counts: Int[np.ndarray, "row level"], base: Float[np.ndarray, "level"], weight: float) -> np.ndarray:
    """Of each row, with `weight` more answers in the usual shares."""
    return (counts + weight * base) / (counts.sum(1, keepdims=True) + weight)


def usual(level: Int[np.ndarray, "vote"]) -> Float[np.ndarray, "level"]:
    """The shares of the levels, none of them 0."""
    return (np.bincount(level, minlength=3) + 1) / (len(level) + 3)


def counted(votes: Votes, train: Bool[np.ndarray, "vote"], with_habits: bool) -> LogLikelihood:
    """Log-likelihood of the votes that are not trained on by the shares of their pair's other votes.

    With the workers' habits too it is `P(level) ~ share of the pair * share of the worker / usual share`. The weights
    of the usual shares are those under which every training vote is best foretold by the other training votes.
    """
    base = usual(votes.level[train])
    pairs, habits = votes.counts(train), votes.habits(train)

    def told(rows: Bool[np.ndarray, "vote"], own: int, weights: tuple[float, float]) -> LogLikelihood:
        at, level = np.arange(int(rows.sum())), votes.level[rows]
        left = np.zeros((len(at), 3), np.int64)
        left[at, level] = own  # a vote that is in the counts must not foretell itself
        found = shares(pairs[votes.pair[rows]] - left, base, weights[0])
        if with_habits:
            found = found * shares(habits[votes.worker[rows]] - left, base, weights[1]) / base
            found /= found.sum(1, keepdims=True)
        return np.log(found[at, level])

    tried = list(product(WEIGHTS, WEIGHTS if with_habits else (0.0,)))
    best = max(tried, key=lambda weights: float(told(train, 1, weights).mean()))
    return told(~train, 0, best)


def confused(votes: Votes, train: Bool[np.ndarray, "vote"], rng: np.random.Generator) -> LogLikelihood:
    """The same by Dawid and Skene's model, mixed with the usual shares: confusions of few votes are too sure.

    The share of the mixture is the one that is best for a fifth of the training votes, left out for that.
    """
    inner = train & (rng.random(len(train)) >= 0.2)
    part = train & ~inner

    def told(train: Bool[np.ndarray, "vote"], rows: Bool[np.ndarray, "vote"]) -> Float[np.ndarray, "2 vote"]:
        base = usual(votes.level[train])
        found = dawid_skene(votes.pair[train], votes.worker[train], votes.level[train], 3)
        known = np.bincount(votes.worker[train], minlength=len(votes.workers)) > 0
        belief = np.tile(found.share, (int(votes.pair.max()) + 1, 1))
        belief[: len(found.label)] = found.label
        confusion = np.tile(found.confusion[known[: len(found.confusion)]].mean(0), (len(votes.workers), 1, 1))
        confusion[: len(found.confusion)][known[: len(found.confusion)]] = found.confusion[
            known[: len(found.confusion)]
        ]
        said = confusion[votes.worker[rows], :, votes.level[rows]]
        return np.stack([(belief[votes.pair[rows]] * said).sum(1), base[votes.level[rows]]])

    def mixed(told: Float[np.ndarray, "2 vote"], share: float) -> LogLikelihood:
        return np.log(share * told[0] + (1.0 - share) * told[1])

    inside, outside = told(inner, part), told(train, ~train)
    best = max(np.linspace(0.05, 0.95, 19), key=lambda share: float(mixed(inside, share).mean()))
    return mixed(outside, float(best))
