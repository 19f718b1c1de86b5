"""Giving, marking and reading in a real browser. Contract: what keys say is stored; what a model wrote is text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accord.feedback.store import Store
from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import Collected, Given, Order, Query, Reply, Steps
from accord.web.access import Keys
from accord.web.serve import secret_of
from tests.web.test_page import DESK, PHONE, answers_of, clips, free_port, replies, served, stored

LENGTH = 20
RUN = "document.title='owned'"
HOSTILE = (
    "# Title\n\n- **one**\n- *two* `code`\n\n> said\n\n```\n<b>fenced</b>\n```\n\n"
    f'[click](javascript:{RUN}) ![seen](https://evil.test/x.png) <img src=x onerror="{RUN}"><script>{RUN}</script>\n\n'
    "turned \u202eround\u202c, un\u200bseen, family \U0001f468\u200d\U0001f469 **open"
)


def store_of(folder: Path) -> Store:
    return Store(f"sqlite:///{folder / 'store.db'}")


def opened(browser: Any, folder: Path, port: int, size: dict[str, int] = DESK) -> tuple[Any, list[str]]:
    """A page with a question on it, and what went wrong there."""
    page, troubles = browser.new_context(viewport=size).new_page(), []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/join/{Keys(secret_of(folder / 'web.secret')).invite('ann', 'annotator')}")
    page.wait_for_selector("#question[aria-busy=false]", timeout=20_000)
    return page, troubles


def first_step(page: Any) -> None:
    """Stops the clips at their first step."""
    for _ in range(LENGTH + 1):
        page.keyboard.press(",")


def filmed(count: int) -> list[Collected]:
    task = ControlTask(ControlConfig(id="accord/FixedCartPole-v0", envs=4), filmed=True)
    explore(task, 60, 0)
    return collect(task, count, LENGTH, np.random.default_rng(0), round=0, policy_version=0, seed=0)


def told(page: Any, part: str) -> None:
    page.wait_for_function("(part) => document.getElementById('drive-told').textContent.includes(part)", arg=part)


def steps_of(store: Store, query: str) -> tuple[Steps, Steps]:
    """The first segment of a query, and the one that was given for it."""
    (answer,) = [each for each in store.answers() if each.query == query]
    assert isinstance(answer.value, Given)
    first, given = store.segments([store.queries([query])[0].segments[0], answer.value.segment])
    assert isinstance(first, Steps) and isinstance(given, Steps)
    return first, given


@pytest.mark.slow
def test_contract_a_cartpole_is_driven_and_a_clip_taken_over_by_keyboard_alone(tmp_path: Path, browser: Any):
    pytest.importorskip("pygame", reason="pygame is not installed: nothing is drawn")
    store = store_of(tmp_path)
    ids = store.add(filmed(3))
    store.ask([Query("show", "demonstrate", tuple(ids[:2])), Query("mend", "correct", (ids[2],))])
    port = free_port()
    with served(tmp_path, port):
        page, troubles = opened(browser, tmp_path, port)
        told(page, "Press a key")
        page.keyboard.press("Enter")  # nothing is driven yet
        for key, step in (("ArrowLeft", 1), ("d", 2), ("ArrowRight", 3)):  # a short tap is one step
            page.keyboard.press(key)
            told(page, f"Step {step} of {LENGTH}")
        page.keyboard.down("ArrowLeft")
        told(page, f"Done after {LENGTH}")
        page.keyboard.up("ArrowLeft")
        page.keyboard.press("Enter")
        page.wait_for_selector("#transport:not([hidden])")
        first_step(page)
        for _ in range(4):
            page.keyboard.press(".")
        page.keyboard.press("m")
        page.keyboard.press("e")
        told(page, "Press a key")
        page.check("#stepwise")
        for step in range(5, LENGTH):
            page.keyboard.press("ArrowRight")
            told(page, f"Step {step} of {LENGTH}")
        page.keyboard.press("ArrowRight")
        told(page, f"Done after {LENGTH}")
        page.keyboard.press("Enter")
        stored(tmp_path, page, 2)
        assert troubles == []
    _, shown = steps_of(store, "show")
    assert shown.action.argmax(1).tolist() == [0, 1, 1] + [0] * (LENGTH - 3)
    before, after = steps_of(store, "mend")
    assert (before.action[:4] == after.action[:4]).all() and (after.action[4:].argmax(1) == 1).all()
    assert [answer.marks for answer in store.answers()] == [(), (4,)]
    assert all(truth is not None for truth in store.truth([each.value.segment for each in store.answers()]))
    store.close()


@pytest.mark.slow
def test_contract_a_response_is_written_and_one_corrected(tmp_path: Path, browser: Any):
    store = store_of(tmp_path)
    ids = store.add(replies("The sky is green today.", "other"))
    store.ask([Query("edit", "correct", (ids[0],)), Query("write", "demonstrate", tuple(ids))])
    port = free_port()
    with served(tmp_path, port):
        page, troubles = opened(browser, tmp_path, port, PHONE)
        page.keyboard.press("e")
        page.keyboard.press("Control+Enter")  # nothing is changed yet
        page.fill("#draft", "The sky is blue today.")
        assert (page.inner_text("#beside del"), page.inner_text("#beside ins")) == ("green", "blue")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.reload()
        page.wait_for_selector("#write:not([hidden])")
        assert page.input_value("#draft") == "The sky is blue today."  # a closed tab loses nothing
        page.focus("#draft")
        page.keyboard.press("Control+Enter")
        page.wait_for_function("() => document.getElementById('draft').value === ''")
        page.keyboard.type("It *is*")
        assert page.inner_text("#beside em") == "is"
        page.keyboard.press("Control+Enter")
        stored(tmp_path, page, 2)
        assert troubles == []
    texts = [store.segments([each.value.segment])[0] for each in store.answers() if isinstance(each.value, Given)]
    assert texts == [Reply("Say something.", "The sky is blue today."), Reply("Say something.", "It *is*")]
    store.close()


@pytest.mark.slow
def test_contract_markdown_is_shown_and_nothing_in_it_runs_or_is_loaded(tmp_path: Path, browser: Any):
    store = store_of(tmp_path)
    ids = store.add(replies(HOSTILE, HOSTILE.replace("said", "written")))
    store.ask([Query("pair", "compare", tuple(ids), 3)])
    store.close()
    port, asked = free_port(), []
    with served(tmp_path, port):
        page, troubles = opened(browser, tmp_path, port)
        page.on("request", lambda request: asked.append(request.url))
        first = page.locator(".reply").first
        found = {tag: first.locator(tag).count() for tag in ("strong", "em", "code", "li", "blockquote", "pre")}
        assert found == {"strong": 1, "em": 1, "code": 2, "li": 2, "blockquote": 1, "pre": 1}
        assert page.locator(".reply :is(script, img, a, b, h1)").count() == 0 and page.title() == "accord"
        shown = first.inner_text()
        assert "onerror=" in shown and "<b>fenced</b>" in shown and "javascript:document" in shown and "**open" in shown
        assert first.locator(".odd").all_inner_texts() == ["U+202E", "U+202C", "U+200B"]
        page.keyboard.press("v")
        assert first.inner_text().startswith("# Title")
        page.keyboard.press("c")
        assert sorted(page.locator("mark").all_inner_texts()) == ["said", "written"]
        page.keyboard.press("b")
        page.keyboard.press("ArrowLeft")  # what is blurred is not answered
        assert page.is_visible("#unveil") and first.evaluate("(box) => box.inert")
        page.keyboard.press("b")
        assert [url for url in asked if "evil" in url] == [] and answers_of(tmp_path) == []
        page.click("#veil")
        page.reload()
        page.wait_for_selector("#unveil:not([hidden])")  # the setting stays
        page.keyboard.press("b")
        page.keyboard.press("ArrowLeft")
        stored(tmp_path, page, 1)
        assert troubles == [] and page.title() == "accord"


@pytest.mark.slow
def test_contract_moments_are_marked_and_an_order_is_dragged(tmp_path: Path, browser: Any):
    store = store_of(tmp_path)
    ids = store.add(clips(3))
    store.ask([Query("rank", "rank", tuple(ids)), Query("pair", "compare", tuple(ids[:2]), 3)])
    port = free_port()
    with served(tmp_path, port):
        page, troubles = opened(browser, tmp_path, port)
        boxes = [page.locator(".card").nth(place).bounding_box() for place in range(3)]
        page.mouse.move(boxes[0]["x"] + 40, boxes[0]["y"] + 40)
        page.mouse.down()
        page.mouse.move(boxes[2]["x"] + 40, boxes[2]["y"] + 50, steps=12)
        page.mouse.up()
        assert page.locator(".place").all_inner_texts() == ["1", "2", "3"]
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('ask').textContent.startsWith('Which')")
        first_step(page)
        for key in ("m", ".", ".", "m", ".", "m"):
            page.keyboard.press(key)
        page.click(".flag >> nth=0")
        page.keyboard.press("l")
        assert page.get_attribute("#loop", "aria-pressed") == "false"
        for _ in range(4):
            page.keyboard.press(".")
        page.keyboard.press("ArrowLeft")
        stored(tmp_path, page, 2)
        assert troubles == []
    rank, pair = store.answers()
    assert isinstance(rank.value, Order) and rank.value.best_first == tuple(rank.shown[i] for i in (1, 2, 0))
    assert pair.marks == (2, 3)
    store.close()
