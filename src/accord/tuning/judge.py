"""What a trial is scored by: separate from what it learns from, and never shown to it.

    truth    the environment's own return of whole episodes. Only where `task.truth` declares that this is what is
             wanted.
    teacher  a teacher watches whole episodes and rates each, with its noise, its short memory and its mistakes: the one
             matched to the store's first answers where there are some, else the configured one. Each rating is a label.
    reward   a reward fitted to answers that the trial did not learn from scores whole episodes. Recorded answers are
             split in two disjoint parts by episode or prompt, in five ways that take turns with the seed.

Evaluation: it may read the truth. Sees a policy's episodes on seeds of its own, the same for every configuration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy import optimize

from accord.config import RunConfig
from accord.feedback import evidence
from accord.feedback.store import Store
from accord.feedback.teachers import Seen, TeacherConfig, perceive
from accord.rewards.fit import fit
from accord.rewards.fitted import FittedReward
from accord.rewards.settings import RewardConfig
from accord.runtime import derive
from accord.tasks.collect import evaluate
from accord.tasks.control import ControlTask
from accord.types import Acting, Evidence, InputError, Reward, Side, StepBatch, Steps, TaskSpec

JudgeName = Literal["truth", "teacher", "reward"]
JUDGED = (
    0.63  # of the groups are the judge's: it has .63^2 = 40% of the answers about two of them (tuning research: 30-50%)
)
LEAST = 60  # recorded answers: fewer leave a judge whose ranking is mostly noise
MATCHED = 20  # decided comparisons from which a teacher can be matched
WAYS = 5  # of splitting: what is better on five seeds is so by five judges, whose mistakes are not the same
PRIOR = 10.0  # answers' worth of the belief that one in ten is a lapse


@dataclass(frozen=True)
class Judged:
    """A score, higher is better, and how many answers it took."""

    score: float
    labels: int = 0


class Judge(Protocol):
    """Scores a policy on `episodes` fresh episodes that the seed gives."""

    def __call__(self, task: ControlTask, acting: Acting, episodes: int, seed: int) -> Judged: ...


def name_of(settings: RunConfig) -> JudgeName:
    """The judge of a configuration; "auto" is recorded answers where there are enough, else a teacher."""
    given = settings.tune.judge
    if settings.tune.signal == "truth":
        if given not in ("auto", "truth"):
            raise InputError(
                f'tune.judge is "{given}" beside tune.signal = "truth": who learns from the truth is judged by it; '
                "leave one out."
            )
        return "truth"
    recorded = _recorded(settings)
    if given == "reward" and recorded < LEAST:
        raise InputError(
            f'tune.judge is "reward", and feedback.store holds {recorded} answers; two halves need {LEAST} at least: '
            'collect more, or set tune.judge = "teacher".'
        )
    if given != "auto":
        return given
    return "reward" if recorded >= LEAST else "teacher"


def judge_of(name: JudgeName, settings: RunConfig, spec: TaskSpec) -> Judge:
    """The judge of one trial; `settings.seed` is the trial's."""
    if name == "truth":
        return by_truth
    if name == "teacher":
        return ByTeacher(settings.feedback.teacher, settings.seed)
    return ByReward(judging(settings.feedback.store, settings.seed % WAYS, spec.id, spec.action.discrete, settings))


def by_truth(task: ControlTask, acting: Acting, episodes: int, seed: int) -> Judged:
    """The mean true return."""
    return Judged(float(evaluate(task.sibling(episodes), acting, seed).mean()))


@dataclass(frozen=True)
class ByTeacher:
    """What a teacher thinks of whole episodes, on average. A mistake is a rating that belongs to another episode."""

    teacher: TeacherConfig
    seed: int

    def __call__(self, task: ControlTask, acting: Acting, episodes: int, seed: int) -> Judged:
        made = watched(task.sibling(episodes), acting, seed)
        traits = self.teacher.traits
        seen = [perceive(segment, truth, traits.discount, self.seed) for segment, truth in made]
        return Judged(rated(seen, self.teacher, np.random.default_rng(derive(seed, "rated"))), episodes)


