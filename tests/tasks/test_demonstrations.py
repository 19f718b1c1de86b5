"""Demonstrations from a file. Golden: episodes are cut where `indices` say. Contract: what is not of the form is
refused in one sentence; an annotator made of demonstrations answers once, with the same segment whenever it is asked.
Learning: a reward fitted to demonstrations alone ranks what they do above what random behaviour does.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accord.feedback.demonstrator import Demonstrator
from accord.feedback.evidence import pack
from accord.feedback.store import Store
from accord.rewards.fit import RewardConfig, fit
from accord.tasks.demonstrations import BEFORE, cut, read
from accord.types import ActionSpec, Collected, Given, InputError, Provenance, Query, Steps, TaskSpec

SPEC = TaskSpec("Toy-v0", 2, ActionSpec(discrete=True, size=3), horizon=10, terminates=True, envs=1)
BOX = ActionSpec(False, 2, np.full(2, -1, np.float32), np.ones(2, np.float32))
OBS = np.arange(18, dtype=np.float32).reshape(9, 2)  # episodes of 4 and 3 steps
GOOD = {"obs": OBS, "acts": np.array([0, 1, 2, 0, 1, 2, 0]), "indices": np.array([4]), "terminal": np.ones(2, bool)}


def written(folder: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    np.savez(folder / "shown.npz", **arrays)
    return folder / "shown.npz"


def test_golden_episodes_are_cut_at_the_indices_and_leave_out_where_the_last_step_led(tmp_path: Path) -> None:
    first, second = read(written(tmp_path, GOOD), SPEC)
    np.testing.assert_array_equal(first[0], OBS[:4])
    np.testing.assert_array_equal(second[0], OBS[5:8])
    np.testing.assert_array_equal(first[1].argmax(1), [0, 1, 2, 0])
    np.testing.assert_array_equal(second[1], np.eye(3, dtype=np.float32)[[1, 2, 0]])


def test_golden_numbers_stay_in_their_units_and_one_episode_needs_no_cut(tmp_path: Path) -> None:
    acts = np.linspace(-1, 1, 16, dtype=np.float64).reshape(8, 2)
    path = written(tmp_path, {"obs": OBS, "acts": acts, "indices": np.zeros(0, np.int64)})
    ((observation, action),) = read(path, replace(SPEC, action=BOX))
    np.testing.assert_array_equal(observation, OBS[:8])
    np.testing.assert_allclose(action, acts, rtol=1e-6)


def test_contract_segments_never_end_hold_no_truth_and_cover_every_start_once(tmp_path: Path) -> None:
    episodes = read(written(tmp_path, GOOD), SPEC)
    made = cut(episodes, 99, 3, np.random.default_rng(0), task="Toy-v0", seed=7)
    assert [(one.provenance.episode, one.provenance.start) for one in made] == [(0, 0), (0, 1), (1, 0)]
    for one in made:
        assert isinstance(one.segment, Steps)
        assert one.segment.valid.all() and not one.segment.ended and one.truth is None
        assert one.provenance.round == BEFORE
        start = one.provenance.start
        np.testing.assert_array_equal(one.segment.observation, episodes[one.provenance.episode][0][start : start + 3])


def test_contract_an_episode_shorter_than_the_segment_gives_none(tmp_path: Path) -> None:
    made = cut(read(written(tmp_path, GOOD), SPEC), 9, 4, np.random.default_rng(0), task="Toy-v0", seed=0)
    assert [one.provenance.episode for one in made] == [0]
    with pytest.raises(InputError, match="longest demonstration has 4 steps"):
        cut(read(written(tmp_path, GOOD), SPEC), 9, 5, np.random.default_rng(0), task="Toy-v0", seed=0)


BAD = {
    "lacks indices": {name: GOOD[name] for name in ("obs", "acts")},
    "needs rows of 2": GOOD | {"obs": np.zeros((9, 3), np.float32)},
    "from 0 to 3": GOOD | {"acts": np.array([0, 1, 2, 0, 1, 2, 3])},
    "choices are one row": GOOD | {"acts": np.zeros((7, 1), np.float32)},
    "8 observations for 7 actions": GOOD | {"obs": OBS[:8]},
    "do not rise": GOOD | {"indices": np.array([7])},
    "one row of whole numbers": GOOD | {"indices": np.array([4.0])},
    "not finite": GOOD | {"obs": np.where(OBS == 3, np.nan, OBS)},
}


@pytest.mark.parametrize("said", BAD)
def test_contract_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(written(tmp_path, BAD[said]), SPEC)
    assert "\n" not in str(caught.value)


def test_contract_rows_of_another_width_are_no_actions_of_this_task(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rows of 2 numbers"):
        read(written(tmp_path, GOOD), replace(SPEC, action=BOX))


def test_contract_no_file_no_archive_and_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.npz", SPEC)
    (tmp_path / "text.npz").write_text("obs, acts")
    with pytest.raises(InputError, match="file of plain arrays"):
        read(tmp_path / "text.npz", SPEC)
    np.save(tmp_path / "single.npy", OBS)
    with pytest.raises(InputError, match="file of plain arrays"):
        read(tmp_path / "single.npy", SPEC)
    objects = GOOD | {"obs": np.array([{}], dtype=object)}
    with pytest.raises(InputError, match="file of plain arrays"):
        read(written(tmp_path, objects), SPEC)


def collected(level: float, number: int, rng: np.random.Generator) -> Collected:
    """Steps whose first observation is about `level`."""
    observation = (rng.standard_normal((5, 2)) + np.array([level, 0])).astype(np.float32)
    segment = Steps(observation, np.eye(3, dtype=np.float32)[rng.integers(3, size=5)], np.ones(5, bool), False)
    return Collected(segment, Provenance("Toy-v0", BEFORE if level else 0, 0, 0, number, 0))


def answered(url: str, rounds: int) -> Store:
    """Forty queries about random behaviour, in so many rounds, answered by demonstrations at level 2."""
    rng = np.random.default_rng(0)
    store = Store(url)
    shown = [collected(2.0, number, rng) for number in range(20)]
    ids = store.add([collected(0.0, number, rng) for number in range(80)])
    annotator = Demonstrator(store, shown, seed=3)
    for part in np.array_split(np.arange(40), rounds):
        store.ask([Query(f"q{i:02d}", "demonstrate", (ids[2 * i], ids[2 * i + 1])) for i in part])
        assert annotator.work() == len(part)
        assert annotator.work() == 0
    return store


def test_invariance_a_demonstration_does_not_depend_on_when_it_was_asked_for(tmp_path: Path) -> None:
    given = []
    for rounds in (1, 7):
        store = answered(f"sqlite:///{tmp_path}/{rounds}.db", rounds)
        answers = {answer.query: answer.value for answer in store.answers()}
        given.append([answers[name] for name in sorted(answers)])
        store.close()
    assert given[0] == given[1]
    assert len({value.segment for value in given[0] if isinstance(value, Given)}) > 10


def test_contract_demonstrations_answer_no_other_question(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = Store(f"sqlite:///{tmp_path}/a.db")
    store.ask([Query("q", "compare", tuple(store.add([collected(0.0, number, rng) for number in range(2)])))])
    with pytest.raises(InputError, match='only "demonstrate"'):
        Demonstrator(store, [collected(2.0, 0, rng)], seed=0).work()
    with pytest.raises(InputError, match="no demonstrations"):
        Demonstrator(store, [], seed=0)
    store.close()


def test_learning_a_reward_from_demonstrations_alone_finds_what_they_have_in_common(tmp_path: Path) -> None:
    store = answered(f"sqlite:///{tmp_path}/a.db", 1)
    evidence = pack(store)
    store.close()
    reward = fit(evidence, RewardConfig(kind="linear"), discrete=True, terminates=True, seed=0)
    rng = np.random.default_rng(1)
    good, bad = ([collected(level, n, rng).segment for n in range(50)] for level in (2.0, 0.0))
    values = reward.value([*good, *bad]).mean(0)
    assert (values[:50, None] > values[None, 50:]).mean() > 0.9  # a constant reward: 0
