"""accord tune: the command's own part. What a study is stands in `tuning/`; how it looks in `terminal_study.py`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from accord.tuning.engine import Engine


def tune(
    file: Path,
    /,
    *,
    budget: str,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    out: Path | None = None,
    resume: bool = False,
    sync: bool = False,
    seed: int | None = None,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> int:
    """Chooses algorithm, reward and hyper-parameters for FILE, and confirms the choice on fresh seeds.

    Any key of the file can be given here too, by its dotted name. What a study may choose among and what it is judged
    by are the keys of [tune].

    Parameters
    ----------
    file
        The configuration to start from.
    budget
        What it may spend: 10m, 600s, 2h; 600cpu-s; 200000steps; 40trials; 2000labels.
    workers
        Trials at once; one for each core where not given.
    engine
        Processes of this machine, or a Ray cluster.
    out
        The study's folder; studies/NAME-SEED where not given, with a number behind it if that is taken.
    resume
        Go on with the stopped study in the folder.
    sync
        The same choice whatever the engine and the number of workers; needs a budget in trials.
    seed
        In place of the file's.
    """
    from accord.config import load
    from accord.tuning import budget as budgets

    amount = budgets.parse(budget)
    keys = {**(overrides or {}), **({} if seed is None else {"seed": str(seed)})}
    settings = load(file, keys)
    folder = out or _free(file.stem, settings.seed, resume)

    from rich.console import Console

    from accord import terminal_study
    from accord.reports import study as page
    from accord.tuning import study

    try:
        with terminal_study.studying(Console(stderr=True), amount) as watch:
            result = study.tune(settings, amount, folder, _engine(engine, workers), resume, sync, watch)
    except KeyboardInterrupt:
        again = _again(file, keys, folder, ["--budget", budget, *(["--sync"] if sync else [])])
        print(f"accord: Stopped. The study in {folder} stays as it is; it goes on with: {again}", file=sys.stderr)
        return 1
    Console().print(terminal_study.chosen(result, folder, page.write(folder)))
    return 0


def _again(file: Path, keys: Mapping[str, str], folder: Path, options: list[str]) -> str:
    """The command that goes on with this study."""
    said = [part for key, value in keys.items() for part in (f"--{key}", value)]
    return shlex.join(["accord", "tune", str(file), *said, *options, "--out", str(folder), "--resume"])


def _engine(name: str, workers: int | None) -> Callable[[], Engine]:
    """What starts the engine, once everything else has been checked."""
    from accord.types import InputError

    if workers is not None and not 1 <= workers <= 4096:
        raise InputError(f"--workers is {workers}; it must be between 1 and 4,096: leave it out for one a core.")
    if name == "ray":
        from accord.tuning.ray_engine import Ray

        return lambda: Ray(workers)
    from accord.tuning.engine import Local

    return lambda: Local(workers)


def _free(name: str, seed: int, resume: bool) -> Path:
    """studies/NAME-SEED, else the first free one with a number behind it; to resume, the last that is taken."""
    first = Path("studies") / f"{name}-{seed}"
    taken, number, free = first, 1, first
    while free.exists():
        taken, number = free, number + 1
        free = first.with_name(f"{first.name}-{number}")
    return taken if resume else free
