"""Golden, property, invariance: the loop over parts that do next to nothing, and how labels are spread over rounds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import loop, records
from accord.feedback.store import Store
from accord.feedback.teachers import Teacher, TeacherConfig
from accord.loop import Parts, Plan, State, learning_steps, paced, round_half, spread
from accord.progress import Silent
from accord.rewards.judge import Forecasts
from accord.types import (
    Acting,
    ActionSpec,
    Annotator,
    Collected,
    Evidence,
    InputError,
    LearnedReward,
    Metrics,
    Provenance,
    Query,
    Reward,
    Scored,
    Signal,
    StepBatch,
    Steps,
    TaskSpec,
    Transition,
    segment_id,
)

SPEC = TaskSpec("fake", 1, ActionSpec(True, 2), 5, False, 1)
PLAN = Plan(seed=3, labels=(2, 5, 6), steps=(20, 30, 50))
ORDER = ["collect", "ask", "wait", "fit", "select", "improve", "judge"]


@dataclass
class Counted:
    """A task that is never stepped, only counted."""

    spec: TaskSpec = SPEC
    taken: dict[str, int] = field(default_factory=dict)
    purpose: str = ""

    def reset(self, seed: int) -> np.ndarray:
        raise AssertionError("the loop itself takes no step")

    def step(self, action: np.ndarray) -> Transition:
        raise AssertionError("the loop itself takes no step")

    def count_as(self, purpose: str) -> None:
        self.purpose = purpose

    def steps(self) -> Mapping[str, int]:
        return dict(self.taken)


@dataclass(frozen=True)
class Told:
    """A reward that is only its version."""

    version: int

    def __call__(self, batch: StepBatch) -> Scored:
        raise AssertionError("nobody scores here")


class Obedient:
    """A policy that takes exactly its budget."""

    version = 0

    def __init__(self, task: Counted, heard: list[tuple]) -> None:
        self.task, self.heard = task, heard

    def act(self, observation: np.ndarray, seed: int | None = None) -> np.ndarray:
        raise AssertionError("nobody acts here")

    def acting(self) -> Acting:
        raise AssertionError("nobody acts here")

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        assert isinstance(signal, LearnedReward)
        self.heard.append(("improve", signal.reward, budget, seed))
        self.task.taken[self.task.purpose] = self.task.taken.get(self.task.purpose, 0) + budget
        return Metrics(budget, 0.0, 1)

    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


class Fakes:
    """Parts around a true store and a true teacher, and what they were asked to do."""

    def __init__(self, folder: Path, teacher: TeacherConfig | None = None, pool: int = 12) -> None:
        self.heard: list[tuple] = []
        self.saved: list[State] = []
        self.pool, self.task = pool, Counted()
        self.store = Store(f"sqlite:///{folder / 'store.db'}")
        self.parts = Parts(
            task=self.task,
            policy=Obedient(self.task, self.heard),
            store=self.store,
            annotator=Teacher(self.store, teacher or TeacherConfig(), 0),
            collect=self.collect,
            ask=self.ask,
            fit=self.fit,
            select=lambda candidates: (candidates[-1], {"why": "the last"}),
            foretell=self.foretell,
            judge=self.judge,
            keep_reward=lambda reward, round: f"reward {reward.version}",
            keep_policy=lambda round: f"policy {round}",
            save=self.saved.append,
        )

    def collect(self, round: int, seed: int) -> list[Collected]:
        self.heard.append(("collect", round, seed))
        if round == 0:
            self.task.taken["collect"] = 10
        rng = np.random.default_rng(seed)
        return [self._segment(rng, round, i) for i in range(self.pool)]

    def _segment(self, rng: np.random.Generator, round: int, i: int) -> Collected:
        rows = rng.normal(size=(4, 1)).astype(np.float32)
        segment = Steps(rows, np.zeros((4, 2), np.float32), np.ones(4, bool), False)
        return Collected(segment, Provenance("fake", round, 0, 0, i, 0), rows[:, 0].copy())

    def ask(self, state: State, due: int, seed: int) -> list[Query]:
        round = state.round
        self.heard.append(("ask", state.reward, due, round, seed))
        ids = [segment_id(made.segment) for made in state.pool]
        return [Query(f"{round}-{i}", "compare", (ids[2 * i], ids[2 * i + 1]), round=round) for i in range(due)]

    def fit(
        self, evidence: Evidence, before: Sequence[Reward], version: int, seed: int
    ) -> tuple[list[Reward], dict[str, object]]:
        self.heard.append(("fit", evidence.answers, tuple(before), version, seed))
        return [Told(version), Told(100 + version)], {"epochs": 1}

    def foretell(self, reward: Reward, own: Evidence) -> Forecasts:
        self.heard.append(("foretell", reward, own.answers))
        number, whole = np.full(own.answers, float(reward.version)), np.zeros(own.answers, np.int64)
        return Forecasts(number, number, whole, whole, whole)

    def judge(self, state: State) -> dict[str, object]:
        self.heard.append(("judge", state.round, state.reward))
        self.task.taken["judge"] = self.task.taken.get("judge", 0) + 1_000
        return {"true_return": float(state.round)}


def run(fakes: Fakes, folder: Path, state: State | None = None, plan: Plan = PLAN) -> tuple[State, list[dict]]:
    log = records.create(folder / f"run-{len(list(folder.iterdir()))}", {}, 0)
    ended = loop.run(fakes.parts, plan, state or State(), log, Silent())
    return ended, [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in log.records()]


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Fakes]:
    made = Fakes(tmp_path)
    yield made
    made.store.close()


def test_golden_stages_run_in_order_and_saving_follows_what_costs(fakes: Fakes, tmp_path: Path):
    ended, lines = run(fakes, tmp_path)
    assert list(loop.STAGES) == ORDER
    assert [(line["round"], line["stage"]) for line in lines] == [(r, stage) for r in range(3) for stage in ORDER]
    assert [(state.round, state.stage) for state in fakes.saved] == [
        (round, after) for round in range(3) for after in ("fit", "improve", "judge")
    ]
    assert (ended.round, ended.stage, ended.labels, ended.cursor) == (3, "collect", 6, 6)
    assert set(ended.seconds) == set(ORDER)


def test_golden_each_part_hears_what_is_due(fakes: Fakes, tmp_path: Path):
    ended, lines = run(fakes, tmp_path)
    said = {name: [heard[1:] for heard in fakes.heard if heard[0] == name] for name in (*ORDER, "foretell")}
    chosen = [Told(100 + version) for version in (1, 2, 3)]
    assert [(reward, due, round) for reward, due, round, _ in said["ask"]] == [
        (None, 2, 0),
        (chosen[0], 3, 1),
        (chosen[1], 1, 2),
    ]
    assert [(answers, before, version) for answers, before, version, _ in said["fit"]] == [
        (2, (), 1),
        (5, (Told(1), Told(101)), 2),
        (6, (Told(2), Told(102)), 3),
    ]
    # A round's answers are foretold by the reward that does not know them yet.
    assert said["foretell"] == [(chosen[0], 3), (chosen[1], 1)]
    assert [(reward, budget) for reward, budget, _ in said["improve"]] == list(zip(chosen, (10, 10, 20), strict=True))
    assert said["judge"] == [(round, chosen[round]) for round in range(3)]
    assert len(ended.forecasts) == 2
    seeds = [heard[-1] for heard in fakes.heard if heard[0] in ("collect", "ask", "fit", "improve")]
    assert len(set(seeds)) == len(seeds) == 12
    assert fakes.task.steps() == {"collect": 10, "improve": 40, "judge": 3_000}
    assert learning_steps(fakes.task) == PLAN.steps[-1] == 50
    judged = [line for line in lines if line["stage"] == "judge"]
    assert [line["env_steps"] for line in judged] == list(PLAN.steps)
    assert [line["labels"] for line in judged] == list(PLAN.labels)


def test_golden_hashes_tie_answers_reward_and_policy(fakes: Fakes, tmp_path: Path):
    _, lines = run(fakes, tmp_path)
    for round in range(3):
        of = {line["stage"]: line for line in lines if line["round"] == round}
        upto = fakes.store.answers(upto=of["wait"]["cursor"])
        assert of["select"]["answers_hash"] == records.hash_answers(upto)
        assert of["select"]["reward_hash"] == of["improve"]["reward_hash"] == f"reward {101 + round}"
        assert of["improve"]["policy_hash"] == f"policy {round}"


@pytest.mark.parametrize("number", range(9))
def test_invariance_from_any_saved_state_the_rest_is_the_same(number: int, tmp_path: Path):
    """With the store and the task's counter as they were when that state was saved."""
    first, then = Fakes(tmp_path), tmp_path / "then"
    counters: list[dict[str, int]] = []
    then.mkdir()

    def save(state: State) -> None:
        if len(first.saved) == number:
            with (
                closing(sqlite3.connect(tmp_path / "store.db")) as whole,
                closing(sqlite3.connect(then / "store.db")) as to,
            ):
                whole.backup(to)
        first.saved.append(state)
        counters.append(dict(first.task.taken))

    first.parts = replace(first.parts, save=save)
    ended, lines = run(first, tmp_path)
    state, again = first.saved[number], Fakes(then)
    again.task.taken.update(counters[number])
    resumed, rest = run(again, then, state)
    assert rest == lines[-len(rest) :] and again.task.taken == first.task.taken
    assert rest[0]["stage"] == state.stage
    assert (resumed.labels, resumed.cursor, resumed.reward) == (ended.labels, ended.cursor, ended.reward)
    for mine, theirs in zip(resumed.forecasts, ended.forecasts, strict=True):
        assert np.array_equal(mine.logit, theirs.logit)
    for each in (first, again):
        each.store.close()


