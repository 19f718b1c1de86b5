"""Every kind of feedback alone, together, on text, and demonstrations without any other feedback.

    python -m bench.kinds [--seeds N] [--quick] [--fresh] [--dev] [--data FOLDER]

Kinds: 500 answers of one kind, from four annotators of known reliability about segments whose reward is known
(`bench/known_rewards.py`). `spearman` is the rank correlation of the fitted G with the true one on 500 fresh segments
for the default reward, the median over the seeds; `spearman_kernel` the same for a kernel reward, whose exact posterior
gives the reliabilities. `coverage` is the share of their 90% intervals, over annotators, kinds and seeds, that contain
the known one, with Wilson's 95% interval. `spearman_own_functions` is what the same fit attains from the same answers
when it is told the reward's own functions: what the answers would allow.

`mixture` splits 500 answers evenly over the kinds. `mixture_minus_best` is its Spearman less that of 500 answers of the
best kind, per seed, with the bootstrap 95% interval of the mean: a hard comparison, as kinds differ in how much an
answer says. `mixture_minus_part` is the same against the best kind's share of the very same answers.

Demonstrations: `examples/demonstrations.toml` on the files in `--data`, skipped where they are not. `ratio` there is
`(R - random) / (demonstrations - random)`, of the median seed; `plain` is R over the demonstrations' mean return.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from accord.functional.statistics import bootstrap_interval, mean, spearman, wilson
from accord.rewards.features import Encoder
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.fitted import FittedReward
from accord.types import Evidence, Kind, Segment
from bench import harness, known_rewards
from bench.harness import Bench, Result, Worker
from bench.known_rewards import ASKING, Known
from bench.peers.protocol import Clock, evaluate, finish, quiet_output, warm_up

ANSWERS, QUICK_ANSWERS, POOL, FRESH = 500, 60, 400, 500
RUNS = 5  # of demonstrations alone, at most
FIRST_SEED = 10_100  # earlier ones were seen before annotators last changed
REWARD, RELIABLE = RewardConfig(), RewardConfig(kind="kernel", intervals="exact")
# What the example is told for each, and mean returns: of the demonstrations in the file, and of 100 random episodes.
CARTPOLE = {
    "task.envs": "none",
    "feedback.labels": "400",
    "feedback.rounds": "15",
    "feedback.segment": "50",
    "feedback.first": "0.1",
    "feedback.queries.items": "8",
    "reward.kind": "mlp",  # a kernel reward ended at 385 where nets ended at 500
    "reward.inputs": "state_action",
    "policy.gamma": "0.98",
    "policy.rollout": "none",
    "policy.minibatch": "none",
    "policy.steps": "300_000",
}
TASKS: Mapping[str, tuple[str, Mapping[str, str], float, float]] = {
    "CartPole-v1": ("cartpole", CARTPOLE, 473.05, 23.7),
    "Pendulum-v1": ("pendulum", {}, -189.40, -1207.6),
}
QUICK_TASK = {"feedback.labels": "24", "feedback.rounds": "2", "policy.steps": "60_000"}
DATA = Path(os.environ.get("ACCORD_DATA", harness.ROOT.parent / "shared" / "data"))

# ---------------------------------------------------------------------------------------- one seed, in a fresh process


def fitted(evidence: Evidence, seed: int, config: RewardConfig = REWARD, encode: Encoder | None = None) -> FittedReward:
    return fit(evidence, config, discrete=False, terminates=False, seed=seed, encode=encode)


def correlation(reward: FittedReward, segments: Sequence[Segment], truth: np.ndarray) -> float:
    return spearman(reward.value(segments).mean(0).astype(np.float64), truth)


def parted(known: Known) -> tuple[Known, Known]:
    """Segments to ask about, and fresh ones."""
    asked, fresh = slice(POOL), slice(POOL, None)
    return (
        Known(known.segments[asked], known.truth[asked], known.plain[asked]),
        Known(known.segments[fresh], known.truth[fresh], known.plain[fresh]),
    )


def covered(reward: FittedReward) -> list[bool]:
    """For every annotator and kind, whether the interval of the skill contains the known one."""
    hits = []
    for one in reward.report.annotators:
        kind: Kind = "correct" if one.part.startswith("correct") else "compare"  # all others have one share of lapses
        hits.append(one.skill_low <= known_rewards.skill(int(one.annotator[-1]), kind) <= one.skill_high)
    return hits


def kind_figures(name: str, answers: int, seed: int) -> tuple[list[float], Result]:
    """One kind, or `mixture`, at one seed."""
    pool, fresh = parted(known_rewards.control(POOL + FRESH, seed))
    askings = list(ASKING.values()) if name == "mixture" else [ASKING[name]]
    evidence = known_rewards.ask(pool, askings, answers, seed)
    reward, careful = fitted(evidence, seed), fitted(evidence, seed, RELIABLE)
    told = fitted(known_rewards.in_own_functions(evidence, pool), seed, RewardConfig(kind="linear"))
    figures: Result = {
        "own_functions": correlation(told, fresh.plain, fresh.returns),
        "kernel": correlation(careful, fresh.segments, fresh.returns),
        "covered": covered(careful),
        "skills": [one.skill for one in careful.report.annotators],
    }
    if name == "mixture":
        figures["parts"] = {
            kind: correlation(fitted(one, seed), fresh.segments, fresh.returns)
            for kind, one in known_rewards.alone(evidence).items()
        }
    return [correlation(reward, fresh.segments, fresh.returns)], figures


def text_figures(answers: int, seed: int) -> tuple[list[float], Result]:
    """Replies compared in two levels, read by an encoder that counts hashed words."""
    pool, fresh = parted(known_rewards.replies(POOL + FRESH, seed))
    evidence = known_rewards.ask(pool, [ASKING["compare"]], answers, seed)
    reward = fitted(evidence, seed, encode=known_rewards.word_counts)
    straight = fitted(evidence, seed, RewardConfig(kind="linear"), known_rewards.word_counts)
    figures: Result = {"linear": correlation(straight, fresh.segments, fresh.returns)}
    return [correlation(reward, fresh.segments, fresh.returns)], figures


def demonstration_returns(task: str, path: str, quick: bool, seed: int) -> tuple[list[float], Result]:
    """True returns, on Gymnasium's plain environment, of a policy that saw demonstrations alone."""
    from accord import build, config, records
    from accord.policies.control.ppo import PPO
    from accord.progress import Silent
    from accord.tasks.control import ControlTask

    given = {"task.id": task, "feedback.demonstrations": path, "seed": str(seed), "report.baselines": "false"}
    given["report.clip"] = "false"
    given |= TASKS[task][1]
    with tempfile.TemporaryDirectory() as folder:
        example = harness.ROOT / "examples" / "demonstrations.toml"
        settings = config.load(example, given | (QUICK_TASK if quick else {}))
        result = build.run(settings, Path(folder), False, Silent())
        policy = PPO(ControlTask(settings.task), settings.policy, seed)
        policy.load(Path(folder) / records.POLICY)
    return evaluate(task, lambda rows: policy.act(rows.astype(np.float32))), {"env_steps": result.env_steps}


