"""Our side of the benchmarks, one fresh process each:

    python -m bench.ours ppo ENV STEPS --seed SEED
    python -m bench.ours loop ENV LABELS STEPS --flaw FLAW --seed SEED

The clock and the evaluation are the peers' own (`bench/peers/protocol.py`): the clock runs from making the
environments to holding the trained policy, and the policy is then judged on Gymnasium's plain environments, not on
our tasks.
"""

from __future__ import annotations

import argparse

import numpy as np

from accord.policies.control.ppo import PPO, PPOConfig
from accord.rewards.fixed import TrueReward
from accord.tasks.control import ControlConfig, ControlTask
from accord.types import LearnedReward, Scored, StepBatch
from bench.peers.protocol import Clock, Solved, evaluate, finish, quiet_output, warm_up

SOLVED = {"CartPole-v1": 475.0}

# What differs from PPOConfig's defaults, task by task.
SETTINGS: dict[str, dict[str, float]] = {
    "CartPole-v1": {},
    "Acrobot-v1": {"gamma": 0.99},  # episodes of up to 500 steps at -1 each
    "Pendulum-v1": {"gamma": 0.9},  # rl-zoo's Pendulum-v1
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
        task = ControlTask(ControlConfig(id=env_id))
        policy = PPO(task, PPOConfig(steps=steps, **SETTINGS.get(env_id, {})), seed)
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ours")
    parser.add_argument("work", choices=("ppo",))
    parser.add_argument("env")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    ppo(given.env, given.steps, given.seed)


if __name__ == "__main__":
    main()
