"""Teachers: synthetic annotators with a known flaw. They lease, answer and skip through the store, as people do.

Paper: Lee, Smith, Dragan, Abbeel, "B-Pref: Benchmarking Preference-Based Reinforcement Learning", 2111.03026,
section 3. With `G = sum_t discount^(T - 1 - t) r_t` (recent steps weigh most) and the plain sum `R = sum_t r_t`:
noise  P(first preferred) = sigma(beta (G_0 - G_1));
mistake  with probability eps the answer is turned round;
skip  if max(R_0, R_1) < eps * mean true return * T / horizon;
equal  if |R_0 - R_1| < eps * mean true return * T / horizon.

Differs from the paper in:
- The thresholds follow the paper's rule. The authors' code multiplies by eps a second time after the first round.
- "Mean true return * T / horizon" is estimated as T times the mean true reward per step of the segments that queries
  of this round and earlier ones name; returns are counted from the lowest of them where any is negative (else a task
  whose rewards are all negative would be skipped almost whole).
- What a noisy teacher compares with the threshold of `equal` is the difference that it perceives, noise and all: nobody
  ties on what they cannot see. That makes ties Rao and Kupper's; without noise it is the paper's rule.
- Two returns that are equal are a tie where the query has a middle level, and a coin where it has none (the code
  always says "the first"). A tie within the threshold at a query without a middle level is a skip.
- The rule is carried over to the other kinds (`answer_value`), and one-sidedness, spam, drift and distraction are ours.

Other kinds, all from one noisy value per segment: `rank` adds Gumbel noise / beta to each G (Plackett-Luce); `rate`
and `approve` add logistic noise / beta and place the mean over valid steps between `low` and `high`; `demonstrate`
draws up to 16 known segments of the same prompt (the library given to the teacher, else all that queries have named)
and gives the best; `correct` gives the best of the offered ones (`segments[1:]`), else of such a draw, and skips where
none is better than what it corrects. Only `compare` and `rank` skip what is too poor. A turned answer is its mirror
image: the reverse order, the opposite level, the worst segment.

An answer depends on the seed, the teacher's name, the query, its place among all queries (drift alone) and the
segments named up to its round (thresholds alone): not on when or in which batch it was asked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float

from accord.feedback.flaws import FLAWS, Flaw, TeacherConfig, Traits
from accord.feedback.store import Store
from accord.types import (
    Answer,
    Given,
    InputError,
    Order,
    Query,
    Reply,
    Score,
    Segment,
    SegmentId,
    Side,
    Skip,
    Steps,
    Value,
    Verdict,
)

__all__ = ["FLAWS", "Flaw", "Teacher", "TeacherConfig", "Traits"]

BATCH = 64  # queries leased at once: few round trips, and little held back from others
DRAW = 16  # known segments looked through for a demonstration


@dataclass(frozen=True)
class Seen:
    """What a teacher perceives of one segment."""

    value: float  # G: discounted sum of the true reward
    total: float  # R: plain sum
    steps: int  # all of them, those after its end too
    weight: float  # sum of the discounts of its valid steps: value / weight is a mean per step
    prompt: str = ""  # segments of different prompts are never compared
    looks: float = 0.0  # what has nothing to do with its worth, and may distract


@dataclass(frozen=True)
class Scale:
    """What counts as much and as little, from the segments seen so far."""

    floor: float  # per step: returns are counted from here in the thresholds
    mean: float  # per step, above the floor
    spread: float  # standard deviation of G between segments
    low: float  # per valid step: rated lowest
    high: float  # per valid step: rated highest
    looks: tuple[float, float] = (0.0, 1.0)  # mean and deviation between segments


def perceive(segment: Segment, truth: Float[np.ndarray, "time"], discount: float, taste: int = 0) -> Seen:
    """Sums a segment's sealed truth; steps after its end are worth 0 yet count as time in the discount.

    `taste` seeds what distracts: a direction of the mean observation, for replies and images their size.
    """
    valid: Bool[np.ndarray, "time"] = segment.valid if isinstance(segment, Steps) else np.ones(len(truth), bool)
    reward = np.where(valid, truth, 0.0).astype(np.float64)
    weight = discount ** np.arange(len(reward) - 1, -1, -1, dtype=np.float64)
    prompt = segment.prompt if isinstance(segment, Reply) else ""
    looks = _looks(segment, taste)
    length = float(weight[valid].sum()) or 1.0
    return Seen(float(reward @ weight), float(reward.sum()), len(reward), length, prompt, looks)


def _looks(segment: Segment, taste: int) -> float:
    if isinstance(segment, Steps):
        direction = np.random.default_rng(taste).normal(size=segment.observation.shape[1])
        return float(segment.observation[segment.valid].mean(0) @ direction) if segment.valid.any() else 0.0
    return float(len(segment.response) if isinstance(segment, Reply) else segment.pixels.size)


def scale_of(seen: Sequence[Seen], config: TeacherConfig) -> Scale:
    """The scale of some segments; `low` and `high` are the 5 % and 95 % quantiles unless pinned."""
    if not seen:
        return Scale(floor=0.0, mean=0.0, spread=0.0, low=0.0, high=0.0)
    per_step = np.array([s.total / s.steps for s in seen])
    floor = min(0.0, float(per_step.min()))
    low, high = np.quantile([s.value / s.weight for s in seen], (0.05, 0.95))
    return Scale(
        floor=floor,
        mean=float(per_step.mean()) - floor,
        spread=float(np.std([s.value for s in seen])),
        low=float(low) if config.low is None else config.low,
        high=float(high) if config.high is None else config.high,
        looks=(float(np.mean([s.looks for s in seen])), float(np.std([s.looks for s in seen])) or 1.0),
    )


# -------------------------------------------------------------------------------------- one answer, purely


def answer_value(
    query: Query,
    known: Mapping[SegmentId, Seen],
    library: Sequence[SegmentId],
    scale: Scale,
    traits: Traits,
    shown: tuple[int, ...],
    rng: np.random.Generator,
) -> Value:
    """What a teacher with these traits says. `library` lists what it may give as a demonstration."""
    seen = [known[segment] for segment in query.segments]
    habit, turned = rng.random(), rng.random() < _mistake(seen, scale, traits)
    if rng.random() < traits.spam:
        return _at_random(query, library, rng)
    if query.kind in ("compare", "rank") and habit < abs(traits.side):
        return _by_side(query, shown if traits.side > 0 else shown[::-1])
    if query.kind in ("compare", "rank") and _too_poor(seen, scale, traits.skip):
        return Skip("too poor to judge")
    if query.kind == "compare":
        return _compare(seen, query.levels, scale, traits, turned, rng)
    if query.kind == "rank":
        order = tuple(int(i) for i in np.argsort(-_gumbel_values(seen, traits.beta, rng), kind="stable"))
        return Order(order[::-1] if turned else order)
    if query.kind in ("rate", "approve"):
        return _judge_one(query, seen[0], scale, traits.beta, turned, rng)
    return _give(query, known, library, traits.beta, turned, rng)


def _mistake(seen: Sequence[Seen], scale: Scale, traits: Traits) -> float:
    """Wrong more often where the segments look one way, less often where they look the other."""
    mean, deviation = scale.looks
    unusual = math.tanh((sum(s.looks for s in seen) / len(seen) - mean) / deviation) if seen else 0.0
    return traits.mistake * (1.0 + traits.distraction * unusual)


def _too_poor(seen: Sequence[Seen], scale: Scale, skip: float) -> bool:
    """B-Pref's rule: every segment is below `skip` times the mean return (never where `skip` is 0)."""
    return skip > 0 and all(s.total - scale.floor * s.steps < skip * scale.mean * s.steps for s in seen)


