"""A task of text: prompts kept apart and drawn in turn, responses counted by purpose, what prompts must be."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.tasks.text import TextConfig, TextTask, collected, read_prompts
from accord.types import InputError, Reply

PROMPTS = tuple(f"prompt {number}" for number in range(12))


def length(prompt: str, response: str) -> float:
    return float(len(response))


def task(**more: object) -> TextTask:
    return TextTask(TextConfig(prompts=PROMPTS, **more), seed=0)  # type: ignore[arg-type]


@given(st.integers(1, 50), st.integers(0, 2**31 - 1))
def test_property_no_prompt_comes_again_before_all_have_come_and_none_kept_apart_ever(count: int, seed: int):
    drawn = task().draw(count, seed)
    counts = Counter(drawn)
    assert len(drawn) == count and max(counts.values()) - min([*counts.values(), count // 9]) <= 1
    assert not set(drawn) & set(task().heldout)


def test_golden_a_share_of_the_prompts_is_kept_apart_where_there_are_enough():
    made = task()
    assert len(made.heldout) == 3 and sorted([*made.heldout, *made.prompts]) == sorted(PROMPTS)
    assert made.judged == made.heldout
    few = TextTask(TextConfig(prompts=PROMPTS[:4]), seed=0)
    assert few.heldout == [] and few.judged == few.prompts == list(PROMPTS[:4])
    assert task(heldout=0.0).heldout == []


def test_golden_responses_are_counted_by_purpose_and_a_baseline_has_its_own_counter():
    made = task()
    made.took(3)
    made.count_as("judge")
    made.took(2)
    apart = made.apart()
    apart.took(9)
    assert (made.steps(), made.tick) == ({"improve": 3, "judge": 2}, 5)
    assert apart.steps() == {"judge": 9}
    made.resume({"collect": 4}, 4)
    assert made.steps() == {"collect": 4}


def test_golden_equal_replies_are_one_segment_with_its_truth():
    made = task(gold="module:tests.tasks.test_text.length")
    replies = [Reply(PROMPTS[0], "ab"), Reply(PROMPTS[0], "ab"), Reply(PROMPTS[1], "abc")]
    found = collected(made, replies, round=1, policy_version=2, seed=3)
    assert [one.segment for one in found] == [replies[0], replies[2]]
    assert [one.truth.tolist() for one in found if one.truth is not None] == [[2.0], [3.0]]
    assert [one.truth for one in collected(task(), replies, round=0, policy_version=0, seed=0)] == [None, None]


def test_contract_prompts_come_from_a_list_lines_or_json_lines(tmp_path: Path):
    (tmp_path / "lines.txt").write_text("one\n\ntwo\none\n")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a"}) + "\n" + json.dumps("b") + "\n")
    assert read_prompts(str(tmp_path / "lines.txt")) == ["one", "two"]
    assert read_prompts(str(tmp_path / "rows.jsonl")) == ["a", "b"]
    (tmp_path / "wrong.jsonl").write_text('{"prompt": "a"}\n{"text": "b"}\n')
    for given_, said in (
        ((), "task.prompts is empty"),
        ("", "task.prompts is empty"),
        (("a", "  "), "prompt 1 of task.prompts is empty"),
        (str(tmp_path / "nothing.txt"), "cannot be read"),
        (str(tmp_path / "wrong.jsonl"), "line 2 of .* has no prompt"),
    ):
        with pytest.raises(InputError, match=said):
            read_prompts(given_)
    for more, said in (({"heldout": 1.0}, "task.heldout is 1"), ({"responses": 1}, "task.responses is 1")):
        with pytest.raises(InputError, match=said):
            TextConfig(**more)  # type: ignore[arg-type]