def work(argv: Sequence[str]) -> None:
    """`work NAME ANSWERS --seed S` or `work TASK FILE QUICK --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.kinds work")
    parser.add_argument("what")
    parser.add_argument("more", nargs="+")
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    with quiet_output():
        warm_up()
        clock = Clock()
        returns, figures = worked(given.what, given.more, given.seed)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, returns, **figures)


def worked(what: str, more: Sequence[str], seed: int) -> tuple[list[float], Result]:
    if what in TASKS:
        return demonstration_returns(what, more[0], more[1] == "quick", seed)
    if what == "text":
        return text_figures(int(more[0]), seed)
    return kind_figures(what, int(more[0]), seed)


# ----------------------------------------------------------------------------------------------------- all seeds


def intervals_hold(results: Sequence[Result]) -> list[bool]:
    return [bool(hit) for result in results for hit in list(result["covered"])]  # type: ignore[call-overload]


def share(hits: Sequence[bool]) -> Result:
    """With Wilson's interval, as if the annotators of one seed were independent."""
    low, high = wilson(sum(hits), len(hits))
    return {"coverage": sum(hits) / len(hits), "coverage_ci": [low, high], "intervals": len(hits)}


def less(ours: Sequence[float], theirs: Sequence[float]) -> Result:
    """Mean difference per seed, with its bootstrap interval."""
    difference = np.array(ours) - np.array(theirs)
    low, high = bootstrap_interval(difference[:, None], mean, np.random.default_rng(0))
    return {"mean": float(difference.mean()), "ci95": [low, high], "worst": float(difference.min())}


