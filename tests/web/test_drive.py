"""Demonstrations and corrections over ASGI. Contract: what is given is stored as a segment, once, with its truth."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from accord.feedback.store import Store
from accord.tasks.collect import collect, explore
from accord.tasks.control import ControlConfig, ControlTask
from accord.tasks.drive import BY_HAND
from accord.tasks.film import told
from accord.types import Collected, Given, Provenance, Query, Reply, Steps
from accord.web import drive
from accord.web.access import HEADER, Keys, Limit
from accord.web.app import create

pytest.importorskip("pygame", reason="pygame is not installed: nothing is drawn")
KEYS = Keys("secret")
LENGTH = 10


def filmed(count: int, id: str = "CartPole-v1") -> list[Collected]:
    task = ControlTask(ControlConfig(id=id, envs=4), filmed=True)
    explore(task, 30, 0)
    return collect(task, count, LENGTH, np.random.default_rng(0), round=0, policy_version=0, seed=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Queries to demonstrate and to correct, of an environment and of texts."""
    kept = Store(f"sqlite:///{tmp_path / 'store.db'}")
    made = [each for each in filmed(20, "Pendulum-v1") if each.segment.valid.all()]
    texts = [Collected(Reply("Say it.", text), Provenance("talk", 0, 0, 0, 0, 0)) for text in ("a", "b")]
    ids = kept.add([*made[:3], *texts])
    kept.ask([Query("show", "demonstrate", tuple(ids[:2]), round=4), Query("mend", "correct", (ids[2],))])
    kept.ask([Query("write", "demonstrate", tuple(ids[3:])), Query("edit", "correct", (ids[3],))])
    kept.ask([Query("pair", "compare", tuple(ids[:2]))])
    yield kept
    kept.close()


@pytest.fixture
def app(store: Store) -> Any:
    return create(store, KEYS, Limit(rate=1e6, burst=1e6))


def came(app: Any, name: str = "ann") -> TestClient:
    joined = KEYS.join(KEYS.invite(name, "annotator"))
    assert joined is not None
    app.state.site.store.register(name, "person")
    client = TestClient(app, base_url="http://127.0.0.1:8421", cookies={"accord_session": joined[0]})
    client.headers[HEADER] = KEYS.token(joined[1])
    return client


@pytest.fixture
def client(app: Any) -> Iterator[TestClient]:
    with came(app) as client:
        yield client


def begin(client: TestClient, query: str, **more: object) -> dict[str, Any]:
    found = client.post("/api/drive", json={"query": query, **more})
    assert found.status_code == 200, found.text
    return found.json()


def steps(client: TestClient, drive: str, at: int, pressed: list[list[int]], status: int = 200) -> dict[str, float]:
    found = client.post("/api/drive/steps", json={"drive": drive, "at": at, "pressed": pressed})
    assert found.status_code == status, found.text
    if status != 200:
        assert "\n" not in found.json()["detail"]
        return {}
    facts = dict(told(found.headers["content-type"]))
    width, height = Image.open(io.BytesIO(found.content)).size
    assert width / height == pytest.approx(min(8, facts["frames"]))  # square frames, side by side
    return facts


def answer(client: TestClient, query: str, value: dict[str, Any]) -> dict[str, Any]:
    sent = {"id": str(uuid.uuid4()), "query": query, "token": "none", "value": value, "seconds": 1.0}
    return client.post("/api/answers", json={"answers": [sent]}).json()["results"][0]


def handed(client: TestClient, drive: str) -> dict[str, str]:
    found = client.post("/api/drive/segment", json={"drive": drive})
    assert found.status_code == 200, found.text
    return {"type": "given", **found.json()}


def driven(client: TestClient, query: str, **more: object) -> dict[str, str]:
    begun = begin(client, query, **more)
    facts = steps(client, begun["drive"], begun["at"], [[1]] * (LENGTH - begun["at"]))
    assert facts["at"] == LENGTH and facts["over"] == 1
    return handed(client, begun["drive"])


def test_contract_what_is_driven_answers_as_a_segment_with_its_truth(store: Store, client: TestClient):
    begun = begin(client, "show")
    assert begun["controls"] == ["left", "right"] and not begun["waits"]
    assert (begun["at"], begun["length"], begun["fps"]) == (0, LENGTH, 30)
    assert steps(client, begun["drive"], 0, []) == {"frames": 1, "columns": 8, "fps": 30, "at": 0, "over": 0}
    assert steps(client, begun["drive"], 0, [[0]] * 6)["frames"] == drive.FRAMES
    assert steps(client, begun["drive"], 6, [[1]] * 9) | {"frames": 0} == {
        "frames": 0, "columns": 8, "fps": 30, "at": LENGTH, "over": 1}  # fmt: skip
    value = handed(client, begun["drive"])
    assert answer(client, "show", value)["stored"]
    (given,), (segment,) = store.answers(), store.segments([value["segment"]])
    (origin,), (truth,) = store.provenance([value["segment"]]), store.truth([value["segment"]])
    assert given.value == Given(value["segment"]) and isinstance(segment, Steps)
    assert segment.action.ravel().tolist() == [-2.0] * 6 + [2.0] * 4
    assert truth is not None and truth.shape == (LENGTH,) and (truth < 0).all()
    assert (origin.task, origin.round, origin.policy_version) == ("Pendulum-v1", 4, BY_HAND) and origin.episode < 0


def test_contract_a_tail_is_recorded_again(store: Store, client: TestClient):
    value = driven(client, "mend", keep=4)
    assert answer(client, "mend", value)["stored"]
    old, new = store.segments([store.queries(["mend"])[0].segments[0], value["segment"]])
    assert isinstance(old, Steps) and isinstance(new, Steps)
    assert (old.action[:4] == new.action[:4]).all() and (new.action[4:] == 2.0).all()


