"""A run that waits for people, over HTTP. Contract: who answers as the truth would teaches as a teacher does."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from accord import build, config, records
from accord.feedback.store import Store
from accord.progress import Silent
from accord.tasks.drive import BY_HAND
from accord.types import Given, Reply
from accord.web.access import HEADER

STORIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "models" / "stories260K.bin"


class Told(Silent):
    """Keeps the link that a run announces."""

    def __init__(self) -> None:
        self.link, self.known, self.over = "", threading.Event(), False

    def announce(self, text: str) -> None:
        if "http" in text:  # other things are announced too
            self.link = text.split()[-1]
            self.known.set()


def answer_all(told: Told, store: str, over: threading.Event) -> None:
    """A person who knows the truth and answers whatever is asked."""
    told.known.wait(300)
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
            sent = [
                {"id": str(uuid.uuid4()), "query": question["query"], "token": question["token"], "seconds": 1.0,
                 "value": said(question, known) if question["kind"] == "compare" else driven(client, question)}
                for question in questions
            ]  # fmt: skip
            if sent:
                client.post("/api/answers", json={"answers": sent}).raise_for_status()
            else:
                over.wait(0.05)
        known.close()


def said(question: dict[str, Any], known: Store) -> dict[str, Any]:
    first, second = (
        float(truth.sum()) if truth is not None else len(segment.response) if isinstance(segment, Reply) else 0.0
        for truth, segment in zip(known.truth(question["segments"]), known.segments(question["segments"]), strict=True)
    )
    return {"type": "side", "level": 1 + (first > second) - (first < second)}


def driven(client: httpx2.Client, question: dict[str, Any]) -> dict[str, Any]:
    """A person who always goes left, from the third step on where a clip is corrected."""
    keep = 2 if question["kind"] == "correct" else 0
    begun = client.post("/api/drive", json={"query": question["query"], "keep": keep}).json()
    steps = {"drive": begun["drive"], "at": begun["at"], "pressed": [[0]] * begun["length"]}
    client.post("/api/drive/steps", json=steps).raise_for_status()
    return {"type": "given", **client.post("/api/drive/segment", json={"drive": begun["drive"]}).json()}


def learned(folder: Path, store: str, kind: str, labels: int) -> tuple[records.Result, Told]:
    """A tiny run that asks a person, to its end."""
    settings = config.from_tree(
        {
            "task": {"kind": "control", "id": "accord/FixedCartPole-v0", "envs": 8},
            "feedback": {
                "labels": labels, "rounds": 2, "segment": 10, "annotator": "web", "store": store,
                "queries": {"kind": kind},
            },
            "reward": {"members": 3, "width": 8, "epochs": 3},
            "policy": {"algorithm": "ppo", "steps": 2_000, "hidden": [8], "rollout": 32, "minibatch": 64, "epochs": 1},
            "report": {"baselines": False, "episodes": 4, "clip": False},
        }
    )  # fmt: skip
    return answered(settings, folder, store)


def answered(settings: config.RunConfig, folder: Path, store: str) -> tuple[records.Result, Told]:
    """A run beside a person who answers until it is over."""
    told, over = Told(), threading.Event()
    person = threading.Thread(target=answer_all, args=(told, store, over))
    person.start()
    try:
        return build.run(settings, folder, progress=told), told
    finally:
        over.set()
        person.join(30)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["demonstrate", "correct"])
def test_contract_a_run_learns_from_what_people_drive_and_counts_their_steps(kind: str, tmp_path: Path):
    pytest.importorskip("pygame", reason="pygame is not installed: nothing is drawn")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    result, _ = learned(tmp_path / "run", url, kind, 6)
    store = Store(url)
    ids = [answer.value.segment for answer in store.answers() if isinstance(answer.value, Given)]
    assert result.labels == len(ids) == 6 and result.env_steps_by["drive"] == 60
    assert result.env_steps == sum(result.env_steps_by.values())
    own = store.provenance(ids)
    assert [origin.policy_version for origin in own] == [BY_HAND] * 6
    groups = {origin.group for origin in store.provenance([id for query in store.queries() for id in query.segments])}
    assert all((origin.group in groups) == (kind == "correct") for origin in own)  # a tail shares its head's fold
    store.close()


@pytest.mark.slow
def test_contract_a_run_learns_from_whoever_answers_its_page(tmp_path: Path):
    store = f"sqlite:///{tmp_path / 'store.db'}"
    result, told = learned(tmp_path / "run", store, "compare", 12)
    assert result.labels == 12 and told.over  # the page was told that this was all
    answers = Store(store).answers()
    assert {answer.annotator for answer in answers} == {"owner"} and len(answers) == 12
    assert all(record["skipped"] == 0 for record in records.read_records(tmp_path / "run") if record["stage"] == "wait")
    assert (tmp_path / "run" / records.SECRET).is_file()
    origins = Store(store).provenance([id for query in Store(store).queries() for id in query.segments])
    assert all(len(origin.replay) == 32 for origin in origins)  # every clip can be played again


@pytest.mark.slow
def test_contract_people_compare_responses_where_no_scorer_knows_which_is_better(tmp_path: Path):
    """They like long ones; nothing is measured by a gold score, and the page says so. Last they judge the policy."""
    if not STORIES.is_file():
        pytest.skip("../shared/data is not here: no story was written.")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    tree: dict[str, Any] = {
        "task": {"kind": "text", "model": str(STORIES), "prompts": [f"Tom saw {n} cats." for n in "23456789"]},
        "feedback": {"labels": 10, "rounds": 2, "annotator": "web", "store": store},
        "reward": {"kind": "linear", "members": 2, "text": "length", "select": "fixed"},
        "policy": {"algorithm": "rloo", "steps": 100, "prompts": 4, "tokens": 8},
        "report": {"episodes": 8, "ballot": 5},
    }
    result, told = answered(config.from_tree(tree), tmp_path / "run", store)
    assert result.labels == 10 and told.over and result.true_return is None and not result.baselines
    texts = result.texts
    assert texts is not None and texts.samples[0].policy_gold is None and texts.judged_by == "people"
    shown = texts.samples[: texts.win_rate.prompts] if texts.win_rate is not None else ()
    assert shown and len(shown) == min(5, texts.prompts)
    longer = [1.0 + np.sign(len(one.policy) - len(one.start)) for one in shown]
    assert texts.win_rate is not None and texts.win_rate.mean == pytest.approx(np.mean(longer) / 2.0)
    assert "people prefer the policy" in (tmp_path / "run" / records.REPORT).read_text()
    assert records.read_result(tmp_path / "run").texts == result.texts
