"""The page's server over ASGI. Contract: who may do what, and that a refused request changes nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from accord.feedback.store import Store
from accord.types import Collected, Provenance, Query, Reply, Side, Steps
from accord.web.access import HEADER, Keys, Limit
from accord.web.app import BODY, create

KEYS = Keys("secret")
Browser = Callable[..., TestClient]


def reply(i: int, text: str = "words") -> Collected:
    return Collected(Reply("Say something.", f"{text} {i}"), Provenance("talk", 0, 0, 0, i, 0))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Four questions about replies, the first to be answered by two."""
    kept = Store(f"sqlite:///{tmp_path / 'store.db'}")
    ids = kept.add([reply(i) for i in range(8)])
    pairs = [Query(f"q{i}", "compare", (ids[2 * i], ids[2 * i + 1]), 3, overlap=2 - min(i, 1)) for i in range(4)]
    kept.ask(pairs)
    yield kept
    kept.close()


@pytest.fixture
def browser(store: Store) -> Iterator[Browser]:
    """A browser of one annotator who came by a link."""
    app, opened = create(store, KEYS, Limit(rate=1e6, burst=1e6)), []

    def came(name: str = "ann") -> TestClient:
        client = TestClient(app, base_url="http://127.0.0.1:8421")
        client.__enter__()
        opened.append(client)
        assert client.get(f"/join/{KEYS.invite(name, 'annotator')}").status_code == 200
        data = client.get("/").text.split('type="application/json">')[1].split("</script>")[0]
        client.headers[HEADER] = json.loads(data)["token"]
        return client

    yield came
    for client in opened:
        client.__exit__(None, None, None)


def lease(client: TestClient, limit: int = 1, **more: object) -> list[dict[str, Any]]:
    answer = client.post("/api/lease", json={"limit": limit, **more})
    assert answer.status_code == 200
    return answer.json()["questions"]


def answer_to(question: dict[str, Any], level: int = 2, **more: object) -> dict[str, Any]:
    value = {"type": "side", "level": level}
    return {"id": str(uuid.uuid4()), "query": question["query"], "token": question["token"], "value": value,
            "seconds": 1.5, **more}  # fmt: skip


def send(client: TestClient, *answers: dict[str, Any]) -> list[dict[str, Any]]:
    found = client.post("/api/answers", json={"answers": list(answers)})
    assert found.status_code == 200
    return found.json()["results"]


def test_golden_an_answer_speaks_for_the_segment_that_was_on_the_left(store: Store, browser: Browser):
    client = browser()
    (question,) = lease(client)
    (result,) = send(client, answer_to(question, level=2, text="clearer"))
    (answer,), (query,) = store.answers(), store.queries([question["query"]])
    assert result["stored"] and answer.annotator == "ann" and answer.text == "clearer" and answer.seconds == 1.5
    left = query.segments[answer.shown[0]]
    assert question["segments"][0] == left
    assert answer.value == Side(2 if left == query.segments[0] else 0, 3)


def test_contract_a_delivery_that_is_repeated_is_stored_once(store: Store, browser: Browser):
    client = browser()
    sent = answer_to(lease(client)[0])
    first, again = send(client, sent), send(client, sent, sent)
    assert {each["seq"] for each in (*first, *again)} == {store.answers()[0].seq} and len(store.answers()) == 1


def test_contract_who_did_not_look_is_refused_but_may_pass_or_change_their_mind(store: Store, browser: Browser):
    client = browser()
    first, second = lease(client, 2)
    (hasty,) = send(client, answer_to(first, seconds=0.2))
    assert hasty["status"] == 422 and "looked at for 0.5 s" in hasty["why"] and store.answers() == []
    passed = {**answer_to(second, seconds=0.2), "value": {"type": "skip", "reason": ""}}
    looked = answer_to(first, seconds=0.6)
    changed = {**answer_to(first, level=0, seconds=0.1), "supersedes": looked["id"]}
    assert all(each["stored"] for each in send(client, passed, looked, changed))


def test_contract_a_changed_mind_supersedes(store: Store, browser: Browser):
    client = browser()
    first = answer_to(lease(client)[0], level=2)
    assert send(
        client, first, {**first, "id": "later", "value": {"type": "skip", "reason": ""}, "supersedes": first["id"]}
    )[1]["stored"]
    assert [answer.supersedes for answer in store.answers()] == [None, first["id"]]


def test_contract_no_question_is_over_labelled_and_the_late_are_told(store: Store, browser: Browser):
    ann, bob, cat = (browser(name) for name in ("ann", "bob", "cat"))
    questions = [lease(client)[0] for client in (ann, bob)]
    assert {question["query"] for question in questions} == {"q0"}  # two may answer the first
    (third,) = lease(cat)
    assert third["query"] == "q1"
    late = {**answer_to(third), "query": "q0", "token": "made up"}
    (result,) = send(cat, late)
    assert not result["stored"] and result["status"] == 409 and "taken" in result["why"]
    assert store.answers() == []


