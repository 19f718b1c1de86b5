"""Is the chosen reward the one that serves best? Its regret, beside other ways to choose, on control and on text.

    python -m bench.selection_quality [--seeds N] [--quick] [--dev] [--fresh] [--data FOLDER]

Twelve rewards a problem. Control: the examples of Pendulum-v1 and of fixed-horizon CartPole with their noisy teachers,
and Pendulum-v1 with one who turns a fifth of the answers round. The answers (200 and 100) are those of a whole run with
the example's own reward, as `accord select` is given them. Every reward of the panel is fitted to them, and PPO learns
on it from nothing, with two seeds; a reward's worth is the mean true return. Text: arguments (`ukp`), dialogues (`hh`)
and instructions (`pandalm`); half of the groups (debates, dialogues, instructions) are for the choice, 1,000 of their
answers where there are so many, and a reward's worth is the log-likelihood of the other half's. Needs
`accord fetch minilm` and `accord fetch smollm2`.

Ways to choose, all from the same folds and answers: `select` (`rewards.select`; in control with the race of policies
in which `accord select` ends, where answers leave several), `accuracy` (the greatest accuracy in
cross-validation), `default` (the first of the panel, a net of 2 x 64, of texts the sentence embedding), `largest` (most
parameters). `regret` is `(best - chosen) / (best - floor)`, `best` the best of the panel at that seed, and the floor a
random policy or the usual shares of the answers. The best of twelve noisy returns is better than any reward is, so even
the right choice has a regret of its own: `regret_fixed` is against the reward that is best over all seeds instead.
A problem that no reward of the panel solves any better
than the floor is left out. Intervals are over seeds and problems, drawn within problems.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from accord import build, config, records, runtime
from accord.config import RunConfig
from accord.feedback.evidence import pack
from accord.feedback.store import Store
from accord.functional.statistics import bootstrap_interval, mean
from accord.progress import Silent
from accord.rewards import encoders, words
from accord.rewards.candidates import Candidate, parameters
from accord.rewards.crossval import Reading, tell
from accord.rewards.denoise import taken
from accord.rewards.finalists import finalists
from accord.rewards.fit import RewardConfig, fit
from accord.rewards.jobs import Readings
from accord.rewards.select import Selection, select
from accord.runtime import derive
from accord.tasks.collect import evaluate, random_actions
from accord.tasks.control import ControlTask
from accord.tuning import finale
from accord.types import Comparisons, Evidence, LearnedReward, Reply
from bench import dialogues, harness, ukp_votes
from bench.dialogues import remembered
from bench.harness import Bench, Result, Worker
from bench.kinds import DATA
from bench.ours import EXAMPLE, EXAMPLES
from bench.peers.protocol import Clock, finish, quiet_output, warm_up
from bench.tuning_side import Inline

STEPS = {"Pendulum-v1": 30_000, "accord/FixedCartPole-v0": 100_000}
FLAWS: dict[str, dict[str, str]] = {
    "noisy": {},
    "mistaken": {"feedback.teacher.flaw": "mistaken", "feedback.teacher.mistake": "0.2"},
}
CONTROL = [("Pendulum-v1", "noisy"), ("Pendulum-v1", "mistaken"), ("accord/FixedCartPole-v0", "noisy")]
TEXT = ("ukp", "hh", "pandalm")
WAYS = ("select", "accuracy", "default", "largest")
AGAIN = 60_000  # the first seed: the rule, or the readings of texts, were changed after those before had been seen
EPISODES, RUNS, TRAINED = 30, 2, 1_000

# ---------------------------------------------------------------------------------------------------- the panels


def steps_panel() -> list[Candidate]:
    base = RewardConfig(members=3)
    nets = [replace(base, width=w, depth=d) for w, d in ((64, 2), (32, 1), (128, 1), (256, 2))]
    closed = [replace(base, kind=k, weighed=w) for k, w in (("linear", None), ("kernel", False), ("kernel", True))]
    state = [replace(one, inputs="state") for one in (closed[1], closed[2], nets[0])]
    return [
        Candidate(one)
        for one in [*nets, *closed, *state, replace(closed[1], lapses=False), replace(nets[0], lapses=False)]
    ]


def texts_panel() -> list[Candidate]:
    linear, kernel = RewardConfig(kind="linear", members=3), RewardConfig(kind="kernel", weighed=False, members=3)
    names = ("minilm", "length", "style", "tfidf", *words.DEEP[1:])
    return [Candidate(config, name) for config in (linear, kernel) for name in names]


def chosen_by(evidence: Evidence, panel: list[Candidate], readings: Readings, seed: int) -> tuple[Selection, list[int]]:
    """The selection, and which of the panel each way takes."""
    found = select(evidence, panel, readings, seed, kept=panel)
    accuracy = {row.name: row.accuracy or 0.0 for row in found.rows}
    sizes = []
    for one in panel:
        reading = readings[one.text]
        rows = reading.encode(evidence.segments[:1]).shape[1] if reading.encode else 4
        sizes.append(parameters(one, (rows, 0), None))
    by_accuracy = max(range(len(panel)), key=lambda k: accuracy[panel[k].name])
    return found, [panel.index(found.chosen), by_accuracy, 0, int(np.argmax(sizes))]


def told(found: Selection, panel: list[Candidate]) -> Result:
    """What the choice knew of each of the panel: log-likelihood, and how far that is from the best's."""
    rows = {row.name: row for row in found.rows}
    return {
        "answers": found.answers,
        "select": panel.index(found.chosen),
        "score": [rows[one.name].score for one in panel],
        "difference": [rows[one.name].difference for one in panel],
        "difference_error": [rows[one.name].difference_error for one in panel],
    }


