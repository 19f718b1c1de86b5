"""Encoders of replies: fitted once, they read others too, are kept without executing, and say what they cannot read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accord.rewards import encoders, words
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.fitted import load
from accord.rewards.replied import ConstantReply, GoldReply, Replied
from accord.types import Comparisons, Evidence, InputError, NotFinite, Reply, Steps

WORDS = np.array("good fine clear short plain bad dull vague long odd".split())


def replies(count: int, seed: int) -> list[Reply]:
    """To prompts of five replies each, every one of some of ten words."""
    rng = np.random.default_rng(seed)
    return [
        Reply(f"prompt {k // 5}", " ".join(rng.choice(WORDS, rng.integers(4, 16), p=rng.dirichlet(np.full(10, 0.5)))))
        for k in range(count)
    ]


def worth(some: list[Reply]) -> np.ndarray:
    return np.array([4.0 * np.isin(one.response.split(), WORDS[:5]).mean() for one in some])


def liked(some: list[Reply], count: int) -> Evidence:
    """Comparisons within prompts: more of the first five words is better."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, len(some), count)
    second = first // 5 * 5 + (first % 5 + rng.integers(1, 5, count)) % 5
    gap = worth(some)[first] - worth(some)[second]
    level = (rng.random(count) < 1.0 / (1.0 + np.exp(-3.0 * gap))).astype(np.int64)
    part = Comparisons(first, second, level, np.zeros(count, np.int64), 2)
    return Evidence(some, np.arange(len(some)) // 5, ("a",), (part,), (np.ones(count, bool),))


@pytest.mark.parametrize("name", ["length", "style", "curves", "tfidf", "length+style+tfidf"])
def test_invariance_what_it_was_fitted_to_is_read_alike_alone_and_among_others(name: str):
    some = replies(60, 0)
    encode = encoders.encoder(name, some)
    rows = encode(some)
    assert np.allclose(encode(some[7:9]), rows[7:9], atol=1e-6)
    assert rows.shape[1] <= len(set(some)) and np.square(rows).sum(1).mean() == pytest.approx(
        len(name.split("+")), rel=0.02
    )


@pytest.mark.parametrize("name", ["style", "tfidf", "curves+length"])
def test_golden_readings_for_a_choice_have_the_same_distances(name: str):
    some = replies(60, 0)
    ours, known = encoders.encoder(name, some)(some), words.readings([name], some, own=False)[name].encode(some)
    for rows in (ours, known):
        rows -= rows.mean(0)
    assert ours @ ours.T == pytest.approx(known @ known.T, abs=1e-3)


def test_invariance_kept_and_read_back_it_reads_the_same(tmp_path: Path):
    encode = encoders.encoder("style+curves+tfidf+length", replies(60, 0))
    encode.save(tmp_path)
    fresh = replies(20, 5)
    assert np.array_equal(encoders.load(tmp_path)(fresh), encode(fresh))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_learning_a_reward_ranks_replies_that_it_has_never_seen(tmp_path: Path):
    some, fresh = replies(150, 0), replies(100, 9)
    encode, config = encoders.encoder("tfidf", some), RewardConfig(kind="linear", members=5)
    reward = fit(liked(some, 300), config, discrete=False, terminates=False, seed=0, encode=encode)
    scored = Replied(reward)(fresh)
    assert np.corrcoef(scored.mean.numpy(), worth(fresh))[0, 1] > 0.7
    assert scored.spread.min() > 0.0 and scored.mean.shape == scored.spread.shape == (100,)
    assert Replied(reward)(some).mean.std() == pytest.approx(1.0, rel=0.05)  # in the unit of a deviation
    reward.save(tmp_path)
    assert np.array_equal(Replied(load(tmp_path))(fresh).mean, scored.mean)


def test_contract_what_cannot_be_read_is_told(tmp_path: Path):
    encode = encoders.encoder("style", replies(10, 0))
    step = Steps(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), np.ones(1, bool), False)
    with pytest.raises(InputError, match="1 of 2 segments are no replies"):
        encode([replies(1, 0)[0], step])
    with pytest.raises(InputError, match='has the part "stile"'):
        encoders.encoder("stile", replies(10, 0))
    with pytest.raises(InputError, match="holds no readable encoder"):
        encoders.load(tmp_path)


def test_golden_baselines_say_nothing_and_the_gold_score():
    some = replies(4, 0)
    assert ConstantReply()(some).mean.tolist() == [0.0] * 4
    assert GoldReply(worth, 2.0)(some).mean.numpy() == pytest.approx(worth(some) / 2.0)


def test_contract_a_value_that_is_no_number_names_the_reply():
    some = replies(60, 0)
    encode = encoders.encoder("style", some)
    reward = fit(
        liked(some, 40), RewardConfig(kind="linear", members=2), discrete=False, terminates=False, seed=0, encode=encode
    )
    reward.flat[0] = float("nan")
    with pytest.raises(NotFinite, match="its value of response 0 is not finite"):
        Replied(reward)(some[:2])
