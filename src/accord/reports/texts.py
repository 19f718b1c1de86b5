"""What the page shows of a run of text alone: the win rate, how far the policy went, responses side by side."""

from __future__ import annotations

from dataclasses import dataclass

from accord.reports.read import Json, Run, at, mapping_at, number_at
from accord.reports.verdict import Wins
from accord.reports.view import Stat, cut
from accord.reports.words import number


@dataclass(frozen=True)
class Beside:
    """One prompt, a response of the start model and one of the policy, with gold scores where there is a scorer."""

    prompt: str
    start: str
    policy: str
    start_gold: float | None
    policy_gold: float | None


@dataclass(frozen=True)
class Shown:
    """Of a run of text: responses side by side, and what evaluation was on."""

    samples: tuple[Beside, ...]
    heldout: int
    tokens: str
    start_tokens: str


def written(run: Run) -> bool:
    """Whether it is a run of text."""
    return at(run.configuration, "task", "kind") == "text"


def stats(run: Run) -> tuple[Stat, ...]:
    """The win rate against the start model, and the KL from it."""
    wins, kl = Wins.read(run.result), number_at(mapping_at(run.result, "texts"), "kl")
    return (
        Stat("stat_win", wins and wins.told["share"], "{low}–{high}".format(**wins.told) if wins else ""),
        Stat("stat_kl", None if kl is None else number(kl, 1)),
    )


def shown(run: Run) -> Shown | None:
    """None for a run of another sort, or an older one."""
    texts = mapping_at(run.result, "texts")
    if not texts:
        return None
    samples = tuple(_beside(each) for each in at(texts, "samples") or ())
    tokens, start = number_at(texts, "tokens") or 0.0, number_at(texts, "start_tokens") or 0.0
    return Shown(samples, int(number_at(texts, "heldout") or 0), number(tokens, 0), number(start, 0))


def _beside(record: Json) -> Beside:
    prompt, start, policy = (cut(str(at(record, key) or "")) for key in ("prompt", "start", "policy"))
    return Beside(prompt, start, policy, number_at(record, "start_gold"), number_at(record, "policy_gold"))
