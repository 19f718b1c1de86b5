"""Agreement and consensus. Golden: published examples and closed forms; property: what must not matter does not."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accord.functional.agreement import (
    ceiling,
    ceiling_nats,
    cohen_kappa,
    counted,
    dawid_skene,
    fleiss_kappa,
    interval,
    krippendorff,
    percent_agreement,
)

COUNTS = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(2, 4)), elements=st.integers(0, 5))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_golden_krippendorff_on_his_own_example():
    """Krippendorff (2011), example C: four observers, twelve units, some not coded."""
    rows = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    found = [(unit, int(code) - 1) for row in rows for unit, code in enumerate(row) if code != "."]
    counts = counted(*np.array(found).T, 12, 5)
    assert krippendorff(counts) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff(counts, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff(counts, "interval") == pytest.approx(0.849, abs=5e-4)
    assert krippendorff(counts, "interval", np.array([0.0, 2.0, 4.0, 6.0, 8.0])) == pytest.approx(0.849, abs=5e-4)


def test_golden_fleiss_on_his_own_example():
    """Fleiss (1971): his table as it is retold for ten subjects, fourteen raters and five categories."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(np.array(table)) == pytest.approx(0.210, abs=5e-4)


def test_golden_cohen_of_two_who_agree_on_35_of_50():
    """Both say yes to 20, both no to 15, and differ on 5 and 10: p_o .7, p_e .5."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first, second, 2) == pytest.approx(0.4)
    assert math.isnan(cohen_kappa(first[:0], second[:0], 2)) and math.isnan(cohen_kappa(first[:9], second[:9], 2))


def test_golden_percent_agreement_counts_pairs():
    """Of an item with answers a, a, b one pair of three agrees; single answers say nothing."""
    assert percent_agreement(np.array([[2, 1], [1, 0], [0, 0]])) == pytest.approx(1 / 3)
    assert math.isnan(percent_agreement(np.array([[1, 0]])))


def test_golden_chance_is_zero_and_one_answer_is_nothing():
    chance = counted(np.tile(np.arange(4000), 2), rng().integers(0, 2, 8000), 4000, 2)
    for statistic in (krippendorff, fleiss_kappa):
        assert abs(statistic(chance)) < 0.06
        assert statistic(2 * np.eye(2, dtype=int)) == pytest.approx(1.0)
        assert math.isnan(statistic(np.array([[1, 0], [0, 1]]))) and math.isnan(statistic(np.array([[3, 0], [2, 0]])))


@given(COUNTS, st.randoms(use_true_random=False))
def test_property_neither_names_nor_order_matter(counts: np.ndarray, random: object):
    """Items in another order and nominal labels under other names change nothing, nor do items with one answer."""
    rows, columns = (rng(random.getrandbits(32)).permutation(n) for n in counts.shape)
    single = np.vstack([counts[rows][:, columns], np.eye(counts.shape[1], dtype=int)])
    for statistic in (percent_agreement, fleiss_kappa, krippendorff):
        assert statistic(counts) == pytest.approx(statistic(single), nan_ok=True)


@given(COUNTS)
def test_property_agreement_is_at_most_one(counts: np.ndarray):
    for found in (
        percent_agreement(counts),
        fleiss_kappa(counts),
        krippendorff(counts),
        krippendorff(counts, "ordinal"),
    ):
        assert math.isnan(found) or found <= 1.0 + 1e-12


def test_golden_the_interval_holds_the_truth_as_often_as_it_says():
    """Two annotators who agree on 7 of 10 items: the interval of their agreement covers .7 in about 95 of 100 draws."""
    covered = 0
    for seed in range(60):
        same = rng(seed).random(120) < 0.7
        counts = np.where(same[:, None], [2, 0], [1, 1])
        low, high = interval(counts, percent_agreement, rng(seed + 1_000), draws=300)
        covered += low <= 0.7 <= high
    assert 51 <= covered <= 60  # 57 expected
    assert all(map(math.isnan, interval(np.zeros((0, 2), int), percent_agreement, rng())))


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_property_no_shares_of_answers_do_better_than_the_ceiling_in_nats_and_like_ones_reach_it(labels: int):
    rng = np.random.default_rng(labels)
    for sharpness in (0.1, 0.5, 1.0, 5.0):
        share = rng.dirichlet(np.full(labels, sharpness), 500)
        nats = (share * np.log(np.maximum(share, 1e-300))).sum(1).mean()
        assert nats <= ceiling_nats(float(np.square(share).sum(1).mean()), labels) + 1e-12
    for alike in range(1, labels + 1):
        assert ceiling_nats(1 / alike, labels) == pytest.approx(-np.log(alike))
    assert ceiling_nats(0.75, 2) == pytest.approx(-0.5 * np.log(2.0))  # a half certain, a half a coin
    assert ceiling_nats(0.0, labels) == pytest.approx(-np.log(labels))


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_golden_the_ceiling_is_what_knowing_everybodys_mind_would_reach(labels: int):
    """Two simulated answers an item. Where items are alike, whoever knows the likeliest label reaches the bound; where
    they differ, the bound stays above."""
    items, random = 200_000, rng(labels)
    for shares, reached in ((np.full(items, 0.7), 0.7), (random.choice([0.55, 0.95], items), 0.75)):
        right = random.random((items, 2)) < shares[:, None]
        said = np.where(right, 0, random.integers(1, labels, (items, 2)))
        found = ceiling(float((said[:, 0] == said[:, 1]).mean()), labels)
        if reached == 0.7:
            assert found == pytest.approx(0.7, abs=0.005)
        else:
            assert 0.76 < found < 0.83 and (said[:, 0] == 0).mean() == pytest.approx(0.75, abs=0.005)
    assert ceiling(1.0, labels) == 1.0 and ceiling(0.0, labels) == ceiling(1 / labels, labels) == 1 / labels


SKILLS = np.array([0.97, 0.9, 0.8, 0.65, 1 / 3])


def crowd(seed: int, items: int = 600) -> tuple[np.ndarray, ...]:
    """Five annotators of known skill, the last of whom guesses, say which of three labels every item has."""
    random = rng(seed)
    truth = random.integers(0, 3, items)
    item, who = np.divmod(np.arange(5 * items), 5)
    right = random.random(5 * items) < SKILLS[who]
    other = (truth[item] + random.integers(1, 3, 5 * items)) % 3
    return truth, item, who, np.where(right, truth[item], other)


def test_golden_dawid_and_skene_find_skills_and_truth():
    truth, item, who, said = crowd(0)
    found = dawid_skene(item, who, said, 3)
    assert np.abs(found.skill - SKILLS).max() < 0.06
    majority = counted(item, said, 600, 3).argmax(1)
    assert (found.label.argmax(1) == truth).mean() > (majority == truth).mean()
    assert np.allclose(found.label.sum(1), 1) and np.allclose(found.confusion.sum(2), 1)


@given(st.integers(0, 50))
def test_property_every_round_of_expectation_maximisation_climbs(seed: int):
    """But for what smoothing costs."""
    _, item, who, said = crowd(seed, 60)
    levels = [dawid_skene(item, who, said, 3, rounds).log_likelihood for rounds in range(1, 12)]
    assert all(later >= earlier - 1e-3 for earlier, later in pairwise(levels))
