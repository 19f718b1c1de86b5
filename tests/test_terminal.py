"""Golden: what a run looks like while it goes on, and when it is done."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from accord import terminal
from accord.progress import Progress, Silent
from accord.records import Chosen, Result, Return, RewardQuality, Seconds

RESULT = Result(
    task="Pendulum-v1",
    seed=3,
    labels=200,
    env_steps=50_000,
    seconds=Seconds(total=12.5, collect=1.0, fit=3.0, improve=8.0),
    true_return=Return(mean=-165.25, std=90.0, episodes=100, ci95=(-183.0, -147.5)),
    random_return=-1200.0,
    constant_reward_return=None,
    reward=RewardQuality(heldout_accuracy=0.914, ci95=(0.85, 0.96), ece=0.04),
    chosen=Chosen(),
    baselines={"true": Return(mean=-160.0, std=80.0, episodes=100, ci95=(-175.0, -145.0))},
)


def go(progress: Progress) -> None:
    progress.stage("collect", 0, 5)
    progress.advance(0, 1000)
    progress.note(labels=0, labels_total=60)
    progress.advance(250, 1000)
    progress.note(labels=15, true_return=21.37)
    progress.stage("improve", 1, 5)


def written(terminal_like: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal_like, width=120, color_system=None)
    with terminal.shown(console) as progress:
        go(progress)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_golden_plain_lines_where_there_is_no_terminal():
    first, second = written(terminal_like=False).splitlines()
    assert first == "round 1/5 collect"
    assert second.startswith("round 2/5 improve · 250/1,000 steps · 15/60 labels · return 21.4 · 0:00 left")


def test_golden_a_bar_on_a_terminal():
    text = written(terminal_like=True)
    assert "round 2/5 improve" in text and "250/1,000 steps · 15/60 labels · return 21.4" in text
    assert "\x1b[" in text  # it moves


def test_golden_time_left_is_at_the_pace_since_this_process_began():
    now = [100.0]
    standing = terminal.Standing(clock=lambda: now[0])
    assert standing.left is None
    standing.advance(400, 1000)  # a resumed run begins with steps it has not taken
    now[0] = 110.0
    assert standing.left is None
    standing.advance(500, 1000)
    assert standing.left == 50.0
    standing.advance(1000, 1000)
    assert standing.left == 0.0


def test_golden_clock_times():
    assert [terminal.clock_time(seconds) for seconds in (4.6, 750, 3723)] == ["0:05", "12:30", "1:02:03"]


def shown(result: Result, page: Path | None) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(terminal.summary(result, Path("runs/x"), page))
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_golden_the_summary_tells_the_figures_and_what_was_not_measured():
    text = shown(RESULT, Path("runs/x/report.html"))
    for part in (
        "task Pendulum-v1, seed 3",
        "true return -165.2 (95%: -183.0 to -147.5), sd 90.0 over 100 episodes",
        "random policy -1,200.0",
        "constant reward not measured",
        "true reward -160.0 (95%: -175.0 to -145.0)",
        "reward's accuracy 0.91 (95%: 0.85 to 0.96)",
        "spent 200 labels, 50,000 steps, 12.5 s",
        "report runs/x/report.html",
    ):
        assert part in text
    unknown = shown(replace(RESULT, reward=RewardQuality(None, None, None)), None)
    assert "reward's accuracy not measured" in unknown and "report" not in unknown


def test_contract_silence_is_a_progress_too():
    go(Silent())
