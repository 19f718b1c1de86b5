"""Where models that were fetched or converted are kept: ~/.cache/accord, or the folder that $ACCORD_CACHE names.

A folder there is whole or not there, however many processes want it at once. All of it may be deleted at any time; what
is wanted again is made again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from accord.durable import new_folder

VARIABLE, USUAL = "ACCORD_CACHE", "~/.cache/accord"


def folder() -> Path:
    """The cache of this user; it need not be there."""
    return Path(os.environ.get(VARIABLE) or USUAL).expanduser()


def made(final: Path, fill: Callable[[Path], None]) -> Path:
    """A folder of the cache, filled by `fill` where it is not there. Others who want it wait until it is."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with open(final.with_name(f".{final.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go where the process dies
        if not final.is_dir():
            with new_folder(final) as fresh:
                fill(fresh)
    return final
