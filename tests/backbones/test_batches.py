"""Property: every pair is in one micro-batch, none of which is larger than the budget unless one pair is."""

from hypothesis import given
from hypothesis import strategies as st

from accord.backbones.batches import micro_batches

PAIRS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=20)


@given(PAIRS, st.integers(1, 60))
def test_property_every_token_is_foretold_once_within_the_budget(sizes, budget):
    prompts = [[k + 1] * asked for k, (asked, _) in enumerate(sizes)]
    responses = [[100 + k, *range(told - 1)] for k, (_, told) in enumerate(sizes)]
    seen = []
    for batch in micro_batches(prompts, responses, budget=budget):
        assert len(batch.fork.there) <= budget or len(batch.fork.stem) == 1
        line, position = batch.tokens.tolist(), batch.position.tolist()
        for place, target, reply, time in zip(
            *(x.tolist() for x in (batch.place, batch.target, batch.reply, batch.time)), strict=True
        ):
            assert target == responses[reply][time]
            assert line[place] == [*prompts[reply], *responses[reply]][len(prompts[reply]) + time - 1]
            assert position[place] == len(prompts[reply]) + time - 1
            seen.append((reply, time))
    assert sorted(seen) == [(k, t) for k, (_, told) in enumerate(sizes) for t in range(told)]
