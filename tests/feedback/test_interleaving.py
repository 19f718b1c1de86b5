"""Property: leases and answers under any interleaving of annotators, expiry, undo, repeated and late deliveries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from accord.feedback.probes import known, repeated
from accord.feedback.store import Lease, Served, Store, TooLate, Visit, current
from accord.types import Answer, Collected, InputError, Provenance, Query, Reply, Side

NAMES = ("ann", "bob", "cat", "dan")
SECONDS = 10.0
names, levels = st.sampled_from(NAMES), st.integers(0, 2)


class Annotation(RuleBasedStateMachine):
    """What the store says, beside what everybody was told."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.number = 0.0, 0
        self.store = Store("sqlite://", clock=lambda: self.now)
        self.leases: list[tuple[str, Lease]] = []  # all that there ever were
        self.held: dict[tuple[str, str], Lease] = {}  # those that were not given back
        self.acknowledged: dict[str, Answer] = {}

    @initialize(overlaps=st.lists(st.integers(1, 3), min_size=1, max_size=4))
    def begin(self, overlaps: list[int]) -> None:
        made = [Collected(Reply("Why?", f"{i}"), Provenance("talk", 0, 0, 0, i, 0)) for i in range(2 * len(overlaps))]
        ids = self.store.add(made)
        self.store.ask(
            [Query(f"q{i}", "compare", (ids[2 * i], ids[2 * i + 1]), 3, overlap=n) for i, n in enumerate(overlaps)]
        )
        for name in NAMES:
            self.store.register(name, "person")

    @rule(name=names, limit=st.integers(0, 3), afresh=st.booleans(), reviews=st.booleans())
    def lease(self, name: str, limit: int, afresh: bool, reviews: bool) -> None:
        (served,) = self.store.serve([Visit(name, limit=limit, afresh=afresh, reviews=reviews)], SECONDS)
        assert isinstance(served, Served) and len(served.leases) <= limit
        asked = [lease.query.id for lease in served.leases]
        answered = {answer.query for answer in self.acknowledged.values() if answer.annotator == name}
        assert len(set(asked)) == len(asked) and not answered & set(asked)
        if afresh:
            self.held = {key: held for key, held in self.held.items() if key[0] != name}
        self._took(name, served.leases)

    def _took(self, name: str, leases: Sequence[Lease]) -> None:
        self.leases += [(name, lease) for lease in leases]
        self.held |= {(name, lease.query.id): lease for lease in leases}

    @rule(seconds=st.floats(0.0, 2 * SECONDS))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), level=levels, limit=st.integers(0, 2))
    def answer(self, data: st.DataObject, level: int, limit: int) -> None:
        """By a lease that may have run out, with more questions wanted at once."""
        if not self.leases:
            return
        name, lease = data.draw(st.sampled_from(self.leases))
        self.number += 1
        given = Answer(f"a{self.number}", lease.query.id, name, Side(level, 3), (0, 1), 1.0)
        (served,) = self.store.serve([Visit(name, [given], [lease.token], limit)], SECONDS)
        assert isinstance(served, Served)
        (fate,) = served.fates
        if isinstance(fate, int):
            self.acknowledged[given.id] = given
        else:  # answered already, or too late: never while the lease holds
            before = any(a.query == given.query and a.annotator == name for a in self.acknowledged.values())
            holds = lease.until > self.now and self.held.get((name, given.query)) is lease
            assert before or (isinstance(fate, TooLate) and not holds)
        self._took(name, served.leases)

    @rule(data=st.data(), level=levels)
    def undo(self, data: st.DataObject, level: int) -> None:
        """A later answer takes the place of one that stands; of one that does not it is refused."""
        if not self.acknowledged:
            return
        former = data.draw(st.sampled_from(list(self.acknowledged.values())))
        self.number += 1
        given = Answer(f"a{self.number}", former.query, former.annotator, Side(level, 3), (0, 1), 1.0, "", former.id)
        stands = all(answer.supersedes != former.id for answer in self.acknowledged.values())
        try:
            self.store.answer([given])
            assert stands
            self.acknowledged[given.id] = given
        except InputError:
            assert not stands

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """What was acknowledged is acknowledged again, and stored once."""
        if self.acknowledged:
            again = data.draw(st.sampled_from(list(self.acknowledged.values())))
            (seq,) = self.store.answer([again])
            assert [answer.seq for answer in self.store.answers() if answer.id == again.id] == [seq]

    @rule(name=names, number=st.integers(0, 3))
    def dispute(self, name: str, number: int) -> None:
        queries = [query for query in self.store.queries() if query.gold is None]
        query = queries[number % len(queries)]
        answered = any(a.query == query.id and a.annotator == name for a in self.acknowledged.values())
        try:
            self.store.dispute(query.id, name)
            assert not answered
        except InputError:
            assert answered

    @rule(number=st.integers(0, 3))
    def probe(self, number: int) -> None:
        """A question becomes a known one, or is repeated."""
        queries = self.store.queries()
        usual = [query for query in queries if query.gold is None and query.repeats is None]
        self.store.ask([known(usual[number % len(usual)], Side(1, 3))] if number % 2 else [])
        self.store.ask(repeated(queries, 1, 1, np.random.default_rng(number)))

    @invariant()
    def all_that_was_acknowledged_is_there_once_and_nothing_else(self) -> None:
        kept = self.store.answers()
        assert sorted(answer.id for answer in kept) == sorted(self.acknowledged)
        assert [answer.seq for answer in kept] == sorted(answer.seq for answer in kept)

    @invariant()
    def nobody_has_two_standing_answers_and_no_question_too_many(self) -> None:
        standing = [(answer.query, answer.annotator) for answer in current(self.store.answers())]
        assert len(set(standing)) == len(standing)
        for query in self.store.queries():
            assert sum(id == query.id for id, _ in standing) <= query.overlap

    def teardown(self) -> None:
        self.store.close()


Annotation.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnnotation = Annotation.TestCase
