"""A page as HTML: its template, its words in both languages, and what its script is told."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi import Request
from jinja2 import Environment, PackageLoader, select_autoescape

from accord.web.words import LANGUAGES, language_of


class Pages:
    """The templates of this package. Whatever is filled in is escaped."""

    def __init__(self) -> None:
        self._templates = Environment(loader=PackageLoader("accord.web"), autoescape=select_autoescape(default=True))

    def page(
        self,
        name: str,
        request: Request,
        words: Mapping[str, tuple[str, str]],
        told: Mapping[str, object],
        **more: object,
    ) -> str:
        """One of them, in the browser's language; `told` is what its script reads, `more` what the template does."""
        language = language_of(request.headers.get("accept-language", ""))
        spoken = {key: dict(zip(LANGUAGES, both, strict=True)) for key, both in words.items()}
        data = json.dumps({"words": spoken, **told})
        template = self._templates.get_template(f"{name}.html.jinja")
        return template.render(language=language, words=spoken, data=data, **more)
