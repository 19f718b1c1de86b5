"""The loop: collect -> ask -> wait -> fit -> select -> improve -> judge, round after round, on one page.

Floor 4. Knows Protocols only; `build.py` chooses what stands behind them. Every stage is a function of the state
before it, the run's seed and the store, so a killed run goes on from its last checkpoint and ends as it would have.
Checkpoints follow the stages that cost something (wait, select, improve); the others are done again, with one outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from accord.feedback import evidence
from accord.feedback.recall import tied, undecided
from accord.feedback.store import Store
from accord.progress import Progress
from accord.records import Run, hash_answers
from accord.rewards.judge import Forecasts
from accord.runtime import derive
from accord.types import (
    Annotator,
    Answer,
    Collected,
    Evidence,
    InputError,
    LearnedReward,
    Learner,
    Metrics,
    Query,
    Reward,
    SegmentId,
    Signal,
    Skip,
    segment_id,
)

POLL_SECONDS = 0.5  # between looks at the store while a person answers
PIECES = 10  # of a round's steps: between two of them, those that are taken ahead, the answers are looked at


class Counted(Protocol):
    """What counts a task's steps, or responses."""

    def count_as(self, purpose: str) -> None: ...
    def steps(self) -> Mapping[str, int]: ...


class Select(Protocol):
    """Chooses among rewards fitted to the same answers; says why, as the record will."""

    def __call__(self, candidates: Sequence[Reward]) -> tuple[Reward, dict[str, object]]: ...


