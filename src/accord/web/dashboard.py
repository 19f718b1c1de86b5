"""The dashboard's page and what it asks for: for reviewers and owners alone. Invitations and the audit log: owners'."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from accord.feedback.audit import broken
from accord.feedback.probes import known
from accord.feedback.store import Store, current
from accord.types import Skip
from accord.web.access import HEADER, Keys, Role, Session
from accord.web.board import Board
from accord.web.board_words import WORDS
from accord.web.pages import Pages
from accord.web.shown import Strict

EVENTS = 50  # of the audit log, the newest
REVIEWERS: tuple[Role, ...] = ("reviewer", "owner")
Id = Annotated[str, Field(min_length=1, max_length=100)]


class Reviewed(Strict):
    """A question to be looked at once more."""

    query: Id


class Invited(Strict):
    """Who is to come, and as what. The name is what their answers are kept under."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")]
    role: Role = "annotator"


@dataclass(frozen=True)
class Watched:
    """What the dashboard is answered from; `who` and `changing` say whose request it is, as for the annotation page."""

    board: Board
    store: Store
    keys: Keys
    pages: Pages
    who: Callable[..., Awaitable[Session]]
    changing: Callable[..., Awaitable[Session]]


def reviewing(here: Watched) -> APIRouter:
    """What reviewers and owners may do."""
    router = APIRouter()
    reads, changes = Depends(_one_of(here.who, *REVIEWERS)), Depends(_one_of(here.changing, *REVIEWERS))

    @router.get("/dashboard", response_class=HTMLResponse)
    def page(request: Request, session: Session = reads) -> str:
        """The page itself, in the browser's language."""
        told = {"token": here.keys.token(session), "header": HEADER, "role": session.role}
        return here.pages.page("dashboard", request, WORDS, told)

    @router.get("/api/overview")
    def overview(session: Session = reads) -> dict[str, Any]:
        """Everything that is shown at once."""
        return here.board.overview()

    @router.get("/api/questions/{id}")
    def question(id: str, session: Session = reads) -> dict[str, Any]:
        """One question, its answers, and the reward over its clips."""
        return here.board.question(id)

    @router.post("/api/review")
    def review(wanted: Reviewed, session: Session = changes) -> dict[str, Any]:
        """Asks a question once more, of reviewers and owners alone: their page shows it next."""
        here.store.dispute(wanted.query, session.annotator)
        here.store.log("review", session.annotator, wanted.query)
        return {"query": wanted.query}

    return router


def owning(here: Watched) -> APIRouter:
    """What owners alone may do."""
    router = APIRouter()
    reads, changes = Depends(_one_of(here.who, "owner")), Depends(_one_of(here.changing, "owner"))

    @router.post("/api/gold")
    def gold(wanted: Reviewed, session: Session = changes) -> dict[str, Any]:
        """Asks everybody this question from now on: the answer of who sends this is known to be right."""
        store, name = here.store, session.annotator
        (query,) = store.queries([wanted.query])
        mine = [a.value for a in current(store.answers()) if a.query == query.id and a.annotator == name]
        if not mine or isinstance(mine[0], Skip):
            raise HTTPException(409, "You have not answered this question: decide it first.")
        store.ask([known(query, mine[0])])
        store.log("gold", name, query.id)
        return {"query": query.id}

    @router.post("/api/invite")
    def invite(wanted: Invited, request: Request, session: Session = changes) -> dict[str, Any]:
        """A link that its holder joins by."""
        here.store.log("invite", session.annotator, wanted.role)
        host = request.headers.get("host", "")
        return {"link": f"{request.url.scheme}://{host}/join/{here.keys.invite(wanted.name, wanted.role)}"}

    @router.get("/api/log")
    def log(session: Session = reads) -> dict[str, Any]:
        """The newest of the audit log, and where it was broken, if it was."""
        found = here.store.events()
        return {"events": [asdict(event) for event in found[-EVENTS:]], "broken": broken(found)}

    return router


def _one_of(whose: Callable[..., Awaitable[Session]], *roles: Role) -> Callable[..., Awaitable[Session]]:
    """The same, for these roles alone: 403 for another."""
    came = Depends(whose)

    async def found(session: Session = came) -> Session:
        if session.role not in roles:
            raise HTTPException(403, f"This is for a {' or an '.join(roles)}: ask for an invitation as one.")
        return session

    return found
