"""Whether what `accord ask` says more answers would bring is what they bring, once there are twice as many.

    python -m bench.ask [--seeds N] [--quick] [--fresh] [--dev] [--data FOLDER]

A resampling draws 2n answers. From the first n the learning curve is measured and carried on (`rewards/curve.py`), and
says by how much the log-likelihood and the accuracy of unseen answers would rise if n more were trained on. Then they
are, and what unseen answers gained is counted. `coverage` is the share of resamplings in which the 90% interval held
it; `error` the mean of what was said less what came, `size` the mean absolute error, both in nats an answer (`gained`:
what came, on average); `_accuracy` the same of accuracy.

`ukp`: votes of a crowd on arguments (`bench/ukp_votes.py`), n = 400 of them, a linear reward of a dozen plain measures
of a text (length, words, marks). Whole debates are held out, in the curve and in the truth: the votes of every debate,
all of the file, are foretold from the 2n of the others, in four folds. `control`: comparisons of segments under a
reward that is known (`bench/known_rewards.py`), n = 120 by four annotators of known carelessness, a kernel reward;
truth is foretelling 3,000 others.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from accord.functional.statistics import wilson
from accord.rewards.curve import Carried, Measured, carried, foretold, measure, subset
from accord.rewards.fit import fit
from accord.rewards.fitted import FittedReward
from accord.rewards.settings import RewardConfig
from accord.types import Evidence, Reply, Segment
from bench import harness, known_rewards
from bench import ukp_votes as ukp
from bench.harness import Bench, Result, Worker, column
from bench.kinds import DATA
from bench.peers.protocol import Clock, finish, quiet_output, warm_up

VOTES, COMPARISONS, UNSEEN = 400, 120, 3_000
LINEAR, KERNEL = RewardConfig(kind="linear"), RewardConfig(kind="kernel")
Said = dict[str, tuple[float, float, float]]


def measures(segments: Sequence[Segment]) -> np.ndarray:
    """A dozen plain measures of each text."""
    return np.array([_of(segment.response) for segment in segments if isinstance(segment, Reply)])


def _of(text: str) -> list[float]:
    words, size = text.lower().split() or [""], max(1, len(text))
    long = sum(len(word) > 6 for word in words)
    marks = [text.count(mark) / len(words) for mark in ",.!?"]
    shares = [sum(map(str.isupper, text)) / size, sum(map(str.isdigit, text)) / size, long / len(words)]
    return [math.log(size), math.log(len(words)), size / len(words), len(set(words)) / len(words), *shares, *marks,
            float(text[:1].isupper())]  # fmt: skip


def fitting(config: RewardConfig, encode: Callable[[Sequence[Segment]], np.ndarray] | None) -> Callable:
    def fitted(evidence: Evidence, seed: int) -> FittedReward:
        return fit(evidence, config, discrete=False, terminates=True, seed=seed, encode=encode)

    return fitted


def present(evidence: Evidence) -> Evidence:
    """Without annotators who gave no answer."""
    (part,) = evidence.parts
    who, place = np.unique(part.annotator, return_inverse=True)
    names = tuple(evidence.annotators[k] for k in who)
    return replace(evidence, annotators=names, parts=(replace(part, annotator=place),))


def said(found: Measured, seed: int, n: float) -> Said:
    """What doubling the answers would bring."""
    rng = np.random.default_rng(seed)
    figures: dict[str, Carried] = {
        "likelihood": carried(found.likelihood, found.sizes, rng, 0.0),
        "accuracy": carried(found.accuracy, found.sizes, rng, 1.0),
    }
    return {name: each.gain(n, n) for name, each in figures.items()}


def of_votes(folder: Path, seed: int, n: int) -> tuple[Said, dict[str, float]]:
    """Real votes, whole debates held out."""
    votes, rng = ukp.read(folder), np.random.default_rng(seed)
    order = rng.permutation(len(votes.level))
    few, many, rest = (np.isin(np.arange(len(order)), order[rows]) for rows in
                       (slice(0, n), slice(0, 2 * n), slice(2 * n, None)))  # fmt: skip
    fitted = fitting(LINEAR, measures)
    found = measure(present(votes.evidence(few)), fitted, seed)
    gained: dict[str, list[float]] = {"likelihood": [], "accuracy": []}
    sizes = []
    for held in ukp.folds(votes):
        unseen = votes.evidence(held & rest)
        before, after = (foretold(fitted(votes.evidence(kept & ~held), seed), unseen) for kept in (few, many))
        sizes.append(int((few & ~held).sum()))
        for name, each in gained.items():
            each.append(after[name] - before[name])
    return said(found, seed, float(np.mean(sizes))), {name: float(np.mean(each)) for name, each in gained.items()}


def of_segments(seed: int, n: int) -> tuple[Said, dict[str, float]]:
    """A known reward, and annotators who are careless to a known degree."""
    known = known_rewards.control(4 * n + UNSEEN, seed)
    answers = known_rewards.ask(known, [known_rewards.ASKING["compare"]], 2 * n + UNSEEN, seed)
    place = np.random.default_rng(seed).permutation(answers.answers)
    few, many, unseen = (subset(answers, [mask]) for mask in (place < n, place < 2 * n, place >= 2 * n))
    fitted = fitting(KERNEL, None)
    before, after = (foretold(fitted(each, seed), unseen) for each in (few, many))
    return said(measure(few, fitted, seed), seed, n), {name: after[name] - before[name] for name in before}


def work(argv: Sequence[str]) -> None:
    """`work WHAT FOLDER N --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.ask work")
    parser.add_argument("what", choices=("ukp", "control"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    with quiet_output():
        warm_up()
        clock = Clock()
        told, came = (
            of_votes(given.folder, given.seed, given.n) if given.what == "ukp" else of_segments(given.seed, given.n)
        )
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, [came["likelihood"]], said={k: list(v) for k, v in told.items()}, came=came)


def figures(results: Sequence[Result]) -> Result:
    """Coverage with Wilson's interval, and errors."""
    found: Result = {}
    for name, ending in (("likelihood", ""), ("accuracy", "_accuracy")):
        told = np.array([one["said"][name] for one in results])  # type: ignore[index]
        came = np.array([one["came"][name] for one in results])  # type: ignore[index]
        held = int(((told[:, 1] <= came) & (came <= told[:, 2])).sum())
        found |= {f"coverage{ending}": held / len(came), f"coverage{ending}_ci": wilson(held, len(came))}
        error = told[:, 0] - came
        found |= {f"error{ending}": float(error.mean()), f"size{ending}": float(np.abs(error).mean())}
        found |= {f"gained{ending}": float(came.mean()), f"width{ending}": float((told[:, 2] - told[:, 1]).mean())}
    return found | {"cpu_seconds": float(np.median(column(results, "cpu_seconds")))}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    folder = own.data / "ukp"
    if not (folder / "ukp_votes.tsv.gz").exists():
        raise SystemExit(f"{folder} holds no ukp_votes.tsv.gz; name the folder above it with --data or ACCORD_DATA.")
    bench = Bench.start("ask", harness.parse("ask", seeds=24, argv=rest))
    scripts = ("bench/ask.py", "bench/ukp_votes.py", "bench/known_rewards.py")
    worker = Worker("accord", (sys.executable, "-m", "bench.ask", "work"), harness.our_version(*scripts))
    sizes = {"ukp": 120 if bench.options.quick else VOTES, "control": 60 if bench.options.quick else COMPARISONS}
    found = {
        what: figures([bench.measure(worker, what, folder, n, seed=seed) for seed in bench.options.seed_list()])
        for what, n in sizes.items()
    }
    bench.emit(None, {}, {}, **found)


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
