"""How far answers can be trusted. Golden: cases worked by hand; learning: planted faults are found, honest people left
alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from accord.feedback.alerts import Alert, Limits, alerts
from accord.feedback.quality import Quality, quality, quality_of
from accord.feedback.store import Store
from accord.feedback.track import tracks
from accord.feedback.votes import Share, votes
from accord.types import (
    Answer,
    Collected,
    InputError,
    Order,
    Provenance,
    Query,
    Reply,
    Score,
    Side,
    Skip,
    Value,
    Verdict,
)

ASKED = {name: Query(name, "compare", ("a", "b"), 3) for name in ("q0", "q1", "q2", "q3")}
FIRST, TIE, SECOND = Side(2, 3), Side(1, 3), Side(0, 3)


def answer(annotator: str, query: str, value: Value, **more) -> Answer:
    return Answer(f"{annotator}-{query}-{value}", query, annotator, value, **more)


def of(found: Quality, annotator: str):
    (track,) = [track for track in found.annotators if track.annotator == annotator]
    return track


# ------------------------------------------------------------------------------------------------- golden

GIVEN = [
    answer("ann", "q0", FIRST, seconds=2.0),
    answer("ann", "q1", SECOND, seconds=4.0, shown=(1, 0)),
    answer("ann", "q2", TIE, seconds=9.0),
    answer("ann", "q3", Skip(), seconds=1.0),
    answer("bob", "q0", FIRST, shown=(0, 1)),
    answer("bob", "q1", FIRST, shown=(0, 1)),
    answer("bob", "q2", TIE),
    answer("cat", "q0", SECOND),
    answer("cat", "q1", SECOND),
    answer("cat", "q2", FIRST),
]


def test_golden_an_annotator_is_counted_by_hand():
    """Ann preferred what was shown left twice (once the query's second segment), tied once and skipped once."""
    found = quality(ASKED.values(), GIVEN, gold={"q0": FIRST, "q1": FIRST}, refused={GIVEN[0].id})
    ann = of(found, "ann")
    assert (ann.answers, ann.skips, ann.ties, ann.seconds) == (3, 1, 1, 4.0)
    assert ann.left == Share(2, 2) and of(found, "cat").left == Share(1, 3)
    assert ann.accepted == Share(2, 4)
    assert ann.gold == Share(1, 2) and of(found, "bob").gold == Share(2, 2)
    assert ann.labels == {"compare3": {0: 1, 1: 1, 2: 1}}


def test_golden_agreement_is_with_a_clear_majority_of_the_others():
    """On q0 and q2 ann and bob are a majority against cat, on q1 ann and cat against bob; else the others are split."""
    found = quality(ASKED.values(), GIVEN)
    assert of(found, "ann").agreement == Share(0, 0)
    assert of(found, "cat").agreement == Share(0, 2)  # q0 and q2; on q1 ann and bob differ
    assert of(found, "bob").agreement == Share(0, 1)  # q1: ann and cat against bob
    assert of(found, "ann").expected == pytest.approx(0.0)


def test_golden_percent_agreement_and_alpha_of_the_same_answers():
    """Each of three queries has three answers, of which two agree: one pair of three."""
    (found,) = quality(ASKED.values(), GIVEN).agreement
    assert (found.scale, found.queries) == ("compare3", 3)
    assert found.percent.value == pytest.approx(1 / 3)
    assert found.percent.low <= found.percent.value <= found.percent.high
    assert found.kappa.value < 0.1 and found.alpha.value < 0.1


def test_golden_cohen_where_there_are_two_annotators():
    """Both say yes to 20, both no to 15, and differ on 5 and 10: kappa .4 (p_o .7, p_e .5)."""
    queries = [Query(f"q{i}", "approve", ("a",)) for i in range(50)]
    said = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [20, 5, 10, 15], axis=0)
    given = [answer("xy"[k], f"q{i}", Verdict(bool(said[i, k]))) for i in range(50) for k in range(2)]
    (found,) = quality(queries, given).agreement
    assert found.kappa.value == pytest.approx(0.4) and found.kappa.low < 0.4 < found.kappa.high
    assert found.percent.value == pytest.approx(0.7)
    assert found.ceiling.value == pytest.approx((1 + math.sqrt(2 * 0.7 - 1)) / 2)


