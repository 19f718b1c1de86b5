"""The words of accord as types: frozen records and Protocols.

Floor 0: imports nothing of ours. Everything that crosses from one package to another is declared here, so that
`tasks`, `feedback`, `rewards` and `policies` know each other by shape alone.

Axes: `segment` S, `time` T, `observation` O, `action` A, `env` N, `member` M (of an ensemble), `query` Q.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Real
from torch import Tensor


class InputError(Exception):
    """The user's input is wrong. The message is one sentence: the value, the limit, the remedy. Exit code 2."""


class NotFinite(Exception):
    """A NaN or an infinity appeared; the message names the place it came from. Exit code 1."""


@dataclass(frozen=True, eq=False)
class Steps:
    """T steps of control. `valid` is False after the end; those steps are the absorbing state, worth 0.

    `observation` is float32, or uint8 where it is a picture (`TaskSpec.picture`). `action` is a row of numbers for
    Box actions (in the environment's own units) and one-hot for Discrete ones.
    """

    observation: Real[np.ndarray, "time observation"]
    action: Float32[np.ndarray, "time action"]
    valid: Bool[np.ndarray, "time"]
    ended: bool


@dataclass(frozen=True)
class Reply:
    """A prompt and a response; tokens are kept when a language model wrote it."""

    prompt: str
    response: str
    token_ids: tuple[int, ...] = ()
    tokenizer_hash: str = ""


@dataclass(frozen=True, eq=False)
class Image:
    """A picture (height, width, channel; uint8) and the latent it was decoded from."""

    pixels: np.ndarray
    latent: np.ndarray


Segment = Steps | Reply | Image
SegmentId = str


def segment_id(segment: Segment) -> SegmentId:
    """The SHA-256 of a segment's content, as 64 hex digits: equal content, equal id, wherever it came from."""
    digest = hashlib.sha256(type(segment).__name__.encode())
    if isinstance(segment, Reply):
        fields = [segment.prompt, segment.response, segment.token_ids, segment.tokenizer_hash]
        digest.update(json.dumps(fields).encode())
        return digest.hexdigest()
    if isinstance(segment, Image):
        arrays = (segment.pixels, segment.latent)
    else:
        arrays = (segment.observation, segment.action, segment.valid, np.array([segment.ended]))
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Provenance:
    """Where a segment came from; beside it in the store, outside its hash."""

    task: str
    round: int
    policy_version: int
    seed: int
    episode: int  # segments of one episode overlap and share luck: they stay in one fold (`group`)
    start: int  # first step within the episode
    replay: bytes = b""  # what `Task.restore` needs to render it again

    @property
    def group(self) -> str:
        """Segments of one group are never split between training and held-out data."""
        return f"{self.task}/{self.round}/{self.episode}"


@dataclass(frozen=True, eq=False)
class Collected:
    """A segment fresh from a task, with its sealed truth (one number a step, or one for a reply)."""

    segment: Segment
    provenance: Provenance
    truth: Float[np.ndarray, "time"] | None = None


Kind = Literal["compare", "rank", "rate", "approve", "demonstrate", "correct"]
Acquisition = str  # the rule that chose a query; "uniform" ones alone measure accuracy, calibration and agreement


@dataclass(frozen=True)
class Query:
    """One question about segments. `levels`: 2, 3 (with tie) or 7 (strength) to compare; 2 to 11 to rate."""

    id: str
    kind: Kind
    segments: tuple[SegmentId, ...]
    levels: int = 2
    acquisition: Acquisition = "uniform"
    round: int = 0
    overlap: int = 1  # how many annotators are to answer it
    gold: Value | None = None  # the answer that is known to be right: everybody is asked, to see who attends
    repeats: str | None = None  # the query that this one asks again of those who answered it, to see who is consistent


@dataclass(frozen=True)
class Side:
    """To `compare`: 0 is "the second is far better", `levels - 1` is "the first is far better", the middle a tie."""

    level: int
    levels: int


@dataclass(frozen=True)
class Order:
    """To `rank`: positions into the query's segments, best first."""

    best_first: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """To `rate`: a level from 0 to `levels - 1`."""

    level: int
    levels: int


@dataclass(frozen=True)
class Verdict:
    """To `approve`."""

    approved: bool


@dataclass(frozen=True)
class Given:
    """To `demonstrate` and `correct`: the id of the segment that the annotator gave."""

    segment: SegmentId


