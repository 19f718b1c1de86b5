"""Where SAC and TD3 learn: on the CPU as they are, or on a GPU, where a whole update is one captured CUDA graph.

At the sizes of control an update is a hundred kernels of a few microseconds: starting them one by one takes longer
than running them, and a graph starts them as one. The environment, the memory and the reward stay on the CPU. A batch
crosses in one copy from pinned memory, the actor comes back in one, and acting reads it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Protocol

import torch
from torch import Tensor

from accord.policies.control.replay import Batch
from accord.policies.control.stack import Learned, Stack

WARM = 3  # updates before the capture, in which libraries take their memory; PyTorch's documentation has as many
ALIGNED = 64  # numbers: every part of a batch starts where a product may read it at its widest

Update = Callable[[Batch], dict[str, Tensor]]


class Learner(Protocol):
    """Updates what learns."""

    def update(self, batch: Batch, climbs: bool) -> dict[str, Tensor]: ...
    def wait(self) -> None: ...  # until what acts is what was learned


@contextmanager
def learning_on(
    device: torch.device, learned: Mapping[str, Learned], actor: Stack, update: Update
) -> Iterator[Learner]:
    """Moves what learns to the device, and back at the end."""
    if device.type != "cuda":
        yield Here(update)
        return
    for net in learned.values():
        net.move(device)
    try:
        yield Captured(device, learned, actor, update)
    finally:
        for net in learned.values():
            net.move(torch.device("cpu"))


class Here:
    """On the CPU, operation by operation."""

    def __init__(self, plain: Update) -> None:
        self.plain = plain

    def update(self, batch: Batch, climbs: bool) -> dict[str, Tensor]:
        return self.plain(batch)

    def wait(self) -> None:
        """There is nothing to wait for."""


class Captured:
    """On a GPU: one graph of an update in which the actor learns, one of an update in which it does not.

    What an update tells stays in the graph's own memory, and is that of the last one.
    """

    def __init__(self, device: torch.device, learned: Mapping[str, Learned], actor: Stack, update: Update) -> None:
        self.device, self.learned, self.actor, self.plain = device, learned, actor, update
        self.graphs: dict[bool, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}
        self.crossing: Crossing | None = None

    def update(self, batch: Batch, climbs: bool) -> dict[str, Tensor]:
        if self.crossing is None:
            self.crossing = Crossing(batch, self.device)
        self.crossing.send(batch)
        if climbs not in self.graphs:
            self.graphs[climbs] = self._captured(self.crossing.there)
        graph, told = self.graphs[climbs]
        graph.replay()
        return told

    def wait(self) -> None:
        torch.cuda.current_stream(self.device).synchronize()

    def _captured(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]:
        """What warming up learned is forgotten again."""
        before = {name: {key: each.clone() for key, each in net.state().items()} for name, net in self.learned.items()}
        aside, now = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        aside.wait_stream(now)
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                self.plain(batch)
        now.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            told = self.plain(batch)
            self.actor.show()
        for name, net in self.learned.items():
            net.restore(before[name])
        return graph, told


class Crossing:
    """One block of pinned memory and its like on the GPU, cut into the same parts."""

    def __init__(self, batch: Batch, device: torch.device) -> None:
        shapes = [getattr(batch, each.name).shape for each in fields(batch)]
        size = sum(_room(shape.numel()) for shape in shapes)
        self.block = torch.zeros(size, pin_memory=device.type == "cuda")
        self.twin = torch.zeros(size, device=device)
        self.here, self.there = (Batch(*_cut(each, shapes)) for each in (self.block, self.twin))
        self.crossed = torch.cuda.Event()

    def send(self, batch: Batch) -> None:
        """Copies a batch over, once the last one has left the block."""
        self.crossed.synchronize()
        for each in fields(batch):
            getattr(self.here, each.name).copy_(getattr(batch, each.name))
        self.twin.copy_(self.block, non_blocking=True)
        self.crossed.record()


def _room(numbers: int) -> int:
    return -(-numbers // ALIGNED) * ALIGNED


def _cut(block: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    pieces = block.split([_room(shape.numel()) for shape in shapes])
    return [piece[: shape.numel()].view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
