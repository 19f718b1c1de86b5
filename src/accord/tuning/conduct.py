"""The stages of a study: portfolio and race, search, a race of the best, confirmation.

Of the budget three tenths go to the race of the arms, four to the search (a quarter of them to running its best again),
and three are kept for the confirmation. What a stage does follows from the trials on record before it and from seeds
derived by name, so a killed study goes on as it would have. One coordinator writes; engines only run trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from accord import build, config, trials
from accord.config import RunConfig
from accord.runtime import derive
from accord.tasks.control import ControlTask
from accord.trials import Result, Trial, totals
from accord.tuning import race as races
from accord.tuning.arms import Arm, configured
from accord.tuning.budget import Budget
from accord.tuning.confirm import Confirmed, verdict
from accord.tuning.engine import Engine
from accord.tuning.judge import JudgeName, in_turn
from accord.tuning.ledger import Entry, Ledger, Spec, Watch
from accord.tuning.portfolio import DEFAULT, portfolio
from accord.tuning.search import FAIR, GENERATION, SEARCHING, SLACK, Plan, place_of, search
from accord.tuning.space import Number, Space, params_of, space_of
from accord.tuning.stopping import floors
from accord.tuning.suggest import Dashboard
from accord.tuning.trial import Job, learning_of
from accord.types import InputError

RACE, SEARCH, NARROW = 0.3, 0.55, 0.7  # shares of the budget by the end of each; the rest confirms
PAIRED, TUNED, NARROWED = 2, 3, 2  # seeds of the race, of the search, and more for the best of both
LEAST_RUNS = 3  # the default twice, one other: beside the confirmation of two


@dataclass(frozen=True)
class Setting:
    """What a study is made of, before its first trial."""

    settings: RunConfig  # the user's
    base: RunConfig  # what trials start from: the user's, answered by whom the study lets answer
    judge: JudgeName
    budget: Budget
    sync: bool
    arms: tuple[Arm, ...]  # the user's own first
    rungs: tuple[int, ...]  # steps, shortest first

    def seeds(self, what: str) -> list[int]:
        """Seeds for one purpose, shared with no other."""
        n = {"race": PAIRED, "search": TUNED, "narrow": NARROWED}.get(what, self.settings.tune.confirm)
        return in_turn([derive(self.settings.seed, "tune", what, i) for i in range(n)])

    def of(self, arm: Arm, values: Mapping[str, trials.Value], rung: int, seed: int) -> RunConfig:
        """A trial's configuration: fewer labels on shorter rungs, one for every round at least."""
        made, steps = configured(self.base, arm, values), self.rungs[rung]
        labels = max(2, math.ceil(made.feedback.labels * steps / self.rungs[-1]))
        feedback = replace(made.feedback, labels=labels, rounds=min(made.feedback.rounds, labels))
        return replace(made, seed=seed, feedback=feedback, policy=replace(made.policy, steps=steps))


