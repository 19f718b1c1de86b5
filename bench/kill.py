"""A run killed at random moments and resumed must end as the run that was never killed, apart from times.

Twenty moments, drawn evenly over the time that the whole run takes. At each a run in a process of its own is ended by
SIGKILL and resumed to its end by another. Equal means: the same `result.json`, the same records, the same weights of
policy and reward, bit for bit. `landed` counts the kills that met a run still going (the rest met a finished one).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from accord import build, config, records
from bench import harness

MOMENTS, QUICK = 20, 3
TREE = {
    "feedback": {"labels": 30, "rounds": 3, "teacher": {"flaw": "noisy"}},
    "task": {"envs": 64},
    "policy": {"steps": 20_000},
    "report": {"episodes": 20, "baselines": False},
}
TIMES = ("time", "seconds")


def outcome(folder: Path) -> dict[str, object]:
    """All that a run leaves behind, apart from times."""
    result = json.loads((folder / records.RESULT).read_text())
    result.pop("seconds")
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in records.read_records(folder)]
    weights = {
        f"{part}/{name}": array.tobytes()
        for part in (records.POLICY, records.REWARD)
        for name, array in load_file(folder / part / f"{part}.safetensors").items()
    }
    return {"result": result, "records": sorted(lines, key=lambda line: (line["round"], line["stage"])), **weights}


def differs(mine: dict[str, object], whole: dict[str, object]) -> list[str]:
    """Which parts of an outcome are not those of the uninterrupted run."""
    return sorted(name for name in mine.keys() | whole.keys() if mine.get(name) != whole.get(name))


def start(folder: Path, seed: int, resume: bool) -> None:
    """What the process does that is killed."""
    build.run(config.from_tree({**TREE, "seed": seed}), folder, resume)


def in_process(folder: Path, seed: int, after: float | None = None) -> tuple[bool, float]:
    """Runs, or goes on, in a fresh process, killed `after` so many seconds. Whether it was killed, and its time."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["accord.build"])
    process = context.Process(target=start, args=(folder, seed, folder.exists()))
    began = time.perf_counter()
    process.start()
    process.join(after)
    landed = process.is_alive()
    process.kill()
    process.join()
    if not landed and process.exitcode != 0:
        raise RuntimeError(f"the run in {folder} ended with {process.exitcode}: see the message above")
    return landed, time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> int:
    options = harness.parse("kill", seeds=1, argv=argv)
    moments, seed = (QUICK if options.quick else MOMENTS), options.seed_list()[0]
    load_start = harness.os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as root:
        in_process(Path(root) / "warm", seed)  # starts the server that the timed processes are forked from
        _, total = in_process(Path(root) / "whole", seed)
        whole = outcome(Path(root) / "whole")
        equal, hits, unequal = 0, 0, []
        for number, share in enumerate(np.sort(np.random.default_rng(seed).random(moments))):
            folder = Path(root) / f"killed-{number}"
            landed, _ = in_process(folder, seed, float(share) * total)
            in_process(folder, seed)
            found = differs(outcome(folder), whole)
            equal, hits = equal + (not found), hits + landed
            unequal += [{"moment": float(share), "differs": found}] if found else []
            print(f"[kill] at {share:.3f} of the run: {found or 'equal'}", file=sys.stderr, flush=True)
    line = {
        "name": "kill",
        "equal": equal,
        "moments": moments,
        "landed": hits,
        "unequal": unequal,
        "seconds_whole": total,
        "seed": seed,
        "quick": options.quick,
        "machine": {
            "processor": harness.processor(),
            "torch": harness.version("torch"),
            "threads": 1,
            "load_start": round(load_start, 2),
            "load_end": round(harness.os.getloadavg()[0], 2),
        },
    }
    print(json.dumps(harness.rounded(line)), flush=True)
    return 0 if equal == moments else 1


if __name__ == "__main__":
    raise SystemExit(main())
