"""What a round and a run are measured by: true return on fresh episodes, the reward's forecasts, examples to look at.

Floor 4. Evaluation: it may read the truth. Nothing measured here flows back into rewards or policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from accord import records
from accord.feedback.store import Store
from accord.functional.statistics import bootstrap_interval, mean
from accord.loop import State
from accord.rewards.fitted import FittedReward
from accord.rewards.judge import Forecasts, forecast, join, judge
from accord.types import Collected, Evidence, InputError, Reply, Reward, Segment, Side, StepBatch, Steps

EXAMPLES = 6  # answered comparisons shown with the reward's curves
FRESH = 200  # segments on which reward and truth are compared


def interval(returns: Float[np.ndarray, "episode"]) -> tuple[float, float]:
    """The bootstrap 95% interval of the mean."""
    return bootstrap_interval(returns[:, None], mean, np.random.default_rng(0))


def reward_record(state: State, reward: FittedReward, fresh: Sequence[Collected]) -> dict[str, Any]:
    """Forecasts of uniform answers, and how the reward ranks fresh segments by their truth."""
    values = reward.value([made.segment for made in fresh]).mean(0)
    truth = np.array([np.nan if made.truth is None else made.truth.sum() for made in fresh], np.float64)
    known = np.isfinite(truth)
    if not known.any():
        return judge(join(state.forecasts)).record()
    return judge(join(state.forecasts), values[known], truth[known]).record()


def foretell(reward: Reward, own: Evidence) -> Forecasts:
    """What the reward says of answers it has not seen."""
    if not isinstance(reward, FittedReward):
        raise InputError("only a fitted reward can foretell answers.")
    return forecast(reward.value(own.segments), own)


def fit_record(reward: FittedReward) -> dict[str, Any]:
    """The fit's own report, in the words that the report reads."""
    found = reward.report
    people = {
        each.annotator: _finite(skill=each.skill, low=each.skill_low, high=each.skill_high, side=each.side)
        | {"answers": each.answers}
        for each in found.annotators
    }
    likelihood = _finite(train_log_likelihood=found.train, heldout_log_likelihood=found.heldout)
    return {**likelihood, "epochs": found.epochs, "annotators": people, "left_out": found.left_out}


def _finite(**values: float) -> dict[str, Any]:
    """Without what was not measured."""
    return {name: value for name, value in values.items() if np.isfinite(value)}


def examples(store: Store, state: State, reward: FittedReward) -> list[dict[str, Any]]:
    """Some of the round's answered comparisons: what was said, what the reward says, step by step; of replies, them."""
    answers = [a for a in store.answers(after=state.since, upto=state.cursor) if isinstance(a.value, Side)]
    queries = {query.id: query for query in store.queries([answer.query for answer in answers[:EXAMPLES]])}
    shown = []
    for answer in answers[:EXAMPLES]:
        query, side = queries[answer.query], answer.value
        segments = store.segments(query.segments)
        if not isinstance(side, Side):
            continue
        difference = reward.value(segments).mean(0)
        shown.append(
            {
                "kind": query.kind,
                "acquisition": query.acquisition,
                "first": query.segments[0],
                "second": query.segments[1],
                "level": side.level,
                "levels": side.levels,
                "annotator": answer.annotator,
                "p": float(1 / (1 + np.exp(difference[1] - difference[0]))),
                **_pictured(reward, segments),
            }
        )
    return shown


def _pictured(reward: FittedReward, segments: Sequence[Segment]) -> dict[str, Any]:
    """Two segments as a reader sees them: replies as texts, steps as the reward's curves."""
    replies = [segment.response for segment in segments if isinstance(segment, Reply)]
    if len(replies) == 2 and isinstance(segments[0], Reply):
        return {"texts": {"prompt": segments[0].prompt, "first": replies[0], "second": replies[1]}}
    curves = [curve(reward, segment) for segment in segments if isinstance(segment, Steps)]
    return {"curves": dict(zip(("first", "second"), curves, strict=False))}


def curve(reward: FittedReward, segment: Steps) -> list[float]:
    """The reward's mean at every step of a segment."""
    batch = StepBatch(*(torch.from_numpy(x[None]) for x in (segment.observation, segment.action, segment.valid)))
    return [round(float(x), 4) for x in reward(batch).mean[0]]


def return_record(returns: Float[np.ndarray, "episode"]) -> dict[str, Any]:
    """The round's true return with its interval."""
    low, high = interval(returns)
    return {"true_return": float(returns.mean()), "true_return_low": low, "true_return_high": high}


def measured(returns: Float[np.ndarray, "episode"]) -> records.Return:
    """Mean with interval, and standard deviation."""
    return records.Return(float(returns.mean()), float(returns.std()), len(returns), interval(returns))


def quality(state: State) -> records.RewardQuality:
    """Of all the rounds' forecasts together."""
    found = judge(join(state.forecasts))
    low, high = found.accuracy_low, found.accuracy_high
    return records.RewardQuality(found.accuracy, None if low is None or high is None else (low, high), found.ece)


def result(
    task: str,
    seed: int,
    state: State,
    steps: Mapping[str, int],
    seconds: float,
    reached: records.Return | None,
    beside: Mapping[str, records.Return],
    chosen: records.Chosen,
) -> records.Result:
    """`result.json`. `beside` holds random, constant and true, or nothing: then they are "not measured"."""
    means = {name: each.mean for name, each in beside.items()}
    spent = {name: state.seconds.get(name, 0.0) for name in ("collect", "fit", "improve")}
    return records.Result(
        task=task,
        seed=seed,
        labels=state.labels,
        env_steps=sum(steps.values()),
        seconds=records.Seconds(seconds, **spent),
        true_return=reached,
        random_return=means.get("random"),
        constant_reward_return=means.get("constant"),
        reward=quality(state),
        chosen=chosen,
        true_reward_return=means.get("true"),
        baselines=dict(beside),
        env_steps_by=dict(steps),
    )
