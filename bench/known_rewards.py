"""Problems whose reward is known, and annotators whose reliability is known: what `bench.kinds` asks about.

A reward is `r(s, a) = sum_j c_j f_j(s, a)` over eight smooth functions of an observation of three numbers and an action
of one, with coefficients drawn per seed; segments are slow random walks of 50 steps, so that they differ as wholes.
Truth is scaled so that G has standard deviation `SPREAD` between segments: a teacher of rationality 1 then gets about
nine comparisons in ten right when attending. Replies are made of words, each with a worth.

Teachers are the project's own (`feedback/teachers.py`), without a store. A lapse is an answer at random; the one-sided
annotator's lapses at comparisons and ranks are answers "what was shown first", unseen. So `1 - eps` is known exactly.

A correction is the best of three others that are offered, as a person improves what is there. Without an offer the
teacher gives the best of sixteen known segments: so much better that nothing is learnt of segments between. Who attends
has nothing to give where the first of the four is the best, and skips; who lapses gives: `skill` is of what is given.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from accord.feedback.evidence import pack_answers
from accord.feedback.teachers import TeacherConfig, answer_value, perceive, scale_of
from accord.types import Answer, Evidence, Kind, Query, Reply, Segment, SegmentId, Skip, Steps, segment_id

TIME, OBSERVATION, SPREAD = 50, 3, 5.0
EPS = (0.02, 0.1, 0.25, 0.45)  # 0 itself lies on the edge of what can be: no two-sided interval contains it
ONE_SIDED = 2  # which annotator lapses to one side
EQUAL = 0.1  # share of the mean return within which two segments are a tie, where the query has ties
BUCKETS, WORDS, LENGTH = (
    1024,
    40,
    20,
)  # in 64 buckets words collide: told the truth, least squares ranks no better than .8


@dataclass(frozen=True, eq=False)
class Known:
    """Segments with their true return. `plain` are the same segments with the reward's own functions as observation."""

    segments: list[Segment]
    truth: list[Float[np.ndarray, "time"]]
    plain: list[Segment]

    @property
    def returns(self) -> Float[np.ndarray, "segment"]:
        return np.array([float(rows.sum()) for rows in self.truth])


@dataclass(frozen=True)
class Asking:
    """What one kind of feedback asks."""

    kind: Kind
    levels: int = 2
    items: int = 1
    equal: float = 0.0


ASKING: Mapping[str, Asking] = {
    "compare": Asking("compare", 2, 2),
    "compare_ties": Asking("compare", 3, 2, EQUAL),
    "compare_strength": Asking("compare", 7, 2),
    "rank": Asking("rank", items=4),
    "rate": Asking("rate", 5),
    "approve": Asking("approve"),
    "demonstrate": Asking("demonstrate", items=4),
    "correct": Asking("correct", items=4),
}


def functions(observation: np.ndarray, action: np.ndarray) -> Float[np.ndarray, "segment time function"]:
    """The eight functions of which a reward is made."""
    a, b, c, u = *np.moveaxis(observation, -1, 0), action[..., 0]
    return np.stack([a, b, u, -(a**2), np.sin(2 * b), np.exp(-(c**2)), a * c, -((u - 0.5 * b) ** 2)], -1)


def walks(count: int, columns: int, rng: np.random.Generator) -> Float[np.ndarray, "segment time column"]:
    """Stationary walks of standard deviation 1, of which half is the segment's own level: correlated over 10 steps."""
    keep = np.exp(-1 / 10)
    steps = rng.standard_normal((count, TIME, columns)) * np.sqrt(1 - keep**2)
    steps[:, 0] = rng.standard_normal((count, columns))
    for t in range(1, TIME):
        steps[:, t] += keep * steps[:, t - 1]
    return np.sqrt(0.5) * (steps + rng.standard_normal((count, 1, columns)))