# ------------------------------------------------------------------------------------------------------- control


def answered(env: str, flaw: str, quick: bool, seed: int, folder: Path) -> tuple[RunConfig, Evidence]:
    """The answers of a whole run of the example with its own reward, which stay in the folder."""
    asked = {"seed": str(seed), "policy.steps": str(4_000 if quick else STEPS[env]), **FLAWS[flaw]}
    asked |= {"reward.select": "fixed", "report.baselines": "false", "report.clip": "false"}
    settings = config.load(EXAMPLES / EXAMPLE[env], asked)
    build.run(settings, folder, False, Silent())
    url = f"sqlite:///{folder / records.STORE}"
    store = Store(url)
    try:
        return replace(settings, feedback=replace(settings.feedback, store=url)), pack(store)
    finally:
        store.close()


def control(env: str, flaw: str, quick: bool, seed: int) -> tuple[list[float], Result]:
    """True returns of policies that learned on each reward of the panel, and a random one's."""
    panel = steps_panel()[: 3 if quick else None]
    with tempfile.TemporaryDirectory() as folder:
        settings, evidence = answered(env, flaw, quick, seed, Path(folder))
        task = ControlTask(build.copies(settings))
        reading = Reading(task.spec.action.discrete)
        found, takes = chosen_by(evidence, panel, {"": reading}, seed)
        raced, left = {}, finalists(found)
        if finale.can(settings, left):
            scores = finale.race(settings, left, Inline, Silent())
            takes[0] = panel.index(left[finale.winner(scores)])
            raced = {one.name: list(one.scores) for one in scores}
    judged, worth = task.sibling(EPISODES), []
    for one in panel:
        reward = fit(evidence, one.config, discrete=reading.discrete, terminates=task.spec.terminates, seed=seed)
        returns = []
        for run in range(RUNS):
            own = derive(seed, "taught", run)
            policy = build.policy_of(ControlTask(build.copies(settings)), settings, own)
            policy.improve(LearnedReward(reward), settings.policy.steps, own)
            returns.append(float(evaluate(judged, policy.acting(), derive(seed, "judged")).mean()))
        worth.append(float(np.mean(returns)))
    floor = float(evaluate(judged, random_actions(judged, np.random.default_rng(seed)), derive(seed, "judged")).mean())
    return worth, {"worth": worth, "floor": floor, "takes": takes, **told(found, panel), "raced": raced}


