"""Hyper-parameters: in the winning arms the sampler's points and neighbours of the best in turn, and a random share
beside them that shows what both are worth.

Every trial is a whole run on one of a few seeds, unless it is behind when it is looked at (`stopping.py`), and told to
the sampler with its noise. Cost: a trial may take a sixtieth
of the budget in CPU-seconds, or three times the default where that is more; then it stops learning and is scored as it
is, so a setting that is dear has to be good early. (Optuna knows no cost, and a limit needs no exchange rate between
return and seconds.) In the synchronous mode there is no such limit, since no clock may decide there.

Asynchronous: whenever a worker is free, it is given what seems best by then. Synchronous: generations of one size,
asked on what earlier generations said, so that neither the number of workers nor the engine changes what is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.runtime import derive
from accord.trials import Trial
from accord.tuning.arms import Arm
from accord.tuning.ledger import Entry, Ledger, Spec
from accord.tuning.space import Number, Space, drawn, values_of
from accord.tuning.suggest import Told, neighbour, suggest

FAIR = 60  # whole runs that a budget in time pays for at least: twenty of them are the smallest confirmation
SLACK = 3.0  # times the default's CPU-seconds, which a trial may always take
RANDOM = 5  # every fifth trial is a random one
GENERATION = 8  # trials that are asked at once in the synchronous mode

SEARCHING = ("search", "random")
Params = Callable[[Trial], Mapping[str, Number]]


@dataclass(frozen=True)
class Plan:
    """What a search knows beforehand. `top` is the rung of whole runs, `steps` are its."""

    arms: Sequence[Arm]
    spaces: Mapping[str, Space]  # by the arm's name
    seeds: Sequence[int]
    top: int
    steps: int
    seed: int
    earlier: Sequence[int] = ()  # seeds of what came before the search
    trials: int | None = None  # how many, in the synchronous mode


def search(plan: Plan, ledger: Ledger, over: Callable[[int], bool], params: Params) -> None:
    """Searches until it is over; `over` is told how many trials are yet to end. Goes on where it was stopped."""
    if plan.trials is not None:
        _in_generations(plan, ledger, plan.trials, params)
        return
    ledger.again(SEARCHING)
    while True:
        while ledger.free and not over(len(ledger.running) + 1):
            asked = len(ledger.of_stages(*SEARCHING))
            ledger.start(propose(plan, asked, ledger.ended, ledger.running, params), plan.steps)
        if not ledger.running:
            return
        ledger.wait()


def _in_generations(plan: Plan, ledger: Ledger, trials: int, params: Params) -> None:
    """What is on record is taken from there, and would be the same if it were asked again."""
    before = [trial for trial in ledger.ended if trial.seed in plan.earlier]
    known = {place_of(trial): trial for trial in ledger.of_stages(*SEARCHING)}
    for first in range(0, trials, GENERATION):
        earlier = [trial for trial in ledger.ended if trial.stage in SEARCHING and place_of(trial) < first]
        specs: list[Spec] = []
        for place in range(first, min(first + GENERATION, trials)):
            waiting = [_waiting(plan, spec) for spec in specs]
            found = known.get(place)
            again = None if found is None else _recorded(plan, found)
            specs.append(again or propose(plan, place, [*before, *earlier], waiting, params))
        ledger.all_of(specs, plan.steps)


def propose(plan: Plan, place: int, ended: Sequence[Trial], running: Sequence[Trial], params: Params) -> Spec:
    """Trial number `place` of the search: pure, given what has ended and what still runs."""
    turn, arm = divmod(place, len(plan.arms))
    chosen, seed = plan.arms[arm], derive(plan.seed, "search", place)
    space = plan.spaces[chosen.name]
    at_random = turn % RANDOM == RANDOM - 1
    if at_random:
        found = drawn(space, np.random.default_rng(seed))
    else:
        told = [Told(params(trial), trial.score) for trial in ended if _counts(trial, plan, chosen)]
        told += [Told(params(trial), None, True) for trial in running if _counts(trial, plan, chosen)]
        found = (neighbour if turn % 2 else suggest)(space, told, seed)
    entry = Entry(f"{chosen.name}#{place}", chosen, values_of(space, found))
    return Spec("random" if at_random else "search", entry, plan.seeds[turn % len(plan.seeds)], plan.top)


def place_of(trial: Trial) -> int:
    """Which trial of the search it is, by its name."""
    return int(trial.name.rpartition("#")[2])


def _counts(trial: Trial, plan: Plan, arm: Arm) -> bool:
    return trial.arm == arm.name and trial.rung == plan.top


def _recorded(plan: Plan, trial: Trial) -> Spec:
    arm = next(arm for arm in plan.arms if arm.name == trial.arm)
    return Spec(trial.stage, Entry(trial.name, arm, trial.values), trial.seed, trial.rung)


def _waiting(plan: Plan, spec: Spec) -> Trial:
    entry = spec.entry
    return Trial(-1, spec.stage, entry.name, entry.arm.name, entry.values, spec.seed, spec.rung, plan.steps)
