"""trl's GRPO, RLOO, DPO, reward training and (in 1.12) PPO of a language model. Run by the peer's own interpreter:

    .peers/trl/bin/python bench/peers/trl_text.py WHAT FORM MODEL_FOLDER PROMPTS GROUP TOKENS STEPS [--beta B] [--rate R]
        [--scorer S] [--epochs E] --seed SEED

FORM is `default`: float32 weights, bfloat16 autocast, gradient checkpointing, eight rows at a time, as the trainers'
documentation has them; `bfloat16`: such weights and no autocast, no checkpointing, all rows at once; `float32`: the
same with float32 weights. The end of a text is never drawn (`min_new_tokens`; PPO has no stop token by default).
"""

import os
import tempfile

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1"}

import torch
from datasets import Dataset
from protocol import Clock, finish, quiet_output, warm_up
from text_work import PAIRED, Steps, Work, pairs, work
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

FORMS = ("default", "bfloat16", "float32")
ROWS = 8  # per_device_train_batch_size of the default form


class Watch(TrainerCallback):
    """Marks the end of every update, and keeps what is logged."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.logged = steps, {}

    def on_step_end(self, *_: object, **__: object) -> None:
        self.steps.mark()

    def on_log(self, *_: object, logs: dict[str, float], **__: object) -> None:
        for name, value in logs.items():
            self.logged.setdefault(name, []).append(float(value))


def settings(work: Work, folder: str) -> dict[str, object]:
    """What all trainers' configurations have in common."""
    rows = min(ROWS, work.batch) if work.form == "default" else work.batch
    common = {
        "output_dir": folder,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": work.batch // rows,
        "max_steps": work.steps,
        "learning_rate": work.rate,
        "seed": work.seed,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
    }
    if work.form == "default":
        return common
    return {**common, "gradient_checkpointing": False, "bf16": False}


def dtype(work: Work) -> torch.dtype:
    """Of the weights."""
    return torch.bfloat16 if work.form == "bfloat16" else torch.float32


def prompts(work: Work, tokenizer) -> list[object]:
    """The prompts, as a user's messages where the tokenizer has a chat template."""
    asked = work.asked()
    return [[{"role": "user", "content": text}] for text in asked] if tokenizer.chat_template else asked


def scored(work: Work):
    """The reward as trl asks for it."""

    def reward(completions: list, **_: object) -> list[float]:
        return [work.score(one if isinstance(one, str) else one[0]["content"]) for one in completions]

    return reward


def grouped(work: Work, folder: str, watch: Watch):
    """The trainer of grpo or rloo."""
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    config, trainer = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}[work.what]
    tokenizer = AutoTokenizer.from_pretrained(work.model)
    args = config(
        **settings(work, folder),
        beta=work.beta,
        num_generations=work.group,
        max_completion_length=work.tokens,
        shuffle_dataset=False,
        generation_kwargs={"min_new_tokens": work.tokens},
        model_init_kwargs={} if work.form == "default" else {"dtype": dtype(work)},
    )
    made = trainer(
        model=str(work.model),
        reward_funcs=scored(work),
        args=args,
        train_dataset=Dataset.from_dict({"prompt": prompts(work, tokenizer) * work.steps}),
        callbacks=[watch],
    )
    made._generate = watch.steps.timed(made._generate, "generate")
    made._generate_and_score_completions = watch.steps.timed(made._generate_and_score_completions, "collect")
    return made


def paired(work: Work, folder: str, watch: Watch):
    """The trainer of dpo or reward."""
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    asked, chosen, rejected = zip(*pairs(work, work.batch), strict=True)
    data = {"prompt": asked, "chosen": chosen, "rejected": rejected}
    init = {} if work.form == "default" else {"model_init_kwargs": {"dtype": dtype(work)}}
    if work.what == "dpo":
        args = DPOConfig(**settings(work, folder), beta=work.beta, **init)
        return DPOTrainer(str(work.model), args=args, train_dataset=Dataset.from_dict(data), callbacks=[watch])
    data = {name: [p + r for p, r in zip(asked, data[name], strict=True)] for name in ("chosen", "rejected")}
    args = RewardConfig(**settings(work, folder), **init)
    return RewardTrainer(str(work.model), args=args, train_dataset=Dataset.from_dict(data), callbacks=[watch])


class Scorer(torch.nn.Module):
    """The same reward in the form that PPO asks for, a model with a backbone and a head: it costs nothing here either."""

    base_model_prefix = "backbone"

    def __init__(self, tokenizer, work: Work) -> None:
        super().__init__()
        self.tokenizer, self.work = tokenizer, work
        self.config = None

    def backbone(self, input_ids: torch.Tensor, **_: object):
        return type("Output", (), {"hidden_states": (input_ids,)})

    def score(self, ids: torch.Tensor) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(ids[:, -self.work.tokens :], skip_special_tokens=True)
        found = torch.tensor([self.work.score(text) for text in texts])
        return found[:, None, None].expand(*ids.shape, 1)


def ppo(work: Work, folder: str, watch: Watch):
    """The trainer of PPO in trl 1.12; its critic is a model of its own, as it asks for."""
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(work.model, padding_side="left")
    policy, reference = (AutoModelForCausalLM.from_pretrained(work.model, dtype=dtype(work)) for _ in range(2))
    value = AutoModelForSequenceClassification.from_pretrained(work.model, dtype=dtype(work), num_labels=1)
    chat, asked = tokenizer.chat_template, prompts(work, tokenizer)
    ids = [
        tokenizer.apply_chat_template(one, add_generation_prompt=True, return_dict=True)["input_ids"]
        if chat
        else tokenizer(one)["input_ids"]
        for one in asked
    ]
    more = settings(work, folder)
    del more["max_steps"]
    args = PPOConfig(
        **more,
        total_episodes=work.batch * work.steps,
        response_length=work.tokens,
        temperature=1.0,
        kl_coef=work.beta,
        num_ppo_epochs=work.epochs,
        num_sample_generations=0,
    )
    made = PPOTrainer(
        args=args,
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=Scorer(tokenizer, work),
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": ids * work.group}),
        callbacks=[watch],
    )
    return made


def main(work: Work) -> None:
    with quiet_output(), tempfile.TemporaryDirectory() as folder:
        warm_up()
        watch = Watch(Steps())
        clock = Clock()
        make = ppo if work.what == "ppo" else paired if work.what in PAIRED else grouped
        make(work, folder, watch).train()
        seconds, cpu_seconds = clock.seconds(), clock.cpu_seconds()
    logged = {name: values for name, values in watch.logged.items() if len(values) == work.steps}
    rewards = logged.get("reward") or logged.get("objective/scores") or logged["loss"]
    finish(seconds, cpu_seconds, rewards, **watch.steps.figures(work.batch), logged=logged)


if __name__ == "__main__":
    main(work(FORMS))
