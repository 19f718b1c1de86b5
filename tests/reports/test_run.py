"""Golden: the sentence, the verdicts and small tables. Contract: the page is whole, closed and shows text as text."""

import base64
import io
import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from accord.reports.figures import _freer_end, figures, wilson
from accord.reports.read import Estimate, Run, estimate
from accord.reports.run import write
from accord.reports.verdict import Returns, result_sentence, verdicts
from accord.reports.view import annotator_rows, examples, lineage, parts, rounds, seconds, tally, unsigned
from accord.reports.words import LANGUAGES, WORDS, number
from accord.types import InputError

ROUNDS, STEPS_A_ROUND = 10, 10_000
STYLE = files("accord.reports").joinpath("style.css")
EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>{{7*7}}'

PATIENCE = 120_000  # milliseconds for a page of megabytes, where other work takes the processor


def result_record() -> dict:
    return {
        "task": "CartPole-fixed", "seed": 10_003, "labels": 100, "env_steps": 100_000, "best_return": 500,
        "terminates": False,
        "env_steps_by": {"improve": 80_000, "collect": 12_000, "judge": 8_000},
        "seconds": {"total": 7.9, "collect": 0.42, "fit": 2.61, "improve": 3.84, "judge": 0.61, "ask": 0.05,
                    "wait": 0.09},
        "true_return": {"mean": 487.2, "std": 33.2, "episodes": 100, "ci95": [480.1, 493.4]},
        "random_return": {"mean": 41.7, "std": 18.0, "episodes": 100, "ci95": [38.2, 45.2]},
        "constant_reward_return": {"mean": 47.9, "std": 24.1, "episodes": 100, "ci95": [43.2, 52.6]},
        "true_reward_return": {"mean": 500.0, "std": 0.0, "episodes": 100, "ci95": [500.0, 500.0]},
        "reward": {"heldout_accuracy": 0.87, "ci95": [0.78, 0.93], "ece": 0.041, "agreement": 0.9},
        "chosen": {"reward": {"kind": "mlp", "members": 5}, "policy": {"algorithm": "ppo", "learning_rate": 0.0025}},
    }  # fmt: skip


def manifest_record() -> dict:
    return {
        "configuration": {
            "seed": 10_003,
            "task": {"kind": "control", "id": "CartPole-fixed", "envs": 64, "horizon": 500},
            "feedback": {"labels": 100, "annotator": "teacher", "teacher": "noisy", "kind": "compare", "segment": 50},
            "reward": {"kind": "mlp", "members": 5, "width": 64, "learning_rate": 0.001, "select": True, "path": None},
            "policy": {"algorithm": "ppo", "steps": 80_000, "clip": 0.2, "schedule": [0.0025, 0.0]},
        },
        "seed": 10_003,
        "versions": {"accord": "0.1.0", "torch": "2.13.0", "numpy": "2.3.1", "gymnasium": "1.4.0"},
        "commit": "4be1f00c8a1d5d3c2b8c6f6a77f2f2c7a9f7b001",
        "machine": {"processor": "2 cores, 2.6 GHz", "memory": "16 GiB", "system": "Linux 6.1"},
    }


