"""Golden: the sentence, verdicts and figures of a run of text. Contract: what models wrote is shown as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from accord.reports.figures import figures
from accord.reports.read import Run
from accord.reports.run import write
from accord.reports.text_words import ALONE, INSTEAD
from accord.reports.texts import shown, stats
from accord.reports.verdict import result_sentence, terminates, verdicts
from accord.reports.view import LONGEST, examples
from accord.reports.words import LANGUAGES, WORDS, say
from tests.reports.test_run import EVIL, make_folder, manifest_record


def gold(mean: float, half: float = 0.04) -> dict:
    return {"mean": mean, "std": 0.5, "episodes": 100, "ci95": [mean - half, mean + half]}


def result_record(stopped: str = "", scorer: bool = True) -> dict:
    won = {"mean": 0.8, "ci95": [0.7, 0.9], "prompts": 4} if scorer else None
    first = {"prompt": "Tom went out.", "start": "He was glad.", "policy": EVIL}
    samples = [first | {"start_gold": -0.4, "policy_gold": 0.7}]
    return {
        "task": "stories", "seed": 0, "labels": 300, "env_steps": 7_000,
        "env_steps_by": {"collect": 600, "improve": 5_400, "judge": 1_000},
        "seconds": {"total": 60.0, "collect": 5.0, "fit": 10.0, "improve": 40.0},
        "true_return": gold(0.3) if scorer else None,
        "random_return": None, "constant_reward_return": None,
        "reward": {"heldout_accuracy": 0.66, "ci95": [0.58, 0.73], "ece": 0.05},
        "baselines": {"start": gold(-0.4), "constant": gold(-0.38), "true": gold(0.6)} if scorer else {},
        "texts": {"prompts": 4, "heldout": 4, "win_rate": won,
                  "kl": 8.26, "tokens": 61.0, "start_tokens": 64.0, "proxy": 2.5, "stopped": stopped,
                  "samples": samples},
    }  # fmt: skip


def stage_records() -> list[dict]:
    texts = {"prompt": "Lily saw a cat.", "first": "It was nice.", "second": EVIL + "x" * 2 * LONGEST}
    example = {"kind": "compare", "acquisition": "uniform", "level": 1, "levels": 2, "annotator": "Ana", "p": 0.7,
               "texts": texts}  # fmt: skip
    return [
        {"stage": "judge", "round": k, "labels": 100 * (k + 1), "env_steps": 2_000 * (k + 1), "kl": 2.0 + 3.0 * k,
         "true_return": -0.2 + 0.2 * k, "true_return_low": -0.3 + 0.2 * k, "true_return_high": -0.1 + 0.2 * k,
         "signs": {"gain": 1.0 + k, "doubt": 1.1}, "examples": [example]}
        for k in range(3)
    ]  # fmt: skip


def run_of(folder: Path, **more: object) -> Run:
    manifest = manifest_record()
    manifest["configuration"]["task"] = {"kind": "text", "id": "stories"}
    result = result_record(**more)  # type: ignore[arg-type]
    return Run.read(make_folder(folder / "run", result, manifest, stage_records()))


def test_golden_the_sentence_is_in_the_words_of_text(tmp_path: Path):
    result = result_record()
    assert result_sentence(result, "en text", "comparisons") == (
        "After 300 comparisons and 7,000 responses the policy scores 0.30 (95% interval 0.26 to 0.34): "
        "70% of the way from the start model to what the same algorithm reaches on the gold scorer itself."
    )
    assert "7,000 条回复" in result_sentence(result, "zh text", "comparisons")
    assert result_sentence(result_record(scorer=False), "en text").startswith("There is no gold scorer")


def test_golden_verdicts_tell_of_wins_the_start_model_and_an_early_end(tmp_path: Path):
    run = run_of(tmp_path, stopped="kL is 20 nats")
    heads = {chip.head: chip for chip in verdicts(run, "en text")}
    assert heads["Beats the start model"].mark == "good" and "80% of pairs" in heads["Beats the start model"].why
    assert heads["Better than the start model"].why == "The start model scores −0.40."
    assert heads["Ended early"].why == "KL is 20 nats" and "Better than a constant reward" in heads
    assert terminates(run) is False
    none = verdicts(run_of(tmp_path / "none", scorer=False), "en text")
    assert {"Start model not measured", "Constant-reward control not measured"} <= {chip.head for chip in none}
    assert "Beats the start model" not in {chip.head for chip in none}


def test_golden_where_people_judged_the_policy_they_are_named_and_nothing_else_is_claimed(tmp_path: Path):
    asked = {"win_rate": {"mean": 0.8, "ci95": [0.55, 0.93], "prompts": 15}, "judged_by": "people"}
    result = result_record(scorer=False)
    result["texts"] |= asked
    assert result_sentence(result, "en text", "comparisons") == (
        "After 300 comparisons and 7,000 responses people prefer the policy's response to the start model's "
        "on 80% of 15 prompts (95% interval 55% to 93%)."
    )
    assert "15 个提示" in result_sentence(result, "zh text", "comparisons")
    manifest = manifest_record()
    manifest["configuration"]["task"] = {"kind": "text", "id": "stories"}
    run = Run.read(make_folder(tmp_path / "run", result, manifest, stage_records()))
    (chip,) = [chip for chip in verdicts(run, "en text") if chip.head == "Beats the start model"]
    assert chip.mark == "good" and chip.why.startswith("People preferred its response to 80% of 15 prompts")


def test_golden_reward_and_gold_score_against_kl_are_in_deviations_of_the_start(tmp_path: Path):
    drawn = figures(run_of(tmp_path), "en text")["against_kl"]
    reward, score = drawn.data
    assert (reward["x"], reward["y"]) == ([0.0, 2.0, 5.0, 8.0], [0.0, 1.0, 2.0, 3.0])
    assert score["y"] == pytest.approx([0.0, 0.4, 0.8, 1.2])
    alone = figures(run_of(tmp_path / "none", scorer=False), "en text")["against_kl"]
    assert len(alone.data) == 1
    assert "against_kl" not in figures(Run.read(make_folder(tmp_path / "control")), "en")


def test_golden_stats_samples_and_examples(tmp_path: Path):
    run = run_of(tmp_path)
    assert [(stat.value, stat.detail) for stat in stats(run)] == [("80%", "70%–90%"), ("8.3", "")]
    found = shown(run)
    assert found is not None and (found.heldout, found.tokens, found.samples[0].policy_gold) == (4, "61", 0.7)
    cut = examples(run)[0].texts
    assert cut is not None and len(cut["second"]) == LONGEST + 2 and cut["second"].endswith(" …")
    assert shown(Run.read(make_folder(tmp_path / "control"))) is None


def test_contract_what_models_wrote_is_shown_as_text_and_every_word_has_both_languages(tmp_path: Path):
    page = write(run_of(tmp_path).folder).read_text()
    assert EVIL not in page and "&lt;script&gt;alert(" in page
    for word in ("Side by side", "并排对照", "Gold score", "responses", "Start model"):
        assert word in page
    for word in ("random policy", "Environment steps", "environment itself pays"):
        assert word not in page
    assert set(INSTEAD) <= set(WORDS) and not set(INSTEAD) & set(ALONE)
    for pair in (*INSTEAD.values(), *ALONE.values()):
        assert all(pair) and len(pair) == len(LANGUAGES)
    assert say("random", "en") == "random policy" and say("random", "en text") == "start model"
