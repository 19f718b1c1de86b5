"""The work that both sides of bench.text_vs_trl do: prompts, responses to compare, the reward, what is timed.

Nothing but the standard library, so that it runs in each peer's own interpreter as well as in ours.
"""

import argparse
import itertools
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GROUPED, PAIRED = ("grpo", "rloo", "ppo"), ("dpo", "reward")
BETA = {"grpo": 0.0, "rloo": 0.05, "ppo": 0.05, "dpo": 0.1, "reward": 0.0}  # trl's defaults, on both sides
RATE = {"grpo": 1e-6, "rloo": 1e-6, "ppo": 3e-6, "dpo": 1e-6, "reward": 1e-4}  # likewise
BEGINNINGS = (
    "Once upon a time, there was a little girl named Lily. She",
    "One day, a boy named Tom went to the park with his dog. They",
    "Sara and Ben were playing in the garden when they saw a",
    "The old man had a big red boat. He wanted to",
    "A small bird sat on a tree and sang. Then",
    "Mom said it was time to go to bed, but Max",
    "There was a cat who liked to sleep in the sun. One morning",
    "In a house near the sea, a girl found a box. Inside",
)


@dataclass(frozen=True)
class Work:
    """One measurement: `steps` updates, the first of them to warm up, of `prompts` x `group` responses each."""

    what: str
    form: str
    model: Path
    prompts: int
    group: int
    tokens: int  # of every response: the end of a text is never drawn
    steps: int
    seed: int
    beta: float
    rate: float
    scorer: str
    epochs: int  # of ppo, over a batch

    @property
    def batch(self) -> int:
        """Responses an update; of dpo and reward, pairs."""
        return self.prompts * self.group

    def score(self, text: str) -> float:
        """The reward of a response."""
        return SCORERS[self.scorer](text)

    def asked(self) -> list[str]:
        """The prompts of an update, without their groups."""
        return list(itertools.islice(itertools.cycle(BEGINNINGS), self.prompts))


def work(forms: tuple[str, ...], whats: tuple[str, ...] = GROUPED + PAIRED) -> Work:
    """What the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=whats)
    parser.add_argument("form", choices=forms)
    parser.add_argument("model", type=Path)
    parser.add_argument("prompts", type=int)
    parser.add_argument("group", type=int)
    parser.add_argument("tokens", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("--beta", type=float, help="the weight of KL (default: trl's own)")
    parser.add_argument("--rate", type=float, help="the learning rate (default: trl's own)")
    parser.add_argument("--scorer", choices=tuple(SCORERS), default="letters")
    parser.add_argument("--epochs", type=int, default=4, help="of ppo, over a batch (default: trl's own)")
    parser.add_argument("--seed", type=int, required=True)
    given = vars(parser.parse_args())
    for name, usual in (("beta", BETA), ("rate", RATE)):
        if given[name] is None:
            given[name] = usual[given["what"]]
    return Work(**given)


def letters(text: str) -> float:
    """A reward that costs nothing and teaches nothing: the number of letters modulo 7."""
    return float(sum(map(str.isalpha, text)) % 7)


def vowels(text: str) -> float:
    """One that can be learned: how often there is an e, in threes, which is about a deviation of short stories."""
    return text.count("e") / 3.0


SCORERS: dict[str, Callable[[str], float]] = {"letters": letters, "vowels": vowels}


def pairs(work: Work, count: int) -> list[tuple[str, str, str]]:
    """Prompt, chosen, rejected: responses of about as many tokens as are written, beginning alike nowhere."""
    words = "the dog ran to a big tree and saw his friend in the sun so they were happy all day".split()
    found = []
    for number in range(count):
        at = (number * 5 + work.seed) % len(words)
        turned = [words[(at + step * (1 + number % 3)) % len(words)] for step in range(work.tokens)]
        prompt = BEGINNINGS[number % len(BEGINNINGS)]
        found.append((prompt, " " + " ".join(turned), " " + " ".join(reversed(turned))))
    return found


class Steps:
    """When updates ended, and how long the parts of those after the first took."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.processor: list[float] = []
        self.parts: dict[str, float] = {}

    def mark(self) -> None:
        """An update has ended."""
        self.ends.append(time.perf_counter())
        self.processor.append(time.process_time())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time spent inside is that of the part, once the first update is over."""
        began = time.perf_counter()
        yield
        if self.ends:
            self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - began

    def timed(self, function: Callable[..., object], name: str) -> Callable[..., object]:
        """The function, its time counted as that of the part."""

        def run(*args: object, **more: object) -> object:
            with self.part(name):
                return function(*args, **more)

        return run

    def figures(self, batch: int) -> dict[str, object]:
        """Responses (or pairs) a second after the first update, seconds of its parts an update, peak memory."""
        later = len(self.ends) - 1
        seconds = self.ends[-1] - self.ends[0]
        return {
            "samples_per_second": batch * later / seconds,
            "samples_per_cpu_second": batch * later / (self.processor[-1] - self.processor[0]),
            "step_seconds": seconds / later,
            "part_seconds": {name: value / later for name, value in self.parts.items()},
            "peak_mb": peak_mb(),
        }


def peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
