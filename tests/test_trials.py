"""Golden, property, contract: a study's records, written so that they hold and folded so that nothing counts twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import trials
from accord.trials import Agreement, Finalist, Manifest, Point, Result, Study, Trial, Verdict
from accord.types import InputError

MANIFEST = Manifest("0.1.0", "Pendulum-v1", {"seed": 0, "policy": {"steps": 9000}}, "10m", "teacher", 0)
TRIAL = Trial(0, "race", "default", "ppo+kernel", {"policy.gamma": 0.95, "policy.hidden": [64, 64]}, 3, 0, 1000)
DONE = replace(TRIAL, state="done", score=-150.5, curve=(Point(500, 1.5, -900.0),), elapsed=2.0, cpu_seconds=1.5)
FINALIST = Finalist("default", "ppo+kernel", {}, None, (1.0, 2.0), 1.5, (1.0, 2.0), 1.5, 0)
VERDICT = Verdict("teacher", (7, 8), (FINALIST,), "default", False, ("default",), "nothing is better.")


def test_golden_what_is_written_is_read_back(tmp_path: Path):
    log = trials.create(tmp_path / "s", MANIFEST)
    events = (TRIAL, DONE, Agreement(0, 1, 6, 0.25, False), VERDICT)
    for event in events:
        log.write(event)
    study = trials.read(tmp_path / "s")
    assert (study.trials, study.agreements, study.verdict) == ((DONE,), events[2:3], VERDICT)
    assert study.manifest.configuration == MANIFEST.configuration and study.manifest.machine["cores"] >= 1
    assert (study.elapsed, study.next_number) == (2.0, 1)
    result = Result("Pendulum-v1", "teacher", "10m", 1, 0, 2.0, 1.5, 1000, 10, VERDICT)
    log.finish(result, "seed = 0\n")
    assert trials.read_result(tmp_path / "s") == result


def test_golden_totals_count_what_ended():
    failed = replace(TRIAL, number=1, state="failed", why="NaN", labels=5, cpu_seconds=0.5, elapsed=3.0)
    found = trials.totals([DONE, failed, replace(TRIAL, number=2)])
    want = {"trials": 2, "failed": 1, "seconds": 3.0, "cpu_seconds": 2.0, "env_steps": 0, "labels": 5}
    assert found == want


ENDS = st.sampled_from(["started", "done", "failed"])
LINES = st.lists(st.tuples(st.integers(0, 4), ENDS, st.floats(0, 9)), max_size=20)


@given(LINES)
def test_property_folding_counts_every_trial_once_and_again_changes_nothing(lines: list[tuple]):
    events = [replace(TRIAL, number=number, state=state, elapsed=elapsed) for number, state, elapsed in lines]
    study = trials.fold(MANIFEST, events)
    assert [trial.number for trial in study.trials] == sorted({event.number for event in events})
    assert trials.fold(MANIFEST, study.trials) == study
    assert trials.fold(MANIFEST, [*events, *events]) == study
    for trial in study.trials:
        ended = [event for event in events if event.number == trial.number and event.state != "started"]
        assert trial == (ended[0] if ended else trial) and (trial.state != "started") == bool(ended)


def test_invariance_a_torn_line_is_dropped_and_the_study_goes_on(tmp_path: Path):
    log = trials.create(tmp_path, MANIFEST)
    log.write(DONE)
    whole = trials.read(tmp_path)
    with open(tmp_path / trials.TRIALS, "a") as file:
        file.write('{"event": "trial", "numb')
    assert trials.read(tmp_path) == whole
    trials.reopen(tmp_path, MANIFEST).write(replace(TRIAL, number=1))
    assert [trial.number for trial in trials.read(tmp_path).trials] == [0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"accord": "9.9"}, "accord '0.1.0', and this is '9.9'"),
        ({"task": "Acrobot-v1"}, "task 'Pendulum-v1', and this is 'Acrobot-v1'"),
        ({"budget": "1h"}, "budget '10m'"),
        ({"configuration": {"seed": 0, "policy": {"steps": 1}}}, "policy.steps is 1, but the study in"),
    ],
)
def test_contract_another_study_is_refused_in_a_sentence(change: dict[str, object], words: str, tmp_path: Path):
    trials.create(tmp_path, MANIFEST)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=words):
        trials.reopen(tmp_path, replace(MANIFEST, **change))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_contract_what_is_no_study_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"has no study\.json, so it is no study"):
        trials.read(tmp_path)
    trials.create(tmp_path / "s", MANIFEST)
    with pytest.raises(InputError, match="holds a study; a new study needs an empty folder: give --resume"):
        trials.create(tmp_path / "s", MANIFEST)
    with pytest.raises(InputError, match="so its study is not finished"):
        trials.read_result(tmp_path / "s")
    (tmp_path / "s" / trials.TRIALS).write_text('{"event": "trial", "number": "x"}\n')
    with pytest.raises(InputError, match=r"is not as accord writes it \(number"):
        trials.read(tmp_path / "s")
    (tmp_path / "s" / trials.STUDY).write_text('{"format": 2, "accord": "7"}')
    with pytest.raises(InputError, match=r"has format 2; .* use the version that it names \(7\)"):
        trials.read(tmp_path / "s")


def test_golden_an_empty_study_has_spent_nothing():
    study = Study(MANIFEST)
    assert (study.elapsed, study.next_number) == (0.0, 0)
