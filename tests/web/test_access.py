"""Links, cookies and limits. Golden: what holds and what does not."""

from __future__ import annotations

import gc
import stat
import sys
from pathlib import Path

import pytest

from accord.feedback.store import Store
from accord.types import InputError
from accord.web import access
from accord.web.access import Keys, Limit, same_origin
from accord.web.serve import listen, secret_of, serving


def test_golden_a_link_makes_a_session_that_only_its_own_server_knows():
    keys = Keys("secret")
    joined = keys.join(keys.invite("ann", "annotator"))
    assert joined is not None
    cookie, session = joined
    assert (session.annotator, session.role) == ("ann", "annotator") and keys.session(cookie) == session
    assert Keys("secret").session(cookie) == session and Keys("other").session(cookie) is None
    assert keys.session(cookie[:-2] + "xx") is None and keys.session("") is None


def test_golden_neither_a_link_is_a_cookie_nor_a_cookie_a_link():
    keys = Keys("secret")
    link = keys.invite("ann", "owner")
    joined = keys.join(link)
    assert joined is not None and keys.session(link) is None and keys.join(joined[0]) is None


def test_golden_links_run_out(monkeypatch: pytest.MonkeyPatch):
    keys = Keys("secret")
    link = keys.invite("ann", "annotator")
    monkeypatch.setattr(access, "INVITED_SECONDS", -1)
    assert keys.join(link) is None


def test_golden_the_token_against_forged_requests_is_of_one_session():
    keys = Keys("secret")
    one, two = (keys.join(keys.invite("ann", "annotator")) for _ in range(2))
    assert one is not None and two is not None
    assert keys.holds(one[1], keys.token(one[1])) and not keys.holds(one[1], keys.token(two[1]))
    assert not keys.holds(one[1], "")


@pytest.mark.parametrize(
    ("origin", "same"),
    [(None, True), ("http://127.0.0.1:8421", True), ("http://evil.test", False), ("null", False), ("", False)],
)
def test_golden_origin(origin: str | None, same: bool):
    assert same_origin(origin, "127.0.0.1:8421") is same


def test_golden_a_bucket_empties_and_fills_again():
    now = [0.0]
    limit = Limit(rate=2.0, burst=3.0, clock=lambda: now[0])
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False] and limit.allows("b")
    now[0] = 0.5
    assert [limit.allows("a") for _ in range(2)] == [True, False]


def test_golden_the_secret_stays_and_is_its_owners_alone(tmp_path: Path):
    path = tmp_path / "web.secret"
    assert secret_of(path) == secret_of(path) and len(secret_of(path)) > 30
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_golden_a_taken_port_is_refused_where_it_was_asked_for():
    with listen("127.0.0.1", 0) as taken:
        with pytest.raises(InputError, match="choose another --port"):
            listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("frozen", [False, True])
def test_contract_a_process_that_has_served_is_as_it_was_before(tmp_path: Path, frozen: bool):
    """Threads take turns as often as before, and all garbage is collected again, unless a run had it otherwise."""
    gc.unfreeze()
    if frozen:
        gc.freeze()
    turns, store = sys.getswitchinterval(), Store("sqlite://")
    with serving(store, tmp_path / "web.secret", port=0):
        assert sys.getswitchinterval() < turns and gc.get_freeze_count() > 0
    assert sys.getswitchinterval() == turns and (gc.get_freeze_count() > 0) == frozen
    gc.unfreeze()
    store.close()
