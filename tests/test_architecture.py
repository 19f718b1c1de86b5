"""Contract: the floors of docs/design.md, the sealed truth, and the size of things, read from the source itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "accord"
FILES = sorted(SOURCE.rglob("*.py"))

# From the lowest floor up; on one floor a unit may import those written before it.
FLOORS = (
    ("types", "functional", "runtime"),
    ("ranges", "durable", "toml", "records", "trials", "sinks", "progress", "backbones"),
    ("tasks", "feedback", "rewards"),
    ("policies", "safety"),
    ("loop", "allocate", "web", "reports"),
    ("config", "checkpoints", "measure", "winning", "ballot", "written", "build", "lineage", "trained", "chosen"),
    ("tuning",),
    ("terminal", "terminal_choice", "terminal_study"),
    ("answers", "advice", "choices", "models", "tune", "cli", "__main__"),
    ("__init__",),  # the face: may name everything, and nobody imports it
)
RANK = {unit: rank for rank, unit in enumerate(unit for floor in FLOORS for unit in floor)}
NEVER = {  # beyond the floors
    ("rewards", "policies"),
    ("policies", "rewards"),
    ("web", "loop"),  # they meet in the store
    *(("reports", unit) for unit in ("tasks", "feedback", "rewards", "policies", "loop")),  # records only
}
READS_TRUTH = {"feedback/teachers.py", "rewards/judge.py", "build.py", "measure.py", "tuning/judge.py"}
LINES_FILE, LINES_FUNCTION, LINES_UPDATE = 400, 60, 100
LINES_WORDS = 450  # types.py: the words of the whole system on one page, and no logic


def name_of(path: Path) -> str:
    """accord.feedback.store for src/accord/feedback/store.py; a package's __init__ is the package."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit_of(module: str) -> str:
    """The file or folder directly under accord that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


MODULES = {name_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every accord module that is imported anywhere in a file: at the top, within functions, for type checkers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "accord")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides which floor it reaches"
            if node.module and node.module.split(".")[0] == "accord":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in MODULES else node.module


def arrows() -> list[tuple[str, str]]:
    return [(name, other) for name, path in MODULES.items() for other in imports(tree_of(path))]


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield str(path.relative_to(SOURCE)), node


def test_contract_every_file_and_folder_stands_on_a_floor():
    entries = {path.stem for path in SOURCE.glob("*.py")}
    entries |= {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert entries - RANK.keys() == set()


def test_contract_imports_point_down():
    upward = [
        f"{name} imports {other}"
        for name, other in arrows()
        if unit_of(name) != unit_of(other) and RANK[unit_of(other)] >= RANK[unit_of(name)]
    ]
    assert upward == []


def test_contract_rewards_and_policies_do_not_know_each_other_and_reports_read_records_alone():
    assert [f"{name} imports {other}" for name, other in arrows() if (unit_of(name), unit_of(other)) in NEVER] == []


def test_contract_no_import_goes_in_a_circle():
    below: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, other in arrows():
        below[name].add(other)
    while leaves := [name for name, others in below.items() if not others & below.keys() - {name}]:
        for name in leaves:
            del below[name]
    assert below == {}, "these need each other"


def test_contract_packages_have_no_face_but_the_top_one():
    assert [str(path) for path in SOURCE.rglob("*/__init__.py") if path.parent != SOURCE and path.read_text()] == []


def test_contract_truth_is_asked_for_by_teachers_and_judges_alone():
    asking = {
        str(path.relative_to(SOURCE))
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "truth"
    }
    assert asking - READS_TRUTH == set()


def test_contract_rewards_and_policies_cannot_name_the_truth():
    naming = {
        f"{path.relative_to(SOURCE)} line {node.lineno}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] in ("rewards", "policies") and path.name != "judge.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr == "truth"
    }
    assert naming == set()


def test_contract_only_runtime_sets_global_state():
    setters = ("torch.manual_seed", "np.random.seed", "random.seed", "torch.set_num_threads", "torch.set_default_dtype")
    setting = {
        f"{path.relative_to(SOURCE)} line {node.lineno}: {ast.unparse(node.func)}"
        for path in FILES
        if path.name != "runtime.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in setters and node not in forked(tree_of(path))
    }
    assert setting == set()


def forked(tree: ast.AST) -> list[ast.AST]:
    """What stands inside `with torch.random.fork_rng(...)`: a foreign module's own draws, put back afterwards."""
    return [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any("fork_rng" in ast.unparse(item) for item in node.items)
        for inner in ast.walk(node)
    ]


def test_contract_files_and_functions_stay_short():
    long = [
        f"{path.relative_to(SOURCE)}: {lines} lines"
        for path in FILES
        if (lines := len(path.read_text(encoding="utf-8").splitlines()))
        > (LINES_WORDS if path.name == "types.py" else LINES_FILE)
    ]
    long += [
        f"{file} {node.name}: {lines} lines"
        for file, node in functions()
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1)
        > (LINES_UPDATE if node.name == "update" else LINES_FUNCTION)
    ]
    assert long == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_contract_readme_tree_names_every_file(readme: str):
    text = (ROOT / readme).read_text(encoding="utf-8")
    unnamed = [
        str(file.relative_to(SOURCE))
        for file in FILES
        if file.name != "__init__.py" and "migrations" not in file.parts and file.name not in text
    ]
    assert unnamed == []


def test_golden_the_reader_of_imports_sees_lazy_and_type_checking_ones():
    lazy = "def f():\n    from accord import records\n"
    text = f"import accord.types\n{lazy}if TYPE_CHECKING:\n    from accord.types import Side\n"
    assert sorted(imports(ast.parse(text))) == ["accord.records", "accord.types", "accord.types"]
