"""Contract: what the pages in docs/ say of the source is true of it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from accord import toml
from accord.config import RunConfig, algorithms
from accord.feedback.teachers import FLAWS
from accord.loop import STAGES

ROOT = Path(__file__).resolve().parent.parent
DOCS, SOURCE = ROOT / "docs", ROOT / "src" / "accord"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "README.zh-CN.md"])


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def script() -> ModuleType:
    """docs/keys.py, which is no part of any package."""
    spec = importlib.util.spec_from_file_location("docs_keys", DOCS / "keys.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_contract_the_table_of_keys_is_what_the_dataclasses_say():
    written = page("command-line.md")
    assert script().rewritten(written) == written, "run python docs/keys.py"


def test_contract_every_key_is_documented_with_a_meaning():
    pages = [list(script().rows(RunConfig)), *(found for _, found in script().others())]
    rows = {key: said for page in pages for key, _, _, said in page}
    assert set(rows) == set(toml.keys(RunConfig))
    assert [key for key, said in rows.items() if not said] == []


def test_contract_a_default_of_the_table_is_read_back_as_the_default():
    rows = [(key, default.strip("`")) for key, _, default, _ in script().rows(RunConfig)]
    text = {key: default.strip('"') for key, default in rows}
    assert toml.build(RunConfig, {}, text) == RunConfig()
    for chosen, found in script().others():
        text = {key: default.strip("`").strip('"') for key, _, default, _ in found}
        given = toml.build(RunConfig, {}, chosen, among=algorithms)
        assert toml.build(RunConfig, {}, {**chosen, **text}, among=algorithms) == given and given != RunConfig()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_contract_links_lead_somewhere(path: Path):
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [each for each in targets if "://" not in each and not (path.parent / each).exists()] == []


def test_contract_every_paper_that_the_source_names_is_in_the_index():
    named = {each for file in SOURCE.rglob("*.py") for each in re.findall(r"\b\d{4}\.\d{5}\b", file.read_text("utf-8"))}
    assert named - set(re.findall(r"\d{4}\.\d{5}", page("papers.md"))) == set()


def test_contract_every_file_that_a_page_names_is_there():
    text = "\n".join(page(name) for name in ("papers.md", "walk.md", "design.md", "ppo.md", "tasks.md", "rewards.md"))
    named = set(re.findall(r"`((?:src/|tests/|bench/)?(?:accord/)?[\w]+(?:/\w+)*\.py)", text))
    assert len(named) > 30
    places = (ROOT, SOURCE, SOURCE / "rewards", SOURCE / "tasks", SOURCE / "reports", SOURCE / "policies")
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []


def test_contract_every_function_of_the_walk_is_in_its_file():
    """`**path, `name`.`** at the head of a step: the file defines what the step is about."""
    missing = []
    for head in re.findall(r"^\d+\. \*\*(.+?)\*\*", page("walk.md"), re.M):
        file = None
        for word in re.findall(r"`([\w/.]+)`", head):
            if word.endswith(".py"):
                file = (SOURCE / word).read_text(encoding="utf-8")
            elif file is not None and not re.search(rf"^\s*(?:def|class) {word.split('.')[-1]}\b", file, re.M):
                missing.append(f"{head}: {word}")
    assert missing == []


def test_contract_every_benchmark_stage_and_teacher_is_described():
    benches = {path.stem for path in (ROOT / "bench").glob("*.py")} - {"__init__", "harness", "ours"}
    assert [name for name in sorted(benches) if f"`bench.{name}`" not in page("benchmarks.md")] == []
    assert [name for name in STAGES if f"| {name} |" not in page("loop.md")] == []
    assert [name for name in FLAWS if f"| `{name}` |" not in page("feedback.md")] == []
