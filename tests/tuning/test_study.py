"""Golden, contract, invariance: whole studies of trials that take no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from accord import config, trials
from accord.trials import Trial
from accord.tuning import budget, study
from accord.tuning.trial import Job, Outcome
from accord.types import InputError
from tests.tuning.toys import Inline, failing, settings, toy

TIMES = ("elapsed", "time", "seconds")


def tune(
    out: Path, amount: str = "48trials", work: Callable[[Job], Outcome] = toy, workers: int = 1, **options: bool
) -> trials.Result:
    return study.tune(settings(), budget.parse(amount), out, lambda: Inline(work, workers), **options)


def told(folder: Path) -> list[dict[str, object]]:
    """Every trial of a study apart from times, and the verdict."""
    found = trials.read(folder)
    rows = [vars(replace(trial, elapsed=0.0, attempt=1)) for trial in found.trials]
    return [*rows, {"verdict": found.verdict}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "study"
    tune(folder, sync=True)
    return folder


def test_golden_a_study_finds_what_is_better_and_says_so(whole: Path):
    result, found = trials.read_result(whole), trials.read(whole)
    best = next(each for each in result.verdict.finalists if each.name == result.verdict.chosen)
    default = next(each for each in result.verdict.finalists if each.name == "default")
    assert best.iqm > default.iqm + 3 and best.arm == "ppo"
    assert result.trials == len(found.trials) <= 48 and result.failed == 0
    stages = [trial.stage for trial in found.trials]
    assert {"portfolio", "race", "search", "random", "confirm"} == set(stages)
    assert stages.index("confirm") > stages.index("search") > stages.index("portfolio")
    chosen = config.load(whole / trials.CHOSEN)
    assert {key: value for key, value in best.values.items() if key == "policy.gamma"} in (
        {}, {"policy.gamma": chosen.policy.gamma}
    )  # fmt: skip
    assert chosen.policy.steps == 9_000 and chosen.seed == 3


def test_contract_seeds_that_choose_do_not_confirm_and_those_of_a_stage_are_paired(whole: Path):
    found = trials.read(whole).trials
    seeds = {stage: {t.seed for t in found if t.stage == stage} for stage in trials.STAGES}
    assert not seeds["confirm"] & (seeds["portfolio"] | seeds["race"] | seeds["search"] | seeds["random"])
    finalists = {t.name for t in found if t.stage == "confirm"}
    assert all(sum(t.name == name for t in found if t.stage == "confirm") == 4 for name in finalists)
    assert "default" in finalists


def test_contract_optunas_journal_holds_the_same_trials(whole: Path):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(whole / trials.OPTUNA)))
    found = trials.read(whole).trials
    for arm in ("ppo", "sac"):
        held = optuna.load_study(study_name=arm, storage=storage).trials
        mine = [t for t in found if t.arm == arm]
        assert [t.values[0] for t in held] == [t.score for t in mine]
        assert [t.user_attrs["name"] for t in held] == [t.name for t in mine]
        assert all(t.intermediate_values for t in held)


class Stop(Exception):
    """Stands for any end of the process that leaves no time to tidy up."""


@pytest.mark.parametrize("sync", [True, False])
def test_invariance_stopped_again_and_again_it_ends_the_same(sync: bool, whole: Path, tmp_path: Path):
    """Stopped before and after the records of every thirteenth trial; with one worker, asynchronous studies too."""
    unbroken = whole
    if not sync:
        unbroken = tmp_path / "whole"
        tune(unbroken)
    folder, total = tmp_path / "study", len(trials.read(unbroken).trials)
    for at in range(0, total, 13):

        def work(job: Job, at: int = at) -> Outcome:
            if job.number == at:
                raise Stop
            return toy(job)

        with pytest.raises(Stop):
            tune(folder, work=work, sync=sync, resume=True)
    tune(folder, sync=sync, resume=True)
    assert told(folder) == told(unbroken)
    assert trials.read_result(folder).verdict == trials.read_result(unbroken).verdict
    assert (folder / trials.CHOSEN).read_text() == (unbroken / trials.CHOSEN).read_text()


def test_invariance_in_the_synchronous_mode_workers_change_nothing(whole: Path, tmp_path: Path):
    class Backwards(Inline):
        def next(self) -> Outcome:
            return self.work(self.jobs.pop())

    study.tune(settings(), budget.parse("48trials"), tmp_path / "s", lambda: Backwards(toy, 5), sync=True)
    assert told(tmp_path / "s") == told(whole)


def test_invariance_a_finished_study_is_not_done_again(whole: Path):
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    assert tune(whole, sync=True, resume=True) == trials.read_result(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == before


def test_golden_a_budget_in_seconds_of_processors_is_kept(tmp_path: Path):
    result = tune(tmp_path / "s", "40cpu-s", workers=2)
    assert 30 < result.cpu_seconds <= 42


def test_golden_failures_are_failures_and_no_score(tmp_path: Path):
    def half(job: Job) -> Outcome:
        return failing(job) if job.tree["policy"]["algorithm"] == "sac" else toy(job)

    result = tune(tmp_path / "s", work=half, sync=True)
    found = trials.read(tmp_path / "s").trials
    assert result.failed == sum(t.arm == "sac" for t in found) > 0
    assert all(t.state == "failed" and t.score is None and "nan" in t.why for t in found if t.arm == "sac")
    assert result.verdict.chosen != "default" or not result.verdict.winner


@pytest.mark.parametrize(
    ("amount", "options", "words"),
    [
        (
            "5trials",
            {},
            "--budget is 5trials, and the smallest study of this file is 11 runs .* give 11trials at least",
        ),
        ("50000steps", {}, "--budget is 50000steps, and the smallest study .* give 99000steps at least"),
        ("3cpu-s", {}, "--budget is 3cpu-s, and the smallest study of this file is 11 runs"),
        ("600s", {"sync": True}, "--sync with a budget of 600s"),
        ("200labels", {}, "trials of this study ask nobody"),
    ],
)
def test_contract_a_budget_that_cannot_be_is_refused(amount: str, options: dict, words: str, tmp_path: Path):
    with pytest.raises(InputError, match=words):
        tune(tmp_path / "s", amount, **options)


def test_contract_all_trials_failing_is_one_sentence_and_the_study_stays(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"all .* trials failed, the first with: NotFinite: the loss became nan; the study"
    ):
        tune(tmp_path / "s", work=failing)
    kept = trials.read(tmp_path / "s")
    assert kept.trials and all(trial.state == "failed" for trial in kept.trials)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"arms": ["td3"]}, r"the arm td3 cannot act in CartPole-v1: .*TD3|the arm td3 cannot act in CartPole-v1"),
        ({"arms": ["ppo+mlp"]}, 'with tune.signal = "truth" no reward is fitted: write "ppo"'),
        ({"judge": "teacher"}, "who learns from the truth is judged by it"),
    ],
)
def test_contract_arms_and_judges_that_cannot_be_are_refused(tree: dict, words: str, tmp_path: Path):
    made = settings(**tree)
    made = replace(made, task=replace(made.task, id="CartPole-v1"))
    with pytest.raises(InputError, match=words):
        study.tune(made, budget.parse("48trials"), tmp_path / "s", Inline)
    assert not (tmp_path / "s").exists()


def test_contract_the_truth_is_used_only_where_it_is_declared():
    with pytest.raises(InputError, match=r'tune\.judge is "truth", and task\.truth does not say'):
        config.from_tree({"tune": {"judge": "truth"}})
    with pytest.raises(InputError, match=r'tune\.signal is "truth", and task\.truth does not say'):
        config.from_tree({"tune": {"signal": "truth"}})


def test_contract_a_study_of_another_file_is_refused_and_stays(whole: Path, tmp_path: Path):
    folder = tmp_path / "s"
    with pytest.raises(InputError, match="all"):
        tune(folder, work=failing)
    before = (folder / trials.TRIALS).read_bytes()
    with pytest.raises(InputError, match=r"tune\.finalists is 1, but the study in"):
        study.tune(settings(finalists=1), budget.parse("48trials"), folder, Inline, resume=True)
    with pytest.raises(InputError, match="budget '48trials', and this is '80trials'"):
        tune(folder, "80trials", resume=True)
    manifest = json.loads((folder / trials.STUDY).read_text())
    (folder / trials.STUDY).write_text(json.dumps({**manifest, "accord": "0.0.9"}))
    with pytest.raises(InputError, match=r"accord '0\.0\.9', and this is"):
        tune(folder, resume=True)
    assert (folder / trials.TRIALS).read_bytes() == before


def test_golden_a_trial_told_twice_counts_once():
    one = Trial(0, "search", "a", "ppo", {}, 0, 0, 1)
    manifest = trials.Manifest("1", "t", {}, "1trials", "truth", 0)
    ended = replace(one, state="done", score=1.0)
    study_ = trials.fold(manifest, [one, replace(one, attempt=2), ended, replace(ended, score=2.0)])
    assert [trial.score for trial in study_.trials] == [1.0]
