"""Contract: what the README shows works as it stands, and both languages show the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.zh-CN.md")
# The snippet's own words with small budgets: what it does stays, how long it takes does not.
SMALL = {"50_000": "2_000", "pool, 200": "pool, 20", "ticks=200": "ticks=60", "sibling(100)": "sibling(4)"}


def snippets(readme: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)


def without_comments(code: str) -> str:
    return re.sub(r"  # .*", "", code)


def test_contract_the_loop_of_the_readme_runs(capsys: pytest.CaptureFixture[str]):
    code = snippets("README.md")[0]
    for budget, small in SMALL.items():
        assert budget in code
        code = code.replace(budget, small)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    told = float(capsys.readouterr().out)
    assert -2000.0 < told < 0.0  # 200 steps of Pendulum pay -16.3 each at worst, and never more than 0
    assert names["store"].waiting() == 0  # type: ignore[attr-defined]
    assert len(names["store"].answers()) == 20  # type: ignore[attr-defined]


def test_contract_the_whole_run_of_the_readme_is_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code = snippets("README.md")[1].replace('Path("examples/cartpole.toml")', "FILE").replace("runs/notebook", "RUN")
    config = tmp_path / "tiny.toml"
    config.write_text(
        "seed = 1\n[task]\nenvs = 8\nhorizon = 60\n[feedback]\nlabels = 8\nrounds = 2\nsegment = 10\n"
        "[reward]\nmembers = 2\nepochs = 2\n[policy]\nsteps = 2_000\n[report]\nepisodes = 4\n"
    )
    code = code.replace('"RUN"', "FOLDER")
    exec(compile(code, "README.md", "exec"), {"FILE": config, "FOLDER": tmp_path / "run"})
    policy, random = (float(word) for word in capsys.readouterr().out.split())
    assert 0.0 <= min(policy, random) and max(policy, random) <= 60.0
    assert (tmp_path / "run" / "report.html").is_file()


def test_invariance_both_languages_show_the_same_code_and_tree():
    english, chinese = ([without_comments(code) for code in snippets(readme)] for readme in READMES)
    assert english == chinese
    trees = [
        re.findall(r"^ *([\w./]+\.\w+|[\w/]+/)(?=  )", (ROOT / r).read_text(encoding="utf-8"), re.M) for r in READMES
    ]
    assert len(trees[0]) > 70
    assert trees[0] == trees[1]


@pytest.mark.parametrize("readme", READMES)
def test_contract_tree_names_every_benchmark_and_example_and_nothing_that_is_not_there(readme: str):
    text = (ROOT / readme).read_text(encoding="utf-8")
    made = [*(ROOT / "bench").glob("*.py"), *(ROOT / "examples").glob("*.toml"), *(ROOT / "docs").glob("*.*")]
    assert [path.name for path in made if path.name not in text and path.name != "__init__.py"] == []
    tree = text.split("\nsrc/accord/\n")[1].split("```")[0]
    known = {path.name for path in ROOT.rglob("*.*") if not {".venv", ".peers"} & set(path.parts)}
    named = set(re.findall(r"^ *([\w]+\.(?:py|toml|md))", tree, re.M))
    assert named - known == set()


def test_golden_the_picture_is_small():
    picture = ROOT / "docs" / "images" / "report.png"
    header = np.frombuffer(picture.read_bytes()[16:24], ">u4")
    assert picture.stat().st_size < 300_000
    assert header[0] >= 1000  # wide enough to read