# ---------------------------------------------------------------------------------------------------------- text


def ukp(folder: Path) -> Evidence:
    """Votes on arguments; a group is a debate."""
    votes = ukp_votes.read(folder / "ukp")
    return votes.evidence(np.ones(len(votes.level), bool))


def hh(folder: Path) -> Evidence:
    """The chosen reply of a dialogue over the rejected one, which side it stands on drawn; a group is a dialogue."""
    return dialogues.evidence(dialogues.read(folder), 0)


def pandalm(folder: Path) -> Evidence:
    """Three annotators' verdicts on two responses; a group is an instruction with its input."""
    rows = json.loads((folder / "pandalm" / "testset-v1.json").read_text(encoding="utf-8"))
    level = {0: 1, 1: 2, 2: 0}
    given = []
    for row in rows:
        said = [(k, level[int(row[f"annotator{k + 1}"])]) for k in range(3)]
        asked = f"{row['instruction']}\n{row['input']}"
        given.append((asked, str(row["response1"]), str(row["response2"]), said))
    return _of_pairs(given, 3)


def _of_pairs(rows: Sequence[tuple[str, str, str, list[tuple[int, int]]]], levels: int) -> Evidence:
    place: dict[tuple[str, str], int] = {}
    groups: dict[str, int] = {}
    columns = []
    for asked, one, other, said in rows:
        groups.setdefault(asked, len(groups))
        a, b = (place.setdefault((asked, reply), len(place)) for reply in (one, other))
        columns += [(a, b, level, who) for who, level in said if a != b]
    first, second, level, who = np.array(columns).T
    part = Comparisons(first, second, level, who, levels)
    names = tuple(f"annotator {k}" for k in range(int(who.max()) + 1))
    numbers = np.array([groups[asked] for asked, _ in place])
    return Evidence([Reply(*key) for key in place], numbers, names, (part,), (np.ones(len(first), bool),))


def text(name: str, folder: Path, quick: bool, seed: int) -> tuple[list[float], Result]:
    """Log-likelihood of the answers on the other half's groups, of each reward of the panel and of the usual shares."""
    for model in ("minilm", "smollm2"):
        encoders.READ[model] = remembered(f"{name}_{model}", encoders.READ[model])
    whole, rng = {"ukp": ukp, "hh": hh, "pandalm": pandalm}[name](folder), np.random.default_rng(seed)
    count = int(np.max(whole.groups)) + 1
    ours = rng.permutation(count) < count // 2
    part = whole.parts[0]
    assert isinstance(part, Comparisons)
    mine = ours[np.asarray(whole.groups)[part.first]]
    drawn = _drawn(mine, 100 if quick else TRAINED, rng) | _drawn(~mine, 300 if quick else 2 * TRAINED, rng)
    some = _used(taken(whole, [drawn]))
    rows = some.parts[0]
    assert isinstance(rows, Comparisons)
    held = ~ours[np.asarray(some.groups)[rows.first]]
    panel = [one for one in texts_panel() if not quick or one.text in ("length", "style")]
    replies = [segment for segment in some.segments if isinstance(segment, Reply)]
    readings = words.readings(sorted({one.text for one in panel}), replies, own=False)
    found, takes = chosen_by(_used(taken(some, [~held])), panel, readings, seed)
    worth = [float(np.nanmean(tell(some, one.config, [held], readings[one.text], seed)[0].score)) for one in panel]
    share = (np.bincount(rows.level[~held], minlength=rows.levels) + 1) / (np.sum(~held) + rows.levels)
    return worth, {
        "worth": worth,
        "floor": float(np.log(share[rows.level[held]]).mean()),
        "takes": takes,
        **told(found, panel),
    }


def _drawn(rows: Bool[np.ndarray, "answer"], most: int, rng: np.random.Generator) -> Bool[np.ndarray, "answer"]:
    """At most so many of them."""
    found = np.zeros(len(rows), bool)
    at = np.flatnonzero(rows)
    found[rng.choice(at, min(most, len(at)), replace=False)] = True
    return found