def test_golden_a_skip_is_no_label_and_is_asked_for_again(tmp_path: Path):
    """What was skipped in one round is due in the next, so that labels end where the plan says or are fewer."""
    fakes = Fakes(tmp_path, TeacherConfig(equal=0.5))
    ended, lines = run(fakes, tmp_path)
    waits = [line for line in lines if line["stage"] == "wait"]
    asked = [line["asked"] for line in lines if line["stage"] == "ask"]
    assert sum(line["skipped"] for line in waits) > 0
    done = 0
    for wait, number, planned in zip(waits, asked, PLAN.labels, strict=True):
        assert number == planned - done == wait["answers"]
        done += wait["answers"] - wait["skipped"]
        assert wait["labels"] == done
    assert ended.labels == done < 6
    fakes.store.close()


def test_golden_nothing_but_skips_is_told(tmp_path: Path):
    fakes = Fakes(tmp_path, TeacherConfig(equal=1e9))
    with pytest.raises(InputError, match="all 2 answers of round 0 were skips"):
        run(fakes, tmp_path)
    fakes.store.close()


def test_golden_too_few_segments_are_told(tmp_path: Path):
    fakes = Fakes(tmp_path, pool=1)
    with pytest.raises(InputError, match="round 0 found 1 segments"):
        run(fakes, tmp_path)
    fakes.store.close()


