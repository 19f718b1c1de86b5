"""What an annotator sees of a query, and what an answer given to what was seen means.

Sides are shown in an order drawn from the lease's token, so that neither the page nor its user chooses it, and a second
delivery of an answer means the same. Levels, places and orders in an answer are those of the screen; here they become
those of the query.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from accord.types import InputError, Order, Query, Score, Side, Skip, Value, Verdict

Id = Annotated[str, Field(min_length=1, max_length=100)]


class Strict(BaseModel):
    """Nothing more than what is named, of exactly those types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Sided(Strict):
    """0 is "the second on the screen is far better", `levels - 1` the first."""

    type: Literal["side"]
    level: Annotated[int, Field(ge=0, le=6)]


class Ordered(Strict):
    """Places on the screen, best first."""

    type: Literal["order"]
    best_first: Annotated[list[Annotated[int, Field(ge=0, le=49)]], Field(min_length=1, max_length=50)]


class Scored(Strict):
    """A level of the scale."""

    type: Literal["score"]
    level: Annotated[int, Field(ge=0, le=10)]


class Judged(Strict):
    """Approved or not."""

    type: Literal["verdict"]
    approved: bool


class Passed(Strict):
    """Can't tell."""

    type: Literal["skip"]
    reason: Annotated[str, Field(max_length=500)] = ""


class Written(Strict):
    """A text that the annotator wrote: a demonstration, or a correction."""

    type: Literal["written"]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]


class Handed(Strict):
    """A segment that the annotator drove and handed in, with the proof that was given for it."""

    type: Literal["given"]
    segment: Id
    proof: Id


Said = Annotated[Sided | Ordered | Scored | Judged | Passed | Written | Handed, Field(discriminator="type")]


def meant(query: Query, said: Said, shown: tuple[int, ...]) -> Value:
    """The value of what was said about what was shown. InputError where it cannot be said of this query.

    What was written or driven is no part of the screen: `given` tells what it means.
    """
    match said:
        case Sided(level=level):
            if len(shown) == 2 and level < query.levels:
                return Side(level if shown == (0, 1) else query.levels - 1 - level, query.levels)
        case Ordered(best_first=places):
            if all(place < len(shown) for place in places):
                return Order(tuple(shown[place] for place in places))
        case Scored(level=level):
            return Score(level, query.levels)
        case Judged(approved=approved):
            return Verdict(approved)
        case Passed(reason=reason):
            return Skip(reason)
    raise InputError(f"{said.type} {said.model_dump(exclude={'type'})} is out of range for this question.")
