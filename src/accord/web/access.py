"""Who may use the page: signed links and cookies, a token against forged requests, a limit on how many come.

Nothing here is kept in the store but the name: a link and a session are texts that the server's secret has signed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

Role = Literal["annotator", "reviewer", "owner"]
COOKIE, HEADER = "accord_session", "x-accord-token"
INVITED_SECONDS, SESSION_SECONDS = 7 * 86_400, 30 * 86_400
RATE, BURST = 20.0, 200.0  # requests a second of one session, and how many it may have saved up


@dataclass(frozen=True)
class Session:
    """Who sends a request."""

    annotator: str
    role: Role
    key: str  # of this session alone


class Keys:
    """Signs and reads links and cookies with one secret. Another secret makes all of them void."""

    def __init__(self, secret: str = "") -> None:
        self._secret = secret or secrets.token_urlsafe(32)
        self._links = URLSafeTimedSerializer(self._secret, salt="invitation")
        self._cookies = URLSafeTimedSerializer(self._secret, salt="session")

    def invite(self, annotator: str, role: Role) -> str:
        """What a link carries."""
        return self._links.dumps([annotator, role])

    def join(self, invitation: str) -> tuple[str, Session] | None:
        """A cookie and its session for who comes by a link; None where it is forged or has run out."""
        found = _read(self._links, invitation, INVITED_SECONDS)
        if found is None or len(found) != 2:
            return None
        cookie = self._cookies.dumps([*found, secrets.token_urlsafe(12)])
        session = self.session(cookie)
        return None if session is None else (cookie, session)

    def session(self, cookie: str) -> Session | None:
        """Whose cookie it is."""
        found = _read(self._cookies, cookie, SESSION_SECONDS)
        if found is None or len(found) != 3 or found[1] not in get_args(Role):
            return None
        return Session(found[0], cast(Role, found[1]), found[2])

    def token(self, session: Session) -> str:
        """What a page must send back with every change: another site's page cannot know it."""
        return self.sign(f"{session.annotator}\0{session.key}")

    def holds(self, session: Session, token: str) -> bool:
        """Whether it is that one."""
        return hmac.compare_digest(self.token(session), token)

    def sign(self, text: str) -> str:
        """What proves that this server said so."""
        return hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def signed(self, text: str, proof: str) -> bool:
        """Whether it is proved."""
        return hmac.compare_digest(self.sign(text).encode(), proof.encode())


def _read(serializer: URLSafeTimedSerializer, text: str, seconds: int) -> list[str] | None:
    try:
        found = serializer.loads(text, max_age=seconds)
    except BadSignature:
        return None
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def same_origin(origin: str | None, host: str) -> bool:
    """Whether a request comes from a page of this server; a browser names the origin of every change."""
    return origin is None or urlsplit(origin).netloc == host


class Limit:
    """So many requests a second for each key, and a burst: a bucket that fills again."""

    def __init__(self, rate: float = RATE, burst: float = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, key: str) -> bool:
        """Takes one, where one is left."""
        now = self._clock()
        left, at = self._left.get(key, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        if len(self._left) > 10_000:  # those who are full again are as good as new
            self._left = {k: (n, t) for k, (n, t) in self._left.items() if n + (now - t) * self.rate < self.burst}
        self._left[key] = (left - 1.0 if left >= 1.0 else left, now)
        return left >= 1.0
