"""Golden, contract: what other tools are told of a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from accord import sinks
from accord.types import InputError

RECORD = {
    "stage": "improve",
    "round": 2,
    "time": 1.8e9,
    "env_steps": 5000,
    "extra": {"kl": 0.25, "note": "calm"},
    "done": True,
    "curve": [1, 2],
}


def test_golden_numbers_are_named_by_stage_and_key():
    assert dict(sinks.numbers(RECORD)) == {"improve/env_steps": 5000.0, "improve/extra/kl": 0.25}


def test_golden_a_record_stands_at_its_steps_or_its_round():
    assert sinks.step_of(RECORD) == 5000
    assert sinks.step_of({"stage": "fit", "round": 2}) == 2


def test_contract_tensorboard_holds_what_was_written(tmp_path: Path):
    (sink,) = sinks.open_sinks(["tensorboard"], tmp_path, {"seed": 1})
    assert not any(tmp_path.iterdir()), "a new run needs an empty folder"
    sink.write(RECORD)
    sink.write({"stage": "fit", "round": 3, "time": 1.8e9, "loss": 0.5})
    sink.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"improve/env_steps", "improve/extra/kl", "fit/loss"}
    (scalar,) = events.Scalars("improve/extra/kl")
    assert (scalar.step, scalar.value, scalar.wall_time) == (5000, 0.25, 1.8e9)


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_golden_a_tool_that_is_absent_is_told_with_its_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(InputError, match=rf'report\.sinks names "{name}", which is not installed here: .*\[{name}\]'):
        sinks.open_sinks([name], tmp_path, {})


def test_golden_an_unknown_tool_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="it must be tensorboard, mlflow or wandb"):
        sinks.open_sinks(["excel"], tmp_path, {})


def test_golden_nested_keys_are_joined():
    assert dict(sinks.flat(json.loads('{"a": {"b": {"c": 1}}, "d": 2}'))) == {"a/b/c": 1, "d": 2}
