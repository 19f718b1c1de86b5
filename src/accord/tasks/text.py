"""Prompts in, responses out: a task of text. It counts every response as a step and owns the sealed truth.

A share of the prompts is kept apart: nothing is learned or asked about there, so evaluation is on prompts that are new
to the policy and to the reward.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accord.tasks.gold import gold
from accord.types import Collected, InputError, Provenance, Reply, segment_id

APART = 5  # prompts from which on a share is kept apart


@dataclass(frozen=True)
class TextConfig:
    """A set of prompts, the model that answers them, and what its responses are truly worth."""

    id: str = "text"
    model: str = "smollm2"  # a name, a folder of Transformers, a .gguf file or a .bin file of llama2.c
    prompts: tuple[str, ...] | str = ()  # or a file of them: JSON lines that have "prompt", or a text a line
    gold: str = ""  # vader | vader-negative | brief | module:package.function | http://HOST/PATH; "": people alone know
    chat: bool | None = None  # through the model's chat template; None: where it has one
    heldout: float = 0.25  # share of the prompts that evaluation alone sees
    responses: int = 4  # to one prompt, of which two are compared

    def __post_init__(self) -> None:
        if not 0.0 <= self.heldout <= 0.9:
            raise InputError(f"task.heldout is {self.heldout:g}; it must be between 0 and 0.9: give a smaller share.")
        if not 2 <= self.responses <= 1_000:
            raise InputError(f"task.responses is {self.responses}; comparisons need 2 to 1,000 to a prompt: give 2.")


class TextTask:
    """Draws prompts and counts responses by purpose. `truth` belongs to teachers and evaluation alone."""

    def __init__(self, config: TextConfig, seed: int, counter: dict[str, int] | None = None) -> None:
        self.config = config
        every = read_prompts(config.prompts)
        apart = max(1, round(config.heldout * len(every))) if config.heldout and len(every) >= APART else 0
        order = np.random.default_rng(seed).permutation(len(every))
        self.heldout = [every[i] for i in sorted(order[:apart])]
        self.prompts = [every[i] for i in sorted(order[apart:])]
        self.truth = gold(config.gold)
        self._counter: dict[str, int] = {} if counter is None else counter
        self._purpose = "improve"

    @property
    def judged(self) -> list[str]:
        """The prompts of evaluation: those kept apart, or all where there are too few to keep any."""
        return self.heldout or self.prompts

    def draw(self, count: int, seed: int) -> list[str]:
        """Prompts to learn from, in random order; none comes again before all have come."""
        rng, found = np.random.default_rng(seed), []
        while len(found) < count:
            found += [self.prompts[i] for i in rng.permutation(len(self.prompts))]
        return found[:count]

    def count_as(self, purpose: str) -> None:
        """What the responses from here on are for: "collect", "improve" or "judge"."""
        self._purpose = purpose

    def took(self, responses: int) -> None:
        """Counts responses that were written."""
        self._counter[self._purpose] = self._counter.get(self._purpose, 0) + responses

    def steps(self) -> Mapping[str, int]:
        """Responses so far by purpose."""
        return dict(self._counter)

    @property
    def tick(self) -> int:
        """Responses so far."""
        return sum(self._counter.values())

    def resume(self, steps: Mapping[str, int], tick: int) -> None:
        """Goes on counting where a checkpoint stopped."""
        self._counter.clear()
        self._counter.update(steps)

    def apart(self) -> TextTask:
        """The same prompts on a counter of their own, for a baseline."""
        other = TextTask.__new__(TextTask)
        other.__dict__ |= {**self.__dict__, "_counter": {}}
        return other


def collected(
    task: TextTask, replies: Sequence[Reply], *, round: int, policy_version: int, seed: int
) -> list[Collected]:
    """Replies as segments with their truth, equal ones once."""
    distinct = list({segment_id(reply): reply for reply in replies}.values())
    truth = None if task.truth is None else task.truth.of(distinct)
    place = {prompt: number for number, prompt in enumerate([*task.prompts, *task.heldout])}
    origins = [
        Provenance(task.config.id, round, policy_version, seed, place[reply.prompt], number)
        for number, reply in enumerate(distinct)
    ]
    worth = [None] * len(distinct) if truth is None else list(truth[:, None])
    return [Collected(*row) for row in zip(distinct, origins, worth, strict=True)]


def read_prompts(given: Sequence[str] | str) -> list[str]:
    """Prompts as given, or out of a file. Raises InputError where there is none, or one is empty."""
    found, where = (_of_file(Path(given)), given) if isinstance(given, str) and given else (list(given), "task.prompts")
    if not found:
        raise InputError("task.prompts is empty; a task of text needs one prompt at least: give a list, or a file.")
    for number, prompt in enumerate(found):
        if not prompt.strip():
            raise InputError(f"prompt {number} of {where} is empty: write something there, or leave it out.")
    return list(dict.fromkeys(found))


def _of_file(path: Path) -> list[str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"task.prompts names {path}, which cannot be read ({error}): give another file.") from None
    return [_prompt(path, number, line) for number, line in enumerate(lines)] if path.suffix == ".jsonl" else lines


def _prompt(path: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    prompt = row.get("prompt") if isinstance(row, dict) else row
    if not isinstance(prompt, str):
        raise InputError(f'line {number + 1} of {path} has no prompt: write {{"prompt": "..."}}, or a text in quotes.')
    return prompt
