"""A run that waits for people, over HTTP. Contract: who answers as the truth would teaches as a teacher does."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from accord import build, config, records
from accord.feedback.store import Store
from accord.progress import Silent
from accord.web.access import HEADER


class Told(Silent):
    """Keeps the link that a run announces."""

    def __init__(self) -> None:
        self.link, self.known, self.over = "", threading.Event(), False

    def announce(self, text: str) -> None:
        self.link = text.split()[-1]
        self.known.set()


def answer_all(told: Told, store: str, over: threading.Event) -> None:
    """A person who knows the truth and answers whatever is asked."""
    told.known.wait(30)
    with (
        contextlib.suppress(httpx2.ConnectError),
        httpx2.Client(base_url=told.link.split("/join/")[0], follow_redirects=True) as client,
    ):
        page = client.get(told.link).text
        client.headers[HEADER] = json.loads(page.split('type="application/json">')[1].split("</script>")[0])["token"]
        known = Store(store)
        while not over.is_set():
            found = client.post("/api/lease", json={"limit": 3}).json()
            questions = found["questions"]
            told.over |= found["over"]
            sent = [said(question, known) for question in questions]
            if sent:
                client.post("/api/answers", json={"answers": sent}).raise_for_status()
            else:
                over.wait(0.05)
        known.close()


def said(question: dict[str, Any], known: Store) -> dict[str, Any]:
    first, second = (float(truth.sum()) for truth in known.truth(question["segments"]) if truth is not None)
    level = 1 + (first > second) - (first < second)
    return {"id": str(uuid.uuid4()), "query": question["query"], "token": question["token"], "seconds": 1.0,
            "value": {"type": "side", "level": level}}  # fmt: skip


@pytest.mark.slow
def test_contract_a_run_learns_from_whoever_answers_its_page(tmp_path: Path):
    store = f"sqlite:///{tmp_path / 'store.db'}"
    settings = config.from_tree(
        {
            "task": {"kind": "control", "id": "accord/FixedCartPole-v0", "envs": 8},
            "feedback": {"labels": 12, "rounds": 2, "segment": 10, "annotator": "web", "store": store},
            "reward": {"members": 3, "width": 8, "epochs": 3},
            "policy": {"algorithm": "ppo", "steps": 2_000, "hidden": [8], "rollout": 32, "minibatch": 64, "epochs": 1},
            "report": {"baselines": False, "episodes": 4, "clip": False},
        }
    )
    told, over = Told(), threading.Event()
    person = threading.Thread(target=answer_all, args=(told, store, over))
    person.start()
    try:
        result = build.run(settings, tmp_path / "run", progress=told)
    finally:
        over.set()
        person.join(30)
    assert result.labels == 12 and told.over  # the page was told that this was all
    answers = Store(store).answers()
    assert {answer.annotator for answer in answers} == {"owner"} and len(answers) == 12
    assert all(record["skipped"] == 0 for record in records.read_records(tmp_path / "run") if record["stage"] == "wait")
    assert (tmp_path / "run" / records.SECRET).is_file()
    origins = Store(store).provenance([id for query in Store(store).queries() for id in query.segments])
    assert all(len(origin.replay) == 32 for origin in origins)  # every clip can be played again
