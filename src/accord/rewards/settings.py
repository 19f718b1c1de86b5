"""How rewards are fitted: the `reward` section of a configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from accord.ranges import within
from accord.types import InputError

KINDS = ("linear", "kernel", "mlp", "transformer", "cnn", "sequence")
SEQUENCE = {
    "rank": (0, 4096),
    "members": (1, 64),
    "epochs": (1, 100),
    "minibatch": (1, 10**6),
    "learning_rate": (0.0, 1.0),
    "centre": (0.0, 10.0),
    "memory": (1, 10**9),
}


@dataclass(frozen=True)
class SequenceConfig:
    """A language model as the reward. Sources beside the defaults."""

    model: str = "smollm2"  # a folder, a file, or the name of one that `accord fetch` brings
    rank: int = 16  # of adapters on every product (Schulman and others, 2025); 0: all weights learn
    members: int = 1  # sets of adapters and heads on one frozen model
    epochs: int = 1  # a second one overfits (arXiv:2203.02155, appendix C.2)
    minibatch: int = 32  # answers an update
    learning_rate: float = 2e-4  # Adam's; it falls to 0 (trl 1.16 begins at 1e-4)
    centre: float = 0.01  # of the squared mean reward of an answer's replies (arXiv:2312.09244)
    memory: int = 4096  # tokens of a micro-batch
    shared: bool = True  # one copy of a frozen model, where the policy has adapters on the same one

    def __post_init__(self) -> None:
        within("reward.sequence", self, SEQUENCE)
        if self.rank == 0 and self.members > 1:
            raise InputError(
                f"reward.sequence.rank is 0 and members are {self.members}: all weights are held once; give a rank."
            )


@dataclass(frozen=True)
class RewardConfig:
    """How rewards are fitted."""

    kind: str = (
        "mlp"  # linear | kernel | mlp | transformer | module:package.Class; cnn for pictures, sequence for texts
    )
    inputs: str = "state_action"  # state_action | state: then no action is read (GAIfO 1807.06158; AIRL 1710.11248)
    members: int = 5  # of the ensemble; 3 to 5 in the field (Christiano et al. 2017: 3; Coste et al. 2023: 5)
    width: int = 64  # hidden units (Christiano et al. 2017, appendix A: 2 x 64)
    depth: int = 2  # hidden layers, or blocks of a Transformer
    rate: float = 3e-3  # Adam's
    batch: int = 128  # answers
    epochs: int = 10  # of the climb, at most; 0: random hidden layers with the best head
    warm_epochs: int = 4  # the same, from a previous fit
    patience: int = 3  # epochs without a better held-out likelihood
    decay: float = 1.0  # prior precision of hidden weights
    head_sd: float = 1.0  # prior deviation of an MLP's last layer, where the search for it starts
    kernel_sd: float = 5.0  # the same of a linear or kernel reward, where the search for it starts
    weighed: bool | None = None  # kernel: squares too, inputs by relevance; None: where more than 8 inputs vary
    precision: str = "auto"  # of products: auto | float32 | bfloat16
    crops: int = 0  # of every comparison, which count as one answer with it (QPA, arXiv:2305.17400: 20)
    gate: float = 0.0  # probability from which the reward labels pairs itself (SURF, arXiv:2203.10050: .99); 0: never
    denoise: bool = False  # leave out answers that the others contradict, where that foretells unseen ones better
    pessimism: float = 0.0  # deviations of the ensemble taken from its mean; negative explores (RUNE, arXiv:2205.12401)
    select: str = "auto"  # each round another may win, by held-out answers | fixed: always this one
    text: str = ""  # how replies are read, as minilm+length (rewards/words.py); "" leaves it to accord select
    annotators: str = "each"  # with a reliability of their own | pooled: all answers are as one annotator's
    lapses: bool = True  # annotators may answer without attending; false: plain Bradley-Terry and its like
    intervals: str = "laplace"  # of reliabilities: laplace costs nothing, exact some seconds and is better calibrated
    sequence: SequenceConfig = field(default_factory=SequenceConfig)  # of the kind "sequence" alone

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not self.kind.startswith("module:"):
            raise InputError(f'reward.kind is "{self.kind}": use {", ".join(KINDS)} or module:package.Class.')
        for name in ("members", "width", "depth", "batch", "epochs", "warm_epochs", "patience"):
            least = 0 if name == "epochs" else 1
            if getattr(self, name) < least:
                raise InputError(f"reward.{name} is {getattr(self, name)}: it must be at least {least}.")
        for name in ("rate", "decay", "head_sd", "kernel_sd"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError(f"reward.{name} is {getattr(self, name)}: it must be a positive number.")
        within("reward", self, {"crops": (0, 1_000), "pessimism": (-100, 100)})
        if not (self.gate == 0.0 or 0.5 < self.gate < 1.0):
            raise InputError(f"reward.gate is {self.gate}: it must be above 0.5 and below 1; 0 gives no pseudo-labels.")
        self._check_words()

    def record(self) -> dict[str, object]:
        """What counts for its kind, as JSON can hold it."""
        whole = asdict(self)
        if self.kind != "sequence":
            return {name: value for name, value in whole.items() if name != "sequence"}
        return {name: whole[name] for name in ("kind", "pessimism", "sequence")}

    def _check_words(self) -> None:
        for name, words in (
            ("inputs", ("state_action", "state")),
            ("precision", ("auto", "float32", "bfloat16")),
            ("annotators", ("each", "pooled")),
            ("intervals", ("laplace", "exact")),
        ):
            if getattr(self, name) not in words:
                choices = ", ".join(words[:-1]) + f" or {words[-1]}"
                raise InputError(f'reward.{name} is "{getattr(self, name)}": use {choices}.')


def check_kind(config: RewardConfig, picture: tuple[int, int, int] | None) -> None:
    """Raises InputError where a reward of this kind cannot read such observations. A user's own module reads both."""
    if config.kind == "sequence":
        raise InputError('reward.kind is "sequence", a language model that a run of text fits: choose "kernel" here.')
    if config.kind == "cnn" and picture is None:
        raise InputError('reward.kind is "cnn", which reads pictures, and these are rows of numbers: choose "kernel".')
    if picture is not None and config.kind != "cnn" and not config.kind.startswith("module:"):
        raise InputError(
            f'reward.kind is "{config.kind}", which reads rows of numbers, and these are pictures: choose "cnn".'
        )
