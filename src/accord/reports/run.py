"""One run as one page: the records of a run folder become DIR/report.html, which needs nothing else to be read.

The page carries its own style, script and Plotly, and a policy that forbids it to load or run anything more, so text
written by people and models can be shown. It is made from records alone, so it can always be made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accord import toml
from accord.durable import write_bytes
from accord.records import REPORT
from accord.reports import clip, shell, texts, view
from accord.reports.figures import figures
from accord.reports.read import Run, at, estimate, mapping_at, number_at
from accord.reports.verdict import Returns, accuracy_of, judged, result_sentence, terminates, unit_of, verdicts
from accord.reports.words import LANGUAGES, OF_TEXT, Language


def write(folder: Path, lang: Language | None = None) -> Path:
    """Writes folder/report.html from the folder's records and returns its path.

    `lang` is the language the page opens in, by default the configuration's `report.lang`, else English; the page
    holds both. Raises InputError where the folder holds no finished run.
    """
    run = Run.read(folder)
    page = render(run, lang or _configured(run))
    path = folder / REPORT
    write_bytes(path, page.encode())
    return path


def _configured(run: Run) -> Language:
    return "zh" if str(at(run.configuration, "report", "lang") or "en").startswith("zh") else "en"


def render(run: Run, lang: Language = "en") -> str:
    """The whole page as text."""
    voices: dict[Language, Language] = {each: OF_TEXT[each] if texts.written(run) else each for each in LANGUAGES}
    drawn = {name: figures(run, voice) for name, voice in voices.items()}
    content = {"run": run, **_content(run, voices)}
    return shell.page("page.html.jinja", f"{task_of(run)} · accord", drawn, lang, content, texts.written(run))


def task_of(run: Run) -> str:
    """The task's id as the result or the configuration names it."""
    return str(at(run.result, "task") or at(run.configuration, "task", "id") or run.folder.name)


def _content(run: Run, voices: Mapping[Language, Language]) -> dict[str, Any]:
    """Everything the template shows, so that it only sets type."""
    chips = zip(*(verdicts(run, voice) for voice in voices.values()), strict=True)
    result = run.result
    return {
        "task": task_of(run),
        "seed": at(run.manifest, "seed") if at(run.manifest, "seed") is not None else at(result, "seed"),
        "sentence": {name: result_sentence(result, voice, unit_of(run)) for name, voice in voices.items()},
        "chips": [dict(zip(LANGUAGES, pair, strict=True)) for pair in chips],
        "clip": clip.shown(run, task_of(run)),
        "no_clip": clip.absent(run),
        "measured": estimate(result.get("true_return")),
        "returns": Returns.read(result),
        "terminates": terminates(run),
        "accuracy": accuracy_of(run),
        "agreement": judged(run, "agreement"),
        "stats": (*texts.stats(run), *view.stats(run)) if texts.written(run) else view.stats(run),
        "written": texts.shown(run),
        "tally": view.tally(run),
        "rules": view.rules(run),
        "seconds": view.parts(view.seconds(run), number_at(result, "seconds", "total")),
        "env_steps": view.parts(mapping_at(result, "env_steps_by"), number_at(result, "env_steps")),
        "examples": view.examples(run),
        "sparks": view.sparks(run),
        "rounds": view.rounds(run),
        "annotators": view.annotator_rows(run),
        "configuration": view.unsigned(toml.to_text(dict(run.configuration))),
        "chosen": view.flat(mapping_at(result, "chosen")),
        "versions": view.flat({"commit": at(run.manifest, "commit"), **_prefixed(run)}),
        "lineage": tuple(view.lineage(run).items()),
        "commit": str(at(run.manifest, "commit") or "")[:12],
        "uncommitted": str(at(run.manifest, "commit") or "").endswith("-dirty"),
    }


def _prefixed(run: Run) -> dict[str, Any]:
    machine = at(run.manifest, "machine")
    return {
        **mapping_at(run.manifest, "versions"),
        **(machine if isinstance(machine, Mapping) else {"machine": machine}),
    }