@dataclass(frozen=True)
class Skip:
    """Can't tell. It spends the annotator's time, never a label's weight."""

    reason: str = ""


Value = Side | Order | Score | Verdict | Given | Skip


@dataclass(frozen=True)
class Answer:
    """One annotator's reply to one query. Never changed: an undo is a later answer that supersedes it."""

    id: str  # made by whoever answers, so that a repeated delivery is recognised
    query: str
    annotator: str
    value: Value
    shown: tuple[int, ...] = ()  # the order in which the segments were shown (blind sides); () is as asked
    seconds: float = 0.0
    text: str = ""  # a free reason
    supersedes: str | None = None
    seq: int = 0  # given by the store, ever rising: the cursor
    marks: tuple[int, ...] = ()  # decisive moments: steps, rising, on the one clock that the query's clips run from


@dataclass(frozen=True, eq=False)
class Comparisons:
    """`level` of `levels` in favour of `first`. Indices point into `Evidence.segments` and `Evidence.annotators`."""

    first: Int[np.ndarray, "query"]
    second: Int[np.ndarray, "query"]
    level: Int[np.ndarray, "query"]
    annotator: Int[np.ndarray, "query"]
    levels: int
    kind: Literal["compare", "correct"] = "compare"
    weight: Float[np.ndarray, "query"] | None = None  # how much of an answer each is; None: one


@dataclass(frozen=True, eq=False)
class Rankings:
    """Best first; -1 pads."""

    items: Int[np.ndarray, "query place"]
    annotator: Int[np.ndarray, "query"]


@dataclass(frozen=True, eq=False)
class Ratings:
    """`level` of `levels` for one segment."""

    item: Int[np.ndarray, "query"]
    level: Int[np.ndarray, "query"]
    annotator: Int[np.ndarray, "query"]
    levels: int


@dataclass(frozen=True, eq=False)
class Approvals:
    """One segment, approved or not."""

    item: Int[np.ndarray, "query"]
    approved: Bool[np.ndarray, "query"]
    annotator: Int[np.ndarray, "query"]


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """`chosen` first against samples of the policy (-1 pads), each with its log importance weight."""

    chosen: Int[np.ndarray, "query"]
    against: Int[np.ndarray, "query sample"]
    log_weight: Float[np.ndarray, "query sample"]
    annotator: Int[np.ndarray, "query"]


EvidencePart = Comparisons | Rankings | Ratings | Approvals | Demonstrations


@dataclass(frozen=True, eq=False)
class Evidence:
    """Every usable answer, packed: what `fit` maximises the likelihood of.

    `groups[s]` numbers the group of segment s (episode or prompt); folds never split a group.
    `uniform[p][q]` says whether query q of part p was chosen uniformly: only those measure.
    """

    segments: Sequence[Segment]
    groups: Int[np.ndarray, "segment"]
    annotators: tuple[str, ...]
    parts: tuple[EvidencePart, ...]
    uniform: tuple[Bool[np.ndarray, "_"], ...]

    @property
    def answers(self) -> int:
        return sum(len(part.annotator) for part in self.parts)


@dataclass(frozen=True, eq=False)
class StepBatch:
    """Sequences of steps to be scored.

    `serial` numbers each step of the run (what the sealed truth is looked up by); `ended` marks the last step of an
    episode, after which a reward that reads history starts afresh.
    """

    observation: Real[Tensor, "batch time observation"]  # float32; uint8 where it is a picture
    action: Float[Tensor, "batch time action"]
    valid: Bool[Tensor, "batch time"]
    serial: Int[Tensor, "batch time"] | None = None
    ended: Bool[Tensor, "batch time"] | None = None


@dataclass(frozen=True, eq=False)
class Scored:
    """Mean and spread (standard deviation over members), per step [batch, time] or reply; invalid steps are worth 0."""

    mean: Float[Tensor, "*scored"]
    spread: Float[Tensor, "*scored"]


@runtime_checkable
class Reward(Protocol):
    """A reward, frozen between fits. `version` rises with every fit: a critic that sees it rise must be rescaled."""

    @property
    def version(self) -> int: ...
    def __call__(self, batch: StepBatch) -> Scored: ...


class ReplyReward(Protocol):
    """The same for replies, as policies of text read it."""

    @property
    def version(self) -> int: ...
    def __call__(self, replies: Sequence[Reply]) -> Scored: ...


