"""End to end: two people, a run that learns from them, both servers killed. Contract: every told vote is there once."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accord import records
from accord.feedback.store import Store, current
from accord.types import Query
from accord.web.access import Keys
from accord.web.serve import secret_of
from tests.web.test_page import READY, answers_of, free_port, replies, served

RUN = """
[task]
kind = "control"
id = "accord/FixedCartPole-v0"
envs = 8
[feedback]
labels = 30
rounds = 3
segment = 10
annotator = "web"
port = {port}
least_seconds = 0
[reward]
members = 3
width = 8
epochs = 3
[policy]
algorithm = "ppo"
steps = 4000
hidden = [8]
rollout = 32
minibatch = 64
epochs = 1
[report]
baselines = false
episodes = 4
clip = false
"""


@contextlib.contextmanager
def running(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`accord run` as a process of its own, waiting for people."""
    command = [sys.executable, "-m", "accord", "run", str(folder / "run.toml"), "--out", str(folder / "run"), *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("/join/" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


class Person:
    """A page of one annotator, and which answers it was told are stored."""

    def __init__(self, browser: Any, folder: Path, port: int, name: str) -> None:
        self.page, self.told, self.troubles = browser.new_context().new_page(), set[str](), []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("response", self._hear)
        invitation = Keys(secret_of(folder / records.SECRET)).invite(name, "annotator")
        self.page.goto(f"http://127.0.0.1:{port}/join/{invitation}")
        self.page.wait_for_selector(READY, timeout=20_000)
        if self.page.is_visible("#speed"):
            self.page.select_option("#speed", "4")

    def _hear(self, response: Any) -> None:
        if response.url.endswith("/api/answers") and response.status == 200:
            with contextlib.suppress(Exception):  # the server may be killed in the middle of its answer
                self.told |= {each["id"] for each in json.loads(response.body())["results"] if each["stored"]}

    def press(self, key: str) -> None:
        """Answers what is on the screen, where something is."""
        if self.page.is_visible(READY):
            self.page.keyboard.press(key)
        self.page.wait_for_timeout(30)


@pytest.mark.slow
def test_contract_two_label_clips_and_texts_while_a_run_trains_and_both_servers_are_killed(
    tmp_path: Path, browser: Any
):
    ports, texts = (free_port(), free_port()), tmp_path / "texts"
    (tmp_path / "run.toml").write_text(RUN.format(port=ports[0]))
    texts.mkdir()
    store = Store(f"sqlite:///{texts / 'store.db'}")
    ids = store.add(replies(*(f"response {i}" for i in range(40))))
    store.ask([Query(f"t{i:02}", "compare", (ids[2 * i], ids[2 * i + 1]), 3) for i in range(20)])
    store.close()
    with running(tmp_path) as run, served(texts, ports[1]) as server:
        folders = ((tmp_path / "run", ports[0]), (texts, ports[1]))
        people = [Person(browser, folder, port, name) for folder, port in folders for name in ("ann", "bob")]
        for turn in range(4):
            for person in people:
                person.press(("ArrowLeft", "t", "ArrowRight", "ArrowLeft")[turn])
        run.send_signal(signal.SIGKILL)
        server.send_signal(signal.SIGKILL)
        for person in people:  # some have questions left, and answer to nobody
            person.press("ArrowRight")
    with running(tmp_path, "--resume") as run, served(texts, ports[1]):
        until = time.monotonic() + 120
        while time.monotonic() < until and (run.poll() is None or len(current(answers_of(texts))) < 20):
            for person in people:
                person.press("ArrowLeft")
        assert run.poll() == 0
    assert records.read_result(tmp_path / "run").labels >= 30
    assert sorted(answer.query for answer in current(answers_of(texts))) == [f"t{i:02}" for i in range(20)]
    for folder, mine in ((tmp_path / "run", people[:2]), (texts, people[2:])):
        kept = [answer.id for answer in answers_of(folder)]
        assert len(set(kept)) == len(kept) and set().union(*(person.told for person in mine)) <= set(kept)
        assert {answer.annotator for answer in answers_of(folder)} == {"ann", "bob"}
        assert all(len(person.told) > 4 and person.troubles == [] for person in mine)
