"""What many annotators bring and want at once, in one transaction: a commit waits for the disk once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from accord.feedback.rows import Asked, known_numbers, stranger
from accord.feedback.slots import Lease, Want, answer_each, lease_each, release
from accord.types import Answer, InputError


@dataclass(frozen=True)
class Visit:
    """One annotator's answers, each with the token of its lease, and how many queries it wants.

    `afresh`: whatever it holds after its answers is given back before it is served. `reviews`: it decides disputes.
    """

    annotator: str
    answers: Sequence[Answer] = ()
    tokens: Sequence[str] = ()
    limit: int = 0
    afresh: bool = False
    reviews: bool = False


@dataclass(frozen=True)
class Served:
    """The fate of each answer, its seq or why it was refused, and the new leases."""

    fates: list[int | InputError]
    leases: list[Lease]


def serve(
    connection: Connection, asked: Asked, visits: Sequence[Visit], seconds: float, now: float
) -> list[Served | InputError]:
    """All answers are stored first, then what is given back, then the leases are dealt."""
    names = {visit.annotator for visit in visits} | {it.annotator for visit in visits for it in visit.answers}
    numbers = known_numbers(connection, names)
    known = [visit for visit in visits if visit.annotator in numbers]
    answers = [answer for visit in known for answer in visit.answers]
    tokens = [token for visit in known for token in visit.tokens]
    fates = iter(answer_each(connection, asked, numbers, answers, tokens, now))
    for visit in known:
        if visit.afresh:
            release(connection, numbers[visit.annotator], ())
    wants = [Want(numbers[visit.annotator], visit.limit, visit.reviews) for visit in known]
    dealt = iter(lease_each(connection, asked, wants, seconds, now))
    return [
        Served([next(fates) for _ in visit.answers], next(dealt))
        if visit.annotator in numbers
        else stranger(visit.annotator)
        for visit in visits
    ]
