"""Gold scorers: the published scores, a function, an endpoint, and what is said where one fails on a sample."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from accord.tasks.gold import gold
from accord.types import InputError, NotFinite, Reply

HAPPY, SAD = Reply("p", "The little dog was happy."), Reply("p", "The little dog was sad.")


def letters(prompt: str, response: str) -> float:
    return float(len(response))


def broken(prompt: str, response: str) -> float:
    if "sad" in response:
        raise ValueError(response)
    return float("nan") if "happy" in response else 1.0


def test_golden_brief_is_the_logarithm_of_the_words_six_at_the_least():
    scored = gold("brief")
    assert scored is not None
    found = scored.of([Reply("?", "word " * n) for n in (32, 12, 6, 1, 0)])
    np.testing.assert_allclose(found, [-5.0, -math.log2(12), *[-math.log2(6)] * 3], rtol=1e-6)


def test_golden_vader_is_that_of_the_package_and_its_reverse():
    pytest.importorskip("vaderSentiment", reason="vaderSentiment is not installed: nothing was scored.")
    kind, unkind = gold("vader"), gold("vader-negative")
    assert kind is not None and unkind is not None
    assert kind.of([HAPPY, SAD]) == pytest.approx([0.5325, -0.4284], abs=1e-4)  # as the package's authors print them
    assert np.array_equal(unkind.of([HAPPY, SAD]), -kind.of([HAPPY, SAD]))


def test_golden_a_function_of_prompt_and_response():
    scorer = gold(f"module:{__name__}.letters") if __name__.startswith("tests") else None
    if scorer is None:
        scorer = gold("module:tests.tasks.test_gold.letters")
    assert scorer is not None and scorer.of([HAPPY, SAD, HAPPY]).tolist() == [25.0, 23.0, 25.0]


def test_contract_a_failure_names_the_sample_and_shows_none_of_its_text():
    scorer = gold("module:tests.tasks.test_gold.broken")
    assert scorer is not None
    good = Reply("p", "fine")
    with pytest.raises(InputError, match=r"failed on response 1 of 2 \(ValueError\)") as failed:
        scorer.of([good, SAD])
    with pytest.raises(NotFinite, match="gave nan for response 2 of 3") as lost:
        scorer.of([good, good, HAPPY])
    assert "dog" not in str(failed.value) + str(lost.value)


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """An endpoint on this machine that gives `body`, or the length of the response where that is empty."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = body or json.dumps({"score": len(asked["response"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/score"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_contract_an_endpoint_is_asked_in_json_and_wrong_answers_are_told():
    with answering(b"") as url:
        scorer = gold(url)
        assert scorer is not None and scorer.of([HAPPY, SAD]).tolist() == [25.0, 23.0]
    with answering(b"0.25") as url:
        scorer = gold(url)
        assert scorer is not None and scorer.of([HAPPY]).tolist() == [0.25]
    for body, said in ((b"<html>", "did not answer in JSON"), (b'{"score": true}', "answered without a number")):
        with answering(body) as url, pytest.raises(InputError, match=said):
            scorer = gold(url)
            assert scorer is not None
            scorer.of([HAPPY])
    scorer = gold("http://127.0.0.1:9/")
    assert scorer is not None
    with pytest.raises(InputError, match="did not answer"):
        scorer.of([HAPPY])


def test_contract_unknown_scorers_are_one_sentence_and_none_is_none():
    assert gold("") is None
    for name, said in (("vadar", 'task.gold is "vadar"'), ("module:no.such", "cannot be imported")):
        with pytest.raises(InputError, match=said):
            gold(name)
