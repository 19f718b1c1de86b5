"""The annotation page and what it talks to: leases out, answers in. Floor 4; it meets the loop in the store alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field
from pydantic_core import to_json
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accord.feedback.checks import LONGEST, MARKS
from accord.feedback.sides import order
from accord.feedback.store import Lease, Store, TooLate
from accord.types import Answer, InputError, Query, Skip
from accord.web import dashboard
from accord.web.access import COOKIE, HEADER, SESSION_SECONDS, Keys, Limit, Session, same_origin
from accord.web.board import Board
from accord.web.desk import Call, Desk, Draft, Told
from accord.web.drive import Drives
from accord.web.drive import routes as driving
from accord.web.given import given
from accord.web.media import Media
from accord.web.pages import Pages
from accord.web.shown import Handed, Id, Said, Strict, Written, meant
from accord.web.words import WORDS

AHEAD = 3  # questions that a page holds: the next is there before it is asked for
LEASE_SECONDS = 600.0
LEAST_SECONDS = 0.5
BODY = 256 * 1024  # bytes of a request at most
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Moment = Annotated[int, Field(ge=0, le=LONGEST)]


class Wanted(Strict):
    """`afresh`: whatever this annotator holds is given back first, as by a page that was loaded again."""

    limit: Annotated[int, Field(ge=1, le=10)] = AHEAD
    afresh: bool = False


class Sent(Strict):
    """One answer, in terms of the screen."""

    id: Id
    query: Id
    token: Id
    value: Said
    seconds: Annotated[float, Field(ge=0, le=86_400)]
    text: Annotated[str, Field(max_length=4_000)] = ""
    marks: Annotated[list[Annotated[int, Field(ge=0, le=LONGEST)]], Field(max_length=MARKS)] = Field(
        default_factory=list
    )
    supersedes: Id | None = None


class Outbox(Strict):
    """What a page has not been told was stored; with `lease`, the next questions come by the same way."""

    answers: Annotated[list[Sent], Field(min_length=1, max_length=50)]
    lease: Wanted | None = None


@dataclass
class Presence:
    """Whether pages are open, and whether more will be asked."""

    over: bool = False
    seen: float = -1e9  # when a page last asked for questions, by `time.monotonic`


@dataclass(frozen=True)
class Site:
    """What every request is answered from."""

    presence: Presence
    desk: Desk
    store: Store
    keys: Keys
    media: Media
    limit: Limit
    pages: Pages
    least: float


def create(
    store: Store,
    keys: Keys,
    limit: Limit | None = None,
    presence: Presence | None = None,
    folder: Path | None = None,
    least: float = LEAST_SECONDS,
) -> FastAPI:
    """The application. It does not close the store.

    `folder` is that of the run that the dashboard tells of; an answer that took less than `least` seconds is refused.
    """
    media, desk, drives = Media(store), Desk(store, LEASE_SECONDS), Drives(store, keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.call.close()
        drives.close()
        media.close()

    app = FastAPI(title="accord", docs_url=None, redoc_url=None, lifespan=lifespan)
    pages = Pages()
    app.state.site = Site(presence or Presence(), desk, store, keys, media, limit or Limit(), pages, least)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(routes)
    watched = dashboard.Watched(Board(store, folder), store, keys, pages, who, changing)
    app.include_router(dashboard.reviewing(watched))
    app.include_router(dashboard.owning(watched))
    app.include_router(driving(drives, changing))
    app.add_middleware(Guarded)
    _refusals(app)
    return app


async def site(request: Request) -> Site:
    """The site that a request came to. Not a thread's work, as what follows is none: nothing here waits."""
    return request.app.state.site


async def who(request: Request) -> Session:
    """Whose request it is: 401 for nobody's, 429 for too many."""
    here: Site = request.app.state.site
    session = here.keys.session(request.cookies.get(COOKIE, ""))
    if session is None:
        raise HTTPException(401, "Your session is unknown or has run out: open your invitation link again.")
    if not here.limit.allows(session.key):
        raise HTTPException(429, "Too many requests came from this session: wait a few seconds.")
    return session


async def changing(request: Request) -> Session:
    """The same for a request that changes something, which must come from the page itself: else 403."""
    session = await who(request)
    if not same_origin(request.headers.get("origin"), request.headers.get("host", "")):
        raise HTTPException(403, "The request comes from another site: open the page itself.")
    if not request.app.state.site.keys.holds(session, request.headers.get(HEADER, "")):
        raise HTTPException(403, "The request lacks the page's token: load the page again.")
    return session


Here = Annotated[Site, Depends(site)]
Known = Annotated[Session, Depends(who)]
Changing = Annotated[Session, Depends(changing)]
routes = APIRouter()


@routes.get("/join/{invitation}", response_class=HTMLResponse)
def join(invitation: str, request: Request, here: Here) -> Response:
    """Makes a session of an invitation, and shows the page."""
    found = here.keys.join(invitation)
    if found is None:
        raise HTTPException(401, "This invitation is unknown or has run out: ask for another.")
    cookie, session = found
    here.store.register(session.annotator, "person")
    here.store.log("join", session.annotator, session.role)
    answer, safe = RedirectResponse("/", 303), request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, SESSION_SECONDS, httponly=True, samesite="lax", secure=safe)
    return answer


