"""What each process of test_sharding does:

    python -m torch.distributed.run --nproc-per-node 2 -m tests.policies.text.divided FOLDER

The first writes what came of it to FOLDER/ALGORITHM.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from accord.backbones.sharding import ALONE, Share, joined
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.offline import Offline, OfflineConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.policies.text.sft import SFT, SFTConfig
from accord.types import Comparisons, Evidence, Feedback, LearnedReward, Reply, Shaping
from tests.policies.text.tiny import Counts, Prompts, model

CASES = {
    "dpo": ("dpo", 0),
    "dpo_adapters": ("dpo", 2),
    "kto": ("kto", 0),
    "grpo": ("grpo", 0),
    "grpo_adapters": ("grpo", 2),
    "sft": ("sft", 0),
}


def told() -> Evidence:
    """Which reply has more letters `a`; of five prompts, so that micro-batches are of different sizes."""
    rng = np.random.default_rng(0)
    replies = [Reply("abcdefgh"[: 1 + k % 5], "".join(rng.choice(list("abc"), rng.integers(2, 9)))) for k in range(40)]
    first, second = np.arange(0, 40, 2), np.arange(1, 40, 2)
    many = np.array([one.response.count("a") for one in replies])
    level = (many[first] > many[second]).astype(np.int64)
    part = Comparisons(first, second, level, np.zeros(20, np.int64), 2)
    return Evidence(replies, np.arange(40) // 2, ("somebody",), (part,), (np.ones(20, bool),))


def case(name: str, share: Share, folder: Path) -> dict[str, object]:
    """Three improvements: what each told, and where the weights were in the end; saved and loaded in between."""
    algorithm, rank = CASES[name]

    def made() -> SFT | Offline | Online:
        actor = Actor(model(3), ActorConfig(rank=rank, learning_rate=3e-3), 0, share)
        if algorithm == "sft":
            return SFT(actor, SFTConfig(epochs=1, minibatch=9, memory=30))
        if algorithm == "grpo":
            config = OnlineConfig("grpo", prompts=4, group=4, tokens=6, minibatch=8, memory=40, kl=0.1)
            return Online(Prompts(), actor, config, 0)
        return Offline(Prompts(), actor, OfflineConfig(algorithm, minibatch=7, memory=40))  # pyright: ignore[reportArgumentType]

    policy, found = made(), []
    learned = LearnedReward(Counts(), shaping=Shaping(kl_coefficient=0.1))  # pyright: ignore[reportArgumentType]
    signal = learned if algorithm == "grpo" else Feedback(told(), 0.5)
    for number in range(3):
        extra = policy.improve(signal, 16, number).extra
        found.append({key: value for key, value in extra.items() if key in ("loss", "kl", "score", "accuracy")})
        if number == 1 and not isinstance(policy, SFT):
            policy.save(folder / f"{name}.{share.rank}")
            policy = made()
            assert not isinstance(policy, SFT)
            policy.load(folder / f"{name}.{share.rank}")
    weights = [one.double().sum().item() for one in policy.actor.acting.parameters()]
    return {"told": found, "weights": weights}


def main() -> None:
    torch.set_num_threads(1)
    folder, share = Path(sys.argv[1]), joined()
    for name in CASES:
        found = case(name, share, folder)
        if share.rank == 0:
            (folder / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    assert ALONE.size == 1
    main()