def stage_records(rng: np.random.Generator) -> list[dict]:
    records = []
    for i in range(ROUNDS):
        done = (i + 1) / ROUNDS
        truth = 42 + 452 / (1 + math.exp(-11 * (done - 0.42))) + rng.normal(0, 9)
        half = 6 + 46 * math.exp(-((done - 0.45) ** 2) / 0.05)
        accuracy = 0.6 + 0.28 * (1 - math.exp(-4 * done)) + rng.normal(0, 0.012)
        uniform = 5 if i == 0 else 2
        rule = {"uniform": uniform, "disagreement": 0 if i == 0 else 6, "near-policy": 5 if i == 0 else 2}
        records += [
            {"stage": "collect", "round": i, "segments": 40, "env_steps": 1200, "seconds": 0.04},
            {"stage": "ask", "round": i, "asked": sum(rule.values()), "acquisition": rule, "labels_so_far": 10 * i},
            {"stage": "wait", "round": i, "answers": 10 + (i % 4 == 1), "skipped": int(i % 4 == 1), "ties": i // 7},
            {"stage": "fit", "round": i, "train_log_likelihood": -0.6 + 0.42 * (1 - math.exp(-3 * done)),
             "heldout_log_likelihood": -0.66 + 0.33 * (1 - math.exp(-3 * done)) + rng.normal(0, 0.012),
             "epochs": 40, "seconds": 0.26, "annotators": annotator_records(i),
             "answers_hash": f"{i}9f2" * 16, "reward_hash": f"{i}1ab" * 16},
            {"stage": "improve", "round": i, "steps": 8000, "seconds": 0.38, "updates": 62,
             "policy_hash": f"{i}07e" * 16, "extra": {
                "entropy": 0.69 - 0.42 * done, "kl": 0.012 + rng.normal(0, 0.002), "clip_share": 0.21 - 0.1 * done,
                "value_loss": 0.9 * math.exp(-2 * done) + 0.06, "explained_variance": 0.2 + 0.72 * done**0.5}},
            {"stage": "judge", "round": i, "labels": 10 * (i + 1), "env_steps": STEPS_A_ROUND * (i + 1),
             "true_return": truth, "true_return_low": truth - half, "true_return_high": min(500, truth + half),
             "accuracy": accuracy, "accuracy_low": accuracy - 0.16 + 0.07 * done,
             "accuracy_high": min(1, accuracy + 0.13 - 0.06 * done), "ece": 0.14 - 0.1 * done,
             "log_likelihood": -0.5, "spearman": 0.55 + 0.38 * done, **picture_records(rng)},
        ]  # fmt: skip
    return records


def annotator_records(i: int) -> dict:
    room = 0.12 + 0.3 / (i + 1)
    rows = (("Ana", 0.97, 0.02, 41), ("Bo", 0.88, -0.05, 33), ("Chen", 0.55, 0.81, 26))
    return {name: {"skill": skill, "low": max(0, skill - room), "high": min(1, skill + room / 2), "side": side,
                   "answers": answers * (i + 1) // ROUNDS} for name, skill, side, answers in rows}  # fmt: skip


def picture_records(rng: np.random.Generator) -> dict:
    truth = np.clip(rng.normal(34, 15, 300), 0, 50)
    reward = 0.31 * (truth - 30) + rng.normal(0, 1.6, 300)
    bins = [(0.07, 0.1, 9), (0.2, 0.17, 6), (0.36, 0.44, 9), (0.52, 0.5, 8), (0.67, 0.6, 10), (0.83, 0.88, 16),
            (0.95, 0.97, 29)]  # fmt: skip
    return {
        "reliability": [{"p": p, "observed": o, "n": n} for p, o, n in bins],
        "scatter": {"reward": reward.round(3).tolist(), "truth": truth.round(2).tolist()},
        "examples": [example_record(rng, rule) for rule in ("uniform", "disagreement")],
    }


def example_record(rng: np.random.Generator, rule: str) -> dict:
    walk = [np.cumsum(rng.normal(0, 0.11, 50)) + rng.normal(0.4, 0.4) for _ in range(2)]
    p = 1 / (1 + math.exp(-(sum(walk[0]) - sum(walk[1])) / 12))
    level = int(rng.random() < p)
    return {
        "kind": "compare", "acquisition": rule, "first": "a" * 64, "second": "b" * 64,
        "level": level, "levels": 2, "annotator": ["Ana", "Bo"][level], "p": p,
        "curves": {"first": walk[0].round(3).tolist(), "second": walk[1].round(3).tolist()},
    }  # fmt: skip


def make_folder(folder: Path, result: dict | None = None, manifest: dict | None = None, stages=None) -> Path:
    """A finished run of 100 comparisons in ten rounds, with figures like those of a fixed-horizon CartPole."""
    folder.mkdir(parents=True, exist_ok=True)
    stages = stage_records(np.random.default_rng(0)) if stages is None else stages
    (folder / "manifest.json").write_text(json.dumps(manifest_record() if manifest is None else manifest))
    (folder / "result.json").write_text(json.dumps(result_record() if result is None else result))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in stages))
    return folder


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.read(make_folder(tmp_path / "run"))


# ------------------------------------------------------------------------------------------- golden: the sentence


def test_golden_sentence_in_both_languages():
    assert result_sentence(result_record(), "en", "comparisons") == (
        "After 100 comparisons and 100,000 steps the policy reaches 487 of 500 (95% interval 480 to 493): "
        "97% of the way from a random policy to what the same algorithm reaches on the true reward."
    )
    assert result_sentence(result_record(), "zh", "comparisons") == (
        "经过 100 次比较和 100,000 个环境步，策略达到 487（满分 500），95% 区间 480 至 493："
        "在随机策略与同一算法使用真实奖励的水平之间，达到了 97%。"
    )


@pytest.mark.parametrize(
    ("change", "ending"),
    [
        ({"best_return": None, "true_reward_return": None}, "the policy reaches 487 (95% interval 480 to 493)."),
        ({"random_return": None}, "(95% interval 480 to 493); the same algorithm reaches 500 on the true reward."),
        (
            {"true_reward_return": 40.0},
            "; on the true reward the same algorithm reaches 40.0, no better than a random policy (41.7).",
        ),
        ({"true_return": {"mean": 487.2}, "true_reward_return": None}, "reaches 487 of 500 (interval not measured)."),
        (  # the true reward beats random by 10, less than the policy's interval is wide: no share of that
            {"true_reward_return": 51.7},
            "(95% interval 480 to 493); the same algorithm reaches 51.7 on the true reward.",
        ),
        (  # clearly above the run on the true reward: no share of what is no ceiling
            {"true_reward_return": 98.1},
            "(95% interval 480 to 493); the same algorithm on the true reward reaches 98.1, which is less.",
        ),
        (
            {"true_return": None},
            "The true return of the policy was not measured, so nothing can be said about how well it does.",
        ),
    ],
)
def test_golden_sentence_says_only_what_was_measured(change, ending):
    assert result_sentence(result_record() | change).endswith(ending)


def test_golden_sentence_of_a_task_that_pays_negative_returns():
    result = {
        "labels": 200, "env_steps": 50_000, "true_return": {"mean": -180.0, "ci95": [-195.2, -164.9]},
        "random_return": -1200.0, "true_reward_return": -150.0,
    }  # fmt: skip
    # (-180 + 1200) / (-150 + 1200) = 0.971
    assert result_sentence(result) == (
        "After 200 labels and 50,000 steps the policy reaches −180 (95% interval −195 to −165): "
        "97% of the way from a random policy to what the same algorithm reaches on the true reward."
    )


def test_golden_share_and_intervals():
    returns = Returns.read(result_record())
    assert returns.share == pytest.approx((487.2 - 41.7) / (500 - 41.7))
    assert estimate({"mean": 10.0, "std": 5.0, "episodes": 100}) == Estimate(10.0, 10 - 0.98, 10 + 0.98, 100)
    assert estimate(float("nan")) is None
    assert wilson(0.5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)  # Wilson's interval of 5 in 10
    assert wilson(0.0, 5) == pytest.approx((0.0, 0.434482), abs=1e-5)


def test_golden_numbers():
    told = [number(x) for x in (487.2, 41.73, 0.8712, 0.0123, -1200.0, 5.0, -0.0)]
    assert told == ["487", "41.7", "0.87", "0.012", "−1,200", "5", "0"]


def test_golden_a_name_stands_where_the_curve_does_not_cross_it():
    flat_then_steep = [(0.0, 10.0), (80.0, 10.0), (100.0, 200.0)]
    low, high = (_freer_end(flat_then_steep, y, 220.0) for y in (100.0, -40.0))
    assert (low, high) == (0, 1)  # steep at the right, so the left is free; far below the curve: the right, as ever
    assert _freer_end([], 5.0, 10.0) == 1


# ------------------------------------------------------------------------------------------- golden: verdicts


@pytest.mark.parametrize(
    ("constant", "terminates", "mark", "words"),
    [
        (47.9, True, "good", "the comparisons taught the rest"),
        (
            {"mean": 498.0, "ci95": [495, 500]},
            True,
            "bad",
            "termination leaks the reward; comparisons taught nothing here",
        ),
        ({"mean": 484.0, "ci95": [470, 498]}, False, "bad", "It reaches 484: comparisons taught nothing here"),
        (500.0, None, "bad", "Where episodes can end early, termination leaks the reward"),
        ({"mean": 470.0, "ci95": [440, 499]}, True, "caution", "The intervals overlap"),
        (None, True, "none", "no such yardstick"),
    ],
)
def test_golden_constant_reward_control(tmp_path, constant, terminates, mark, words):
    changed = result_record() | {"constant_reward_return": constant, "terminates": terminates}
    run = Run.read(make_folder(tmp_path, changed, stages=[]))
    chip = next(each for each in verdicts(run, "en") if "onstant" in each.head)
    assert chip.mark == mark
    assert words in chip.why


def test_golden_failing_verdicts_come_first(tmp_path):
    changed = result_record() | {"constant_reward_return": 500.0, "random_return": {"mean": 485, "ci95": [470, 499]}}
    marks = [chip.mark for chip in verdicts(Run.read(make_folder(tmp_path, changed)), "en")]
    assert marks == ["bad", "caution", "caution", "good"]


def test_golden_a_small_gap_to_the_true_reward_is_a_note(run):
    assert [chip.mark for chip in verdicts(run, "en")] == ["good", "good", "good", "note"]


def test_golden_reward_no_better_than_a_coin(tmp_path):
    changed = result_record() | {"reward": {"heldout_accuracy": 0.56, "ci95": [0.47, 0.65]}}
    chip = verdicts(Run.read(make_folder(tmp_path, changed)), "en")[0]
    assert (chip.mark, chip.head) == ("bad", "The reward is not clearly better than a coin")


# ------------------------------------------------------------------------------------------- golden: tables


def test_golden_tables(run):
    assert [stat.value for stat in tally(run)] == ["100", "103", "3", "3"]
    assert [row[0] for row in annotator_rows(run)] == ["Ana", "Bo", "Chen"]
    assert (len(rounds(run)), rounds(run)[-1].labels) == (10, 100)
    kinds = {(each.outcome, each.agrees) for each in examples(run)}
    assert {outcome for outcome, _ in kinds} == {"first", "second"}
    pieces = parts({"total": 10.0, "fit": 6.0, "improve": 3.0, "ask": 0.0}, 10.0)
    assert [(p.name, p.amount) for p in pieces] == [("fit", 6.0), ("improve", 3.0), ("other", 1.0)]
    assert [p.start for p in pieces] == pytest.approx([0.0, 0.6, 0.9])


def test_golden_lineage_is_the_last_rounds(run):
    assert lineage(run) == {"answers": "99f2" * 16, "reward": "91ab" * 16, "policy": "907e" * 16}


def test_golden_seconds_come_from_the_records_where_the_result_is_silent(tmp_path):
    run = Run.read(make_folder(tmp_path, {"seconds": {"total": 9.0, "fit": 3.0}}))
    assert seconds(run) == pytest.approx({"collect": 0.4, "fit": 3.0, "improve": 3.8, "total": 9.0})


def test_golden_a_stores_password_is_left_out(tmp_path):
    manifest = manifest_record()
    manifest["configuration"]["feedback"]["store"] = "postgresql+psycopg://ana:s3cret!@db.example:5432/answers"
    text = write(make_folder(tmp_path, manifest=manifest)).read_text()
    assert "s3cret" not in text
    assert "postgresql+psycopg://ana:***@db.example:5432/answers" in text
    assert unsigned("http://x/a:b@c and sqlite:///a.db") == "http://x/a:b@c and sqlite:///a.db"


def test_golden_outcome_of_a_level():
    told = [
        examples(Run(Path(), {}, {}, ({"stage": "judge", "examples": [{"level": level, "levels": levels}]},)))[
            0
        ].outcome
        for level, levels in ((0, 2), (1, 2), (1, 3), (2, 7), (3, 7), (6, 7), (None, 2))
    ]
    assert told == ["second", "first", "tie", "second", "tie", "first", "skip"]


def test_contract_every_sentence_keeps_its_places_in_both_languages():
    for key, (en, zh) in WORDS.items():
        places = [set(re.findall(r"{(\w+)}", text)) for text in (en, zh)]
        assert places[0] >= places[1] and (places[0] == places[1] or key == "accuracy_bad"), key


# ------------------------------------------------------------------------------------------- contract: figures


def test_contract_every_figure_is_valid_plotly(run):
    """Plotly's own validators read each figure, the page's colour names replaced by a colour."""
    for lang in LANGUAGES:
        drawn = figures(run, lang)
        assert len(drawn) == 9
        for figure in drawn.values():
            text = re.sub(r'"@[a-z0-9]+"', '"#123456"', json.dumps({"data": figure.data, "layout": figure.layout}))
            go.Figure(json.loads(text))
            assert len(figure.alt) > 10


def test_contract_colours_are_variables_of_the_style(run):
    style = STYLE.read_text()
    named = set(re.findall(r'"@([a-z0-9]+)"', json.dumps([[f.data, f.layout] for f in figures(run, "en").values()])))
    assert named and all(f"--{name}:" in style for name in named)


def test_contract_text_has_contrast_in_both_themes():
    """WCAG 2.2 AA: 4.5 to 1 for text on every ground that it stands on."""
    style = STYLE.read_text()
    themes = [
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"(.*?)color-scheme: (?:light|dark);", style, re.S)
    ]
    assert themes[1] == themes[2]  # dark by the system's wish and dark by the button are one theme
    for theme in themes:
        for text, grounds in {
            "ink": ("ground", "raised", "none-wash"), "muted": ("ground", "raised"), "accent": ("raised",),
            "second": ("raised",), "bad": ("raised",), "good": ("raised",),
            "soft": ("ground", "raised", "good-wash", "caution-wash", "bad-wash", "none-wash"),
        }.items():  # fmt: skip
            for ground in grounds:
                assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    def light(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


# ------------------------------------------------------------------------------------------- contract: the page


class Page(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


def test_contract_page_is_one_closed_file(run):
    path = write(run.folder)
    page = Page(path.read_text())
    assert path.name == "report.html" and path.stat().st_size < 6_000_000
    assert not list(run.folder.glob("*.tmp"))
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "base"), tag
        assert not {"src", "href", "action"} & set(attributes), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "http" not in STYLE.read_text()


def test_contract_page_is_the_same_when_made_again(run):
    first = write(run.folder).read_text()
    assert write(run.folder).read_text() == first


def test_contract_text_of_people_and_models_is_shown_as_text(tmp_path):
    stages = stage_records(np.random.default_rng(1))
    for record in stages:
        if record["stage"] == "fit":
            record["annotators"] = {EVIL: {"skill": 0.9, "low": 0.8, "high": 1.0, "side": 0.0, "answers": 3}}
        if record["stage"] == "ask":
            record["acquisition"] = {EVIL: 10}
        for each in record.get("examples", ()):
            each |= {"annotator": EVIL, "kind": EVIL, "acquisition": EVIL}
    manifest = manifest_record()
    manifest["configuration"]["task"]["id"] = EVIL
    manifest["machine"] = EVIL
    text = write(make_folder(tmp_path, result_record() | {"task": EVIL}, manifest, stages)).read_text()
    assert EVIL not in text
    page = Page(text)
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert len(scripts) == 3 and not [tag for tag, _ in page.elements if tag == "img"]
    assert "49" not in re.findall(r"<h1[^>]*>(.*?)</h1>", text, re.S)[0]
    assert "&lt;/script&gt;" in text


def test_contract_absent_keys_are_not_measured(tmp_path):
    text = write(make_folder(tmp_path, {}, {}, [])).read_text()
    assert "was not measured, so nothing can be said" in text
    assert text.count("Not measured in this run.") >= 8
    sparse = [{"stage": s, "round": 0} for s in ("collect", "ask", "wait", "fit", "judge", "improve", "record")]
    assert "not measured" in write(make_folder(tmp_path, {"true_return": None}, {}, sparse)).read_text()


def test_contract_a_stage_done_again_after_a_kill_counts_once(tmp_path):
    folder = make_folder(tmp_path)
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps({"stage": "wait", "round": 9, "answers": 10, "skipped": 0, "ties": 0}) + "\n")
        lines.write('{"stage": "judge", "rou')
    assert tally(Run.read(folder))[1].value == "102"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("manifest.json", "so it is no run"),
        ("result.json", "its run is not finished: go on with accord run --resume"),
    ],
)
def test_contract_half_written_folder_is_refused_with_a_remedy(tmp_path, missing, words):
    folder = make_folder(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(InputError, match=re.escape(words)):
        write(folder)
    (folder / missing).write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        write(folder)


def test_contract_language_comes_from_the_argument_then_the_configuration(tmp_path):
    manifest = manifest_record()
    manifest["configuration"]["report"] = {"lang": "zh"}
    folder = make_folder(tmp_path, manifest=manifest)
    assert '<html lang="zh-Hans" data-lang="zh">' in write(folder).read_text()
    assert '<html lang="en" data-lang="en">' in write(folder, "en").read_text()


# ------------------------------------------------------------------------------------------- the clip

CLIP = {
    "seed": 7, "steps": 500, "true_return": 493.0, "shown": 500, "stride": 4, "frames": 3, "width": 32, "height": 20,
}  # fmt: skip


def make_filmed(folder: Path, clip: dict | None = None) -> Path:
    """A run with three frames of one colour each."""
    colours = ("red", "lime", "blue")
    first, *rest = (Image.new("RGB", (32, 20), colour) for colour in colours)
    make_folder(folder, result_record() | {"clip": CLIP if clip is None else clip})
    first.save(folder / "clip.webp", save_all=True, append_images=rest, duration=80, loop=0)
    return folder


def test_golden_the_clip_stands_in_the_page_with_its_size_and_what_it_is(tmp_path):
    folder = make_filmed(tmp_path / "run")
    text = write(folder).read_text()
    page = Page(text)
    image = next(attributes for tag, attributes in page.elements if tag == "img")
    still = next(attributes for tag, attributes in page.elements if tag == "source")
    assert decoded(image["src"]) == (folder / "clip.webp").read_bytes()
    assert (image["width"], image["height"]) == ("32", "20")
    assert still["media"] == "(prefers-reduced-motion: reduce)"
    with Image.open(io.BytesIO(decoded(still["srcset"]))) as first:
        red, green, blue = first.convert("RGB").getpixel((16, 10))
    assert red > 200 and max(green, blue) < 60
    assert (
        image["alt"]
        == image["data-alt-en"]
        == ("Moving picture of the learned policy on CartPole-fixed: one episode of 500 steps, true return 493.")
    )
    assert "500 步，真实回报 493" in image["data-alt-zh"]
    for words in ("not the best one", "the final one, after 10 rounds", "493 (mean of 100 episodes: 487)",
                  "one step in 4", "并非挑选的最佳回合"):  # fmt: skip
        assert words in text
    assert write(folder).read_text() == text


def decoded(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == "data:image/webp;base64"
    return base64.b64decode(body)


def test_golden_an_episode_that_is_not_shown_to_its_end_says_so(tmp_path):
    text = write(make_filmed(tmp_path, CLIP | {"shown": 149, "stride": 1})).read_text()
    assert "up to step 149, every step" in text


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        ({"why": "off", "detail": ""}, "report.clip is false"),
        ({"why": "mode", "detail": ""}, "the environment cannot be rendered as pictures"),
        ({"why": "failed", "detail": EVIL}, "this machine could not render it (&lt;/script&gt;"),
        (CLIP, "clip.webp is not in the run&#39;s folder, or cannot be read"),
    ],
)
def test_contract_without_a_clip_one_sentence_says_why(tmp_path, clip, words):
    folder = make_folder(tmp_path, result_record() | {"clip": clip})
    for _ in ("no file", "a torn one"):
        text = write(folder).read_text()
        assert words in text and "<img" not in text and EVIL not in text
        if clip is CLIP:
            (folder / "clip.webp").write_bytes(b"RIFF")


