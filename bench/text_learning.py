"""What the algorithms for text learn on a CPU in minutes: the story model made sadder, by the truth and by feedback.

    python -m bench.text_learning [--seeds N] [--quick] [--dev] [--fresh] [--data FOLDER]

stories260K writes 64 tokens on from sixteen beginnings; the gold score is VADER's negative (its compound turned round),
for stories are happy and leave no room upwards. Every algorithm learns from `gold`, the score itself, and from
`learned`: 300 comparisons, asked in three rounds about what it writes by then (a teacher whose log-odds are three per
standard deviation), and after each round a reward fitted to all of them, as a run does it. dpo learns from pairs of its
own responses, the best and the worst of eight.

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
from dataclasses import dataclass, field
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
from accord.types import Comparisons, Evidence, LearnedReward, Reply, ReplyReward, Shaping
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
PIECES, ROUNDS = 6, (0, 1, 3)  # of the steps; those before which answers are asked for
STEPS, QUICK = 3_072, 256  # responses
RATE = 2e-4
KL, MOST = 0.2, 10.0  # of the score's deviations, a nat; nats at most
READING, REWARD = "tfidf+minilm", RewardConfig(kind="kernel", weighed=False)


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


@dataclass
class Answers:
    """What was asked so far: pairs of responses to one beginning, none of them asked about twice."""

    unit: float  # the start model's standard deviation
    replies: list[Reply] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    level: list[int] = field(default_factory=list)
    beginning: list[int] = field(default_factory=list)

    def ask(self, actor: Actor, count: int, seed: int) -> None:
        """So many more, about what the actor writes now."""
        each = 2 * -(-count // len(BEGINNINGS))
        made = write(actor, Sampling(tokens=TOKENS), BEGINNINGS, each, seed)
        score, rng = gold(made.replies), np.random.default_rng(seed)
        first = rng.permutation(len(score) // 2)[:count] * 2
        logit = SURE * (score[first] - score[first + 1]) / self.unit
        self.level += (rng.random(count) < 1.0 / (1.0 + np.exp(-logit))).astype(int).tolist()
        self.first += (first + len(self.replies)).tolist()
        self.beginning += np.repeat(np.arange(len(BEGINNINGS)), each).tolist()
        self.replies += made.replies

    def reward(self, seed: int) -> Replied:
        """Fitted to all of them, as a run fits it."""
        first, level = np.array(self.first), np.array(self.level)
        part = Comparisons(first, first + 1, level, np.zeros(len(first), np.int64), 2)
        groups = np.array(self.beginning)
        evidence = Evidence(list(self.replies), groups, ("teacher",), (part,), (np.ones(len(first), bool),))
        encode = encoder(READING, self.replies)
        return Replied(fit(evidence, REWARD, discrete=False, terminates=False, seed=seed, encode=encode))


def made(algorithm: str, actor: Actor, seed: int) -> Online | Offline:
    if algorithm == "dpo":
        config = OfflineConfig(beta=1.0, prompts=16, group=8, minibatch=16, tokens=TOKENS)
        return Offline(Beginnings(), actor, config)
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
        unit, clock = float(before.std()), Clock()
        policy, asked, curve = made(given.algorithm, actor, given.seed), Answers(unit), list[Result]()
        shaping = Shaping(KL, kl_budget=MOST)
        told: ReplyReward = GoldReply(gold, unit)
        for piece in range(PIECES):
            if given.signal == "learned" and piece in ROUNDS:
                asked.ask(actor, ANSWERS // len(ROUNDS), runtime.derive(given.seed, "asked", piece))
                told = asked.reward(given.seed)
            signal = LearnedReward(told, shaping=shaping)
            policy.improve(signal, given.steps // PIECES, runtime.derive(given.seed, "improve", piece))
            with clock.pause():
                seen, score = judged(actor, 2 + piece, 8)
                says = float(told(seen.replies).mean.mean())
                gain = float((score.mean() - before.mean()) / unit)
                curve.append({"kl": float(seen.kl.mean()), "gain": gain, "says": says})
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        seen, after = judged(actor, 3_000)
    gain = float((after.mean() - before.mean()) / unit)
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
                signal: {
                    name: spread(column(results, name)) for name in ("gain", "kl", "seconds", "cpu_seconds", "tokens")
                }
                for signal, results in found.items()
            },
            "curve": found["learned"][0]["curve"],
        }
    bench.emit(None, {}, {}, **figures)


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
