"""Golden, contract: answers -> reward -> policy, and what `verify` says when one of them was changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from accord import lineage, records
from accord.durable import hash_file, new_folder
from accord.feedback.store import Store
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side

CONFIGURATION = {"seed": 7, "feedback": {"labels": 2, "store": ""}}


def answered(store: Store, name: str) -> list[Answer]:
    """One more comparison, asked and answered; all answers so far."""
    origin = Provenance("prompts", round=0, policy_version=0, seed=0, episode=0, start=0)
    ids = store.add([Collected(Reply(name, text), origin) for text in ("yes", "no")])
    store.ask([Query(name, "compare", tuple(ids))])
    store.answer([Answer(f"answer-{name}", name, "ann", Side(1, 2))])
    return store.answers()


def improved(run: records.Run, round: int) -> None:
    """A reward fitted to all answers so far, and a policy improved against it."""
    for name in ("reward", "policy"):
        with new_folder(run.folder / name) as fresh:
            (fresh / "weights").write_text(f"{name} of round {round}")
    reward = hash_file(run.folder / "reward")
    store = Store(f"sqlite:///{run.folder / 'store.db'}")
    answers = answered(store, f"query-{round}")
    store.close()
    run.record("wait", round, cursor=answers[-1].seq)
    run.record("fit", round, answers_hash=records.hash_answers(answers), reward_hash=reward)
    run.record("improve", round, reward_hash=reward, policy_hash=hash_file(run.folder / "policy"))


@pytest.fixture
def run(tmp_path: Path) -> records.Run:
    run = records.create(tmp_path / "run", CONFIGURATION, seed=7)
    store = Store(f"sqlite:///{run.folder / 'store.db'}")
    store.register("ann", "teacher")
    store.close()
    improved(run, 0)
    improved(run, 1)
    (run.folder / "result.json").touch()
    return run


def states(run: records.Run) -> dict[tuple[int, str], str]:
    return {(link.round, link.what): link.state for link in lineage.verify(run.folder)}


def test_golden_an_untouched_run_holds(run: records.Run):
    assert states(run) == {
        (0, "answers"): "same",
        (0, "reward"): "not kept",
        (0, "reward of policy"): "same",
        (0, "policy"): "not kept",
        (1, "answers"): "same",
        (1, "reward"): "same",
        (1, "reward of policy"): "same",
        (1, "policy"): "same",
    }
    assert all(link.holds for link in lineage.verify(run.folder))


@pytest.mark.parametrize("what", ["reward", "policy"])
def test_golden_a_changed_file_is_found(run: records.Run, what: str):
    (run.folder / what / "weights").write_text("other")
    assert [link.what for link in lineage.verify(run.folder) if not link.holds] == [what]


def test_golden_a_changed_answer_breaks_its_round_and_all_later_ones(run: records.Run):
    with sqlite3.connect(run.folder / "store.db") as database:
        for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f'drop trigger "{trigger}"')
        changed = database.execute("update answers set text = 'bribed' where query = 'query-1'").rowcount
    database.close()
    assert changed == 1
    broken = [(link.round, link.what) for link in lineage.verify(run.folder) if not link.holds]
    assert broken == [(1, "answers")]


def test_golden_what_is_gone_is_missing(run: records.Run):
    (run.folder / "store.db").unlink()
    (run.folder / "policy" / "weights").unlink()
    (run.folder / "policy").rmdir()
    missing = {link.what for link in lineage.verify(run.folder) if link.state == "missing"}
    assert missing == {"answers", "policy"}
    assert not (run.folder / "store.db").exists()


def test_golden_a_stopped_run_is_checked_by_its_checkpoint(run: records.Run):
    (run.folder / "result.json").unlink()
    assert states(run)[1, "reward"] == "not kept"
    (run.folder / "checkpoints").mkdir()
    (run.folder / "reward").rename(run.folder / "checkpoints" / "reward-1")
    assert states(run)[1, "reward"] == "same"
    (run.folder / "checkpoints" / "reward-1" / "weights").write_text("other")
    assert states(run)[1, "reward"] == "changed"


def test_golden_a_policy_of_a_foreign_reward_is_found(run: records.Run):
    run.record("improve", 2, reward_hash="0" * 64, policy_hash=hash_file(run.folder / "policy"))
    broken = [(link.round, link.what, link.state) for link in lineage.verify(run.folder) if not link.holds]
    assert broken == [(2, "reward of policy", "missing")]


def test_golden_a_run_without_hashes_is_told_so(tmp_path: Path):
    run = records.create(tmp_path / "run", CONFIGURATION, seed=7)
    run.record("collect", 0)
    with pytest.raises(InputError, match="has recorded no hash yet"):
        lineage.verify(run.folder)
