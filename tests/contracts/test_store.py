"""Contract tests of the store: one suite for SQLite and PostgreSQL."""

import contextlib
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accord.feedback.rows import Asked
from accord.feedback.store import Lease, Served, Store, TooLate, Visit, current
from accord.types import (
    Answer,
    Collected,
    Given,
    Image,
    InputError,
    Order,
    Provenance,
    Query,
    Reply,
    Score,
    Segment,
    Side,
    Skip,
    Steps,
    Verdict,
    segment_id,
)

ORIGIN = Provenance("CartPole-v1", round=1, policy_version=2, seed=3, episode=4, start=5, replay=b"\0state")


class Clock:
    """Time that stands still until it is told otherwise."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(url, clock):
    store = Store(url, clock)
    yield store
    store.close()


def reply(text: str, origin: Provenance = ORIGIN, truth=None) -> Collected:
    return Collected(Reply("Why?", text), origin, truth)


def ask(store: Store, count: int, overlap: int = 1, annotators: str = "") -> list[str]:
    """Asks comparisons q0, q1, ... of two replies, and registers annotators named by single letters."""
    first, second = store.add([reply("a"), reply("b")])
    store.ask([Query(f"q{i}", "compare", (first, second), overlap=overlap) for i in range(count)])
    for annotator in annotators:
        store.register(annotator, "person")
    return [f"q{i}" for i in range(count)]


def vote(query: str, annotator: str, level: int = 1, **more) -> Answer:
    return Answer(more.pop("id", f"{annotator}-{query}"), query, annotator, Side(level, 2), **more)


def numbers(dtype, *shape):
    return hnp.arrays(dtype, st.tuples(*shape), elements=hnp.from_dtype(np.dtype(dtype), allow_subnormal=False))


@st.composite
def parts(draw) -> tuple:
    """A kind of segment and what it is made of. Made in the test: types are checked there, with a die of beartype's."""
    size = st.integers(0, 5)
    kind = draw(st.sampled_from([Steps, Reply, Image]))
    if kind is Reply:
        tokens = st.lists(st.integers(0, 2**31), max_size=5).map(tuple)
        text = st.text(st.characters(), max_size=20)  # NUL and halves of surrogate pairs too
        return kind, draw(text), draw(text), draw(tokens), draw(st.text(max_size=5))
    if kind is Image:
        return kind, draw(numbers("u1", size, size, st.just(3))), draw(numbers("f4", size, size))
    time = st.just(draw(size))
    observation = draw(numbers("f4", time, size))
    if draw(st.booleans()):
        observation = np.asfortranarray(observation)
    return kind, observation, draw(numbers("f4", time, size)), draw(numbers("?", time)), draw(st.booleans())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30)
@given(drawn=st.lists(parts(), max_size=4))
def test_property_a_segment_read_back_has_the_hash_under_which_it_was_written(store, drawn):
    found: list[Segment] = [kind(*arguments) for kind, *arguments in drawn]
    ids = store.add([Collected(segment, ORIGIN) for segment in found])
    assert ids == [segment_id(segment) for segment in found]
    again = store.segments(ids)
    assert [segment_id(segment) for segment in again] == ids
    assert all(segment.observation.flags.writeable for segment in again if isinstance(segment, Steps))


def test_contract_adding_twice_changes_nothing_and_keeps_the_first_origin(store):
    other = replace(ORIGIN, round=9, replay=b"")
    ids = store.add([reply("a", truth=np.array([1.5])), reply("b"), reply("a", other, np.array([7.0]))])
    assert ids[0] == ids[2] != ids[1]
    assert store.add([reply("a", other), reply("b", truth=np.array([2.5]))]) == ids[:2]
    assert store.provenance(ids) == [ORIGIN] * 3
    truths = store.truth(ids)
    assert [truth.item() for truth in truths if truth is not None] == [1.5, 2.5, 1.5]
    assert store.segments(ids[1:]) == [Reply("Why?", "b"), Reply("Why?", "a")]


def test_contract_truth_keeps_its_numbers_and_may_be_absent(store):
    exact = np.array([0.1, -np.inf, 1e-300])
    ids = store.add([reply("a", truth=exact), reply("b")])
    found, absent = store.truth(ids)
    assert found is not None and found.dtype == np.float64 and np.array_equal(found, exact)
    assert absent is None


def test_contract_media_are_kept_and_replaced(store):
    (segment,) = store.add([reply("a")])
    assert store.media(segment) is None
    store.add_media(segment, "image/png", b"old")
    store.add_media(segment, "image/webp", bytes(range(256)))
    assert store.media(segment) == ("image/webp", bytes(range(256)))


