"""A reward chosen for texts that nobody has voted on: which of two arguments convinces more, whole debates held out.

    python -m bench.ukp [--quick] [--fresh] [--data FOLDER]     (needs accord fetch minilm and accord fetch smollm2)

62,581 votes on 784 arguments of twelve debates (`bench/ukp_votes.py`), four folds of three debates as the data's README
splits them. In each fold `rewards.select` chooses among the readings of `rewards/words.py`, each beside a column for
every argument, by cross-validation over the debates trained on; the debates held out take no part in it. The choice is
then fitted to all votes on those, with every annotator's reliability, and foretells the others. Readings are made of
all texts, those of debates held out too: no vote goes into them. Which readings there are was decided with these
debates at hand, so that is not nested.

Baselines are fitted here to the same decided votes, the best of three regularisations by what is held out (which
flatters them): linear Bradley-Terry on the logarithm of the length, TF-IDF of the training debates, a sentence
embedding, and that with length.

`accuracy`: of pairs with a majority, an even forecast counts half, mean of folds; `se` is over debates, since pairs of
one debate are not independent. `gains`: log-likelihood a decided vote over each baseline, paired, with its interval and
Wilcoxon's `p` over debates, adjusted for four tests by Holm. `annotators`: how often a vote agrees with the majority of
the others on its pair.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import wilcoxon

from accord import runtime
from accord.functional.statistics import bootstrap_interval, holm, mean
from accord.functional.uncertainty import log_sigmoid
from accord.rewards import encoders, words
from accord.rewards.annotators import log_likelihood, questions
from accord.rewards.candidates import Candidate
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.select import select
from accord.types import Comparisons, Evidence
from bench import harness, ukp_votes
from bench.harness import Bench, Result, Worker
from bench.kinds import DATA
from bench.peers.protocol import Clock, finish, quiet_output, warm_up
from bench.ukp_votes import FOLDS, Votes

LINEAR = RewardConfig(kind="linear", members=16, annotators="pooled")
MANY = 64  # draws for the last word: of an argument never voted on, what is peculiar to it is drawn from its prior
INNER = 3  # folds of the debates trained on
QUICK, FEW = 4, ("length", "tfidf")  # debates and readings of the short form
REGULARISED = (0.02, 0.1, 1.0)
BASELINES = ("length", "tfidf", "minilm", "minilm+length")
SOMEBODY = "somebody"  # an annotator of whom nothing is known

Pairs = Int[np.ndarray, "pair"]


def pooled(votes: Votes, keep: Bool[np.ndarray, "vote"]) -> Evidence:
    """The votes to keep as those of one annotator: equal ones on a pair are one that counts so often."""
    given = votes.evidence(keep)
    part = given.parts[0]
    assert isinstance(part, Comparisons)
    rows, count = np.unique(np.stack([part.first, part.second, part.level]), axis=1, return_counts=True)
    who = np.zeros(len(count), np.int64)
    merged = Comparisons(rows[0], rows[1], rows[2], who, 3, weight=count.astype(np.float32))
    return replace(given, annotators=("everyone",), parts=(merged,), uniform=(np.ones(len(who), bool),))


def logits(votes: Votes, reward_votes: Evidence, config: RewardConfig, reading: words.Reading) -> np.ndarray:
    """Log-odds that somebody unknown, who decides, prefers the first of each pair, after a fit to these votes."""
    known = replace(reward_votes, annotators=(*reward_votes.annotators, SOMEBODY))
    reward = fit(known, config, discrete=False, terminates=False, seed=0, encode=reading.encode)
    one = np.unique(votes.pair, return_index=True)[1]
    first, second = votes.first[one], votes.second[one]
    who = np.full(len(one), len(reward.names) - 1)
    value, sides = reward.value(votes.arguments), reward.annotators["compare3/side"]
    parameters = {**reward.annotators, "compare3/side": torch.zeros_like(sides)}  # a pair has no order in itself
    told = []
    for level in (0, 2):
        part = questions(Comparisons(first, second, np.full(len(one), level), who, 3))
        at = torch.from_numpy(value)[:, part.items]
        rows = torch.arange(len(one)).expand(len(value), -1)
        told.append(log_likelihood(part, parameters, at, rows).double().logsumexp(0).numpy())
    return told[1] - told[0]


def baseline(votes: Votes, name: str, train: Pairs, test: Pairs, known: dict[str, np.ndarray]) -> np.ndarray:
    """Log-odds of every pair, by the regularisation that is best for the votes held out."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counts, one = votes.counts(), np.unique(votes.pair, return_index=True)[1]
    first, second = votes.first[one], votes.second[one]
    if name == "tfidf":
        texts = [argument.response for argument in votes.arguments]
        seen = np.unique(np.concatenate([first[train], second[train]]))
        made = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=3).fit([texts[i] for i in seen])
        rows = made.transform(texts)
    else:
        rows = np.concatenate([known[part] for part in name.split("+")], 1)
    gap = rows[first] - rows[second]
    found = []
    for strength in REGULARISED:
        model = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000)
        twice = np.concatenate([train, train])
        label = np.repeat([1, 0], len(train))
        model.fit(gap[twice], label, sample_weight=np.concatenate([counts[train, 2], counts[train, 0]]))
        found.append(model.decision_function(gap))
    return max(found, key=lambda logit: float(likelihood(counts[test], logit[test]).mean()))


