"""One study as one page: the records of its folder become DIR/study.html, which needs nothing else to be read.

Made from records alone (`accord.trials`), as the run's page is, and in its style. A study that has not ended yet has a
page too, which says so: what the search saw is shown, and nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accord import toml, trials
from accord.durable import write_bytes
from accord.reports import shell, study_figures
from accord.reports.read import at
from accord.reports.tried import FEWEST, arm_of, ended
from accord.reports.verdict import Chip
from accord.reports.view import flat, unsigned
from accord.reports.words import LANGUAGES, Language, number, say
from accord.trials import Study, Verdict

MOST = 300  # trials in the table at the end


def write(folder: Path, lang: Language | None = None) -> Path:
    """Writes folder/study.html from the study's records and returns its path.

    `lang` is the language the page opens in, by default that of the configuration's `report.lang`; the page holds both.
    Raises InputError where the folder holds no study.
    """
    study = trials.read(folder)
    chosen = folder / trials.CHOSEN
    text = chosen.read_text(encoding="utf-8") if chosen.is_file() else ""
    configured: Language = "zh" if at(study.manifest.configuration, "report", "lang") == "zh" else "en"
    path = folder / trials.PAGE
    write_bytes(path, render(study, text, lang or configured).encode())
    return path


def render(study: Study, chosen: str = "", lang: Language = "en") -> str:
    """The whole page as text. `chosen` is the chosen configuration as a TOML file."""
    drawn = {each: study_figures.figures(study, each) for each in LANGUAGES}
    return shell.page("study.html.jinja", f"{study.manifest.task} · accord", drawn, lang, _content(study, chosen))


def _content(study: Study, chosen: str) -> dict[str, Any]:
    """Everything the template shows, so that it only sets type."""
    manifest, verdict = study.manifest, study.verdict
    pairs = zip(*(chips(study, each) for each in LANGUAGES), strict=True)
    over = ended(study)
    return {
        "task": manifest.task,
        "manifest": manifest,
        "sentence": {each: sentence(study, each) for each in LANGUAGES},
        "chips": [dict(zip(LANGUAGES, pair, strict=True)) for pair in pairs],
        "totals": trials.totals(study.trials),
        "verdict": verdict,
        "arm": arm_of(study),
        "fewest": FEWEST,
        "agreements": study.agreements,
        "trials": sorted(over, key=lambda trial: trial.number)[-MOST:],
        "chosen_text": unsigned(chosen),
        "configuration": unsigned(toml.to_text(dict(manifest.configuration))),
        "versions": flat({"commit": manifest.commit, **manifest.versions, **_machine(manifest.machine)}),
    }


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    return dict(machine)


def sentence(study: Study, lang: Language) -> str:
    """The verdict in one sentence; "no winner" is one."""
    verdict = study.verdict
    if verdict is None:
        return say("open", lang, trials=len(ended(study)))
    chosen = next(each for each in verdict.finalists if each.name == verdict.chosen)
    base = study_figures.default_of(verdict)
    if not verdict.winner or base is None or chosen.difference is None or chosen.difference_ci95 is None:
        return say("tied", lang, n=len(verdict.seeds), name=verdict.chosen, k=max(1, len(verdict.tied)))
    low, high = chosen.difference_ci95
    return say(
        "won",
        lang,
        name=verdict.chosen,
        mean=number(chosen.iqm),
        other=number(base.iqm),
        n=len(verdict.seeds),
        difference=number(chosen.difference),
        low=number(low),
        high=number(high),
    )


def chips(study: Study, lang: Language) -> tuple[Chip, ...]:
    """Whether there is a winner, whether the search flattered it, what choosing is worth, what failed."""
    failed, over = sum(trial.state == "failed" for trial in study.trials), len(ended(study))
    failures = (
        Chip("caution", say("failures", lang, n=failed), say("failures_why", lang))
        if failed
        else Chip("good", say("no_failures", lang), say("no_failures_why", lang, n=over))
    )
    if study.verdict is None:
        return (Chip("none", say("open_head", lang), say("open_why", lang)), failures)
    return (*_of_verdict(study.verdict, lang), failures)


def _of_verdict(verdict: Verdict, lang: Language) -> tuple[Chip, ...]:
    chosen = next(each for each in verdict.finalists if each.name == verdict.chosen)
    p = "" if chosen.p_holm is None else number(chosen.p_holm, 3)
    found = [
        Chip("good", say("win_head", lang), say("win_why", lang, p=p))
        if verdict.winner
        else Chip("note", say("tie_head", lang), say("tie_why", lang))
    ]
    if chosen.apparent is not None:
        flattered = chosen.apparent > chosen.ci95[1]
        why = say("flattered_why", lang, apparent=number(chosen.apparent), mean=number(chosen.iqm))
        head = say("flattered" if flattered else "honest", lang)
        found.append(Chip("caution" if flattered else "good", head, why))
    if verdict.expected is not None and verdict.expected_ci95 is not None:
        low, high = map(number, verdict.expected_ci95)
        why = say("worth_why", lang, mean=number(verdict.expected), low=low, high=high)
        found.append(Chip("note", say("worth", lang), why))
    return tuple(found)