def test_contract_queries_come_in_the_order_of_asking_or_of_ids(store):
    a, b, c = store.add([reply("a"), reply("b"), reply("c")])
    asked = [
        Query("z", "rank", (c, a, b), acquisition="bald", round=1),
        Query("y", "compare", (b, b), levels=7, overlap=3),
        Query("x", "demonstrate", ()),
    ]
    store.ask(asked)
    store.ask([asked[1], replace(asked[2], id="w", round=1)])  # the first is there already
    everything = [*asked, replace(asked[2], id="w", round=1)]
    assert store.queries() == everything
    assert store.queries(round=1) == [everything[0], everything[3]]
    assert store.queries(["w", "z", "z"]) == [everything[3], everything[0], everything[0]]
    assert store.queries(["w", "y"], round=0) == [everything[1]]
    with pytest.raises(InputError, match="'y' is asked already with another content"):
        store.ask([replace(asked[1], levels=3)])


def test_contract_what_is_not_there_is_refused_and_named(store):
    ask(store, 1, annotators="a")
    for call in (store.segments, store.provenance, store.truth):
        with pytest.raises(InputError, match="segment 'gone' is not in the store"):
            call(["gone"])
    with pytest.raises(InputError, match="segment 'gone'"):
        store.add_media("gone", "image/png", b"")
    with pytest.raises(InputError, match="segment 'gone'"):
        store.ask([Query("q", "rate", ("gone",))])
    with pytest.raises(InputError, match="query 'gone'"):
        store.queries(["gone"])
    with pytest.raises(InputError, match="query 'gone'"):
        store.answer([vote("gone", "a")])
    with pytest.raises(InputError, match="'stranger' is not registered"):
        store.lease("stranger")
    with pytest.raises(InputError, match="'stranger' is not registered"):
        store.answer([vote("q0", "stranger")])
    assert store.answers() == [] and len(store.queries()) == 1


def test_contract_an_annotator_is_registered_once_under_one_kind(store):
    store.register("ann", "person")
    store.register("ann", "person")
    with pytest.raises(InputError, match="registered as a person, not a teacher"):
        store.register("ann", "teacher")
    with pytest.raises(InputError, match="'robot' is neither"):
        store.register("bob", "robot")


def test_contract_leases_go_out_in_order_and_never_twice_to_one_annotator(store, clock):
    ids = ask(store, 3, overlap=2, annotators="abc")
    first = store.lease("a", limit=2, seconds=10.0)
    assert [lease.query.id for lease in first] == ids[:2]
    assert [lease.until for lease in first] == [1010.0, 1010.0]
    assert [lease.query.id for lease in store.lease("a", limit=5)] == ids[2:]
    assert store.lease("a") == []
    assert [lease.query.id for lease in store.lease("b", limit=5)] == ids
    assert store.lease("c", limit=5) == []  # both slots of each are held
    store.answer([vote("q0", "a")], tokens=[first[0].token])
    clock.now += 1e6  # every lease has run out
    assert [lease.query.id for lease in store.lease("a", limit=5)] == ids[1:]
    assert [lease.query.id for lease in store.lease("c", limit=5)] == ids
    assert store.lease("b") == [store.queries(["q1"])[0]][:0]


def served(store: Store, *visits: Visit) -> list[Served]:
    """Several at once, none of them a stranger."""
    found = [each for each in store.serve(visits) if isinstance(each, Served)]
    assert len(found) == len(visits)
    return found


def dealt(store: Store, *wants: tuple[str, int]) -> list[list[Lease]]:
    """Leases of several at once."""
    return [each.leases for each in served(store, *(Visit(name, limit=limit) for name, limit in wants))]


def test_contract_many_who_lease_at_once_get_what_they_would_one_after_another(store, clock):
    ask(store, 6, overlap=2, annotators="abcd")
    store.lease("a", limit=2)
    found = dealt(store, ("a", 2), ("b", 3), ("c", 9), ("b", 1), ("d", 0))
    assert [[lease.query.id for lease in leases] for leases in found] == [
        ["q2", "q3"],
        ["q0", "q1", "q2"],
        ["q3", "q4", "q5"],
        ["q4"],
        [],
    ]
    assert [lease.query.id for lease in dealt(store, ("d", 9))[0]] == ["q5"]
    clock.now += 301
    assert len(dealt(store, ("d", 9))[0]) == 6


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15)
@given(
    overlap=st.integers(1, 3),
    before=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 7), st.booleans()), max_size=12),
    wants=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), min_size=1, max_size=6),
)
def test_property_leases_together_are_those_one_after_another(overlap, before, wants):
    """From any state: two stores with the same past, one asked at once and one in turns, deal the same questions."""
    both = []
    for together in (True, False):
        store = Store("sqlite://")
        ask(store, 8, overlap, "abcd")
        for annotator, query, answers in before:
            with contextlib.suppress(InputError):
                if answers:
                    store.answer([vote(f"q{query}", annotator)])
                else:
                    store.lease(annotator)
        found = dealt(store, *wants) if together else [store.lease(name, limit=limit) for name, limit in wants]
        both.append([[lease.query.id for lease in leases] for leases in found])
        store.close()
    assert both[0] == both[1]