def test_golden_a_checkpoint_without_its_reward_is_told(fakes: Fakes, tmp_path: Path):
    with pytest.raises(InputError, match="no reward"):
        run(fakes, tmp_path, State(stage="improve"))


class Slow:
    """Answers after so many looks."""

    name = "slow"

    def __init__(self, behind: Annotator, looks: int) -> None:
        self.behind, self.looks = behind, looks

    def work(self) -> int:
        self.looks -= 1
        return self.behind.work() if self.looks < 0 else 0


def test_golden_who_answers_late_is_waited_for(fakes: Fakes, tmp_path: Path):
    fakes.parts = replace(fakes.parts, annotator=Slow(fakes.parts.annotator, looks=2))
    ended, _ = run(fakes, tmp_path)
    assert ended.labels == 6


class Late:
    """Answers each round's queries after so many looks of that round."""

    name = "late"

    def __init__(self, behind: Annotator, looks: Sequence[int]) -> None:
        self.behind, self.looks, self.round = behind, [*looks], 0

    def work(self) -> int:
        self.looks[self.round] -= 1
        if self.looks[self.round] >= 0:
            return 0
        self.round += 1
        return self.behind.work()


def test_golden_while_people_answer_the_policy_goes_ahead_on_the_last_reward(fakes: Fakes, tmp_path: Path):
    """Piece by piece up to its share, and no step more in all; in the first round there is no reward yet."""
    fakes.parts = replace(fakes.parts, annotator=Late(fakes.parts.annotator, looks=(1, 3, 6)))
    _, lines = run(fakes, tmp_path, plan=replace(PLAN, ahead=0.5))
    learned = [heard[1:3] for heard in fakes.heard if heard[0] == "improve"]
    one, two, three = Told(101), Told(102), Told(103)
    # Round 1 has ten steps, so pieces of one, and three looks; round 2 has twenty, pieces of two, and half is enough.
    ahead = [(one, 1)] * 3, [(two, 2)] * 5
    assert learned == [(one, 10), *ahead[0], (two, 7), *ahead[1], (three, 10)]
    assert [line.get("ahead") for line in lines if line["stage"] == "wait"] == [None, 3, 10]
    assert learning_steps(fakes.task) == PLAN.steps[-1]


