"""What every page is made with: its template, its style and scripts, and a policy that lets it load nothing more.

A page holds text that people and models wrote, so everything is escaped, JSON cannot close its element, and no script
runs but the page's own, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from accord.reports.drawing import Figure
from accord.reports.words import LANGUAGES, OF_TEXT, WORDS, Language, duration, number, percent, say

HTML_LANGUAGE = {"en": "en", "zh": "zh-Hans"}
Drawn = Mapping[str, Mapping[str, Figure]]


def page(
    template: str, title: str, drawn: Drawn, lang: Language, content: Mapping[str, Any], of_text: bool = False
) -> str:
    """A whole page as text, from a template of this folder and what it is to show. `of_text`: in the words of text."""
    voices: dict[Language, Language] = {each: OF_TEXT[each] if of_text else each for each in LANGUAGES}
    scripts = {"plotly": get_plotlyjs().replace("\r\n", "\n"), "page": _asset("page.js")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "percent": percent, "duration": duration}
    environment.globals |= {"t": lambda key, **values: both({k: say(key, v, **values) for k, v in voices.items()}),
                            "both": both, "known": lambda key: key in WORDS}  # fmt: skip
    figures = {each: {name: asdict(figure) for name, figure in found.items()} for each, found in drawn.items()}
    environment.globals |= dict(
        lang=lang,
        html_lang=HTML_LANGUAGE[lang],
        title=title,
        policy=_policy(scripts.values()),
        style=Markup(_asset("style.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        figures=drawn[lang],
        data=_json({"figures": figures, "words": _spoken()}),
    )
    return environment.from_string(_asset("parts.html.jinja") + _asset(template)).render(**content)


def both(texts: Mapping[str, object]) -> Markup:
    """Text in both languages; the style shows the one the page is set to. Everything is escaped."""
    if len(set(texts.values())) == 1:
        return Markup("{}").format(next(iter(texts.values())))
    spans = [Markup('<span class="l-{}" lang="{}">{}</span>').format(k, HTML_LANGUAGE[k], v) for k, v in texts.items()]
    return Markup("").join(spans)


def _asset(name: str) -> str:
    return files("accord.reports").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _policy(scripts: Iterable[str]) -> str:
    """Forbids every connection and every script but the page's own, by their hashes."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: object) -> Markup:
    """JSON that cannot close its script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _spoken() -> dict[str, dict[str, str]]:
    keys = ("copy", "copied", "theme")
    return {each: {key: say(key, each) for key in keys} for each in LANGUAGES}
