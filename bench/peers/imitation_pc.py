"""imitation's preference comparisons with its tuned settings. Run by the peer's own interpreter:

    .peers/imitation/bin/python bench/peers/imitation_pc.py ENV LABELS STEPS --seed SEED

The settings are those that imitation's authors tuned on Pendulum-v1 with 200 comparisons and 50,000 asked steps
(pull request 771, whose 100 runs they published: mean -196.5): 60 iterations, one tenth of the comparisons first,
hyperbolic schedule, 10 reward epochs (4 times as many in the first round), 5 % exploration, PPO with learning rate
0.002, gamma 0.97, lambda 0.90, 15 epochs, clip 0.1, entropy 0.01, 2,048 steps a roll-out. What the pull request leaves
alone stays at the library's default: fragments of 100 steps, one reward net, a teacher that errs by Boltzmann at
temperature 1. On the fixed-horizon CartPole, for which the library has no tuned settings, the same ones are used.

Steps are counted at the environments. The library takes more than it is asked for: each iteration trains for at
least one whole roll-out, there is one iteration more than asked, and sampling fragments takes steps of its own.
After each iteration the deterministic policy is judged on 20 fresh episodes for the learning curve; neither the clock
nor the count hears of it.
"""

import argparse
import tempfile

import fixed_cartpole
import gymnasium
import numpy as np
import torch
from imitation.algorithms import preference_comparisons as pc
from imitation.policies.base import FeedForward32Policy, NormalizeFeaturesExtractor
from imitation.rewards.reward_nets import BasicRewardNet
from imitation.util import logger as imitation_logger
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from protocol import CURVE_EPISODES, CURVE_SEED, Clock, evaluate, finish, quiet_output, warm_up
from stable_baselines3 import PPO

ITERATIONS = 60


class Ledger:
    """Steps of all environments by purpose."""

    def __init__(self) -> None:
        self.purpose = "sample"
        self.steps = {"train": 0, "sample": 0, "explore": 0}

    def total(self) -> int:
        return sum(self.steps.values())


class Counted(gymnasium.Wrapper):
    """Tells the ledger of every step."""

    def __init__(self, env: gymnasium.Env, ledger: Ledger) -> None:
        super().__init__(env)
        self.ledger = ledger

    def step(self, action: object) -> tuple:
        self.ledger.steps[self.ledger.purpose] += 1
        return self.env.step(action)


class CountedTrainer(pc.AgentTrainer):
    """The library's trainer; the ledger hears which steps train and which are partly random."""

    def __init__(self, ledger: Ledger, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.ledger = ledger
        explorer = self.exploration_wrapper

        def explore(*args: object) -> object:
            ledger.purpose = "explore"
            return explorer(*args)

        self.exploration_wrapper = explore

    def train(self, steps: int, **kwargs: object) -> None:
        self.ledger.purpose = "train"
        super().train(steps, **kwargs)
        self.ledger.purpose = "sample"


def build(
    env_id: str, iterations: int, seed: int, ledger: Ledger, folder: str
) -> tuple[PPO, pc.PreferenceComparisons]:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)  # the reward net is made before anything of the library seeds torch
    venv = make_vec_env(env_id, rng=rng, post_wrappers=[lambda env, _: Counted(env, ledger)])
    reward_net = BasicRewardNet(venv.observation_space, venv.action_space, normalize_input_layer=RunningNorm)
    agent = PPO(
        policy=FeedForward32Policy,
        policy_kwargs={
            "features_extractor_class": NormalizeFeaturesExtractor,
            "features_extractor_kwargs": {"normalize_class": RunningNorm},
        },
        env=venv,
        seed=seed,
        n_steps=2048 // venv.num_envs,
        clip_range=0.1,
        ent_coef=0.01,
        gae_lambda=0.90,
        n_epochs=15,
        gamma=0.97,
        learning_rate=2e-3,
        device="cpu",
    )
    trainer = CountedTrainer(
        ledger, algorithm=agent, reward_fn=reward_net, venv=venv, exploration_frac=0.05, rng=rng
    )
    reward_trainer = pc.BasicRewardTrainer(
        preference_model=pc.PreferenceModel(reward_net), loss=pc.CrossEntropyRewardLoss(), epochs=10, rng=rng
    )
    learner = pc.PreferenceComparisons(
        trainer,
        reward_net,
        num_iterations=iterations,
        fragmenter=pc.RandomFragmenter(warning_threshold=0, rng=rng),
        preference_gatherer=pc.SyntheticGatherer(rng=rng),
        reward_trainer=reward_trainer,
        initial_comparison_frac=0.10,
        initial_epoch_multiplier=4,
        query_schedule="hyperbolic",
        custom_logger=imitation_logger.configure(folder, format_strs=[]),  # its tables would cost it time
    )
    return agent, learner


def main(env_id: str, labels: int, steps: int, iterations: int, seed: int) -> None:
    with quiet_output(), tempfile.TemporaryDirectory() as folder:
        fixed_cartpole.register()
        warm_up()
        clock, ledger = Clock(), Ledger()
        agent, learner = build(env_id, iterations, seed, ledger, folder)
        curve: list[list[float]] = []

        def act(rows: np.ndarray) -> np.ndarray:
            return agent.predict(rows, deterministic=True)[0]

        def look(iteration: int) -> None:
            with clock.pause():
                curve.append([ledger.total(), float(np.mean(evaluate(env_id, act, CURVE_EPISODES, CURVE_SEED)))])

        learner.train(total_timesteps=steps, total_comparisons=labels, callback=look)
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
        returns = evaluate(env_id, act)
    finish(
        seconds,
        cpu_seconds,
        returns,
        labels=len(learner.dataset),
        env_steps=ledger.total(),
        env_steps_by_purpose=ledger.steps,
        asked_steps=steps,
        curve=curve,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("env")
    parser.add_argument("labels", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    main(given.env, given.labels, given.steps, given.iterations, given.seed)
