"""Golden, contract, invariance: a run's folder, written so that it holds and read back with care."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from accord import records
from accord.records import Chosen, Result, Return, RewardQuality, Seconds
from accord.types import Answer, InputError, NotFinite, Score, Side, Skip

CONFIGURATION = {"seed": 7, "feedback": {"labels": 60, "store": ""}}
RESULT = Result(
    task="accord/FixedCartPole-v0",
    seed=7,
    labels=60,
    env_steps=100_000,
    seconds=Seconds(total=12.5, collect=1.0, fit=3.0, improve=8.0),
    true_return=Return(mean=499.5, std=2.0, episodes=100, ci95=(499.1, 499.9)),
    random_return=22.0,
    constant_reward_return=None,
    reward=RewardQuality(heldout_accuracy=0.9, ci95=(0.8, 0.95), ece=0.04),
    chosen=Chosen(reward={"kind": "mlp"}, policy={"algorithm": "ppo"}),
    true_reward_return=500.0,
    baselines={"true": Return(mean=500.0, std=0.0, episodes=100, ci95=(500.0, 500.0))},
    env_steps_by={"collect": 25_600, "improve": 74_400},
)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, object]] = []
        self.closed = False

    def write(self, record: Mapping[str, object]) -> None:
        self.seen.append(record)

    def close(self) -> None:
        self.closed = True


def start(folder: Path, *sinks: Kept) -> records.Run:
    return records.create(folder, CONFIGURATION, seed=7, sinks=sinks)


def test_golden_the_manifest_tells_what_a_repetition_needs(tmp_path: Path):
    start(tmp_path / "run")
    manifest = records.read_manifest(tmp_path / "run")
    assert manifest["configuration"] == CONFIGURATION
    assert manifest["seed"] == 7
    assert {"torch", "python"} <= manifest["versions"].keys()
    assert {"processor", "cores"} <= manifest["machine"].keys()
    assert "commit" in manifest


def test_golden_one_line_a_stage_and_every_sink_sees_it(tmp_path: Path):
    sink = Kept()
    run = start(tmp_path, sink)
    run.record("collect", 0, segments=40)
    run.record("fit", 0, loss=0.5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["round"]) for line in lines] == [("collect", 0), ("fit", 0)]
    assert lines[1]["loss"] == 0.5 and lines[1]["time"] > 1.7e9
    assert run.records() == lines == sink.seen
    run.finish(RESULT)
    assert run.finished and sink.closed


def test_invariance_a_stage_done_again_after_a_kill_counts_once(tmp_path: Path):
    run = start(tmp_path)
    for round, stage, loss in ((0, "fit", 0.5), (0, "improve", 0.0), (1, "fit", 0.4), (0, "improve", 1.0)):
        run.record(stage, round, loss=loss)
    assert [(line["round"], line["stage"], line["loss"]) for line in run.records()] == [
        (0, "fit", 0.5),
        (0, "improve", 1.0),
        (1, "fit", 0.4),
    ]


def test_golden_what_is_not_finite_is_not_recorded(tmp_path: Path):
    run = start(tmp_path)
    with pytest.raises(NotFinite, match="fit of round 3: loss is nan"):
        run.record("fit", 3, loss=float("nan"))
    assert run.records() == []


def test_golden_the_result_has_the_shape_of_the_contract(tmp_path: Path):
    start(tmp_path).finish(RESULT)
    raw = json.loads((tmp_path / "result.json").read_text())
    contract = {"task", "seed", "labels", "env_steps", "seconds", "true_return", "random_return"}
    contract |= {"constant_reward_return", "reward", "chosen"}
    assert contract <= raw.keys()
    assert raw["seconds"] == {"total": 12.5, "collect": 1.0, "fit": 3.0, "improve": 8.0}
    assert raw["true_return"] == {"mean": 499.5, "std": 2.0, "episodes": 100, "ci95": [499.1, 499.9]}
    assert raw["reward"] == {"heldout_accuracy": 0.9, "ci95": [0.8, 0.95], "ece": 0.04}
    assert raw["chosen"] == {"reward": {"kind": "mlp"}, "policy": {"algorithm": "ppo"}}


@pytest.mark.parametrize("quality", [RESULT.reward, RewardQuality(None, None, None)])
def test_golden_a_result_is_read_back(tmp_path: Path, quality: RewardQuality):
    result = replace(RESULT, reward=quality)
    start(tmp_path).finish(result)
    assert records.read_result(tmp_path) == result


def test_golden_a_result_that_is_none_is_refused(tmp_path: Path):
    start(tmp_path)
    with pytest.raises(InputError, match=r"no result\.json, so its run is not finished"):
        records.read_result(tmp_path)
    (tmp_path / "result.json").write_text(json.dumps({**asdict(RESULT), "true_return": {"mean": 1}}))
    with pytest.raises(InputError, match=r"is no result of accord \(true_return\.std: Field required\)"):
        records.read_result(tmp_path)


def test_golden_an_occupied_folder_is_refused_with_its_remedy(tmp_path: Path):
    run = start(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds a run that was stopped; .*: give --resume to go on with it"):
        start(tmp_path / "run")
    run.finish(RESULT)
    with pytest.raises(InputError, match=r"holds a finished run; .*: give another --out"):
        start(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds files without a manifest\.json"):
        start(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; a run needs a folder"):
        start(tmp_path / "file")


def test_golden_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere is no folder"):
        records.read_manifest(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no manifest\.json, so it is no run"):
        records.read_manifest(tmp_path)
    for content, words in (
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ("{}", "lacks 'format'"),
        ('{"format": 99, "configuration": {}, "seed": 0}', "has format 99; this version of accord reads format 1"),
    ):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(InputError, match=words):
            records.read_manifest(tmp_path)


def test_invariance_a_reopened_run_goes_on_where_the_torn_line_began(tmp_path: Path):
    start(tmp_path).record("fit", 0)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"stage": "impr')
    run = records.reopen(tmp_path, CONFIGURATION)
    run.record("improve", 0)
    assert [record["stage"] for record in run.records()] == ["fit", "improve"]


def test_golden_a_resumed_run_keeps_its_configuration(tmp_path: Path):
    start(tmp_path)
    with pytest.raises(InputError, match=r"feedback\.labels is 90, but the run in .* was started with 60"):
        records.reopen(tmp_path, {"seed": 7, "feedback": {"labels": 90, "store": ""}})


def test_invariance_a_run_killed_before_it_began_starts_anew(tmp_path: Path):
    (tmp_path / ".manifest.json.123.tmp").write_text("{")
    run = records.open_run(tmp_path, CONFIGURATION, 7, resume=True)
    run.record("collect", 0)
    assert len(records.open_run(tmp_path, CONFIGURATION, 7, resume=True).records()) == 1
    with pytest.raises(InputError, match="give --resume"):
        records.open_run(tmp_path, CONFIGURATION, 7)


def test_property_the_hash_of_answers_sees_every_field_and_no_order():
    answers = [
        Answer("a", "q1", "ann", Side(1, 2), seconds=1.5, seq=1),
        Answer("b", "q2", "bob", Skip("dark"), seq=2),
        Answer("c", "q3", "bob", Score(1, 2), seq=3),
    ]
    known = records.hash_answers(answers)
    assert known == records.hash_answers(reversed(answers))
    one = answers[0]
    changes = (
        replace(one, value=Side(0, 2)),
        replace(one, text="x"),
        replace(one, annotator="b"),
        replace(one, marks=(3,)),
    )
    assert all(records.hash_answers([change, *answers[1:]]) != known for change in changes)
    assert records.hash_answers([*answers[:2], replace(answers[2], value=Side(1, 2))]) != known
    assert records.hash_answers(answers[:2]) != known
