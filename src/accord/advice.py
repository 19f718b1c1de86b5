"""What the command line asks of recorded answers before more are asked for: accord ask.

Nothing heavy is imported before a command runs, as in `cli`, which lists these commands among its own.
"""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accord.config import RunConfig
    from accord.feedback.store import Store
    from accord.rewards.curve import Carried, Measured
    from accord.types import Evidence

FAR = 4  # times as many answers as there are: what is said of more is no more than a guess
REPEATED = 20  # questions that two annotators answered, from which a ceiling is told


@dataclass(frozen=True, eq=False)
class Recorded:
    """Answers, how rewards are fitted to them, and what two annotators' answers to one question set as a limit."""

    settings: RunConfig
    evidence: Evidence
    ceiling: tuple[float, float, float] | None  # nats an answer, with its 95% interval


def ask(place: Path, /, *, store: str = "", more: int = 100, seed: int = 0, json: Path | None = None) -> None:
    """Says what more answers would buy: how much better unseen ones would be foretold. Asks nobody.

    Parameters
    ----------
    place
        A run's folder, the folder of a store, or a TOML configuration.
    store
        The URL of the answers, where they are not the folder's own.
    more
        How many more.
    seed
        Of the subsets.
    json
        A file for the figures.
    """
    from rich.console import Console

    from accord.types import InputError

    recorded = _recorded(place, store)
    answers = recorded.evidence.answers
    if not 1 <= more <= FAR * answers:
        raise InputError(
            f"--more is {more:,} and {answers:,} answers are recorded: give 1 to {FAR * answers:,}, "
            "beyond which a curve says nothing."
        )
    with _bar() as done:
        found = _measured(recorded, seed, done)
    figures = _figures(recorded, found, more, seed)
    Console(highlight=False, soft_wrap=True).print(_page(figures), markup=False)
    if json is not None:
        json.write_text(json_.dumps(figures, indent=1), encoding="utf-8")


def _recorded(place: Path, url: str) -> Recorded:
    """The answers of a run, of a store, or of a configuration's store."""
    from accord import config, lineage, records
    from accord.feedback.evidence import pack
    from accord.feedback.store import Store
    from accord.types import InputError

    if records.is_run(place):
        settings = config.from_tree(records.read_manifest(place)["configuration"])
        url = url or lineage.url_at(str(place))
    elif place.is_file():
        settings = config.load(place)
        url = url or settings.feedback.store
    else:
        settings, url = config.RunConfig(), url or lineage.url_at(str(place))
    if not url:
        raise InputError(f"{place} names no store of answers: give its URL or a run's folder with --store.")
    opened = Store(lineage.url_at(url))
    try:
        evidence = pack(opened)
        if not evidence.answers:
            raise InputError(f"{url} holds no answers yet: let people or a teacher answer first.")
        return Recorded(_of_task(settings, place, opened), evidence, _ceiling(opened))
    finally:
        opened.close()


def _of_task(settings: RunConfig, place: Path, store: Store) -> RunConfig:
    """The configuration; where none was given, with the task that the answers are about."""
    from dataclasses import replace

    from accord import config, records
    from accord.types import InputError, Reply

    ids = [id for query in store.queries() for id in query.segments][:1]
    texts = bool(ids) and isinstance(store.segments(ids)[0], Reply)
    if records.is_run(place) or place.is_file():
        if texts != (settings.task.kind == "text"):
            kind = "text" if texts else "control"
            raise InputError(
                f'{place} has task.kind = "{settings.task.kind}" and the answers are about another sort of segments: '
                f'set task.kind = "{kind}", or give another --store.'
            )
        return settings
    if texts:
        return replace(settings, task=config.TextSection())
    return replace(settings, task=replace(settings.control, id=store.provenance(ids)[0].task))


def _ceiling(store: Store) -> tuple[float, float, float] | None:
    """What nobody can exceed on the scale with most answers, from questions that several annotators answered."""
    import numpy as np

    from accord.feedback.store import current
    from accord.feedback.votes import tabled, votes
    from accord.functional.agreement import Counts, ceiling_nats, interval, percent_agreement

    queries = {query.id: query for query in store.queries() if query.acquisition == "uniform"}
    given = votes(queries, [answer for answer in current(store.answers()) if answer.query in queries])
    if not given:
        return None
    scales = [vote.scale for vote in given]
    table = tabled([vote for vote in given if vote.scale == max(set(scales), key=scales.count)])
    counts = table.counts[table.counts.sum(1) > 1]
    if len(counts) < REPEATED:
        return None

    def nats(of: Counts) -> float:
        return ceiling_nats(percent_agreement(of), table.labels)

    return nats(counts), *interval(counts, nats, np.random.default_rng(0))


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar of fits on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("fitting subsets", total=None)
        yield lambda i, n: bar.update(task, completed=i, total=n)


