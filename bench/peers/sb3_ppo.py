"""stable-baselines3's PPO on a true reward. Run by the peer's own interpreter:

    .peers/sb3/bin/python bench/peers/sb3_ppo.py ENV STEPS {defaults,tuned} --seed SEED

`defaults` are the library's own with 8 environments. `tuned` are rl-baselines3-zoo's settings for CartPole-v1
(hyperparams/ppo.yml: 8 environments, 32 steps, batch 256, lambda 0.8, gamma 0.98, 20 epochs, learning rate and clip
range falling linearly from 0.001 and 0.2, no entropy bonus).
"""

import argparse
from collections.abc import Callable

from protocol import Clock, Solved, evaluate, finish, quiet_output, warm_up
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

ENVS = 8
SOLVED = {"CartPole-v1": 475.0}


def linear(start: float) -> Callable[[float], float]:
    return lambda remaining: start * remaining


TUNED = {
    "n_steps": 32,
    "batch_size": 256,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "n_epochs": 20,
    "ent_coef": 0.0,
    "learning_rate": linear(0.001),
    "clip_range": linear(0.2),
}


class WatchReturns(BaseCallback):
    """Looks at the Monitors' last 100 episodes after each roll-out."""

    def __init__(self, solved: Solved) -> None:
        super().__init__()
        self.solved = solved

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.solved.check([episode["r"] for episode in self.model.ep_info_buffer], self.num_timesteps)


def main(env_id: str, steps: int, seed: int, settings: str) -> None:
    if settings == "tuned" and env_id != "CartPole-v1":
        raise SystemExit(f"settings are 'tuned' on {env_id}, but only CartPole-v1's are here: give 'defaults'.")
    with quiet_output():
        warm_up()
        clock = Clock()
        solved = Solved(clock, SOLVED.get(env_id, float("inf")))
        venv = make_vec_env(env_id, n_envs=ENVS, seed=seed)
        model = PPO("MlpPolicy", venv, seed=seed, device="cpu", **(TUNED if settings == "tuned" else {}))
        model.learn(steps, callback=WatchReturns(solved))
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        returns = evaluate(env_id, lambda rows: model.predict(rows, deterministic=True)[0])
    finish(
        seconds,
        cpu_seconds,
        returns,
        env_steps=model.num_timesteps,
        solved_seconds=solved.seconds,
        solved_steps=solved.steps,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("env")
    parser.add_argument("steps", type=int)
    parser.add_argument("settings", choices=("defaults", "tuned"))
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    main(given.env, given.steps, given.seed, given.settings)
