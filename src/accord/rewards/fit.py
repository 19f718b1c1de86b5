"""From answers to a reward: one maximum a posteriori fit for every kind of feedback (design, section 3).

Two ways to the same objective. A reward linear in its parameters (`linear`, and `kernel`: random Fourier features) is
solved by Newton's method, and its members are draws from the posterior. Nets (`mlp`, `cnn`, `transformer`,
`module:...`) climb by Adam, member m stopped early by fold m, which it never sees; then the last, linear step of each
is solved on all answers. The last layer of an MLP or a CNN is solved before the climb too: on few answers random hidden
layers with the best head are hard to beat (50 comparisons of pendulum segments, three data seeds: rank correlation of G
with truth 0.95, after 20 epochs of Adam alone 0.89), and a member keeps them unless climbing raises its held-out
likelihood. A fit goes on from the one before, unless that says nothing of the answers by now: a wrong guess would stay.
A fold never splits a group of segments (one episode, one prompt).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from accord.rewards.annotators import Layout, Questions, questions
from accord.rewards.ascent import Found, ascend, log_mean, mean_score, nanmean, reach, start_of
from accord.rewards.augment import cropped, pooled, with_pseudo
from accord.rewards.cnn import CNN, Blocks
from accord.rewards.denoise import denoised
from accord.rewards.features import Encoder, Features, Scaler, fit_scaler, read, scaled, value_unit
from accord.rewards.fitted import FitReport, FittedReward, Reliability
from accord.rewards.fourier import Fourier
from accord.rewards.fused import Fused, Plain, Sums
from accord.rewards.heads import reliabilities
from accord.rewards.kernel import Solved, solve
from accord.rewards.nets import MLP, Net, SegmentTransformer, Stacked, module_class
from accord.rewards.posterior import Posterior, left_out
from accord.rewards.sampling import sample
from accord.rewards.settings import RewardConfig, check_kind
from accord.rewards.training import Problem, added
from accord.runtime import products
from accord.types import Comparisons, Evidence, NotFinite, Segment

__all__ = ["FitReport", "FittedReward", "Reliability", "RewardConfig", "fit", "glance"]

FOLDS = 5  # at least: each member leaves out a fifth of the groups
MANY = 8  # inputs, beyond which a kernel reward weighs them by default: docs/label-efficiency.md
DULL = 0.05  # nats an answer: a reward that adds less to its likelihood is nothing to start from
BLOCK = 64  # segments whose rewards are computed at once: hidden rows stay in the cache


def fit(
    evidence: Evidence,
    config: RewardConfig,
    *,
    discrete: bool,
    terminates: bool,
    seed: int,
    warm: FittedReward | None = None,
    version: int | None = None,
    encode: Encoder | None = None,
    unlabelled: Sequence[Segment] = (),
    picture: tuple[int, int, int] | None = None,
) -> FittedReward:
    """Fits rewards and annotators together.

    `discrete`: actions are one-hot. `terminates`: an episode can end early; then the reward is not centred, and its
    constant per step is what the answers and a prior of mean 0 say. Fewer than two answers give the linear prior: a
    reward near 0. `unlabelled` segments are what `config.gate` may label. `picture`: observations are the bytes of one,
    of so many channels, rows and columns. The same arguments give the same reward, bit for bit, on one machine.

    Raises InputError for segments of mixed sorts or that this kind cannot read, NotFinite naming the place of a NaN.
    """
    check_kind(config, picture)
    number = version if version is not None else (1 if warm is None else warm.version + 1)
    rng = np.random.default_rng(seed + 2)

    def again(answers: Evidence) -> FittedReward:
        return _fit(answers, config, discrete, terminates, seed, warm, encode, picture)

    given = evidence = pooled(evidence) if config.annotators == "pooled" else evidence
    if config.denoise:
        parts = tuple(questions(part) for part in given.parts)
        folds = split(parts, np.asarray(given.groups), FOLDS, np.random.default_rng(seed + 3))
        evidence = denoised(given, again(given), again, folds)
    seen = cropped(evidence, config.crops, rng) if config.crops else evidence
    reward = again(seen)
    if config.gate and len(unlabelled) > 1 and evidence.answers > 1:
        seen = with_pseudo(seen, unlabelled, reward.value(unlabelled), config.gate, rng)
        reward = again(seen)
    report = replace(_of_given(reward.report, evidence, seen), left_out=given.answers - evidence.answers)
    return replace(reward, version=number, report=report)


def _of_given(report: FitReport, given: Evidence, seen: Evidence) -> FitReport:
    """The report on what people answered: without crops and pseudo-labels, which stand after their answers."""
    kept = []
    for part, more, rows in zip(given.parts, seen.parts, report.heldout_scores, strict=False):
        weight = (
            more.weight[: len(part.annotator)] if isinstance(more, Comparisons) and more.weight is not None else 1.0
        )
        kept.append(rows[: len(part.annotator)] / weight)
    known, names = set(given.annotators), {questions(part).name for part in given.parts}
    people = tuple(one for one in report.annotators if one.annotator in known and one.part in names)
    heldout = nanmean(np.concatenate([np.zeros(0), *kept]))
    return replace(report, answers=given.answers, heldout=heldout, annotators=people, heldout_scores=tuple(kept))


def _fit(
    evidence: Evidence,
    config: RewardConfig,
    discrete: bool,
    terminates: bool,
    seed: int,
    warm: FittedReward | None,
    encode: Encoder | None,
    picture: tuple[int, int, int] | None,
) -> FittedReward:
    """One fit to answers as they are."""
    linear = config.kind in ("linear", "kernel") or (evidence.answers < 2 and picture is None)
    kept = None if linear or warm is None or isinstance(warm.net, Fourier) else warm
    at = _ready(evidence, config, discrete, seed, encode, None if kept is None else kept.scaler)
    if linear:
        found = _solve(config, at, seed, evidence.answers < 2)
    else:
        net = build(config, at.sizes, picture) if kept is None else kept.net
        problem = problem_of(config, net, at.features, at.parts, at.layout)
        if kept and added(problem, start_of(config, problem, seed, kept, evidence.annotators)) < DULL:
            return _fit(evidence, config, discrete, terminates, seed, None, encode, picture)
        found = ascend(config, problem, at.folds, seed, kept, evidence.annotators)
    reward = _freeze(found, at.features, at.layout, evidence.annotators, terminates)
    report = FitReport(
        answers=evidence.answers,
        train=found.train,
        heldout=nanmean(np.concatenate([np.zeros(0), *found.heldout])),
        epochs=found.epochs,
        annotators=reliabilities(found.posteriors, found.draws, at.layout, at.parts, evidence.annotators),
        heldout_scores=tuple(found.heldout),
    )
    return replace(reward, scaler=at.scaler, report=report, encode=encode)


def glance(
    evidence: Evidence,
    config: RewardConfig,
    *,
    discrete: bool,
    seed: int,
    encode: Encoder | None = None,
    picture: tuple[int, int, int] | None = None,
) -> tuple[Float[np.ndarray, "_"], ...]:
    """What a fit would report as `heldout_scores`, part by part, and nothing else of it: half the time or less.

    It flatters: of linear rewards the prior, of nets the epoch knows the answers that are held out. As `config.members`
    leave out one fold each, five are needed for every answer to be left out.
    """
    check_kind(config, picture)
    seen = pooled(evidence) if config.annotators == "pooled" else evidence
    at = _ready(seen, config, discrete, seed, encode, None)
    if config.kind in ("linear", "kernel"):
        return tuple(_outside(_solved(config, at, seed, bare=False).posterior, at.folds))
    problem = problem_of(config, build(config, at.sizes, picture), at.features, at.parts, at.layout)
    return tuple(reach(config, problem, at.folds, seed, None, seen.annotators).heldout)


@dataclass(frozen=True, eq=False)
class Ready:
    """Answers and what they are about, as a fit reads them."""

    features: Features
    scaler: Scaler
    sizes: tuple[int, int]  # of an observation and of an action
    parts: tuple[Questions, ...]
    layout: Layout
    folds: list[np.ndarray]


def _ready(
    evidence: Evidence, config: RewardConfig, discrete: bool, seed: int, encode: Encoder | None, scaler: Scaler | None
) -> Ready:
    raw = read(evidence.segments, encode)
    scaler = scaler or fit_scaler(raw, discrete, config.inputs, together=encode is not None)
    parts = tuple(questions(part) for part in evidence.parts if len(part.annotator))
    layout = Layout(parts, len(evidence.annotators), config.lapses)
    folds = split(parts, np.asarray(evidence.groups), max(FOLDS, config.members), np.random.default_rng(seed))
    sizes = (raw.observation.shape[2], raw.action.shape[2])
    return Ready(scaled(raw, scaler), scaler, sizes, parts, layout, folds)


def _solve(config: RewardConfig, at: Ready, seed: int, bare: bool) -> Found:
    """A linear or kernel reward: the mode, draws around it, and each fold from answers outside it."""
    solved = _solved(config, at, seed, bare)
    found = solved.posterior
    flat, annotators = solved.draws(config.members, torch.Generator().manual_seed(seed + 1))
    exact = config.intervals == "exact" and bool(at.parts)
    return Found(
        net=solved.net,
        flat=flat,
        annotators=annotators,
        posteriors=[found],
        draws=sample(found, at.layout, seed)[:, -at.layout.size :] if exact else None,
        heldout=_outside(found, at.folds),
        train=mean_score(found),
        epochs=0,
    )


def _solved(config: RewardConfig, at: Ready, seed: int, bare: bool) -> Solved:
    weighed = config.weighed if config.weighed is not None else _varying(at.features) > MANY
    waves = config.kind == "kernel" and not bare
    return solve(at.features, at.parts, at.layout, waves, config.kernel_sd, seed, weighed)


def _varying(features: Features) -> int:
    """How many inputs are not the same at every step."""
    return int((features.x[features.valid].std(0) > 0.0).sum())


def _outside(posterior: Posterior, folds: list[np.ndarray]) -> list[np.ndarray]:
    """Log of the mean probability of every answer under the modes without the folds that it belongs to."""
    if not folds:
        return []
    masks = [torch.from_numpy(mask) for mask in folds]
    scores_ = left_out(posterior, list(zip(*masks, strict=True)))
    found = []
    for mask, rows in zip(masks, scores_, strict=True):
        given = torch.where(mask, rows.exp(), 0.0)
        found.append(log_mean(torch.stack([given.sum(0), mask.sum(0).double()]).numpy()))
    return found


def build(config: RewardConfig, sizes: tuple[int, int], picture: tuple[int, int, int] | None = None) -> Net:
    """The net that a configuration names, for observations and actions of these sizes."""
    if config.kind == "cnn" and picture is not None:
        return CNN(picture, sizes[1], config.width)
    if config.kind == "mlp":
        return MLP(sum(sizes), config.width, config.depth)
    if config.kind == "transformer":
        return Stacked(SegmentTransformer, sizes, {"width": config.width, "depth": config.depth})
    return Stacked(module_class(config.kind), sizes, {})


def problem_of(
    config: RewardConfig, net: Net, features: Features, parts: tuple[Questions, ...], layout: Layout
) -> Problem:
    """What stays the same during a climb."""
    low = config.precision == "bfloat16" or (config.precision == "auto" and products().bfloat16)
    sums: Sums = Plain(net, features)
    precision = net.precision() * config.decay
    if isinstance(net, MLP):
        sums = Fused(net, features, torch.bfloat16 if low else torch.float32)
        precision[-(net.layers[-1][0] + 1) :] = config.head_sd**-2
    elif isinstance(net, CNN):
        sums = Blocks(net, features)
        precision[-(net.width + 1) :] = config.head_sd**-2
    centre, own = layout.vectors()
    return Problem(
        features, parts, sums, layout, net.size, torch.cat([torch.zeros(net.size), centre]), torch.cat([precision, own])
    )


def split(
    parts: tuple[Questions, ...], groups: Int[np.ndarray, "segment"], folds: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """For each part `[fold, query]`: whether an answer is about a segment of that fold, and so held out with it."""
    _, number = np.unique(groups, return_inverse=True)
    fold = (rng.permutation(int(number.max(initial=-1)) + 1) % folds)[number]
    found = []
    for part in parts:
        items = part.items.numpy()
        of_place = np.where(items >= 0, fold[items.clip(0)], -1)
        found.append(np.stack([(of_place == one).any(1) for one in range(folds)]))
    return found


def _freeze(found: Found, features: Features, layout: Layout, names: tuple[str, ...], terminates: bool) -> FittedReward:
    """Scales each member to unit deviation per visited step, and centres it only where no episode can end early.

    Draws from one posterior share a unit already, and scaling them apart would undo their mean: they share one scale.
    """
    size, blocks = features.several(BLOCK * features.x.shape[1]), []
    with torch.no_grad():
        for start in range(0, len(features.x), size):
            x, valid = features.at(slice(start, start + size)), features.valid[start : start + size]
            blocks.append(found.net(found.flat, x.unsqueeze(0), valid.unsqueeze(0))[:, valid])
    reward = torch.cat(blocks, 1)
    if not bool(torch.isfinite(reward).all()):
        raise NotFinite("reward fit: the output of a fitted member is not finite on the segments it was fitted to.")
    sd = reward.std(1) if found.gain is not None else reward.mean(0).std().expand(len(reward))
    sd = torch.where(sd > 1e-8, sd, 1.0)
    gain = torch.ones_like(sd) if found.gain is None else found.gain
    offset = torch.zeros_like(sd) if found.offset is None else found.offset
    return FittedReward(
        version=1,
        net=found.net,
        flat=found.flat.contiguous(),  # as after loading: another layout is summed in another order
        annotators={name: view.clone() for name, view in layout.views(found.annotators).items()},
        names=names,
        scaler=Scaler(torch.zeros(0), torch.ones(0)),
        scale=torch.sign(gain) / sd,
        shift=offset / gain if terminates else -reward.mean(1),
        logits=gain.abs() * sd * float(value_unit(features, "compare")[0]),
    )
