"""Within one run: the remaining steps move between learners, and one that has collapsed begins anew.

Every `improve` is spent in pieces. Each goes to the learner whose estimated regret is least (`functional/balancing.py`,
regret balancing); what a learner is worth is the learned reward of its own recent steps, under today's reward and
never the truth (`policies/witness.py`), so judging costs no step. The best of them acts: as it is now, or where it has
surely got worse, as it was at its best. A learner whose losses are no numbers, or that has lost most of what it had
won, is made anew from the next entry of its algorithm in the portfolio; what it was at its best is kept.
Off-policy learners keep their own memories: what PPO did for many copies would crowd out what SAC did itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
from jaxtyping import Int, Real
from safetensors.numpy import load_file, save_file

from accord.functional.balancing import LEAST, MOST, chosen, collapsed, doubled, in_units
from accord.policies.portfolio import Algorithm, Entry
from accord.policies.witness import Seen, Witness, Worth, worth
from accord.ranges import within
from accord.runtime import derive
from accord.types import (
    Acting,
    InputError,
    LearnedReward,
    Metrics,
    NotFinite,
    Policy,
    Reward,
    Scored,
    Signal,
    StepBatch,
    Task,
)

PATIENT = 3  # plays before a learner is tested: off-policy ones get worse before they get better
RESTARTS = 6  # of one learner; after that it plays no more
RANGES = {"steps": (1, 10**12), "gamma": (0.0, 1.0), "pieces": (1, 10_000), "collapse": (0.0, 10.0)}


@dataclass(frozen=True)
class AutoConfig:
    """What is chosen among, and how."""

    steps: int = 50_000  # of the whole run, of all arms together
    arms: tuple[Algorithm, ...] = ()  # ppo, sac, td3; empty: all that can act in the task
    gamma: float | None = None  # of every arm; None: each algorithm's own
    pieces: int = 12  # that the steps of a round are moved in; fewer where one would be less than an episode
    collapse: float = 0.5  # share of what an arm has won that it may lose before it begins anew

    def __post_init__(self) -> None:
        within("policy", self, RANGES)
        if len(set(self.arms)) < len(self.arms):
            raise InputError(f"policy.arms names one algorithm twice ({', '.join(self.arms)}): name each once.")


@dataclass
class Arm:
    """One learner: its policy, how often it played, what its regret is thought to be, and its steps at some times.

    `seen`: "first" and "top", the first and the best piece since it began (anew), "now" the last, and "best" that of
    `kept`, a copy of the best policy that it ever was, from `kept_entry` of the portfolio.
    """

    policy: Policy
    task: Witness
    entry: int  # of the portfolio
    plays: int = 0
    steps: int = 0
    bound: float = LEAST
    restarts: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)
    kept: Policy | None = None
    kept_entry: int = 0


COUNTS = ("entry", "plays", "steps", "bound", "restarts", "kept_entry")


class Auto:
    """The `Policy` protocol: several policies, of which the best acts."""

    def __init__(self, task: Task, config: AutoConfig, portfolio: Sequence[Entry], seed: int) -> None:
        """The first entry of each algorithm learns; the others stand by."""
        self.task, self.config, self.portfolio, self.seed = task, config, tuple(portfolio), seed
        names = list(dict.fromkeys(entry.algorithm for entry in portfolio))
        first = [next(i for i, entry in enumerate(portfolio) if entry.algorithm == name) for name in names]
        self.arms = [self._arm(entry, 0) for entry in first]
        self.names = tuple(names)
        self.version = self.leading = self.played = 0
        self.as_kept = False  # whether the leading one acts as it was at its best

    def _arm(self, entry: int, restarts: int) -> Arm:
        witness = Witness(self.task)
        made = self.portfolio[entry].make(witness, derive(self.seed, "arm", entry, restarts))
        return Arm(made, witness, entry, restarts=restarts)

    def act(self, observation: Real[np.ndarray, "env observation"], seed: int | None = None) -> np.ndarray:
        """As the best learner does."""
        return self._leader().act(observation, seed)

    def acting(self) -> Acting:
        """As the best learner does."""
        return self._leader().acting()

    def _leader(self) -> Policy:
        arm = self.arms[self.leading]
        return arm.kept if self.as_kept and arm.kept is not None else arm.policy

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics:
        """Learns for at least `budget` environment steps, whichever learners take them."""
        if not isinstance(signal, LearnedReward):
            raise InputError("auto improves on a reward, not on answers: choose a reward model or the dpo algorithm.")
        began, start, updates, restarted = time.perf_counter(), self._taken(), 0, 0
        # At least an episode: what follows a reset says little of a policy.
        piece = max(-(-budget // self.config.pieces), self.task.spec.horizon * self.task.spec.envs)
        while (left := budget - (self._taken() - start)) > 0:
            turn = self._turn(signal)
            done, fell = self._play(turn, signal, min(piece, left), derive(seed, "piece", self.played))
            updates, restarted = updates + done, restarted + fell
        self._lead(signal)
        self.version += 1
        extra = {f"steps_{name}": float(arm.steps) for name, arm in zip(self.names, self.arms, strict=True)}
        extra |= {"restarts": float(restarted), "leading": float(self.leading)}
        return Metrics(self._taken() - start, time.perf_counter() - began, updates, extra)

    def _lead(self, signal: LearnedReward) -> None:
        """Who acts from here on. A best piece is best by luck too: what is there now is preferred within two errors."""
        found = [(self._worth(arm, "now", signal), self._worth(arm, "best", signal)) for arm in self.arms]
        fallen = [best.value - now.value > 2.0 * float(np.hypot(best.luck, now.luck)) for now, best in found]
        value = [best.value if fell else now.value for (now, best), fell in zip(found, fallen, strict=True)]
        self.leading = int(np.argmax(value))
        self.as_kept = fallen[self.leading]

    def _taken(self) -> int:
        return sum(self.task.steps().values())

    def _turn(self, signal: LearnedReward) -> int:
        """Whose turn it is, once bounds that today's reward contradicts are doubled."""
        worths, plays = self._worths(signal), self._plays()
        value, luck = np.array([each.value for each in worths]), np.array([each.luck for each in worths])
        shown = np.isfinite(value)
        unit = self._unit(signal)
        bound = np.array([arm.bound for arm in self.arms])
        counted = np.where(shown & (plays >= PATIENT), plays, 0)
        tested = doubled(counted, np.where(shown, value / unit, 0.0), luck / unit, bound)
        for arm, new in zip(self.arms, tested, strict=True):
            arm.bound = float(new)
        may = np.array([arm.restarts < RESTARTS for arm in self.arms])
        if not may.any():
            raise NotFinite(
                f"every one of {', '.join(self.names)} failed {RESTARTS} times: lower their learning rates."
            )
        return chosen(plays, tested, may)

    def _plays(self) -> Int[np.ndarray, "learner"]:
        return np.array([arm.plays for arm in self.arms])

    def _worths(self, signal: LearnedReward) -> list[Worth]:
        """Of every learner's last steps; minus infinity where it has taken none."""
        return [self._worth(arm, "now", signal) for arm in self.arms]

    def _worth(self, arm: Arm, when: str, signal: LearnedReward) -> Worth:
        if when not in arm.seen:
            return Worth(float("-inf"), 0.0)
        spec = self.task.spec
        return worth(arm.seen[when], signal, spec.horizon, spec.terminates)

    def _unit(self, signal: LearnedReward) -> float:
        """From all steps that are kept."""
        found = [self._worth(arm, when, signal) for arm in self.arms for when in arm.seen]
        return in_units(np.array([each.value for each in found]), np.array([each.spread for each in found]))

    def _play(self, turn: int, signal: LearnedReward, budget: int, seed: int) -> tuple[int, int]:
        """A piece for one learner: updates that it made, and whether it had to begin anew."""
        arm, before, watched = self.arms[turn], self._taken(), Watched(signal)
        self.played += 1
        try:
            updates = arm.policy.improve(watched.signal, budget, seed).updates
        except NotFinite:
            if watched.broken:
                raise
            self._count(arm, before)
            self._restart(turn)
            return 0, 1
        self._count(arm, before)
        seen = arm.task.seen()
        if seen is None:
            return updates, 0
        arm.seen["now"] = seen
        arm.seen.setdefault("first", seen)
        first, top, best, now = (self._worth(arm, when, signal) for when in ("first", "top", "best", "now"))
        if now.value >= best.value:
            arm.seen["best"], arm.kept, arm.kept_entry = seen, self._copy(arm), arm.entry
        if now.value >= top.value:
            arm.seen["top"] = seen
        elif collapsed(first.value, top.value, now.value, float(np.hypot(top.luck, now.luck)), self.config.collapse):
            self._restart(turn)
            return updates, 1
        return updates, 0

    def _copy(self, arm: Arm) -> Policy:
        """What a policy is now, to act with."""
        fresh = self._arm(arm.entry, 0).policy
        with TemporaryDirectory() as folder:
            arm.policy.save(Path(folder))
            fresh.load(Path(folder))
        return fresh

    def _count(self, arm: Arm, before: int) -> None:
        arm.plays, arm.steps = arm.plays + 1, arm.steps + self._taken() - before

    def _restart(self, turn: int) -> None:
        """A fresh learner of the algorithm, from its next entry. What was spent stays counted; its bound doubles."""
        old = self.arms[turn]
        own = [i for i, entry in enumerate(self.portfolio) if entry.algorithm == self.names[turn]]
        entry = own[(own.index(old.entry) + 1) % len(own)]
        fresh = self._arm(entry, old.restarts + 1)
        fresh.plays, fresh.steps, fresh.bound = old.plays, old.steps, min(2.0 * old.bound, MOST)
        fresh.kept, fresh.kept_entry = old.kept, old.kept_entry
        fresh.seen = {when: seen for when, seen in old.seen.items() if when == "best"}
        self.arms[turn] = fresh

    def save(self, folder: Path) -> None:
        """A folder for each learner, with the steps that it is judged by; counters as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, arm in zip(self.names, self.arms, strict=True):
            arm.policy.save(folder / name)
            if arm.kept is not None:
                arm.kept.save(folder / f"{name}.best")
            rows = {f"{when}.{f.name}": getattr(seen, f.name) for when, seen in arm.seen.items() for f in fields(Seen)}
            save_file(
                {key: np.ascontiguousarray(row) for key, row in rows.items()}, folder / f"{name}.seen.safetensors"
            )
        counts = {
            name: {key: getattr(arm, key) for key in COUNTS} for name, arm in zip(self.names, self.arms, strict=True)
        }
        now = {"algorithm": "auto", "version": self.version, "leading": self.leading, "played": self.played}
        now["as_kept"] = self.as_kept
        (folder / "policy.json").write_text(json.dumps({**now, "arms": counts}))

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        kept = json.loads((folder / "policy.json").read_text())
        names = ("version", "leading", "played", "as_kept")
        self.version, self.leading, self.played, self.as_kept = (kept[name] for name in names)
        for turn, name in enumerate(self.names):
            counts = kept["arms"][name]
            arm = self._arm(counts["entry"], counts["restarts"])
            arm.policy.load(folder / name)
            for key in COUNTS:
                setattr(arm, key, counts[key])
            if (folder / f"{name}.best").is_dir():
                arm.kept = self._arm(arm.kept_entry, 0).policy
                arm.kept.load(folder / f"{name}.best")
            rows = load_file(folder / f"{name}.seen.safetensors")
            for when in {key.split(".")[0] for key in rows}:
                arm.seen[when] = Seen(**{f.name: rows[f"{when}.{f.name}"] for f in fields(Seen)})
            self.arms[turn] = arm


class Watched:
    """A signal that notes whether the reward itself was no number: that is nobody's fault who learns from it."""

    def __init__(self, signal: LearnedReward) -> None:
        self.broken = False
        self._reward = cast(Reward, signal.reward)  # what acts learns from steps
        self.version = signal.reward.version
        self.signal = LearnedReward(self, signal.costs, signal.shaping)

    def __call__(self, batch: StepBatch) -> Scored:
        try:
            found = self._reward(batch)
        except NotFinite:
            self.broken = True
            raise
        self.broken |= not bool(found.mean.isfinite().all() and found.spread.isfinite().all())
        return found
