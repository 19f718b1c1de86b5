"""Fixed-horizon CartPole from a scripted annotator at the page's keyboard, beside the same teacher in process.

    python -m bench.by_hand [--seeds N] [--quick] [--dev]

`examples/cartpole.toml` with 40 labels. On one side the teacher answers in process; on the other Chromium opens the
link that the run prints, sets the speed to 4x and, once a question's clips have run to the end, presses the key that
the same teacher would. The page is served by the run itself, which goes on training while it waits.

`a_minute` is the median over the answers of 60 seconds by the time from one answer to the next within a round: what the
page lets somebody do who needs no time to think. `a_minute_with_waits` counts the whole run, in which there is nothing
to answer while a reward is fitted and the policy learns. `returns` are the true returns of the final policies.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from accord import config, records, runtime
from accord.feedback.store import Store
from accord.feedback.teachers import Teacher
from accord.types import Query, Side
from bench import harness
from bench.harness import Bench

EXAMPLE = harness.ROOT / "examples" / "cartpole.toml"
FIRST_SEED = 11_400
LABELS, QUICK_LABELS, QUICK_STEPS = 40, 12, 30_000
READY = "#question[aria-busy=false] #answers button[aria-disabled=false]"
KEYS = {0: "ArrowRight", 1: "t", 2: "ArrowLeft"}  # by the level in favour of the left side
BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@dataclass
class Pressed:
    """When each answer was given, and in which round."""

    times: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def a_minute(self) -> float:
        gaps = [b - a for a, b, r, s in zip(self.times, self.times[1:], self.rounds, self.rounds[1:], strict=False)
                if r == s]  # fmt: skip
        return 60.0 / float(np.median(gaps))

    def a_minute_with_waits(self) -> float:
        return 60.0 * (len(self.times) - 1) / (self.times[-1] - self.times[0])


def started(folder: Path, seed: int, labels: int, *more: str) -> subprocess.Popen[str]:
    """`accord run` as a process of its own."""
    keys = ("--feedback.labels", str(labels), "--report.baselines", "false", "--report.clip", "false", *more)
    command = [sys.executable, "-m", "accord", "run", str(EXAMPLE), "--seed", str(seed), "--out", str(folder), *keys]
    environment = {**os.environ, **harness.ONE_THREAD, "PYTHONPATH": str(harness.ROOT / "src")}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def by_teacher(folder: Path, seed: int, labels: int, *more: str) -> float:
    """The return of a run that the teacher answers in process."""
    with started(folder, seed, labels, *more) as process:
        _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors[-2000:])
    return records.read_result(folder).true_return.mean


def by_keyboard(page: Any, folder: Path, seed: int, labels: int, *more: str) -> tuple[float, Pressed]:
    """The same through the page: what was pressed, and the return."""
    with started(folder, seed, labels, "--feedback.annotator", "web", *more) as process:
        assert process.stderr is not None
        link = next(line.split()[-1] for line in process.stderr if "/join/" in line)
        store = Store(f"sqlite:///{folder / records.STORE}")
        teacher = Teacher(store, config.load(EXAMPLE).feedback.teacher, runtime.derive(seed, "teacher"))
        page.goto(link)
        page.wait_for_selector(READY, timeout=60_000)
        page.select_option("#speed", "4")
        pressed, told = Pressed(), ""
        while process.poll() is None and page.query_selector("#over:not([hidden])") is None:
            if page.query_selector(READY) is None:
                page.wait_for_timeout(20)
                continue
            shown = page.eval_on_selector_all("#stage .card", "cards => cards.map((card) => card.dataset.segment)")
            asked = question(store, shown)
            if asked is None:
                continue
            page.keyboard.press(
                KEYS[level(teacher, store, asked, shown)]
            )  # in vain while it was not looked at for long
            if asked.id != told:
                pressed.rounds.append(asked.round)
                pressed.times.append(0.0)
            pressed.times[-1] = time.perf_counter()
            told = asked.id
            page.wait_for_timeout(20)
        store.close()
        process.wait()
    return records.read_result(folder).true_return.mean, pressed


def question(store: Store, shown: Sequence[str]) -> Query | None:
    """Which question stands on the screen."""
    return next((query for query in reversed(store.queries()) if sorted(query.segments) == sorted(shown)), None)


def level(teacher: Teacher, store: Store, asked: Query, shown: Sequence[str]) -> int:
    """What the teacher would say, in terms of the screen."""
    (answer,) = teacher.answers_to([asked], store.queries())
    assert isinstance(answer.value, Side)
    return answer.value.level if shown[0] == asked.segments[0] else answer.value.levels - 1 - answer.value.level


def main(argv: Sequence[str] | None = None) -> None:
    from playwright.sync_api import sync_playwright

    options = harness.parse("by_hand", seeds=3, argv=argv, first=FIRST_SEED)
    bench = Bench.start("by_hand", options)
    labels = QUICK_LABELS if options.quick else LABELS
    more = ("--policy.steps", str(QUICK_STEPS)) if options.quick else ()
    taught, typed, pace, whole = [], [], [], []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        at = next(path for path in BROWSERS if Path(path).exists())
        browser = playwright.chromium.launch(executable_path=at, args=FLAGS)
        for seed in options.seed_list():
            taught.append(by_teacher(Path(folder) / f"teacher-{seed}", seed, labels, *more))
            page = browser.new_page()
            found, pressed = by_keyboard(page, Path(folder) / f"page-{seed}", seed, labels, *more)
            page.close()
            typed.append(found)
            pace.append(pressed.a_minute())
            whole.append(pressed.a_minute_with_waits())
            bench.say(f"seed {seed}: teacher {taught[-1]:.1f}, page {typed[-1]:.1f}, {pace[-1]:.0f} a minute")
    middle = {"a_minute": float(np.median(pace)), "a_minute_with_waits": float(np.median(whole))}
    bench.emit(None, {}, {}, returns={"teacher": taught, "page": typed}, **middle, each=pace, labels=labels)


if __name__ == "__main__":
    main()
