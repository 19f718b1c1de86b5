"""Contract, golden: a whole small run through its public entry, its accounting, and what is refused beforehand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO as PPOModel

from accord import build, cli, config, lineage, records, trained
from accord.feedback.store import Store
from accord.loop import learning_steps
from accord.policies.control.ppo import PPO
from accord.tasks.control import ControlConfig, ControlTask
from accord.toml import Tree
from accord.types import InputError
from tests.tasks.environments import IDENTITY

ENVS, STEPS, LABELS, ROUNDS = 16, 1_500, 9, 3
EXPLORED = build.EXPLORED // ENVS * ENVS  # more than two segments of ten steps a copy


def tree(**changes: Tree) -> Tree:
    small: dict[str, Tree] = {
        "task": {"envs": ENVS, "horizon": 60},
        "feedback": {"labels": LABELS, "rounds": ROUNDS, "segment": 10},
        "reward": {"members": 2, "epochs": 3, "width": 8},
        "policy": {"steps": STEPS, "hidden": [8], "epochs": 2},
        "report": {"episodes": 6, "baselines": True, "clip": False},
    }
    return {name: {**section, **changes.get(name, {})} for name, section in small.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, records.Result]:
    folder = tmp_path_factory.mktemp("build") / "run"
    return folder, build.run(config.from_tree(tree(report={"clip": True})), folder)


def test_contract_the_result_is_what_is_on_disk_and_tells_every_figure(finished):
    folder, result = finished
    saved = records.read_result(folder)
    assert (saved.true_return, saved.env_steps_by, saved.seconds) == (
        result.true_return,
        result.env_steps_by,
        result.seconds,
    )
    assert (result.task, result.seed, result.labels) == ("accord/FixedCartPole-v0", 0, LABELS)
    assert set(result.baselines) == {"random", "constant", "true"}
    for name, mean in (
        ("random", result.random_return),
        ("constant", result.constant_reward_return),
        ("true", result.true_reward_return),
    ):
        assert result.baselines[name].mean == mean
    for measured in (result.true_return, *result.baselines.values()):
        assert measured.episodes == 6 and 0 <= measured.ci95[0] <= measured.mean <= measured.ci95[1] <= 60
    assert (folder / records.REPORT).stat().st_size > 10_000


def test_contract_every_step_is_counted_for_what_it_was(finished):
    """Random steps at first, then improvement to the configured total within one rollout, and judging apart."""
    folder, result = finished
    by = result.env_steps_by
    assert set(by) == {"collect", "improve", "judge"} and sum(by.values()) == result.env_steps
    assert by["collect"] == EXPLORED
    rollout = max(32, 2048 // ENVS) * ENVS
    assert STEPS <= by["collect"] + by["improve"] <= STEPS + rollout
    lines = records.read_records(folder)
    assert by["improve"] == sum(line["steps"] for line in lines if line["stage"] == "improve")
    # 20 episodes a round and 6 at the end, of 60 steps each.
    assert by["judge"] == 60 * (build.ROUND_EPISODES * ROUNDS + 6)
    judged = [line for line in lines if line["stage"] == "judge"]
    assert judged[-1]["env_steps"] == by["collect"] + by["improve"]


def test_contract_labels_in_the_result_are_answers_in_the_store(finished):
    folder, result = finished
    store = Store(f"sqlite:///{folder / records.STORE}")
    answers = store.answers()
    store.close()
    assert len(answers) == result.labels == LABELS


def test_contract_the_lineage_holds(finished):
    folder, _ = finished
    links = lineage.verify(folder)
    assert all(link.holds for link in links)
    assert {link.what for link in links if link.state == "same"} == {"answers", "reward", "policy", "reward of policy"}


def test_contract_the_policy_in_the_folder_is_the_one_that_was_measured(finished):
    folder, result = finished
    settings = config.from_tree(tree())
    task = ControlTask(settings.task)
    policy = PPO(task, settings.policy, 5)
    policy.load(folder / records.POLICY)
    test = build.runtime.derive(settings.seed, "test")
    assert build.evaluate(task.sibling(6), policy.act, test).mean() == result.true_return.mean
    assert policy.version == ROUNDS


def test_contract_the_clip_is_an_episode_of_the_last_policy_and_read_back_with_the_result(finished):
    folder, result = finished
    assert isinstance(result.clip, records.Clip), result.clip
    assert records.read_result(folder).clip == result.clip
    assert (result.clip.steps, result.clip.width) == (60, 320) and 0 <= result.clip.true_return <= 60
    assert (folder / records.CLIP).stat().st_size < 1_500_000
    assert "data:image/webp" in (folder / records.REPORT).read_text()


def test_contract_rounds_learn_from_one_reward_each_and_tell_it(finished):
    folder, _ = finished
    lines = records.read_records(folder)
    hashes = [line["reward_hash"] for line in lines if line["stage"] == "improve"]
    assert len(set(hashes)) == ROUNDS
    assert hashes == [line["reward_hash"] for line in lines if "answers_hash" in line]


def test_invariance_baselines_stand_beside_and_the_seed_alone_decides(finished, tmp_path: Path):
    """Run again without baselines, they are "not measured" and all else is the same; of another seed it is not."""
    _, before = finished
    without = tree(report={"baselines": False})
    result = build.run(config.from_tree(without), tmp_path / "run")
    assert (result.random_return, result.constant_reward_return, result.true_reward_return) == (None, None, None)
    assert result.clip == records.NoClip("off") and not (tmp_path / "run" / records.CLIP).exists()
    saved = json.loads((tmp_path / "run" / records.RESULT).read_text())
    assert saved["random_return"] is None and saved["baselines"] == {}
    for name in ("true_return", "reward", "env_steps_by", "labels"):
        assert getattr(result, name) == getattr(before, name)
    other = build.run(config.from_tree({**without, "seed": 1}), tmp_path / "other")
    assert other.true_return != result.true_return


def test_golden_a_termination_pads_and_the_run_goes_through(tmp_path: Path):
    """CartPole-v1 ends by itself and resets in a call of its own, which is no step."""
    settings = config.from_tree(
        tree(task={"id": "CartPole-v1"}, feedback={"rounds": 2}, report={"baselines": False, "episodes": 4})
    )
    result = build.run(settings, tmp_path / "run")
    by = result.env_steps_by
    assert by["collect"] < EXPLORED  # resets are not counted
    assert STEPS <= by["collect"] + by["improve"] <= STEPS + 128 * ENVS
    store = Store(f"sqlite:///{tmp_path / 'run' / records.STORE}")
    named = [id for query in store.queries([a.query for a in store.answers()]) for id in query.segments]
    segments = store.segments(list(dict.fromkeys(named)))
    store.close()
    assert any(not segment.valid.all() for segment in segments)
    assert all(segment.ended or segment.valid.all() for segment in segments)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"policy": {"steps": 2 * 10 * ENVS}}, "policy.steps is 320"),
        ({"task": {"id": "CartPol-v1"}}, "did you mean CartPole-v1"),
        (
            {"feedback": {"annotator": "web", "demonstrations": "d.npz", "queries": {"kind": "demonstrate"}}},
            "leave one out",
        ),
        (
            {"task": {"id": IDENTITY}, "feedback": {"annotator": "web", "queries": {"kind": "correct"}}},
            "cannot be drawn here",
        ),
    ],
)
def test_contract_what_cannot_be_run_is_refused_in_one_sentence(changes: dict[str, Tree], names: str, tmp_path: Path):
    with pytest.raises(InputError) as refused:
        build.run(config.from_tree(tree(**changes)), tmp_path / "run")
    assert names in str(refused.value) and "\n" not in str(refused.value)


def test_golden_the_plan_ends_where_the_configuration_says(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    for labels, rounds in ((9, 3), (5, 5), (1, 1), (100, 7)):
        settings = config.from_tree(tree(feedback={"labels": labels, "rounds": rounds}))
        plan = build.Made(settings, store, tmp_path).plan
        assert len(plan.labels) == len(plan.steps) == rounds
        assert (plan.labels[-1], plan.steps[-1]) == (labels, STEPS)
        assert all(earlier <= later for earlier, later in pairwise((2 * 10 * ENVS, *plan.steps)))
    store.close()


def test_golden_the_steps_learned_from_leave_out_evaluation():
    task = ControlTask(config.from_tree(tree()).task)
    task.resume({"collect": 3, "improve": 4, "judge": 100}, 0)
    assert learning_steps(task) == 7 and task.reset(0).shape == (ENVS, 4)
    assert np.sum(list(task.steps().values())) == 107


def test_contract_the_policy_of_a_run_predicts_as_it_was_measured_and_is_exported(finished, tmp_path: Path):
    folder, _ = finished
    player = trained.load_policy(folder)
    task = ControlTask(ControlConfig(id="accord/FixedCartPole-v0", envs=3))
    rows = task.reset(0)
    action, state = player.predict(rows)
    assert (state(rows) == action).all() and (action == player.policy.act(rows)).all()
    assert player.predict(rows[1])[0] == action[1]
    assert cli.main(["export", str(folder), str(tmp_path / "policy.zip"), "--policy", "sb3"]) == 0
    model = PPOModel.load(tmp_path / "policy.zip", device="cpu")
    assert (model.predict(rows, deterministic=True)[0] == action).all()
    assert cli.main(["export", str(tmp_path), str(tmp_path / "none.zip")]) == 2