def rated(seen: Sequence[Seen], teacher: TeacherConfig, rng: np.random.Generator) -> float:
    """The mean of a teacher's ratings: values as perceived, with logistic noise of its rationality."""
    traits = teacher.traits
    value = np.array([each.value for each in seen])
    wrong = rng.random(len(value)) < 1.0 - (1.0 - traits.mistake) * (1.0 - traits.spam)
    value = np.where(wrong, value[rng.permutation(len(value))], value)
    noise = rng.logistic(size=len(value)) / traits.beta
    return float((value + noise).mean())


@dataclass(frozen=True)
class ByReward:
    """The mean return by a reward of other answers than those that the trial learned from."""

    reward: Reward

    def __call__(self, task: ControlTask, acting: Acting, episodes: int, seed: int) -> Judged:
        made = [segment for segment, _ in watched(task.sibling(episodes), acting, seed)]
        return Judged(float(np.mean([_return(self.reward, segment) for segment in made])))


def _return(reward: Reward, segment: Steps) -> float:
    batch = StepBatch(*(torch.from_numpy(x[None]) for x in (segment.observation, segment.action, segment.valid)))
    return float(reward(batch).mean.sum())


def watched(task: ControlTask, acting: Acting, seed: int) -> list[tuple[Steps, Float32[np.ndarray, "time"]]]:
    """One whole episode of every copy, with its sealed rewards."""
    spec, columns = task.spec, []
    task.count_as("judge")
    observation = task.reset(seed)
    start = task.tick
    task.truth.start(start)
    running = np.ones(spec.envs, bool)
    while running.any():
        action = acting(observation)
        step = task.step(action)
        columns.append((observation, action, running, step.terminated))
        running = running & ~(step.terminated | step.truncated)
        observation = step.observation
    serial = np.arange(start * spec.envs, task.tick * spec.envs)
    truth = task.truth.at(serial).reshape(len(columns), spec.envs)
    seen, action, valid, terminated = (np.stack(column, 1) for column in zip(*columns, strict=True))
    rows = np.eye(spec.action.size, dtype=np.float32)[action] if spec.action.discrete else action.astype(np.float32)
    made = []
    for env in range(spec.envs):
        steps = int(valid[env].sum())
        ended = bool(terminated[env, steps - 1])
        segment = Steps(seen[env, :steps], rows[env, :steps], np.ones(steps, bool), ended)
        made.append((segment, truth[:steps, env]))
    return made


# -------------------------------------------------------------------------------------- recorded answers


