"""Fits: rewards and reliabilities are recovered from every kind of answer; scale, shift, folds and files are right."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from accord.rewards.annotators import Layout, log_likelihood, questions
from accord.rewards.asked import asked, score
from accord.rewards.features import Features
from accord.rewards.fit import RewardConfig, fit, problem_of, split
from accord.rewards.fitted import load
from accord.rewards.nets import MLP
from accord.rewards.posterior import maximise
from accord.rewards.training import chosen, gradient, scores
from accord.types import (
    Approvals,
    Comparisons,
    Demonstrations,
    Evidence,
    EvidencePart,
    InputError,
    NotFinite,
    Rankings,
    Ratings,
    Reply,
    StepBatch,
    Steps,
)

T, SKILLS = 12, (0.97, 0.9, 0.75, 0.4)
QUICK = RewardConfig(members=3, width=16, epochs=6, patience=3, precision="float32")


def world(rng: np.random.Generator, count: int, ends: bool = False) -> tuple[list[Steps], np.ndarray]:
    """Segments around a place of their own, and the true reward of each step."""
    segments, truth = [], []
    for _ in range(count):
        at = rng.normal(size=3) + 0.4 * rng.normal(size=(T, 3))
        action = rng.normal(size=(T, 1))
        valid = np.arange(T) < (rng.integers(2, T + 1) if ends else T)
        segments.append(Steps(at.astype(np.float32), action.astype(np.float32), valid, bool(ends)))
        truth.append((np.sin(1.5 * at[:, 0]) + 0.5 * at[:, 1]) * valid)
    return segments, np.array(truth)


def answers(kind: str, rng: np.random.Generator, worth: np.ndarray, count: int) -> EvidencePart:
    """What four annotators of different skill say of segments worth this much."""
    who = rng.integers(0, 4, count)
    attends = rng.random(count) < np.array(SKILLS)[who]
    places = {"rank": 4, "demonstrate": 5, "rate": 1, "approve": 1}.get(kind, 2)
    items = np.stack([rng.permutation(len(worth))[:places] for _ in range(count)])
    noisy = worth[items] + np.where(kind in ("rank", "demonstrate"), rng.gumbel(size=items.shape), 0.0)
    order = np.where(attends[:, None], np.argsort(-noisy, 1), rng.permuted(np.argsort(noisy, 1), axis=1))
    best_first = np.take_along_axis(items, order, 1)
    logistic = rng.logistic(size=(count, 1))
    if kind == "rank":
        return Rankings(best_first, who)
    if kind == "demonstrate":
        return Demonstrations(best_first[:, 0], best_first[:, 1:], np.zeros((count, 4)), who)
    if kind == "rate":
        level = (noisy + logistic > np.array([-3.0, -1.0, 1.0, 3.0])).sum(1)
        return Ratings(items[:, 0], np.where(attends, level, rng.integers(0, 5, count)), who, 5)
    if kind == "approve":
        return Approvals(items[:, 0], np.where(attends, (noisy + logistic)[:, 0] > 0, rng.random(count) < 0.5), who)
    edges = {2: [0.0], 3: [-1.0, 1.0], 7: [-4.0, -2.0, -0.7, 0.7, 2.0, 4.0]}[int(kind[-1])]
    level = (noisy[:, :1] - noisy[:, 1:] + logistic > np.array(edges)).sum(1)
    level = np.where(attends, level, rng.integers(0, len(edges) + 1, count))
    return Comparisons(
        items[:, 0], items[:, 1], level, who, len(edges) + 1, "correct" if "correct" in kind else "compare"
    )


def evidence(*kinds: str, seed: int = 0, count: int = 500, ends: bool = False) -> Evidence:
    rng = np.random.default_rng(seed)
    segments, truth = world(rng, 200, ends)
    worth = truth.sum(1)
    worth = 3.0 * (worth - worth.mean()) / worth.std()
    parts = tuple(answers(kind, rng, worth, count) for kind in kinds)
    names = ("ann", "bob", "cat", "dan")
    return Evidence(segments, np.arange(200), names, parts, tuple(np.ones(count, bool) for _ in parts))


def batch_of(segments: list[Steps]) -> StepBatch:
    return StepBatch(
        torch.from_numpy(np.stack([s.observation for s in segments])),
        torch.from_numpy(np.stack([s.action for s in segments])),
        torch.from_numpy(np.stack([s.valid for s in segments])),
    )


KINDS = ["compare2", "compare3", "compare7", "correct2", "rank", "rate", "approve", "demonstrate"]


@pytest.mark.parametrize("kind", KINDS)
def test_learning_each_kind_alone_recovers_the_order_of_unseen_segments(kind):
    found = fit(evidence(kind, count=300), RewardConfig(kind="kernel"), discrete=False, terminates=False, seed=0)
    segments, truth = world(np.random.default_rng(99), 200)
    floor = (
        0.75 if kind in ("approve", "compare2", "correct2") else 0.85
    )  # a binary answer by half-attentive people says least
    assert spearmanr(found.value(segments).mean(0), truth.sum(1))[0] > floor


def test_golden_a_correction_is_a_comparison_without_sides():
    """`(1 - eps) sigmoid(beta (G_given - G_corrected)) + eps / 2`, and no parameter of a side or of an answer."""
    given, corrected = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 1.0]])
    part = questions(Comparisons(np.arange(2), np.arange(2) + 2, np.ones(2, int), np.arange(2), 2, "correct"))
    layout = Layout((part,), 2)
    assert {name for name, _, _ in layout.entries} == {f"correct2/{name}" for name in ("slope", "skill_mean", "skill")}
    flat = torch.tensor([[0.3, -0.3, 1.0, 0.2, -0.4]])
    found = log_likelihood(part, layout.views(flat), torch.stack([given, corrected], -1), torch.arange(2).unsqueeze(0))
    skill, slope = torch.sigmoid(torch.tensor([1.2, 0.6])), torch.exp(torch.tensor([0.3, -0.3]))
    likely = skill * torch.sigmoid(slope * (given - corrected)) + (1.0 - skill) / 2.0
    assert torch.allclose(found, likely.log())


def test_learning_an_mlp_beats_a_linear_reward_where_truth_is_curved():
    segments, truth = world(np.random.default_rng(98), 200)
    rho = {}
    for kind in ("linear", "mlp"):
        found = fit(
            evidence("compare7"), RewardConfig(kind=kind, members=3, epochs=8), discrete=False, terminates=False, seed=0
        )
        rho[kind] = spearmanr(found.value(segments).mean(0), truth.sum(1))[0]
    assert rho["mlp"] > 0.9 and rho["mlp"] > rho["linear"] + 0.02


def test_learning_kinds_together_know_more_than_either():
    segments, truth = world(np.random.default_rng(97), 200)
    config, rho = RewardConfig(kind="linear"), np.zeros(3)
    for seed in range(2):
        for row, kinds in enumerate((("rate", "compare3"), ("rate",), ("compare3",))):
            found = fit(evidence(*kinds, seed=seed, count=60), config, discrete=False, terminates=False, seed=0)
            rho[row] += spearmanr(found.value(segments).mean(0), truth.sum(1))[0] / 2
    assert rho[0] > max(rho[1:]) - 0.005


def test_learning_the_careless_annotator_is_found_out():
    found = fit(evidence("compare7", count=500), RewardConfig(kind="kernel"), discrete=False, terminates=False, seed=1)
    skill = {row.annotator: row for row in found.report.annotators}
    assert skill["dan"].skill < skill["cat"].skill < skill["ann"].skill
    assert skill["dan"].skill_high < skill["ann"].skill_low
    assert all(row.skill_low < row.skill < row.skill_high for row in skill.values())


def test_learning_exact_intervals_cover_the_truth():
    rng = np.random.default_rng(2)
    segments, _ = world(rng, 60)
    worth = 8.0 * np.array([s.observation.mean(0) @ [0.7, -0.5, 0.2] for s in segments])
    names = ("ann", "bob", "cat", "dan")
    seen = Evidence(segments, np.arange(60), names, (answers("compare7", rng, worth, 200),), ())
    config = RewardConfig(kind="linear", intervals="exact")
    rows = fit(seen, config, discrete=False, terminates=False, seed=0).report.annotators
    assert sum(row.skill_low <= skill <= row.skill_high for row, skill in zip(rows, SKILLS, strict=True)) >= 3
    assert all(row.skill_high - row.skill_low < 0.6 for row in rows)


def test_property_an_annotator_without_answers_gets_the_pool_and_a_wide_interval():
    seen = evidence("compare2", count=200)
    extra = Evidence(seen.segments, seen.groups, (*seen.annotators, "new"), seen.parts, seen.uniform)
    rows = fit(extra, RewardConfig(kind="kernel"), discrete=False, terminates=False, seed=0).report.annotators
    known, new = rows[:4], rows[4]
    assert new.answers == 0
    assert min(row.skill for row in known) <= new.skill <= max(row.skill for row in known)
    assert new.skill_high - new.skill_low > max(row.skill_high - row.skill_low for row in known[:2])


def test_learning_a_liking_for_one_side_is_told_from_the_reward():
    rng = np.random.default_rng(5)
    segments, truth = world(rng, 200)
    worth, who = truth.sum(1), np.repeat([0, 1], 300)
    first, second = rng.integers(0, 200, 600), rng.integers(0, 200, 600)
    logit = worth[first] - worth[second] + 3.0 * who
    level = (logit + rng.logistic(size=600) > 0).astype(int)
    seen = Evidence(segments, np.arange(200), ("fair", "left"), (Comparisons(first, second, level, who, 2),), ())
    fair, left = fit(seen, RewardConfig(kind="kernel"), discrete=False, terminates=False, seed=0).report.annotators
    assert abs(fair.side) < 0.5 < left.side


@pytest.mark.parametrize("kind", ["linear", "kernel", "mlp", "transformer", "module:tests.rewards.test_nets.Classical"])
def test_invariance_same_seed_same_reward_and_a_saved_one_is_the_same(kind, tmp_path):
    from dataclasses import replace

    from tests.rewards.test_nets import Classical

    seen = evidence("compare2", "rate", count=30)
    config = replace(QUICK, kind=kind, epochs=1, members=2)
    first, second = (fit(seen, config, discrete=False, terminates=False, seed=3, version=8) for _ in range(2))
    first.save(tmp_path)
    again = load(tmp_path, module=Classical if kind.startswith("module") else None)
    batch = batch_of(list(seen.segments[:20]))
    assert torch.equal(first(batch).mean, second(batch).mean)
    assert torch.equal(first(batch).mean, again(batch).mean) and torch.equal(first(batch).spread, again(batch).spread)
    assert again.version == 8 and again.report.annotators == first.report.annotators and again.names == first.names
    assert set(first.annotators) == set(again.annotators)
    if kind == "mlp":
        assert fit(seen, config, discrete=False, terminates=False, seed=3, warm=again).version == 9


def test_contract_a_file_names_no_code_to_run(tmp_path):
    from dataclasses import replace

    config = replace(QUICK, kind="module:tests.rewards.test_nets.Classical", epochs=1)
    fit(evidence("compare2", count=40), config, discrete=False, terminates=False, seed=0).save(tmp_path)
    with pytest.raises(InputError, match="Classical"):
        load(tmp_path)
    with pytest.raises(InputError, match="no readable reward"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["kernel", "mlp", "transformer"])
def test_invariance_a_reward_of_the_state_alone_ignores_every_action(kind, tmp_path):
    from dataclasses import replace

    config = replace(QUICK, kind=kind, inputs="state", members=2, epochs=1)
    made = fit(evidence("demonstrate", count=60), config, discrete=False, terminates=False, seed=0)
    made.save(tmp_path)
    segments, _ = world(np.random.default_rng(1), 20)
    others = [replace(segment, action=-3.0 * segment.action) for segment in segments]
    assert made.value(segments).std() > 0.0
    for reward in (made, load(tmp_path)):
        assert np.array_equal(reward.value(segments), reward.value(others))


# ------------------------------------------------------------------------------------------ scale and shift


@pytest.mark.parametrize("kind", ["kernel", "mlp"])
def test_property_without_an_end_the_reward_has_mean_zero_and_unit_deviation(kind):
    seen = evidence("compare2", count=150)
    from dataclasses import replace

    found = fit(seen, replace(QUICK, kind=kind), discrete=False, terminates=False, seed=0)
    reward = found.members(Features(*_scaled(found, seen)))
    assert abs(float(reward.mean())) < 1e-3
    spread = reward.mean(0).std() if kind == "kernel" else reward.flatten(1).std(1)
    assert torch.allclose(spread, torch.ones(()), atol=1e-2)


def _scaled(found, seen: Evidence) -> tuple[torch.Tensor, torch.Tensor]:
    batch = batch_of(list(seen.segments))
    return found.scaler(batch.observation, batch.action), batch.valid


@pytest.mark.parametrize("kind", ["kernel", "mlp"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_learning_where_episodes_end_the_sign_of_living_on_is_learnt(kind, sign):
    """Truth is +1 or -1 a step: longer segments are better, or worse; a centred reward could not say which."""
    rng = np.random.default_rng(3)
    segments, _ = world(rng, 200, ends=True)
    worth = sign * np.array([s.valid.sum() for s in segments])
    first, second = rng.integers(0, 200, 300), rng.integers(0, 200, 300)
    level = (worth[first] - worth[second] + rng.logistic(size=300) > 0).astype(int)
    part = Comparisons(first, second, level, np.zeros(300, int), 2)
    seen = Evidence(segments, np.arange(200), ("o",), (part,), ())
    found = fit(seen, RewardConfig(kind=kind, members=3, epochs=6), discrete=False, terminates=True, seed=0)
    batch = batch_of(segments)
    scored = found(batch)
    assert float((scored.mean * sign)[batch.valid].mean()) > 0.5
    assert bool((scored.mean[~batch.valid] == 0).all()) and bool((scored.spread[~batch.valid] == 0).all())


def test_property_where_nothing_is_known_of_ends_the_constant_is_the_priors():
    """All segments full: no answer bears on the constant, so it is 0 about the mean of the visited steps."""
    seen = evidence("compare2", count=60)
    for kind in ("kernel", "mlp"):
        found = fit(seen, RewardConfig(kind=kind, members=2, epochs=2), discrete=False, terminates=True, seed=0)
        assert abs(float(found(batch_of(list(seen.segments))).mean.mean())) < 0.05


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_invariance_a_constant_per_step_changes_no_answer_about_equal_lengths(shift):
    seen = evidence("compare7", "rank", count=50)
    parts, features = tuple(map(questions, seen.parts)), Features(torch.randn(200, T, 4), torch.ones(200, T).bool())
    net, layout = MLP(4, 8, 1), Layout(tuple(map(questions, seen.parts)), 4)
    problem = problem_of(QUICK, net, features, parts, layout)
    flat = torch.cat([net.start(1, torch.Generator().manual_seed(0)), problem.centre[net.size :].unsqueeze(0)], 1)
    moved = flat.clone()
    moved[0, net.size - 1] += shift
    every = [chosen(np.ones((1, 50), bool)) for _ in parts]
    for before, after in zip(scores(problem, flat, every), scores(problem, moved, every), strict=True):
        assert torch.allclose(before, after, atol=1e-4)


# -------------------------------------------------------------------------------------------- the machinery


def test_property_no_group_is_on_both_sides_of_a_fold():
    rng = np.random.default_rng(0)
    part = questions(
        Comparisons(rng.integers(0, 60, 90), rng.integers(0, 60, 90), np.zeros(90, int), np.zeros(90, int), 2)
    )
    groups = np.arange(60) // 4 + 1000
    (masks,) = split((part,), groups, 5, rng)
    assert masks.shape == (5, 90) and masks.any(0).all()
    for mask in masks:
        kept = set(groups[part.items.numpy()[~mask]].ravel())
        assert all(set(row) - kept for row in groups[part.items.numpy()[mask]])


def test_invariance_the_gradient_is_the_mean_of_its_halves_and_ignores_padding():
    seen = evidence("rank", "rate", "compare2", count=40)
    parts = tuple(map(questions, seen.parts))
    features = Features(torch.randn(200, T, 4, generator=torch.Generator().manual_seed(0)), torch.ones(200, T).bool())
    net, layout = MLP(4, 8, 2), Layout(parts, 4)
    problem = problem_of(QUICK, net, features, parts, layout)
    flat = torch.cat([net.start(2, torch.Generator().manual_seed(0)), problem.centre[net.size :].expand(2, -1)], 1)
    halves = [np.arange(40) < 20, np.arange(40) >= 20]
    whole = gradient(problem, flat, [chosen(np.ones((2, 40), bool)) for _ in parts])
    split_ = [gradient(problem, flat, [chosen(np.stack([half, half])) for _ in parts]) for half in halves]
    assert torch.allclose(whole, (split_[0] + split_[1]) / 2, atol=1e-5)
    uneven = [chosen(np.stack([halves[0], np.ones(40, bool)])) for _ in parts]
    found = gradient(problem, flat, uneven)
    assert torch.allclose(found[0], split_[0][0], atol=1e-5) and torch.allclose(found[1], whole[1], atol=1e-5)


def test_golden_the_mode_of_a_linear_comparison_is_logistic_regression():
    """One annotator with next to no lapse: the mode must satisfy sum x (y - p) = w / sd^2."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(60, 3)))
    level = rng.integers(0, 2, 60)
    index = np.arange(60)
    part = questions(Comparisons(index, index, level, np.zeros(60, int), 2))
    layout = Layout((part,), 1)
    centre, precision = (v.double() for v in layout.vectors())
    for name, at, entry in layout.entries:
        precision[at : at + int(np.prod(entry.shape))] = 1e8  # held at the prior
        centre[at : at + int(np.prod(entry.shape))] = 40.0 if name.endswith("skill_mean") else 0.0
    basis = torch.stack([x, torch.zeros_like(x)], 1)
    full = torch.cat([torch.zeros(3), centre]).double(), torch.cat([torch.full((3,), 0.25), precision]).double()
    found = maximise([asked(part, layout, basis)], *full, start=full[0])
    w = found.mode[:3]
    residual = x.T @ (torch.tensor(level) - torch.sigmoid(x @ w)) - 0.25 * w
    assert residual.abs().max() < 0.05
    draws = found.draws(4000, torch.Generator().manual_seed(0))
    assert torch.allclose(draws.mean(0), found.mode, atol=1e-6)
    p = torch.sigmoid(x @ w)
    hessian = x.T @ (x * (p * (1 - p)).unsqueeze(1)) + 0.25 * torch.eye(3)
    assert torch.allclose(draws[:, :3].T.cov(), torch.linalg.inv(hessian), atol=0.02)
    assert len(score([asked(part, layout, basis)], found.mode[None])[0][0]) == 60