@dataclass(frozen=True)
class Plan:
    """How labels and steps are spread over the rounds: both cumulative, one number a round."""

    seed: int
    labels: tuple[int, ...]
    steps: tuple[int, ...]
    patience_seconds: float = float("inf")  # how long to wait for people
    ahead: float = 0.0  # share of a round's steps that are taken while people answer, on the reward there is

    @property
    def rounds(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Parts:
    """What a run is made of. Functions take the round and a seed; nothing here knows of any other part."""

    task: Counted
    policy: Learner
    store: Store
    annotator: Annotator
    collect: Callable[[int, int], list[Collected]]
    ask: Callable[[State, int, int], list[Query]]  # how many are due, and a seed
    fit: Callable[[Evidence, Sequence[Reward], int, int], tuple[Sequence[Reward], dict[str, object]]]
    select: Select
    foretell: Callable[[Reward, Evidence], Forecasts]
    judge: Callable[[State], Mapping[str, object]]
    keep_reward: Callable[[Reward, int], str]  # durably; returns the hash of what was kept
    keep_policy: Callable[[int], str]
    save: Callable[[State], None]
    count: Callable[[Sequence[Answer]], None] = lambda answers: None  # the environment steps that giving them took
    signal: Callable[[Reward], Signal] = LearnedReward  # what the policy improves on
    stop: Callable[[State], str] = lambda state: ""  # why improvement is to end here; "" goes on


@dataclass(frozen=True)
class State:
    """Where a run stands. `stage` is the next to be done; what is large lies beside it in the checkpoint."""

    round: int = 0
    stage: str = "collect"
    since: int = 0  # answers after this one are the round's own
    cursor: int = 0  # answers up to this one are learned from
    labels: int = 0
    undecided: float = 0.0  # share of the last round's answers that were ties or skips
    reward: Reward | None = None
    reward_hash: str = ""
    candidates: tuple[Reward, ...] = ()
    forecasts: tuple[Forecasts, ...] = ()  # of uniform answers, by the reward of the round before
    watched: tuple[Mapping[str, float | None], ...] = ()  # signs of over-optimisation, of every round that was judged
    stopped: str = ""  # why the run ended before its last round
    seconds: dict[str, float] = field(default_factory=dict)
    pool: tuple[Collected, ...] = ()  # of this round; never saved: collecting again gives the same


Outcome = tuple[State, Mapping[str, object]]  # the state after a stage, and what the log says of it
Stage = Callable[[Parts, Plan, State, evidence.Cache], Outcome]


def run(parts: Parts, plan: Plan, state: State, records: Run, progress: Progress) -> State:
    """Goes from `state` to the end of the last round, or to where `parts.stop` ends it."""
    cache = evidence.Cache()
    while state.round < plan.rounds and not state.stopped:
        name, round = state.stage, state.round
        progress.stage(name, round, plan.rounds)
        began = time.perf_counter()
        state, record = STAGES[name](parts, plan, state, cache)
        seconds = time.perf_counter() - began
        state = replace(state, seconds={**state.seconds, name: state.seconds.get(name, 0.0) + seconds})
        records.record(name, round, seconds=seconds, **record)
        progress.advance(learning_steps(parts.task), plan.steps[-1])
        progress.note(labels=state.labels, labels_total=plan.labels[-1], **_shown(record))
        if name in ("wait", "select", "improve"):
            parts.save(state)
    return state


def _collect(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """Segments from the steps taken last; the first round takes random steps."""
    pool = parts.collect(state.round, derive(plan.seed, "collect", state.round))
    if len(pool) < 2:
        raise InputError(
            f"round {state.round} found {len(pool)} segments to ask about, and 2 are needed: "
            "lower feedback.segment or raise policy.steps."
        )
    record = {"segments": len(pool), "env_steps": learning_steps(parts.task)}
    return replace(state, stage="ask", pool=tuple(pool)), record


def _ask(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """Puts this round's queries into the store: as many as labels are due."""
    due = max(0, plan.labels[state.round] - state.labels)
    seed = derive(plan.seed, "ask", state.round)
    queries = parts.ask(state, due, seed)
    named = {segment for query in queries for segment in query.segments}
    ids = _ids(state.pool)
    parts.store.add([made for made, id in zip(state.pool, ids, strict=True) if id in named])
    parts.store.ask(queries)
    rules = [query.acquisition for query in queries]
    counts = {rule: rules.count(rule) for rule in sorted(set(rules))}
    return replace(state, stage="wait", pool=()), {"asked": len(queries), "acquisition": counts}


def _wait(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """Until every query of the round is answered. The cursor fixes which answers this round learns from."""
    until, before = time.monotonic() + plan.patience_seconds, learning_steps(parts.task)
    parts.annotator.work()
    while parts.store.waiting(round=state.round) and time.monotonic() < until:
        if not _went_ahead(parts, plan, state):
            time.sleep(POLL_SECONDS)
        parts.annotator.work()
    answers = parts.store.answers(after=state.cursor)
    parts.count(answers)
    values = [answer.value for answer in answers]
    skipped = sum(isinstance(value, Skip) for value in values)
    cursor = answers[-1].seq if answers else state.cursor
    labels = state.labels + len(answers) - skipped
    ties = sum(map(tied, values))
    record = {"answers": len(answers), "skipped": skipped, "ties": ties, "labels": labels, "cursor": cursor}
    if learning_steps(parts.task) > before:
        record["ahead"] = learning_steps(parts.task) - before
    told = undecided(values)
    return replace(state, stage="fit", since=state.cursor, cursor=cursor, labels=labels, undecided=told), record


def _went_ahead(parts: Parts, plan: Plan, state: State) -> bool:
    """Takes a piece of the round's steps while people answer; false where none may be taken, or there is no reward.

    How many are taken depends on how fast people are. What follows starts from the checkpoint that holds them.
    """
    done, start = learning_steps(parts.task), plan.steps[state.round - 1] if state.round else 0
    share = plan.steps[state.round] - start
    left = start + int(plan.ahead * share) - done
    if state.reward is None or left <= 0:
        return False
    _learn(parts, state.reward, min(left, -(-share // PIECES)), derive(plan.seed, "ahead", state.round, done))
    return True


def _learn(parts: Parts, reward: Reward, steps: int, seed: int) -> Metrics:
    """The policy learns against a frozen reward."""
    parts.task.count_as("improve")
    return parts.policy.improve(parts.signal(reward), steps, seed)


def _fit(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """Fits every candidate to all answers up to the cursor, warm from what it was."""
    packed = evidence.pack(parts.store, upto=state.cursor, cache=cache)
    if packed.answers == 0:
        raise InputError(_why_nothing(state, plan))
    if state.reward is not None:
        new = [answer for answer in cache.answers if state.since < answer.seq <= state.cursor]
        own = evidence.pack_answers(evidence.usable(new, cache.queries), cache.segments, cache.groups)
        if own.answers:
            state = replace(state, forecasts=(*state.forecasts, parts.foretell(state.reward, own)))
    candidates, record = parts.fit(packed, state.candidates, state.round + 1, derive(plan.seed, "fit", state.round))
    return replace(state, stage="select", candidates=tuple(candidates)), record


def _select(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """Takes one of the candidates, keeps it, and writes down which answers made it."""
    chosen, why = parts.select(state.candidates)
    kept = parts.keep_reward(chosen, state.round)
    answers_hash = hash_answers(answer for answer in cache.answers if answer.seq <= state.cursor)
    state = replace(state, stage="improve", reward=chosen, reward_hash=kept)
    return state, {**why, "answers_hash": answers_hash, "reward_hash": kept}


def _improve(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """The policy learns against the frozen reward for its share of the steps."""
    if state.reward is None:
        raise InputError("this checkpoint has no reward: start the run anew with another --out.")
    budget = max(1, plan.steps[state.round] - learning_steps(parts.task))
    metrics = _learn(parts, state.reward, budget, derive(plan.seed, "improve", state.round))
    kept = parts.keep_policy(state.round)
    record = {"steps": metrics.steps, "updates": metrics.updates, "extra": dict(metrics.extra)}
    return replace(state, stage="judge"), {**record, "policy_hash": kept, "reward_hash": state.reward_hash}


def _judge(parts: Parts, plan: Plan, state: State, cache: evidence.Cache) -> Outcome:
    """Measures the round on what nothing was chosen by: uniform queries, asked before the reward knew the answers."""
    spent = {"labels": state.labels, "env_steps": learning_steps(parts.task)}
    found = parts.judge(state)
    if isinstance(signs := found.get("signs"), Mapping):
        state = replace(state, watched=(*state.watched, signs))
    state = replace(state, stopped=parts.stop(state))
    told = {"stopped": state.stopped} if state.stopped else {}
    return replace(state, stage="collect", round=state.round + 1), {**found, **spent, **told}


STAGES: dict[str, Stage] = {
    "collect": _collect,
    "ask": _ask,
    "wait": _wait,
    "fit": _fit,
    "select": _select,
    "improve": _improve,
    "judge": _judge,
}


def learning_steps(task: Counted) -> int:
    """Environment steps that the policy could learn from: all but those of evaluation."""
    return sum(n for purpose, n in task.steps().items() if purpose != "judge")


def _ids(pool: Sequence[Collected]) -> list[SegmentId]:
    return [segment_id(made.segment) for made in pool]


def _why_nothing(state: State, plan: Plan) -> str:
    if not state.cursor:
        return (
            f"nobody answered in {plan.patience_seconds:g} s, so there is nothing to learn from: wait longer, "
            "or let a teacher answer."
        )
    return (
        f"all {state.cursor} answers of round {state.round} were skips, so there is nothing to learn from: "
        "ask about segments that differ more, or raise feedback.labels."
    )


def _shown(record: Mapping[str, object]) -> dict[str, float]:
    value = record.get("true_return")
    return {"true_return": float(value)} if isinstance(value, int | float) and np.isfinite(value) else {}


def spread(total: int, rounds: int, first: float, falling: float = 1.0) -> tuple[int, ...]:
    """Cumulative labels by round: `first` of them in round 0, the rest as (1 + round)^-falling.

    B-Pref's and imitation's schedules: 1 is hyperbolic (imitation #771 chose it), 0 is constant.
    """
    start = max(1, round_half(total * first)) if rounds > 1 else total
    weights = np.arange(2.0, rounds + 1.0) ** -falling
    later = np.cumsum(weights) / weights.sum() * (total - start) if rounds > 1 else np.zeros(0)
    return (start, *(start + round_half(float(x)) for x in later))


def paced(total: int, before: int, rounds: int, growth: float) -> tuple[int, ...]:
    """Cumulative steps by round, from `before` to `total`: round t takes a share as (1 + t)^growth.

    Where steps are many, short first rounds let a policy learn from more than one reward before the labels are spent.
    """
    share = np.cumsum(np.arange(1.0, rounds + 1.0) ** growth)
    return tuple(before + round_half(float(x)) for x in share / share[-1] * (total - before))


def round_half(x: float) -> int:
    """To the nearest whole number, halves upwards."""
    return int(np.floor(x + 0.5))
