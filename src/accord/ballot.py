"""A last ballot: whose responses do people prefer, the start model's or the finished policy's?

Floor 5. How a run of text is measured where no scorer knows what is better. One question about each prompt of
evaluation, between the first response of each side; which stands first is drawn, and whoever answers is not told. The
answers come when the policy is finished and teach it nothing. Where both responses are the same, nobody is asked and
neither has won.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accord.feedback.evidence import usable
from accord.functional.statistics import wilson
from accord.records import Share
from accord.tasks.text import TextTask, collected
from accord.types import Answer, Collected, Query, Side, segment_id
from accord.winning import Graded

RULE = "ballot"  # what chose its questions
LEVELS = 3  # the second is better, a tie, the first is better


@dataclass(frozen=True, eq=False)
class Ballot:
    """The questions, what they are about, and whether the policy's response stands first."""

    made: tuple[Collected, ...]
    queries: tuple[Query, ...]
    ours_first: tuple[bool, ...]
    same: int  # prompts to which both gave one response


def ballot(
    task: TextTask,
    policy: Graded,
    start: Graded,
    most: int,
    *,
    overlap: int,
    round: int,
    policy_version: int,
    seed: int,
) -> Ballot:
    """At most so many questions, one to a prompt, each for `overlap` people. The same arguments give the same ones."""
    rng, queries, first, same = np.random.default_rng(seed), list[Query](), list[bool](), 0
    ours, theirs = policy.first[:most], start.first[:most]
    for one, other in zip(ours, theirs, strict=True):
        if one == other:
            same += 1
            continue
        first.append(bool(rng.random() < 0.5))
        sides = (segment_id(one), segment_id(other)) if first[-1] else (segment_id(other), segment_id(one))
        name = hashlib.sha256("\0".join([RULE, str(round), *sides]).encode()).hexdigest()
        queries.append(Query(name, "compare", sides, LEVELS, RULE, round, overlap))
    made = [
        *collected(task, theirs, round=round, policy_version=0, seed=seed),
        *collected(task, ours, round=round, policy_version=policy_version, seed=seed),
    ]
    return Ballot(tuple(made), tuple(queries), tuple(first), same)


def won(found: Ballot, answers: Sequence[Answer]) -> Share | None:
    """On how many prompts the policy's response was preferred, a tie as half, with Wilson's interval.

    Of several people who answered a question the mean counts. None where nobody decided anything.
    """
    ours_first = {query.id: first for query, first in zip(found.queries, found.ours_first, strict=True)}
    queries = {query.id: query for query in found.queries}
    wins: dict[str, list[float]] = {}
    for query, answer in usable([one for one in answers if one.query in queries], queries):
        if isinstance(answer.value, Side):
            share = answer.value.level / (answer.value.levels - 1)
            wins.setdefault(query.id, []).append(share if ours_first[query.id] else 1.0 - share)
    each = [*(float(np.mean(one)) for one in wins.values()), *[0.5] * found.same]
    return Share(float(np.mean(each)), wilson(sum(each), len(each)), len(each)) if each else None
