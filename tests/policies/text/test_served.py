"""Contract: a server's responses come as the engine's do. Golden: what it is off by is weighed. Learning."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from accord.backbones import peft
from accord.functional.objectives import truncated_ratio
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.policies.text.rollout import Engine, Sampling
from accord.policies.text.served import Served
from accord.types import InputError, LearnedReward, Shaping
from tests.policies.text.tiny import Counts, Letters, Prompts, model

OFF = 0.1  # nats by which this server tells its log-probabilities wrongly


class Server(ThreadingHTTPServer):
    """What a vLLM server says and does, with the tiny model."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.adapters: dict[str, Path] = {}
        self.asked: list[dict[str, Any]] = []
        self.silent = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._tell({"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/load_lora_adapter":
            self.server.adapters[body["lora_name"]] = Path(body["lora_path"])
            self._tell("Success")
        elif self.path == "/v1/unload_lora_adapter":
            del self.server.adapters[body["lora_name"]]
            self._tell("Success")
        else:
            self._complete(body)

    def _complete(self, body: dict[str, Any]) -> None:
        self.server.asked.append(body)
        whole = model().decoder
        if body["model"] != "tiny":
            if body["model"] not in self.server.adapters:
                self.send_error(404, "no such model")
                return
            peft.read(whole, self.server.adapters[body["model"]])
        drawn = Engine(whole, Letters().end).sample(
            body["prompt"], body["n"], Sampling(body["temperature"], tokens=body["max_tokens"]), body["seed"]
        )
        choices = []
        for k, row in enumerate(drawn.responses):
            logs = (drawn.log_prob[k, : len(row)] + OFF).tolist()
            told = {"index": k, "token_ids": row, "logprobs": {"token_logprobs": logs}}
            choices.append({"index": k} if self.server.silent else told)
        self._tell({"choices": choices[::-1]})

    def _tell(self, what: object) -> None:
        body = (what if isinstance(what, str) else json.dumps(what)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_contract_responses_come_in_the_engines_form(server: Server):
    ids = [Letters().encode(prompt) for prompt in ("ab", "hello")]
    served = Served(server.url, Letters().end, 64, torch.device("cpu"))
    found, own = (one.sample(ids, 3, Sampling(tokens=7), 5) for one in (served, Engine(model().decoder, Letters().end)))
    assert found.responses == own.responses
    assert torch.equal(found.ended, own.ended) and torch.equal(found.lengths, own.lengths)
    torch.testing.assert_close(found.log_prob[own.valid], own.log_prob[own.valid] + OFF)
    with pytest.raises(InputError, match="prompt 1 is empty"):
        served.sample([ids[0], []], 1, Sampling(tokens=7), 0)


def test_golden_what_the_server_is_off_by_is_weighed_and_truncated(server: Server):
    torch.testing.assert_close(truncated_ratio(torch.tensor([0.0, -1.0, 5.0]), 2.0), torch.tensor([1.0, 0.36788, 2.0]))
    config = OnlineConfig("rloo", prompts=4, group=4, tokens=6, truncate=0.95)
    actor = Actor(model(), ActorConfig(rank=2, learning_rate=1e-2, server=server.url), 0)
    policy = Online(Prompts(), actor, config, 0)
    signal = LearnedReward(Counts(), shaping=Shaping(kl_coefficient=0.05))  # pyright: ignore[reportArgumentType]
    made = policy._experience(signal, 3)
    assert made.trust is not None
    expected = torch.full_like(made.trust, torch.tensor(-OFF).exp().item()) * made.valid  # as likely less that
    torch.testing.assert_close(made.trust, expected, rtol=1e-4, atol=1e-4)
    assert policy.kl == pytest.approx(0.0, abs=1e-3)  # by the learner's own log-probabilities


def test_learning_through_a_server_that_is_given_every_policy(server: Server):
    config = OnlineConfig("rloo", prompts=8, group=4, tokens=8, minibatch=32, kl=0.0)
    actor = Actor(model(), ActorConfig(rank=4, learning_rate=3e-2, server=server.url), 0)
    policy = Online(Prompts(), actor, config, 0)
    signal = LearnedReward(Counts())  # pyright: ignore[reportArgumentType]
    scores = [policy.improve(signal, 32, number).extra["score"] for number in range(12)]
    assert sum(scores[-3:]) / 3 > sum(scores[:2]) / 2 + 0.1  # the share of letters `a`
    assert list(server.adapters) == ["accord-12"]
    assert [one["model"] for one in server.asked[:2]] == ["tiny", "accord-1"]


def test_contract_bad_servers_are_told_in_a_sentence(server: Server):
    with pytest.raises(InputError, match=r"policy\.rank is 0; a server takes adapters"):
        ActorConfig(server=server.url)
    with pytest.raises(InputError, match="nothing answers there"):
        Served("http://127.0.0.1:9", 31, 64, torch.device("cpu"))
    served = Served(server.url, 31, 64, torch.device("cpu"))
    served.version = 7
    with pytest.raises(InputError, match="refused \\(404"):
        served.sample([[1]], 1, Sampling(tokens=3), 0)
    served.version, server.silent = 0, True
    with pytest.raises(InputError, match="tells no ids or log-probabilities"):
        served.sample([[1]], 1, Sampling(tokens=3), 0)
