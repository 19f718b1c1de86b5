"""Every trial of a study: given to the engine, written down, and never done twice.

A trial is known by its stage, its configuration's name, its seed and its rung. What is on record is not done again;
what was started and not ended is started again under its number. A trial whose worker died is given out once more, then
it has failed. The ledger writes the journal, and nobody else does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from accord.trials import Agreement, Log, Stage, Study, Trial, Value, Verdict
from accord.tuning.arms import Arm
from accord.tuning.engine import Engine
from accord.tuning.trial import Job, Outcome

ATTEMPTS = 2  # a worker that dies twice over one trial is told that the trial is to blame


@dataclass(frozen=True)
class Entry:
    """A configuration of a study under its name."""

    name: str
    arm: Arm
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Spec:
    """A trial that is wanted."""

    stage: Stage
    entry: Entry
    seed: int
    rung: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.stage, self.entry.name, self.seed, self.rung


Making = Callable[[Trial], Job]  # what the engine is given for a trial; raises nothing
Watch = Callable[[Trial, "Ledger"], None]  # told of every trial that starts or ends


class Ledger:
    """The trials of one study, as they stand."""

    def __init__(self, log: Log, study: Study, engine: Engine, making: Making, watch: Watch) -> None:
        self._log, self._engine, self._making, self._watch = log, engine, making, watch
        self.trials = {trial.number: trial for trial in study.trials}
        self.agreements = {(each.rung, each.next): each for each in study.agreements}
        self._began, self._before = time.monotonic(), study.elapsed
        self._running: dict[int, Trial] = {}

    @property
    def elapsed(self) -> float:
        """Seconds that were worked on the study, in all its processes one after another."""
        return self._before + time.monotonic() - self._began

    @property
    def ended(self) -> list[Trial]:
        return [trial for _, trial in sorted(self.trials.items()) if trial.state != "started"]

    @property
    def running(self) -> list[Trial]:
        return [trial for _, trial in sorted(self._running.items())]

    @property
    def free(self) -> int:
        """How many more trials the engine could work on now."""
        return max(0, self._engine.workers - len(self._running))

    def of_stages(self, *stages: Stage) -> list[Trial]:
        """Trials of some stages, by number, whatever their state."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.stage in stages]

    def all_of(self, specs: Sequence[Spec], steps: int) -> list[Trial]:
        """The trials of all specs, ended; those that are not on record are done first. `steps` is their rung's."""
        wanted = [self.start(spec, steps).number for spec in specs]
        while any(number in self._running for number in wanted):
            self.wait()
        return [self.trials[number] for number in wanted]

    def start(self, spec: Spec, steps: int) -> Trial:
        """The trial of a spec: the one on record, else a new one that the engine is given."""
        found = next((trial for trial in self.trials.values() if trial.key == spec.key), None)
        if found is not None and (found.state != "started" or found.number in self._running):
            return found
        number = max(self.trials, default=-1) + 1 if found is None else found.number
        arm = spec.entry.arm
        fresh = Trial(number, spec.stage, spec.entry.name, arm.name, spec.entry.values, spec.seed, spec.rung, steps)
        self._submit(fresh if found is None else replace(found, attempt=1))
        return self.trials[number]

    def again(self, stages: Sequence[Stage]) -> None:
        """Gives out again what was started in these stages and never ended."""
        for trial in self.of_stages(*stages):
            if trial.state == "started" and trial.number not in self._running:
                self._submit(replace(trial, attempt=1))

    def wait(self) -> Trial:
        """Until any trial ends; that trial. One whose worker died is given out once more, and waited for."""
        while True:
            outcome = self._engine.next()
            trial = self._running.pop(outcome.number)
            if outcome.state == "lost" and trial.attempt < ATTEMPTS:
                self._submit(replace(trial, attempt=trial.attempt + 1))
                continue
            ended = self._ended(trial, outcome)
            self._log.write(ended)
            self.trials[ended.number] = ended
            self._watch(ended, self)
            return ended

    def agree(self, agreement: Agreement) -> None:
        """Writes down how well one rung foretold the next, where that is not known yet."""
        at = agreement.rung, agreement.next
        if self.agreements.get(at) != agreement:
            self._log.write(agreement)
            self.agreements[at] = agreement

    def conclude(self, verdict: Verdict) -> None:
        """Writes down what the confirmation found."""
        self._log.write(verdict)

    def _submit(self, trial: Trial) -> None:
        trial = replace(trial, elapsed=self.elapsed)
        self._log.write(trial)
        self.trials[trial.number] = self._running[trial.number] = trial
        self._engine.submit(self._making(trial))
        self._watch(trial, self)

    def _ended(self, trial: Trial, outcome: Outcome) -> Trial:
        why = f"lost {ATTEMPTS} times: {outcome.why}" if outcome.state == "lost" else outcome.why
        return replace(
            trial,
            state="done" if outcome.state == "done" else "failed",
            score=outcome.score,
            curve=outcome.curve,
            seconds=outcome.seconds,
            cpu_seconds=outcome.cpu_seconds,
            env_steps=outcome.env_steps,
            labels=outcome.labels,
            why=why,
            stopped=outcome.stopped,
            elapsed=self.elapsed,
        )