def likelihood(counts: Int[np.ndarray, "pair level"], logit: Float[np.ndarray, "pair"]) -> np.ndarray:
    """Of a pair's decided votes, summed."""
    return counts[:, 2] * log_sigmoid(logit) + counts[:, 0] * log_sigmoid(-logit)


def hits(counts: Int[np.ndarray, "pair level"], logit: Float[np.ndarray, "pair"]) -> Float[np.ndarray, "pair"]:
    return (1.0 + np.sign(counts[:, 2] - counts[:, 0]) * np.sign(logit)) / 2.0


def by_debate(votes: Votes, test: Pairs, logit: np.ndarray) -> dict[str, list[float]]:
    """Accuracy of pairs with a majority, and log-likelihood a decided vote, of each debate held out."""
    counts, one = votes.counts()[test], np.unique(votes.pair, return_index=True)[1]
    debate, decided = votes.debates[one][test], counts[:, 2] != counts[:, 0]
    found: dict[str, list[float]] = {"accuracy": [], "likelihood": [], "pairs": []}
    for number in np.unique(debate):
        own = debate == number
        found["accuracy"].append(float(hits(counts, logit[test])[own & decided].mean()))
        each = likelihood(counts[own], logit[test][own]).sum() / counts[own][:, [0, 2]].sum()
        found["likelihood"].append(float(each))
        found["pairs"].append(float((own & decided).sum()))
    return found


def agreement(votes: Votes, test: Pairs) -> float:
    """Of decided votes whose pair's other votes have a majority, how many are for it."""
    others = votes.counts()[votes.pair]
    others[np.arange(len(others)), votes.level] -= 1
    lead = np.sign(others[:, 2] - others[:, 0])
    own = (votes.level != 1) & (lead != 0) & np.isin(votes.pair, test)
    return float((np.sign(votes.level[own] - 1) == lead[own]).mean())


