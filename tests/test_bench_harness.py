"""The benchmarks' harness. Golden: the statistics by hand. Property: bounds and symmetry. Contract: the journal counts
an entry only while its key holds, the last line is one JSON object, both forms of the fixed CartPole are one task.
"""

import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.tasks import cartpole  # registers accord/FixedCartPole-v0
from bench import harness, loop_vs_imitation, ppo_vs_sb3
from bench.harness import Bench, Journal, Options, Worker
from bench.peers import fixed_cartpole
from bench.peers.protocol import Clock, Solved, evaluate

finite = st.floats(-1e6, 1e6)

# A worker that leaves a mark each time it really runs, and reports the wall and processor seconds it is given.
FAKE = """
import json, sys
mark, wall, cpu = sys.argv[1:4]
open(mark, "a").write("x")
print("chatter on standard output")
print(json.dumps({"seconds": float(wall), "cpu_seconds": float(cpu), "mean": 1.0}))
"""


def fake(version: str = "1") -> Worker:
    return Worker("accord", (sys.executable, "-c", FAKE), version)


def bench(folder: Path, **options: object) -> Bench:
    return Bench("fake", Options(**{"seeds": 1, **options}), Journal(folder / "journal" / "fake.jsonl"))


def test_golden_area_is_that_of_straight_lines_from_the_start() -> None:
    # From (0, 0) up to (2, 4), down to (4, 2), level to 8: (4 + 6 + 8) / 8.
    assert harness.area_under_curve([2, 4], [4.0, 2.0], total=8, start=0.0) == pytest.approx(18 / 8)


def test_golden_area_is_cut_off_at_the_total() -> None:
    assert harness.area_under_curve([10], [10.0], total=4, start=0.0) == pytest.approx(2.0)


@given(st.lists(st.tuples(st.floats(1, 200), finite), min_size=1, unique_by=lambda point: point[0]), finite)
def test_property_area_lies_within_the_curve(points: list[tuple[float, float]], start: float) -> None:
    steps, returns = zip(*sorted(points), strict=True)
    area = harness.area_under_curve(steps, returns, total=100.0, start=start)
    assert min(start, *returns) - 1e-6 <= area <= max(start, *returns) + 1e-6


def finished(mean: float, curve: list[list[float]]) -> harness.Result:
    return {"mean": mean, "env_steps": 100, "curve": curve}


def test_golden_improvement_is_judged_on_the_area_where_both_sides_reach_the_ceiling() -> None:
    task = loop_vs_imitation.Task("x", 1, 1, random=0.0, best=100.0)
    early, late = [[1.0, 90.0]], [[50.0, 0.0], [100.0, 90.0]]
    sides = {"ours": [finished(96.0, early)] * 2, "peer": [finished(97.0, late)] * 2}
    found = loop_vs_imitation.improvements(task, sides)
    assert (found["on_final_return"], found["on_area_under_curve"]) == (0.0, 1.0)
    assert found["both_at_ceiling"] and found["counted"] == 1.0
    below = loop_vs_imitation.improvements(task, {**sides, "peer": [finished(94.0, late)] * 2})
    assert not below["both_at_ceiling"] and below["counted"] == below["on_final_return"] == 1.0


def test_golden_a_run_that_never_solved_counts_with_its_whole_time_for_the_peer_alone() -> None:
    def run(seconds: float, solved: float | None) -> harness.Result:
        return {"seconds": seconds, "solved_seconds": solved}

    sides = {"ours": [run(8.0, 2.0)], "defaults": [run(400.0, None)]}
    assert ppo_vs_sb3.solved_ratio(sides, "defaults") == {"median": 200.0, "min": 200.0, "max": 200.0}
    assert ppo_vs_sb3.solved_ratio({**sides, "ours": [run(8.0, None)]}, "defaults") is None


def test_golden_the_scalar_ratio_needs_an_equal_final_return() -> None:
    def run(seconds: float, mean: float) -> harness.Result:
        return {"seconds": seconds, "mean": mean, "std": 20.0, "episodes": 100}

    sides = {"ours": [run(10.0, -83.0)], "defaults": [run(100.0, -80.0)]}  # standard error 2: within two of it
    assert ppo_vs_sb3.scalar_ratio(sides) == {"median": 10.0, "min": 10.0, "max": 10.0}
    assert ppo_vs_sb3.scalar_ratio({**sides, "ours": [run(10.0, -85.0)]}) is None


def test_golden_ratio_is_of_the_medians_with_the_range_at_one_seed() -> None:
    assert harness.ratio_of([10.0, 20.0, 60.0], [1.0, 4.0, 2.0]) == {"median": 10.0, "min": 5.0, "max": 30.0}


def test_golden_rounding_reaches_every_depth() -> None:
    assert harness.rounded({"a": [1.2345678, {"b": 123456.7}], "n": 7}) == {"a": [1.2346, {"b": 123460.0}], "n": 7}


def test_golden_reported_seeds_start_at_ten_thousand() -> None:
    assert harness.parse("x", seeds=3, argv=[]).seed_list() == [10_000, 10_001, 10_002]
    assert harness.parse("x", seeds=3, argv=["--dev", "--seeds", "2"]).seed_list() == [0, 1]


