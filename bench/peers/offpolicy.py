"""SAC and TD3 of stable-baselines3, or of sbx, on a true reward. Run by the peer's own interpreter:

    .peers/sb3/bin/python bench/peers/offpolicy.py ENV STEPS {sac,td3} {sb3,sbx} [--device cuda] --seed SEED

The libraries' own defaults with nets of 2 x 256, one environment and one update a step; TD3 explores with normal noise
of standard deviation 0.1, as its documentation shows. `steps_per_second` is that of the steps after the first
`FIRST`: whatever a library compiles, it has compiled by then.
"""

import argparse
import importlib
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # one thread, as all others
if "cuda" not in sys.argv:
    os.environ["JAX_PLATFORMS"] = "cpu"

import gymnasium
import numpy as np
from protocol import FIRST, Clock, evaluate, finish, quiet_output, warm_up
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

LIBRARY = {"sb3": "stable_baselines3", "sbx": "sbx"}


class Watch(BaseCallback):
    """Looks at the clock once, after the first steps."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.at = clock, float("nan")

    def _on_step(self) -> bool:
        if self.num_timesteps == FIRST:
            self.at = self.clock.seconds()
        return True


def main(env_id: str, steps: int, algorithm: str, library: str, device: str, seed: int) -> None:
    with quiet_output():
        warm_up()
        clock = Clock()
        env = gymnasium.make(env_id)
        size = len(env.action_space.sample())
        more = {"action_noise": NormalActionNoise(np.zeros(size), 0.1 * np.ones(size))} if algorithm == "td3" else {}
        nets = {"net_arch": [256, 256]}
        learner = getattr(importlib.import_module(LIBRARY[library]), algorithm.upper())
        model = learner("MlpPolicy", env, seed=seed, device=device, policy_kwargs=nets, batch_size=256, **more)
        watch = Watch(clock)
        model.learn(steps, callback=watch)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        returns = evaluate(env_id, lambda rows: model.predict(rows, deterministic=True)[0])
    rate = (steps - FIRST) / (seconds - watch.at)
    finish(seconds, cpu_seconds, returns, env_steps=model.num_timesteps, steps_per_second=rate)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("env")
    parser.add_argument("steps", type=int)
    parser.add_argument("algorithm", choices=("sac", "td3"))
    parser.add_argument("library", choices=("sb3", "sbx"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    main(given.env, given.steps, given.algorithm, given.library, given.device, given.seed)