def parted(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observation and action."""
    return rows[..., :OBSERVATION], rows[..., OBSERVATION:]


def control(count: int, seed: int) -> Known:
    """Segments of steps under this seed's reward; the first ones do not depend on how many there are."""
    rng = np.random.default_rng([seed, 1])
    weights = rng.standard_normal(8) / functions(*parted(walks(2000, OBSERVATION + 1, rng))).sum(1).std(0)
    observation, action = parted(walks(count, OBSERVATION + 1, rng))
    basis = functions(observation, action)
    reward = basis @ weights
    reward *= SPREAD / reward.sum(1).std()
    every, none = np.ones(TIME, bool), np.zeros((TIME, 0), np.float32)
    segments: list[Segment] = [
        Steps(o.astype(np.float32), a.astype(np.float32), every, False)
        for o, a in zip(observation, action, strict=True)
    ]
    plain: list[Segment] = [Steps(f.astype(np.float32), none, every, False) for f in basis]
    return Known(segments, list(reward), plain)


def replies(count: int, seed: int) -> Known:
    """Replies of twenty words to one prompt, worth the sum of their words."""
    rng = np.random.default_rng([seed, 2])
    words = np.array([f"word{number}" for number in rng.choice(10_000, WORDS, replace=False)])
    worth = rng.standard_normal(WORDS)
    # Each reply leans towards some words, as replies on one subject do.
    liking = rng.dirichlet(np.full(WORDS, 0.5), count)
    chosen = np.stack([rng.choice(WORDS, LENGTH, p=row) for row in liking])
    value = worth[chosen].sum(1)
    value *= SPREAD / value.std()
    segments: list[Segment] = [Reply("Say something.", " ".join(words[row])) for row in chosen]
    return Known(segments, [np.array([v]) for v in value], segments)


def word_counts(segments: Sequence[Segment]) -> Float[np.ndarray, "segment bucket"]:
    """An encoder: how often the words of each of 1,024 hash buckets occur."""
    rows = np.zeros((len(segments), BUCKETS))
    for row, segment in zip(rows, segments, strict=True):
        if isinstance(segment, Reply):
            for word in segment.response.split():
                row[zlib.crc32(word.encode()) % BUCKETS] += 1
    return rows


def teacher(eps: float, place: int, asking: Asking) -> TeacherConfig:
    """Rationality 1, and a share eps of lapses of this annotator's sort."""
    sided = place == ONE_SIDED and asking.kind in ("compare", "rank")
    return TeacherConfig("oracle", beta=1.0, equal=asking.equal, side=eps if sided else 0.0, spam=0.0 if sided else eps)


def skill(place: int, kind: Kind) -> float:
    """The share of this annotator's answers, skips not counted, that were given with attention."""
    attending = 1.0 - EPS[place]
    if kind == "correct":
        attending *= 1.0 - 1.0 / ASKING[kind].items
    return attending / (attending + EPS[place])


def ask(known: Known, askings: Sequence[Asking], answers: int, seed: int) -> Evidence:
    """Answers, skips not counted, shared evenly by the kinds and then by the four annotators."""
    rng = np.random.default_rng([seed, 3])
    ids = [segment_id(segment) for segment in known.segments]
    seen = {
        id_: perceive(segment, truth, 1.0) for id_, segment, truth in zip(ids, known.segments, known.truth, strict=True)
    }
    pairs: list[tuple[Query, Answer]] = []
    turn, scale = 0, scale_of(list(seen.values()), TeacherConfig())
    while len(pairs) < answers:
        asking, place = askings[len(pairs) % len(askings)], len(pairs) // len(askings) % len(EPS)
        config = teacher(EPS[place], place, asking)
        named = tuple(ids[i] for i in rng.choice(len(ids), asking.items, replace=False))
        query = Query(f"{turn:06d}", asking.kind, named, asking.levels)
        shown = tuple(int(i) for i in rng.permutation(asking.items))
        value = answer_value(query, seen, ids, scale, config.traits, shown, rng)
        turn += 1
        if not isinstance(value, Skip):
            pairs.append((query, Answer(query.id, query.id, f"annotator-{place}", value, shown)))
    return pack_answers(pairs, by_id(ids, known.segments), {id_: id_ for id_ in ids})


def by_id(ids: Sequence[SegmentId], segments: Sequence[Segment]) -> dict[SegmentId, Segment]:
    return dict(zip(ids, segments, strict=True))


def in_own_functions(evidence: Evidence, known: Known) -> Evidence:
    """The same answers about the same segments, which now show the functions that their reward is made of."""
    plain = {segment_id(raw): shown for raw, shown in zip(known.segments, known.plain, strict=True)}
    segments = [plain[segment_id(segment)] for segment in evidence.segments]
    return Evidence(segments, evidence.groups, evidence.annotators, evidence.parts, evidence.uniform)


def alone(evidence: Evidence) -> dict[str, Evidence]:
    """Evidence of all kinds, taken apart. Parts come in the order of kind and levels."""
    names = sorted(ASKING, key=lambda name: (ASKING[name].kind, ASKING[name].levels))
    found = {}
    for name, part, uniform in zip(names, evidence.parts, evidence.uniform, strict=True):
        found[name] = Evidence(evidence.segments, evidence.groups, evidence.annotators, (part,), (uniform,))
    return found
