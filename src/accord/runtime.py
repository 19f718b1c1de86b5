"""The machine and the process: seeds, threads, device, precision, versions.

The only place that sets global state. Everything else takes its randomness and its device as arguments.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

# What a run's figures depend on; a package that is not installed is left out of the manifest.
PACKAGES = ("accord", "torch", "numpy", "gymnasium", "sqlalchemy", "pydantic", "scipy", "safetensors")
PACKAGES += ("mujoco", "dm-control", "shimmy", "highway-env")


def derive(seed: int, *names: str | int) -> int:
    """A seed for one purpose, from the run's seed and the purpose's name: `derive(0, "fit", round, member)`.

    The same on every machine and in every version (the first 31 bits of a SHA-256). Below 2**31, because a 32-bit
    column of a database and NumPy's older seeding take no more. Two of 1,000 purposes collide with probability 2e-4.
    """
    digest = hashlib.sha256(json.dumps([int(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A generator of PyTorch for one purpose; on the CPU, so that a device does not change what is drawn."""
    return torch.Generator().manual_seed(derive(seed, *names))


def set_up(threads: int = 1) -> None:
    """Sets the process's global state, once, before work begins.

    One thread by default: for the small networks of control more threads cost more than they bring, and with one the
    CPU adds in one order, so a run repeats bit for bit.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}; a process needs at least 1")
    torch.set_num_threads(threads)
    _keep_memory()
    gc.collect()
    gc.freeze()  # what was imported is not searched again: a full collection over it costs 0.2 s


@contextmanager
def flushed() -> Iterator[None]:
    """Numbers too small to be normal count as nothing while inside, where the processor can do that.

    Adam's moments of a unit that has died fade into such numbers, and its step became ten times slower.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def draw_without_screen() -> None:
    """Where Linux has no screen, lets MuJoCo and pygame draw without one, unless the user has said how they are to.

    Left to itself MuJoCo tries for a window, and the second such try has been seen to end the process; pygame asks for
    one too, and complains.
    """
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen,dummy")
    if not os.environ.get("MUJOCO_GL"):
        found = (name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if ctypes.util.find_library(library))
        os.environ["MUJOCO_GL"] = next(found, "disable")


@dataclass(frozen=True)
class Products:
    """How long one product of 256 x 256 matrices takes here, at best, and which of the two is the faster."""

    float32_us: float
    bfloat16_us: float

    @property
    def bfloat16(self) -> bool:
        return self.bfloat16_us < self.float32_us


@cache
def products() -> Products:
    """Measured once a process, in a few milliseconds; bfloat16 only where the processor multiplies it in hardware."""
    found = torch.cpu.get_capabilities()
    native = found.get("avx512_bf16") or found.get("amx_bf16")
    quick = _product_us(torch.bfloat16) if native else float("inf")
    return Products(_product_us(torch.float32), quick)


def _product_us(dtype: torch.dtype) -> float:
    matrix, out = torch.ones(256, 256, dtype=dtype), torch.empty(256, 256, dtype=dtype)
    best = float("inf")
    for _ in range(12):  # the least of them: what else the machine does only ever adds
        began = time.perf_counter()
        torch.mm(matrix, matrix, out=out)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best


def _keep_memory() -> None:
    """Asks glibc to keep what is freed. Else every tensor over 128 KiB is mapped anew, and its pages cleared again.

    Measured on PPO with minibatches of 1,024: 2.8 -> 1.8 ms an update. Other C libraries are left alone.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc accepts
        libc.mallopt(_TRIM_THRESHOLD, 1 << 30)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of malloc.h


def device(wanted: str = "auto") -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Machine:
    """What a figure in seconds depends on. `amx` and `avx512_bf16`: bf16 products are fast on this processor."""

    processor: str
    cores: int
    memory_gib: float
    amx: bool
    avx512_bf16: bool
    gpu: str
    system: str
    python: str

    @property
    def fast_bf16(self) -> bool:
        """Whether bf16 matrix products outrun float32 ones here (design section 6)."""
        return self.amx or self.avx512_bf16 or bool(self.gpu)

    def describe(self) -> str:
        """One line, as benchmarks print it."""
        gpu = f", {self.gpu}" if self.gpu else ""
        return f"{self.processor}, {self.cores} cores, {self.memory_gib} GiB{gpu}, {self.system}"

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@cache
def machine() -> Machine:
    """This machine. Cores are those that the process may use."""
    name, flags = parse_cpuinfo(_cpuinfo())
    return Machine(
        processor=name or platform.processor() or platform.machine(),
        cores=_cores(),
        memory_gib=_memory_gib(),
        amx="amx_bf16" in flags,
        avx512_bf16="avx512_bf16" in flags,
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """The processor's name and flags from the text of /proc/cpuinfo; empty where they are not told."""
    name, flags = "", frozenset[str]()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and not name:
            name = " ".join(value.split())
        elif key.strip() == "flags" and not flags:
            flags = frozenset(value.split())
    return name, flags


def versions() -> dict[str, str]:
    """Versions of what is installed among `PACKAGES`, and of Python."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """The commit of accord's source, with `-dirty` where files differ from it; None outside a checkout."""
    source = Path(__file__).resolve().parent
    command = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # An installed package may lie inside somebody else's repository: only our own counts.
        tracked = subprocess.run(
            ["git", "-C", str(source), "ls-files", "--error-unmatch", "runtime.py"], capture_output=True, timeout=10
        )
        if tracked.returncode != 0:
            return None
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(errors="replace") if path.exists() else ""


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float:
    if sys.platform == "win32":
        return 0.0  # not told
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
