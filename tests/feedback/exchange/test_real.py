"""Golden: real files go in as docs/exchange.md says. Their texts are never shown: counts alone."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from accord.feedback.evidence import pack
from accord.feedback.exchange.imports import import_file
from accord.feedback.store import Store
from accord.types import Comparisons, Reply, Side

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("ACCORD_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"Real data are not tested: there is no {DATA}.")
Empty = Callable[[], Store]


def converted(name: str, out: Path) -> Path:
    """Runs the snippet of the page that reads a file of the data, and returns what it wrote."""
    page = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")
    code = next(code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if name in code)
    code = re.sub(r'open\("([\w.-]+)"(?!, "w")', lambda found: f'open("{next(DATA.rglob(found[1]))}"', code)
    written = re.findall(r'open\("([\w.-]+)", "w"\)', code)[0]
    exec(compile(code.replace(f'"{written}"', repr(str(out / written))), "docs/exchange.md", "exec"), {})
    return out / written


def test_golden_hh_goes_in_as_it_is(empty: Empty):
    store = empty()
    found = import_file(DATA / "hh" / "hh_harmless.jsonl.gz", store)
    assert (found.shape, found.notes, found.taken.answers) == ("chosen and rejected", (), 1856)
    evidence = pack(store)
    (part,) = evidence.parts
    assert isinstance(part, Comparisons) and part.levels == 2
    assert 0.45 < part.level.mean() < 0.55  # sorted by hash: neither side is the better one
    replies = [each for each in evidence.segments if isinstance(each, Reply)]
    # Of the five pairs whose prompts differ, one reply each is of two turns.
    assert sum("\n\nAssistant:" in each.response for each in replies) == 5
    assert sum(each.response == "" for each in replies) == 3
    assert import_file(DATA / "hh" / "hh_harmless.jsonl.gz", store).taken.known == 1856


def test_golden_pandalm_has_three_annotators_for_each_pair(empty: Empty, tmp_path: Path):
    store = empty()
    path = converted("testset-v1.json", tmp_path)
    assert import_file(path, store).taken.answers == 2997
    levels = Counter(answer.value.level for answer in store.answers() if isinstance(answer.value, Side))
    assert levels[1] == 97 + 116 + 113 and sum(levels.values()) == 2997
    sides = [(it.value, it.shown[0]) for it in store.answers()]
    assert sum(value == Side(2, 3) if first == 0 else value == Side(0, 3) for value, first in sides) == 427 + 417 + 411
    # That many said response1, wherever the ids have put it.


def test_golden_ukp_goes_in(empty: Empty, tmp_path: Path):
    """The first 4,000 of its votes: all 62,581 take half a minute under the tests' type checks."""
    store = empty()
    path = converted("ukp_votes.tsv.gz", tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    votes = [json.loads(line) for line in lines[:4000]]
    path.write_text("\n".join(lines[:4000]), encoding="utf-8")
    found = import_file(path, store)
    assert len(lines) == 62_581 and found.taken.answers == 4000
    assert found.taken.annotators == len({vote["annotator"] for vote in votes})
    levels = Counter(answer.value.level for answer in store.answers() if isinstance(answer.value, Side))
    assert levels[1] == sum(vote["label"] == "tie" for vote in votes) and store.waiting() == 0
