"""The benchmarks of choosing a reward: figures from hand-made results, and what their evidence is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accord.types import Comparisons, Reply
from bench import selection_quality, ukp, ukp_votes
from bench.select_speed import compared, panel
from bench.selection_quality import regrets, steps_panel, texts_panel
from tests.test_bench_reliability import crowd


def test_golden_regret_is_what_was_missed_over_what_could_be_gained():
    results = [
        {"worth": [10.0, 6.0, 2.0], "floor": 0.0, "takes": [0, 1, 2, 0]},
        {"worth": [4.0, 8.0, 2.0], "floor": 0.0, "takes": [0, 1, 2, 0]},
    ]
    assert regrets(results, fixed=False) == pytest.approx(np.array([[0, 4, 8, 0], [4, 0, 6, 4]]) / 9.0)
    assert regrets(results, fixed=True)[0] == pytest.approx(np.array([0, 4, 8, 0]) / 7.0)  # both of mean 7: the first
    hopeless = [{**one, "floor": 20.0} for one in results]
    assert np.isnan(regrets(hopeless, fixed=False)).all()
    mean = selection_quality.summed({"a": results, "b": hopeless}, fixed=False)["select"]["mean"]
    assert mean == pytest.approx(2.0 / 9.0)


def test_contract_panels_have_the_sizes_that_are_told():
    assert len(set(panel())) == 24
    assert len(set(steps_panel())) == len(set(texts_panel())) == 12


def test_property_comparisons_are_of_segments_asked_about_once_and_mostly_right():
    evidence = compared(0, 40)
    part = evidence.parts[0]
    assert isinstance(part, Comparisons)
    asked = np.concatenate([part.first, part.second])
    assert len(asked) == len(set(asked.tolist())) == 80
    assert 0.2 < part.level.mean() < 0.8


def test_golden_votes_on_a_pair_that_are_equal_count_once_with_their_number(tmp_path: Path):
    votes = crowd(tmp_path)
    every = np.ones(len(votes.level), bool)
    part = ukp.pooled(votes, every).parts[0]
    assert isinstance(part, Comparisons) and part.weight is not None
    assert part.weight.sum() == len(votes.level)
    assert len(part.level) == (votes.counts() > 0).sum()


def test_golden_likelihood_and_hits_of_pairs():
    counts = np.array([[1, 5, 3], [2, 0, 2]])
    logit = np.log(np.array([3.0, 1.0]))
    assert ukp.likelihood(counts, logit) == pytest.approx([3 * np.log(0.75) + np.log(0.25), 4 * np.log(0.5)])
    assert ukp.hits(counts, np.array([1.0, -1.0])).tolist() == [1.0, 0.5]


def test_golden_sides_are_compared_debate_by_debate():
    def one(chosen: float, other: float) -> dict[str, object]:
        def side(level: float) -> dict[str, list[float]]:
            return {"accuracy": [0.5 + level, 0.7], "likelihood": [-0.6 + level, -0.5 + level], "pairs": [30.0, 10.0]}

        return {"sides": {"chosen": side(chosen), "length": side(other)}, "agreement": 0.75, "reading": "length"}

    found = ukp.of_sides([one(0.1, 0.0), one(0.2, 0.0), one(0.1, 0.05)])
    assert found["accuracy"] == pytest.approx(np.mean([0.625, 0.7, 0.625]))
    gain = found["gains"]["length"]  # type: ignore[index]
    assert gain["mean"] == pytest.approx((0.1 + 0.2 + 0.05) / 3) and gain["better"] == 6
    assert gain["p"] == pytest.approx(1 / 64)  # all six debates better: one of 2^6 signs


def test_golden_votes_agree_with_the_others_as_often_as_they_do(tmp_path: Path):
    votes = crowd(tmp_path)
    share = ukp.agreement(votes, np.arange(int(votes.pair.max()) + 1))
    assert 0.5 < share <= 1.0


def test_golden_pairs_of_replies_keep_their_groups():
    evidence = selection_quality._of_pairs([("why", "a", "b", [(0, 1), (1, 0)]), ("why", "b", "c", [(0, 1)])], 2)
    assert [one.response for one in evidence.segments if isinstance(one, Reply)] == ["a", "b", "c"]
    assert np.asarray(evidence.groups).tolist() == [0, 0, 0] and evidence.annotators == ("annotator 0", "annotator 1")


@pytest.mark.slow
def test_contract_a_fold_of_arguments_runs_on_a_crowd_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    votes = crowd(tmp_path)
    monkeypatch.setattr(ukp, "FEW", ("length", "style"))
    monkeypatch.setattr(ukp, "INNER", 2)
    assert ukp_votes.read(tmp_path).groups == votes.groups == 4
    _, figures = ukp.one_fold(votes, 0, "quick")
    assert figures["reading"] in ("length", "style")
    assert set(figures["sides"]) == {"chosen", "length", "tfidf"}  # type: ignore[call-overload]
