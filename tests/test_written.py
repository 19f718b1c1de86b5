"""Whole small runs of text with the story model: what they leave behind, resuming, and what is refused beforehand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from accord import build, cli, config, lineage, loop, records, toml
from accord.backbones import peft, text, weights
from accord.feedback.store import Store
from accord.progress import Silent
from accord.rewards.fitted import load
from accord.types import InputError, Reply

MODEL = Path(__file__).resolve().parents[2] / "shared" / "data" / "models" / "stories260K.bin"
TIMES = ("time", "seconds")
PROMPTS = [f"{name} went to the {place}." for name in ("Tom", "Lily", "Ben") for place in ("park", "shop", "sea")]
POLICY = {"algorithm": "rloo", "steps": 120, "prompts": 4, "minibatch": 16, "tokens": 12, "learning_rate": 1e-3}
OTHERS = {
    "rloo": {},
    "ppo, adapters": {"algorithm": "ppo", "rank": 2, "epochs": 2},
    "grpo": {"algorithm": "grpo", "group": 4},
    "dpo": {"algorithm": "dpo", "learning_rate": 1e-3},
    "best-of-n": {"algorithm": "best-of-n", "n": 3},
}


@pytest.fixture(scope="module")
def model() -> str:
    if not MODEL.is_file():
        pytest.skip("../shared/data is not here: no story was written.")
    return str(MODEL)


def settings(model: str, other: str = "rloo", **more: object) -> config.RunConfig:
    """Twelve comparisons in two rounds, a few words a response."""
    own = OTHERS[other]
    kept = POLICY if own.get("algorithm") not in ("best-of-n", "dpo") else {"steps": 120, "tokens": 12}
    tree: toml.Tree = {
        "task": {"kind": "text", "id": "stories", "model": model, "prompts": PROMPTS, "gold": "vader-negative"},
        "feedback": {"labels": 12, "rounds": 2, "queries": {"levels": 2}},
        "reward": {"kind": "linear", "members": 2, "text": "style", "select": "fixed"},
        "policy": {**kept, **own},
        "report": {"episodes": 8, "baselines": False},
    }
    for key, value in more.items():
        section, _, name = key.partition("__")
        tree[section] = {**tree[section], name: value}
    return config.from_tree(tree)


def outcome(folder: Path) -> dict[str, object]:
    """All that a run leaves behind, apart from times."""
    result = json.loads((folder / records.RESULT).read_text())
    result.pop("seconds")
    lines = {
        (r["round"], r["stage"]): {k: v for k, v in r.items() if k not in TIMES} for r in records.read_records(folder)
    }
    files = [path for part in (records.POLICY, records.REWARD) for path in (folder / part).glob("*.safetensors")]
    weights = {
        f"{path.parent.name}/{path.name}/{name}": array.tobytes()
        for path in files
        for name, array in load_file(path).items()
    }
    return {"result": result, "records": lines, "weights": weights}


class Stopped(Exception):
    """Stands for any end of the process that leaves no time to tidy up."""


class StopAt(Silent):
    """Stops when a stage of a round begins."""

    def __init__(self, round: int, name: str) -> None:
        self.wanted = round, name

    def stage(self, name: str, round: int, rounds: int) -> None:
        if (round, name) == self.wanted:
            raise Stopped


@pytest.fixture(scope="module")
def finished(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "run"
    build.run(settings(model, report__baselines=True), folder)
    return folder


def test_contract_a_run_of_text_leaves_all_that_a_run_leaves(finished: Path):
    result = records.read_result(finished)
    assert (result.task, result.labels) == ("stories", 12)
    assert sum(result.env_steps_by.values()) == result.env_steps and set(result.env_steps_by) == {
        "collect",
        "improve",
        "judge",
    }
    texts = result.texts
    assert texts is not None and texts.win_rate is not None and result.true_return is not None
    assert (texts.prompts, texts.heldout) == (2, 2) and 0.0 <= texts.win_rate.mean <= 1.0
    assert set(result.baselines) == {"start", "constant", "true"}
    assert [line["stage"] for line in records.read_records(finished)] == 2 * list(loop.STAGES)
    assert all(link.holds for link in lineage.verify(finished))
    page = (finished / records.REPORT).read_text()
    assert "Side by side" in page and texts.samples[0].policy.strip()[:20] in page


def test_contract_comparisons_are_between_responses_to_one_prompt_and_never_about_those_kept_apart(finished: Path):
    store = Store(f"sqlite:///{finished / records.STORE}")
    asked = [store.segments(query.segments) for query in store.queries()]
    store.close()
    pairs = [[one for one in pair if isinstance(one, Reply)] for pair in asked]
    assert len(pairs) == 12 and all(first.prompt == second.prompt for first, second in pairs)
    judged = {sample.prompt for sample in records.read_result(finished).texts.samples}  # type: ignore[union-attr]
    assert not judged & {first.prompt for first, _ in pairs}


def test_golden_a_kept_reward_reads_replies_that_it_has_never_seen(finished: Path):
    reward = load(finished / records.REWARD)
    value = reward.value([Reply("Anything.", "Words that nobody has written yet."), Reply("Anything.", "Sad!")])
    assert value.shape == (2, 2) and np.isfinite(value).all()
    assert np.array_equal(value, load(finished / records.REWARD).value(
        [Reply("Anything.", "Words that nobody has written yet."), Reply("Anything.", "Sad!")]
    ))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHERS)
def test_invariance_stopped_and_resumed_it_ends_the_same(model: str, other: str, tmp_path: Path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    build.run(settings(model, other), whole)
    for round, stage in ((0, "judge"), (1, "fit"), (1, "improve")):
        with pytest.raises(Stopped):
            build.run(settings(model, other), folder, resume=True, progress=StopAt(round, stage))
    build.run(settings(model, other), folder, resume=True)
    assert outcome(folder) == outcome(whole)


@pytest.mark.slow
def test_invariance_stopped_and_resumed_with_a_language_model_as_the_reward(model: str, tmp_path: Path, capsys):
    own = {"model": model, "rank": 2, "members": 2, "minibatch": 4, "learning_rate": 1e-2}
    asked = settings(model, reward__kind="sequence", reward__sequence=own, policy__rank=2)  # both on one frozen model
    whole, folder = tmp_path / "whole", tmp_path / "run"
    build.run(asked, whole)
    for stage in ("fit", "improve"):
        with pytest.raises(Stopped):
            build.run(asked, folder, resume=True, progress=StopAt(1, stage))
    build.run(asked, folder, resume=True)
    assert outcome(folder) == outcome(whole)
    assert cli.main(["export", str(folder), str(tmp_path / "reward"), "--reward"]) == 0
    written = json.loads((tmp_path / "reward" / "member-1" / "config.json").read_text())
    assert written["architectures"] == ["LlamaForSequenceClassification"] and written["num_labels"] == 1
    assert cli.main(["export", str(folder), str(tmp_path / "x"), "--reward", "--policy", "merged"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_contract_a_reward_of_rows_is_no_model_that_others_load(finished: Path, tmp_path: Path, capsys):
    assert cli.main(["export", str(finished), str(tmp_path / "reward"), "--reward"]) == 2
    assert 'has a reward of kind "linear", and only "sequence" is a model' in capsys.readouterr().err


def test_contract_a_run_that_went_too_far_ends_early_and_says_why(model: str, tmp_path: Path):
    result = build.run(settings(model, policy__kl_budget=1e-6, policy__kl=0.0), tmp_path / "run")
    assert result.texts is not None and "beyond policy.kl_budget" in result.texts.stopped
    assert result.labels < 12
    assert records.read_records(tmp_path / "run")[-1]["stopped"] == result.texts.stopped


def test_contract_what_cannot_be_run_is_one_sentence(model: str, tmp_path: Path):
    for more, said in (
        ({"task__gold": ""}, "who needs to know what a response is worth"),
        ({"task__prompts": []}, "task.prompts is empty"),
        ({"task__prompts": ["a", " "]}, "prompt 1 of task.prompts is empty"),
        ({"policy__steps": 16}, "policy.steps is 16 responses"),
        ({"task__model": "nowhere"}, "is no language model here"),
    ):
        with pytest.raises(InputError, match=said):
            build.run(settings(model, **more), tmp_path / str(len(said)))


def letters(prompt: str, response: str) -> float:
    """Few long words: the fewer letters the better."""
    return -float(len(response))


@pytest.mark.slow
def test_learning_from_forty_comparisons_responses_win_against_the_start(model: str, tmp_path: Path):
    more = {
        "task__gold": "module:tests.test_written.letters",
        "feedback__labels": 40,
        "reward__text": "length",
        "policy__steps": 1_200,
        "policy__prompts": 8,
        "report__episodes": 64,
    }
    result = build.run(settings(model, **more), tmp_path / "run")
    assert result.texts is not None and result.texts.win_rate is not None
    assert result.texts.win_rate.ci95[0] > 0.5 and result.texts.kl > 0.1


def test_contract_the_model_of_a_run_is_exported_merged_and_as_adapters(model: str, tmp_path: Path, capsys):
    folder, out = tmp_path / "run", tmp_path / "model"
    build.run(settings(model, "ppo, adapters"), folder)
    assert cli.main(["export", str(folder), str(out)]) == 0
    start, learned = text.load(model), weights.read(out)
    assert cli.main(["export", str(folder), str(tmp_path / "adapters"), "--policy", "adapters"]) == 0
    peft.read(start.decoder, tmp_path / "adapters")
    ids = torch.tensor([start.tokenizer.asked(PROMPTS[0])])
    with torch.no_grad():
        ours, theirs = learned(ids), start.decoder(ids)
        with start.decoder.bare():
            before = start.decoder(ids)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert float((ours - before).abs().max()) > 1e-4  # it learned
    assert cli.main(["export", str(folder), str(tmp_path / "policy.zip"), "--policy", "sb3"]) == 2
    assert "is a run of text: leave --policy out" in " ".join(capsys.readouterr().err.split())
