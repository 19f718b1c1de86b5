"""The annotation page in a real browser. Contract: what people do by keyboard alone is stored, whatever is killed."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accord.feedback.store import Store, current
from accord.types import Collected, Provenance, Query, Reply, Side, Steps
from accord.web.access import Keys
from accord.web.serve import secret_of

READY = "#question[aria-busy=false] #answers button[aria-disabled=false]"
PHONE, DESK = {"width": 375, "height": 740}, {"width": 1280, "height": 860}
UNSENT = (
    "Object.keys(localStorage).filter((k) => k.includes('outbox')).map((k) => JSON.parse(localStorage[k]).length)[0]"
)
EVIL = "<script>document.title = 'owned'</script><b>bold</b>"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def served(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`accord serve` as a process of its own, listening."""
    command = [sys.executable, "-m", "accord", "serve", str(folder), "--port", str(port), "--no-browser"]
    command += ["--least-seconds", "0"]  # a script need not look
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().startswith("http")
            yield process
        finally:
            process.kill()


def clips(count: int) -> list[Collected]:
    """Segments of an environment that cannot be drawn: they are plotted."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, 6, 3)).cumsum(1).astype(np.float32)
    steps = [Steps(each, np.zeros((6, 1), np.float32), np.ones(6, bool), False) for each in rows]
    return [Collected(each, Provenance("Unknown-v0", 0, 0, 0, i, 0)) for i, each in enumerate(steps)]


def replies(*texts: str) -> list[Collected]:
    return [Collected(Reply("Say something.", text), Provenance("talk", 0, 0, 0, i, 0)) for i, text in enumerate(texts)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run's folder with questions about clips and about texts."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    ids = store.add([*clips(24), *replies("short", EVIL, "a third one", "and a fourth")])
    pairs = [Query(f"q{i:02}", "compare", (ids[2 * i], ids[2 * i + 1]), 3) for i in range(14)]
    store.ask(pairs)
    store.close()
    return tmp_path


def came(browser: Any, folder: Path, port: int, name: str, size: dict[str, int] = DESK) -> tuple[Any, list[str]]:
    """A page of one annotator, and what went wrong on it."""
    page, troubles = browser.new_context(viewport=size).new_page(), []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/join/{Keys(secret_of(folder / 'web.secret')).invite(name, 'annotator')}")
    page.wait_for_selector(READY, timeout=20_000)
    page.select_option("#speed", "4")
    return page, troubles


def answers_of(folder: Path) -> list[Any]:
    store = Store(f"sqlite:///{folder / 'store.db'}")
    found = store.answers()
    store.close()
    return found


def stored(folder: Path, page: Any, count: int) -> None:
    """Waits until so many answers are in the store: a page goes on before it is told."""
    until = time.monotonic() + 20
    while len(answers_of(folder)) < count and time.monotonic() < until:
        page.wait_for_timeout(50)


@pytest.mark.slow
def test_contract_two_label_at_once_while_the_server_is_killed_and_every_vote_is_there_once(folder: Path, browser: Any):
    port, pages = free_port(), []
    with served(folder, port) as server:
        pages = [came(browser, folder, port, name) for name in ("ann", "bob")]
        for turn in range(3):
            for page, _ in pages:
                page.wait_for_selector(READY)
                page.keyboard.press(("ArrowLeft", "t", "ArrowRight")[turn])
        server.send_signal(signal.SIGKILL)
        for page, _ in pages:  # whoever had a question before them goes on answering
            page.wait_for_selector(READY)
            page.keyboard.press("ArrowLeft")
            assert page.evaluate(UNSENT) >= 1
    with served(folder, port):
        until = time.monotonic() + 40
        while len(current(answers_of(folder))) < 14 and time.monotonic() < until:
            for page, _ in pages:
                if page.is_visible(READY):
                    page.keyboard.press("ArrowLeft")
                page.wait_for_timeout(100)
        for page, _ in pages:
            page.wait_for_selector("#empty:not([hidden])", timeout=10_000)
    found = answers_of(folder)
    assert sorted(answer.query for answer in found) == [f"q{i:02}" for i in range(14)]
    assert {answer.annotator for answer in found} == {"ann", "bob"}
    assert all(troubles == [] for _, troubles in pages)


@pytest.mark.slow
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_contract_it_fits_speaks_both_languages_and_shows_text_as_text(
    folder: Path, browser: Any, size: dict[str, int]
):
    port = free_port()
    store = Store(f"sqlite:///{folder / 'store.db'}")
    store.ask([Query("a-rank", "rank", tuple(store.queries(["q12"])[0].segments + store.queries(["q13"])[0].segments))])
    store.close()
    with served(folder, port):
        page, troubles = came(browser, folder, port, "ann", size)
        words = set()
        for press in ("#language", "#theme", "#language"):
            page.click(press)
            words.add(page.inner_text("#ask"))
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert words == {"Which is better?", "哪一个更好？"}
        for _ in range(12):
            page.wait_for_selector(READY)
            page.keyboard.press("ArrowLeft")
        page.wait_for_selector(".reply")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        page.wait_for_selector(READY)
        shown = page.inner_text("#stage")
        assert EVIL in shown and page.title() == "accord" and page.locator(".reply b").count() == 0
        for _ in range(2):
            page.wait_for_selector(READY)
            page.keyboard.press("t")
        page.wait_for_selector(".card:nth-child(4)")
        page.wait_for_selector(READY)
        for key in ("2", "1", "4", "3", "Enter"):
            page.keyboard.press(key)
        page.wait_for_selector("#empty:not([hidden])", timeout=10_000)
        assert troubles == []
        stored(folder, page, 15)
    ranked = answers_of(folder)[-1]
    assert ranked.query == "a-rank" and ranked.value.best_first == tuple(ranked.shown[i] for i in (1, 0, 3, 2))


@pytest.mark.slow
def test_contract_a_changed_mind_is_one_key_away(folder: Path, browser: Any):
    port = free_port()
    with served(folder, port):
        page, _ = came(browser, folder, port, "ann")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(READY)
        page.keyboard.press("u")
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowRight")
        stored(folder, page, 3)
    first, again, other = answers_of(folder)
    assert again.supersedes == first.id and again.query == first.query != other.query
    assert isinstance(first.value, Side) and isinstance(again.value, Side)
    assert first.value.level + again.value.level == 2  # the other side of the same
