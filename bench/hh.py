"""A reward chosen for dialogues: which of two replies people found less harmful, a fifth of the pairs held out.

    python -m bench.hh [--quick] [--fresh] [--data FOLDER]

1,856 pairs of Anthropic's harmlessness test set; the five random splits of the data's README (four fifths train; pairs
whose dialogue is held out too are left out of training). In each split `rewards.select` chooses among readings of the
replies, with weights and with a kernel over them, by cross-validation over the dialogues trained on; encoders are
fitted to their replies alone. The choice is then fitted to all of them and foretells the others. Which readings there
are was decided with these dialogues at hand.

The baseline is fitted here: logistic regression on the difference of two sentence embeddings (MiniLM, reply only), the
best of four regularisations by what is held out, which flatters it.

`accuracy`: of held-out pairs, mean of splits; `paired_low` and `paired_high`: a 95% interval of how much more that is
than the baseline's, drawn over pairs, each of which counts once however many splits held it out. `sides` are the
readings apart, each with the simpler of its two rewards: they are not chosen by anything held out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float, Int

from accord import runtime
from accord.functional.statistics import bootstrap_interval, mean
from accord.rewards import encoders, words
from accord.rewards.candidates import Candidate
from accord.rewards.crossval import Reading
from accord.rewards.encoders import Part
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.select import select
from accord.types import Evidence, Reply
from bench import harness
from bench.dialogues import Pairs, evidence, read, remembered
from bench.harness import Bench, Result, Worker
from bench.kinds import DATA
from bench.peers.protocol import Clock, finish, quiet_output, warm_up

SPLITS, TRAINED = 5, 0.8
FEW = ("length", "style")
STRENGTHS = (0.03, 0.1, 0.3, 1.0)  # of the baseline's regularisation, inverse
MEMBERS = 3


def split(pairs: Pairs, seed: int) -> tuple[Int[np.ndarray, "train"], Int[np.ndarray, "test"]]:
    """As the data's README splits them; no dialogue stands on both sides."""
    order = np.random.RandomState(seed).permutation(len(pairs))
    cut = int(TRAINED * len(pairs))
    test = order[cut:]
    asked = {pairs[k][0].prompt for k in test}
    return np.array([k for k in order[:cut] if pairs[k][0].prompt not in asked]), test


def readings(names: Sequence[str], fitted: Sequence[Reply], every: Sequence[Reply]) -> dict[str, Reading]:
    """Encoders of the replies trained on, and what they make of all."""
    place = {(one.prompt, one.response): number for number, one in enumerate(every)}
    return {name: Reading(encode=words.Known(place, encoders.encoder(name, fitted)(every))) for name in names}


def hits(values: Float[np.ndarray, "pair side"]) -> Float[np.ndarray, "pair"]:
    """1 where the chosen reply is worth more, a half where they are worth the same."""
    return (1.0 + np.sign(values[:, 0] - values[:, 1])) / 2.0


def foretold(
    pairs: Pairs, train: Evidence, candidate: Candidate, reading: Reading, seed: int
) -> Float[np.ndarray, "pair"]:
    """Hits on pairs that the reward was not fitted to."""
    reward = fit(train, candidate.config, discrete=False, terminates=False, seed=seed, encode=reading.encode)
    return hits(np.stack([reward.value([pair[side] for pair in pairs]).mean(0) for side in (0, 1)], 1))


def baseline(pairs: Pairs, train: Int[np.ndarray, "train"], test: Int[np.ndarray, "test"]) -> Float[np.ndarray, "pair"]:
    """Hits of a logistic regression on the embedding."""
    from sklearn.linear_model import LogisticRegression

    rows = [
        encoders.READ["minilm"](Part("minilm"), [(one.prompt, one.response) for one in side])
        for side in zip(*pairs, strict=True)
    ]
    gap, found = rows[0] - rows[1], []
    both = np.concatenate([gap[train], -gap[train]])
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, fit_intercept=False, max_iter=2000)
        model.fit(both, np.repeat([1, 0], len(train)))
        found.append(hits(np.stack([model.decision_function(gap[test]), np.zeros(len(test))], 1)))
    return max(found, key=lambda one: float(one.mean()))


