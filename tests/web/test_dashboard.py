"""The dashboard. Contract: who may see and do what; golden: what it tells of known answers and of a run's records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from accord import records
from accord.feedback.store import Store
from accord.types import Answer, Collected, Provenance, Query, Reply, Side
from accord.web.access import HEADER, Keys, Limit
from accord.web.app import create
from accord.web.board import run_of

KEYS = Keys("secret")
Browser = Callable[[str, str], TestClient]
ALL, REVIEWERS, OWNERS = ("annotator", "reviewer", "owner"), ("reviewer", "owner"), ("owner",)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two questions, each answered by ann and bob, who agree on the first; a third, not answered."""
    kept = Store(f"sqlite:///{tmp_path / 'store.db'}")
    ids = kept.add([Collected(Reply("Why?", f"reply {i}"), Provenance("talk", 0, 0, 0, i, 0)) for i in range(6)])
    kept.ask([Query(f"q{i}", "compare", (ids[2 * i], ids[2 * i + 1]), 2, overlap=2) for i in range(3)])
    for name in ("ann", "bob"):
        kept.register(name, "person")
        for query in ("q0", "q1"):
            level = int(query == "q1" and name == "bob")
            kept.answer([Answer(f"{name}-{query}", query, name, Side(level, 2), (0, 1), 6.0)])
    yield kept
    kept.close()


@pytest.fixture
def browser(store: Store) -> Iterator[Browser]:
    """A browser of somebody who came by a link, with the page's token where they see one."""
    app, opened = create(store, KEYS, Limit(rate=1e6, burst=1e6)), []

    def came(name: str, role: str) -> TestClient:
        client = TestClient(app, base_url="http://127.0.0.1:8421")
        client.__enter__()
        opened.append(client)
        assert client.get(f"/join/{KEYS.invite(name, role)}").status_code == 200  # type: ignore[arg-type]
        data = client.get("/").text.split('type="application/json">')[1].split("</script>")[0]
        client.headers[HEADER] = json.loads(data)["token"]
        return client

    yield came
    for client in opened:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "/", None, ALL),
        ("GET", "/dashboard", None, REVIEWERS),
        ("GET", "/api/overview", None, REVIEWERS),
        ("GET", "/api/questions/q0", None, REVIEWERS),
        ("POST", "/api/review", {"query": "q1"}, REVIEWERS),
        ("POST", "/api/gold", {"query": "q1"}, OWNERS),
        ("POST", "/api/invite", {"name": "cat", "role": "annotator"}, OWNERS),
        ("GET", "/api/log", None, OWNERS),
    ],
)
def test_contract_each_role_may_do_what_it_may(browser: Browser, method: str, path: str, body: object, allowed: tuple):
    for role in ALL:
        client = browser(f"a {role}", role)
        status = client.request(method, path, json=body).status_code
        assert (status == 403) == (role not in allowed), (role, status)
        if method == "POST":  # what changes something needs the page's token too
            del client.headers[HEADER]
            assert client.request(method, path, json=body).status_code == 403


def test_contract_an_invitation_makes_a_session_of_its_role(browser: Browser, store: Store):
    owner = browser("boss", "owner")
    link = owner.post("/api/invite", json={"name": "cat", "role": "reviewer"}).json()["link"]
    assert link.startswith("http://127.0.0.1:8421/join/")
    session = KEYS.join(link.rsplit("/", 1)[1])
    assert session is not None and (session[1].annotator, session[1].role) == ("cat", "reviewer")
    told = owner.get("/api/log").json()
    assert told["broken"] is None and [(e["what"], e["about"]) for e in told["events"]] == [
        ("join", "owner"),
        ("invite", "reviewer"),
    ]
    assert "cat" not in json.dumps(told) and "boss" not in json.dumps(told)


def test_golden_what_is_told_of_known_answers(browser: Browser):
    told = browser("boss", "owner").get("/api/overview").json()
    assert told["answers"] == 4 and told["waiting"] == 1 and told["run"] is None
    assert [(each["name"], each["answers"], each["skips"]) for each in told["annotators"]] == [
        ("ann", 2, 0),
        ("bob", 2, 0),
    ]
    assert told["pace"] == {"ann": 10.0, "bob": 10.0}  # two answers in twelve seconds
    (agreement,) = told["agreement"]
    assert agreement["queries"] == 2 and agreement["percent"]["value"] == 0.5
    assert [each["query"] for each in told["disagreements"]] == ["q1"]


def test_golden_a_question_shows_who_said_what(browser: Browser):
    told = browser("eve", "reviewer").get("/api/questions/q1").json()
    assert [(each["annotator"], each["value"]["level"]) for each in told["answers"]] == [("ann", 0), ("bob", 1)]
    assert list(told["reward"].values()) == [None, None]  # replies have no steps
    assert browser("eve", "reviewer").get("/api/questions/nowhere").status_code == 404


def test_golden_a_runs_records_as_a_curve(tmp_path: Path):
    tree = {"task": {"id": "Pendulum-v1"}, "policy": {"algorithm": "sac", "steps": 900},
            "feedback": {"rounds": 2, "labels": 30}}  # fmt: skip
    run = records.create(tmp_path / "run", tree, 0)
    assert run_of(tmp_path) is None
    run.record("collect", 0, seconds=1.5, env_steps=100)
    run.record("wait", 0, seconds=60.0, labels=10, answers=10)
    run.record("fit", 0, seconds=2.0, annotators={"ann": {"skill": 0.9, "low": 0.7, "high": 0.99}})
    run.record("judge", 0, seconds=0.5, labels=10, env_steps=500, true_return=-3.0, accuracy=0.75)
    told = run_of(tmp_path / "run")
    assert told is not None
    assert (told["stage"], told["round"], told["labels"], told["env_steps"]) == ("collect", 1, 10, 500)
    assert told["seconds"] == {"collect": 1.5, "wait": 60.0, "fit": 2.0, "judge": 0.5}
    assert told["curve"][0]["true_return"] == -3.0 and told["curve"][0]["true_return_low"] is None
    assert told["skills"]["ann"]["skill"] == 0.9
    assert np.isclose(told["curve"][0]["accuracy"], 0.75)
