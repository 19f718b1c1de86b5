"""PPO on the true reward beside stable-baselines3's, one thread each.

CartPole-v1 for 1,000,000 steps: `ratio` of the wall times against the peer's defaults with 8 environments,
`ratio_tuned` against rl-zoo's settings, `ratio_solved` of the times to first reach 475 (mean of the last 100 finished
training episodes, looked at after every roll-out, the same on both sides) against the defaults. `ratio_scalar` is the
lower of Acrobot-v1 and Pendulum-v1, which have no vectorised form, against the defaults; it counts only where our
final return is no lower than the peer's.

Seconds run from making the environments to holding the trained policy. Imports are outside them on both sides, and
so is the evaluation: the deterministic policy over 100 fresh episodes, which start alike on both sides. Every ratio
is that of the medians over the seeds; the smallest and the largest at one seed stand beside it in `spread`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import harness
from bench.harness import Bench, Result, column, ratio_of, spread

CARTPOLE, LEVEL = "CartPole-v1", 475.0
STEPS = {CARTPOLE: 1_000_000, "Acrobot-v1": 300_000, "Pendulum-v1": 300_000}  # the last two: 2 minutes of the peer's
SCALAR = ("Acrobot-v1", "Pendulum-v1")


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("ppo_vs_sb3", seeds=3, argv=argv)
    bench = Bench.start("ppo_vs_sb3", options)
    ours, sb3 = harness.ours(), harness.peer("sb3", "bench/peers/sb3_ppo.py")
    results: dict[str, dict[str, list[Result]]] = {}
    for env_id, full in STEPS.items():
        steps = full // 20 if options.quick else full
        sides = {
            "ours": (ours, ("ppo", env_id, steps)),
            "defaults": (sb3, (env_id, steps, "defaults")),
            "tuned": (sb3, (env_id, steps, "tuned")),
        }
        if env_id != CARTPOLE:
            del sides["tuned"]
        results[env_id] = bench.alternate(bench.wanted(sides))
    if options.side == "both":
        report(bench, results)
    else:
        bench.emit(None, {}, {}, note=f"only {options.side} was measured")


def report(bench: Bench, results: Mapping[str, Mapping[str, list[Result]]]) -> None:
    """The figures that the issue names, from the results of every task and side."""
    cartpole = {side: column(found, "seconds") for side, found in results[CARTPOLE].items()}
    against = {side: ratio_of(cartpole[side], cartpole["ours"]) for side in ("defaults", "tuned")}
    solved = {side: solved_ratio(results[CARTPOLE], side) for side in ("defaults", "tuned")}
    scalar = {env_id: scalar_ratio(results[env_id]) for env_id in SCALAR}
    counted = [found["median"] for found in scalar.values() if found is not None]
    bench.emit(
        against["defaults"]["median"],
        {env_id: side_figures(sides["ours"]) for env_id, sides in results.items()},
        {env_id: {s: side_figures(r) for s, r in sides.items() if s != "ours"} for env_id, sides in results.items()},
        ratio_tuned=against["tuned"]["median"],
        ratio_solved=solved["defaults"] and solved["defaults"]["median"],
        ratio_solved_tuned=solved["tuned"] and solved["tuned"]["median"],
        ratio_scalar=min(counted) if len(counted) == len(SCALAR) else None,
        spread={"ratio": against, "ratio_solved": solved, "ratio_scalar": scalar},
        reached_475={side: sum(m >= LEVEL for m in column(r, "mean")) for side, r in results[CARTPOLE].items()},
    )


def side_figures(results: Sequence[Result]) -> dict[str, object]:
    """One side on one task: seconds, processor seconds and final return, each with its spread."""
    figures: dict[str, object] = {name: spread(column(results, name)) for name in ("seconds", "cpu_seconds", "mean")}
    figures["env_steps"] = column(results, "env_steps")[0]
    figures["solved_seconds"] = [r["solved_seconds"] for r in results]
    figures["solved_steps"] = [r["solved_steps"] for r in results]
    return figures


def solved_ratio(sides: Mapping[str, Sequence[Result]], peer: str) -> dict[str, float] | None:
    """Of the times to first reach the level. None where a run of ours never did.

    A peer's run that never did counts with its whole time, which is less than it would have needed.
    """
    if any(result["solved_seconds"] is None for result in sides["ours"]):
        return None
    theirs = [float(str(r["seconds"] if r["solved_seconds"] is None else r["solved_seconds"])) for r in sides[peer]]
    return ratio_of(theirs, column(sides["ours"], "solved_seconds"))


def scalar_ratio(sides: Mapping[str, Sequence[Result]]) -> dict[str, float] | None:
    """Of the wall times, at equal final return: None where ours is lower by more than two standard errors."""
    returns = {side: spread(column(results, "mean"))["median"] for side, results in sides.items()}
    episodes = column(sides["defaults"], "episodes")[0]
    error = spread(column(sides["defaults"], "std"))["median"] / episodes**0.5
    if returns["ours"] < returns["defaults"] - 2 * error:
        return None
    return ratio_of(column(sides["defaults"], "seconds"), column(sides["ours"], "seconds"))


if __name__ == "__main__":
    main()
