"""What a reward says of answers that it was not fitted to: cross-validation over groups, annotators or time.

A fold holds out some groups (one episode's segments, one prompt's replies) and every answer that touches them; all else
is trained on. So an answer about two episodes is held out twice, and a fold trains on fewer answers than its share. An
answer's score is the logarithm of the probability that the ensemble, averaged over members, gave to it; of several
folds, the mean of that. Scores of two rewards under the same folds are paired answer by answer; `paired` compares them
with a standard error that knows that answers about one episode share its luck (`statistics.clustered_error`).

Everything is `fit` itself on fewer answers, so what is measured is what is used. Each member count is read off one fit:
the first members of nets, and for draws from a posterior fewer draws around the same mode.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from accord.functional.statistics import clustered_error
from accord.functional.uncertainty import log_sigmoid
from accord.rewards.annotators import Layout, log_likelihood, questions
from accord.rewards.denoise import taken
from accord.rewards.features import MEAN_VALUED, Encoder
from accord.rewards.fit import fit, split
from accord.rewards.fitted import FittedReward
from accord.rewards.fourier import Fourier
from accord.rewards.judge import Forecasts, forecast
from accord.rewards.settings import RewardConfig
from accord.types import Evidence, InputError, Segment, Steps

FOLDS = 5
LEAST = 2  # answers in training and held out: fewer say nothing

Held = Sequence[Bool[np.ndarray, "fold _"]]  # part by part: which answers each fold holds out; it trains on the others


@dataclass(frozen=True)
class Reading:
    """How segments are read: one-hot actions, pictures, or rows that an encoder makes of replies."""

    discrete: bool = False
    picture: tuple[int, int, int] | None = None
    encode: Encoder | None = None


@dataclass(frozen=True, eq=False)
class Told:
    """What one fold's reward says of its answers. `score` has one entry an answer, nan where it was trained on."""

    score: Float[np.ndarray, "answer"]
    forecasts: Forecasts
    seconds: float  # of the processor, for the fit


@dataclass(frozen=True, eq=False)
class Comparison:
    """How much more likely one reward finds the answers than another, in nats an answer, and the standard error."""

    difference: float
    error: float
    answers: int


def by_group(evidence: Evidence, seed: int, folds: int = FOLDS) -> list[Bool[np.ndarray, "fold _"]]:
    """Folds of whole groups of segments. Raises InputError where there are not enough groups or answers for them."""
    groups = len(np.unique(evidence.groups))
    if groups < folds:
        raise InputError(
            f"the answers are about {groups} episodes or prompts and {folds} folds of whole ones are wanted: "
            "record answers about more of them."
        )
    parts = tuple(questions(part) for part in evidence.parts)
    return _checked(split(parts, np.asarray(evidence.groups), folds, np.random.default_rng(seed)))


def by_annotator(evidence: Evidence, seed: int, folds: int = FOLDS) -> list[Bool[np.ndarray, "fold _"]]:
    """Folds of whole annotators: is what one crowd wants what another wants? As many as annotators, if those are fewer.

    Raises InputError for a single annotator.
    """
    count = min(folds, len(evidence.annotators))
    if count < 2:
        raise InputError(
            f"{count} annotator has answered and folds of annotators need 2: let somebody else answer too."
        )
    fold = np.random.default_rng(seed).permutation(len(evidence.annotators)) % count
    return _checked([fold[part.annotator] == np.arange(count)[:, None] for part in evidence.parts])


