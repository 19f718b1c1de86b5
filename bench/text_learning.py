"""What the algorithms for text learn on a CPU in minutes: the story model made sadder, by the truth and by feedback.

    python -m bench.text_learning [--seeds N] [--quick] [--dev] [--fresh] [--data FOLDER]

stories260K writes 64 tokens on from sixteen beginnings; the gold score is VADER's negative (its compound turned round),
for stories are happy and leave no room upwards. Every algorithm learns from `gold`, the score itself, and from
`learned`, 300 comparisons of the start model's responses to one beginning (a teacher whose log-odds are three per
standard deviation): ppo, rloo and grpo through a reward fitted to them as a run fits it, dpo from the answers
themselves. (dpo on gold: pairs of its own responses.)

    gain    gold score of 512 fresh responses less the start model's, in standard deviations of the latter
    kl      nats a response from the start model, of the same responses
    kept    gain from feedback over gain from gold, of means over seeds
    curve   as learning goes on: KL, gold score and what the learned reward says, in deviations of the start's. Where
            the second falls while the third rises, over-optimisation has begun

`seconds` is wall time of everything from the loaded model to the learned policy, the fit included.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from accord import runtime
from accord.backbones import text
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.offline import Offline, OfflineConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.policies.text.rollout import Sampling
from accord.policies.text.writing import Written, write
from accord.rewards.encoders import encoder
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.replied import GoldReply, Replied
from accord.tasks.gold import gold as named
from accord.types import Comparisons, Evidence, Feedback, LearnedReward, Reply, ReplyReward, Shaping, Signal
from bench import harness
from bench.harness import Bench, Result, Worker, column, spread
from bench.kinds import DATA
from bench.peers.protocol import Clock, finish, quiet_output

ALGORITHMS = ("ppo", "rloo", "grpo", "dpo")
BEGINNINGS = (
    "Once upon a time",
    "One day",
    "Lily was a little girl",
    "Tom had a dog",
    "There was a big tree",
    "Sue and her mom",
    "The cat sat",
    "In a small house",
    "Ben liked to play",
    "A bird saw",
    "Mia went to the park",
    "The sun was hot",
    "Tim found a box",
    "A boy named Max",
    "The old man",
    "Anna had a red ball",
)
TOKENS, ANSWERS, SURE, JUDGED = 64, 300, 3.0, 32  # judged: responses to each beginning
STEPS, QUICK = 3_072, 256  # responses
RATE = 5e-4
KL = {"ppo": 0.4, "rloo": 0.4, "grpo": 0.4}  # in deviations of the score, a nat
READING = RewardConfig(kind="kernel", weighed=False)


class Beginnings:
    """Prompts by turns of a permutation."""

    def draw(self, count: int, seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [BEGINNINGS[k] for _ in range(-(-count // 16)) for k in rng.permutation(16)][:count]

    def took(self, responses: int) -> None:
        pass


def gold(replies: Sequence[Reply]) -> np.ndarray:
    scorer = named("vader-negative")
    assert scorer is not None
    return scorer.of(replies)


def judged(actor: Actor, seed: int, each: int = JUDGED) -> tuple[Written, np.ndarray]:
    found = write(actor, Sampling(tokens=TOKENS), BEGINNINGS, each, seed)
    return found, gold(found.replies)


def compared(actor: Actor, seed: int) -> Evidence:
    """Answers about pairs of responses to one beginning, none of them asked about twice."""
    rng, each = np.random.default_rng(seed), 2 * -(-ANSWERS // 16)
    made = write(actor, Sampling(tokens=TOKENS), BEGINNINGS, each, runtime.derive(seed, "asked"))
    score = gold(made.replies)
    first = np.concatenate([np.arange(0, each, 2) + k * each for k in range(16)])[:ANSWERS]
    logit = SURE * (score[first] - score[first + 1]) / score.std()
    level = (rng.random(ANSWERS) < 1.0 / (1.0 + np.exp(-logit))).astype(np.int64)
    part = Comparisons(first, first + 1, level, np.zeros(ANSWERS, np.int64), 2)
    groups = np.arange(len(made.replies)) // each
    return Evidence(made.replies, groups, ("teacher",), (part,), (np.ones(ANSWERS, bool),))


def learned(evidence: Evidence, seed: int) -> ReplyReward:
    """As a run fits it, on the reading that is its default."""
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    encode = encoder("tfidf+minilm+curves", replies)
    return Replied(fit(evidence, READING, discrete=False, terminates=False, seed=seed, encode=encode))


def made(algorithm: str, actor: Actor, seed: int) -> Online | Offline:
    if algorithm == "dpo":
        return Offline(Beginnings(), actor, OfflineConfig(tokens=TOKENS, epochs=4, minibatch=16))
    group = {"ppo": 1, "rloo": 4, "grpo": 8}[algorithm]
    config = OnlineConfig(algorithm, prompts=64 // group, group=group, tokens=TOKENS, unfinished=0.0)  # type: ignore[arg-type]
    return Online(Beginnings(), actor, config, seed)


def work(argv: Sequence[str]) -> None:
    """`work ALGORITHM SIGNAL MODEL STEPS --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.text_learning work")
    parser.add_argument("algorithm", choices=ALGORITHMS)
    parser.add_argument("signal", choices=("gold", "learned"))
    parser.add_argument("model")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    runtime.set_up()
    with quiet_output(), runtime.flushed():
        actor = Actor(text.load(given.model), ActorConfig(learning_rate=RATE), given.seed)
        _, before = judged(actor, 1)  # the same for every algorithm
        clock = Clock()
        policy = made(given.algorithm, actor, given.seed)
        shaping = Shaping(KL.get(given.algorithm, 0.0), kl_budget=10.0)
        told: ReplyReward | None = None
        signal: Signal = LearnedReward(GoldReply(gold, float(before.std())), shaping=shaping)
        if given.signal == "learned":
            evidence = compared(actor, given.seed)
            told = learned(evidence, given.seed)
            direct = given.algorithm == "dpo"
            signal = Feedback(evidence, 0.1) if direct else LearnedReward(told, shaping=shaping)
        pieces = 1 if isinstance(signal, Feedback) else 8
        curve = []
        for piece in range(pieces):
            policy.improve(signal, given.steps // pieces, runtime.derive(given.seed, "improve", piece))
            with clock.pause():
                seen, score = judged(actor, 2 + piece, 8)
                says = float(told(seen.replies).mean.mean()) if told else None
                gain = float((score.mean() - before.mean()) / before.std())
                curve.append({"kl": float(seen.kl.mean()), "gain": gain, "says": says})
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        seen, after = judged(actor, 3_000)
    gain = float((after.mean() - before.mean()) / before.std())
    tokens = float(seen.tokens.float().mean())
    finish(seconds, cpu_seconds, [gain], gain=gain, kl=float(seen.kl.mean()), tokens=tokens, curve=curve)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.text_learning", add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    bench = Bench.start("text_learning", harness.parse("text_learning", seeds=3, argv=rest))
    model = own.data / "models" / "stories260K.bin"
    if not model.is_file():
        raise SystemExit(f"{model} is missing: give the folder that holds it with --data.")
    steps = QUICK if bench.options.quick else STEPS
    version = harness.our_version("bench/text_learning.py")
    worker = Worker("accord", (sys.executable, "-m", "bench.text_learning", "work"), version)
    figures: dict[str, Result] = {}
    for algorithm in ALGORITHMS:
        found = {
            signal: [bench.measure(worker, algorithm, signal, model, steps, seed=s) for s in bench.options.seed_list()]
            for signal in ("gold", "learned")
        }
        gains = {signal: column(results, "gain") for signal, results in found.items()}
        figures[algorithm] = {
            "kept": float(np.mean(gains["learned"]) / np.mean(gains["gold"])),
            **{
                signal: {name: spread(column(results, name)) for name in ("gain", "kl", "seconds", "tokens")}
                for signal, results in found.items()
            },
            "curve": found["learned"][0]["curve"],
        }
    bench.emit(None, {}, {}, **figures)


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
