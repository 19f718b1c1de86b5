"""Ends with 0 if this interpreter has every `name==version` of a requirement file, else with 1."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def satisfied(requirement: str) -> bool:
    name, _, wanted = requirement.partition("==")
    try:
        return version(name.split("[")[0]).split("+")[0] == wanted
    except PackageNotFoundError:
        return False


lines = [line.split("#")[0].strip() for line in Path(sys.argv[1]).read_text().splitlines()]
sys.exit(0 if all(satisfied(line) for line in lines if line) else 1)