@routes.get("/", response_class=HTMLResponse)
def page(request: Request, here: Here, session: Known) -> str:
    """The page itself, in the browser's language."""
    told = {"token": here.keys.token(session), "header": HEADER, "ahead": AHEAD, "least": here.least}
    told["annotator"] = session.annotator
    return here.pages.page("annotate", request, WORDS, told, reviews=session.role != "annotator")


@routes.post("/api/lease", response_model=dict[str, Any])
async def lease(wanted: Wanted, here: Here, session: Changing) -> Response:
    """Questions for this annotator alone, for a while."""
    return _json(_dealt(here, await _called(here, session, [], wanted)))


@routes.get("/api/segments/{id}")
def segment(id: str, here: Here, session: Known) -> dict[str, Any]:
    """What a segment is drawn by."""
    return here.media.view(id)


@routes.get("/media/{id}")
def clip(id: str, here: Here, session: Known) -> Response:
    """Its picture. The address is a hash of the segment, so it may be kept for ever."""
    here.media.view(id)
    found = here.store.media(id)
    if found is None:
        raise HTTPException(404, "This segment has no picture.")
    kept = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(found[1], media_type=found[0].partition(";")[0], headers=kept)


@routes.post("/api/answers", response_model=dict[str, Any])
async def answers(outbox: Outbox, here: Here, session: Changing) -> Response:
    """Stores answers, each with a fate of its own, and deals the next questions where they are wanted."""
    told = await _called(here, session, outbox.answers, outbox.lease)
    results = [_fate(sent, found) for sent, found in zip(outbox.answers, told.fates, strict=True)]
    return _json({"results": results} | (_dealt(here, told) if outbox.lease else {}))


async def _called(here: Site, session: Session, answers: list[Sent], wanted: Wanted | None) -> Told:
    """What the desk has to say. 503 where the store fails: nothing is acknowledged, and the page keeps its answers."""
    drafts = [Draft(sent.query, sent.token, partial(_answer, here, session, sent)) for sent in answers]
    limit, afresh = (wanted.limit, wanted.afresh) if wanted else (0, False)
    try:
        found = await asyncio.wrap_future(
            here.desk.call(Call(session.annotator, drafts, limit, afresh, session.role != "annotator"))
        )
    except InputError as failed:
        raise HTTPException(503, str(failed)) from failed
    if isinstance(found, InputError):
        raise found
    return found


def _dealt(here: Site, told: Told) -> dict[str, Any]:
    here.presence.seen = time.monotonic()
    here.media.prepare([id for each in told.leases for id in each.query.segments])
    over = here.presence.over and not told.leases
    return {"questions": [_question(each) for each in told.leases], "waiting": told.waiting, "over": over}


def _json(value: dict[str, Any]) -> Response:
    """As bytes at once: what was made here need not be validated."""
    return Response(to_json(value), media_type="application/json")


def _question(lease: Lease) -> dict[str, Any]:
    query, shown = lease.query, order(lease.token, len(lease.query.segments))
    if query.kind == "demonstrate":  # what the policy does is no model: one of them tells what it is about
        shown = shown[:1]
    return {
        "query": query.id,
        "token": lease.token,
        "until": lease.until,
        "kind": query.kind,
        "levels": query.levels,
        "segments": [query.segments[place] for place in shown],
    }


def _answer(here: Site, session: Session, sent: Sent, query: Query) -> Answer:
    shown = order(sent.token, len(query.segments))
    if isinstance(sent.value, Written | Handed):
        value = given(here.store, here.keys, session, query, sent.value)
    else:
        value = meant(query, sent.value, shown)
        if sent.seconds < here.least and not sent.supersedes and not isinstance(value, Skip):
            raise InputError(
                f"an answer took {sent.seconds:g} s, and what is judged is looked at for {here.least:g} s: look again."
            )
    made = Answer(sent.id, sent.query, session.annotator, value, shown, sent.seconds, sent.text, sent.supersedes)
    return replace(made, marks=tuple(sorted(set(sent.marks))))


def _fate(sent: Sent, found: int | InputError) -> dict[str, Any]:
    if isinstance(found, InputError):
        status = 409 if isinstance(found, TooLate) else 422
        return {"id": sent.id, "stored": False, "status": status, "why": str(found)}
    return {"id": sent.id, "stored": True, "seq": found}


class Guarded:
    """Headers for every answer, and an end to bodies that are too long."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY or b"transfer-encoding" in headers:
            refusal = JSONResponse({"detail": f"A request may hold {BODY} bytes: send fewer answers."}, 413)
            return await refusal(scope, receive, headed)
        await self.app(scope, receive, headed)


def _refusals(app: FastAPI) -> None:
    """One sentence for every refusal."""

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return JSONResponse({"detail": f"{where}: {first['msg']}."}, 422)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        return JSONResponse({"detail": f"{error.detail.rstrip('.')}."}, error.status_code)

    @app.exception_handler(InputError)
    async def wrong(request: Request, error: InputError) -> Response:
        return JSONResponse({"detail": str(error)}, 404)
