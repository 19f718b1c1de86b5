"""`bench.reliability` and `bench.ukp_votes` on a crowd made here. Golden: figures from hand-made results and counts.
Contract: what is held out, replaced and split is what is said to be."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import reliability
from bench import ukp_votes as ukp
from bench.harness import Result
from bench.ukp_votes import Votes


def crowd(folder: Path, topics: int = 8, arguments: int = 8) -> Votes:
    """Two sides to each debate; worker `wK` votes on the K-th pairs, `w0` on all of them."""
    rng = np.random.default_rng(0)
    rows, votes = [], []
    for topic in range(topics):
        names = [f"{topic}-{i}" for i in range(arguments)]
        rows += [
            {"id": name, "topic": f"d{topic // 2}_{topic % 2}", "text": "x" * (1 + i)} for i, name in enumerate(names)
        ]
        for i in range(arguments):
            for j in range(i + 1, arguments):
                workers = ["w0", *(f"w{k}" for k in rng.choice(np.arange(1, 9), 3, replace=False))]
                pair = (names[i], names[j]) if rng.random() < 0.5 else (names[j], names[i])
                votes += [(*pair, worker, rng.choice(["a2", "a2", "equal", "a1"])) for worker in workers]
    with gzip.open(folder / "ukp_args.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(json.dumps(row) for row in rows) + "\n")
    with gzip.open(folder / "ukp_votes.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(map("\t".join, [("arg1", "arg2", "worker", "label"), *votes])) + "\n")
    return ukp.read(folder)


def test_contract_votes_are_read_as_they_are_written(tmp_path: Path) -> None:
    votes = crowd(tmp_path)
    assert len(votes.level) == 8 * 28 * 4 and votes.groups == 4 and len(votes.workers) == 9
    assert votes.counts().sum() == len(votes.level) and (votes.counts().sum(1) == 4).all()
    assert set(votes.level) == {0, 1, 2} and votes.arguments[0].prompt == "d0_0"
    few = ukp.some(votes, 2)
    assert few.groups == 2 and (few.counts().sum(1) == 4).all()


def test_contract_no_debate_is_on_both_sides_and_evidence_names_what_it_is_about(tmp_path: Path) -> None:
    votes = crowd(tmp_path)
    masks = np.stack(list(ukp.folds(votes)))
    assert (masks.sum(0) == 1).all()
    for held_out in masks:
        assert not set(votes.debates[held_out]) & set(votes.debates[~held_out])
        seen = votes.evidence(~held_out)
        assert len(seen.segments) == 48 and seen.answers == (~held_out).sum()


def test_contract_spammers_are_some_of_those_who_voted_much_and_nobody_else_changes(tmp_path: Path) -> None:
    votes = crowd(tmp_path)
    bad_votes, bad = ukp.spammed(votes, np.random.default_rng(0))
    assert (
        len(bad) > 0
        and len(bad) == round(0.2 * (ukp.usable(votes) >= 30).sum())
        and (ukp.usable(votes)[bad] >= 30).all()
    )
    theirs = np.isin(votes.worker, bad)
    assert (bad_votes.level[~theirs] == votes.level[~theirs]).all()
    assert np.bincount(bad_votes.level[theirs], minlength=3).min() > 0.2 * theirs.sum()


def test_golden_usable_votes_have_a_majority_of_the_others() -> None:
    """On one pair a1, a1, a2: the first two see one of each among the others, the third sees two for a1."""
    argument, nothing = reliability.Reply("d_0", "x"), np.zeros(3, int)
    votes = Votes(
        [argument], nothing[:1], nothing, nothing, nothing, np.arange(3), np.array([2, 2, 0]), ("a", "b", "c")
    )
    assert ukp.usable(votes).tolist() == [0, 0, 1]


def test_golden_shares_with_a_prior() -> None:
    found = ukp.shares(np.array([[3, 0, 1]]), np.array([0.25, 0.25, 0.5]), 4.0)
    assert found == pytest.approx(np.array([[0.5, 0.125, 0.375]]))


def test_property_no_other_way_to_count_sees_what_is_left_out(tmp_path: Path) -> None:
    """What a left-out vote said changes its own forecast's score and no other's; forecasts add up to 1."""
    votes = crowd(tmp_path)
    train = np.random.default_rng(1).random(len(votes.level)) >= 0.2
    ways = (
        lambda votes: ukp.counted(votes, train, with_habits=False),
        lambda votes: ukp.counted(votes, train, with_habits=True),
        lambda votes: ukp.confused(votes, train, np.random.default_rng(0)),
    )
    for way in ways:
        total = np.zeros((~train).sum())
        for level in range(3):
            total += np.exp(way(replace(votes, level=np.where(train, votes.level, level))))
        assert total == pytest.approx(np.ones(len(total)))


def test_learning_the_joint_fit_foretells_votes_of_a_crowd_of_one_mind(tmp_path: Path) -> None:
    """Everybody tends to the longer argument: the fit learns that from other pairs, counting cannot."""
    votes = crowd(tmp_path)
    length = np.array([len(argument.response) for argument in votes.arguments])
    lead = length[votes.first] - length[votes.second] + np.random.default_rng(1).logistic(size=len(votes.level))
    same = replace(votes, level=1 + (lead > 0.5).astype(int) - (lead < -0.5))
    means = reliability.votes_figures(same, 0)[1]["by_debate"]
    assert isinstance(means, dict) and np.mean(means["joint"]) > np.mean(means["majority"]) + 0.02
    values, figures = reliability.accuracy_figures(same, False, length[:, None].astype(np.float32), 0)
    assert len(values) == 4 and np.mean(values) > 0.9 and figures["length"] == pytest.approx(np.mean(values), abs=0.1)


def test_golden_the_summary_of_hand_made_results() -> None:
    ways = {"joint": [-0.8, -0.9], "majority": [-0.9, -1.1], "habits": [-0.9, -0.9], "dawid_skene": [-1.0, -1.0]}
    found = reliability.of_votes([{"by_debate": ways}, {"by_debate": ways}])
    assert found["loglik_gain"] == pytest.approx(0.15) and found["loglik_gain_over_habits"] == pytest.approx(0.05)
    assert found["loglik_gain_ci"] == pytest.approx([0.1, 0.2])
    skills: Result = {
        "spammers": [0.1, 0.3],
        "spammers_low": [0.0, 0.25],
        "spammers_answers": [120, 40],
        "others": [0.9],
        "few": [0.8],
        "pooled": 0.7,
    }
    found = reliability.of_skills([skills])
    assert found["spammer_skill"] == {
        "median": 0.2, "below": 0.5, "below_of_100": 1.0, "reaching": 0.5, "max": 0.3, "count": 2,
    }  # fmt: skip
    assert found["few_from_pool"]["median"] == pytest.approx(0.1)  # type: ignore[index]
    clean, spammed = {"mean": 0.75, "by_debate": [0.7, 0.8], "length": 0.7}, {"mean": 0.74, "by_debate": [0.7, 0.78]}
    found = reliability.of_accuracy(clean, [spammed])
    assert found["drop"] == pytest.approx(0.01) and found["drop_ci_by_debate"] == pytest.approx([0.0, 0.02])
