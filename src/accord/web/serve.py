"""Runs the page on a socket: for `accord serve`, or beside a run that waits for people."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from accord.feedback.store import Store
from accord.types import InputError
from accord.web.access import Keys
from accord.web.app import LEAST_SECONDS, Presence, create

LOCAL, PORT = "127.0.0.1", 8421
OWNER = "owner"  # who opens the link that is printed
START_SECONDS = 20.0
TURN_SECONDS = 0.001  # after which a thread that computes lets others go on; a vote waits for several turns
OPEN_SECONDS, GOODBYE_SECONDS = 6.0, 2.5  # a page that asked so lately is told that this was all, which takes so long


@contextmanager
def serving(
    store: Store,
    secret: Path,
    host: str = LOCAL,
    port: int | None = None,
    browser: bool = False,
    folder: Path | None = None,
    least: float = LEAST_SECONDS,
) -> Iterator[str]:
    """Serves a store while inside, and gives the link by which its owner comes.

    `secret` is the file that holds what links and cookies are signed with, made where it is missing: pages that were
    open before a restart go on. `port` None is the usual one, or any free one where that is taken. `browser`: on a
    terminal the link is opened too. `folder` and `least` are those of `app.create`. InputError where the server does
    not start.
    """
    keys, at = Keys(secret_of(secret)), listen(host, port)
    # A person's page waits for nothing long; whatever else is open is cut off when the server ends.
    presence = Presence()
    app = create(store, keys, presence=presence, folder=folder, least=least)
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([at])), name="accord-web", daemon=True)
    thread.start()
    try:
        with _at_once():
            until = time.monotonic() + START_SECONDS
            while not server.started and thread.is_alive() and time.monotonic() < until:
                time.sleep(0.02)
            if not server.started:
                raise InputError(f"the page's server did not start within {START_SECONDS:g} s: try again.")
            link = f"http://{_named(host)}:{at.getsockname()[1]}/join/{keys.invite(OWNER, 'owner')}"
            if browser and sys.stderr.isatty():
                webbrowser.open(link)
            yield link
            presence.over = True
            if time.monotonic() - presence.seen < OPEN_SECONDS:
                time.sleep(GOODBYE_SECONDS)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        at.close()


@contextmanager
def _at_once() -> Iterator[None]:
    """Keeps pauses short: threads take turns often, and what was imported is not searched for garbage, 90 ms a time."""
    turns, frozen = sys.getswitchinterval(), gc.get_freeze_count() > 0  # by a run, which keeps it so
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(turns)
        if not frozen:
            gc.unfreeze()


def secret_of(path: Path) -> str:
    """What a file that only its owner may read holds; made of random letters where it is missing."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    secret = secrets.token_urlsafe(32)
    with os.fdopen(file, "w") as opened:
        opened.write(secret)
    return secret


def listen(host: str, port: int | None) -> socket.socket:
    """A socket at a port. InputError where one that was asked for is taken."""
    tries = [PORT, 0] if port is None else [port]
    for number in tries:
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            found.listen(128)
            return found
        except OSError as error:
            found.close()
            if number == tries[-1]:
                raise InputError(f"{host}:{number} cannot be had ({error.strerror}): choose another --port.") from error
    raise AssertionError("a list of tries is never empty")


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host