def test_contract_whoever_has_answered_the_first_questions_is_served_from_behind_them(store):
    ask(store, 30, overlap=2, annotators="ab")
    for query in range(20):
        store.answer([vote(f"q{query}", "a")])
    ((first,), (second,)) = dealt(store, ("a", 1), ("b", 1))
    assert (first.query.id, second.query.id) == ("q20", "q0")


def test_contract_of_answers_sent_together_each_has_its_own_fate(store):
    ask(store, 3, annotators="ab")
    sent = [
        vote("q0", "a"),
        vote("q0", "b"),
        vote("nowhere", "a"),
        vote("q1", "b"),
        vote("q0", "a"),
        vote("q2", "a", 9),
    ]
    (told,) = served(store, Visit("a", sent, ["t"] * len(sent)))
    found = told.fates
    assert (
        told.leases == []
        and isinstance(found[1], TooLate)
        and isinstance(found[2], InputError)
        and isinstance(found[5], InputError)
    )
    assert found[0] == found[4] and [answer.seq for answer in store.answers()] == [found[0], found[3]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=15)
@given(
    overlap=st.integers(1, 2),
    visits=st.lists(
        st.tuples(st.sampled_from("abcd"), st.lists(st.integers(0, 6), max_size=3), st.integers(0, 2), st.booleans()),
        min_size=1,
        max_size=6,
    ),
)
def test_invariance_to_answer_and_lease_at_once_is_to_answer_and_then_to_lease(overlap, visits):
    """Each answer alone, then what is given back, then each lease alone: the same fates and the same questions."""
    once, apart = Store("sqlite://"), Store("sqlite://")
    for each in (once, apart):
        ask(each, 6, overlap, "abcd")  # the seventh was never asked
    sent = [
        Visit(who, [vote(f"q{query}", who, id=f"{i}-{place}") for place, query in enumerate(queries)],
              ["t"] * len(queries), limit, afresh)
        for i, (who, queries, limit, afresh) in enumerate(visits)
    ]  # fmt: skip
    found = served(once, *sent)
    fates = [told(apart, answer) for visit in sent for answer in visit.answers]
    for visit in sent:
        if visit.afresh:
            apart.release(visit.annotator)
    leases = [apart.lease(visit.annotator, limit=visit.limit) for visit in sent]
    assert [plain(fate) for each in found for fate in each.fates] == [plain(fate) for fate in fates]
    assert [[it.query.id for it in each.leases] for each in found] == [[it.query.id for it in each] for each in leases]
    assert [(it.id, it.seq) for it in once.answers()] == [(it.id, it.seq) for it in apart.answers()]
    once.close(), apart.close()


def told(store: Store, answer: Answer) -> int | InputError:
    """One answer's fate where it comes alone."""
    try:
        return store.answer([answer], tokens=["t"])[0]
    except InputError as refused:
        return refused


def plain(fate: int | InputError) -> object:
    return (type(fate), str(fate))


def test_invariance_to_how_many_queries_are_kept_in_memory(store, clock):
    """A question is what it was asked as, read again or not; that one is not there is not remembered."""
    ids = ask(store, 5, annotators="a")
    forgetful = Asked(most=1)
    with store._read() as connection:
        for wanted in (ids[:2], ["q9"], ids[1:4], ids):
            read = forgetful.of(connection, wanted)
            assert read == store.asked(wanted) == {query.id: query for query in store.queries() if query.id in wanted}
    store.ask([replace(store.queries(["q0"])[0], id="q9")])
    assert store.asked(["q9", "q0"]).keys() == {"q0", "q9"}


def test_contract_what_is_given_back_goes_out_again_in_the_same_visit(store):
    ask(store, 3, annotators="a")
    first, second = store.lease("a", limit=2)
    sent = vote(second.query.id, "a")
    (told,) = served(store, Visit("a", [sent], [second.token], limit=2, afresh=True))
    assert told.fates == [1] and [lease.query.id for lease in told.leases] == [first.query.id, "q2"]


