"""Our side of the benchmarks, one fresh process each:

    python -m bench.ours ppo ENV STEPS --seed SEED
    python -m bench.ours sac ENV STEPS [--warmup STEPS] [--device cuda] --seed SEED            (td3 alike)
    python -m bench.ours loop ENV STEPS --labels LABELS --flaw FLAW [--wrong SHARE] [--many] [--example FILE]
                              [--recipe pebble] [--set KEY=VALUE] --seed SEED

The clock and the evaluation are the peers' own (`bench/peers/protocol.py`): the clock runs from making the
environments to holding the trained policy, and the policy is then judged on Gymnasium's plain environments, not on
our tasks.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from accord import runtime
from accord.policies.control.ppo import PPO, PPOConfig
from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.td3 import TD3, TD3Config
from accord.progress import Silent
from accord.rewards.fixed import TrueReward
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import LearnedReward, Scored, StepBatch
from bench.peers.protocol import FIRST, Clock, Solved, evaluate, finish, quiet_output, warm_up

EXAMPLES = Path(__file__).parent.parent / "examples"  # the settings that users start from are the ones measured
EXAMPLE = {"Pendulum-v1": "pendulum.toml", "accord/FixedCartPole-v0": "cartpole.toml"}

# Beside imitation the loop takes 2 to 5 times the examples' steps. Then fewer passes and larger minibatches do, and
# Pendulum's rounds grow: the first of even ones would take a tenth of the run before there is a second reward.
WITH_MANY = {
    "Pendulum-v1": {"feedback.growth": "1", "policy.minibatch": "256"},
    "accord/FixedCartPole-v0": {"policy.epochs": "2", "policy.minibatch": "512"},
}

# PEBBLE's recipe (arXiv:2106.05091) in our switches: 3 nets of 3 x 256, state entropy first, disagreement, critics
# reset, a round for every 5,000 steps, the shortest of the intervals that its authors use.
PEBBLE = {
    "feedback.queries.rule": "disagreement",
    "feedback.queries.uniform": "0.15",  # the least that can be had: the forecasts are measured on it
    "feedback.pretrain": "1000",
    "reward.kind": "mlp",
    "reward.members": "3",
    "reward.width": "256",
    "reward.depth": "3",
    "policy.refit": "reset",
}
PEBBLE_INTERVAL = 5_000

SOLVED = {"CartPole-v1": 475.0}

# Where PPO's defaults are not what is used, task by task.
POLICY = {
    # A reward so rare needs a whole episode of many copies in a roll-out, or noise moves the policy before it is found.
    "Acrobot-v1": PPOConfig(gamma=0.99, lambda_=0.98, rollout=512, epochs=5),
    "Pendulum-v1": PPOConfig(gamma=0.95),
    "accord/FixedCartPole-v0": PPOConfig(rollout=60, minibatch=256, epochs=6),  # examples/cartpole.toml
}
TASK = {
    "Acrobot-v1": ControlConfig(id="Acrobot-v1", envs=32),
    "accord/FixedCartPole-v0": ControlConfig(id="accord/FixedCartPole-v0", envs=32, cut=60),
}


class WatchedTruth:
    """The true reward, which also hears when the mean of the last 100 finished episodes reaches the level."""

    version = 0

    def __init__(self, task: ControlTask, solved: Solved) -> None:
        self.truth, self.solved = TrueReward(task.truth.at), solved
        self.running = np.zeros(task.spec.envs)
        self.returns: list[float] = []
        self.steps = 0

    def __call__(self, batch: StepBatch) -> Scored:
        """One roll-out's rewards; the episodes that it ended are added up on the way."""
        scored = self.truth(batch)
        if batch.ended is None:
            raise ValueError("PPO scores roll-outs, whose steps know where an episode ended.")
        for reward, ended in zip(scored.mean.numpy().T, batch.ended.numpy().T, strict=True):
            self.running += reward
            if ended.any():
                self.returns.extend(self.running[ended].tolist())
                self.running[ended] = 0.0
        self.steps += int(batch.valid.sum())
        self.solved.check(self.returns, self.steps)
        return scored


