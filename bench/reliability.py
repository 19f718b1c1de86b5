"""What knowing the annotators is worth, on real votes: `bench/ukp_votes.py`, which of two arguments convinces more.

    python -m bench.reliability [--seeds N] [--quick] [--fresh] [--dev] [--data FOLDER]

Everything is `rewards.fit`, as a run calls it, with a linear reward: of one free value for each argument, and for
accuracies of a sentence embedding and the logarithm of the length beside it (without values of their own, the embedding
explains what is peculiar to the arguments that were voted on: .69 in place of .75). Annotators are fitted with it.

`loglik_gain`: a fifth of the votes is left out at random. How much more likely are they, in nats a vote, under the fit
than by the shares of the levels among the other votes on the pair (`majority`)? Beside it, shares of the pair with each
worker's habits (`habits`), and Dawid and Skene's model. The interval is over debates, each side seeing the same votes.

`spammer_skill`: a fifth of the workers with 30 usable votes or more (voting for a side, where the others' majority is
for one) answer at random instead, each level as likely. The skills that a fit to all votes finds for them (`reaching`:
the share whose 90% interval reaches below 0.2; `below_of_100` is of those with 100 votes or more); of the others with
as many; and how far from the pooled skill those with two votes at most come.

`accuracy_clean`, `accuracy_spammed`: pairwise accuracy on debates not trained on, against the real majority (four folds
of three debates, an even prediction counts half), from the real votes and from those with spammers; `accuracy_length`
is that of the longer argument, which needs no votes. `drop` is the difference of the first two, its interval over
debates.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from accord.functional.statistics import bootstrap_interval, mean
from accord.rewards.annotators import log_likelihood, questions
from accord.rewards.features import Encoder
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.fitted import FittedReward
from accord.types import Comparisons, Reply, Segment
from bench import harness
from bench import ukp_votes as ukp
from bench.harness import Bench, Result, Worker
from bench.kinds import DATA
from bench.known_rewards import word_counts
from bench.peers.protocol import Clock, finish, quiet_output, warm_up
from bench.ukp_votes import Votes

MODE = RewardConfig(kind="linear", members=1)  # one member: the mode itself
HELD_OUT, LOW, FEW, MUCH = 0.2, 0.2, 2, 100
EMBEDDED = harness.JOURNAL / "ukp_minilm.npy"
QUICK = 4  # debates of the short form

# ------------------------------------------------------------------------------------------------------ one fit


def fitted(votes: Votes, keep: np.ndarray, encode: Encoder, seed: int) -> FittedReward:
    return fit(votes.evidence(keep), MODE, discrete=False, terminates=False, seed=seed, encode=encode)


def each_alone(votes: Votes) -> Encoder:
    """One column for each argument."""
    place = {argument: i for i, argument in enumerate(dict.fromkeys(votes.arguments))}

    def encode(segments: Sequence[Segment]) -> np.ndarray:
        return np.eye(len(place), dtype=np.float32)[[place[_reply(segment)] for segment in segments]]

    return encode


def read_texts(votes: Votes, rows: Float[np.ndarray, "argument column"] | None) -> Encoder:
    """The given rows (or counts of words, where there are none), the logarithm of the length, and each one's own."""
    known = {} if rows is None else dict(zip(votes.arguments, rows, strict=True))
    own = each_alone(votes)

    def encode(segments: Sequence[Segment]) -> np.ndarray:
        length = np.log([[len(_reply(segment).response)] for segment in segments])
        read = word_counts(segments) if rows is None else np.stack([known[_reply(segment)] for segment in segments])
        return np.concatenate([read, length, own(segments)], 1)

    return encode


def _reply(segment: Segment) -> Reply:
    assert isinstance(segment, Reply)
    return segment


def foretold(votes: Votes, keep: np.ndarray, reward: FittedReward) -> Float[np.ndarray, "vote"]:
    """Log-likelihood of votes under the fit: the values of their arguments, and who gave them."""
    part = questions(Comparisons(votes.first[keep], votes.second[keep], votes.level[keep], votes.worker[keep], 3))
    values = torch.from_numpy(reward.value(votes.arguments))[:, part.items]
    return log_likelihood(part, reward.annotators, values, torch.arange(len(part.outcome)).unsqueeze(0))[0].numpy()


# ------------------------------------------------------------------------------------------------------ one seed