def one_fold(votes: Votes, number: int, form: str) -> tuple[list[float], Result]:
    """The choice within the training debates, and what it and the baselines say of the others."""
    out = list(ukp_votes.folds(votes))[number]
    one = np.unique(votes.pair, return_index=True)[1]
    test, train = np.flatnonzero(out[one]), np.flatnonzero(~out[one])
    names, baselines = (FEW, ("length", "tfidf")) if form == "quick" else (words.READINGS + words.DEEP, BASELINES)
    readings = words.readings(names, list(votes.arguments), own=True)
    found = select(pooled(votes, ~out), [Candidate(LINEAR, name) for name in names], readings, seed=number, folds=INNER)
    name = found.chosen.text
    each = replace(LINEAR, members=MANY, annotators="each" if form == "full" else "pooled")
    given = votes.evidence(~out) if form == "full" else pooled(votes, ~out)
    sides = {"chosen": logits(votes, given, each, readings[name])}
    texts = [(one.prompt, one.response) for one in votes.arguments]
    known = {part: encoders.fitted(part, texts)[1] for part in ("length", "minilm") if part in "+".join(baselines)}
    sides |= {name: baseline(votes, name, train, test, known) for name in baselines}
    figures: Result = {
        "reading": name,
        "apparent": found.apparent,
        "confirmed": found.confirmed[0],
        "ranking": [[row.name, row.score] for row in found.rows],
        "agreement": agreement(votes, test),
        "sides": {name: by_debate(votes, test, logit) for name, logit in sides.items()},
    }
    return [figures["sides"]["chosen"]["accuracy"][0]], figures  # type: ignore[index]


def work(argv: Sequence[str]) -> None:
    """`work FOLDER FORM --seed FOLD`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.ukp work")
    parser.add_argument("folder", type=Path)
    parser.add_argument("form", choices=("full", "quick"))
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    runtime.set_up()
    votes = ukp_votes.read(given.folder)
    if given.form == "quick":
        votes = ukp_votes.some(votes, QUICK)
    with quiet_output():
        warm_up()
        clock = Clock()
        values, figures = one_fold(votes, given.seed, given.form)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, values, **figures)


def of_sides(results: Sequence[Result]) -> Result:
    """All folds together, debate by debate."""
    sides = list(results[0]["sides"])  # type: ignore[call-overload]

    def rows(side: str, name: str) -> list[np.ndarray]:
        return [np.array(one["sides"][side][name]) for one in results]  # type: ignore[index]

    accuracy: dict[str, float] = {}
    for side in sides:
        folds = [
            float(np.average(a, weights=n)) for a, n in zip(rows(side, "accuracy"), rows(side, "pairs"), strict=True)
        ]
        accuracy[side] = float(np.mean(folds))
    every = {side: np.concatenate(rows(side, "likelihood")) for side in sides}
    gains, p = {}, []
    for side in sides[1:]:
        gap = every["chosen"] - every[side]
        interval = bootstrap_interval(gap[:, None], mean, np.random.default_rng(0))
        gains[side] = {"mean": float(gap.mean()), "ci95": list(interval), "better": int((gap > 0).sum())}
        p.append(float(np.asarray(wilcoxon(gap, alternative="greater"))[1]))
    for side, adjusted in zip(gains, holm(np.array(p)), strict=True):
        gains[side]["p"] = float(adjusted)
    own = np.concatenate(rows("chosen", "accuracy"))
    return {
        "accuracy": accuracy["chosen"],
        "se": float(own.std(ddof=1) / np.sqrt(len(own))),
        "ci95": list(bootstrap_interval(own[:, None], mean, np.random.default_rng(0))),
        "baselines": {side: accuracy[side] for side in sides[1:]},
        "likelihood": {side: float(rows.mean()) for side, rows in every.items()},
        "gains": gains,
        "annotators": float(np.mean(harness.column(results, "agreement"))),
        "readings": [str(one["reading"]) for one in results],
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    folder = own.data / "ukp"
    if not (folder / "ukp_votes.tsv.gz").exists():
        raise SystemExit(f"{folder} holds no ukp_votes.tsv.gz; name the folder above it with --data or ACCORD_DATA.")
    options = harness.parse("ukp", seeds=FOLDS, argv=rest, quick_seeds=2, first=0)  # a seed is a fold of the data's
    bench = Bench.start("ukp", options)
    version = harness.our_version("bench/ukp.py", "bench/ukp_votes.py")
    worker = Worker("accord", (sys.executable, "-m", "bench.ukp", "work"), version)
    form = "quick" if options.quick else "full"
    results = [bench.measure(worker, str(folder), form, seed=fold) for fold in options.seed_list()]
    bench.emit(None, {}, {}, **of_sides(results))


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