class Conduct:
    """One study as it goes: what the stages share."""

    def __init__(self, setting: Setting, log: trials.Log, engine: Engine, watch: Watch) -> None:
        self.setting, self.log, self.engine = setting, log, engine
        self.top = len(setting.rungs) - 1
        self.dashboard = Dashboard(log.folder / trials.OPTUNA)
        self.spaces = {arm.name: _space(setting, arm) for arm in setting.arms}
        self.arms = {arm.name: arm for arm in setting.arms}
        self._params: dict[str, Mapping[str, Number]] = {}

        def watched(trial: Trial, ledger: Ledger) -> None:
            self._show(trial)
            watch(trial, ledger)

        self.ledger = Ledger(log, trials.read(log.folder), engine, self.job, watched)
        for trial in self.ledger.ended:
            self._show(trial)

    def result(self) -> Result:
        """All stages, each from what is on record; then the verdict and the chosen configuration."""
        self.search(self.race())
        finalists = self.narrow()
        found = self.confirm(finalists)
        setting = self.setting
        rng = np.random.default_rng(derive(setting.settings.seed, "verdict"))
        told = verdict(found, setting.judge, setting.seeds("confirm"), rng, setting.sync)
        self.ledger.conclude(told)
        spent = totals(self.ledger.ended)
        result = Result(
            task=setting.settings.task.id,
            judge=setting.judge,
            budget=str(setting.budget),
            trials=int(spent["trials"]),
            failed=int(spent["failed"]),
            seconds=spent["seconds"],
            cpu_seconds=spent["cpu_seconds"],
            env_steps=int(spent["env_steps"]),
            labels=int(spent["labels"]),
            verdict=told,
        )
        chosen = next(each.entry for each in found if each.entry.name == told.chosen)
        self.log.finish(result, config.to_text(configured(setting.settings, chosen.arm, chosen.values)))
        return result

    # -------------------------------------------------------------------------------- stages

    def race(self) -> list[races.Raced]:
        """Portfolio and race. Raises InputError where every trial failed, or the budget turns out to be too small."""
        setting, seeds = self.setting, self.setting.seeds("race")
        entries = portfolio(setting.arms)
        probe = self._run(entries[:1], 0, seeds)[DEFAULT]
        price = self.price(probe)
        if setting.budget.unit in ("seconds", "cpu_seconds"):
            check_enough(setting, price)
        wanted = entries[: self._affordable(len(entries), price)]
        raced = races.race(wanted, self.top + 1, lambda some, rung: self._run(some, rung, seeds), self.ledger.agree)
        if all(each.score == -math.inf for each in raced):
            raise self._hopeless([trial for trial in self.ledger.ended if trial.stage != "confirm"])
        return raced

    def search(self, raced: Sequence[races.Raced]) -> None:
        """In the best arm, and in the second too where its best is within one standard error."""
        setting = self.setting
        arms = [arm for arm in self._winning(raced) if self.spaces[arm.name][0]]
        if not arms:
            return
        before = self._before("race")
        price = self.price(before)
        until = min(SEARCH * setting.budget.amount, setting.budget.amount - self._reserve(2) * price)
        plan = Plan(
            arms=arms,
            spaces={arm.name: self.spaces[arm.name][0] for arm in arms},
            seeds=setting.seeds("search"),
            top=self.top,
            steps=setting.rungs[-1],
            seed=setting.settings.seed,
            earlier=setting.seeds("race"),
            trials=int(until - setting.budget.spent(before)) if setting.sync else None,
        )
        search(
            plan, self.ledger, lambda more: setting.budget.spent(self.ledger.ended) + more * price > until, self.params
        )

    def narrow(self) -> list[Entry]:
        """The best of all whole runs on more seeds. The default, those that are then best, and the best random one."""
        setting, budget, most = self.setting, self.setting.budget, self.setting.settings.tune.finalists
        before = self._before("search")
        price, spent = self.price(before), budget.spent(before)
        purse = min(NARROW * budget.amount, budget.amount - self._reserve(2) * price) - spent
        ranked = [each for each in self._ranked(before) if each.name != DEFAULT]
        some = ranked[: max(0, min(2 * most, math.floor(purse / price / NARROWED)))]
        self._whole(some, "race", setting.seeds("narrow"))
        everything = self._before("narrow")
        best = [each for each in self._ranked(everything) if each.name in {one.name for one in some or ranked[:1]}]
        at_random = self._ranked([trial for trial in everything if trial.stage in SEARCHING], "random")[:1]
        default = Entry(DEFAULT, setting.arms[0], {})
        return self._paid([default, *best[:1], *at_random, *best[1:]], most + 1 + len(at_random), everything)

    def _paid(self, wanted: Sequence[Entry], most: int, before: Sequence[Trial]) -> list[Entry]:
        """Those of the wanted ones whose confirmation is paid for by what is left: the first two in any case."""
        budget, runs = self.setting.budget, self._reserve(1)
        left, found = budget.amount - budget.spent(before), dict[str, Entry]()
        for entry in wanted:
            own = [trial for trial in before if trial.name == entry.name and self._whole_run(trial)]
            left -= runs * self.price(own or before)
            if len(found) < most and (left >= 0 or len(found) < 2):
                found.setdefault(entry.name, entry)
        return list(found.values())

    def confirm(self, finalists: Sequence[Entry]) -> list[Confirmed]:
        """All of them on fresh seeds, whole runs. Raises InputError where every one of those failed."""
        before = self._before("narrow")
        ran = self._whole(finalists, "confirm", self.setting.seeds("confirm"))
        own = [trial for each in ran.values() for trial in each]
        if all(trial.score is None for trial in own):
            raise self._hopeless(own)
        worst = min(t.score for t in (*before, *own) if t.score is not None and t.rung == self.top)
        return [_confirmed(each, self._apparent(each.name, before), ran[each.name], worst) for each in finalists]

    # -------------------------------------------------------------------------------- money

    def price(self, ended: Iterable[Trial]) -> float:
        """What a whole run takes of the budget: the mean of those that were made, else by the longest there were."""
        unit = self.setting.budget.unit
        known = [trial for trial in ended if trial.state == "done" and not trial.stopped] or list(ended)
        longest = max((trial.rung for trial in known), default=0)
        costs = [_cost(trial, unit) for trial in known if trial.rung == longest]
        scale = 1.0 if unit == "trials" else self.setting.rungs[-1] / self.setting.rungs[longest]
        shared = self.engine.workers if unit == "seconds" else 1
        return max(1e-9, float(np.mean(costs or [1.0])) * scale / shared)

    def _affordable(self, entries: int, price: float) -> int:
        """How many the race's share pays for: at least the default and one of another arm, or another setting."""
        purse, counted = RACE * self.setting.budget.amount / price, self.setting.budget.unit == "trials"
        n = entries
        while n > 2 and races.price(n, self.top + 1, PAIRED, counted) > purse:
            n -= 1
        return n

    def _reserve(self, configurations: int) -> int:
        """Runs that the confirmation of so many takes."""
        return configurations * self.setting.settings.tune.confirm

    # -------------------------------------------------------------------------------- trials

    def _run(self, entries: Sequence[Entry], rung: int, seeds: Sequence[int]) -> dict[str, list[Trial]]:
        """Entries of the race on a rung; the lowest is where the portfolio starts."""
        stage: trials.Stage = "portfolio" if rung == 0 else "race"
        return self._all(entries, stage, seeds, rung)

    def _whole(self, entries: Sequence[Entry], stage: trials.Stage, seeds: Sequence[int]) -> dict[str, list[Trial]]:
        return self._all(entries, stage, seeds, self.top)

    def _all(
        self, entries: Sequence[Entry], stage: trials.Stage, seeds: Sequence[int], rung: int
    ) -> dict[str, list[Trial]]:
        specs = [Spec(stage, entry, seed, rung) for entry in entries for seed in seeds]
        ended = iter(self.ledger.all_of(specs, self.setting.rungs[rung]))
        return {entry.name: [next(ended) for _ in seeds] for entry in entries}

    def _before(self, last: str) -> list[Trial]:
        """What had ended when a stage was over: race, search or narrow. On record it does not change any more."""
        later = {"race": SEARCHING, "search": (), "narrow": ()}[last]
        again = set() if last == "narrow" else set(self.setting.seeds("narrow"))
        return [
            trial
            for trial in self.ledger.ended
            if trial.stage != "confirm" and trial.stage not in later and trial.seed not in again
        ]

    def job(self, trial: Trial) -> Job:
        """What an engine is given for a trial."""
        made = self.setting.of(self.arms[trial.arm], trial.values, trial.rung, trial.seed)
        return Job(trial.number, config.dump(made), self.setting.judge, self._limit(trial), self._floors(trial))

    def _floors(self, trial: Trial) -> tuple[float, ...]:
        """What the looks at a trial of the search have to reach; in the synchronous mode by earlier generations."""
        if trial.stage not in SEARCHING:
            return ()
        known = [each for each in self.ledger.ended if each.rung == self.top and each.stage != "confirm"]
        if self.setting.sync:
            first = place_of(trial) // GENERATION * GENERATION
            early = set(self.setting.seeds("race"))
            known = [t for t in known if t.seed in early or (t.stage in SEARCHING and place_of(t) < first)]
        return floors(known)

    def _limit(self, trial: Trial) -> float | None:
        """CPU-seconds that a trial may take: of whole runs a fair share of the budget, or `SLACK` times the default's.

        None where no clock may decide, and before the default has run.
        """
        own = [each for each in self.ledger.ended if each.name == DEFAULT and each.state == "done"]
        if self.setting.sync or not own or trial.name == DEFAULT:
            return None
        nearest = min(own, key=lambda each: (abs(each.rung - trial.rung), -each.number))
        slack = SLACK * nearest.cpu_seconds / nearest.steps * trial.steps
        budget, workers = self.setting.budget, self.engine.workers
        given = {"cpu_seconds": budget.amount, "seconds": budget.amount * workers}.get(budget.unit, math.inf)
        fair = given / FAIR * trial.steps / self.setting.rungs[-1]
        return max(slack, fair) if fair < math.inf else None

    def params(self, trial: Trial) -> Mapping[str, Number]:
        """A trial's configuration as its arm's space sees it."""
        if trial.name not in self._params:
            space, envs = self.spaces[trial.arm]
            made = configured(self.setting.base, self.arms[trial.arm], trial.values)
            self._params[trial.name] = params_of(space, config.dump(made), made.control.envs or envs)
        return self._params[trial.name]

    def _show(self, trial: Trial) -> None:
        """To Optuna's journal, once it has ended."""
        if trial.state != "started":
            self.dashboard.add(trial, self.params(trial), self.spaces[trial.arm][0])

    # -------------------------------------------------------------------------------- choosing

    def _winning(self, raced: Sequence[races.Raced]) -> list[Arm]:
        """The arm of the best one, and another whose best is within one standard error of it on the same rung."""
        highest = [each for each in raced if each.rung == raced[0].rung and each.score > -math.inf]
        found = list(dict.fromkeys(each.entry.arm for each in highest))[:2]
        if len(found) < 2:
            return found
        first, second = (next(each for each in highest if each.entry.arm == arm) for arm in found)
        seeds, squared = self.setting.seeds("race"), 0.0
        for each in (first, second):
            own = [t.score for t in self.ledger.ended if t.name == each.entry.name and t.rung == each.rung
                   and t.seed in seeds and t.score is not None]  # fmt: skip
            squared += float(np.var(own, ddof=1)) / len(own)
        return found if first.score - second.score <= math.sqrt(squared) else found[:1]

    def _ranked(self, among: Sequence[Trial], stage: str = "") -> list[Entry]:
        """Configurations by the mean score of their whole runs, best first; with `stage`, those tried first there."""
        own: dict[str, list[Trial]] = {}
        for trial in among:
            if self._whole_run(trial) and stage in ("", trial.stage):
                own.setdefault(trial.name, []).append(trial)
        order = sorted(own.values(), key=lambda each: (-races.mean_score(each), each[0].number))
        return [Entry(each[0].name, self.arms[each[0].arm], each[0].values) for each in order]

    def _apparent(self, name: str, before: Sequence[Trial]) -> float | None:
        """The mean of the scores by which a configuration got so far."""
        own = [t.score for t in before if t.name == name and self._whole_run(t) and t.score is not None]
        return float(np.mean(own)) if own else None

    def _whole_run(self, trial: Trial) -> bool:
        return trial.rung == self.top and not trial.stopped

    def _hopeless(self, failed: Sequence[Trial]) -> InputError:
        first = next(trial for trial in failed if trial.state == "failed")
        return InputError(
            f"all {len(failed)} trials failed, the first with: {first.why.rstrip('.')}; the study in {self.log.folder} "
            "stays as it is: mend that, and start another."
        )