def votes_figures(votes: Votes, seed: int) -> tuple[list[float], Result]:
    """Log-likelihood of votes left out, a vote and by debate."""
    rng = np.random.default_rng(seed)
    train = rng.random(len(votes.level)) >= HELD_OUT
    found = {
        "joint": foretold(votes, ~train, fitted(votes, train, each_alone(votes), seed)),
        "majority": ukp.counted(votes, train, with_habits=False),
        "habits": ukp.counted(votes, train, with_habits=True),
        "dawid_skene": ukp.confused(votes, train, rng),
    }
    debate = votes.debates[~train]
    by_debate = {name: _means(rows, debate, votes.groups) for name, rows in found.items()}
    return [float(found["joint"].mean())], {"by_debate": by_debate, "held_out": len(debate)}


def _means(values: np.ndarray, group: np.ndarray, groups: int) -> list[float]:
    return [float(values[group == one].mean()) for one in range(groups)]


def skills_figures(votes: Votes, seed: int) -> tuple[list[float], Result]:
    """Skills once some of those who voted much are spammers."""
    bad_votes, bad = ukp.spammed(votes, np.random.default_rng(seed))
    reward = fitted(bad_votes, np.ones(len(votes.level), bool), each_alone(votes), seed)
    skill = np.array([one.skill for one in reward.report.annotators])
    answers = np.bincount(votes.worker, minlength=len(skill))
    good = np.setdiff1d(np.flatnonzero(ukp.usable(votes) >= ukp.USABLE), bad)
    return skill[bad].tolist(), {
        "spammers": skill[bad].tolist(),
        "spammers_answers": answers[bad].tolist(),
        "spammers_low": [reward.report.annotators[k].skill_low for k in bad],
        "others": skill[good].tolist(),
        "few": skill[answers <= FEW].tolist(),
        "pooled": float(torch.sigmoid(reward.annotators["compare3/skill_mean"]).mean()),
    }


def accuracy_figures(
    votes: Votes, with_spammers: bool, rows: np.ndarray | None, seed: int
) -> tuple[list[float], Result]:
    """Pairwise accuracy on debates not trained on: the mean of the folds, and by debate."""
    seen = ukp.spammed(votes, np.random.default_rng(seed))[0] if with_spammers else votes
    counts, encode, one_of_pair = votes.counts(), read_texts(votes, rows), np.unique(votes.pair, return_index=True)[1]
    lead, first, second = counts[:, 2] - counts[:, 0], votes.first[one_of_pair], votes.second[one_of_pair]
    length = np.array([len(argument.response) for argument in votes.arguments])

    def hits(value: Float[np.ndarray, "argument"], which: np.ndarray) -> Float[np.ndarray, "pair"]:
        return (1.0 + np.sign(value[first[which]] - value[second[which]]) * np.sign(lead[which])) / 2.0

    found, by_fold, length_by_fold = np.full(len(lead), np.nan), [], []
    for held_out in ukp.folds(votes):
        decided = np.flatnonzero(held_out[one_of_pair] & (lead != 0))
        found[decided] = hits(fitted(seen, ~held_out, encode, seed).value(votes.arguments)[0], decided)
        by_fold.append(float(found[decided].mean()))
        length_by_fold.append(float(hits(length, decided).mean()))
    by_debate = _means(found[lead != 0], votes.debates[one_of_pair][lead != 0], votes.groups)
    return by_fold, {"by_debate": by_debate, "length": float(np.mean(length_by_fold))}


