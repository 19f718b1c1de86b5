"""From a configuration and a store of answers to a chosen reward: what `accord select` does, without the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from accord import config, runtime
from accord.durable import write_bytes, write_json
from accord.feedback import evidence as answers
from accord.feedback.store import Store
from accord.policies.control.offpolicy import OffPolicyConfig
from accord.policies.control.sb3 import SB3Config
from accord.progress import Progress
from accord.rewards import words
from accord.rewards.candidates import grid
from accord.rewards.crossval import Reading
from accord.rewards.finalists import Finalist, examine
from accord.rewards.jobs import Readings
from accord.rewards.select import Selection, select
from accord.rewards.settings import check_kind
from accord.tasks.control import ControlTask
from accord.types import Evidence, InputError, Reply, Segment, Steps

SELECTION, CHOSEN = "selection.json", "chosen.toml"
NEWEST = 5  # one answer in so many is about the policy as it is, where all are of one round


@dataclass(frozen=True, eq=False)
class Recorded:
    """The answers of a store, when each was given, and the segments of its last round."""

    evidence: Evidence
    order: tuple[Int[np.ndarray, "_"], ...]
    fresh: list[Segment]


@dataclass(frozen=True, eq=False)
class Outcome:
    """A selection, a closer look at its finalists, and the configuration that it leads to."""

    selection: Selection
    finalists: list[Finalist]
    settings: config.RunConfig
    raced: Mapping[str, Sequence[float | None]] = field(default_factory=dict)  # by name, one score a seed
    taken: str = ""  # whom the race took; "" where there was none


def recorded(store: Store) -> Recorded:
    """All usable answers. Raises InputError where there is none."""
    cache = answers.Cache()
    evidence = answers.pack(store, cache=cache)
    if not evidence.answers:
        raise InputError("the store holds no answer to learn from: record some, or give another --store.")
    pairs = answers.usable(cache.answers, cache.queries)
    order = answers.given(pairs)
    last = max(query.round for query, _ in pairs)
    newest = sorted((answer.seq for _, answer in pairs))[-max(1, len(pairs) // NEWEST)]
    one_round = all(query.round == last for query, _ in pairs)
    of_last = [q for q, a in pairs if (a.seq >= newest if one_round else q.round == last)]
    ids = dict.fromkeys(id for query in of_last for id in query.segments)
    return Recorded(evidence, order, [cache.segments[id] for id in ids])


def choose(settings: config.RunConfig, store: Store, workers: int, progress: Progress) -> Outcome:
    """The whole choice. Raises InputError for answers that do not fit the configuration or are too few."""
    found = recorded(store)
    readings = readings_of(settings, found.evidence)
    seed, texts = runtime.derive(settings.seed, "select"), [name for name in readings if name]
    picture = None if texts else readings[""].picture
    if texts and not set(texts) & set(words.DEEP):
        progress.announce("No reading of a language model is among them: accord fetch smollm2 brings it.")
    candidates = grid(settings.reward, len(found.evidence.annotators), picture, texts)
    if isinstance(settings.policy, OffPolicyConfig | SB3Config):  # which remember steps alone
        candidates = [one for one in candidates if one.config.kind != "transformer"]
    selection = select(found.evidence, candidates, readings, seed, workers, kept=candidates[:1], progress=progress)
    progress.announce("A closer look at what is left.")
    looked = examine(selection, found.evidence, readings, found.order, found.fresh, seed)
    reward = replace(selection.chosen.config, text=selection.chosen.text, select="fixed")
    return Outcome(selection, looked, replace(settings, reward=reward))


def readings_of(settings: config.RunConfig, evidence: Evidence) -> Readings:
    """How the task's segments are read. Raises InputError for segments of another sort or task."""
    if isinstance(settings.task, config.TextSection):
        return _texts(settings, evidence)
    steps = [segment for segment in evidence.segments if isinstance(segment, Steps)]
    if len(steps) < len(evidence.segments):
        raise InputError(
            f"{len(evidence.segments) - len(steps)} of {len(evidence.segments)} segments in the store are no steps of "
            f"{settings.task.id}: keep answers about them in a store of their own."
        )
    spec = ControlTask(replace(settings.control, envs=1)).spec
    widths = {(segment.observation.shape[1], segment.action.shape[1]) for segment in steps}
    if widths != {(spec.observation_size, spec.action.size)}:
        raise InputError(
            f"the store's segments have {_told(widths)} numbers in an observation and an action, and {spec.id} has "
            f"{spec.observation_size} and {spec.action.size}: name the task that the answers are about."
        )
    check_kind(settings.reward, spec.picture)
    return {"": Reading(spec.action.discrete, spec.picture)}


def _texts(settings: config.RunConfig, evidence: Evidence) -> Readings:
    """The ways in which replies are read: the one that the configuration names first, or all that there are."""
    replies = [segment for segment in evidence.segments if isinstance(segment, Reply)]
    if len(replies) < len(evidence.segments):
        raise InputError(
            f"{len(evidence.segments) - len(replies)} of {len(evidence.segments)} segments in the store are no "
            "replies: keep answers about them in a store of their own."
        )
    own = (settings.reward.text,) if settings.reward.text else ()
    return words.readings(tuple(dict.fromkeys((*own, *words.offered()))), replies, words.often(evidence))


def _told(widths: set[tuple[int, int]]) -> str:
    return ", or ".join(f"{observation} and {action}" for observation, action in sorted(widths))


def write(outcome: Outcome, folder: Path) -> tuple[Path, Path]:
    """`selection.json`, everything that was found, and `chosen.toml`, which `accord run` takes as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    looked = [one.record() for one in outcome.finalists]
    write_json(
        folder / SELECTION,
        {**outcome.selection.record(), "finalists": looked, "race": outcome.raced, "taken": outcome.taken},
    )
    write_bytes(folder / CHOSEN, config.to_text(outcome.settings).encode())
    return folder / SELECTION, folder / CHOSEN
