"""What an off-policy algorithm remembers: transitions without rewards.

A reward is computed when a batch is read, so that all that was ever done is judged by the reward of today.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.types import TaskSpec, Transition

FIRST = 4_096  # rows that a memory starts with; it doubles as it fills


@dataclass(frozen=True, eq=False)
class Rows:
    """Transitions drawn from a memory. `action_t` is as the policy counts it: -1 to 1 in every number, or one-hot."""

    observation_t: Float[Tensor, "batch observation"]
    action_t: Float[Tensor, "batch action"]
    observation_tp1: Float[Tensor, "batch observation"]
    terminated_t: Bool[Tensor, "batch"]
    serial_t: Int[Tensor, "batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What an update reads: transitions, what they are worth by today's reward, and the noise of the actions drawn."""

    observation_t: Float[Tensor, "batch observation"]
    action_t: Float[Tensor, "batch action"]
    observation_tp1: Float[Tensor, "batch observation"]
    reward_t: Float[Tensor, "batch"]
    discount_t: Float[Tensor, "batch"]
    noise: Float[Tensor, "draw action"]


class Replay:
    """The last `capacity` transitions of a task, oldest overwritten first."""

    def __init__(self, spec: TaskSpec, capacity: int) -> None:
        self.capacity = capacity
        self.widths = (spec.observation_size, spec.action.size, spec.observation_size, 1)
        self.table = torch.zeros(min(FIRST, capacity), sum(self.widths))
        self.serial = torch.zeros(min(FIRST, capacity), dtype=torch.int64)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(
        self,
        observation: Float[Tensor, "env observation"],
        action: Float[Tensor, "env action"],
        step: Transition,
    ) -> None:
        """The real ones among the transitions of one step of every copy."""
        final, terminated, serial = map(torch.from_numpy, (step.final, step.terminated, step.serial))
        rows = torch.cat([observation, action, final, terminated.unsqueeze(1)], 1)
        if not step.real.all():
            rows, serial = (each[torch.from_numpy(step.real)] for each in (rows, serial))
        while self.added + len(rows) > len(self.serial) < self.capacity:
            self._grow()
        at = self.added % self.capacity
        self.added += len(rows)
        room = self.capacity - at
        if room < len(rows):  # the rest goes to the front
            self.table[: len(rows) - room], self.serial[: len(rows) - room] = rows[room:], serial[room:]
            rows, serial = rows[:room], serial[:room]
        self.table[at : at + len(rows)], self.serial[at : at + len(rows)] = rows, serial

    def _grow(self) -> None:
        more = min(len(self.serial), self.capacity - len(self.serial))
        self.table = torch.cat([self.table, self.table.new_zeros(more, self.table.shape[1])])
        self.serial = torch.cat([self.serial, self.serial.new_zeros(more)])

    def draw(self, size: int, generator: torch.Generator, near: int = 0, newest: int = 1) -> Rows:
        """Uniformly, with replacement; `near` of them from the `newest` transitions alone."""
        rows = torch.randint(len(self), (size,), generator=generator)
        if near:
            age = torch.randint(min(newest, len(self)), (near,), generator=generator)
            rows[:near] = (self.added - 1 - age) % self.capacity
        observation, action, final, terminated = self.table.index_select(0, rows).split(self.widths, 1)
        return Rows(observation, action, final, terminated[:, 0] > 0, self.serial.index_select(0, rows))

    def save(self, path: Path) -> None:
        """All rows, in the order in which they lie."""
        n = len(self)
        save_file({"table": self.table[:n], "serial": self.serial[:n], "added": torch.tensor([self.added])}, path)

    def load(self, path: Path) -> None:
        """What `save` wrote."""
        rows = load_file(path)
        self.added, n = int(rows["added"]), len(rows["serial"])
        while len(self.serial) < n:
            self._grow()
        self.table[:n], self.serial[:n] = rows["table"], rows["serial"]
