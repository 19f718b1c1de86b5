"""The page held against what others wrote down. Contract: axe finds no barrier, schemathesis no server error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from accord.feedback.store import Store
from accord.types import Query
from accord.web.access import COOKIE, HEADER, Keys, Limit
from accord.web.app import create
from accord.web.serve import secret_of
from tests.web.test_kinds import filmed
from tests.web.test_page import READY, clips, free_port, replies, served

# What is pressed one after another, and what is there then.
PRESSED = (
    ((), "clips"),
    (("m", "n"), "reason"),
    (("Escape", "?"), "keys"),
    (("Escape", "x"), "texts"),
    (("c",), "differences"),
    (("b",), "blurred"),
    (("x",), "order"),
    (("x",), "writing"),
    (("x",), "driving"),
    (("x",), "empty"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Questions about clips and about texts, a ranking, a response to correct and an environment to drive."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    ids = store.add([*clips(2), *replies("# one\n\n- `a`\n- b\u200bc", "two *more*", "three"), *filmed(2)])
    store.ask([Query("a", "compare", (ids[0], ids[1]), 7), Query("b", "compare", (ids[2], ids[3]), 3)])
    store.ask([Query("c", "rank", tuple(ids[2:5])), Query("d", "correct", (ids[2],))])
    store.ask([Query("e", "demonstrate", tuple(ids[5:]))])
    store.close()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contract_axe_finds_no_barrier_in_any_state_of_the_page(folder: Path, browser: Any, scheme: str):
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    axe = next(Path(package.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
    port = free_port()
    invitation = Keys(secret_of(folder / "web.secret")).invite("ann", "annotator")
    with served(folder, port):
        # The audit is a script of its own, which the page's policy would keep out.
        page = browser.new_context(color_scheme=scheme, bypass_csp=True).new_page()
        page.goto(f"http://127.0.0.1:{port}/join/{invitation}")
        page.wait_for_selector(READY, timeout=20_000)
        page.evaluate(axe + "\n;0")
        page.add_style_tag(content="* { transition: none !important; }")  # nothing is looked at while half faded
        for keys, state in PRESSED:
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_selector("#empty:not([hidden])" if state == "empty" else "#question[aria-busy=false]")
            page.wait_for_timeout(300)
            found = page.evaluate("axe.run()")
            assert len(found["passes"]) > 10, state
            assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == [], state


@pytest.mark.slow
# schemathesis draws from the global generator, which hypothesis seeds for each example and yet warns of.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_contract_no_request_makes_the_server_fail(folder: Path):
    """Requests drawn from the OpenAPI document, and broken ones: refusals, never a server error."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    store, keys = Store(f"sqlite:///{folder / 'store.db'}"), Keys("secret")
    app = create(store, keys, Limit(rate=1e9, burst=1e9))
    joined = keys.join(keys.invite("ann", "owner"))
    assert joined is not None
    cookie, session = joined
    store.register("ann", "person")
    statuses: set[int] = set()
    for operation in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():

        @given(operation.ok().as_strategy())
        @settings(max_examples=40, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        def sent(case: Any) -> None:
            answer = case.call(headers={HEADER: keys.token(session)}, cookies={COOKIE: cookie})
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (case.method, case.path, answer.text[:200])

        sent()
    assert {200, 422} <= statuses
    store.close()
