"""Driving an environment from the page: a few steps a request, answered by their frames.

A drive belongs to one session and ends when that session begins another, or when nobody has touched it for a while.
All are stepped on one thread, one after another: a renderer may be bound to the thread that made it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from accord.feedback.store import Store
from accord.tasks.drive import Drive, Undrivable
from accord.tasks.film import Strip, joined
from accord.types import InputError, Provenance, Query, Steps
from accord.web.access import Keys, Session
from accord.web.given import signature
from accord.web.shown import Id, Strict

MOST = 8  # drives at once: one that several drive feels slow before it is full
IDLE_SECONDS = 300.0
STEPS = 16  # in one request
FRAMES = 3  # in one answer: steps between two of them are not drawn

Done = TypeVar("Done")


class Begun(Strict):
    """`keep`: of a clip that is corrected so many steps stay. `attempt` decides where a new episode begins."""

    query: Id
    keep: Annotated[int, Field(ge=0, le=10_000)] = 0
    attempt: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class Pressed(Strict):
    """What was pressed at each step, as places among the controls, from step `at` on; none: only to look."""

    drive: Id
    at: Annotated[int, Field(ge=0, le=10_000)]
    pressed: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=0, le=63)]], Field(max_length=8)]], Field(max_length=STEPS)
    ]


class Ended(Strict):
    """A drive that is handed in."""

    drive: Id


@dataclass
class Seat:
    """One session's drive. `last` is what the last steps were answered by, should the answer have been lost."""

    id: str
    query: Query
    task: str
    drive: Drive
    touched: float
    last: tuple[int, str, bytes] | None = None


@dataclass
class Drives:
    """Every drive there is, each under the key of its session."""

    store: Store
    keys: Keys
    clock: Callable[[], float] = time.monotonic
    seats: dict[str, Seat] = field(default_factory=dict)
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "accord-drive"))

    async def on_thread(self, work: Callable[[], Done]) -> Done:
        """Does something where drives may be touched."""
        return await asyncio.wrap_future(self.thread.submit(work))

    def close(self) -> None:
        """Ends all of them."""
        for key in list(self.seats):
            self.thread.submit(self.leave, key)
        self.thread.shutdown()

    def leave(self, key: str) -> None:
        """Ends a session's drive, if it has one."""
        if seat := self.seats.pop(key, None):
            seat.drive.close()

    def begin(self, session: Session, begun: Begun) -> dict[str, Any]:
        """What the page must know to drive; `why` where it cannot, as a word of its own."""
        (query,) = self.store.queries([begun.query])
        steps = [segment for segment in self.store.segments(query.segments) if isinstance(segment, Steps)]
        if query.kind not in ("demonstrate", "correct") or not steps:
            raise InputError(f"this question to {query.kind} is not answered by driving: answer what it asks.")
        origin = self.store.provenance(query.segments)[0]
        try:
            seat = self._seated(session, query, origin.task)
            if query.kind == "correct":
                seat.drive.take_over(steps[0], origin, begun.keep)
            else:
                self._start(session, seat, max(len(segment.valid) for segment in steps), begun.attempt)
        except Undrivable as error:
            self.leave(session.key)
            return {"drive": "", "why": error.why}
        drive = seat.drive
        facts = {"at": drive.at, "length": drive.length, "fps": drive.fps, "steps": STEPS}
        return {"drive": seat.id, "controls": drive.controls.names, "waits": drive.controls.waits, **facts}

    def _seated(self, session: Session, query: Query, task: str) -> Seat:
        """The session's own drive where it is of the same task, else a new one in its place."""
        now, seat = self.clock(), self.seats.get(session.key)
        if seat is None or seat.task != task:
            self.leave(session.key)
            for key in [key for key, other in self.seats.items() if now - other.touched > IDLE_SECONDS]:
                self.leave(key)
            if len(self.seats) >= MOST:
                raise Undrivable("busy", f"{MOST} people are driving: try again in a few minutes.")
            seat = self.seats[session.key] = Seat("", query, task, Drive(task), now)
        seat.id, seat.query, seat.touched, seat.last = secrets.token_urlsafe(9), query, now, None
        return seat

    def _start(self, session: Session, seat: Seat, length: int, attempt: int) -> None:
        """An episode of its own for each attempt, in a fold of its own."""
        drawn = hashlib.sha256(f"drive\0{session.annotator}\0{seat.query.id}\0{attempt}".encode()).digest()
        seed, episode = int.from_bytes(drawn[:4], "big"), -1 - int.from_bytes(drawn[:6], "big")
        seat.drive.start(seed, length, Provenance(seat.task, seat.query.round, 0, seed, episode, 0))

    def step(self, session: Session, pressed: Pressed) -> Response:
        """The frames of a few steps. What was answered before is answered again; any other step is refused."""
        seat = self._of(session, pressed.drive)
        again = seat.last is not None and pressed.pressed and seat.last[0] == pressed.at
        if seat.last is None or not again:
            if pressed.at != seat.drive.at:
                raise InputError(f"step {pressed.at} was driven before, {seat.drive.at} is next: begin again.")
            seat.last = (pressed.at if pressed.pressed else -1, *self._driven(seat.drive, pressed.pressed))
        _, mime, webp = seat.last
        return Response(webp, media_type=mime)

    def _driven(self, drive: Drive, pressed: list[list[int]]) -> tuple[str, bytes]:
        shown = {len(pressed) - 1 - i * len(pressed) // FRAMES for i in range(FRAMES)}
        frames = []
        for place, held in enumerate(pressed):
            if drive.over:
                break
            drive.step(held)
            if place in shown or drive.over:
                frames.append(drive.frame())
        frames = frames or [drive.frame()]
        strip = Strip(joined(frames), len(frames), drive.fps)
        return f"{strip.mime}; at={drive.at}; over={int(drive.over)}", strip.webp

    def hand_in(self, session: Session, ended: Ended) -> dict[str, str]:
        """Stores what was driven, and proves whose it is."""
        seat = self._of(session, ended.drive)
        (segment,) = self.store.add([seat.drive.collected()])
        return {"segment": segment, "proof": self.keys.sign(signature(session, seat.query.id, segment))}

    def _of(self, session: Session, id: str) -> Seat:
        seat = self.seats.get(session.key)
        if seat is None or seat.id != id:
            raise InputError("this drive has ended or is another's: begin again.")
        seat.touched = self.clock()
        return seat


def routes(drives: Drives, changing: Callable[..., Awaitable[Session]]) -> APIRouter:
    """What the page sends; `changing` is what lets a session change something."""
    router, mine = APIRouter(prefix="/api/drive"), Depends(changing)

    @router.post("")
    async def begin(begun: Begun, session: Session = mine) -> dict[str, Any]:
        """Begins, or begins again: of one session there is one drive."""
        return await drives.on_thread(lambda: drives.begin(session, begun))

    @router.post("/steps")
    async def steps(pressed: Pressed, session: Session = mine) -> Response:
        """A few steps: a strip of frames, and in its type the step they led to and whether it was the last."""
        return await drives.on_thread(lambda: drives.step(session, pressed))

    @router.post("/segment")
    async def segment(ended: Ended, session: Session = mine) -> dict[str, str]:
        """Hands in what was driven; the answer is sent like any other."""
        return await drives.on_thread(lambda: drives.hand_in(session, ended))

    return router