def test_contract_a_stranger_keeps_nobody_out(store):
    ask(store, 2, annotators="a")
    stranger, known = store.serve([Visit("x", [vote("q0", "x")], ["t"], limit=1), Visit("a", limit=1)])
    assert isinstance(stranger, InputError) and "'x' is not registered" in str(stranger)
    assert [lease.query.id for lease in known.leases] == ["q0"] and store.answers() == []


def test_contract_a_lease_that_ran_out_gives_its_slot_away(store, clock):
    ask(store, 2, annotators="ab")
    late, later = store.lease("a", limit=2, seconds=10.0)
    clock.now += 11
    (taken,) = store.lease("b")
    assert taken.query == late.query
    with pytest.raises(TooLate, match="'q0'"):
        store.answer([vote("q0", "a")], tokens=[late.token])
    assert store.answer([vote("q1", "a")], tokens=[later.token]) == [1]  # nobody took that one
    assert store.answer([vote("q0", "b")], tokens=[taken.token]) == [2]
    with pytest.raises(TooLate, match="'q0'"):
        store.answer([vote("q0", "a")])


def test_contract_leases_can_be_given_back(store):
    ids = ask(store, 3, annotators="ab")
    assert len(store.lease("a", limit=3)) == 3
    store.release("a", ids[:1])
    assert [lease.query.id for lease in store.lease("b", limit=3)] == ids[:1]
    store.release("a")
    assert [lease.query.id for lease in store.lease("a", limit=3)] == ids[1:]


def test_contract_a_lease_keeps_others_out_but_is_no_condition(store):
    ask(store, 2, annotators="ab")
    (held,) = store.lease("a")
    with pytest.raises(TooLate):
        store.answer([vote("q0", "b")])
    with pytest.raises(InputError, match="leases query 'q0' to another"):
        store.answer([vote("q0", "b")], tokens=[held.token])
    assert store.answer([vote("q1", "b"), vote("q0", "a")]) == [1, 2]


def test_contract_answers_of_every_kind_come_back_as_they_were_given(store):
    a, b = store.add([reply("a"), reply("b")])
    store.register("ann", "person")
    asked = {
        Query("compare", "compare", (a, b), levels=7): Side(6, 7),
        Query("rank", "rank", (a, b)): Order((1, 0)),
        Query("rate", "rate", (a,), levels=11): Score(10, 11),
        Query("approve", "approve", (a,)): Verdict(False),
        Query("demonstrate", "demonstrate", ()): Given(b),
        Query("correct", "correct", (a,)): Given(b),
        Query("skip", "compare", (a, b)): Skip("too short"),
    }
    store.ask(list(asked))
    answers = [
        Answer(
            f"id {query.id}",
            query.id,
            "ann",
            value,
            shown=(1, 0)[: len(query.segments)],
            seconds=1.25,
            text="因为 ♞",
            marks=(0, 17),
        )
        for query, value in asked.items()
        if query.kind not in ("rate", "approve", "correct")
    ]
    answers += [
        Answer(query.id, query.id, "ann", value)
        for query, value in asked.items()
        if query.kind in ("rate", "approve", "correct")
    ]
    seqs = store.answer(answers)
    assert seqs == list(range(1, 8))
    assert store.answers() == [replace(answer, seq=seq) for answer, seq in zip(answers, seqs, strict=True)]
    assert [answer.seq for answer in store.answers(2, upto=5)] == [3, 4, 5]
    assert store.answers(7) == [] and store.waiting() == 0


def test_contract_a_repeated_delivery_returns_its_old_seq(store):
    ask(store, 3, annotators="ab")
    assert store.answer([vote("q0", "a"), vote("q1", "a")]) == [1, 2]
    again = [vote("q1", "a"), vote("q2", "a"), vote("q0", "a"), vote("q2", "a")]
    assert store.answer(again) == [2, 3, 1, 3]
    assert [answer.seq for answer in store.answers()] == [1, 2, 3]
    with pytest.raises(InputError, match="'a-q0' is stored with another content"):
        store.answer([vote("q0", "a", level=0)])


def test_contract_where_one_answer_is_refused_none_is_stored(store):
    ask(store, 2, annotators="ab")
    store.answer([vote("q1", "b")])
    with pytest.raises(TooLate, match="'a-q1'"):
        store.answer([vote("q0", "a"), vote("q1", "a")])
    assert [answer.id for answer in store.answers()] == ["b-q1"]
    assert store.waiting() == 1
    assert store.answer([vote("q0", "a")]) == [2]  # seqs have no holes


