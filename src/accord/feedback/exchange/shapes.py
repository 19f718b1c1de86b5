"""The shapes of preference data that are known by their columns, and how a row of each is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from accord.feedback.exchange import chat
from accord.feedback.exchange.columns import (
    ABOUT,
    Reading,
    about,
    cell,
    list_of,
    number_of,
    prompt_of,
    reply_of,
    side_of,
    truth_of,
    whole_of,
)
from accord.feedback.exchange.files import Row
from accord.feedback.exchange.judged import Judged
from accord.types import InputError, Order, Reply, Score, Side, Verdict

STRENGTH = 3  # the most that one side can be better, of seven levels
PAIRS = (
    ("response_a", "response_b"),
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("answer1", "answer2"),
    ("answer_a", "answer_b"),
    ("text1", "text2"),
)
LABELS = ("label", "preference", "winner")

Rows = Sequence[Row]
Read = tuple[list[Judged], list[str]]  # answers, and sentences about what was left aside


@dataclass(frozen=True)
class Shape:
    """A shape by its name, the columns that it needs and may have, and how its rows are read."""

    name: str
    needs: tuple[str, ...]
    read: Callable[[Rows, Reading], Read]
    may: tuple[str, ...] = ()


def shape_of(columns: Collection[str]) -> Shape | None:
    """The first known shape whose columns are there."""
    return next((shape for shape in _shapes() if set(shape.needs) <= set(columns)), None)


def known() -> str:
    """The columns of every shape, for a sentence."""
    seen = dict.fromkeys(", ".join(shape.needs) for shape in _shapes() if shape.name != "labelled pairs")
    pair = ", ".join(("prompt", *PAIRS[0], LABELS[0]))
    return "; ".join([*seen, pair])


def left_out(columns: Collection[str], shape: Shape) -> list[str]:
    """Columns that nobody reads."""
    return sorted(set(columns) - {*shape.needs, *shape.may, *ABOUT})


def _shapes() -> list[Shape]:
    pairs = [
        Shape("labelled pairs", ("prompt", *pair, label), _labelled(pair, label)) for pair in PAIRS for label in LABELS
    ]
    return [
        Shape("chosen and rejected", ("chosen", "rejected"), _chosen, ("prompt", "margin")),
        *pairs,
        Shape("rankings", ("prompt", "responses", "order"), _rankings),
        Shape("rankings", ("prompt", "responses", "ranks"), _rankings),
        Shape("approvals", ("prompt", "completion", "label"), _approvals),
        Shape("ratings", ("prompt", "response", "rating"), _ratings, ("levels",)),
    ]


# ------------------------------------------------------------------------------------------------ two responses


def _chosen(rows: Rows, reading: Reading) -> Read:
    """One better than the other; by how much, where all margins are strengths of 0 to 3: then of seven levels."""
    margins = [row.fields["margin"] for row in rows if row.fields.get("margin") not in (None, "")]
    fit = all(number_of(margin) in range(STRENGTH + 1) for margin in margins)
    notes = [] if fit else [f"left out: margins, which are no whole numbers from 0 to {STRENGTH}"]
    return [_chosen_one(row, fit, reading) for row in rows], notes


def _chosen_one(row: Row, margins: bool, reading: Reading) -> Judged:
    prompt, chosen, rejected = _split(row)
    pair = Reply(prompt, chosen), Reply(prompt, rejected)
    margin = number_of(row.fields.get("margin")) if margins else None
    levels = 2 if margin is None else 2 * STRENGTH + 1
    value = Side(1 if margin is None else STRENGTH + int(margin), levels)
    return Judged(kind="compare", segments=pair, value=value, levels=levels, **about(row, reading))


def _split(row: Row) -> tuple[str, str, str]:
    """Prompt, chosen and rejected, where the prompt may be a column or what both begin with."""
    chosen, rejected = cell(row, "chosen"), cell(row, "rejected")
    if row.fields.get("prompt") is not None and not _holds_prompt(row):
        return prompt_of(row), reply_of(row, "chosen"), reply_of(row, "rejected")
    if chat.is_dialogue(chosen) and chat.is_dialogue(rejected):
        return chat.split_turns(chat.turns_of_dialogue(chosen), chat.turns_of_dialogue(rejected))
    if isinstance(chosen, str) and isinstance(rejected, str):
        return chat.split_texts(chosen, rejected)
    turns = [
        chat.turns_of_messages(f"{row.where}: field {name!r}", found)
        for name, found in (("chosen", chosen), ("rejected", rejected))
    ]
    return chat.split_turns(*turns)


def _holds_prompt(row: Row) -> bool:
    """Some files have the prompt as a text beside whole conversations that begin with it."""
    match row.fields["prompt"], row.fields["chosen"]:
        case str(prompt), [{"role": "user", "content": first}, _, *_]:
            return prompt == first
        case _:
            return False


def _labelled(pair: tuple[str, str], label: str) -> Callable[[Rows, Reading], Read]:
    def read(rows: Rows, reading: Reading) -> Read:
        _check_numbers(rows, pair, label, reading)
        return [labelled(row, pair, label, reading) for row in rows], []

    return read


def labelled(row: Row, pair: tuple[str, str], label: str, reading: Reading) -> Judged:
    """One answer about two responses that stand in columns."""
    prompt = prompt_of(row)
    segments = Reply(prompt, reply_of(row, pair[0])), Reply(prompt, reply_of(row, pair[1]))
    found = cell(row, label)
    value = side_of(found, pair, reading)
    if value is None:
        raise InputError(
            f"{row.where}: field {label!r} is {str(found)[:40]!r}, none of a, b, tie or skip; say what it means with "
            "--labels, as 0=a,1=b,2=tie."
        )
    return Judged(kind="compare", segments=segments, value=value, levels=3, shown=True, **about(row, reading))


def _check_numbers(rows: Rows, pair: tuple[str, str], label: str, reading: Reading) -> None:
    """0 and 1 without any 2 may mean the first and the second, or a tie and the first: nobody is to guess that."""
    found = {str(row.fields.get(label)).strip() for row in rows}
    if not reading.labels and "0" in found and "2" not in found and pair[0].endswith("1"):
        raise InputError(
            f"field {label!r} holds 0 and never 2, so 0 may be a tie or the first response; say which with "
            "--labels, as 0=a,1=b."
        )


# --------------------------------------------------------------------------------------------- one, or several


def _approvals(rows: Rows, reading: Reading) -> Read:
    return [_approval(row, reading) for row in rows], []


def _approval(row: Row, reading: Reading) -> Judged:
    segment = Reply(prompt_of(row), reply_of(row, "completion"))
    return Judged(kind="approve", segments=(segment,), value=Verdict(truth_of(row, "label")), **about(row, reading))


def _ratings(rows: Rows, reading: Reading) -> Read:
    found = [(row, Reply(prompt_of(row), reply_of(row, "response"))) for row in rows]
    return [rated(row, segment, whole_of(row, "rating"), reading) for row, segment in found], []


def rated(row: Row, segment: Reply, rating: int, reading: Reading) -> Judged:
    """One rating, from 1 to `levels`, or on the scale that was told."""
    if reading.scale is not None:
        low, high = reading.scale
    elif row.fields.get("levels") in (None, ""):
        raise InputError(f"{row.where}: field 'levels' is missing, so {rating} says little; give --scale, as 1-5.")
    else:
        low, high = 1, whole_of(row, "levels")
    if not low <= rating <= high:
        raise InputError(f"{row.where}: field 'rating' is {rating}; the scale is {low} to {high}: give --scale.")
    levels = high - low + 1
    return Judged(
        kind="rate", segments=(segment,), value=Score(rating - low, levels), levels=levels, **about(row, reading)
    )


def _rankings(rows: Rows, reading: Reading) -> Read:
    return [_ranking(row, reading) for row in rows], []


def _ranking(row: Row, reading: Reading) -> Judged:
    prompt, responses = prompt_of(row), list_of(row, "responses")
    if not all(isinstance(each, str) for each in responses):
        raise InputError(f"{row.where}: field 'responses' holds what is no text; write a list of texts.")
    name = "order" if row.fields.get("order") is not None else "ranks"
    places = list_of(row, name)
    if not all(isinstance(place, int) and not isinstance(place, bool) for place in places):
        raise InputError(f"{row.where}: field {name!r} holds what is no whole number; write places.")
    if name == "ranks" and sorted(places) != [*range(1, len(responses) + 1)]:
        raise InputError(f"{row.where}: field 'ranks' is no order without ties; give each of 1, 2, 3 ... once.")
    order = places if name == "order" else sorted(range(len(places)), key=lambda i: places[i])
    return ranked(row, [Reply(prompt, each) for each in responses], order, reading)


def ranked(row: Row, segments: Sequence[Reply], order: Sequence[int], reading: Reading) -> Judged:
    """One order, best first, of responses in the order in which they were shown."""
    return Judged(kind="rank", segments=tuple(segments), value=Order(tuple(order)), shown=True, **about(row, reading))