def in_turn(seeds: Sequence[int]) -> list[int]:
    """Seeds just below these, with which recorded answers are split in every way in turn."""
    return [max(0, seed // WAYS - 1) * WAYS + place % WAYS for place, seed in enumerate(seeds)]


@lru_cache(maxsize=2 * WAYS)
def halves(url: str, way: int) -> tuple[Evidence, Evidence]:
    """What trials learn from and what judges them: disjoint answers; the judge's are about groups of its own alone.

    An answer about a group of either side goes to the trials: to have seen a judge's episode is less than to have seen
    its answer.
    """
    store = Store(url)
    try:
        cache = evidence.Cache()
        evidence.pack(store, cache=cache)
    finally:
        store.close()
    pairs = evidence.usable(cache.answers, cache.queries)
    groups = sorted(set(cache.groups.values()))
    order = np.random.default_rng(derive(0, "halves", way)).permutation(len(groups))
    theirs = {groups[i] for i in order[: round(JUDGED * len(groups))]}
    inside = [all(cache.groups[segment] in theirs for segment in query.segments) for query, _ in pairs]
    own = [pair for pair, judging in zip(pairs, inside, strict=True) if not judging]
    other = [pair for pair, judging in zip(pairs, inside, strict=True) if judging]
    if not own or not other:
        raise InputError(
            f"the {len(pairs)} answers of {url} are about {len(groups)} episodes or prompts, which cannot be split "
            'into a part to learn from and a part to judge by: collect more, or set tune.judge = "teacher".'
        )
    return (
        evidence.pack_answers(own, cache.segments, cache.groups),
        evidence.pack_answers(other, cache.segments, cache.groups),
    )


@lru_cache(maxsize=2 * WAYS)
def _fitted(url: str, way: int, discrete: bool, terminates: bool, picture: tuple[int, int, int] | None) -> FittedReward:
    """A reward of a fixed kind, whatever the trials try: else one that fits like its judge would be preferred."""
    kind = "kernel" if picture is None else "cnn"
    judged = halves(url, way)[1]
    return fit(judged, RewardConfig(kind=kind), discrete=discrete, terminates=terminates, seed=way, picture=picture)


def judging(url: str, way: int, task: str, discrete: bool, settings: RunConfig) -> FittedReward:
    """The judge's reward, fitted once in a process."""
    spec = ControlTask(replace(settings.control, envs=1)).spec
    return _fitted(url, way, discrete, spec.terminates, spec.picture)


def _recorded(settings: RunConfig) -> int:
    """How many usable answers the configuration's store holds."""
    url = settings.feedback.store
    if not url:
        return 0
    store = Store(url)
    try:
        return evidence.pack(store).answers
    finally:
        store.close()


# -------------------------------------------------------------------------------------- a teacher like the user


def matched(url: str) -> TeacherConfig | None:
    """The noisy teacher that answers as a store's people did: rationality and lapses by maximum likelihood.

    `P(first) = eps / 2 + (1 - eps) sigmoid(beta (G_1 - G_2))` on decided comparisons whose true returns are known; None
    where there are fewer than `MATCHED`.
    """
    store = Store(url)
    try:
        cache = evidence.Cache()
        evidence.pack(store, cache=cache)
        pairs = [
            (query.segments, answer.value)
            for query, answer in evidence.usable(cache.answers, cache.queries)
            if isinstance(answer.value, Side) and 2 * answer.value.level != answer.value.levels - 1
        ]
        truths = [store.truth(segments) for segments, _ in pairs]
    finally:
        store.close()
    ahead = []
    for (first, second), (_, side) in zip(truths, pairs, strict=True):
        if first is not None and second is not None:
            difference = float(first.sum() - second.sum())
            ahead.append(difference if 2 * side.level > side.levels - 1 else -difference)
    if len(ahead) < MATCHED:
        return None
    beta, lapse = likeliest(np.array(ahead))
    return TeacherConfig("noisy", beta=beta, mistake=lapse / 2)


def likeliest(ahead: Float[np.ndarray, "answer"]) -> tuple[float, float]:
    """Rationality and lapse rate, given by how much what was preferred was ahead in true return."""
    unit = float(np.abs(ahead).mean()) or 1.0

    def cost(at: np.ndarray) -> float:
        beta, lapse = math.exp(at[0]) / unit, 1.0 / (1.0 + math.exp(-at[1]))
        sure = 1.0 / (1.0 + np.exp(-np.clip(beta * ahead, -500, 500)))
        prior = PRIOR / len(ahead) * (0.1 * math.log(max(lapse, 1e-12)) + 0.9 * math.log(max(1.0 - lapse, 1e-12)))
        return -float(np.log(lapse / 2 + (1.0 - lapse) * sure).mean()) - prior

    found = optimize.minimize(cost, np.array([0.0, -2.0]), method="Nelder-Mead", bounds=[(-6.0, 6.0), (-8.0, 4.0)])
    return math.exp(found.x[0]) / unit, 1.0 / (1.0 + math.exp(-found.x[1]))
