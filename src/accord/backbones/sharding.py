"""One model's learning on several processes, as torchrun starts them: weights, gradients and moments are divided.

PyTorch's FSDP2 (`fully_shard`; Zhao et al., arXiv:2304.11277), a block at a time. All processes run the same program on
the same answers or responses; each takes its share of a minibatch's micro-batches, and gradients are summed. So the
gradient is the one of a single process, and so are the losses. Writing responses is not divided.
"""

from __future__ import annotations

import atexit
import gc
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from accord.backbones.decoder import Block, Decoder

LINGER = 0.5  # seconds at the end of a process; to let go of a tensor takes a thread far less
T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1

    def of(self, parts: Sequence[T]) -> Iterator[tuple[T, float]]:
        """This process's parts, each with what it counts.

        All processes have as many, since each of them has to take part in every pass: what fills up counts 0.
        """
        for start in range(0, len(parts), self.size):
            at = start + self.rank
            yield (parts[at], 1.0) if at < len(parts) else (parts[-1], 0.0)

    def summed(self, values: Tensor) -> Tensor:
        """Added up over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values


ALONE = Share()


def joined() -> Share:
    """Joins the others that torchrun has started, until this process ends; alone where it was not torchrun."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)
    return Share(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    """Before the interpreter ends: a gloo thread that lets go of a tensor while it does aborts the process.

    (PyTorch's pull request 179291.) Groups that divided models hold outlive the call; their threads are given a moment.
    """
    gc.collect()
    dist.destroy_process_group()
    time.sleep(LINGER)


def shard(decoder: Decoder, share: Share) -> None:
    """Divides a decoder's weights among the processes, in place; nothing where there is one."""
    if share.size == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh  # a second of imports that one process need not wait for
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(decoder.embedding.device.type, (share.size,))
    for block in decoder.layers():
        fully_shard(block, mesh=mesh)
        register_fsdp_forward_method(block, "fork")
    fully_shard(decoder, mesh=mesh, reshard_after_forward=False)  # the head is read after the pass
    register_fsdp_forward_method(decoder, "fork")
    decoder.branch = _bound
    for part in (*decoder.layers(), decoder):
        module = cast(FSDPModule, part)
        module.set_gradient_divide_factor(1.0)  # sums: a minibatch's losses are weighed already
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def _bound(self: Block, x: Tensor, turn: tuple[Tensor, Tensor], by: Any) -> Tensor:
    """The block's own method, which gathers its weights first."""
    return self.fork(x, turn, by)


def whole(tensor: Tensor) -> Tensor:
    """A divided tensor put together; every process has to ask."""
    if not dist.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(value: Tensor, tensor: Tensor) -> Tensor:
    """A whole one divided as another is."""
    if not dist.is_initialized():
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(tensor, DTensor):
        return value
    return distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