@dataclass(frozen=True)
class Shaping:
    """How a policy reads a reward. Decided by `safety`, applied by algorithms."""

    kl_coefficient: float = 0.0
    kl_target: float | None = None
    kl_budget: float | None = None
    pessimism: float = 0.0  # mean - pessimism * spread
    cost_multipliers: tuple[float, ...] = ()


@dataclass(frozen=True)
class LearnedReward:
    """A signal: a reward, costs to be kept low, and their shaping."""

    reward: Reward | ReplyReward
    costs: tuple[Reward, ...] = ()
    shaping: Shaping = Shaping()


@dataclass(frozen=True)
class Feedback:
    """A signal: the answers themselves, for algorithms that need no reward model (DPO)."""

    answers: Evidence
    beta: float


Signal = LearnedReward | Feedback


@dataclass(frozen=True, eq=False)
class ActionSpec:
    """Discrete: `size` choices, `low` and `high` empty. Continuous: `size` numbers between `low` and `high`."""

    discrete: bool
    size: int
    low: Float32[np.ndarray, "_"] = field(default_factory=lambda: np.zeros(0, np.float32))
    high: Float32[np.ndarray, "_"] = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class TaskSpec:
    """What a policy may know of a task. `terminates`: an episode can end before its horizon.

    `low` and `high` are the declared range of observations, to which they are clipped; empty: none is declared.
    `picture` is the channels, height and width of which every row of observations is the flat bytes (uint8), channel by
    channel; None: rows are numbers (float32).
    """

    id: str
    observation_size: int
    action: ActionSpec
    horizon: int
    terminates: bool
    envs: int
    low: Float32[np.ndarray, "_"] = field(default_factory=lambda: np.zeros(0, np.float32))
    high: Float32[np.ndarray, "_"] = field(default_factory=lambda: np.zeros(0, np.float32))
    picture: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Transition:
    """One step of N environments.

    `observation` is what to act on next (after a reset where an episode ended); `final` is what the step led to
    (equal to `observation` elsewhere): bootstrap from `final`, never across the reset. `real` is False where an
    environment spent the call on resetting itself: no step was taken there, nothing may be learned from it.
    """

    observation: Real[np.ndarray, "env observation"]
    final: Real[np.ndarray, "env observation"]
    terminated: Bool[np.ndarray, "env"]
    truncated: Bool[np.ndarray, "env"]
    real: Bool[np.ndarray, "env"]
    serial: Int[np.ndarray, "env"]


@runtime_checkable
class Task(Protocol):
    """Steps environments and counts every step. Its true reward is sealed: no method here returns it."""

    spec: TaskSpec

    def reset(self, seed: int) -> Real[np.ndarray, "env observation"]: ...
    def step(self, action: np.ndarray) -> Transition: ...
    def count_as(self, purpose: str) -> None: ...  # what the steps from here on are for: see `steps`
    def steps(self) -> Mapping[str, int]: ...  # so far, by purpose: "collect", "improve", "judge", "drive"


@runtime_checkable
class Act(Protocol):
    """Observations to actions, in the environment's units (integers for Discrete)."""

    def __call__(self, observation: Real[np.ndarray, "env observation"]) -> np.ndarray: ...


class Acting(Protocol):
    """The same through episodes, with what a policy remembers of them. `started` rows begin one; None: at first all."""

    def __call__(
        self, observation: np.ndarray, started: np.ndarray | None = None, seed: int | None = None
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class Metrics:
    """What an improvement did. Numbers only; `extra` holds an algorithm's own (entropy, KL, clip share)."""

    steps: int
    seconds: float
    updates: int
    extra: Mapping[str, float] = field(default_factory=dict)


class Learner(Protocol):
    """Improves itself against a signal. `version` rises with every improvement."""

    version: int

    def improve(self, signal: Signal, budget: int, seed: int) -> Metrics: ...  # for `budget` steps, or responses
    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


@runtime_checkable
class Policy(Learner, Protocol):
    """Acts too, step by step."""

    def act(self, observation: Real[np.ndarray, "env observation"], seed: int | None = None) -> np.ndarray:
        """The most likely action; a draw from the policy where a seed is given. One with a memory has an empty one."""
        ...

    def acting(self) -> Acting: ...  # in episodes that begin with its first call


@runtime_checkable
class Annotator(Protocol):
    """Answers queries found in the store. A person and a teacher travel one path."""

    name: str

    def work(self) -> int:
        """Answers what is open now; returns how many answers were stored (0 for a person: they come by themselves)."""
        ...