def test_golden_the_ceiling_of_a_comparison_leaves_ties_out():
    """Answers first, first, tie and second, tie: of one pair of decided answers both agree."""
    given = [answer("ann", "q0", FIRST), answer("bob", "q0", FIRST), answer("cat", "q0", TIE)]
    given += [answer("ann", "q1", SECOND), answer("bob", "q1", TIE)]
    (found,) = quality(ASKED.values(), given).agreement
    assert found.ceiling.value == pytest.approx(1.0) and found.percent.value == pytest.approx(1 / 4)


def test_golden_a_repeat_counts_as_alike_by_what_is_preferred():
    """The later query has the segments the other way round; strength does not matter, a rating must be the same."""
    queries = [
        Query("q", "compare", ("a", "b"), 7), Query("again", "compare", ("b", "a"), 7),
        Query("r", "rate", ("a",), 5), Query("r2", "rate", ("a",), 5),
    ]  # fmt: skip
    repeats = {"again": "q", "r2": "r", "never": "q"}
    given = [answer("ann", "q", Side(6, 7)), answer("ann", "again", Side(1, 7))]
    given += [answer("bob", "q", Side(6, 7)), answer("bob", "again", Side(5, 7))]
    given += [answer("bob", "r", Score(3, 5)), answer("bob", "r2", Score(3, 5))]
    given += [answer("cat", "r", Score(3, 5)), answer("cat", "r2", Score(2, 5)), answer("cat", "q", Skip())]
    found = quality(queries, given, repeats=repeats)
    assert [of(found, name).consistency for name in ("ann", "bob", "cat")] == [Share(1, 1), Share(1, 2), Share(0, 1)]


def test_golden_queries_say_themselves_what_is_known_and_what_is_repeated():
    queries = [
        Query("q", "compare", ("a", "b"), 3, gold=FIRST),
        Query("again", "compare", ("b", "a"), 3, repeats="q"),
    ]
    found = quality(queries, [answer("ann", "q", FIRST), answer("ann", "again", FIRST)])
    assert of(found, "ann").gold == Share(1, 1) and of(found, "ann").consistency == Share(0, 1)


def test_golden_a_changed_mind_counts_once():
    first = answer("ann", "q0", FIRST)
    later = Answer("later", "q0", "ann", SECOND, supersedes=first.id)
    assert of(quality(ASKED.values(), [first, later]), "ann").labels == {"compare3": {0: 1}}


def test_golden_the_more_evenly_split_query_is_looked_at_first():
    """Two against two, three against one, all for one: only split queries are listed, the even one first."""
    split = {"q0": [FIRST, FIRST, SECOND, SECOND], "q1": [FIRST] * 3 + [SECOND], "q2": [FIRST] * 4}
    given = [answer(f"w{k}", name, value) for name, values in split.items() for k, value in enumerate(values)]
    found = quality(ASKED.values(), given)
    assert [each.query for each in found.disagreements] == ["q0", "q1"]
    assert found.disagreements[0].split == {0: 2, 2: 2}
    assert found.disagreements[0].entropy == pytest.approx(math.log(2)) and found.disagreements[1].most == 0.75
    assert found.queue(sure=0.9) == ("q0", "q1") and found.queue(sure=0.6) == ("q0",)


def test_golden_nothing_and_orders_say_nothing():
    empty = quality([], [])
    assert empty == Quality((), (), (), ())
    found = quality([Query("o", "rank", ("a", "b"))], [answer("ann", "o", Order((1, 0)))])
    assert found.agreement == () and of(found, "ann").answers == 1 and math.isnan(of(found, "ann").agreement.value)


def test_golden_fisher_on_the_newest_answers():
    """All of 60 accepted, then 5 of 10: P(at most 5 of 10 | 65 of 70) is 1.7e-5 or so; 9 of 10 are no alarm."""
    queries = [Query(f"q{i}", "compare", ("a", "b"), 3) for i in range(70)]

    def found(skips: int) -> list[Alert]:
        given = [
            answer("ann", f"q{i}", Skip() if i >= 70 - skips else (FIRST, SECOND)[i % 2], seq=i) for i in range(70)
        ]
        return [
            a for a in quality(queries, given, limits=Limits(window=10, seconds=0)).alerts if a.reason == "accepted"
        ]

    (alert,) = found(5)
    exact = math.comb(10, 5) / math.comb(70, 5)  # all five skips among the last ten
    assert (alert.annotator, alert.value, alert.limit) == (None, 0.5, 1.0)
    assert alert.p == pytest.approx(exact) and found(1) == []