def _compare(
    seen: Sequence[Seen], levels: int, scale: Scale, traits: Traits, turned: bool, rng: np.random.Generator
) -> Value:
    first, second = seen
    same = math.isclose(first.value, second.value, rel_tol=1e-6, abs_tol=1e-9)
    error = rng.logistic() / traits.beta
    within = abs(first.total - second.total + error) < traits.equal * scale.mean * (first.steps + second.steps) / 2
    if within and levels % 2 == 0:
        return Skip("no difference seen")
    if within or (same and levels % 2 == 1):
        return Side(levels // 2, levels)
    difference = (0.0 if same else first.value - second.value) + error
    ahead = difference > 0 if difference != 0 else bool(rng.random() < 0.5)
    strength = _strength(abs(difference), levels // 2, math.sqrt(2) * scale.spread)
    half = levels // 2
    level = levels - 1 - half + strength if ahead else half - strength
    return Side(levels - 1 - level if turned else level, levels)


def _strength(size: float, strengths: int, spread: float) -> int:
    """1 to `strengths`: which part of |N(0, spread^2)|, cut into equally likely parts, `size` falls into."""
    normal = NormalDist()
    cuts = [spread * normal.inv_cdf((1 + i / strengths) / 2) for i in range(1, strengths)]
    return 1 + sum(size > cut for cut in cuts)


def _gumbel_values(seen: Sequence[Seen], beta: float, rng: np.random.Generator) -> Float[np.ndarray, "item"]:
    """`G + Gumbel / beta`: the order of these is a draw from Plackett-Luce; equal values fall in random order."""
    value = np.array([s.value for s in seen])
    if math.isinf(beta):
        shuffled = rng.permutation(len(seen))
        return np.argsort(np.lexsort((shuffled, value))).astype(np.float64)
    return value + rng.gumbel(size=len(seen)) / beta


def _judge_one(
    query: Query, seen: Seen, scale: Scale, beta: float, turned: bool, rng: np.random.Generator
) -> Score | Verdict:
    quality = (seen.value + rng.logistic() / beta) / seen.weight
    if query.kind == "approve":
        return Verdict((quality >= (scale.low + scale.high) / 2) != turned)
    top = query.levels - 1
    share = (quality - scale.low) / (scale.high - scale.low) if scale.high > scale.low else 0.5
    level = int(np.clip(math.floor(share * query.levels), 0, top))
    return Score(top - level if turned else level, query.levels)


def _give(
    query: Query,
    known: Mapping[SegmentId, Seen],
    library: Sequence[SegmentId],
    beta: float,
    turned: bool,
    rng: np.random.Generator,
) -> Value:
    offered = _offered(query)
    prompts = {known[segment].prompt for segment in query.segments}
    pool = offered or [s for s in library if s not in query.segments and (not prompts or known[s].prompt in prompts)]
    if len(pool) > DRAW and not offered:
        pool = [pool[i] for i in rng.choice(len(pool), DRAW, replace=False)]
    if query.kind == "correct":
        pool = [s for s in pool if known[s].value > known[query.segments[0]].value]
    if not pool:
        return Skip("nothing better known" if query.kind == "correct" else "nothing to show")
    values = _gumbel_values([known[s] for s in pool], beta, rng)
    return Given(pool[int(np.argmin(values) if turned else np.argmax(values))])


def _offered(query: Query) -> list[SegmentId]:
    """What may be given: a correction's offers; none is "whatever is known"."""
    return list(query.segments[1:]) if query.kind == "correct" else []


def _by_side(query: Query, shown: tuple[int, ...]) -> Side | Order:
    """What is shown first is best, unseen."""
    if query.kind == "rank":
        return Order(shown)
    return Side(query.levels - 1 if shown[0] == 0 else 0, query.levels)


def _at_random(query: Query, library: Sequence[SegmentId], rng: np.random.Generator) -> Value:
    if query.kind == "compare":
        return Side(int(rng.integers(query.levels)), query.levels)
    if query.kind == "rank":
        return Order(tuple(int(i) for i in rng.permutation(len(query.segments))))
    if query.kind == "rate":
        return Score(int(rng.integers(query.levels)), query.levels)
    if query.kind == "approve":
        return Verdict(bool(rng.random() < 0.5))
    pool = _offered(query) or list(library)
    return Given(pool[int(rng.integers(len(pool)))]) if pool else Skip("nothing to show")


# ------------------------------------------------------------------------------------------- the annotator


class Teacher:
    """Answers everything open in a store. The only part, beside evaluation, that reads the sealed truth.

    `library` names stored segments (with truth) that it may give as demonstrations and corrections; without one it
    gives from the segments that queries have named.
    """

    def __init__(
        self, store: Store, config: TeacherConfig, seed: int, name: str = "", library: Sequence[SegmentId] = ()
    ) -> None:
        self.name = name or f"teacher-{config.flaw}-{seed}"
        self._store, self._config, self._seed, self._library = store, config, seed, tuple(library)
        self._known: dict[SegmentId, Seen] = {}
        store.register(self.name, "teacher")
        store.release(self.name)  # what a killed run of this teacher still holds

    def work(self) -> int:
        """Answers all queries open to it now, in batches; returns how many answers were stored."""
        stored = 0
        asked: dict[str, Query] = {}  # one reading serves all batches
        while leases := self._store.lease(self.name, limit=BATCH):
            queries = [lease.query for lease in leases]
            if not all(query.id in asked for query in queries):
                asked = {query.id: query for query in self._store.queries()}
            answers = self.answers_to(queries, asked.values())
            self._store.answer(answers, tokens=[lease.token for lease in leases])
            stored += len(answers)
        return stored

    def answers_to(self, queries: Sequence[Query], asked: Collection[Query]) -> list[Answer]:
        """Answers to some of the queries `asked` so far."""
        place = {query.id: i for i, query in enumerate(sorted(asked, key=lambda query: (query.round, query.id)))}
        answers: dict[str, Answer] = {}
        for round_ in sorted({query.round for query in queries}):
            named = _named(query for query in asked if query.round <= round_)
            self._learn([*named, *self._library])
            scale = scale_of([self._known[segment] for segment in named or self._library], self._config)
            library = self._library or tuple(named)
            for query in queries:
                if query.round == round_:
                    answers[query.id] = self._answer(query, library, scale, place[query.id])
        return [answers[query.id] for query in queries]

    def _answer(self, query: Query, library: Sequence[SegmentId], scale: Scale, place: int) -> Answer:
        digest = hashlib.sha256(f"{self._seed}\0{self.name}\0{query.id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "big"))
        shown = tuple(int(i) for i in rng.permutation(len(query.segments)))
        traits = self._config.traits
        mistake = max(traits.mistake, min(0.5, traits.mistake + traits.drift * place))
        value = answer_value(query, self._known, library, scale, replace(traits, mistake=mistake), shown, rng)
        return Answer(answer_id(self.name, query.id), query.id, self.name, value, shown=shown)

    def _learn(self, ids: Sequence[SegmentId]) -> None:
        """Reads the truth of segments not seen before."""
        new = [segment for segment in dict.fromkeys(ids) if segment not in self._known]
        if not new:
            return
        discount = self._config.traits.discount
        for id_, segment, truth in zip(new, self._store.segments(new), self._store.truth(new), strict=True):
            if truth is None:
                raise InputError(
                    f"segment {id_[:12]} has no true reward, which a teacher needs: "
                    "set feedback.annotator to 'web', or use a task with a reward."
                )
            self._known[id_] = perceive(segment, truth, discount, self._seed)


def answer_id(annotator: str, query: str) -> str:
    """One id for one annotator's answer to one query, so that a repeated delivery is recognised."""
    return hashlib.sha256(f"answer\0{annotator}\0{query}".encode()).hexdigest()


def _named(queries: Iterable[Query]) -> list[SegmentId]:
    """Segments that queries name, sorted: sums over them do not depend on the order of asking."""
    return sorted({segment for query in queries for segment in query.segments})
