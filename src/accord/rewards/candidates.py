"""What a choice of the reward is a choice among: architecture x features x likelihood x regularisation x members.

A grid has two hundred candidates or more and far fewer fits, since ensembles of different sizes are read off one
(`work`). A linear or kernel reward finds its own prior precision by the evidence (`posterior.empirical`), so
`kernel_sd`, where that search starts, is no candidate; a net's `decay` is.

Values: widths and depths of Christiano et al. 2017 and half and twice as much; precisions a factor of ten apart
(weight decay is searched so in the field); members of Christiano et al. 2017 (3) and Coste et al. 2023 (5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from accord.rewards.fit import build
from accord.rewards.settings import RewardConfig

CLOSED = ("linear", "kernel")  # solved, not climbed
MEMBERS, DRAWS = (1, 3, 5), (1, 3, 5, 10)  # of nets; of a posterior, where draws cost nothing
NETS = ((32, 1), (64, 1), (128, 1), (64, 2), (128, 2))  # width and depth
DECAYS = (0.1, 1.0, 10.0)
TRANSFORMERS = ((32, 1), (64, 1))


@dataclass(frozen=True)
class Candidate:
    """One reward that could be chosen. `text` names how replies are read; "" where segments are steps."""

    config: RewardConfig
    text: str = ""

    @property
    def work(self) -> Candidate:
        """What has to be fitted for it: candidates of equal work differ in the size of the ensemble alone."""
        return replace(self, config=replace(self.config, members=1))

    @property
    def glance(self) -> Candidate:
        """Of nets, what is looked at before any is climbed: hidden layers as they are drawn, which no prior touches."""
        return replace(self.work, config=replace(self.work.config, decay=1.0, epochs=0))

    @property
    def closed(self) -> bool:
        """Whether it is solved at once, without a climb."""
        return self.config.kind in CLOSED

    @property
    def kind(self) -> str:
        """The architecture, a kernel reward that weighs its inputs apart from one that does not."""
        return "weighed kernel" if self.config.kind == "kernel" and self.config.weighed else self.config.kind

    @property
    def name(self) -> str:
        """In the words of the configuration: `mlp 64x2, decay 10, state, no lapses, 3 members`."""
        config, found = self.config, [self.kind]
        if config.kind in ("mlp", "cnn", "transformer"):
            found[0] += f" {config.width}x{config.depth}"
        if not self.closed and config.decay != 1.0:
            found.append(f"decay {config.decay:g}")
        found += [self.text] if self.text else []
        found += ["state"] if config.inputs == "state" else []
        found += ["pooled"] if config.annotators == "pooled" else []
        found += [] if config.lapses else ["no lapses"]
        return ", ".join([*found, f"{config.members} member" + "s" * (config.members > 1)])


def grid(
    base: RewardConfig, annotators: int, picture: tuple[int, int, int] | None = None, texts: Sequence[str] = ()
) -> list[Candidate]:
    """All candidates around a configuration, itself the first. `texts` name the readings of replies that there are.

    Of replies there are no actions, so no choice of inputs; where one annotator answered there is nothing to pool; of
    pictures there are convolutional nets alone. A user's own module stands beside the others, with every likelihood.
    """
    inputs = ("state_action",) if texts else ("state_action", "state")
    views = [("each", True), ("each", False), *([("pooled", True), ("pooled", False)] if annotators > 1 else [])]
    found = [Candidate(base, texts[0] if texts else "")]
    for text, read, (who, lapses) in product(texts or ("",), inputs, views):
        plain = replace(base, inputs=read, annotators=who, lapses=lapses)
        for config in _architectures(plain, picture is not None, bool(texts)):
            counts = DRAWS if config.kind in CLOSED else MEMBERS
            found += [Candidate(replace(config, members=count), text) for count in counts]
    return list(dict.fromkeys(found))


def _architectures(base: RewardConfig, picture: bool, text: bool) -> list[RewardConfig]:
    own = [replace(base, decay=decay) for decay in DECAYS] if base.kind.startswith("module:") else []
    if picture:
        sizes = product((32, 64, 128), (0.001, 0.003), DECAYS)
        return own + [replace(base, kind="cnn", width=width, rate=rate, decay=decay) for width, rate, decay in sizes]
    closed = [replace(base, kind=kind, weighed=weighed) for kind, weighed in _closed(text)]
    nets = [
        replace(base, kind="mlp", width=width, depth=depth, decay=decay)
        for (width, depth), decay in product(NETS[:2] if text else NETS, DECAYS)
    ]
    if text:  # a reply is one step: there is nothing for attention to read
        return own + closed + nets
    return own + closed + nets + [replace(base, kind="transformer", width=w, depth=d) for w, d in TRANSFORMERS]


def _closed(text: bool) -> list[tuple[str, bool | None]]:
    """Weights for each of hundreds of columns of an embedding have nothing to be found from."""
    return [("linear", None), ("kernel", False), *([] if text else [("kernel", True)])]


def panel(base: RewardConfig, picture: tuple[int, int, int] | None = None) -> list[Candidate]:
    """A few for the choice within a run, the configured one first, each an ensemble of its size.

    Nets beside a configured net alone: beside a kernel reward they would take many times its time. A transformer is
    none of them, since its folds would take longer than a round. Nothing but convolutions reads pictures.
    """
    if picture is not None:
        return [Candidate(base)]
    found = [base, *(replace(base, kind=kind, weighed=weighed) for kind, weighed in _closed(text=False))]
    if base.kind not in CLOSED:
        found.append(replace(base, kind="mlp", width=64, depth=2))
    return [Candidate(config) for config in dict.fromkeys(found)]


def text_panel(base: RewardConfig, texts: Sequence[str]) -> list[Candidate]:
    """A few for the choice within a run of text: each way to read replies, with weights and with a kernel over it."""
    found = [Candidate(base, texts[0])]
    for text in texts:
        found += [Candidate(replace(base, kind=kind, weighed=weighed), text) for kind, weighed in _closed(text=True)]
    return list(dict.fromkeys(found))


def standing(work: Candidate, sizes: tuple[int, int], picture: tuple[int, int, int] | None) -> tuple[bool, int]:
    """Of fits that answers cannot tell apart the one with the most of this is taken: what reads observations alone
    before what reads actions too, then the weights of a net.

    How likely answers are under a reward says little of what a policy makes of it. What an action is worth few answers
    tell, and a policy makes the most of what was told wrong: on Pendulum-v1, 200 answers of a run and a fifth of them
    turned round, rewards of observations alone served better in each of four sets of seeds. And the larger a
    reward is, the less of what it promises is not so (Gao et al., arXiv:2210.10760, figure 1); that is not settled
    here: a net of 256 x 2 lost .11, .21 and .14 of what there was to gain on ten of those seeds each, 64 x 2 .35, .16
    and .20. What reads texts is compared by its likelihood alone.
    """
    net = work.config.kind in ("mlp", "cnn") and not work.text
    return work.config.inputs == "state", parameters(work, sizes, picture) if net else 0


def parameters(candidate: Candidate, sizes: tuple[int, int], picture: tuple[int, int, int] | None) -> int:
    """Of one member; `sizes` are those of an observation and of an action."""
    config = candidate.config
    inputs = sizes[0] + (sizes[1] if config.inputs == "state_action" else 0)
    if config.kind == "linear":
        return inputs + 1
    if config.kind == "kernel":
        return 256 + inputs * (3 if config.weighed else 1) + 1  # squares and weights beside the lines
    net = build(config, sizes, picture)
    return net.size - (sum(sizes) - inputs) * config.width * (config.kind == "mlp")


def spread_over(candidates: Sequence[Candidate]) -> dict[Candidate, tuple[int, ...]]:
    """Every fit that has to be made, and the sizes of ensembles that are read off it."""
    found: dict[Candidate, list[int]] = {}
    for candidate in candidates:
        found.setdefault(candidate.work, []).append(candidate.config.members)
    return {work: tuple(sorted(set(counts))) for work, counts in found.items()}


def beats(difference: float, error: float, factor: float) -> bool:
    """Whether a paired difference is more than so many standard errors; never where there is no error to go by."""
    return math.isfinite(error) and difference > factor * error