def test_contract_limits_are_refused_in_a_sentence():
    for wrong in ({"level": 0.0}, {"gold": 1.5}, {"window": 0}, {"seconds": -1.0}):
        with pytest.raises(InputError, match="limit"):
            Limits(**wrong)


def test_contract_the_same_of_a_store():
    store = Store("sqlite://")
    origins = [Provenance("t", 0, 0, 0, i, 0) for i in range(2)]
    ids = store.add([Collected(Reply("p", name), origin) for name, origin in zip("ab", origins, strict=True)])
    store.ask([Query("q", "compare", tuple(ids), 3, overlap=2)])
    for name in ("ann", "bob"):
        store.register(name, "person")
    store.answer([answer("ann", "q", FIRST, seconds=3.0), answer("bob", "q", SECOND, seconds=3.0)])
    assert [track.annotator for track in quality_of(store).annotators] == ["ann", "bob"]
    assert quality_of(store) == quality(store.queries(), store.answers())
    store.close()


# ----------------------------------------------------------------------------------------------- learning


def crowd(seed: int, answers: int = 120, people: int = 6, **planted: str) -> tuple[list[Query], list[Answer]]:
    """Everybody judges every query; right answers are given by 85 of 100, and sides are drawn for each."""
    rng = np.random.default_rng(seed)
    queries = [Query(f"q{i}", "compare", ("a", "b"), 3) for i in range(answers)]
    truth = rng.choice([0, 1, 2], answers, p=[0.42, 0.16, 0.42])
    names = [f"p{k}" for k in range(people)] + list(planted)
    given = []
    for i, query in enumerate(queries):
        for name in names:
            shown = (0, 1) if rng.random() < 0.5 else (1, 0)
            right = truth[i] if rng.random() < 0.85 else int(rng.integers(0, 3))
            level = {
                "spammer": int(rng.integers(0, 3)),
                "left": 2 if shown == (0, 1) else 0,
                "constant": 2,
            }.get(planted.get(name, ""), right)
            seconds = 0.4 if planted.get(name) == "hasty" else float(rng.lognormal(1.6, 0.5))
            given.append(answer(name, query.id, Side(int(level), 3), shown=shown, seconds=seconds, seq=len(given)))
    return queries, given


@pytest.mark.parametrize(
    ("kind", "reason"), [("spammer", "disagrees"), ("left", "one_sided"), ("hasty", "fast"), ("constant", "constant")]
)
def test_learning_a_planted_fault_is_found_and_nobody_else_is_named(kind: str, reason: str):
    for seed in range(3):
        found = quality(*crowd(seed, bad=kind))
        assert reason in {alert.reason for alert in found.alerts if alert.annotator == "bad"}
        assert {alert.annotator for alert in found.alerts} == {"bad"}


def test_learning_wrong_answers_to_gold_and_repeats_are_found():
    """A guesser is right on a third of 60 known queries, and says the same of a third of 60 repeats."""
    queries, given = crowd(0, bad="spammer")
    gold = {f"q{i}": next(a.value for a in given if a.annotator == "p0" and a.query == f"q{i}") for i in range(60)}
    repeats = {f"q{i}": f"q{i - 60}" for i in range(60, 120)}
    found = quality(queries, given, gold=gold, repeats=repeats, limits=Limits(consistency=0.55))
    assert {alert.reason for alert in found.alerts if alert.annotator == "bad"} >= {"gold", "disagrees"}


def test_learning_a_spammers_voice_leaves_less_doubt_than_a_careful_ones():
    """Of queries with one voice against six, those with the spammer's are the surer."""
    queries, given = crowd(0, bad="spammer")
    entropy: dict[bool, list[float]] = {True: [], False: []}
    for each in quality(queries, given).disagreements:
        said = {a.annotator: a.value.level for a in given if a.query == each.query and isinstance(a.value, Side)}
        if sorted(each.split.values()) == [1, 6]:
            (lone,) = [name for name, level in said.items() if each.split[level] == 1]
            entropy[lone == "bad"].append(each.entropy)
    assert np.mean(entropy[True]) < np.mean(entropy[False])


def test_learning_honest_people_raise_no_more_alarms_than_the_level_says():
    """A hundred crowds without a fault: each of seven kinds of alarm may err at a level of .01."""
    raised = 0
    for seed in range(100):
        queries, given = crowd(seed, answers=40)
        known = {query.id: query for query in queries}
        found = tracks(known, given, votes(known, given), {}, {}, ())
        raised += bool(alerts(found, given, Limits(), ()))
    assert raised <= 3
