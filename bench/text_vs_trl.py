"""Responses a second of learning a language model, and the memory it takes, beside trl.

    python -m bench.text_vs_trl [--seeds N] [--quick] [--fresh] [--dev] [--side ours|peer]

GRPO, RLOO, DPO and reward training beside trl 1.16, PPO beside trl 1.12, the last that has it, on the CPU, one thread:
the story model of 260,000 parameters, 64 responses of 64 tokens an update, and, where ACCORD_SMOLLM2 names its folder,
SmolLM2-135M, 32 of 32. The same prompts, the same number of tokens (no end is drawn on either side), the same reward,
which costs nothing, and trl's own learning rates and KL coefficients on both sides: what is left is how fast it goes.

A rate is that of the updates after the first. trl runs in three forms (`bench/peers/trl_text.py`), and a ratio is of
ours over the fastest of them. Where DPO and reward training are compared, a response is a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import harness, text_models
from bench.harness import Bench, Result, column, ratio_of, spread

ALGORITHMS = ("grpo", "rloo", "ppo", "dpo", "reward")
FORMS = ("default", "bfloat16", "float32")
BESIDE = "bench/peers/text_work.py"
OURS = "ours"


@dataclass(frozen=True)
class Size:
    """How much an update takes, and how many there are."""

    prompts: int
    group: int
    tokens: int
    steps: int


SIZES = {"story": Size(8, 8, 64, 6), "smollm2": Size(8, 4, 32, 3)}
QUICK = {"story": Size(2, 2, 8, 2)}


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("text_vs_trl", seeds=2, argv=argv)
    bench = Bench.start("text_vs_trl", options)
    folders = {"story": text_models.story_folder(), "smollm2": text_models.smollm2_folder()}
    found: dict[str, dict[str, dict[str, list[Result]]]] = {}
    for name, size in (QUICK if options.quick else SIZES).items():
        folder = folders[name]
        if folder is None:
            bench.say(f"{name} is left out: {text_models.MISSING[name]}")
            continue
        found[name] = {what: bench.alternate(bench.wanted(sides(what, folder, size))) for what in ALGORITHMS}
    if not found:
        raise SystemExit("no model is there to be measured; what is missing is said above.")
    if options.side == "both":
        report(bench, found)
    else:
        bench.emit(None, {}, {}, note=f"only {options.side} was measured")


def sides(what: str, folder: Path, size: Size) -> harness.Sides:
    """Ours, and trl in each of its forms."""
    end = (folder, size.prompts, size.group, size.tokens, size.steps)
    theirs = harness.peer("trl112" if what == "ppo" else "trl", "bench/peers/trl_text.py", BESIDE)
    return {
        OURS: (harness.ours("bench/text_side.py", BESIDE), (what, "auto", *end)),
        **{form: (theirs, (what, form, *end)) for form in FORMS},
    }


def report(bench: Bench, found: Mapping[str, Mapping[str, Mapping[str, Sequence[Result]]]]) -> None:
    """The line: of each algorithm the lesser ratio of the models, and everything that it comes from."""
    told = {name: {what: compared(each) for what, each in by.items()} for name, by in found.items()}
    ratios = {what: min(by[what]["ratio"]["median"] for by in told.values()) for what in ALGORITHMS}
    memory = {what: min(by[what]["memory"] for by in told.values()) for what in ALGORITHMS}
    ours = {name: {what: each["sides"][OURS] for what, each in by.items()} for name, by in told.items()}
    peer = {
        name: {what: {form: each["sides"][form] for form in FORMS} for what, each in by.items()}
        for name, by in told.items()
    }
    spreads = {name: {what: each["ratio"] for what, each in by.items()} for name, by in told.items()}
    fastest = {name: {what: each["fastest"] for what, each in by.items()} for name, by in told.items()}
    bench.emit(min(ratios.values()), ours, peer, **ratios, memory=memory, spread=spreads, fastest=fastest)


def compared(by: Mapping[str, Sequence[Result]]) -> dict:
    """Our rate over the fastest form's, its peak memory over ours, and what each side was measured at."""
    rates = {side: column(results, "samples_per_second") for side, results in by.items()}
    peaks = {side: column(results, "peak_mb") for side, results in by.items()}
    fastest = max(FORMS, key=lambda form: spread(rates[form])["median"])
    shown = {
        side: {
            "samples_per_second": spread(rates[side]),
            "peak_mb": max(peaks[side]),
            "part_seconds": results[0]["part_seconds"],
            "reward": results[0]["mean"],
        }
        for side, results in by.items()
    }
    return {
        "ratio": ratio_of(rates[OURS], rates[fastest]),
        "memory": max(peaks[fastest]) / max(peaks[OURS]),
        "fastest": fastest,
        "sides": shown,
    }


if __name__ == "__main__":
    main()
