"""What bench.text_vs_trl gives both sides. Golden: the story model's tokenizer in Transformers' form, the reward.
Contract: the work is read from the command line alike, rates leave out the first update, the line names the fastest.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import text_models, text_parity, text_vs_trl

sys.path.insert(0, str(Path(text_vs_trl.__file__).parent / "peers"))
import text_work

needs_story = pytest.mark.skipif(not text_models.STORY.exists(), reason="../shared/data/models is not there")


@needs_story
def test_golden_the_story_tokenizer_of_transformers_is_that_of_llama2c():
    pytest.importorskip("transformers")
    from accord.backbones.story import StoryTokens

    path = text_models.STORY.with_name("tok512.bin")
    old, new = StoryTokens(path), text_models.story_tokenizer(path)
    golden = json.loads(path.with_name("golden_ids.json").read_text())
    for text, ids in golden["encode"].items() if isinstance(golden["encode"], dict) else golden["encode"]:
        assert new(text)["input_ids"] == ids
    written = old.decode(golden["ids"])
    assert new.decode(golden["ids"], skip_special_tokens=True) == written
    for start in range(0, len(written) - 40, 7):
        piece = written[start : start + 40]
        assert new(piece)["input_ids"] == old.encode(piece)
        assert new.decode(new(piece)["input_ids"], skip_special_tokens=True) == " " + piece


def test_golden_the_reward_counts_letters():
    assert text_work.letters("It is 3 o'clock!") == (2 + 2 + 1 + 5) % 7
    assert text_work.letters("") == 0.0
    assert text_work.vowels("He sees me") == 4 / 3


def test_contract_work_is_read_from_the_command_line(monkeypatch: pytest.MonkeyPatch):
    line = ["rloo", "fast", "folder", "3", "4", "16", "5", "--seed", "9"]
    monkeypatch.setattr(sys, "argv", ["x", *line])
    found = text_work.work(("fast",))
    assert (found.batch, found.beta, found.rate, found.model) == (12, 0.05, 1e-6, Path("folder"))
    assert len(found.asked()) == 3
    monkeypatch.setattr(sys, "argv", ["x", *line, "--beta", "0"])
    assert text_work.work(("fast",)).beta == 0.0
    pairs = text_work.pairs(found, 20)
    assert len(pairs) == 20 and all(chosen != rejected for _, chosen, rejected in pairs)


def test_golden_rates_leave_out_the_first_update(monkeypatch: pytest.MonkeyPatch):
    steps, now = text_work.Steps(), [0.0]
    monkeypatch.setattr(text_work.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(text_work.time, "process_time", lambda: now[0] / 2)
    for seconds in (100.0, 2.0, 4.0):
        with steps.part("write"):
            now[0] += seconds / 2
        now[0] += seconds / 2
        steps.mark()
    told = steps.figures(8)
    assert (told["samples_per_second"], told["samples_per_cpu_second"]) == (8 * 2 / 6.0, 8 * 2 / 3.0)
    assert told["step_seconds"] == 3.0 and told["part_seconds"] == {"write": 1.5}


def test_contract_a_ratio_is_over_the_fastest_form():
    def result(rate: float, peak: float) -> list[dict[str, object]]:
        figures = {"samples_per_second": rate, "samples_per_cpu_second": 2 * rate, "peak_mb": peak}
        return [{**figures, "part_seconds": {}, "mean": 1.0}]

    found = {"ours": result(30.0, 100.0), "default": result(5.0, 150.0), "bfloat16": result(10.0, 120.0)}
    told = text_vs_trl.compared({**found, "float32": result(6.0, 300.0)})
    assert (told["fastest"], told["ratio"]["median"], told["memory"]) == ("bfloat16", 3.0, 1.2)


def test_golden_gains_are_read_where_the_kl_is_the_same():
    """One learner gets twice as far for its KL: at the lesser of the two greatest KL it has gained twice as much."""
    kl = np.arange(20, dtype=float)
    one, other = np.stack([kl, 3.0 + 2.0 * kl]), np.stack([2.0 * kl, 3.0 + 2.0 * kl])
    mine, theirs = text_parity.gains_at_equal_kl(one, other)  # means of five: 17 nats, and the first at 18
    assert (mine, theirs) == pytest.approx((34.0, 18.0))