def _measured(recorded: Recorded, seed: int, done: Callable[[int, int], None]) -> Measured:
    from dataclasses import replace

    from accord import runtime, written
    from accord.rewards.crossval import Reading
    from accord.rewards.curve import measure
    from accord.rewards.fit import fit
    from accord.rewards.fitted import FittedReward
    from accord.rewards.words import known
    from accord.tasks.control import ControlTask

    runtime.set_up()
    settings, reward = recorded.settings, recorded.settings.reward
    if settings.task.kind == "text":
        reading = known(written.readings_of(reward.text)[0], written.replies_of(recorded.evidence))
    else:
        spec = ControlTask(replace(settings.control, envs=1, vectorised=False)).spec
        reading = Reading(spec.action.discrete, spec.picture)

    def fitted(evidence: Evidence, seed: int) -> FittedReward:
        return fit(
            evidence,
            reward,
            discrete=reading.discrete,
            terminates=True,  # not centred
            seed=seed,
            encode=reading.encode,
            picture=reading.picture,
        )

    with runtime.flushed():
        return measure(recorded.evidence, fitted, seed, done=done)


def _figures(recorded: Recorded, found: Measured, more: int, seed: int) -> dict[str, Any]:
    """All that is told, as JSON can hold it."""
    import numpy as np

    from accord.rewards.curve import carried

    rng = np.random.default_rng([seed, 1])
    likelihood = carried(found.likelihood, found.sizes, rng, 0.0)
    # Where nothing was decided (ratings, approvals, rankings) there is no accuracy.
    accuracy = carried(found.accuracy, found.sizes, rng, 1.0) if found.accuracy.rows.shape[1] else None
    n = recorded.evidence.answers
    figures: dict[str, Any] = {
        "answers": n,
        "more": more,
        "together": found.together,
        "kind": recorded.settings.reward.kind,
    }
    figures |= {"sizes": found.sizes.round(1).tolist(), "likelihood": _told(likelihood, n, more)}
    figures |= {"accuracy": None if accuracy is None else _told(accuracy, n, more), "ceiling": recorded.ceiling}
    return {"sentence": _sentence(figures), **figures}


def _told(figure: Carried, n: int, more: int) -> dict[str, Any]:
    """Measured means with their standard errors, and what is foretold: medians with 90% intervals."""
    import numpy as np

    grid = np.geomspace(figure.sizes[0], n + more, 24)
    return {
        "measured": figure.mean.tolist(),
        "error": figure.sd.tolist(),
        "now": figure.at(n),
        "then": figure.at(n + more),
        "gain": figure.gain(n, more),
        "curve": [(float(size), *figure.at(float(size))) for size in grid],
    }


def _sentence(figures: dict[str, Any]) -> str:
    gain, low, high = figures["likelihood"]["gain"]
    text = (
        f"{figures['more']:,} more answers would raise the held-out log-likelihood by {gain:.3f} nats an answer "
        f"(90%: {low:.3f} to {high:.3f})"
    )
    if (accuracy := figures["accuracy"]) is None:
        return f"{text}."
    gain, low, high = accuracy["gain"]
    return (
        f"{text}; accuracy from {accuracy['now'][0]:.3f} to about {accuracy['then'][0]:.3f} "
        f"(a gain of {low:.3f} to {high:.3f})."
    )


def _page(figures: dict[str, Any]) -> str:
    """The sentence, the table and the picture."""
    from accord.terminal_choice import sketch

    likelihood, accuracy = figures["likelihood"], figures["accuracy"]
    rows = ["answers   log-likelihood   accuracy"]
    for i, size in enumerate(figures["sizes"]):
        hit = "" if accuracy is None else f"{accuracy['measured'][i]:11.3f}"
        rows.append(f"{size:7,.0f}   {likelihood['measured'][i]:7.3f} ± {likelihood['error'][i]:.3f}{hit}")
    for size, when in ((figures["answers"], "now"), (figures["answers"] + figures["more"], "then")):
        middle, low, high = likelihood[when]
        hit = "" if accuracy is None else "   {:.3f} ({:.3f} to {:.3f})".format(*accuracy[when])
        rows.append(f"{size:7,}   {middle:7.3f} ({low:.3f} to {high:.3f}){hit}   foretold")
    if figures["ceiling"] is not None:
        rows.append("Nobody who knows the question alone can exceed {:.3f} ({:.3f} to {:.3f}): annotators differ."
                    .format(*figures["ceiling"]))  # fmt: skip
    points = list(zip(figures["sizes"], likelihood["measured"], strict=True))
    band = [(size, low, middle, high) for size, middle, low, high in likelihood["curve"]]
    return "\n\n".join([figures["sentence"], "\n".join(rows), sketch(points, band)])
