"""Gold scorers: what a response is truly worth, one number each. Sealed: teachers and evaluation alone ask them.

vader            how friendly the words are, from -1 to 1 (the package vaderSentiment; Hutto and Gilbert 2014)
vader-negative   the reverse
brief            how few words there are: minus the logarithm to the base 2 of their number, which is 6 at the least
module:NAME      a Python function of prompt and response, as module:package.function
http://..., https://...   POST of {"prompt", "response"} as JSON, answered by {"score"} or a bare number
"""

from __future__ import annotations

import importlib
import json
import math
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any
from urllib.error import URLError

import numpy as np
from jaxtyping import Float32

from accord.types import InputError, NotFinite, Reply

Score = Callable[[str, str], Any]  # of a prompt and a response; whether it is a number is looked at

FEW = 6  # words: an answer of fewer is no better
SECONDS = 60.0  # that an endpoint may take for one response
LARGEST = 1 << 20  # bytes of its answer that are read


class Gold:
    """Scores replies; each distinct one is asked about once."""

    def __init__(self, name: str, score: Score) -> None:
        self.name, self._score = name, score
        self._known: dict[tuple[str, str], float] = {}

    def of(self, replies: Sequence[Reply]) -> Float32[np.ndarray, "reply"]:
        """One number a reply. Raises InputError where the scorer fails, NotFinite where it gives no number.

        Both name the reply by its number and show nothing of its text.
        """
        found = np.zeros(len(replies), np.float32)
        for number, reply in enumerate(replies):
            key = reply.prompt, reply.response
            if key not in self._known:
                self._known[key] = self._one(number, len(replies), reply)
            found[number] = self._known[key]
        return found

    def _one(self, number: int, count: int, reply: Reply) -> float:
        try:
            value = float(self._score(reply.prompt, reply.response))
        except InputError:
            raise
        except Exception as error:  # the user's own function may raise anything; its words may hold the text
            raise InputError(
                f"task.gold {self.name} failed on response {number} of {count} ({type(error).__name__}): "
                "make it give a number for every text."
            ) from None
        if not math.isfinite(value):
            raise NotFinite(f"task.gold {self.name} gave {value} for response {number} of {count}.")
        return value


def gold(name: str) -> Gold | None:
    """The scorer of that name; None for "". Raises InputError for an unknown one, or where its package is missing."""
    if not name:
        return None
    if name in ("vader", "vader-negative"):
        return Gold(name, _vader(-1.0 if name == "vader-negative" else 1.0))
    if name == "brief":
        return Gold(name, brief)
    if name.startswith("module:"):
        return Gold(name, _function(name.removeprefix("module:")))
    if name.startswith(("http://", "https://")):
        return Gold(name, _endpoint(name))
    raise InputError(
        f'task.gold is "{name}": use vader, vader-negative, brief, module:package.function or http://HOST/PATH.'
    )


def brief(prompt: str, response: str) -> float:
    """-log2 of the number of words, `FEW` at the least."""
    return -math.log2(max(FEW, len(response.split())))


def _vader(sign: float) -> Score:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ModuleNotFoundError as error:
        raise InputError(f"vaderSentiment is missing ({error}): pip install 'accord[text]' and run again.") from error
    scores = SentimentIntensityAnalyzer().polarity_scores
    return lambda prompt, response: sign * scores(response)["compound"]


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"task.gold names module:{place}, which cannot be imported ({error}): give module:package.function."
        ) from error
    if not callable(found):
        raise InputError(f"task.gold names module:{place}, which is no function: give one of prompt and response.")
    return found


def _endpoint(url: str) -> Score:
    def score(prompt: str, response: str) -> float:
        body = json.dumps({"prompt": prompt, "response": response}).encode()
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                read = json.loads(answer.read(LARGEST))
        except (URLError, OSError) as error:
            raise InputError(f"task.gold {url} did not answer ({error}): start it, or give another address.") from error
        except ValueError:
            raise InputError(f'task.gold {url} did not answer in JSON: let it give {{"score": number}}.') from None
        value = read.get("score") if isinstance(read, dict) else read
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f'task.gold {url} answered without a number: let it give {{"score": number}}.')
        return value

    return score