def test_contract_of_several_answers_each_has_its_own_fate(store: Store, browser: Browser):
    client = browser()
    one, two = lease(client, 2)
    wrong = {**answer_to(two), "value": {"type": "score", "level": 1}}
    results = send(client, wrong, answer_to(one), {**answer_to(one), "query": "nowhere"})
    assert [each.get("status", 200) for each in results] == [422, 200, 422] and len(store.answers()) == 1
    assert all("\n" not in each["why"] for each in results if not each["stored"])


def test_contract_an_answer_brings_the_next_question(store: Store, browser: Browser):
    client = browser()
    (one,) = lease(client)
    wrong = {**answer_to(one), "value": {"type": "score", "level": 1}}
    for sent, stored, following in ((wrong, False, "q1"), (answer_to(one), True, "q2")):
        found = client.post("/api/answers", json={"answers": [sent], "lease": {"limit": 1}}).json()
        assert [each["stored"] for each in found["results"]] == [stored]
        assert [each["query"] for each in found["questions"]] == [following] and not found["over"]
    assert len(store.answers()) == 1 and set(client.post("/api/answers", json={"answers": [sent]}).json()) == {
        "results"
    }


def test_contract_a_store_that_fails_is_no_refusal(store: Store, browser: Browser):
    """503: the page keeps its answer, and sends it again."""
    client = browser()
    sent = answer_to(lease(client)[0])
    store.close()
    for path, body in (("/api/answers", {"answers": [sent]}), ("/api/lease", {"limit": 1})):
        answer = client.post(path, json=body)
        assert answer.status_code == 503 and "closed" in answer.json()["detail"]


def test_contract_a_page_that_is_loaded_again_gets_its_questions_again(browser: Browser):
    client = browser()
    before = {question["query"] for question in lease(client, 3)}
    assert {question["query"] for question in lease(client, 3)} != before
    assert {question["query"] for question in lease(client, 3, afresh=True)} == before


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"cookies": {}}, 401),
        ({"cookies": {"accord_session": "forged"}}, 401),
        ({"headers": {HEADER: "forged"}}, 403),
        ({"headers": {HEADER: ""}}, 403),
        ({"headers": {"origin": "http://evil.test"}}, 403),
        ({"content": b"{"}, 422),
        ({"content": b'{"answers": []}'}, 422),
        ({"content": b'{"answers": [{}]}'}, 422),
        ({"content": b"[" * 3000}, 400),
        ({"content": b"\xff\xfe"}, 422),
        ({"content": b"x" * (BODY + 1)}, 413),
    ],
)
def test_contract_what_is_malformed_forged_or_too_long_changes_nothing(
    change: dict[str, Any], status: int, store: Store, browser: Browser
):
    client = browser()
    body = json.dumps({"answers": [answer_to(lease(client)[0])]}).encode()
    if "cookies" in change:
        client.cookies.clear()
        client.cookies.update(change["cookies"])
    headers = {"content-type": "application/json", **change.get("headers", {})}
    answer = client.post("/api/answers", content=change.get("content", body), headers=headers)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert isinstance(detail, str) and "\n" not in detail and detail.endswith(".")
    assert store.answers() == []


def test_contract_strangers_see_nothing(store: Store, browser: Browser):
    client = browser()
    segment = lease(client)[0]["segments"][0]
    client.cookies.clear()
    for path in ("/", f"/api/segments/{segment}", f"/media/{segment}", "/join/forged"):
        assert client.get(path).status_code == 401


def test_contract_too_many_requests_are_told_to_wait(store: Store):
    with TestClient(create(store, KEYS, Limit(rate=0.0, burst=3.0))) as client:
        statuses = [client.get(f"/join/{KEYS.invite('ann', 'annotator')}").status_code]
        statuses += [client.get("/").status_code for _ in range(4)]
    assert statuses[0] == 200 and statuses[-1] == 429


def test_contract_every_answer_carries_the_headers_that_hold_a_page_to_itself(browser: Browser):
    client = browser()
    for answer in (client.get("/"), client.get("/nowhere"), client.get("/static/annotate.js")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_contract_the_cookie_is_out_of_reach_of_scripts(store: Store):
    with TestClient(create(store, KEYS), follow_redirects=False) as client:
        cookie = client.get(f"/join/{KEYS.invite('ann', 'annotator')}").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie


def test_contract_text_that_is_markup_stays_text(store: Store, browser: Browser):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    (id,) = store.add([reply(99, evil)])
    view = browser().get(f"/api/segments/{id}").json()
    assert view["response"] == f"{evil} 99"  # as data; the page sets it as text
    assert evil not in browser(evil).get("/").text  # a name in the page's data cannot leave its script


def test_golden_a_clip_comes_with_what_a_player_must_know(store: Store, browser: Browser):
    rows = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    made = Steps(rows, np.zeros((12, 1), np.float32), np.ones(12, bool), False)
    (id,) = store.add([Collected(made, Provenance("Unknown-v0", 0, 0, 0, 0, 0))])
    client = browser()
    view = client.get(f"/api/segments/{id}").json()
    assert view == {"type": "clip", "url": f"/media/{id}", "frames": 12, "columns": 8, "fps": 30}
    picture = client.get(view["url"])
    assert picture.headers["content-type"] == "image/webp" and "immutable" in picture.headers["cache-control"]
    assert client.get("/api/segments/nothing").status_code == 404