def test_contract_a_record_without_the_key_says_nothing_of_clips(run):
    assert "clip of the policy" not in write(run.folder).read_text()


# ------------------------------------------------------------------------------------------- contract: a browser


def test_contract_page_in_a_browser_on_phone_and_desk(run, browser):
    """No sideways scrolling, no console errors, no request; every figure drawn, in both languages and themes."""
    path = write(run.folder)
    for width in (375, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        troubles, requests = [], []
        page.on("console", lambda message, seen=troubles: seen.append(message.text))
        page.on("pageerror", lambda error, seen=troubles: seen.append(str(error)))
        page.on("request", lambda request, seen=requests: seen.append(request.url))
        page.goto(path.as_uri(), timeout=PATIENCE)
        page.wait_for_selector("html[data-ready=true]")
        for press in ("#theme", "[data-set-lang=zh]", "[data-swap=curve_steps]", "#theme"):
            page.click(press)
            page.wait_for_timeout(150)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, press
        assert page.locator(".plot .main-svg").count() >= 8
        assert page.evaluate(OVERLAPS) == []
        assert (troubles, [url for url in requests if not url.startswith("file:")]) == ([], [])
        page.close()


def test_contract_the_clip_rests_where_no_motion_is_wished_and_can_be_stopped(tmp_path, browser):
    path = write(make_filmed(tmp_path / "run"))
    for wish in ("no-preference", "reduce"):
        page = browser.new_page(viewport={"width": 375, "height": 800}, reduced_motion=wish)
        troubles = []
        page.on("console", lambda message, seen=troubles: seen.append(message.text))
        page.goto(path.as_uri(), timeout=PATIENCE)
        page.wait_for_selector("html[data-ready=true]")
        source = "document.querySelector('.clip img').currentSrc"
        moving = page.evaluate("document.querySelector('.clip img').src")
        assert (page.evaluate(source) == moving) == (wish == "no-preference")
        page.click("#motion")
        page.wait_for_timeout(100)
        assert (page.evaluate(source) == moving) == (wish == "reduce")
        page.click("[data-set-lang=zh]")
        assert page.evaluate("document.querySelector('.clip img').alt").startswith("学到的策略")
        assert page.locator("#motion").inner_text() == ("播放" if wish == "no-preference" else "停止")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert troubles == []
        page.close()


# Texts of a figure that cover one another by more than a sliver, and texts cut off at a figure's edge.
OVERLAPS = """() => [...document.querySelectorAll('.plot')].flatMap(plot => {
  const edge = plot.getBoundingClientRect();
  const texts = [...plot.querySelectorAll('svg text')].filter(t => t.textContent.trim())
    .map(t => [t.textContent, t.getBoundingClientRect()]).filter(([, r]) => r.width > 0);
  const out = texts.filter(([, r]) => r.left < edge.left - 3 || r.right > edge.right + 3).map(([t]) => 'cut: ' + t);
  texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
    const w = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const h = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (w > 3 && h > 3) out.push(a + ' | ' + b);
  }));
  return out;
})"""