def ppo(env_id: str, steps: int, seed: int) -> None:
    """PPO on the true reward."""
    with quiet_output():
        warm_up()
        clock = Clock()
        solved = Solved(clock, SOLVED.get(env_id, float("inf")))
        task = ControlTask(TASK.get(env_id, ControlConfig(id=env_id)))
        task.truth.start(0)
        policy = PPO(task, replace(POLICY.get(env_id, PPOConfig()), steps=steps), seed)
        policy.improve(LearnedReward(WatchedTruth(task, solved)), steps, seed)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        returns = evaluate(env_id, lambda rows: policy.act(rows.astype(np.float32)))
    finish(
        seconds,
        cpu_seconds,
        returns,
        env_steps=sum(task.steps().values()),
        solved_seconds=solved.seconds,
        solved_steps=solved.steps,
    )


def offpolicy(algorithm: str, env_id: str, steps: int, warmup: int, device: Literal["cpu", "cuda"], seed: int) -> None:
    """SAC or TD3 on the true reward, one copy of the environment and one update a step after the warm-up."""
    with quiet_output():
        warm_up()
        clock = Clock()
        task = ControlTask(ControlConfig(id=env_id, envs=1))
        task.truth.start(0)
        told: dict[str, Any] = {"steps": steps, "warmup": warmup, "device": device}
        policy = SAC(task, SACConfig(**told), seed) if algorithm == "sac" else TD3(task, TD3Config(**told), seed)
        signal = LearnedReward(TrueReward(task.truth.at))
        policy.improve(signal, FIRST, runtime.derive(seed, 0))
        at = clock.seconds()
        policy.improve(signal, steps - FIRST, runtime.derive(seed, 1))
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        returns = evaluate(env_id, lambda rows: policy.act(rows.astype(np.float32)))
    rate = (steps - FIRST) / (seconds - at)
    finish(seconds, cpu_seconds, returns, env_steps=sum(task.steps().values()), steps_per_second=rate)


def loop(given: argparse.Namespace) -> None:
    """The whole loop, from comparisons by a teacher to a policy; no controls, which the peer does not run either."""
    from accord import build, config, records  # before the clock, and not needed by `ppo`

    env_id, seed, steps = given.env, given.seed, given.steps
    asked = {
        "seed": seed,
        "feedback.labels": given.labels,
        "feedback.teacher.flaw": given.flaw,
        "policy.steps": steps,
        "report.baselines": "false",
        "report.clip": "false",
    }
    overrides = {key: str(value) for key, value in asked.items()}
    if given.wrong:
        overrides["feedback.teacher.mistake"] = str(given.wrong)
    if given.many:
        overrides |= WITH_MANY[env_id]
    overrides |= dict(each.split("=", 1) for each in given.set)
    if given.recipe == "pebble":
        overrides |= PEBBLE | {"feedback.rounds": str(max(1, steps // PEBBLE_INTERVAL))}
    with quiet_output(), tempfile.TemporaryDirectory() as folder:
        resolved = config.load(EXAMPLES / (given.example or EXAMPLE[env_id]), overrides)
        warm_up()
        clock = Clock()
        result = build.run(resolved, Path(folder), False, Silent())
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        trained = build.policy_of(ControlTask(resolved.task), resolved, seed)
        trained.load(Path(folder) / records.POLICY)
        returns = evaluate(env_id, lambda rows: trained.act(rows.astype(np.float32)))
        judged = [r for r in records.read_records(Path(folder)) if r["stage"] == "judge"]
    curve = [[r["env_steps"], r["true_return"]] for r in judged]
    # The last judged round's count holds every step but the run's own final evaluation, which nothing learns from.
    finish(seconds, cpu_seconds, returns, labels=result.labels, env_steps=curve[-1][0], curve=curve)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ours")
    parser.add_argument("work", choices=("ppo", "sac", "td3", "loop"))
    parser.add_argument("env")
    parser.add_argument("steps", type=int)
    parser.add_argument("--labels", type=int, default=0)
    parser.add_argument("--flaw", default="oracle")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of the answers that are turned round")
    parser.add_argument("--warmup", type=int, default=SACConfig().warmup, help="random steps of SAC and TD3 at first")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where SAC and TD3 learn")
    parser.add_argument("--many", action="store_true", help="the settings for the steps that imitation takes")
    parser.add_argument("--example", default="", help="settings, where they are not the task's usual ones")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the configuration")
    parser.add_argument("--recipe", choices=("", "pebble"), default="", help="another's recipe in our switches")
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    runtime.set_up()
    with runtime.flushed():  # as a run does
        if given.work == "ppo":
            ppo(given.env, given.steps, given.seed)
        elif given.work in ("sac", "td3"):
            offpolicy(given.work, given.env, given.steps, given.warmup, given.device, given.seed)
        else:
            loop(given)


if __name__ == "__main__":
    main()
