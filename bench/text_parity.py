"""Does learning reach the same reward at the same KL as trl's?

    python -m bench.text_parity [--seeds N] [--quick] [--fresh] [--dev]

The story model in float32, RLOO, GRPO and (trl 1.12) PPO, 40 updates of 64 responses of 32 tokens, the same prompts,
the same reward (how often there is an e, which can be learned), the same learning rate and weight of KL; trl's rate
falls to 0 along a line, as is its default, ours stays; PPO has one epoch here and four there, each side's default. No
end is drawn on either side (`bench.text_side`, `bench/peers/trl_text.py`).

A side's curve is the mean reward and the mean KL of a response (nats) of each update, both over five updates in a row.
`gain` is how much the reward has grown where the KL is that of the side that went less far, by seed; `ratio` ours over
theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bench import harness, text_models
from bench.harness import Bench, Result, spread
from bench.text_vs_trl import BESIDE, OURS

ALGORITHMS = ("rloo", "grpo", "ppo")
SIZE, QUICK = ("8", "8", "32", "40"), ("2", "4", "8", "6")
RATE, BETA, ALIKE = "5e-4", "0.05", 5  # updates that a point of a curve is the mean of
THEIRS, EPOCHS = "trl", "1"  # our PPO's own number of them

Curve = Float[np.ndarray, "2 update"]  # KL and reward


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("text_parity", seeds=3, argv=argv)
    bench, folder = Bench.start("text_parity", options), text_models.story_folder()
    if folder is None:
        raise SystemExit(text_models.MISSING["story"])
    size = QUICK if options.quick else SIZE
    more = ("--rate", RATE, "--beta", BETA, "--scorer", "vowels")
    told: dict[str, dict[str, object]] = {}
    for what in ALGORITHMS:
        args = (what, "float32", folder, *size, *more)
        peer = harness.peer("trl112" if what == "ppo" else "trl", "bench/peers/trl_text.py", BESIDE)
        ours = harness.ours("bench/text_side.py", BESIDE)
        sides = {OURS: (ours, (*args, "--epochs", EPOCHS)), THEIRS: (peer, args)}
        found = bench.alternate(bench.wanted(sides))
        told[what] = compared(found[OURS], found[THEIRS], int(size[2]))
    ratios = {what: one["ratio"] for what, one in told.items()}
    bench.emit(None, ratios, None, curves=told)


def compared(ours: Sequence[Result], theirs: Sequence[Result], tokens: int) -> dict[str, object]:
    """Gains at equal KL, seed by seed."""
    pairs = [(own(one), peers(other, tokens)) for one, other in zip(ours, theirs, strict=True)]
    gains = np.array([gains_at_equal_kl(*pair) for pair in pairs])
    return {
        "ratio": spread((gains[:, 0] / gains[:, 1]).tolist()),
        "gain": spread(gains[:, 0].tolist()),
        "gain_trl": spread(gains[:, 1].tolist()),
        "kl": [min(one[0].max(), other[0].max()) for one, other in pairs],
    }


def own(result: Result) -> Curve:
    """Ours: KL is of a response."""
    logged = result["logged"]
    assert isinstance(logged, dict)
    return np.array([logged["kl"], logged["score"]], float)


def peers(result: Result, tokens: int) -> Curve:
    """Theirs: grpo and rloo log the KL of a token, every response having as many."""
    logged = result["logged"]
    assert isinstance(logged, dict)
    if "objective/kl" in logged:
        return np.array([logged["objective/kl"], logged["objective/scores"]], float)
    return np.array([np.array(logged["kl"]) * tokens, logged["reward"]], float)


def gains_at_equal_kl(one: Curve, other: Curve) -> tuple[float, float]:
    """What either has gained over its first update where the KL is the lesser of their greatest."""
    smooth = [np.stack([np.convolve(row, np.ones(ALIKE) / ALIKE, "valid") for row in curve]) for curve in (one, other)]
    level = min(curve[0].max() for curve in smooth)
    found = []
    for curve, raw in zip(smooth, (one, other), strict=True):
        at = int(np.argmax(curve[0] >= level))
        found.append(float(curve[1, at] - raw[1, 0]))
    return found[0], found[1]


if __name__ == "__main__":
    main()