def by_time(order: Sequence[Int[np.ndarray, "_"]], folds: int = FOLDS) -> list[Bool[np.ndarray, "fold _"]]:
    """One fold: the newest answers, foretold from the older ones. `order` says, part by part, when each was given."""
    every = np.concatenate([np.zeros(0, np.int64), *order])
    newest = np.sort(every)[-max(1, len(every) // folds) :]
    return _checked([np.isin(part, newest)[None] for part in order])


def _checked(held: list[np.ndarray]) -> list[np.ndarray]:
    """The folds, where each trains on something and holds out something."""
    out = sum(masks.sum(1) for masks in held)
    train = sum((~masks).sum(1) for masks in held)
    worst = int(np.minimum(out, train).min()) if held else 0
    if worst < LEAST:
        total = sum(masks.shape[1] for masks in held)
        raise InputError(
            f"{total} answers leave a fold with {worst} to train on or to foretell and {LEAST} are needed: "
            "record more answers, about more episodes or prompts."
        )
    return held


def tell(
    evidence: Evidence,
    config: RewardConfig,
    held: Sequence[Bool[np.ndarray, "_"]],
    reading: Reading,
    seed: int,
    members: Sequence[int] = (),
    share: float = 1.0,
) -> list[Told]:
    """One fold: fits to the answers that are not held out, and foretells those that are.

    `members` are the sizes of ensembles to tell it for (none: that of the configuration), all from one fit. Of the
    training answers a random `share` is used, smaller ones within larger ones: points of a learning curve.
    """
    counts = tuple(members) or (config.members,)
    rng, keep = np.random.default_rng(seed), []
    for masks in held:
        keep.append(~masks & (rng.random(len(masks)) < share))
    began = time.process_time()
    whole = fit(
        taken(evidence, keep),
        replace(config, members=max(counts)),
        discrete=reading.discrete,
        terminates=True,  # keeps the constant per step, which ratings and unequal lengths depend on
        seed=seed,
        encode=reading.encode,
        picture=reading.picture,
    )
    seconds = time.process_time() - began
    test = replace(evidence, uniform=tuple(held))
    values = whole.value(evidence.segments)
    found = []
    for count in counts:
        some, value = fewer(whole, count, values)
        found.append(Told(_scores(evidence, config, held, some, value), forecast(value, test), seconds))
    return found


def fewer(
    reward: FittedReward, members: int, values: Float[np.ndarray, "member segment"]
) -> tuple[FittedReward, Float[np.ndarray, "some segment"]]:
    """The reward with fewer members, and their values: the first nets, or draws around the same mode as before."""
    have, units = len(reward.flat), {"scale": reward.scale[:members], "logits": reward.logits[:members]}
    if not isinstance(reward.net, Fourier):
        tables = {name: table[:members] for name, table in reward.annotators.items()}
        some = replace(reward, flat=reward.flat[:members], annotators=tables, shift=reward.shift[:members], **units)
        return some, values[:members]

    def around(rows: Shaped[Tensor, "member *some"]) -> Shaped[Tensor, "fewer *some"]:
        middle, some = rows.mean(0), rows[:members]
        if members == 1 or have == 1:
            return middle.unsqueeze(0)
        wider = ((members / (members - 1.0)) * ((have - 1.0) / have)) ** 0.5
        return middle + (some - some.mean(0)) * wider

    tables = {name: around(table) for name, table in reward.annotators.items()}
    some = replace(reward, flat=around(reward.flat), annotators=tables, shift=around(reward.shift), **units)
    return some, around(torch.from_numpy(values)).numpy()


def _scores(
    evidence: Evidence,
    config: RewardConfig,
    held: Sequence[Bool[np.ndarray, "_"]],
    reward: FittedReward,
    value: Float[np.ndarray, "member segment"],
) -> Float[np.ndarray, "answer"]:
    """Log of the mean probability of every answer that is held out, one part after the other."""
    parts = tuple(questions(part) for part in evidence.parts)
    layout = Layout(parts, len(reward.names), config.lapses)
    known = layout.views(layout.vectors()[0].expand(len(value), -1))  # a part without training answers is at its prior
    parameters = {name: reward.annotators.get(name, table) for name, table in known.items()}
    found = [np.zeros(0)]
    for part, mask in zip(parts, held, strict=True):
        if config.annotators == "pooled":
            part = replace(part, annotator=torch.zeros_like(part.annotator))
        rows = torch.from_numpy(np.flatnonzero(mask))
        scores = np.full(len(mask), np.nan)
        if len(rows):
            own = value * _relative(evidence.segments) if part.kind in MEAN_VALUED else value
            asked = part.at(rows)
            at = torch.from_numpy(own.astype(np.float32))[:, asked.items.clamp_min(0)]
            each = log_likelihood(asked, parameters, at, torch.arange(len(rows)).expand(len(value), -1))
            scores[mask] = (each.double().logsumexp(0) - np.log(len(value))).numpy()
        found.append(scores)
    return np.concatenate(found)


def _relative(segments: Sequence[Segment]) -> Float[np.ndarray, "segment"]:
    """From a sum over steps on the link's scale of comparisons to a mean over them, as ratings read it."""
    steps = [max(1, int(segment.valid.sum())) if isinstance(segment, Steps) else 1 for segment in segments]
    return np.mean(steps) / np.array(steps, np.float64)


def touched(evidence: Evidence) -> Int[np.ndarray, "answer place"]:
    """The groups that every answer is about, one part after the other; -1 pads."""
    parts = [questions(part).items.numpy() for part in evidence.parts]
    width = max((items.shape[1] for items in parts), default=1)
    padded = [np.pad(items, ((0, 0), (0, width - items.shape[1])), constant_values=-1) for items in parts]
    items = np.concatenate([np.zeros((0, width), np.int64), *padded])
    return np.where(items >= 0, np.asarray(evidence.groups)[items.clip(0)], -1)


def mean_told(folds: Sequence[Told]) -> Float[np.ndarray, "answer"]:
    """Every answer's score, the mean over the folds that held it out; nan where none did."""
    rows = np.stack([one.score for one in folds])
    known = np.isfinite(rows)
    with np.errstate(invalid="ignore"):
        return np.where(known, rows, 0.0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def paired(
    first: Float[np.ndarray, "answer"], second: Float[np.ndarray, "answer"], groups: Int[np.ndarray, "answer place"]
) -> Comparison:
    """First less second, over the answers that both have a score of."""
    both = np.isfinite(first) & np.isfinite(second)
    gain = first[both] - second[both]
    return Comparison(float(gain.mean()) if len(gain) else 0.0, clustered_error(gain, groups[both]), len(gain))


def tempered(folds: Sequence[Told]) -> Forecasts:
    """All folds' forecasts, each sharpened or softened by the one factor that suits the other folds best."""
    parts = []
    for number, own in enumerate(folds):
        others = [told.forecasts for place, told in enumerate(folds) if place != number]
        parts.append(replace(own.forecasts, logit=own.forecasts.logit * _temperature(others)))
    return joined(parts)


def joined(parts: Sequence[Forecasts]) -> Forecasts:
    """The forecasts of several folds of the same evidence as one; an answer that two folds foretell stays one question.

    Of the pairs only that they differ between folds is kept.
    """
    names = ("logit", "outcome", "question", "annotator")
    logit, outcome, question, annotator = (np.concatenate([getattr(one, name) for one in parts]) for name in names)
    return Forecasts(logit, outcome, question, np.arange(len(logit)), annotator)


def _temperature(others: Sequence[Forecasts]) -> float:
    """The factor on log-odds, from 1/8 to 8, under which decided outcomes are most likely; 1 where there are none."""
    logit = np.concatenate([np.zeros(0), *(one.logit for one in others)])
    outcome = np.concatenate([np.zeros(0), *(one.outcome for one in others)])
    sign = np.sign(outcome - 0.5)
    if not len(logit) or not sign.any():
        return 1.0
    tried = np.exp2(np.linspace(-3.0, 3.0, 49))
    likely = [float(log_sigmoid(factor * sign[sign != 0] * logit[sign != 0]).mean()) for factor in tried]
    return float(tried[int(np.argmax(likely))])