def summary(kinds: Mapping[str, Sequence[Result]], text: Sequence[Result]) -> Result:
    """What the answers taught, by kind, together and on text."""
    values = {name: harness.column(results, "mean") for name, results in kinds.items()}
    spearmans = {name: statistics.median(each) for name, each in values.items()}
    kernel = {name: statistics.median(harness.column(results, "kernel")) for name, results in kinds.items()}
    own = {name: statistics.median(harness.column(results, "own_functions")) for name, results in kinds.items()}
    best = max(ASKING, key=lambda name: spearmans[name])
    parts = {name: [float(result["parts"][name]) for result in kinds["mixture"]] for name in ASKING}  # type: ignore[index]
    part = max(parts, key=lambda name: statistics.median(parts[name]))
    return {
        "spearman": spearmans,
        "spearman_least": {name: min(each) for name, each in values.items()},
        "spearman_kernel": kernel,
        "spearman_own_functions": own,
        **share([hit for results in kinds.values() for hit in intervals_hold(results)]),
        "coverage_by_kind": {name: share(intervals_hold(results)) for name, results in kinds.items()},
        "best": best,
        "mixture_minus_best": less(values["mixture"], values[best]),
        "best_part": part,
        "mixture_minus_part": less(values["mixture"], parts[part]),
        "text_spearman": statistics.median(harness.column(text, "mean")),
        "text_spearman_linear": statistics.median(harness.column(text, "linear")),
    }


def demonstrated(bench: Bench, worker: Worker, data: Path) -> Result:
    """Demonstrations alone, task by task; a sentence where the files are not there."""
    found: Result = {}
    for task, (name, _, shown, random) in TASKS.items():
        path = data / "rl" / f"{name}_demonstrations.npz"
        if not path.exists():
            found[task] = f"skipped: {path} is not there; name its folder with --data or ACCORD_DATA"
            bench.say(str(found[task]))
            continue
        form = "quick" if bench.options.quick else "full"
        results = [bench.measure(worker, task, path, form, seed=seed) for seed in bench.options.seed_list()[:RUNS]]
        returns = harness.column(results, "mean")
        normalised = [(value - random) / (shown - random) for value in returns]
        found[task] = {
            "ratio": statistics.median(normalised),
            "worst": min(normalised),
            "plain": statistics.median(returns) / shown,
            "returns": returns,
            "demonstrations": shown,
            "random": random,
            "env_steps": statistics.median(harness.column(results, "env_steps")),
        }
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    options = harness.parse("kinds", seeds=20, argv=rest, first=FIRST_SEED)
    bench = Bench.start("kinds", options)
    version = harness.our_version("bench/kinds.py", "bench/known_rewards.py", "examples/demonstrations.toml")
    worker = Worker("accord", (sys.executable, "-m", "bench.kinds", "work"), version)
    answers = QUICK_ANSWERS if options.quick else ANSWERS
    names = (*ASKING, "mixture", "text")
    results: dict[str, list[Result]] = {name: [] for name in names}
    for seed in options.seed_list():
        for name in names:
            results[name].append(bench.measure(worker, name, answers, seed=seed))
    text = results.pop("text")
    found = summary(results, text)
    shown = demonstrated(bench, worker, own.data)
    bench.emit(None, {}, {}, answers=answers, **found, demonstrations=shown)


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
