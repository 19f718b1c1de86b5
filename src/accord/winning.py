"""What a policy of text is measured by: gold scores of its responses, and how often they beat the start model's.

Floor 5. Evaluation: it may read the truth. Intervals are over prompts, whose responses share their luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from accord import records
from accord.functional.statistics import bootstrap_interval, mean
from accord.policies.text.writing import Write, Written
from accord.tasks.text import TextTask
from accord.types import Reply, ReplyReward

FEW = 5  # prompts below which responses are resampled in their place
SAMPLES = 6  # prompts shown side by side


@dataclass(frozen=True, eq=False)
class Graded:
    """Responses to the prompts of evaluation, `group` to each, with their gold scores where there is a scorer."""

    written: Written
    group: int
    gold: Float[np.ndarray, "prompt sample"] | None

    @property
    def first(self) -> Sequence[Reply]:
        """The first response to each prompt: not the best, and not chosen by anything."""
        return self.written.replies[:: self.group]


def graded(task: TextTask, write: Write, responses: int, seed: int) -> Graded:
    """At least so many responses, two to a prompt or more, counted as evaluation."""
    prompts = task.judged
    group = max(2, -(-responses // len(prompts)))
    task.count_as("judge")
    written = write(prompts, group, seed)
    gold = None if task.truth is None else task.truth.of(written.replies).reshape(-1, group).astype(np.float64)
    return Graded(written, group, gold)


def reached(found: Graded) -> records.Return | None:
    """The mean gold score with its interval; None without a scorer."""
    if found.gold is None:
        return None
    return records.Return(
        float(found.gold.mean()), float(found.gold.std()), found.gold.size, _interval(found.gold[:, :, None])
    )


def win_rate(policy: Graded, start: Graded) -> records.Share | None:
    """How often a response of the policy has the higher gold score, among all pairs to one prompt; a tie is half."""
    if policy.gold is None or start.gold is None:
        return None
    difference = policy.gold[:, :, None] - start.gold[:, None, :]
    wins = (np.sign(difference) + 1.0) / 2.0
    return records.Share(float(wins.mean()), _interval(wins), len(wins))


def _interval(rows: Float[np.ndarray, "prompt sample other"]) -> tuple[float, float]:
    """The bootstrap 95% interval of the mean over prompts, or over responses where there are few prompts."""
    units = rows.mean((1, 2)) if len(rows) >= FEW else rows.mean(2).ravel()
    return bootstrap_interval(units[:, None], mean, np.random.default_rng(0))


def signs(policy: Graded, start: Graded, reward: ReplyReward) -> dict[str, float]:
    """What the watch looks at, but for the answers: see `safety/watch.py`."""
    now, then = reward(policy.written.replies), reward(start.written.replies)
    unit = float(then.mean.std()) or 1.0
    doubt = float(now.spread.mean()) / max(float(then.spread.mean()), 1e-9)
    gain = (float(now.mean.mean()) - float(then.mean.mean())) / unit
    return {"gain": gain, "doubt": doubt, "kl": float(policy.written.kl.mean())}


def round_record(policy: Graded, start: Graded) -> dict[str, Any]:
    """A round's figures for the log."""
    found: dict[str, Any] = {"kl": float(policy.written.kl.mean()), "tokens": _tokens(policy)}
    if (worth := reached(policy)) is not None:
        low, high = worth.ci95
        found |= {"true_return": worth.mean, "true_return_low": low, "true_return_high": high}
    if (won := win_rate(policy, start)) is not None:
        found |= {"win_rate": won.mean, "win_rate_low": won.ci95[0], "win_rate_high": won.ci95[1]}
    return found


def texts(
    task: TextTask,
    policy: Graded,
    start: Graded,
    last: Mapping[str, float | None],
    stopped: str,
    by_people: records.Share | None,
) -> records.Texts:
    """The part of `result.json` that is about texts. `last` holds the signs of the last round.

    `by_people` is the win rate of a ballot, which counts where there is no scorer.
    """
    by_gold = win_rate(policy, start)
    return records.Texts(
        prompts=len(task.judged),
        heldout=len(task.heldout),
        win_rate=by_gold or by_people,
        kl=float(policy.written.kl.mean()),
        tokens=_tokens(policy),
        start_tokens=_tokens(start),
        proxy=float(last.get("gain") or 0.0),
        stopped=stopped,
        samples=tuple(_samples(policy, start)),
        judged_by="people" if by_gold is None and by_people is not None else "gold",
    )


def _tokens(found: Graded) -> float:
    return float(found.written.tokens.float().mean())


def _samples(policy: Graded, start: Graded) -> Sequence[records.Sample]:
    """The first response of each to the first prompts."""
    found = []
    for prompt, (ours, theirs) in enumerate(zip(policy.first[:SAMPLES], start.first, strict=False)):
        gold = [None if each.gold is None else float(each.gold[prompt, 0]) for each in (start, policy)]
        found.append(records.Sample(ours.prompt, theirs.response, ours.response, *gold))
    return found
