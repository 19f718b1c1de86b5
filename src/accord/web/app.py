"""The annotation page and what it talks to: leases out, answers in. Floor 4; it meets the loop in the store alone."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from accord.feedback.checks import LONGEST, MARKS
from accord.feedback.store import Lease, Store, TooLate
from accord.types import Answer, InputError
from accord.web.access import COOKIE, HEADER, SESSION_SECONDS, Keys, Limit, Session, same_origin
from accord.web.desk import Desk
from accord.web.drive import Drives
from accord.web.drive import routes as driving
from accord.web.given import given
from accord.web.media import Media
from accord.web.shown import Handed, Id, Said, Strict, Written, meant, order
from accord.web.words import LANGUAGES, WORDS, language_of

AHEAD = 3  # questions that a page holds: the next is there before it is asked for
LEASE_SECONDS = 600.0
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
    """What a page has not been told was stored."""

    answers: Annotated[list[Sent], Field(min_length=1, max_length=50)]


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
    pages: Environment


def create(store: Store, keys: Keys, limit: Limit | None = None, presence: Presence | None = None) -> FastAPI:
    """The application. It does not close the store."""
    media, drives = Media(store), Drives(store, keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        drives.close()
        media.close()

    app = FastAPI(title="accord", docs_url=None, redoc_url=None, lifespan=lifespan)
    pages = Environment(loader=PackageLoader("accord.web"), autoescape=select_autoescape(default=True))
    app.state.site = Site(
        presence or Presence(), Desk(store, LEASE_SECONDS), store, keys, media, limit or Limit(), pages
    )
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.include_router(routes)
    app.include_router(driving(drives, changing))
    _guard(app)
    return app


async def site(request: Request) -> Site:
    """The site that a request came to. Not a thread's work, as what follows is none: nothing here waits."""
    return request.app.state.site


async def who(request: Request, here: Annotated[Site, Depends(site)]) -> Session:
    """Whose request it is: 401 for nobody's, 429 for too many."""
    session = here.keys.session(request.cookies.get(COOKIE, ""))
    if session is None:
        raise HTTPException(401, "Your session is unknown or has run out: open your invitation link again.")
    if not here.limit.allows(session.key):
        raise HTTPException(429, "Too many requests came from this session: wait a few seconds.")
    return session


async def changing(
    request: Request, here: Annotated[Site, Depends(site)], session: Annotated[Session, Depends(who)]
) -> Session:
    """The same for a request that changes something, which must come from the page itself: else 403."""
    if not same_origin(request.headers.get("origin"), request.headers.get("host", "")):
        raise HTTPException(403, "The request comes from another site: open the page itself.")
    if not here.keys.holds(session, request.headers.get(HEADER, "")):
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
    answer, safe = RedirectResponse("/", 303), request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, SESSION_SECONDS, httponly=True, samesite="lax", secure=safe)
    return answer


@routes.get("/", response_class=HTMLResponse)
def page(request: Request, here: Here, session: Known) -> str:
    """The page itself, in the browser's language."""
    language = language_of(request.headers.get("accept-language", ""))
    words = {key: dict(zip(LANGUAGES, both, strict=True)) for key, both in WORDS.items()}
    told = {"token": here.keys.token(session), "header": HEADER, "ahead": AHEAD, "annotator": session.annotator}
    data = json.dumps({"words": words, **told})
    return here.pages.get_template("annotate.html.jinja").render(language=language, words=words, data=data)


@routes.post("/api/lease")
def lease(wanted: Wanted, here: Here, session: Changing) -> dict[str, Any]:
    """Questions for this annotator alone, for a while."""
    here.presence.seen = time.monotonic()
    if wanted.afresh:
        here.store.release(session.annotator)
    leases = here.desk.lease((session.annotator, wanted.limit))
    here.media.prepare([id for each in leases for id in each.query.segments])
    over = here.presence.over and not leases
    return {"questions": [_question(each) for each in leases], "waiting": here.store.waiting(), "over": over}


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


@routes.post("/api/answers")
def answers(outbox: Outbox, here: Here, session: Changing) -> dict[str, Any]:
    """Stores answers; each has a fate of its own."""
    return {"results": [_store(here, session, sent) for sent in outbox.answers]}


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


def _store(here: Site, session: Session, sent: Sent) -> dict[str, Any]:
    """One answer's fate; whatever is refused, the others stand."""
    try:
        (query,) = here.store.queries([sent.query])
        shown = order(sent.token, len(query.segments))
        if isinstance(sent.value, Written | Handed):
            value = given(here.store, here.keys, session, query, sent.value)
        else:
            value = meant(query, sent.value, shown)
        made = Answer(sent.id, sent.query, session.annotator, value, shown, sent.seconds, sent.text, sent.supersedes)
        made = replace(made, marks=tuple(sorted(set(sent.marks))))
        found = here.desk.answer((made, sent.token))
    except InputError as wrong:
        found = wrong
    if isinstance(found, InputError):
        status = 409 if isinstance(found, TooLate) else 422
        return {"id": sent.id, "stored": False, "status": status, "why": str(found)}
    return {"id": sent.id, "stored": True, "seq": found}


def _guard(app: FastAPI) -> None:
    """Headers for every answer, one sentence for every refusal, and an end to bodies that are too long."""

    @app.middleware("http")
    async def headed(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY or "transfer-encoding" in request.headers:
            answer: Response = JSONResponse({"detail": f"A request may hold {BODY} bytes: send fewer answers."}, 413)
        else:
            answer = await call(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

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
