"""One run's configuration: the parts' own configurations composed, read from TOML, written back resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from accord import toml
from accord.allocate import AutoConfig
from accord.feedback.queries import QueryConfig
from accord.feedback.teachers import TeacherConfig
from accord.policies.control.offpolicy import OffPolicyConfig
from accord.policies.control.ppo import PPOConfig
from accord.policies.control.sac import SACConfig
from accord.policies.control.sb3 import SB3Config
from accord.policies.control.td3 import TD3Config
from accord.policies.text.actor import ActorConfig
from accord.policies.text.best_of_n import BestOfNConfig
from accord.policies.text.offline import OfflineConfig
from accord.policies.text.online import OnlineConfig
from accord.ranges import inside, within
from accord.rewards.fit import RewardConfig
from accord.tasks.control import ControlConfig
from accord.tasks.text import TextConfig
from accord.types import InputError

NATS = (1e-6, 1e6)  # a response
LANGUAGE = "rloo, grpo, ppo, dpo, ipo, kto or best-of-n"  # what a task of text may choose
SinkName = Literal["tensorboard", "mlflow", "wandb"]


@dataclass(frozen=True)
class FeedbackConfig:
    """How many labels, from whom, about what, and where they are kept."""

    labels: int = 200  # answers that carry weight; skipped queries are not counted
    annotator: Literal["teacher", "web"] = "teacher"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    demonstrations: str = ""  # an .npz file that answers `demonstrate` queries in the teacher's place; "" is none
    queries: QueryConfig = field(default_factory=QueryConfig)
    segment: int = 50  # steps; B-Pref's choice (arXiv:2111.03026)
    rounds: int = 5  # of collecting, asking, fitting and improving
    first: float = 0.25  # share of the labels asked before the policy has learned; #771 of imitation searched 0.05-0.25
    falling: float = 1.0  # later rounds ask as (1 + t) to minus this power: imitation #771 chose 1; 0: alike (B-Pref)
    growth: float = 0.0  # the steps of round t are as (1 + t) to this power: 0 spreads them evenly
    ahead: float = 0.5  # share of a round's steps that the policy takes while people answer; 0: it waits for them
    host: str = "127.0.0.1"  # where the page listens; others than this machine's own are open to the network
    port: int = 0  # of the page; 0: 8421, or a free one where that is taken
    repeats: float = 0.03  # of what people were asked, asked again beside what is due: are they consistent?
    least_seconds: float = 0.5  # an answer of the page that took less is refused
    pretrain: int = 0  # steps on the entropy of states before the first question (PEBBLE, arXiv:2106.05091: 9,000)
    store: str = ""  # URL of the database; "" is a file in the run's folder

    def __post_init__(self) -> None:
        inside("feedback.labels", self.labels, 1, 10_000_000)
        inside("feedback.segment", self.segment, 1, 10_000)
        inside("feedback.rounds", self.rounds, 1, 100_000)
        inside("feedback.first", self.first, 0.0, 1.0)
        inside("feedback.falling", self.falling, 0.0, 4.0)
        inside("feedback.growth", self.growth, 0.0, 4.0)
        inside("feedback.ahead", self.ahead, 0.0, 1.0)
        inside("feedback.port", self.port, 0, 65_535)
        inside("feedback.repeats", self.repeats, 0.0, 1.0)
        inside("feedback.least_seconds", self.least_seconds, 0.0, 60.0)
        inside("feedback.pretrain", self.pretrain, 0, 10**12)
        if self.annotator == "web" and self.demonstrations:
            raise InputError(
                'feedback.annotator is "web" beside feedback.demonstrations, which answer for people: leave one out.'
            )
        if self.demonstrations and self.queries.kind != "demonstrate":
            raise InputError(
                f'feedback.queries.kind is "{self.queries.kind}" beside feedback.demonstrations, which answer only '
                '"demonstrate": choose it.'
            )
        if self.rounds > self.labels:
            raise InputError(
                f"feedback.rounds is {self.rounds}; every round needs a label and feedback.labels is {self.labels}: "
                "lower the rounds or raise the labels."
            )


@dataclass(frozen=True)
class ControlSection(ControlConfig):
    """A Gymnasium environment."""

    kind: Literal["control"] = "control"


@dataclass(frozen=True)
class TextSection(TextConfig):
    """Prompts that a language model answers."""

    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class PPOSection(PPOConfig):
    """PPO, as a configuration names it."""

    algorithm: Literal["ppo"] = "ppo"


@dataclass(frozen=True)
class SACSection(SACConfig):
    """SAC, as a configuration names it."""

    algorithm: Literal["sac"] = "sac"


@dataclass(frozen=True)
class TD3Section(TD3Config):
    """TD3, as a configuration names it."""

    algorithm: Literal["td3"] = "td3"


@dataclass(frozen=True)
class AutoSection(AutoConfig):
    """Several algorithms in one run, as a configuration names them."""

    algorithm: Literal["auto"] = "auto"


@dataclass(frozen=True)
class OnlineSection(OnlineConfig, ActorConfig):
    """A language model that learns from its own responses."""

    kl_target: float | None = None  # nats a response: `kl` is adapted towards it (arXiv:1909.08593); None: it stays
    kl_budget: float | None = None  # nats a response beyond which improvement ends; None: no limit

    def __post_init__(self) -> None:
        OnlineConfig.__post_init__(self)
        ActorConfig.__post_init__(self)
        within("policy", self, {"kl_target": NATS, "kl_budget": NATS})


@dataclass(frozen=True)
class OfflineSection(OfflineConfig, ActorConfig):
    """A language model that learns from the answers themselves, or from pairs of its own responses."""

    signal: Literal["answers", "reward"] = "answers"  # "reward": of its own responses the best against the worst
    kl_budget: float | None = None  # nats a response beyond which improvement ends; None: no limit

    def __post_init__(self) -> None:
        OfflineConfig.__post_init__(self)
        ActorConfig.__post_init__(self)
        within("policy", self, {"kl_budget": NATS})


@dataclass(frozen=True)
class BestOfNSection(BestOfNConfig, ActorConfig):
    """The start model, of whose responses the reward chooses."""

    algorithm: Literal["best-of-n"] = "best-of-n"

    def __post_init__(self) -> None:
        BestOfNConfig.__post_init__(self)
        ActorConfig.__post_init__(self)


ActsSection = PPOSection | SACSection | TD3Section | AutoSection | SB3Config
WritesSection = OnlineSection | OfflineSection | BestOfNSection


@dataclass(frozen=True)
class ReportConfig:
    """What is measured beside the policy, and who is told."""

    episodes: int = 100  # of the final policy, by the truth
    ballot: int = 20  # questions to people after the last round, start model or policy, where no scorer knows; 0: none
    baselines: bool = True  # a random policy and one trained on a constant reward beside every result
    clip: bool = True  # one episode of the final policy as a moving picture, where it can be rendered
    lang: Literal["en", "zh"] = "en"  # the page opens in; it holds both
    sinks: tuple[SinkName, ...] = ()  # fed from the records as they are written

    def __post_init__(self) -> None:
        inside("report.episodes", self.episodes, 1, 100_000)
        inside("report.ballot", self.ballot, 0, 10_000)


@dataclass(frozen=True)
class TuneConfig:
    """How `accord tune` chooses; nothing else reads it."""

    arms: tuple[str, ...] = ()  # to race, as "ppo+kernel"; () is all algorithms and rewards that can act in the task
    signal: Literal["feedback", "truth"] = "feedback"  # what trials learn from
    judge: Literal["auto", "reward", "teacher", "truth"] = "auto"  # what a trial is scored by, see tuning.md
    episodes: int = 20  # by which a trial is judged
    confirm: int = 10  # fresh seeds of the confirmation
    finalists: int = 5  # confirmed at most, beside the default and the best of the random share

    def __post_init__(self) -> None:
        inside("tune.episodes", self.episodes, 1, 10_000)
        inside("tune.confirm", self.confirm, 2, 1_000)
        inside("tune.finalists", self.finalists, 1, 50)


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on, beside the machine and the versions."""

    seed: int = 0
    task: ControlSection | TextSection = field(default_factory=ControlSection)
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    policy: ActsSection | WritesSection = field(default_factory=PPOSection)
    report: ReportConfig = field(default_factory=ReportConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)

    @property
    def control(self) -> ControlSection:
        """The environment. Raises InputError for a task without one."""
        if isinstance(self.task, ControlSection):
            return self.task
        raise InputError(
            f'task.kind is "{self.task.kind}", and this needs an environment to act in: set task.kind = "control".'
        )

    @property
    def text(self) -> TextSection:
        """The prompts. Raises InputError for a task without any."""
        if isinstance(self.task, TextSection):
            return self.task
        raise InputError(f'task.kind is "{self.task.kind}", and this needs prompts: set task.kind = "text".')

    @property
    def acts(self) -> ActsSection:
        """The algorithm that acts in an environment. Raises InputError for one of text."""
        if isinstance(self.policy, WritesSection):
            raise InputError(_misplaced(self.policy.algorithm, "writes texts", "control", "ppo, sac, td3 or auto"))
        return self.policy

    @property
    def writes(self) -> WritesSection:
        """The algorithm that writes. Raises InputError for one that acts in environments."""
        if isinstance(self.policy, WritesSection):
            return self.policy
        raise InputError(_misplaced(self.policy.algorithm, "acts in environments", "text", LANGUAGE))

    def __post_init__(self) -> None:
        inside("seed", self.seed, 0, 2**32 - 1)
        _ = self.writes if isinstance(self.task, TextSection) else self.acts
        for name, word in (("signal", self.tune.signal), ("judge", self.tune.judge)):
            if word == "truth" and not self.control.truth:
                raise InputError(
                    f'tune.{name} is "truth", and task.truth does not say that the reward of {self.task.id} is what is '
                    "wanted: set task.truth = true where it is, or choose another."
                )
        if self.reward.kind == "transformer" and isinstance(self.policy, OffPolicyConfig | SB3Config | AutoConfig):
            raise InputError(
                f'reward.kind is "transformer", which reads a step among the others of its segment, and '
                f'{self.policy.algorithm} remembers steps alone: choose "mlp" or "kernel", or policy.algorithm "ppo".'
            )


