"""The command line: accord run, select, tune, ask, serve, invite, report, export, import, forget, fetch, verify.

Nothing heavy is imported before a command runs, so that --help answers at once. Exit codes: 0 done; 1 failed; 2 the
user's input is wrong, told in one sentence without a traceback.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from accord import advice, answers, choices, models, tune

DONE, FAILED, WRONG = 0, 1, 2

app = App(
    name="accord",
    help="From human feedback to a policy that does what people want.",
    version=lambda: _version(),
    help_format="plaintext",  # Markdown would cost a third of the time that --help takes
)


@app.command
def run(
    file: Path,
    /,
    *,
    seed: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    overrides: Annotated[Mapping[str, str] | None, Parameter(parse=False)] = None,
) -> int:
    """Runs the whole loop of FILE, a TOML configuration.

    Any key of the file can be given here too, by its dotted name:
    --feedback.labels 60 --reward.members 5 --policy.steps 100_000

    Parameters
    ----------
    file
        The configuration.
    seed
        In place of the file's.
    out
        The run's folder; runs/NAME-SEED where not given, with a number behind it if that is taken.
    resume
        Go on with the stopped run in the folder.
    """
    from accord.config import load

    keys = {**(overrides or {}), **({} if seed is None else {"seed": str(seed)})}
    config = load(file, keys)

    from rich.console import Console

    from accord import build, terminal
    from accord.types import NotFinite

    folder = out or default_folder(file.stem, config.seed, resume)
    again = _again(file, keys, folder)
    try:
        with terminal.shown(Console(stderr=True)) as progress:
            result = build.run(config, folder, resume, progress)
    except KeyboardInterrupt:
        return _say(FAILED, f"Stopped. The run in {folder} stays as it is; it goes on with: {again}")
    except NotFinite as error:
        return _say(
            FAILED, f"{error} The last good checkpoint stays in {folder}; change the configuration or its data."
        )
    except OSError as error:
        return _say(FAILED, f"{error}. Nothing that was recorded is lost; once that is mended it goes on with: {again}")
    page = folder / "report.html"
    Console().print(terminal.summary(result, folder, page if page.is_file() else None))
    return DONE


@app.command
def serve(
    store: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    least_seconds: float = 0.5,
) -> int:
    """Serves the annotation page of a store until it is stopped; answers are kept as they come.

    Parameters
    ----------
    store
        A run's folder, or the URL of a database.
    host
        The address to listen at; others than this machine's own are open to the network.
    port
        The port; 8421 where not given, or a free one where that is taken.
    browser
        Open the page.
    least_seconds
        An answer that took less is refused.
    """
    import time

    from accord import lineage, records
    from accord.feedback.store import Store
    from accord.web.serve import serving

    folder, opened = Path(store), Store(lineage.url_at(store, new=True))
    try:
        run = folder if records.is_run(folder) else None
        with serving(opened, _secret(store), host, port, browser, run, least_seconds) as link:
            print(link, flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return _say(DONE, "Stopped. Every answer that was acknowledged is in the store.")
    finally:
        opened.close()


@app.command
def invite(
    name: str, store: str, /, *, role: Literal["annotator", "reviewer", "owner"] = "annotator", at: str = ""
) -> int:
    """Prints a link by which somebody joins a page, good for seven days.

    Parameters
    ----------
    name
        What their answers are kept under; a pseudonym does.
    store
        What `accord serve` or `accord run` serves: a run's folder, or the URL of a database.
    role
        annotator: answers. reviewer: sees the dashboard and decides too. owner: invites too.
    at
        Where the page is, as http://192.168.1.5:8421; this machine's usual port where not given.
    """
    from accord import lineage
    from accord.feedback.store import Store
    from accord.web.access import Keys
    from accord.web.serve import LOCAL, PORT, secret_of

    opened = Store(lineage.url_at(store))
    opened.log("invite", about=role)
    opened.close()
    print(f"{at.rstrip('/') or f'http://{LOCAL}:{PORT}'}/join/{Keys(secret_of(_secret(store))).invite(name, role)}")
    return DONE


def _secret(store: str) -> Path:
    """The file that links and cookies are signed with: beside the store, or here where that is no file."""
    from accord import records

    if Path(store).is_dir():
        return Path(store) / records.SECRET
    return (
        Path(store.removeprefix("sqlite:///")).parent / records.SECRET
        if store.startswith("sqlite:///")
        else Path(records.SECRET)
    )


@app.command
def report(folder: Path, /) -> int:
    """Makes the page of a run or a study again, from its records.

    Parameters
    ----------
    folder
        The run's or the study's folder.
    """
    from accord import trials
    from accord.reports import run, study

    print(study.write(folder) if trials.is_study(folder) else run.write(folder))
    return DONE


@app.command
def verify(folder: Path, /) -> int:
    """Checks a run's lineage hash by hash: answers -> reward -> policy.

    Parameters
    ----------
    folder
        The run's folder.
    """
    from accord import lineage

    links = lineage.verify(folder)
    for link in links:
        told = f" (answers forgotten: {link.forgotten:,})" if link.forgotten else ""
        print(f"round {link.round}: {link.what} {link.recorded[:12]} {link.state}{told}")
    broken = [link for link in links if not link.holds]
    if broken:
        first = broken[0]
        return _say(
            FAILED, f"{len(broken)} of {len(links)} links are broken, first the {first.what} of round {first.round}."
        )
    print(f"{len(links)} links hold.")
    return DONE


app.command(choices.select)
app.command(tune.tune)
app.command(answers.export)
app.command(answers.import_, name="import")
app.command(answers.forget)
app.command(advice.ask)
app.command(models.fetch)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    tokens, overrides = split_overrides(sys.argv[1:] if arguments is None else arguments)
    try:
        command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _say(WRONG, _sentence(str(error)))
    takes_keys = "overrides" in ignored
    if overrides and not takes_keys:
        key = next(iter(overrides))
        return _say(
            WRONG,
            f"--{key} is a key of a configuration; accord run, select and tune take those: leave it out.",
        )
    try:
        return command(*bound.args, **bound.kwargs, **({"overrides": overrides} if takes_keys else {})) or DONE
    except KeyboardInterrupt:
        return _say(FAILED, "Stopped.")
    except Exception as error:
        return _told(error)


def split_overrides(tokens: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes the keys of the configuration (`--a.b value`, `--a.b=value`, `--a.b` for true) out of the arguments."""
    rest: list[str] = []
    overrides: dict[str, str] = {}
    waiting = list(tokens)
    while waiting:
        token = waiting.pop(0)
        name, equals, value = token.partition("=")
        if not name.startswith("--") or "." not in name:
            rest.append(token)
        elif equals:
            overrides[name[2:]] = value
        else:
            overrides[name[2:]] = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "true"
    return rest, overrides


def default_folder(name: str, seed: int, resume: bool) -> Path:
    """runs/NAME-SEED, else the first free runs/NAME-SEED-2, -3, ...; to resume, the last that is taken."""
    first = Path("runs") / f"{name}-{seed}"
    taken, number, free = first, 1, first
    while free.exists():
        taken, number = free, number + 1
        free = first.with_name(f"{first.name}-{number}")
    return taken if resume else free


def _version() -> str:
    from importlib import metadata

    return metadata.version("accord")


def _again(file: Path, keys: Mapping[str, str], folder: Path) -> str:
    """The command that goes on with this run."""
    settings = [part for key, value in keys.items() for part in (f"--{key}", value)]
    return shlex.join(["accord", "run", str(file), *settings, "--out", str(folder), "--resume"])


def _told(error: Exception) -> int:
    """A fault of the user or the machine in one sentence; anything else is a bug and keeps its traceback."""
    from accord.types import InputError, NotFinite

    if isinstance(error, InputError):
        return _say(WRONG, str(error))
    if isinstance(error, (NotFinite, OSError)):
        return _say(FAILED, _sentence(str(error)))
    raise error


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".") + "."


def _say(code: int, text: str) -> int:
    print(f"accord: {text}", file=sys.stderr)
    return code
