"""Golden, contract: the configuration of a run, composed of its parts' own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accord import config, toml
from accord.types import InputError

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.toml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text('seed = 3\n[feedback]\nlabels = 60\nteacher = "noisy"\n[policy]\nsteps = 1e5\n')
    return path


def test_golden_a_file_with_overrides(file: Path):
    loaded = config.load(file, {"reward.members": "3", "feedback.teacher.mistake": "0.1", "seed": "4"})
    assert (loaded.seed, loaded.feedback.labels, loaded.policy.steps, loaded.reward.members) == (4, 60, 100_000, 3)
    assert (loaded.feedback.teacher.flaw, loaded.feedback.teacher.mistake) == ("noisy", 0.1)


def test_contract_the_keys_that_other_tools_rely_on_exist():
    wanted = {
        "seed",
        "task.kind",
        "task.id",
        "feedback.labels",
        "feedback.annotator",
        "policy.algorithm",
        "policy.steps",
    }
    known = set(toml.keys(config.RunConfig))
    assert wanted <= known
    assert any(key.startswith("feedback.teacher.") for key in known)


def test_contract_the_resolved_configuration_is_json_and_is_read_back(file: Path, tmp_path: Path):
    loaded = config.load(file, {"feedback.teacher.beta": "inf"})
    tree = json.loads(json.dumps(config.dump(loaded), allow_nan=False))
    assert config.from_tree(tree) == loaded
    (tmp_path / "again.toml").write_text(config.to_text(loaded))
    assert config.load(tmp_path / "again.toml") == loaded


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_contract_every_example_loads(path: Path):
    loaded = config.load(path)
    assert loaded.feedback.labels > 0


def test_contract_every_default_is_told_apart_by_its_key(file: Path):
    keys = toml.keys(config.RunConfig)
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seed", "-1", "seed is -1; it must be between 0 and"),
        ("feedback.labels", "0", "feedback.labels is 0; it must be between 1 and"),
        ("feedback.rounds", "61", "feedback.rounds is 61; every round needs a label and feedback.labels is 60"),
        ("feedback.first", "1.5", "feedback.first is 1.5; it must be between 0"),
        ("feedback.queries.levels", "4", "feedback.queries.levels is 4: to compare, choose one of 2, 3, 7"),
        ("feedback.annotator", "human", 'feedback.annotator is "human"; it must be one of "teacher", "web"'),
        ("task.kind", "contol", 'task.kind is "contol"; it must be one of "control", "text": did you mean "control"?'),
        ("policy.algorithm", "pppo", 'did you mean "ppo"?'),
        ("policy.gamma", "nan", "policy.gamma is nan; it must be between 0 and 1"),
        ("feedback.label", "5", 'did you mean "feedback.labels"?'),
        ("report.sinks", "tensorbord", "report.sinks"),
    ],
)
def test_golden_a_wrong_value_is_refused_in_one_sentence(file: Path, key: str, value: str, words: str):
    with pytest.raises(InputError) as caught:
        config.load(file, {key: value})
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_golden_steps_alone_have_no_segment_around_them(algorithm: str):
    with pytest.raises(InputError, match="remembers steps alone"):
        config.from_tree({"reward": {"kind": "transformer"}, "policy": {"algorithm": algorithm}})
    assert config.from_tree({"reward": {"kind": "transformer"}}).policy.algorithm == "ppo"


def test_golden_an_algorithm_has_its_own_keys_and_defaults():
    found = config.from_tree({"policy": {"algorithm": "sac", "tau": 0.01}}).policy
    assert isinstance(found, config.SACSection) and (found.tau, found.steps) == (0.01, 50_000)
    with pytest.raises(InputError, match=r"policy\.clip"):
        config.from_tree({"policy": {"algorithm": "sac", "clip": 0.2}})
    with pytest.raises(InputError, match=r"policy\.tau is 2"):
        config.from_tree({"policy": {"algorithm": "td3", "tau": 2.0}})


def test_golden_an_algorithm_of_text_has_its_keys_and_the_same_name_means_another_in_an_environment():
    text = {"task": {"kind": "text"}}
    for name in ("ppo", "rloo", "grpo"):
        found = config.from_tree({**text, "policy": {"algorithm": name, "rank": 8, "kl_target": 6.0}}).policy
        assert isinstance(found, config.OnlineSection)
        assert (found.algorithm, found.rank, found.kl_target, found.kl) == (name, 8, 6.0, 0.05)
    best = config.from_tree({**text, "policy": {"algorithm": "best-of-n", "n": 4}}).policy
    assert isinstance(best, config.BestOfNSection) and best.n == 4
    assert isinstance(config.from_tree(text).policy, config.OnlineSection)
    assert isinstance(config.from_tree({"policy": {"algorithm": "ppo"}}).policy, config.PPOSection)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"task": {"kind": "text"}, "policy": {"algorithm": "sac"}}, 'is "sac", which acts in environments, and task'),
        ({"task": {"kind": "text"}, "policy": {"algorithm": "sb3:PPO"}}, "acts in environments"),
        ({"policy": {"algorithm": "grpo"}}, 'is "grpo", which writes texts, and task.kind is "control": choose ppo'),
        ({"task": {"kind": "text"}, "policy": {"rnak": 8}}, 'did you mean "policy.rank"?'),
        ({"task": {"kind": "text", "promts": []}}, 'did you mean "task.prompts"?'),
        ({"task": {"kind": "text"}, "policy": {"kl_budget": -1.0}}, "policy.kl_budget is -1"),
        ({"task": {"kind": "text"}, "policy": {"algorithm": "best-of-n", "n": 0}}, "policy.n is 0"),
    ],
)
def test_golden_what_does_not_belong_to_a_task_of_text_is_one_sentence(tree: toml.Tree, words: str):
    with pytest.raises(InputError) as caught:
        config.from_tree(tree)
    assert words in str(caught.value) and "\n" not in str(caught.value)