def test_contract_text_replies_go_through_the_same_fit():
    """A reply's worth is its share of the letter e; the encoder counts letters."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde"), 30)) for _ in range(120)]
    replies = [Reply("write", text) for text in texts]

    def encode(segments):
        return np.array([[s.response.count(c) for c in "abcde"] for s in segments], np.float32)

    worth = np.array([text.count("e") for text in texts])
    first, second = rng.integers(0, 120, 200), rng.integers(0, 120, 200)
    part = Comparisons(first, second, (worth[first] > worth[second]).astype(int), np.zeros(200, int), 2)
    seen = Evidence(replies, np.arange(120), ("o",), (part,), ())
    for kind in ("linear", "mlp"):
        config = RewardConfig(kind=kind, members=3, width=16, epochs=4)
        found = fit(seen, config, discrete=False, terminates=False, seed=0, encode=encode)
        assert spearmanr(found.value(replies).mean(0), worth)[0] > 0.9
        rows = torch.from_numpy(encode(replies)).unsqueeze(1)
        scored = found(StepBatch(rows, torch.zeros(120, 1, 0), torch.ones(120, 1, dtype=torch.bool)))
        assert spearmanr(scored.mean[:, 0], worth)[0] > 0.9


@pytest.mark.parametrize("count", [0, 1])
def test_contract_with_next_to_no_answers_the_reward_is_the_prior(count):
    rng = np.random.default_rng(0)
    segments, _ = world(rng, 6)
    part = Comparisons(np.arange(count), np.arange(count) + 1, np.ones(count, int), np.zeros(count, int), 2)
    seen = Evidence(segments, np.arange(6), ("o",), (part,) if count else (), ())
    found = fit(seen, RewardConfig(), discrete=False, terminates=False, seed=0)
    scored = found(batch_of(segments))
    assert found.report.answers == count and bool(torch.isfinite(scored.mean).all())
    assert bool((scored.spread > 0).any()) and (count or float(scored.mean.abs().max()) < 1e-5)


def test_contract_a_nan_is_named_and_wrong_settings_are_refused():
    seen = evidence("compare2", count=20)
    seen.segments[3].observation[0, 0] = np.nan
    with pytest.raises(NotFinite, match="segment 3"):
        fit(seen, QUICK, discrete=False, terminates=False, seed=0)
    found = fit(evidence("compare2", count=20), QUICK, discrete=False, terminates=False, seed=0)
    bad = batch_of(list(seen.segments[:5]))
    with pytest.raises(NotFinite, match="version 1"):
        found(bad)
    for wrong in ({"kind": "tree"}, {"members": 0}, {"rate": -1.0}, {"precision": "half"}, {"inputs": "action"}):
        with pytest.raises(InputError, match="reward"):
            RewardConfig(**wrong)


def test_property_heldout_scores_are_of_answers_unseen():
    """Answers tossed by a coin: whoever never saw them cannot do better than log 1/2, whoever did can."""
    rng = np.random.default_rng(0)
    segments, _ = world(rng, 80)
    part = Comparisons(np.arange(40), np.arange(40) + 40, rng.integers(0, 2, 40), np.zeros(40, int), 2)
    seen = Evidence(segments, np.arange(80), ("o",), (part,), ())
    for kind in ("kernel", "mlp"):
        report = fit(seen, RewardConfig(kind=kind, epochs=5), discrete=False, terminates=False, seed=0).report
        assert len(report.heldout_scores[0]) == 40 and np.isfinite(report.heldout_scores[0]).all()
        assert report.heldout < np.log(0.5) + 0.1


def test_property_a_fit_is_not_led_by_one_that_says_nothing_of_the_answers():
    """From a reward of other answers that contradict these, and from none, it comes to the same."""
    config = RewardConfig(members=3, width=16, precision="float32")
    seen = evidence("compare2", count=200)
    part = seen.parts[0]
    turned = replace(seen, parts=(replace(part, level=1 - part.level),))
    astray = fit(turned, config, discrete=False, terminates=False, seed=3)
    alone = fit(seen, config, discrete=False, terminates=False, seed=4)
    led = fit(seen, config, discrete=False, terminates=False, seed=4, warm=astray)
    assert np.array_equal(led.value(seen.segments), alone.value(seen.segments))
    helped = fit(seen, config, discrete=False, terminates=False, seed=4, warm=alone)
    assert not np.array_equal(helped.value(seen.segments), alone.value(seen.segments))
