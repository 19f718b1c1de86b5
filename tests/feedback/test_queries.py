"""Golden, property and invariance tests of what is asked next."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.feedback.queries import Candidates, QueryConfig, compose, d_optimal_batch, k_center
from accord.functional.uncertainty import bald, disagreement, information
from accord.types import InputError, NotFinite, Query


def candidates(count: int = 12, members: int = 3, seed: int = 0, **more) -> Candidates:
    rng = np.random.default_rng(seed)
    return Candidates(
        tuple(f"s{i}" for i in range(count)),
        rng.normal(size=(members, count)) * 2,
        more.pop("recency", np.arange(count)),
        more.pop("features", rng.normal(size=(count, 4))),
        **more,
    )


def ask(given_: Candidates, count: int, config: QueryConfig, seed: int = 0, **more) -> list[Query]:
    return compose(given_, count, config, np.random.default_rng(seed), **more)


def places(query: Query) -> tuple[int, ...]:
    return tuple(sorted(int(id_[1:]) for id_ in query.segments))


WIDE = {"window": 100, "pool": 1000}


@pytest.mark.parametrize(("rule", "score"), [("disagreement", disagreement), ("bald", bald)])
def test_golden_a_rule_takes_the_pairs_of_highest_score(rule: str, score):
    given_ = candidates()
    pairs = list(combinations(range(12), 2))
    scores = {pair: score(given_.values[:, [pair[0]]] - given_.values[:, [pair[1]]])[0] for pair in pairs}
    queries = ask(given_, 8, QueryConfig(rule=rule, uniform=0.5, diverse=False, **WIDE))
    uniform = {places(query) for query in queries if query.acquisition == "uniform"}
    best = [pair for pair in sorted(pairs, key=lambda pair: -scores[pair]) if pair not in uniform][:4]
    assert {places(query) for query in queries if query.acquisition == rule} == set(best)


def test_golden_the_sure_pair_is_not_asked():
    # Members agree on 0 over 1, and disagree on 2 against 3.
    values = np.array([[5.0, -5.0, 1.0, 0.0], [5.0, -5.0, 0.0, 1.0]])
    given_ = Candidates(("s0", "s1", "s2", "s3"), values, np.zeros(4, int))
    config = QueryConfig(rule="bald", diverse=False, window=1, uniform=0.5)
    for seed in range(20):
        (query,) = [q for q in ask(given_, 2, config, seed) if q.acquisition == "bald"]
        (other,) = [q for q in ask(given_, 2, config, seed) if q.acquisition == "uniform"]
        assert places(query) == (2, 3) or places(other) == (2, 3)


def test_golden_d_optimal_batch_grows_the_determinant_most_at_each_step():
    given_ = candidates(8)
    assert given_.features is not None
    table = np.array(list(combinations(range(8), 2)))
    config = QueryConfig(rule="d_optimal", damping=0.5)
    chosen = d_optimal_batch(given_, table, [(0, 1)], 3, config)
    x = (given_.features - given_.features.mean(0)) / given_.features.std(0)
    probability = 1 / (1 + np.exp(-(given_.values[:, table[:, 0]] - given_.values[:, table[:, 1]])))
    p = probability.mean(0)
    h = 0.5 * np.eye(4) + p[0] * (1 - p[0]) * np.outer(x[0] - x[1], x[0] - x[1])
    for pick in chosen:
        growth = [
            p[q] * (1 - p[q]) * (x[a] - x[b]) @ np.linalg.inv(h) @ (x[a] - x[b]) for q, (a, b) in enumerate(table)
        ]
        order = np.argsort(growth)[::-1]
        assert pick == next(q for q in order if q not in chosen[: chosen.index(pick)])
        a, b = table[pick]
        h += p[pick] * (1 - p[pick]) * np.outer(x[a] - x[b], x[a] - x[b])


def test_golden_d_optimal_batch_tells_more_than_the_top_scores():
    given_ = candidates(12)
    assert given_.features is not None
    table = np.array(list(combinations(range(12), 2)))
    found = []
    for diverse in (True, False):
        rows = d_optimal_batch(given_, table, [], 5, QueryConfig(rule="d_optimal", diverse=diverse))
        x = (given_.features / given_.features.std(0))[table[rows]]
        z = given_.values[:, table[rows, 0]] - given_.values[:, table[rows, 1]]
        p = (1 / (1 + np.exp(-z))).mean(0)
        found.append(np.linalg.slogdet(information(x[:, 0] - x[:, 1], np.log(p / (1 - p)), 1.0))[1])
    assert found[0] > found[1]


def test_golden_k_center_takes_the_farthest():
    points = np.array([[0.0], [0.1], [10.0], [4.0], [10.0]])
    assert k_center(points, 4) == [0, 2, 3, 1]
    assert k_center(points, 9) == [0, 2, 3, 1, 4]


def test_golden_diversity_spreads_a_batch_over_clusters():
    # Three clusters of segments; the members disagree most inside the first.
    features = np.repeat(np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), 6, axis=0)
    features += np.random.default_rng(1).normal(size=features.shape) * 0.01
    values = np.random.default_rng(2).normal(size=(4, 18)) * np.repeat([3.0, 1.0, 1.0], 6)
    context = np.repeat([0, 1, 2], 6)
    spread = {}
    for diverse in (True, False):
        given_ = Candidates(tuple(f"s{i}" for i in range(18)), values, np.zeros(18, int), features, context)
        config = QueryConfig(uniform=0.15, diverse=diverse, pool=100)
        queries = [q for q in ask(given_, 8, config) if q.acquisition != "uniform"]
        spread[diverse] = len({places(q)[0] // 6 for q in queries})
    assert spread[True] == 3 and spread[True] > spread[False]


def test_golden_only_recent_segments_are_chosen_by_rule():
    given_ = candidates(20, recency=np.repeat(np.arange(4), 5))
    for rule in ("recent", "disagreement", "bald", "d_optimal"):
        queries = ask(given_, 10, QueryConfig(rule=rule, window=2))
        chosen = [places(q) for q in queries if q.acquisition == rule]
        assert len(chosen) == 5 and all(min(p) >= 10 for p in chosen)
    assert min(min(places(q)) for q in ask(given_, 40, QueryConfig()) if q.acquisition == "uniform") < 10


def test_golden_without_a_window_a_rule_looks_at_all_and_recent_at_ten_episodes():
    given_ = candidates(40, recency=np.repeat(np.arange(20), 2))
    for rule, first in (("recent", 20), ("disagreement", 0)):
        config = QueryConfig(rule=rule, uniform=0.15, diverse=False)
        chosen = [min(places(q)) for seed in range(20) for q in ask(given_, 20, config, seed) if q.acquisition == rule]
        assert (min(chosen) >= 20) == (first == 20)


def test_golden_uniform_queries_are_uniform():
    drawn = Counter(places(q) for seed in range(600) for q in ask(candidates(5), 2, QueryConfig(rule="uniform"), seed))
    # 1,200 draws over 10 pairs: sd of a count is about 10.
    assert len(drawn) == 10 and all(80 < n < 160 for n in drawn.values())


def test_golden_both_orders_are_asked():
    queries = ask(candidates(30), 200, QueryConfig(rule="uniform"))
    assert 60 < sum(int(q.segments[0][1:]) < int(q.segments[1][1:]) for q in queries) < 140


@pytest.mark.parametrize("rule", ["uniform", "recent", "disagreement", "bald", "d_optimal"])
@given(
    st.integers(2, 25),
    st.integers(1, 30),
    st.floats(0.15, 1.0),
    st.sampled_from(["compare", "rank", "rate", "approve", "correct"]),
    st.integers(0, 9),
    st.integers(1, 3),
)
def test_property_queries_are_new_different_and_uniform_enough(
    rule: str, segments: int, count: int, share: float, kind: str, seed: int, members: int
):
    given_ = candidates(segments, members, seed, context=np.arange(segments) % 2)
    config = QueryConfig(kind=kind, rule=rule, uniform=share, items=3, window=10)
    first = ask(given_, count, config, seed)
    second = ask(given_, count, config, seed, asked=first, round=1)
    both = [places(query) for query in first + second]
    assert len(set(both)) == len(both)
    assert len({query.id for query in first + second}) == len(both)
    assert sum(query.acquisition == "uniform" for query in first) >= share * len(first) - 1e-9
    for query in first + second:
        assert len(set(query.segments)) == len(query.segments) == config.size
        assert len({place % 2 for place in places(query)}) == 1  # one context


def test_property_all_possible_pairs_can_be_asked():
    queries = ask(candidates(6), 99, QueryConfig())
    assert len({places(query) for query in queries}) == 15


def test_golden_equal_segments_are_one():
    given_ = Candidates(("s0", "s0", "s1"), np.zeros((2, 3)), np.zeros(3, int))
    assert [places(query) for query in ask(given_, 5, QueryConfig())] == [(0, 1)]


def test_golden_without_members_all_are_uniform():
    given_ = Candidates(tuple(f"s{i}" for i in range(300)), np.zeros((0, 300)), np.zeros(300, int))
    queries = ask(given_, 50, QueryConfig(levels=7, overlap=2), round=3)  # 44,850 pairs: drawn by rejection
    assert len({places(query) for query in queries}) == 50
    assert {(q.acquisition, q.levels, q.overlap, q.round) for q in queries} == {("uniform", 7, 2, 3)}


def test_invariance_the_same_generator_asks_the_same():
    for rule in ("uniform", "disagreement", "d_optimal"):
        there, back = (ask(candidates(), 10, QueryConfig(rule=rule), seed=5) for _ in range(2))
        assert there == back
        assert ask(candidates(), 10, QueryConfig(rule=rule), seed=6) != there


def test_golden_bad_input_is_refused():
    for wrong in ({"uniform": 0.1}, {"levels": 5}, {"items": 1}, {"damping": 0.0}, {"kind": "rate", "levels": 12}):
        with pytest.raises(InputError, match=r"feedback\.queries"):
            QueryConfig(**wrong)
    with pytest.raises(InputError, match="needs features"):
        ask(candidates(features=None), 4, QueryConfig(rule="d_optimal", **WIDE))
    with pytest.raises(NotFinite):
        ask(Candidates(("s0", "s1"), np.array([[0.0, np.nan]]), np.zeros(2, int)), 1, QueryConfig())
