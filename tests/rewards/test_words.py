"""Replies as rows: parts weigh alike, lengths can be taken out, and a choice among readings finds what people liked."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accord.backbones import fetch, sentences
from accord.rewards import encoders, words
from accord.rewards.candidates import Candidate
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.fitted import load
from accord.rewards.select import select
from accord.types import Comparisons, Evidence, InputError, Reply, Segment

WORDS = np.array("good fine clear short plain bad dull vague long odd".split())


def liked(count: int, seed: int = 0, by_length: bool = False) -> Evidence:
    """Comparisons of replies to twelve prompts: longer ones are liked, or those with more of the first five words."""
    rng = np.random.default_rng(seed)
    replies, worth = [], []
    for number in range(60):
        some = rng.choice(WORDS, rng.integers(4, 24), p=rng.dirichlet(np.full(10, 0.3)))
        replies.append(Reply(f"prompt {number // 5}", f"Reply {number}: " + " ".join(some) + "."))
        worth.append(len(some) / 3.0 if by_length else 4.0 * np.isin(some, WORDS[:5]).mean())
    first = rng.integers(0, 60, count)
    second = first // 5 * 5 + (first % 5 + rng.integers(1, 5, count)) % 5
    gap = np.array(worth)[first] - np.array(worth)[second]
    level = (rng.random(count) < 1.0 / (1.0 + np.exp(-2.0 * gap))).astype(np.int64)
    part = Comparisons(first, second, level, np.zeros(count, np.int64), 2)
    return Evidence(replies, np.arange(60) // 5, ("a",), (part,), (np.ones(count, bool),))


def test_golden_parts_weigh_alike_however_many_columns_they_have():
    evidence = liked(10)
    texts = [(one.prompt, one.response) for one in evidence.segments]
    for part in ("length", "style", "curves", "tfidf"):
        rows = words.balanced(encoders.fitted(part, texts)[1])
        assert np.square(rows).sum(1).mean() == pytest.approx(1.0)
        assert rows.mean(0) == pytest.approx(0.0, abs=1e-9)
    both = words.readings(["length+tfidf"], list(evidence.segments), own=False)["length+tfidf"].encode(
        evidence.segments
    )
    assert np.square(both).sum(1).mean() == pytest.approx(2.0, rel=1e-4)


def test_golden_a_language_models_readings_are_offered_where_it_has_been_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(fetch, "here", lambda source: None)
    assert words.offered() == words.READINGS and not any("smollm2" in name for name in words.READINGS)
    monkeypatch.setattr(fetch, "here", lambda source: tmp_path if source == fetch.MODELS["smollm2"] else None)
    assert words.offered() == (*words.READINGS, *words.DEEP) and all("smollm2" in name for name in words.DEEP)


def test_golden_own_columns_leave_inner_products_between_replies_as_they_are():
    evidence = liked(10)
    bare, own = (
        words.readings(["style"], list(evidence.segments), own=own)["style"].encode(evidence.segments)
        for own in (False, True)
    )
    bare, own = bare - bare.mean(0), own - own.mean(0)
    assert own.shape[1] <= 60
    extra = words.OWN * (np.eye(60) - 1.0 / 60.0)
    assert own @ own.T == pytest.approx(bare @ bare.T + extra, abs=1e-3)


def test_golden_the_scale_of_an_encoder_is_kept():
    evidence = liked(40)
    rows = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32) * np.array([1.0, 0.01], np.float32)
    config = RewardConfig(kind="linear", members=1)
    reward = fit(evidence, config, discrete=False, terminates=False, seed=0, encode=lambda s: rows[: len(s)])
    assert float(reward.scaler.sd[0]) == float(reward.scaler.sd[1]) == pytest.approx(rows.std(0)[0] / 2**0.5, rel=1e-3)


def test_learning_a_choice_among_readings_finds_what_people_liked():
    config = RewardConfig(kind="linear", members=3)
    for by_length, wanted in ((True, "length"), (False, "tfidf")):
        evidence = liked(240, by_length=by_length)
        readings = words.readings(["length", "tfidf"], list(evidence.segments), own=False)
        found = select(evidence, [Candidate(config, "length"), Candidate(config, "tfidf")], readings, seed=0)
        assert found.chosen.text == wanted


def test_contract_unknown_parts_replies_and_missing_libraries_are_told(monkeypatch: pytest.MonkeyPatch):
    evidence = liked(10)
    replies = list(evidence.segments)
    with pytest.raises(InputError, match='has the part "lenght"'):
        words.readings(["lenght"], replies, own=False)
    encode = words.readings(["length"], replies[:2], own=False)["length"].encode
    with pytest.raises(InputError, match="no reply that was read"):
        encode(replies[:3])
    sentences.reader.cache_clear()
    monkeypatch.setattr(fetch, "MODELS", {"minilm": replace(fetch.MODELS["minilm"], sha256="0" * 64, module="no_such")})
    with pytest.raises(InputError, match="run accord fetch minilm"):
        words.readings(["minilm"], replies, own=False)


def test_golden_replies_asked_about_often_get_a_value_of_their_own():
    assert not words.often(liked(200)) and words.often(liked(240))
    assert not words.often(replace(liked(240), parts=(), uniform=()))


def test_golden_nothing_that_an_encoder_gives_is_clipped(tmp_path: Path):
    """A column that holds most of what there is goes far beyond ten deviations of the mean column."""
    evidence = liked(40)
    rows = np.zeros((60, 400), np.float32)
    rows[:, 0] = np.linspace(-1.0, 1.0, 60)
    where = {one.response: k for k, one in enumerate(evidence.segments) if isinstance(one, Reply)}

    def encode(segments: Sequence[Segment]) -> np.ndarray:
        return rows[[where[one.response] for one in segments if isinstance(one, Reply)]]

    reward = fit(
        evidence, RewardConfig(kind="linear", members=1), discrete=False, terminates=False, seed=0, encode=encode
    )
    value = reward.value(evidence.segments)[0]
    assert np.diff(value) == pytest.approx(np.diff(value).mean(), rel=1e-2)  # a line, to its ends
    reward.save(tmp_path)
    assert np.array_equal(load(tmp_path, encode).value(evidence.segments)[0], value)