def test_golden_who_never_answers_is_not_waited_for_beyond_the_patience(fakes: Fakes, tmp_path: Path):
    fakes.parts = replace(fakes.parts, annotator=Slow(fakes.parts.annotator, looks=10**9))
    with pytest.raises(InputError, match="nobody answered in 0 s"):
        run(fakes, tmp_path, plan=replace(PLAN, patience_seconds=0.0))
    assert fakes.store.answers() == [] and fakes.store.waiting(round=0) == 2


# ------------------------------------------------------------------------------------------- spread of labels


@given(st.integers(1, 10_000), st.integers(1, 50), st.floats(0, 1))
def test_property_labels_rise_to_the_total_and_begin_with_their_share(total: int, rounds: int, first: float):
    rounds = min(rounds, total)
    plan = spread(total, rounds, first)
    assert len(plan) == rounds and plan[-1] == total
    assert all(a <= b for a, b in pairwise(plan)) and plan[0] >= 1
    assert rounds == 1 or abs(plan[0] - max(1, total * first)) <= 0.5
    each = np.diff(plan)
    # Front-loaded: no later round asks for more than one above an earlier one, for the rounding.
    assert all(later <= earlier + 1 for earlier, later in pairwise(each))


def test_golden_labels_of_five_rounds():
    # 25 first; 75 more as 1/2 : 1/3 : 1/4 : 1/5 of 77/60, cumulative 29.22, 48.70, 63.31, 75.
    assert spread(100, 5, 0.25) == (25, 54, 74, 88, 100)
    assert spread(7, 1, 0.25) == (7,)
    assert spread(50, 5, 0.2, falling=0.0) == (10, 20, 30, 40, 50)


def test_golden_steps_are_even_or_grow_with_the_round():
    assert paced(1_100, 100, 4, 0.0) == (350, 600, 850, 1_100)
    assert paced(1_100, 100, 4, 1.0) == (200, 400, 700, 1_100)


@given(st.integers(-1_000, 1_000))
def test_golden_halves_go_upwards(n: int):
    assert round_half(n + 0.5) == n + 1 and round_half(n + 0.49) == n