def test_contract_an_undo_supersedes_and_the_first_answer_stays(store):
    ask(store, 1, overlap=2, annotators="abc")
    store.answer([vote("q0", "a", 0), vote("q0", "b", 0)])
    with pytest.raises(InputError, match="'a' has answered query 'q0' already; supersede"):
        store.answer([vote("q0", "a", 1, id="more")])
    undo = vote("q0", "a", 1, id="undo", supersedes="a-q0")
    redo = vote("q0", "a", 0, id="redo", supersedes="undo")
    assert store.answer([undo, redo]) == [3, 4]  # though the query has all its answers
    assert store.answer([undo]) == [3]
    everything = store.answers()
    assert [answer.id for answer in everything] == ["a-q0", "b-q0", "undo", "redo"]
    assert [answer.id for answer in current(everything)] == ["b-q0", "redo"]
    for wrong, why in [
        (vote("q0", "a", id="x", supersedes="undo"), "superseded already"),
        (vote("q0", "c", id="x", supersedes="redo"), "no answer of 'c'"),
        (vote("q0", "a", id="x", supersedes="gone"), "no answer of 'a'"),
    ]:
        with pytest.raises(InputError, match=why):
            store.answer([wrong])
    with pytest.raises(InputError, match="'redo' is superseded already"):
        store.answer([vote("q0", "a", id=id, supersedes="redo") for id in "xy"])
    assert store.waiting() == 0 and len(store.answers()) == 4


def test_contract_waiting_counts_queries_short_of_their_overlap(store):
    a, b = store.add([reply("a"), reply("b")])
    for annotator in "ab":
        store.register(annotator, "teacher")
    store.ask([Query("p", "compare", (a, b), overlap=2), Query("q", "compare", (a, b), round=1)])
    assert (store.waiting(), store.waiting(round=0), store.waiting(round=1)) == (2, 1, 1)
    store.answer([vote("p", "a"), vote("q", "a")])
    assert (store.waiting(), store.waiting(round=0), store.waiting(round=1)) == (1, 1, 0)
    store.answer([Answer("s", "p", "b", Skip())])
    assert store.waiting() == 0


def together(*works) -> None:
    """Runs each in a thread of its own, and raises the first failure."""
    failures: list[BaseException] = []

    def guarded(work) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


def label(store: Store, annotator: str) -> None:
    """Leases and answers until nothing is left that this annotator may have."""
    while leases := store.lease(annotator, limit=3):
        store.answer([vote(it.query.id, annotator) for it in leases], tokens=[it.token for it in leases])


def test_contract_many_annotators_at_once_never_label_too_often_and_no_reader_misses_a_seq(url):
    """Three annotators with a store each, three that share one, and a reader that follows the cursor meanwhile."""
    shared, own = Store(url), [Store(url) for _ in "abc"]
    ids = ask(shared, 40, overlap=3, annotators="abcdef")
    working = list("abcdef")
    read: list[Answer] = []

    def work(store: Store, annotator: str) -> None:
        try:
            label(store, annotator)
        finally:
            working.remove(annotator)

    def follow() -> None:
        while True:
            last = not working
            read.extend(shared.answers(read[-1].seq if read else 0))
            if last:
                return

    stores = [*own, shared, shared, shared]
    together(follow, *(partial(work, store, annotator) for store, annotator in zip(stores, "abcdef", strict=True)))
    for annotator in "abcdef":  # what each left because others held it at that moment
        label(shared, annotator)
    rest = shared.answers(len(read))
    for store in [*own, shared]:
        store.close()
    assert [answer.seq for answer in [*read, *rest]] == list(range(1, 121))
    by_query = {id: [answer.annotator for answer in [*read, *rest] if answer.query == id] for id in ids}
    assert all(len(who) == len(set(who)) == 3 for who in by_query.values())


def test_contract_without_leases_too_no_query_gets_more_answers_than_its_overlap(store):
    ids = ask(store, 20, overlap=2, annotators="abcd")
    refused: list[str] = []

    def insist(annotator: str) -> None:
        for id in ids:
            try:
                store.answer([vote(id, annotator)])
            except TooLate:
                refused.append(id)

    together(*(partial(insist, annotator) for annotator in "abcd"))
    assert sorted(answer.query for answer in store.answers()) == sorted(ids * 2)
    assert sorted(refused) == sorted(ids * 2)
