"""What wrong answers cost: 200 labels of which three in ten are turned round, beside the same number of clean ones.

    python -m bench.noise [--seeds N] [--quick] [--fresh] [--dev]

Tasks, settings and normalisation are those of `bench.labels_to_90`; the teacher is an oracle, or one that errs. Nothing
is told of the errors: how much each annotator can be trusted is estimated with the reward. `loss` is the greater of the
two tasks' losses of mean normalised return, `p_below_margin` that of a one-sided test, seed by seed, that it is below
0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accord.functional.statistics import bootstrap_interval, mean, tost
from bench import harness
from bench.harness import Bench, Result, column
from bench.labels_to_90 import TASKS as ALL
from bench.labels_to_90 import Task

LABELS, WRONG, MARGIN = 200, 0.3, 0.1
FIRST_SEED = 10_500
# CartPole's are fresh ones: what leads a policy back that wrong answers led astray was made after the first were seen.
TASKS = (replace(ALL[0], first=FIRST_SEED), replace(ALL[1], first=11_000))


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("noise", seeds=10, argv=argv, first=FIRST_SEED)
    bench = Bench.start("noise", options)
    found = {task.figure: compared(bench, task) for task in TASKS}
    bench.emit(None, {}, {}, loss=max(float(str(each["loss"])) for each in found.values()), tasks=found)


def compared(bench: Bench, task: Task) -> dict[str, object]:
    """Clean and wrong labels in turns, and what the wrong ones cost."""
    quick = bench.options.quick
    labels, steps = (20, min(task.steps, 30_000) // 5) if quick else (LABELS, task.steps)
    common = ("loop", task.id, steps, "--labels", labels, "--example", task.example, "--flaw")
    ours = harness.ours()
    results: dict[str, list[Result]] = bench.alternate(
        {
            "clean": (ours, (*common, "oracle")),
            "wrong": (ours, (*common, "mistaken", "--wrong", WRONG)),
            "true": (ours, (task.algorithm, task.id, task.steps if not quick else steps)),
        },
        [seed if bench.options.dev else seed - FIRST_SEED + task.first for seed in bench.options.seed_list()],
    )
    true = float(np.mean(column(results["true"], "mean")))
    scores = {
        name: (np.array(column(results[name], "mean")) - task.random) / (true - task.random)
        for name in ("clean", "wrong")
    }
    loss = scores["clean"] - scores["wrong"]
    low, high = bootstrap_interval(loss[:, None], mean, np.random.default_rng(0))
    return {
        "loss": float(loss.mean()),
        "loss_ci95": [low, high],
        "p_below_margin": tost(loss, -np.inf, MARGIN) if len(loss) > 1 else None,
        "clean": scores["clean"].tolist(),
        "wrong": scores["wrong"].tolist(),
        "true": true,
    }


if __name__ == "__main__":
    main()