def test_contract_content_hash_follows_name_and_content(tmp_path: Path) -> None:
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("x = 1")
    b.write_text("x = 1")
    first = harness.content_hash([a], tmp_path)
    assert harness.content_hash([a], tmp_path) == first != harness.content_hash([b], tmp_path)
    a.write_text("x = 2")
    assert harness.content_hash([a], tmp_path) != first


def test_contract_journal_gives_the_newest_and_passes_over_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.add({"seed": 1}, {"mean": 1.0})
    journal.add({"seed": 1}, {"mean": 2.0})
    with journal.path.open("a") as file:
        file.write('{"key": {"seed": 2}, "resu')
    journal.add({"seed": 3}, {"mean": 3.0})
    assert journal.find({"seed": 1}) == {"mean": 2.0}
    assert journal.find({"seed": 2}) is None
    assert journal.find({"seed": 3}) == {"mean": 3.0}


def test_contract_a_result_is_reused_only_while_its_key_holds(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def runs(version: str, seed: int, **options: object) -> int:
        bench(tmp_path, **options).measure(fake(version), mark, 1.0, 1.0, seed=seed)
        return len(mark.read_text())

    assert [runs("1", 5), runs("1", 5), runs("2", 5), runs("2", 6)] == [1, 1, 2, 3]
    assert runs("2", 6, fresh=True) == 4


def test_contract_retime_repeats_what_shared_its_core(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for wall in (1.0, 1.5):
        bench(tmp_path).measure(fake(), mark, wall, 1.0, seed=0)
    again = bench(tmp_path, retime=True)
    assert not again.measure(fake(), mark, 1.0, 1.0, seed=0)["disturbed"]
    assert again.measure(fake(), mark, 1.5, 1.0, seed=0)["disturbed"]
    assert len(mark.read_text()) == 3
    assert (again.reused, again.disturbed) == (1, 1)


def test_contract_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    broken = Worker("accord", (sys.executable, "-c", "import sys; sys.exit('no such task')"), "1")
    with pytest.raises(RuntimeError, match="no such task"):
        bench(tmp_path).measure(broken, seed=0)


def test_contract_sides_take_turns(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    sides = {"ours": (fake(), (mark, 1.0, 1.0)), "peer": (fake(), (mark, 2.0, 2.0))}
    found = bench(tmp_path, seeds=2).alternate(sides)
    assert {name: [r["seconds"] for r in results] for name, results in found.items()} == {
        "ours": [1.0, 1.0],
        "peer": [2.0, 2.0],
    }
    order = [
        json.loads(line)["key"]["args"][1] for line in (tmp_path / "journal" / "fake.jsonl").read_text().splitlines()
    ]
    assert order == ["1.0", "2.0", "2.0", "1.0"]


def test_contract_ends_with_one_json_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench(tmp_path)
    run.say("progress")
    run.emit(2.0, {"seconds": 1.0}, {"seconds": 2.0}, ratio_tuned=None)
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and "progress" in err
    line = json.loads(out)
    assert {"name", "ratio", "ours", "peer", "seeds", "machine", "ratio_tuned"} <= set(line)
    assert {"load_start", "load_end", "processor"} <= set(line["machine"])


def test_golden_solved_needs_a_hundred_episodes_and_looks_at_the_last_ones() -> None:
    solved = Solved(Clock(), level=475.0)
    solved.check([500.0] * 99, steps=1)
    assert solved.seconds is None
    solved.check([0.0] * 50 + [475.0] * 100, steps=2)
    solved.check([500.0] * 200, steps=3)
    assert solved.steps == 2


def test_golden_evaluation_sums_the_reward_of_each_fresh_episode() -> None:
    # A cart that is always pushed to the right drops its pole after 8 to 10 steps.
    returns = evaluate("CartPole-v1", lambda rows: np.ones(len(rows), np.int64), episodes=20)
    assert len(returns) == 20 and set(returns) <= {8.0, 9.0, 10.0, 11.0}


@pytest.mark.parametrize("seed", [0, 1])
def test_contract_both_forms_of_the_fixed_cartpole_agree_step_by_step(seed: int) -> None:
    mine, theirs = gymnasium.make(fixed_cartpole.ID).unwrapped, fixed_cartpole.FixedCartPole()
    assert isinstance(mine, cartpole.FixedCartPole) and cartpole.HORIZON == fixed_cartpole.HORIZON
    start, _ = mine.reset(seed=seed)
    np.testing.assert_array_equal(start, theirs.reset(seed=seed)[0])
    rewards = set()
    for action in np.random.default_rng(seed).integers(2, size=fixed_cartpole.HORIZON):
        mine_step, theirs_step = mine.step(int(action)), theirs.step(int(action))
        np.testing.assert_allclose(mine_step[0], theirs_step[0], rtol=1e-5, atol=1e-6)
        assert mine_step[1:4] == theirs_step[1:4]
        rewards.add(theirs_step[1])
    assert rewards == {0.0, 1.0}