def one_split(pairs: Pairs, seed: int, form: str) -> tuple[list[float], Result]:
    """The choice within the training pairs, and what it, every reading and the baseline say of the others."""
    for name in ("minilm", "smollm2"):
        encoders.READ[name] = remembered(f"hh_{name}", encoders.READ[name])
    train, test = split(pairs, seed)
    given, held = evidence([pairs[k] for k in train], seed), [pairs[k] for k in test]
    fitted = [one for one in given.segments if isinstance(one, Reply)]
    every = list(dict.fromkeys(one for pair in pairs for one in pair))
    names = FEW if form == "quick" else words.READINGS + words.DEEP
    known = readings(names, fitted, every)
    linear = RewardConfig(kind="linear", members=MEMBERS)
    kernel = replace(linear, kind="kernel", weighed=False)
    found = select(given, [Candidate(one, name) for one in (linear, kernel) for name in names], known, seed)
    own = foretold(held, given, found.chosen, known[found.chosen.text], seed)
    sides = {name: float(foretold(held, given, Candidate(linear, name), known[name], seed).mean()) for name in names}
    beside = np.full(len(test), np.nan) if form == "quick" else baseline(pairs, train, test)
    figures: Result = {
        "chosen": found.chosen.name,
        "reading": found.chosen.text,
        "confirmed": found.confirmed[0],
        "test": test.tolist(),
        "hits": own.tolist(),
        "baseline": beside.tolist(),
        "sides": sides,
        "trained": len(train),
    }
    return [float(own.mean())], figures


def work(argv: Sequence[str]) -> None:
    """`work FOLDER FORM --seed SPLIT`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.hh work")
    parser.add_argument("folder", type=Path)
    parser.add_argument("form", choices=("full", "quick"))
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    runtime.set_up()
    pairs = read(given.folder)
    with quiet_output(), runtime.flushed():
        warm_up()
        clock = Clock()
        values, figures = one_split(pairs[:200] if given.form == "quick" else pairs, given.seed, given.form)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, values, **figures)


def of_splits(results: Sequence[Result]) -> Result:
    """All splits together."""
    gains: dict[int, list[float]] = {}
    for one in results:
        own, beside = np.array(one["hits"], float), np.array(one["baseline"], float)
        for pair, gain in zip(np.array(one["test"], int).tolist(), (own - beside).tolist(), strict=True):
            gains.setdefault(pair, []).append(gain)
    each = np.array([np.mean(row) for row in gains.values()])
    low, high = bootstrap_interval(each[:, None], mean, np.random.default_rng(0))
    sides = [cast(Mapping[str, float], one["sides"]) for one in results]
    return {
        "accuracy": float(np.mean([np.mean(np.array(one["hits"], float)) for one in results])),
        "baseline": float(np.mean([np.mean(np.array(one["baseline"], float)) for one in results])),
        "gain": float(each.mean()),
        "paired_low": low,
        "paired_high": high,
        "sides": {name: float(np.mean([one[name] for one in sides])) for name in sides[0]},
        "chosen": [str(one["chosen"]) + ", " + str(one["reading"]) for one in results],
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    if not (own.data / "hh").is_dir():
        raise SystemExit(f"{own.data} holds no hh; name the folder above it with --data or ACCORD_DATA.")
    options = harness.parse("hh", seeds=SPLITS, argv=rest, quick_seeds=1, first=0)  # a seed is a split of the data's
    bench = Bench.start("hh", options)
    worker = Worker(
        "accord", (sys.executable, "-m", "bench.hh", "work"), harness.our_version("bench/hh.py", "bench/dialogues.py")
    )
    form = "quick" if options.quick else "full"
    results = [bench.measure(worker, str(own.data), form, seed=number) for number in options.seed_list()]
    bench.emit(None, {}, {}, **of_splits(results))


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