def test_contract_an_attempt_begins_elsewhere_and_the_same_one_where_it_did(store: Store, client: TestClient):
    found = [driven(client, "show", attempt=attempt)["segment"] for attempt in (0, 1, 0)]
    assert found[0] == found[2] != found[1]


def test_contract_steps_whose_answer_was_lost_are_answered_again_and_taken_once(client: TestClient):
    id = begin(client, "show")["drive"]
    first = steps(client, id, 0, [[0], [1]])
    assert steps(client, id, 0, [[0], [1]]) == first and first["at"] == 2
    steps(client, id, 1, [[0]], status=404)
    assert steps(client, id, 2, [[0]])["at"] == 3


def test_contract_a_drive_is_of_one_session_and_a_proof_of_one_annotator_and_query(
    store: Store, app: Any, client: TestClient
):
    id, bob = begin(client, "show")["drive"], came(app, "bob")
    steps(bob, id, 0, [[0]], status=404)
    assert bob.post("/api/drive/segment", json={"drive": id}).status_code == 404
    value = driven(client, "show")
    assert begin(client, "show")["drive"] != id
    steps(client, id, 0, [], status=404)  # of one session there is one
    for other, query in ((bob, "show"), (client, "mend"), (client, "pair")):
        refused = answer(other, query, value)
        assert not refused["stored"] and refused["status"] == 422
    assert not answer(client, "show", {**value, "proof": "é"})["stored"]
    assert store.answers() == []


def test_contract_a_handed_in_segment_outlives_the_server(store: Store, client: TestClient):
    value = driven(client, "show")
    with came(create(store, KEYS)) as later:
        assert answer(later, "show", value)["stored"]


def test_contract_only_so_many_drive_and_who_has_left_makes_room(
    store: Store, app: Any, client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(drive, "MOST", 2)
    assert begin(client, "show")["drive"] and begin(came(app, "bob"), "show")["drive"]
    cat = came(app, "cat")
    assert begin(cat, "show") == {"drive": "", "why": "busy"}
    monkeypatch.setattr(drive, "IDLE_SECONDS", -1.0)
    assert begin(cat, "show")["drive"]


def test_contract_what_cannot_be_driven_says_why(store: Store, client: TestClient):
    rows = Steps(np.zeros((9, 3), np.float32), np.zeros((9, 1), np.float32), np.ones(9, bool), False)
    made = zip((filmed(1)[0].segment, rows), ("Nobody-v0", "Pendulum-v1"), strict=True)
    first, still = store.add([Collected(segment, Provenance(task, 0, 0, 0, 0, 0)) for segment, task in made])
    store.ask([Query("x", "demonstrate", (first,)), Query("y", "correct", (still,)), Query("z", "demonstrate", ())])
    assert [begin(client, query)["why"] for query in "xy"] == ["screen", "state"]
    for query in ("pair", "write", "z", "nowhere"):
        assert client.post("/api/drive", json={"query": query}).status_code == 404
    assert client.post("/api/drive", json={"query": "mend", "keep": LENGTH}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/drive", {"query": "show", "keep": -1}),
        ("/api/drive", {"query": "show", "keep": True}),
        ("/api/drive", {"query": "show", "seed": 1}),
        ("/api/drive/steps", {"drive": "x", "at": 0, "pressed": [[0]] * (drive.STEPS + 1)}),
        ("/api/drive/steps", {"drive": "x", "at": 0, "pressed": [["left"]]}),
        ("/api/drive/segment", {"drive": ""}),
    ],
)
def test_contract_requests_are_read_strictly_and_come_from_the_page(
    path: str, body: dict[str, Any], client: TestClient
):
    assert client.post(path, json=body).status_code == 422
    client.headers[HEADER] = "forged"
    assert client.post(path, json=body).status_code == 403
    client.cookies.clear()
    assert client.post(path, json=body).status_code == 401


def test_contract_written_texts_become_replies_to_the_same_prompt(store: Store, client: TestClient):
    assert answer(client, "write", {"type": "written", "text": "better"})["stored"]
    assert answer(client, "edit", {"type": "written", "text": "a, mended"})["stored"]
    given = [each.value.segment for each in store.answers() if isinstance(each.value, Given)]
    assert store.segments(given) == [Reply("Say it.", "better"), Reply("Say it.", "a, mended")]
    assert {origin.policy_version for origin in store.provenance(given)} == {BY_HAND}


@pytest.mark.parametrize(
    ("query", "text"), [("write", "  \n"), ("edit", "a"), ("show", "words"), ("pair", "words"), ("nowhere", "words")]
)
def test_contract_a_text_that_answers_nothing_is_refused(query: str, text: str, store: Store, client: TestClient):
    refused = answer(client, query, {"type": "written", "text": text})
    assert not refused["stored"] and refused["status"] == 422 and "\n" not in refused["why"]
    assert store.answers() == []


def test_contract_marks_are_kept_in_order(store: Store, client: TestClient):
    sent = {"id": "m", "query": "pair", "token": "t", "value": {"type": "side", "level": 1}, "seconds": 1.0}
    assert client.post("/api/answers", json={"answers": [{**sent, "marks": [7, 2, 7]}]}).json()["results"][0]["stored"]
    assert store.answers()[0].marks == (2, 7)
    for wrong in ([-1], [10_001], [1.5], list(range(101))):
        assert client.post("/api/answers", json={"answers": [{**sent, "marks": wrong}]}).status_code == 422
