"""One trial: a pure function of a configuration, its seed and its budget. Runs in whatever process an engine gives it.

Three ways to learn, told apart by the study: the whole loop with a teacher, answers that were recorded (no new ones are
asked for), and the truth itself. No controls, no clip, no page, no checkpoint. What the trial is scored by
(`judge.py`) it never sees. A NaN, or anything else that goes wrong, is a failure with its reason, never "pruned".
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from accord import build, config, loop, records, runtime
from accord.config import RunConfig
from accord.feedback.store import Store
from accord.progress import Silent
from accord.rewards.fit import fit
from accord.rewards.fixed import TrueReward
from accord.runtime import derive
from accord.tasks.control import ControlTask
from accord.toml import Tree
from accord.trials import Point
from accord.tuning.judge import WAYS, Judge, JudgeName, halves, judge_of
from accord.types import Acting, LearnedReward, Metrics, Policy, Reward, Scored, Shaping, Signal, StepBatch

PIECES = 3  # of a trial, between which it is looked at
GLANCE = 2  # times fewer episodes for a point of the curve than for the score

Learning = Literal["loop", "recorded", "truth"]


@dataclass(frozen=True)
class Job:
    """What an engine is given."""

    number: int
    tree: Tree  # the whole configuration at the rung's steps and labels; its seed is the trial's
    judge: JudgeName
    limit: float | None = None  # CPU-seconds after which it stops learning and is scored as it is
    floors: tuple[float, ...] = ()  # scores that its looks have to reach; below one it stops


@dataclass(frozen=True)
class Outcome:
    """What came of a job. `lost`: whatever worked on it died."""

    number: int
    state: Literal["done", "failed", "lost"]
    score: float | None = None
    curve: tuple[Point, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    env_steps: int = 0
    labels: int = 0
    why: str = ""
    stopped: bool = False


class Spent(Exception):
    """The trial has used up its CPU-seconds."""


class Behind(Exception):
    """A look at the trial was below its floor."""


@dataclass
class Meter:
    """Watches a trial: its curve, its cost, and when it has to stop."""

    judge: Judge
    episodes: int
    seed: int
    limit: float | None
    floors: tuple[float, ...]
    task: ControlTask
    policy: Policy
    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)
    curve: list[Point] = field(default_factory=list)
    labels: int = 0

    def cpu_seconds(self) -> float:
        return time.process_time() - self.cpu

    def point(self, share: float) -> None:
        """`share` of the steps is done: a point of the curve, where a piece of them is over. Raises Behind."""
        place = len(self.curve)
        if share * PIECES < place + 1:
            return
        score = self._look(max(1, self.episodes // GLANCE), "glance")
        if place < len(self.floors) and score < self.floors[place]:
            raise Behind

    def check(self) -> None:
        """Raises Spent where the limit is passed."""
        if self.limit is not None and self.cpu_seconds() > self.limit:
            raise Spent

    def score(self) -> float:
        """The last point, on all of its episodes."""
        return self._look(self.episodes, "score")

    def _look(self, episodes: int, what: str) -> float:
        spent, steps = self.cpu_seconds(), loop.learning_steps(self.task)
        found = self.judge(self.task, self.policy.acting(), episodes, derive(self.seed, what))
        self.labels += found.labels
        self.curve.append(Point(steps, spent, found.score))
        return found.score


@dataclass(frozen=True)
class Checked:
    """A reward that looks at the meter whenever it is asked: at every update of SAC, every roll-out of PPO."""

    reward: Reward
    meter: Meter

    @property
    def version(self) -> int:
        return self.reward.version

    def __call__(self, batch: StepBatch) -> Scored:
        """The reward's own answer. Raises Spent."""
        self.meter.check()
        return self.reward(batch)


class Bounded:
    """A policy that stops learning, with Spent, once its trial's CPU-seconds are used up."""

    def __init__(self, meter: Meter) -> None:
        self.meter, self.policy = meter, meter.policy

    @property
    def version(self) -> int:
        return self.policy.version

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """As the policy does it."""
        if isinstance(signal, LearnedReward):
            signal = replace(signal, reward=Checked(cast(Reward, signal.reward), self.meter))
        return self.policy.improve(signal, budget, seed)

    def act(self, observation: np.ndarray, seed: int | None = None) -> np.ndarray:
        return self.policy.act(observation, seed)

    def acting(self) -> Acting:
        return self.policy.acting()

    def save(self, folder: Path) -> None:
        self.policy.save(folder)

    def load(self, folder: Path) -> None:
        self.policy.load(folder)


def warm_up() -> None:
    """What torch imports only when an optimiser first steps: else the first trial of a worker would pay for it."""
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.sum().backward()
    torch.optim.Adam([weight]).step()