def load(path: Path, overrides: Mapping[str, str] | None = None) -> RunConfig:
    """The configuration in a TOML file, with dotted keys on top: `load(path, {"reward.members": "5"})`.

    Raises `InputError`, in one sentence, for a file, key, type or range that is wrong.
    """
    return toml.build(RunConfig, toml.parse(path), overrides, source=str(path), among=algorithms)


def from_tree(tree: toml.Tree) -> RunConfig:
    """The configuration from the tables of `dump`, as a manifest keeps them."""
    return toml.build(RunConfig, tree, among=algorithms)


def algorithms(tree: toml.Tree) -> dict[str, tuple[type, ...]]:
    """The sections that `policy` may be: "ppo" of an environment is not that of a language model.

    Raises InputError for an algorithm of the other sort.
    """
    task, policy = tree.get("task", {}), tree.get("policy", {})
    text = (task.get("kind") if isinstance(task, dict) else task) == "text"
    named = str(policy.get("algorithm", "") if isinstance(policy, dict) else policy)
    acting, writing = ({"sac", "td3", "auto"}, {"rloo", "grpo", "dpo", "ipo", "kto", "best-of-n"})
    if text and (named in acting or named.startswith("sb3:")):
        raise InputError(_misplaced(named, "acts in environments", "text", LANGUAGE))
    if not text and named in writing:
        raise InputError(_misplaced(named, "writes texts", "control", "ppo, sac, td3 or auto"))
    return {"policy": get_args(WritesSection if text else ActsSection)}


def _misplaced(algorithm: str, does: str, kind: str, known: str) -> str:
    return f'policy.algorithm is "{algorithm}", which {does}, and task.kind is "{kind}": choose {known}.'


def dump(config: RunConfig) -> toml.Tree:
    """Every key with its value, the defaults too, as tables that JSON can hold; `from_tree` reads them back."""
    return toml.plain(config)


def to_text(config: RunConfig) -> str:
    """The resolved configuration as a TOML file; `load` reads it back."""
    return toml.to_text(dump(config))
