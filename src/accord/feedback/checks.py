"""What the store refuses at the door: questions that cannot be asked, and answers that do not fit their question."""

from __future__ import annotations

from math import isfinite

from accord.types import Answer, Given, InputError, Order, Query, Score, Side, Skip, Verdict

# How many segments a query of each kind is about. A demonstration may be asked about nothing but its start.
_SEGMENTS = {
    "compare": (2, 2),
    "rank": (2, 50),
    "rate": (1, 1),
    "approve": (1, 1),
    "demonstrate": (0, 50),
    "correct": (1, 1),
}
MARKS, LONGEST = 100, 10_000  # moments of one answer, and the last step that may be one
_VALUES = {
    "compare": Side,
    "rank": Order,
    "rate": Score,
    "approve": Verdict,
    "demonstrate": Given,
    "correct": Given,
}


def check_query(query: Query) -> None:
    """Raises InputError where no annotator could answer it."""
    if query.kind not in _SEGMENTS:
        raise InputError(f"query {query.id!r}: kind {query.kind!r} is not one of {', '.join(_SEGMENTS)}; choose one.")
    low, high = _SEGMENTS[query.kind]
    if not low <= len(query.segments) <= high:
        limit = f"{low}" if low == high else f"{low} to {high}"
        raise InputError(
            f"query {query.id!r}: {len(query.segments)} segments to {query.kind}, the limit is {limit}; "
            "split it or give the missing ones."
        )
    if query.kind == "compare" and query.levels not in (2, 3, 7):
        raise InputError(f"query {query.id!r}: {query.levels} levels to compare; use 2, 3 (tie) or 7 (strength).")
    if query.kind == "rate" and not 2 <= query.levels <= 11:
        raise InputError(f"query {query.id!r}: {query.levels} levels to rate; use 2 to 11.")
    if query.overlap < 1:
        raise InputError(f"query {query.id!r}: an overlap of {query.overlap}; ask at least 1 annotator.")
    check_text(query.id, query.acquisition)
    if query.gold is not None:
        check_answer(query, Answer(f"known to be right to {query.id}", query.id, "", query.gold))


def check_answer(query: Query, answer: Answer) -> None:
    """Raises InputError where the answer is no answer to this query."""
    where = f"answer {answer.id!r} to query {query.id!r}"
    if not isinstance(answer.value, (Skip, _VALUES[query.kind])):
        found, wanted = type(answer.value).__name__, _VALUES[query.kind].__name__
        raise InputError(f"{where}: {found} does not answer {query.kind!r}; send {wanted} or Skip.")
    if not _fits(query, answer):
        raise InputError(f"{where}: {answer.value} is out of range; the query has {_range(query)}.")
    if answer.shown and sorted(answer.shown) != list(range(len(query.segments))):
        raise InputError(
            f"{where}: shown {answer.shown} is no order of {len(query.segments)} segments; send positions."
        )
    if not (isfinite(answer.seconds) and answer.seconds >= 0):
        raise InputError(f"{where}: {answer.seconds} seconds; send a finite time of at least 0.")
    _check_marks(where, answer.marks)
    reason = answer.value.reason if isinstance(answer.value, Skip) else ""
    check_text(answer.id, answer.text, answer.annotator, reason)


def _check_marks(where: str, marks: tuple[int, ...]) -> None:
    rising = list(marks) == sorted(set(marks))
    if not rising or len(marks) > MARKS or not all(0 <= mark <= LONGEST for mark in marks):
        raise InputError(
            f"{where}: {str(marks)[:80]} are no moments; mark at most {MARKS} steps from 0 to {LONGEST:,}, rising."
        )


def check_text(*texts: str) -> None:
    """Raises InputError for text that one of the two databases could not give back as it was."""
    for text in texts:
        if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
            raise InputError(f"the text {text[:40]!r} holds a NUL or half a surrogate pair; remove it.")


def _fits(query: Query, answer: Answer) -> bool:
    match answer.value:
        case Side(level, levels) | Score(level, levels):
            return levels == query.levels and 0 <= level < levels
        case Order(places):
            return 0 < len(places) == len(set(places)) and set(places) <= set(range(len(query.segments)))
        case _:
            return True


def _range(query: Query) -> str:
    return f"{len(query.segments)} segments" if query.kind == "rank" else f"levels 0 to {query.levels - 1}"
