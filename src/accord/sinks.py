"""Other tools that may watch a run: TensorBoard, MLflow, Weights & Biases. Each receives the records as written.

They are optional extras, imported only when asked for. A record's numbers are named `stage/key`, nested keys joined by
`/`; a run's step is the record's `env_steps` where it has them, else its round. What is not a number stays in the
records alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from accord.records import Sink
from accord.types import InputError


class TensorBoardSink:
    """Event files in the run's own folder: `tensorboard --logdir runs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tool = _load("tensorboard", "torch.utils.tensorboard")

    @cached_property
    def _writer(self) -> Any:
        return self._tool.SummaryWriter(str(self._folder / "tensorboard"))

    def write(self, record: Mapping[str, object]) -> None:
        for name, value in numbers(record):
            self._writer.add_scalar(name, value, step_of(record), walltime=_time(record))

    def close(self) -> None:
        if "_writer" in vars(self):
            self._writer.close()


class MLflowSink:
    """One MLflow run, named after the folder, in the store that `MLFLOW_TRACKING_URI` names."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = folder, settings
        self._client = _load("mlflow", "mlflow").MlflowClient()

    @cached_property
    def _run(self) -> str:
        experiment = self._client.get_experiment_by_name("accord")
        key = experiment.experiment_id if experiment else self._client.create_experiment("accord")
        run: str = self._client.create_run(key, run_name=self._folder.name).info.run_id
        for name, value in flat(self._settings):
            self._client.log_param(run, name.replace("/", "."), value)
        return run

    def write(self, record: Mapping[str, object]) -> None:
        for name, value in numbers(record):
            self._client.log_metric(self._run, name, value, timestamp=int(_time(record) * 1000), step=step_of(record))

    def close(self) -> None:
        if "_run" in vars(self):
            self._client.set_terminated(self._run)


class WandbSink:
    """One Weights & Biases run, named after the folder; its project is `accord` unless `WANDB_PROJECT` is set."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = folder, settings
        self._tool = _load("wandb", "wandb")

    @cached_property
    def _run(self) -> Any:
        project = None if self._tool.setup().settings.project else "accord"
        folder = self._folder
        return self._tool.init(dir=str(folder), name=folder.name, project=project, config=dict(self._settings))

    def write(self, record: Mapping[str, object]) -> None:
        # Steps must rise for W&B, and a resumed run goes back: the step is a number like any other.
        self._run.log({**dict(numbers(record)), "step": step_of(record)})

    def close(self) -> None:
        if "_run" in vars(self):
            self._run.finish()


def open_sinks(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> tuple[Sink, ...]:
    """The sinks by name; raises `InputError` where a tool is not installed.

    Nothing is written, in the folder or elsewhere, before the first record: a new run needs an empty folder.
    """
    return tuple(_open(name, folder, settings) for name in names)


def numbers(record: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """The numbers of a record under the names that sinks show, `stage/key`; the time and the round are left out."""
    rest = {key: value for key, value in record.items() if key not in ("stage", "round", "time")}
    for name, value in flat(rest):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{record['stage']}/{name}", float(value)


def step_of(record: Mapping[str, object]) -> int:
    """Where a record stands on the axis of time: environment steps, else the round."""
    steps = record.get("env_steps", record.get("round", 0))
    return int(steps) if isinstance(steps, (int, float)) else 0


def flat(tree: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Nested keys joined by `/`."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}/")
        else:
            yield f"{above}{key}", value


def _open(name: str, folder: Path, settings: Mapping[str, Any]) -> Sink:
    match name:
        case "tensorboard":
            return TensorBoardSink(folder)
        case "mlflow":
            return MLflowSink(folder, settings)
        case "wandb":
            return WandbSink(folder, settings)
    raise InputError(f'report.sinks names "{name}"; it must be tensorboard, mlflow or wandb: choose among these.')


def _load(extra: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f'report.sinks names "{extra}", which is not installed here: '
            f"take it out, or install it with pip install -e '.[{extra}]'."
        ) from None


def _time(record: Mapping[str, object]) -> float:
    time = record["time"]
    assert isinstance(time, float)
    return time
