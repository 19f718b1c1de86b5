"""What of a language model's learning fits into memory: a plan before the first step, and less when it runs out.

What lies there from beginning to end is counted; what a token of a micro-batch leaves for the backward pass is measured
on a few tokens of the model itself. Where the configured micro-batch does not fit, blocks are computed again on the way
back (Chen et al., arXiv:1604.06174), then the micro-batch is halved. Neither changes a gradient.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from accord.backbones.batches import foretold, micro_batches
from accord.backbones.decoder import Decoder
from accord.types import InputError

GIB, SHARE = 2**30, 0.9  # of what is free; the rest is for whatever was not counted
PROBE = 32  # tokens
T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """What learning is about to hold."""

    rows: int  # that are written side by side
    places: int  # of each: the longest prompt and a whole response
    memory: int  # tokens of a micro-batch
    least: int  # tokens of the longest row: a micro-batch holds one in any case


@dataclass(frozen=True)
class MemoryPlan:
    """What will fit, in bytes, and how: `memory` tokens in a micro-batch, blocks computed again or kept."""

    lasting: int  # moments, gradients, the cache of what is written; what lies beside
    by_token: int  # that a token of a micro-batch leaves for the way back
    free: int
    asked: int  # tokens of a micro-batch, as configured
    memory: int
    again: bool

    @property
    def bytes(self) -> int:
        """At the highest."""
        return self.lasting + self.memory * self.by_token

    def sentence(self) -> str:
        """For whoever waits."""
        said = f"Memory: {self.bytes / GIB:.1f} of {self.free / GIB:.1f} GiB"
        done = ["blocks are computed again on the way back"] if self.again else []
        if self.memory < self.asked:
            done.append(f"a micro-batch holds {self.memory:,} tokens in place of {self.asked:,}")
        return f"{said}; to fit, {' and '.join(done)}." if done else f"{said}."


def plan(decoder: Decoder, wanted: Wanted, free: int, beside: int = 0) -> MemoryPlan:
    """What fits into `free` bytes, of which something else takes `beside`.

    The weights, their copies and masters are not counted, which are there already. Switches on whatever makes it fit.
    Raises InputError where nothing does, naming the setting that would.
    """
    lasting, sizes = _lasting(decoder, wanted) + beside, [wanted.memory]
    while sizes[-1] > wanted.least:
        sizes.append(max(sizes[-1] // 2, wanted.least))
    ways = [(False, sizes)]
    if decoder.own:  # a quarter as many at once costs less than another pass
        ways = [(False, sizes[:3]), (True, sizes)]
    by_token = 0
    for again, some in ways:
        decoder.again = again
        by_token = saved(decoder) // PROBE
        for memory in some:
            found = MemoryPlan(lasting, by_token, free, wanted.memory, memory, again)
            if found.bytes <= SHARE * free:
                return found
    least = MemoryPlan(lasting, by_token, free, wanted.memory, wanted.least, decoder.again)
    raise InputError(
        f"learning takes {least.bytes / GIB:.1f} GiB at least and {free / GIB:.1f} are free: "
        f"{_remedy(decoder, wanted, SHARE * free - beside)}."
    )


def _remedy(decoder: Decoder, wanted: Wanted, room: float) -> str:
    """The setting that takes most of what is too much."""
    cache = _cache(decoder, wanted)
    lasting = _lasting(decoder, wanted)
    if lasting - cache > room:
        if decoder.embedding.requires_grad:
            return "set policy.rank to 8, which learns adapters alone"
        return "name a smaller model"
    return "lower policy.prompts or policy.group" if lasting > room else "lower policy.tokens"


def _lasting(decoder: Decoder, wanted: Wanted) -> int:
    """Two moments and a gradient in float32, one gradient more on its way there; the cache, and next tokens' odds."""
    learning = [one for one in decoder.parameters() if one.requires_grad]
    widest = max((one.nbytes for one in learning), default=0)
    odds = 3 * 4 * wanted.rows * decoder.shape.vocabulary  # logits, probabilities and their sums, in float32
    return sum(12 * one.numel() for one in learning) + widest + odds + _cache(decoder, wanted)


def _cache(decoder: Decoder, wanted: Wanted) -> int:
    shape = decoder.shape
    numbers = 2 * shape.layers * wanted.rows * wanted.places * shape.kv_heads * shape.head
    return numbers * decoder.embedding.element_size()


def saved(decoder: Decoder, tokens: int = PROBE) -> int:
    """Bytes that a forward pass over so many tokens leaves for the way back, the weights not counted."""
    own = {one.untyped_storage().data_ptr() for one in decoder.parameters()}
    seen: dict[int, int] = {}
    held: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()
        if place.data_ptr() not in own:
            seen[place.data_ptr()] = place.nbytes()
            held.append(tensor)  # or its place would be taken by another
        return tensor

    half = max(1, tokens // 2)
    (batch,) = micro_batches([[0] * half], [[0] * (tokens - half + 1)])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        foretold(decoder, batch.to(decoder.embedding.device))
    return sum(seen.values())


def free(device: torch.device) -> int:
    """Bytes that a process could still take: of the GPU, or of the machine and the limit it runs under."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_available(), _limited())


def _available() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return 2**62


def _limited() -> int:
    """What a control group leaves (version 2)."""
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit:
            most = limit.read().strip()
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as now:
            return 2**62 if most == "max" else max(0, int(most) - int(now.read()))
    except (OSError, ValueError):
        return 2**62


class Room:
    """How many tokens a micro-batch may hold: half as many from the moment that memory runs out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def within(self, work: Callable[[int], T], undo: Callable[[], None], longest: int) -> T:
        """`work` with as many tokens as fit; before it is tried anew, `undo` takes back what it had done.

        Raises InputError where `longest` tokens, which cannot be cut, are too many.
        """
        while True:
            try:
                return work(self.tokens)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            undo()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if self.tokens <= longest:
                raise InputError(
                    f"memory ran out over {longest:,} tokens, which belong together: lower policy.tokens, shorten the "
                    "prompts, or learn adapters (policy.rank)."
                )
            self.tokens = max(longest, self.tokens // 2)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch said that no memory was left, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
