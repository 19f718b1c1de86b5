"""What the command line does with answers: accord export | import | forget.

Nothing heavy is imported before a command runs, as in `cli`, which lists these commands among its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from accord.feedback.store import Store

Form = Literal["lossless", "preferences", "approvals", "ratings", "rankings"]


def export(
    place: str,
    out: Path | None = None,
    /,
    *,
    to: Path | None = None,
    form: Annotated[Form | Literal["clips"] | None, Parameter(name="--as")] = None,
    names: bool = False,
    policy: Literal["sb3", "merged", "adapters"] | None = None,
    reward: bool = False,
) -> None:
    """Writes a store's answers (--to FILE), or a finished run's policy or reward in another program's form (DIR OUT).

    Parameters
    ----------
    place
        A run's folder; for answers also the URL of a database.
    out
        The file for the policy, as `policy.zip`; of a language model the folder.
    to
        The file for the answers; its ending says how: .jsonl, .csv, .tsv or .parquet, and .gz behind it. Without an
        ending: a folder that `datasets` loads.
    form
        lossless (where not given): all of the store but the sealed truth, to be imported again. preferences:
        prompt, chosen, rejected, margin. approvals, ratings, rankings: likewise for those kinds of answer. clips: a
        folder of videos of what was asked about.
    names
        With the annotators' names, not their pseudonyms alone.
    policy
        sb3: a model that stable-baselines3 loads. merged: a language model as Transformers and vLLM load it.
        adapters: a folder of PEFT. Where not given: sb3 of a control run, merged of a run of text.
    reward
        The reward in place of the policy, as Transformers' AutoModelForSequenceClassification loads it; of runs whose
        reward is a language model (reward.kind = "sequence").
    """
    from accord.types import InputError

    if out is not None and to is None and form is None and not names:
        from accord import trained

        if reward and policy is not None:
            raise InputError("--reward writes the reward, and --policy says how a policy is written: give one of them.")
        trained.export_reward(Path(place), out) if reward else trained.export(Path(place), out, policy)
        print(out)
    elif to is not None and out is None and policy is None and not reward:
        if form == "clips":
            _export_clips(place, to)
        else:
            _export_answers(place, to, form or "lossless", names)
    else:
        raise InputError(
            "give OUT, and --policy or --reward, for what a run learned, or --to FILE, --as and --names for answers."
        )


def _export_clips(place: str, to: Path) -> None:
    """A video of every clip that was asked about, named by its segment's id."""
    from accord.tasks import video
    from accord.tasks.film import Projector
    from accord.types import Steps

    with _opened(place) as store:
        ids = list(dict.fromkeys(id for query in store.queries() for id in query.segments))
        rows = zip(ids, store.segments(ids), store.provenance(ids), strict=True)
        clips = [(id, segment, origin) for id, segment, origin in rows if isinstance(segment, Steps)]
        store.log("export", about="clips")
    to.mkdir(parents=True, exist_ok=True)
    projector = Projector()
    for id, segment, origin in clips:
        frames, fps = projector.frames(segment, origin)
        video.write(frames, fps, to / f"{id[:16]}.mp4")
    projector.close()
    print(f"{to}: {len(clips):,} clips")


def _export_answers(place: str, to: Path, form: Form, names: bool) -> None:
    from accord.feedback.exchange.exports import export_file

    with _opened(place) as store:
        done = export_file(store, to, form, names)
        store.log("export", about=form)
    print(f"{to}: {done.rows:,} rows")
    for what, count in done.left.items():
        print(f"left out: {what} ({count:,})")


def import_(
    file: Path,
    place: str,
    /,
    *,
    columns: str = "",
    labels: str = "",
    scale: str = "",
    annotator: str = "imported",
) -> None:
    """Takes the answers of FILE into a store: what accord exported, or preference data of many forms.

    Nothing is imported if any row is wrong; what is there already is not stored again.

    Parameters
    ----------
    file
        .jsonl, .json, .csv, .tsv or .parquet, and .gz behind it; or a folder of `datasets`.
    place
        A folder whose store.db is used or made, or the URL of a database.
    columns
        Which column is what, as prompt=instruction,response1=first.
    labels
        What labels mean, as 0=a,1=b,2=tie (a, b, tie, skip).
    scale
        The lowest and the highest rating, as 1-5.
    annotator
        Whose answers they are where the file does not say.
    """
    from accord.feedback.exchange.columns import reading_of
    from accord.feedback.exchange.imports import import_file

    reading = reading_of(columns, labels, scale, annotator)
    with _opened(place, new=True) as store:
        done = import_file(file, store, reading)
        store.log("import", about=done.shape)
    taken = done.taken
    print(f"{file} ({done.shape}): answers {taken.answers:,} new, {taken.known:,} there already")
    print(f"new: queries {taken.queries:,}, segments {taken.segments:,}, annotators {taken.annotators:,}")
    for note in done.notes:
        print(note)


def forget(annotator: str, place: str, /, *, keep_answers: bool = False, reopen: bool = False) -> None:
    """Forgets an annotator: the name, the answers and what was written with them.

    Parameters
    ----------
    annotator
        The name, or the pseudonym.
    place
        A run's folder, or the URL of a database.
    keep_answers
        Keep what was answered, as the answers of nobody and without free text.
    reopen
        Ask again what was answered.
    """
    with _opened(place) as store:
        names = [name for name, pseudonym in store.pseudonyms().items() if annotator in (name, pseudonym)]
        count = store.forget(annotator, keep_answers=keep_answers, reopen=reopen)
        store.log("forget", about="kept answers" if keep_answers else "")
    print(f"forgotten; answers {'kept as those of nobody' if keep_answers else 'gone'}: {count:,}")
    for path in _naming(Path(place), names):
        print(f"may still hold the name: {path}")


def _naming(folder: Path, names: Sequence[str]) -> list[Path]:
    """Files of a run in which a name stands: rewards tell of the annotators whom they were fitted to."""
    from accord import records

    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return [
        path
        for path in files
        if not path.name.startswith(records.STORE) and any(name.encode() in path.read_bytes() for name in names)
    ]


@contextmanager
def _opened(place: str, new: bool = False) -> Iterator[Store]:
    """The store of a run's folder, or of a URL, while inside; made in a folder without one if it may be `new`."""
    from accord import lineage
    from accord.feedback.store import Store

    store = Store(lineage.url_at(place, new))
    try:
        yield store
    finally:
        store.close()