def learning_of(settings: RunConfig, judge: JudgeName) -> Learning:
    """How the trials of a study learn."""
    if settings.tune.signal == "truth":
        return "truth"
    return "recorded" if judge == "reward" else "loop"


def run(job: Job) -> Outcome:
    """Learns, is judged, and says what it took. Raises nothing that the trial itself is to blame for."""
    began, cpu = time.perf_counter(), time.process_time()
    meter: Meter | None = None
    stopped = False
    try:
        settings = config.from_tree(job.tree)
        with runtime.flushed(), tempfile.TemporaryDirectory(prefix="accord-trial-") as folder:
            meter, learn = _made(settings, job, Path(folder))
            try:
                learn()
                score = meter.score()
            except Spent:
                score = meter.score()
            except Behind:
                score, stopped = meter.curve[-1].score, True
    except Exception as error:  # whatever it is, it is the trial's: the study goes on without it
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        return _outcome(job, meter, began, cpu, why=why)
    return _outcome(job, meter, began, cpu, score, stopped)


def _outcome(
    job: Job,
    meter: Meter | None,
    began: float,
    cpu: float,
    score: float | None = None,
    stopped: bool = False,
    why: str = "",
) -> Outcome:
    return Outcome(
        number=job.number,
        state="failed" if score is None else "done",
        score=score,
        curve=tuple(meter.curve) if meter else (),
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - cpu,
        env_steps=sum(meter.task.steps().values()) if meter else 0,
        labels=meter.labels if meter else 0,
        why=why,
        stopped=stopped,
    )


def _made(settings: RunConfig, job: Job, folder: Path) -> tuple[Meter, Callable[[], None]]:
    """The trial's parts under a meter, and what sets them going."""
    learning = learning_of(settings, job.judge)
    if learning == "loop":
        return _looping(settings, job, folder)
    task = ControlTask(build.copies(settings))
    policy = build.policy_of(task, settings, derive(settings.seed, "policy"))
    meter = _meter(settings, job, task, policy)
    if learning == "truth":
        task.truth.start(0)
        signal = LearnedReward(TrueReward(task.truth.at))
    else:
        signal = _recorded(settings, task)
    return meter, lambda: _improve(settings, signal, meter)


def _meter(settings: RunConfig, job: Job, task: ControlTask, policy: Policy) -> Meter:
    judge = judge_of(job.judge, settings, task.spec)
    seed = derive(settings.seed, "judged")
    return Meter(judge, settings.tune.episodes, seed, job.limit, job.floors, task, policy)


def _recorded(settings: RunConfig, task: ControlTask) -> LearnedReward:
    """A reward of the answers that the judge does not have."""
    spec, seed = task.spec, settings.seed
    answers = halves(settings.feedback.store, seed % WAYS)[0]
    reward = fit(
        answers,
        settings.reward,
        discrete=spec.action.discrete,
        terminates=spec.terminates,
        seed=derive(seed, "fit", 0),
        picture=spec.picture,
    )
    return LearnedReward(reward, shaping=Shaping(pessimism=settings.reward.pessimism))


def _improve(settings: RunConfig, signal: LearnedReward, meter: Meter) -> None:
    """All steps in a few pieces, looked at between them."""
    steps = settings.policy.steps
    for piece in range(1, PIECES + 1):
        left = steps * piece // PIECES - loop.learning_steps(meter.task)
        if left > 0:
            Bounded(meter).improve(signal, left, derive(settings.seed, "improve", piece))
        if piece < PIECES:
            meter.point(piece / PIECES)


def _looping(settings: RunConfig, job: Job, folder: Path) -> tuple[Meter, Callable[[], None]]:
    """The whole loop, watched after every round by the trial's judge in place of the truth, and nothing kept."""
    store = Store("sqlite://")
    try:
        made = build.Made(settings, store, folder)
        meter = _meter(settings, job, made.task, made.policy)
    except BaseException:
        store.close()
        raise

    def judge(state: loop.State) -> dict[str, object]:
        if state.round + 1 < made.plan.rounds:
            meter.point(made.plan.steps[state.round] / made.plan.steps[-1])
        return {}

    def learn() -> None:
        kept: dict[str, Any] = {"save": lambda state: None, "keep_policy": lambda round: ""}
        parts = replace(made.parts(), policy=Bounded(meter), judge=judge, keep_reward=lambda reward, round: "", **kept)
        try:
            loop.run(parts, made.plan, loop.State(), records.Run(folder, {}), Silent())
        finally:
            meter.labels += len(store.answers())
            store.close()

    return meter, learn
