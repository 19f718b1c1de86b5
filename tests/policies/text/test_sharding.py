"""Invariance: two processes with a share of the weights each learn what one process learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from accord.backbones.sharding import ALONE, Share
from tests.policies.text.divided import CASES, case

ROOT = Path(__file__).parents[3]


def together(*program: str) -> subprocess.CompletedProcess[str]:
    """A program run by two processes that torchrun starts."""
    line = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *program]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    return subprocess.run([sys.executable, *line], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("divided")
    done = together("-m", "tests.policies.text.divided", str(folder))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("name", CASES)
def test_invariance_two_processes_have_the_loss_curve_of_one(name: str, divided: Path, tmp_path: Path):
    ours, alone = json.loads((divided / f"{name}.json").read_text()), case(name, ALONE, tmp_path)
    for one, other in zip(ours["told"], alone["told"], strict=True):  # pyright: ignore[reportArgumentType]
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    assert ours["weights"] == pytest.approx(alone["weights"], rel=1e-3, abs=1e-3)


def test_golden_processes_that_have_added_up_end_without_an_error(tmp_path: Path):
    program = tmp_path / "added.py"
    program.write_text(
        "import torch\nfrom accord.backbones.sharding import joined\nshare = joined()\n"
        "assert all(share.summed(torch.tensor([share.rank + 1.0])).item() == 3.0 for _ in range(50))\n"
    )
    done = together(str(program))
    assert done.returncode == 0, done.stderr[-4000:]


def test_golden_every_process_takes_part_as_often():
    parts = list("abcde")
    shares = [list(Share(rank, 2).of(parts)) for rank in range(2)]
    assert shares == [[("a", 1.0), ("c", 1.0), ("e", 1.0)], [("b", 1.0), ("d", 1.0), ("e", 0.0)]]
    assert list(ALONE.of(parts)) == [(part, 1.0) for part in parts]
    assert ALONE.summed(torch.tensor([1.5, 2.0])).tolist() == [1.5, 2.0]