def _used(evidence: Evidence) -> Evidence:
    """Without the segments and annotators that no answer is about or from."""
    part = evidence.parts[0]
    assert isinstance(part, Comparisons)
    used, place = np.unique(np.concatenate([part.first, part.second]), return_inverse=True)
    people, who = np.unique(part.annotator, return_inverse=True)
    first, second = np.split(place, 2)
    return replace(
        evidence,
        segments=[evidence.segments[i] for i in used],
        groups=np.asarray(evidence.groups)[used],
        annotators=tuple(evidence.annotators[k] for k in people),
        parts=(replace(part, first=first, second=second, annotator=who),),
    )


# -------------------------------------------------------------------------------------------------- all problems


def work(argv: Sequence[str]) -> None:
    """`work SORT NAME FLAW FORM FOLDER --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.selection_quality work")
    for name in ("sort", "name", "flaw", "form", "folder"):
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    runtime.set_up()
    quick = given.form == "quick"
    with quiet_output(), runtime.flushed():
        warm_up()
        clock = Clock()
        if given.sort == "control":
            values, figures = control(given.name, given.flaw, quick, given.seed)
        else:
            values, figures = text(given.name, Path(given.folder), quick, given.seed)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    finish(seconds, cpu_seconds, values, **figures)


def regrets(results: Sequence[Result], fixed: bool) -> Float[np.ndarray, "seed way"]:
    """Of one problem. `fixed`: against the reward that is best over all seeds, else against each seed's best.

    nan where even the best is on the whole no better than the floor: then there is nothing to choose.
    """
    worth = np.array([one["worth"] for one in results], float)
    floor = np.array([one["floor"] for one in results], float)
    takes = np.array([one["takes"] for one in results], int)
    best = worth[:, int(worth.mean(0).argmax())] if fixed else worth.max(1)
    span = float((best - floor).mean())
    return (best[:, None] - np.take_along_axis(worth, takes, 1)) / (span if span > 0.0 else np.nan)


def summed(problems: dict[str, list[Result]], fixed: bool) -> dict[str, dict[str, object]]:
    """Of each way, the mean over problems and seeds with its interval."""
    tables = [regrets(results, fixed) for results in problems.values()]
    each = np.stack([table for table in tables if np.isfinite(table).all()], 1)  # seed, problem, way
    return {
        way: {
            "mean": float(each[:, :, place].mean()),
            "ci95": list(bootstrap_interval(each[:, :, place], mean, np.random.default_rng(0))),
        }
        for place, way in enumerate(WAYS)
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=DATA)
    own, rest = parser.parse_known_args(argv)
    bench = Bench.start("selection_quality", harness.parse("selection_quality", seeds=10, argv=rest, first=AGAIN))
    form = "quick" if bench.options.quick else "full"
    version = harness.our_version(
        "bench/selection_quality.py", "bench/ours.py", "bench/tuning_side.py", "bench/ukp_votes.py"
    )
    worker = Worker("accord", (sys.executable, "-m", "bench.selection_quality", "work"), version)
    wanted = [("control", env, flaw) for env, flaw in CONTROL] + [("text", name, "people") for name in TEXT]
    missing = [name for name in TEXT if not (own.data / name).is_dir()]
    found = {
        f"{name}/{flaw}": [
            bench.measure(worker, sort, name, flaw, form, own.data, seed=s) for s in bench.options.seed_list()
        ]
        for sort, name, flaw in wanted
        if name not in missing
    }
    each, fixed = summed(found, fixed=False), summed(found, fixed=True)
    problems = {
        name: dict(zip(WAYS, regrets(rows, False).mean(0).tolist(), strict=True)) for name, rows in found.items()
    }
    others = {way: each[way] for way in WAYS[1:]}
    bench.emit(
        None,
        each["select"],
        others,
        regret=each["select"]["mean"],
        regret_fixed=fixed,
        problems=problems,
        missing=missing,
    )


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
