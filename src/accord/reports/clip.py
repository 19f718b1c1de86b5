"""The run's clip as the page shows it: both pictures as data: URIs, and what is said of them; or why there is none."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from accord import records
from accord.reports.read import Json, Run, at, estimate, mapping_at, number_at
from accord.reports.words import LANGUAGES, Language, number, say

Texts = Mapping[Language, str]
ABSENT = {"off": "no_clip_off", "mode": "no_clip_mode", "failed": "no_clip_failed"}


@dataclass(frozen=True)
class Shown:
    """The moving picture, its first frame for those who wish for no motion, and the facts beside them."""

    moving: str
    still: str
    width: int
    height: int
    alt: Texts
    facts: tuple[tuple[str, Texts], ...]  # a key of the words, and its value


def shown(run: Run, task: str) -> Shown | None:
    """The clip that the result tells of; None where it does not, or the file is gone."""
    record = mapping_at(run.result, "clip")
    path = run.folder / records.CLIP
    if number_at(record, "steps") is None or not path.is_file():
        return None
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            file = io.BytesIO()
            picture.convert("RGB").save(file, "WEBP", quality=80)
    except (UnidentifiedImageError, OSError):
        return None
    facts = _facts(run, record)
    steps, paid = number_at(record, "steps") or 0.0, number_at(record, "true_return") or 0.0
    told = {"task": task, "steps": number(steps, 0), "paid": number(paid)}
    alt: Texts = {each: say("clip_alt", each, **told) for each in LANGUAGES}
    return Shown(_uri(content), _uri(file.getvalue()), width, height, alt, facts)


def absent(run: Run) -> Texts | None:
    """Why there is no clip, in one sentence; None where the record is silent, as of an older version."""
    record = mapping_at(run.result, "clip")
    if not record:
        return None
    key = ABSENT.get(str(at(record, "why")), "no_clip_file")
    detail = str(at(record, "detail") or "")
    return {each: say(key, each, detail=detail) for each in LANGUAGES}


def _facts(run: Run, record: Json) -> tuple[tuple[str, Texts], ...]:
    rounds = len(run.of("improve"))
    steps, paid, seed = (number_at(record, key) or 0.0 for key in ("steps", "true_return", "seed"))
    sides: tuple[tuple[str, Texts], ...] = (
        ("clip_policy", {each: say("clip_final", each, round=rounds) for each in LANGUAGES}),
        ("clip_steps", dict.fromkeys(LANGUAGES, number(steps, 0))),
        ("clip_return", {each: _return(run, paid, each) for each in LANGUAGES}),
        ("clip_seed", dict.fromkeys(LANGUAGES, f"{seed:.0f}")),
        ("clip_seen", {each: _seen(record, steps, each) for each in LANGUAGES}),
    )
    return sides


def _return(run: Run, paid: float, lang: Language) -> str:
    """Beside the mean that it belongs to, so that a lucky or unlucky episode is seen as one."""
    mean = estimate(run.result.get("true_return"))
    if mean is None or not mean.episodes:
        return number(paid)
    return say("clip_beside", lang, paid=number(paid), mean=number(mean.mean), episodes=mean.episodes)


def _seen(record: Json, steps: float, lang: Language) -> str:
    stride, last = number_at(record, "stride") or 1.0, number_at(record, "shown") or steps
    pace = say("clip_each", lang) if stride == 1 else say("clip_one_in", lang, stride=number(stride, 0))
    whole = steps - last < stride
    return pace if whole else say("clip_first", lang, shown=number(last, 0), pace=pace)


def _uri(content: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"
