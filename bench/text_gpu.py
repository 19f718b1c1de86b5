"""Samples a second of a whole GRPO step on a GPU: ours beside trl without a serving engine.

    python -m bench.text_gpu [--seeds N] [--quick] [--fresh] [--dev]

Models of the shapes of SmolLM2-135M and Qwen3-0.6B with random weights, 8 prompts of 8 tokens, 8 responses to each, 256
tokens a response (a model of random weights ends one in 49,152 or 151,936 tokens), every weight learning in bfloat16
with float32 masters; the reward is the length of the text modulo 7. The first two steps are not counted: they
compile, capture and warm up. trl at its defaults and at its fastest documented settings without an engine (bfloat16
weights, no checkpointing; its optimiser then has no masters); `ratio` is against the faster. Needs trl and its packages
beside torch in the interpreter that runs it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from accord.backbones.decoder import Decoder, Shape
from accord.backbones.text import LanguageModel
from accord.backbones.weights import config_of
from accord.policies.text.actor import Actor, ActorConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.types import LearnedReward, Reply, Scored, Shaping
from bench import harness
from bench.peers.protocol import Clock, finish

SHAPES = {
    "135m": Shape(576, 1536, 30, 9, 3, 64, 49_152, 2_048, 1e-5, 100_000.0),
    "0.6b": Shape(1_024, 3_072, 28, 16, 8, 128, 151_936, 2_048, 1e-6, 1_000_000.0, normed=True),
}
PROMPTS, GROUP, TOKENS, ASKED = 8, 8, 256, 8
WARM, STEPS = 2, 4


@dataclass(frozen=True)
class Numbers:
    """A tokenizer whose words are numbers."""

    size: int
    hash: str = "numbers"

    @property
    def end(self) -> int:
        return self.size - 1

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def asked(self, prompt: str) -> list[int]:
        return self.encode(prompt)


class Letters:
    """The number of letters modulo 7: costs nothing and differs within a group."""

    version = 1

    def __call__(self, replies: Sequence[Reply]) -> Scored:
        mean = torch.tensor([float(len(one.response) % 7) for one in replies])
        return Scored(mean, torch.zeros_like(mean))


class Drawn:
    """Prompts of random words."""

    def __init__(self, size: int) -> None:
        self.size = size

    def draw(self, count: int, seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [" ".join(map(str, rng.integers(1, self.size - 1, ASKED))) for _ in range(count)]

    def took(self, responses: int) -> None:
        pass


def ours(name: str, form: str, seed: int, steps: int) -> dict[str, float]:
    """Our side: seconds of a step, and of its parts."""
    shape, device = SHAPES[name], torch.device("cuda")
    torch.manual_seed(seed)
    decoder = Decoder(shape).requires_grad_(True)
    for one in decoder.parameters():
        if one.dim() > 1:
            torch.nn.init.normal_(one, std=0.02)
    tokenizer = Numbers(shape.vocabulary)
    actor = Actor(LanguageModel(decoder, tokenizer, config_of(shape), Path()), ActorConfig(learning_rate=1e-6), seed)
    config = OnlineConfig("grpo", prompts=PROMPTS, group=GROUP, tokens=TOKENS, minibatch=64, memory=65_536, kl=0.0)
    policy = Online(Drawn(shape.vocabulary), actor, config, seed)
    signal = LearnedReward(Letters(), shaping=Shaping())
    spent, guard = [], 0.0
    for step in range(WARM + steps):
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        metrics = policy.improve(signal, PROMPTS * GROUP, seed + step)
        torch.cuda.synchronize(device)
        spent.append(time.perf_counter() - began)
        guard = max(guard, metrics.extra["guard"])
    asked = [tokenizer.asked(one) for one in Drawn(shape.vocabulary).draw(PROMPTS, 0)]
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    sampled = actor.engine.sample(asked, GROUP, policy.sampling, 0)
    torch.cuda.synchronize(device)
    written = time.perf_counter() - began
    return {
        "step": float(np.median(spent[WARM:])),
        "first": spent[0],
        "generate": written,
        "tokens": float(sampled.lengths.sum()) / written,
        "guard": guard,
        "gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def trl(name: str, form: str, seed: int, steps: int) -> dict[str, float]:
    """The peer's side: its GRPOTrainer on the same shape, a callback reading the clock."""
    import tempfile

    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    shape = SHAPES[name]
    words = {str(number): number for number in range(shape.vocabulary)}
    inner = Tokenizer(models.WordLevel(words, unk_token="0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    last = str(shape.vocabulary - 1)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=last, pad_token=last)
    described = {k: v for k, v in config_of(shape).items() if k not in ("architectures", "model_type")}
    made = (Qwen3Config if shape.normed else LlamaConfig)(**described, eos_token_id=shape.vocabulary - 1)
    torch.manual_seed(seed)
    folder = tempfile.mkdtemp()
    AutoModelForCausalLM.from_config(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    fastest = {"model_init_kwargs": {"dtype": "bfloat16"}, "gradient_checkpointing": False}
    arguments = GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=PROMPTS * GROUP,
        num_generations=GROUP,
        max_completion_length=TOKENS,
        max_steps=WARM + steps,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        seed=seed,
        **(fastest if form == "fastest" else {}),
    )
    moments = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            torch.cuda.synchronize()
            moments.append(time.perf_counter())

    def letters(completions: list[str], **_: object) -> list[float]:
        return [float(len(one) % 7) for one in completions]

    data = Dataset.from_dict({"prompt": Drawn(shape.vocabulary).draw(PROMPTS * (WARM + steps), seed)})
    trainer = GRPOTrainer(folder, letters, arguments, data, processing_class=tokenizer, callbacks=[Watch()])
    began = time.perf_counter()
    trainer.train()
    each = np.diff([began, *moments])
    return {
        "step": float(np.median(each[WARM:])),
        "first": float(each[0]),
        "gib": torch.cuda.max_memory_allocated() / 2**30,
    }


SIDES = {"ours": ours, "trl": trl}


def work(argv: Sequence[str]) -> None:
    """`work SIDE SHAPE FORM STEPS --seed S`: one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.text_gpu work")
    parser.add_argument("side", choices=tuple(SIDES))
    parser.add_argument("shape", choices=tuple(SHAPES))
    parser.add_argument("form")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(argv)
    clock = Clock()
    figures = SIDES[given.side](given.shape, given.form, given.seed, given.steps)
    rate = PROMPTS * GROUP / figures["step"]
    finish(clock.seconds(), clock.cpu_seconds(), [rate], samples_per_second=rate, **figures)


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.parse("text_gpu", seeds=3, argv=argv)
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here, and this benchmark is about one.")
    bench, steps = harness.Bench.start("text_gpu", options), 1 if options.quick else STEPS
    command = (sys.executable, "-m", "bench.text_gpu", "work")
    version = harness.our_version("bench/text_gpu.py")
    us, them = harness.Worker("accord", command, version), harness.Worker("trl", command, version)
    figures = {}
    for shape in SHAPES:
        sides = {
            "ours": (us, ("ours", shape, "default", steps)),
            **{form: (them, ("trl", shape, form, steps)) for form in ("default", "fastest")},
        }
        found = bench.alternate(sides)
        rates = {side: harness.column(results, "samples_per_second") for side, results in found.items()}
        best = max(("default", "fastest"), key=lambda form: harness.spread(rates[form])["median"])
        figures[shape] = {
            "ratio": harness.ratio_of(rates["ours"], rates[best]),
            "samples_per_second": {side: harness.spread(each) for side, each in rates.items()},
            "gib": {side: max(harness.column(results, "gib")) for side, results in found.items()},
            "generated_tokens_per_second": harness.spread(harness.column(found["ours"], "tokens")),
            "guard": max(harness.column(found["ours"], "guard")),
            "first_step_seconds": harness.spread(harness.column(found["ours"], "first")),
        }
    lesser = min(each["ratio"]["median"] for each in figures.values())
    bench.emit(lesser, {}, {}, **figures, gpu=torch.cuda.get_device_name(0))


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
