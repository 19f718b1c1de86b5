"""Answers about texts as rows of the data sets that other programs train on.

`prompt, chosen, rejected, margin` and `prompt, completion, label` are the forms of TRL
(https://huggingface.co/docs/trl/dataset_formats). These forms have no word for a tie, a skip or a superseded answer,
nor for a segment that is no text: what is left out is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from accord.feedback.exchange.files import Holds
from accord.feedback.store import Store, current
from accord.types import Answer, Given, Order, Query, Reply, Score, Segment, Side, Skip, Verdict

Dataset = Literal["preferences", "approvals", "ratings", "rankings"]

COLUMNS: Mapping[Dataset, Mapping[str, Holds]] = {
    "preferences": {"prompt": "text", "chosen": "text", "rejected": "text", "margin": "whole", "annotator": "text"},
    "approvals": {"prompt": "text", "completion": "text", "label": "truth", "annotator": "text"},
    "ratings": {"prompt": "text", "response": "text", "rating": "whole", "levels": "whole", "annotator": "text"},
    "rankings": {"prompt": "text", "responses": "texts", "order": "wholes", "annotator": "text"},
}
_KINDS: Mapping[Dataset, tuple[str, ...]] = {
    "preferences": ("compare", "correct"),
    "approvals": ("approve",),
    "ratings": ("rate",),
    "rankings": ("rank",),
}
_STRENGTHS = 7  # levels of a comparison whose strength is written as a margin


def rows_of_dataset(store: Store, form: Dataset, names: bool, left: Counter[str]) -> Iterator[dict[str, Any]]:
    """A row for each answer that stands and that the form has words for; the others are counted in `left`."""
    every = store.answers()
    answers = current(every)
    left.update({"superseded answers": len(every) - len(answers)} if len(every) > len(answers) else {})
    queries = {query.id: query for query in store.queries()}
    pseudonyms = {} if names else store.pseudonyms()
    wanted = [it for it in answers if queries[it.query].kind in _KINDS[form]]
    if other := Counter(f"answers to {queries[it.query].kind}" for it in answers if it not in wanted):
        left.update(other)
    ids = {id: None for it in wanted for id in _named(queries[it.query], it)}
    segments = dict(zip(ids, store.segments([*ids]), strict=True))
    for it in wanted:
        found = _row(queries[it.query], it, segments, left)
        if found is not None:
            yield {**found, "annotator": pseudonyms.get(it.annotator, it.annotator)}


def _named(query: Query, answer: Answer) -> tuple[str, ...]:
    return (*query.segments, answer.value.segment) if isinstance(answer.value, Given) else query.segments


def _row(query: Query, it: Answer, segments: Mapping[str, Segment], left: Counter[str]) -> dict[str, Any] | None:
    """An answer in the form's words; None where it has none, which is counted."""
    found = [segments[id] for id in _named(query, it)]
    texts = [segment for segment in found if isinstance(segment, Reply)]
    if why := _unsayable(it, texts, found):
        left[why] += 1
        return None
    match it.value:
        case Side(level, levels):
            first = 2 * level > levels - 1
            margin = abs(level - levels // 2) if levels == _STRENGTHS else None
            return _pair(texts[not first], texts[first], margin)
        case Given():
            return _pair(texts[-1], texts[0], None)
        case Verdict(approved):
            return {"prompt": texts[0].prompt, "completion": texts[0].response, "label": approved}
        case Score(level, levels):
            return {"prompt": texts[0].prompt, "response": texts[0].response, "rating": level + 1, "levels": levels}
        case Order(best_first):
            responses = [text.response for text in texts]
            return {"prompt": texts[0].prompt, "responses": responses, "order": [*best_first]}


def _unsayable(it: Answer, texts: Sequence[Reply], found: Sequence[Segment]) -> str:
    """Why no form has words for an answer; empty where one has."""
    if len(texts) < len(found):
        return "answers about what is no text"
    if isinstance(it.value, Skip):
        return "skips"
    if len({text.prompt for text in texts}) > 1:
        return "answers about two prompts"
    if any("\ud800" <= letter <= "\udfff" for text in texts for letter in text.prompt + text.response):
        return "answers about half a surrogate pair"  # which no UTF-8 can hold
    tie = isinstance(it.value, Side) and 2 * it.value.level == it.value.levels - 1
    return "ties" if tie else ""


def _pair(chosen: Reply, rejected: Reply, margin: int | None) -> dict[str, Any]:
    return {"prompt": chosen.prompt, "chosen": chosen.response, "rejected": rejected.response, "margin": margin}