def _space(setting: Setting, arm: Arm) -> tuple[Space, int]:
    """The arm's space, and how many copies of the environment it has where nobody says."""
    made = configured(setting.base, arm)
    spec = ControlTask(build.copies(made)).spec
    asking = learning_of(setting.base, setting.judge) == "loop"
    return space_of(arm, spec, asking, made.policy.steps, made.feedback.labels), spec.envs


def _cost(trial: Trial, unit: str) -> float:
    amounts = {
        "seconds": trial.seconds,
        "cpu_seconds": trial.cpu_seconds,
        "env_steps": float(trial.env_steps),
        "labels": float(trial.labels),
    }
    return amounts.get(unit, 1.0)


def _confirmed(entry: Entry, apparent: float | None, ran: Sequence[Trial], worst: float) -> Confirmed:
    """A failed run counts as the worst score there was."""
    return Confirmed(
        entry=entry,
        apparent=apparent,
        scores=tuple(worst if trial.score is None else trial.score for trial in ran),
        failed=sum(trial.score is None for trial in ran),
        cpu_seconds=float(np.mean([trial.cpu_seconds for trial in ran])),
        env_steps=float(np.mean([trial.env_steps for trial in ran])),
        labels=float(np.mean([trial.labels for trial in ran])),
    )


def check_enough(setting: Setting, price: float) -> None:
    """Raises InputError where the budget does not pay for the default, one other, and a confirmation of both."""
    runs = LEAST_RUNS + 2 * setting.settings.tune.confirm
    if setting.budget.amount < runs * price:
        smallest = Budget(float(math.ceil(runs * price)), setting.budget.unit)
        raise InputError(
            f"--budget is {setting.budget}, and the smallest study of this file is {runs} runs "
            f"({setting.settings.tune.confirm} seeds confirm two configurations): give {smallest} at least, or lower "
            "policy.steps or tune.confirm."
        )
