"""Golden: sentences, curves, fronts and importance of a study made by code. Contract: the page is whole and closed."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from accord import cli, trials
from accord.reports import study as page
from accord.reports import study_figures
from accord.reports.tried import Best, anytime, arm_of, importances, tried, varied
from accord.reports.words import LANGUAGES
from accord.trials import Agreement, Finalist, Manifest, Point, Study, Trial, Verdict
from tests.reports.test_run import EVIL

SEEDS = tuple(range(90, 100))
DEFAULT, BEST = "ppo+kernel default", "sac+kernel 31"


def worth(arm: str, values: dict) -> float:
    """What a configuration is worth: a smooth function of its learning rate above all."""
    rate = float(values.get("policy.learning_rate", 1e-3))
    off = abs(math.log10(rate) - (-3.2 if arm.startswith("sac") else -2.7))
    return {"sac+kernel": -150.0, "ppo+kernel": -190.0, "td3+mlp": -230.0}[arm] - 60 * off**1.5


def trial(number: int, rng: np.random.Generator) -> Trial:
    """Forty of SAC, fewer of the others; the first rung is short."""
    arm = ("sac+kernel", "sac+kernel", "ppo+kernel", "td3+mlp")[number % 4]
    values = {
        "policy.learning_rate": float(10 ** rng.uniform(-4.5, -2.0)),
        "policy.gamma": float(rng.uniform(0.9, 0.999)),
        "reward.members": int(rng.integers(1, 6)),
        "feedback.queries.rule": ("uniform", "disagreement")[int(rng.integers(2))],
    }
    rung = int(number >= 24)
    failed = number in (7, 41)
    steps = (3_000, 9_000)[rung]
    score = worth(arm, values) - (120 if rung == 0 else 0) + float(rng.normal(0, 12))
    cost = {"sac+kernel": 34.0, "ppo+kernel": 6.0, "td3+mlp": 28.0}[arm] * (1 + 2 * rung) * float(rng.uniform(0.8, 1.2))
    curve = tuple(Point(steps * i // 4, cost * i / 4, score - 40 * (4 - i)) for i in range(1, 5))
    return Trial(
        number=number, stage=("portfolio", "race", "search")[min(2, number // 12)], name=f"{arm} {number}", arm=arm,
        values=values, seed=number % 3, rung=rung, steps=steps, state="failed" if failed else "done",
        score=None if failed else score, curve=() if failed else curve, seconds=cost * 1.1, cpu_seconds=cost,
        env_steps=steps + 2_000, labels=int(rng.choice([50, 100, 200])), elapsed=20.0 * (number + 1),
        why="The reward of Pendulum-v1 became nan in copy 2 at step 812." if failed else "",
    )  # fmt: skip


def finalist(name: str, arm: str, centre: float, apparent: float | None, base: float | None, rng) -> Finalist:
    scores = tuple(float(x) for x in centre + rng.normal(0, 9, len(SEEDS)))
    middle = float(np.mean(sorted(scores)[2:-2]))
    difference = None if base is None else middle - base
    return Finalist(
        name=name, arm=arm, values={"policy.learning_rate": 6.1e-4}, apparent=apparent, scores=scores, iqm=middle,
        ci95=(middle - 6.5, middle + 6.0), median=float(np.median(scores)), failed=int(arm.startswith("td3")),
        difference=difference, difference_ci95=None if difference is None else (difference - 9, difference + 9),
        p_better=None if base is None else (0.97 if difference > 9 else 0.55),
        p_better_ci95=None if base is None else (0.6, 1.0),
        p_holm=None if base is None else (0.004 if difference > 9 else 0.8),
        cpu_seconds={"sac": 96.0, "ppo": 17.5, "td3": 88.0}[arm[:3]], env_steps=11_000, labels=100.0,
    )  # fmt: skip


def record(winner: bool = True) -> Study:
    rng = np.random.default_rng(5)
    base = finalist(DEFAULT, "ppo+kernel", -196.0, -188.0, None, rng)
    better = -152.0 if winner else -194.0
    found = [
        finalist(BEST, "sac+kernel", better, -139.5, base.iqm, rng),
        finalist("sac+kernel 45", "sac+kernel", better - 6, -141.2, base.iqm, rng),
        base,
        finalist("random 3", "td3+mlp", -241.0, -215.0, base.iqm, rng),
    ]
    why = "sac+kernel 31 is better than the default after Holm's correction." if winner else "Nothing is."
    verdict = Verdict(
        judge="truth", seeds=SEEDS, finalists=tuple(found), chosen=BEST if winner else DEFAULT, winner=winner,
        tied=(BEST, "sac+kernel 45") if winner else (DEFAULT, BEST, "sac+kernel 45"), why=why, expected=-155.2,
        expected_ci95=(-163.0, -149.0),
    )  # fmt: skip
    manifest = Manifest(
        accord="0.1.0", task="Pendulum-v1", budget="30m", judge="truth", seed=3, started=1.7e9, commit="a" * 40,
        configuration={"seed": 3, "task": {"id": "Pendulum-v1"}, "policy": {"algorithm": "ppo", "steps": 9_000}},
        versions={"python": "3.12.1", "torch": "2.9"}, machine={"processor": "a processor", "cores": 2},
    )  # fmt: skip
    tries = tuple(trial(number, rng) for number in range(76))
    return Study(manifest, tries, (Agreement(0, 1, 22, 0.71, True), Agreement(1, 2, 3, None, True)), verdict)


CHOSEN = 'seed = 3\n[task]\nid = "Pendulum-v1"\n[policy]\nalgorithm = "sac"\nlearning_rate = 0.00061\n'


def written(folder: Path, study: Study) -> Path:
    """The study as the files of its folder."""
    log = trials.create(folder, study.manifest)
    for event in (*study.trials, *study.agreements, *([study.verdict] if study.verdict else [])):
        log.write(event)
    (folder / trials.CHOSEN).write_text(CHOSEN)
    return folder


def small(*rows: tuple[str, str, int, float | None, float, int]) -> Study:
    """Trials as name, arm, rung, score, processor seconds and labels, in the order in which they ended."""
    return Study(
        record().manifest,
        tuple(
            Trial(i, "search", name, arm, {}, 0, rung, 100, "failed" if score is None else "done", score,
                  cpu_seconds=cost, labels=labels, elapsed=float(i))
            for i, (name, arm, rung, score, cost, labels) in enumerate(rows)
        ),
    )  # fmt: skip


def test_golden_the_best_so_far_counts_all_that_was_spent_and_whole_trials_alone():
    study = small(("a", "x", 0, 9.0, 5, 0), ("b", "x", 1, 1.0, 10, 0), ("c", "y", 1, None, 20, 0),
                  ("d", "y", 1, 3.0, 10, 0), ("e", "x", 1, 0.5, 10, 0), ("f", "x", 1, 2.0, 10, 0))  # fmt: skip
    assert anytime(study) == [Best("y", (45.0,), (3.0,)), Best("x", (15.0, 65.0), (1.0, 2.0))]
    assert anytime(small()) == []


def test_golden_the_unbeaten_are_those_that_nothing_beats_in_score_cost_and_labels():
    study = small(("a", "x", 0, 9.0, 5, 10), ("b", "x", 0, 8.0, 4, 10), ("c", "x", 0, 8.0, 5, 10),
                  ("d", "x", 0, 1.0, 9, 1), ("e", "x", 0, 9.0, 5, 11))  # fmt: skip
    assert {row.name for row in tried(study) if row.unbeaten} == {"a", "b", "d"}
    assert [row.name for row in tried(study)][:2] == ["a", "e"]
    twice = small(("a", "x", 0, 1.0, 4, 0), ("a", "x", 0, 3.0, 6, 0))
    (one,) = tried(twice)
    assert (one.score, one.cpu_seconds, one.trials, one.unbeaten) == (2.0, 5.0, 2, True)


def test_golden_what_sets_scores_apart_is_found_important_with_its_interval():
    study = record()
    assert arm_of(study) == "sac+kernel"
    assert set(varied(study)) == set(study.trials[0].values)
    found = importances(study)
    assert next(iter(found)) == "policy.learning_rate"
    for value in found.values():
        assert value.low is not None and value.high is not None and 0 <= value.low <= value.mean <= value.high <= 1
    assert sum(value.mean for value in found.values()) == pytest.approx(1.0)
    assert importances(study) == found  # bars are drawn from a seed
    assert importances(replace(study, trials=study.trials[:40])) == {}  # too few whole trials of one arm


@pytest.mark.parametrize("lang", LANGUAGES)
def test_golden_the_verdict_in_a_sentence(lang: str):
    told = {"en": ("is better than the default", "No winner: on 10 fresh seeds", "Not finished: 76 trials so far"),
            "zh": ("优于默认配置", "没有胜者：在 10 个全新种子上", "尚未结束：目前 76 次试验")}[lang]  # fmt: skip
    studies = (record(), record(winner=False), replace(record(), verdict=None))
    for study, words in zip(studies, told, strict=True):
        assert words in page.sentence(study, lang)  # type: ignore[arg-type]
    assert BEST in page.sentence(record(), lang)  # type: ignore[arg-type]
    marks = [chip.mark for chip in page.chips(record(), lang)]  # type: ignore[arg-type]
    assert marks == ["good", "caution", "note", "caution"]  # it won, but less clearly than it seemed; two failed


@pytest.mark.parametrize("winner", [True, False])
def test_contract_every_figure_is_one_that_plotly_draws_and_says_itself_in_words(winner: bool):
    drawn = study_figures.figures(record(winner), "en")
    assert set(drawn) == {"confirmed", "gap", "anytime", "pareto_cpu", "pareto_labels", "importance",
                          *(f"slice_{i}" for i in range(3))}  # fmt: skip
    for figure in drawn.values():
        plain = json.loads(re.sub(r'"@\w+"', '"#123456"', json.dumps({"data": figure.data, "layout": figure.layout})))
        go.Figure(plain)
        assert figure.alt and figure.alt.endswith((".", "。"))
    assert not study_figures.figures(Study(record().manifest), "en")  # nothing was tried yet


def test_contract_the_page_is_made_by_accord_report_is_closed_and_shows_text_as_text(tmp_path: Path, capsys):
    study = record()
    evil = replace(study.trials[60], why=EVIL, name=EVIL)
    folder = written(tmp_path / "study", replace(study, trials=(*study.trials[:60], evil, *study.trials[61:])))
    assert cli.main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / trials.PAGE)
    text = html.unescape((folder / trials.PAGE).read_text(encoding="utf-8").split('<script type="application/json"')[0])
    assert EVIL in text and EVIL not in (folder / trials.PAGE).read_text(encoding="utf-8")
    assert "default-src 'none'" in text and 'id="toml"' in text
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', text.replace(EVIL, ""))
    assert "learning_rate = 0.00061" in text and "accord run chosen.toml" in text
    for words in ("Leaderboard", "排行榜", "2 trials failed", "96.0"):
        assert words in text
    assert '<html lang="zh-Hans" data-lang="zh">' in page.write(folder, "zh").read_text(encoding="utf-8")


def test_contract_a_study_without_an_end_has_a_page_that_claims_nothing(tmp_path: Path):
    folder = written(tmp_path / "study", replace(record(), verdict=None))
    text = page.write(folder).read_text(encoding="utf-8")
    assert "Not confirmed" in text and 'data-figure="confirmed"' not in text and 'data-figure="anytime"' in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_contract_in_a_browser_every_figure_is_drawn_and_nothing_sticks_out(tmp_path: Path, browser, width: int):
    folder = written(tmp_path / "study", record())
    path = page.write(folder)
    tab = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(path.as_uri(), timeout=120_000)
    tab.wait_for_selector("html[data-ready=true]")
    assert errors == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    drawn = tab.evaluate("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))")
    assert drawn
    tab.click("[data-set-lang=zh]")
    assert "优于默认配置" in tab.inner_text(".sentence")
    tab.click("[data-swap=pareto_labels]")
    assert tab.locator("[data-figure=pareto_labels] .main-svg").count() > 0
    tab.close()