def work(argv: Sequence[str]) -> None:
    """`work WHAT FOLDER FEATURES --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.reliability work")
    parser.add_argument("what", choices=("votes", "skills", "clean", "spammed"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("features", choices=("minilm", "words"))
    parser.add_argument("form", choices=("full", "quick"))
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    rows = np.load(EMBEDDED) if given.features == "minilm" else None
    votes = ukp.read(given.folder)
    if given.form == "quick":
        votes = ukp.some(votes, QUICK)
    with quiet_output():
        warm_up()
        clock = Clock()
        if given.what in ("clean", "spammed"):
            values, figures = accuracy_figures(votes, given.what == "spammed", rows, given.seed)
        else:
            values, figures = (votes_figures if given.what == "votes" else skills_figures)(votes, given.seed)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, values, **figures)


# ----------------------------------------------------------------------------------------------------- all seeds


def differing(results: Sequence[Result], ours: str, theirs: str) -> tuple[float, list[float]]:
    """Mean difference of two columns by debate, averaged over seeds, with its bootstrap interval over debates."""
    each = np.array([np.array(_by(one, ours)) - np.array(_by(one, theirs)) for one in results]).mean(0)
    return float(each.mean()), list(bootstrap_interval(each[:, None], mean, np.random.default_rng(0)))


def _by(result: Result, name: str) -> list[float]:
    return result["by_debate"][name]  # type: ignore[index]


def of_votes(results: Sequence[Result]) -> Result:
    """The gain over each other way to count."""
    names = ("joint", "majority", "habits", "dawid_skene")
    means = {name: float(np.mean([_by(one, name) for one in results])) for name in names}
    found: Result = {"loglik": means}
    for name in names[1:]:
        gain, interval = differing(results, "joint", name)
        key = "loglik_gain" if name == "majority" else f"loglik_gain_over_{name}"
        found |= {key: gain, f"{key}_ci": interval}
    return found


def of_skills(results: Sequence[Result]) -> Result:
    """All seeds together. `few_from_pool` is how far the skill of workers with two votes at most is from the pool's."""

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([np.array(one[name]) for one in results])

    bad, good = all_of("spammers"), all_of("others")
    sure = all_of("spammers_answers") >= MUCH
    far = np.concatenate([np.abs(np.array(one["few"]) - float(str(one["pooled"]))) for one in results])
    return {
        "spammer_skill": {
            "median": float(np.median(bad)),
            "below": float((bad < LOW).mean()),
            "below_of_100": float((bad[sure] < LOW).mean()),
            "reaching": float((all_of("spammers_low") < LOW).mean()),
            "max": float(bad.max()),
            "count": len(bad),
        },
        "other_skill": {
            "median": float(np.median(good)),
            "below": float((good < LOW).mean()),
            "min": float(good.min()),
            "above_all_spammers": float((good > bad.max()).mean()),
        },
        "pooled_skill": float(np.median(harness.column(results, "pooled"))),
        "few_from_pool": {"median": float(np.median(far)), "p95": float(np.quantile(far, 0.95))},
    }


def of_accuracy(clean: Result, spammed: Sequence[Result]) -> Result:
    """Means of folds, and their difference by debate."""
    with_spammers = harness.column(spammed, "mean")
    each = np.array(clean["by_debate"]) - np.array([one["by_debate"] for one in spammed]).mean(0)
    low, high = bootstrap_interval(each[:, None], mean, np.random.default_rng(0))
    accuracy = float(str(clean["mean"]))
    return {
        "accuracy_clean": accuracy,
        "accuracy_clean_se": float(np.std(np.array(clean["by_debate"]), ddof=1) / np.sqrt(len(each))),
        "accuracy_length": float(str(clean["length"])),
        "accuracy_spammed": float(np.mean(with_spammers)),
        "drop": accuracy - float(np.mean(with_spammers)),
        "drop_worst": accuracy - min(with_spammers),
        "drop_ci_by_debate": [low, high],
    }


def embed(data: Path) -> bool:
    """Makes the embeddings where their interpreter is there; whether they are."""
    python = harness.PEERS / "minilm" / "bin" / "python"
    if not EMBEDDED.exists() and python.exists():
        EMBEDDED.parent.mkdir(parents=True, exist_ok=True)
        script = harness.ROOT / "bench" / "peers" / "minilm.py"
        subprocess.run([str(python), str(script), str(data / "ukp_args.jsonl.gz"), str(EMBEDDED)], check=True)
    return EMBEDDED.exists()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    folder = own.data / "ukp"
    if not (folder / "ukp_votes.tsv.gz").exists():
        raise SystemExit(f"{folder} holds no ukp_votes.tsv.gz; name the folder above it with --data or ACCORD_DATA.")
    bench = Bench.start("reliability", harness.parse("reliability", seeds=5, argv=rest))
    version = harness.our_version("bench/reliability.py", "bench/ukp_votes.py")
    worker = Worker("accord", (sys.executable, "-m", "bench.reliability", "work"), version)
    features = "minilm" if embed(folder) else "words"
    given, seeds = (str(folder), features, "quick" if bench.options.quick else "full"), bench.options.seed_list()
    clean = bench.measure(worker, "clean", *given, seed=seeds[0])
    results = {
        what: [bench.measure(worker, what, *given, seed=seed) for seed in seeds]
        for what in ("votes", "skills", "spammed")
    }
    found = of_votes(results["votes"]) | of_skills(results["skills"]) | of_accuracy(clean, results["spammed"])
    seconds = max(harness.column(results["skills"], "cpu_seconds"))
    bench.emit(None, {}, {}, features=features, fit_cpu_seconds=seconds, **found)


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
