"""The concrete parts of one run of text: prompts, a language model, rewards that read replies. Beside `build.py`.

A response is a step. Rewards read replies through encoders that are fitted anew with every fit, so a reward is never
warm from the one before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from accord import ballot, checkpoints, config, loop, measure, records, runtime, winning
from accord.backbones import sentences, text
from accord.backbones.text import LanguageModel
from accord.feedback.evidence import pack
from accord.feedback.person import Person
from accord.feedback.probes import repeated
from accord.feedback.queries import Candidates, compose
from accord.feedback.recall import recalled
from accord.feedback.store import Store
from accord.feedback.teachers import Teacher
from accord.policies.text.actor import Actor
from accord.policies.text.best_of_n import BestOfN, BestOfNConfig
from accord.policies.text.fitting import fitted
from accord.policies.text.offline import Offline, OfflineConfig
from accord.policies.text.online import Online, OnlineConfig
from accord.policies.text.rollout import Sampling
from accord.policies.text.writing import Write, Written, write
from accord.progress import Progress
from accord.rewards import sequenced
from accord.rewards.candidates import Candidate, text_panel
from accord.rewards.choice import Choice, choose, only
from accord.rewards.encoders import encoder
from accord.rewards.fit import fit
from accord.rewards.fitted import FittedReward
from accord.rewards.judge import judge as judged
from accord.rewards.replied import ConstantReply, GoldReply, Replied
from accord.rewards.words import known
from accord.safety import watch
from accord.tasks.text import TextTask, collected
from accord.types import (
    Annotator,
    Collected,
    Evidence,
    Feedback,
    InputError,
    LearnedReward,
    Query,
    Reply,
    Reward,
    Shaping,
    Signal,
    segment_id,
)

POOL, POOL_LEAST = 2, 16  # responses for each label due; of four to a prompt these are three pairs a label
ROUND_RESPONSES = 64  # to the prompts of evaluation after each round: the learning curve
EMBEDDED = ("tfidf+minilm+curves", "minilm", "tfidf")  # how replies may be read
COUNTED = ("tfidf+curves", "tfidf")  # the same where there is no sentence embedding


class Writing:
    """The concrete parts of one run of text."""

    def __init__(self, settings: config.RunConfig, store: Store, out: Path) -> None:
        self.settings, self.store, self.out = settings, store, out
        self.task = TextTask(settings.text, runtime.derive(settings.seed, "prompts"))
        self.policy, self.write = self._policy(self.task)
        reward = settings.reward
        beside = sequenced.held(reward.sequence) if reward.kind == "sequence" and not self._shares() else 0
        self.memory = None
        if not isinstance(self.policy, BestOfN):
            self.memory = fitted(self.policy, self.task.prompts, beside=beside)
        self.answers: Evidence | None = None  # those that the last reward was fitted to
        self.by_people: records.Share | None = None  # the win rate of a ballot
        self.readings = readings_of(settings.reward.text)
        self.annotator = self._annotator()
        self.plan = self._plan()
        self.checkpoints = checkpoints.Checkpoints(out / records.CHECKPOINTS, self.task, self.policy)
        self.test = runtime.derive(settings.seed, "test")  # seeds the responses of the finished policy
        # The policy is the start model until `restore`.
        count = max(ROUND_RESPONSES, settings.report.episodes)
        self.start = winning.graded(self.task, self.write, count, runtime.derive(settings.seed, "start"))

    def _policy(self, task: TextTask) -> tuple[Online | Offline | BestOfN, Write]:
        """A learner on a fresh copy of the start model, and what it writes by. Its responses are counted."""
        policy, seed = self.settings.writes, runtime.derive(self.settings.seed, "policy")
        actor = Actor(text.load(self.settings.text.model, chat=self.settings.text.chat), policy, seed)
        if isinstance(policy, BestOfNConfig):
            best = BestOfN(actor, policy)
            return best, counting(task, best.write, policy.n)
        writes = counting(task, partial(write, actor, Sampling(policy.temperature, tokens=policy.tokens)), 1)
        if isinstance(policy, OfflineConfig):
            return Offline(task, actor, policy), writes
        return Online(task, actor, policy, seed), writes

    def _annotator(self) -> Annotator:
        feedback = self.settings.feedback
        if feedback.annotator == "web":
            return Person()
        if self.task.truth is None:
            raise InputError(
                'task.gold is "" and a teacher is to answer, who needs to know what a response is worth: '
                'name a scorer, or set feedback.annotator to "web".'
            )
        return Teacher(self.store, feedback.teacher, runtime.derive(self.settings.seed, "teacher"))

    def _plan(self) -> loop.Plan:
        feedback, policy = self.settings.feedback, self.settings.writes
        rounds = min(feedback.rounds, feedback.labels)
        labels = loop.spread(feedback.labels, rounds, feedback.first, feedback.falling)
        asked = sum(self._pool(labels, round) for round in range(rounds))
        if isinstance(policy, OnlineConfig) and policy.steps <= asked:
            raise InputError(
                f"policy.steps is {policy.steps} responses, and people are asked about {asked} of them: raise it, or "
                "lower feedback.labels."
            )
        steps = loop.paced(policy.steps, 0, rounds, feedback.growth)
        return loop.Plan(self.settings.seed, labels, steps, ahead=feedback.ahead)

    def _pool(self, labels: Sequence[int], round: int) -> int:
        due, group = labels[round] - (labels[round - 1] if round else 0), self.settings.text.responses
        return -(-max(POOL_LEAST, POOL * due) // group) * group

    def parts(self) -> loop.Parts:
        """What the loop is given."""
        return loop.Parts(
            task=self.task,
            policy=self.policy,
            store=self.store,
            annotator=self.annotator,
            collect=self.collect,
            ask=self.ask,
            fit=self.fit,
            select=only,
            foretell=measure.foretell,
            judge=self.judge,
            keep_reward=self.checkpoints.keep_reward,
            keep_policy=self.checkpoints.keep_policy,
            save=self.checkpoints.save,
            signal=self.signal,
            stop=self.stop,
        )

    def restore(self) -> loop.State:
        """Where a stopped run goes on."""
        state = self.checkpoints.restore()
        self.answers = pack(self.store, upto=state.cursor)
        if isinstance(self.policy, BestOfN) and state.reward is not None and self.policy.version:
            self.policy.take(self.signal(state.reward))
        return state

    def signal(self, reward: Reward) -> Signal:
        """What the policy improves on."""
        if not isinstance(reward, FittedReward):
            raise InputError("only a fitted reward can value replies.")
        policy = self.settings.writes
        if isinstance(policy, config.OfflineSection) and policy.signal == "answers" and self.answers is not None:
            return Feedback(self.answers, policy.beta)
        return LearnedReward(Replied(reward), shaping=self._shaping())

    def _shaping(self) -> Shaping:
        policy, pessimism = self.settings.writes, self.settings.reward.pessimism
        if isinstance(policy, config.OfflineSection):
            return Shaping(kl_budget=policy.kl_budget, pessimism=pessimism)
        if not isinstance(policy, config.OnlineSection):
            return Shaping(pessimism=pessimism)
        return Shaping(policy.kl, policy.kl_target, policy.kl_budget, pessimism)

    def collect(self, round: int, seed: int) -> list[Collected]:
        """Responses of the policy as it is, several to a prompt."""
        group = self.settings.text.responses
        prompts = self.task.draw(self._pool(self.plan.labels, round) // group, seed)
        self.task.count_as("collect")
        replies = self.write(prompts, group, seed).replies
        return collected(self.task, replies, round=round, policy_version=self.policy.version, seed=seed)

    def ask(self, state: loop.State, due: int, seed: int) -> list[Query]:
        """This round's queries, by the configured rule; the responses of one are to the same prompt."""
        round, reward, rng = state.round, state.reward, np.random.default_rng(seed)
        before = [query for query in self.store.queries() if query.round < round]  # a resumed round asks the same again
        pool = recalled(self.store, state.pool, before, state.undecided, rng)
        segments = [made.segment for made in pool]
        values, features = np.zeros((0, len(pool))), None
        if isinstance(reward, FittedReward) and reward.encode is not None:
            rows = reward.encode(segments)
            values = replace(reward, encode=lambda _: rows).value(segments)
            features = rows.astype(np.float64)
        names: dict[str, int] = {}
        context = [names.setdefault(one.prompt, len(names)) for one in segments if isinstance(one, Reply)]
        rounds = np.array([made.provenance.round for made in pool])
        ids = tuple(segment_id(segment) for segment in segments)
        candidates = Candidates(ids, values, rounds, features, np.array(context))
        feedback = self.settings.feedback
        repeats = loop.round_half(feedback.repeats * due) if feedback.annotator == "web" else 0
        again = repeated(before, repeats, round, rng)
        return [*compose(candidates, due, feedback.queries, rng, round, before), *again]

    def fit(
        self, evidence: Evidence, before: Sequence[Reward], version: int, seed: int
    ) -> tuple[list[Reward], dict[str, object]]:
        """One reward: the configured one, or the one that answers prefer by now. Encoders are fitted anew with it."""
        self.answers = evidence
        if self.settings.reward.kind == "sequence":
            own = sequenced.fit(evidence, self.settings.reward.sequence, seed, version, self._frozen())
            return [own], measure.fit_record(own)
        last = before[0] if before and isinstance(before[0], FittedReward) else None
        candidates = text_panel(self.settings.reward, self.readings)
        kept = next((one for one in candidates if last is not None and one.name == last.chosen), candidates[0])
        choice = self._choice(evidence, candidates, kept, last, runtime.derive(seed, "choice"))
        one = choice.candidate
        encode = encoder(one.text, replies_of(evidence))
        fitted = fit(evidence, one.config, discrete=False, terminates=False, seed=seed, version=version, encode=encode)
        same = last is not None and last.chosen == one.name
        why = last.why if last is not None and same else choice.why
        record = {**measure.fit_record(fitted), "choice": choice.record()}
        return [replace(fitted, chosen=one.name, why=why)], record

    def _shares(self) -> bool:
        """Whether the reward stands on the model below the policy's adapters."""
        policy, reward, task = self.settings.writes, self.settings.reward.sequence, self.settings.text
        same = bool(reward.shared and reward.rank and reward.model == task.model and task.chat is None)
        return same and not isinstance(policy, BestOfNConfig) and policy.rank > 0

    def _frozen(self) -> LanguageModel | None:
        """That model, for a reward to put its own adapters on."""
        model = self.policy.actor.model
        return replace(model, decoder=model.decoder.twin()) if self._shares() else None

    def _choice(
        self, evidence: Evidence, candidates: list[Candidate], kept: Candidate, last: FittedReward | None, seed: int
    ) -> Choice:
        if self.settings.reward.select == "fixed" or len(candidates) < 2:
            return Choice(kept, "configured", {})
        replies = replies_of(evidence)
        readings = {name: known(name, replies) for name in dict.fromkeys(one.text for one in candidates)}
        return choose(evidence, candidates, kept, readings, seed, 0 if last is None else last.report.answers)

    def judge(self, state: loop.State) -> dict[str, object]:
        """The round's figures for the record."""
        if not isinstance(state.reward, FittedReward):
            return {}
        seed = runtime.derive(self.settings.seed, "judge", state.round)
        found = winning.graded(self.task, self.write, ROUND_RESPONSES, seed)
        fresh = collected(
            self.task, found.written.replies, round=state.round, policy_version=self.policy.version, seed=seed
        )
        newest = judged(state.forecasts[-1]).accuracy_high if state.forecasts else None
        signs = {**winning.signs(found, self.start, Replied(state.reward)), "accuracy_high": newest}
        return {
            **winning.round_record(found, self.start),
            **measure.reward_record(state, state.reward, fresh),
            "examples": measure.examples(self.store, state, state.reward),
            "signs": signs,
        }

    def stop(self, state: loop.State) -> str:
        """Why improvement is to end here."""
        if not state.watched:
            return ""
        *before, now = (signs_of(told) for told in state.watched)
        return watch.why_stop(now, before, self._shaping().kl_budget)

    @cached_property
    def final(self) -> winning.Graded:
        """Responses of the policy once it is finished."""
        return winning.graded(self.task, self.write, self.settings.report.episodes, self.test)

    def consult(self, state: loop.State, progress: Progress) -> None:
        """Asks people whether the finished policy is better than the start model, where no scorer knows."""
        if self.task.truth is not None or not self.settings.report.ballot:
            return
        found = ballot.ballot(
            self.task,
            self.final,
            self.start,
            self.settings.report.ballot,
            overlap=self.settings.feedback.queries.overlap,
            round=state.round,
            policy_version=self.policy.version,
            seed=runtime.derive(self.settings.seed, "ballot"),
        )
        self.store.add(found.made)
        self.store.ask(found.queries)
        if found.queries:
            progress.announce(f"{len(found.queries)} questions more: whose response is better, before or after?")
        while self.store.waiting(round=state.round):
            time.sleep(loop.POLL_SECONDS)
            self.annotator.work()
        self.by_people = ballot.won(found, self.store.answers(after=state.cursor))

    def finish(self, state: loop.State, progress: Progress, seconds: float) -> records.Result:
        """The final figures: the policy by the gold scorer or by people, beside the start model and the baselines."""
        settings = self.settings
        progress.stage("judge", self.plan.rounds, self.plan.rounds)
        final = self.final
        steps = self.task.steps()
        beside = self._baselines()
        self.checkpoints.finish(self.out / records.REWARD, self.out / records.POLICY)
        last = state.reward
        panel = {one.name: one for one in text_panel(settings.reward, self.readings)}
        reward: dict[str, object] = settings.reward.record()
        if isinstance(last, FittedReward) and last.chosen in panel:
            one = panel[last.chosen]
            reward = {**one.config.record(), "text": one.text, "why": last.why or "configured"}
        chosen = records.Chosen(reward, asdict(settings.policy))
        reached = winning.reached(final)
        found = measure.result(settings.text.id, settings.seed, state, steps, seconds, reached, beside, chosen)
        signs = state.watched[-1] if state.watched else {}
        return replace(found, texts=winning.texts(self.task, final, self.start, signs, state.stopped, self.by_people))

    def _baselines(self) -> dict[str, records.Return]:
        """The start model; where wanted, the same algorithm on a constant reward and on the gold scorer too."""
        began = winning.reached(self.start)
        if began is None or self.task.truth is None:
            return {}
        found = {"start": began}
        if not isinstance(self.policy, Online) or not self.settings.report.baselines:
            return found
        for name, reward in (
            ("constant", ConstantReply()),
            ("true", GoldReply(self.task.truth.of, began.std or 1.0)),
        ):
            task = self.task.apart()
            policy, write = self._policy(task)
            if self.memory is not None and isinstance(policy, Online):
                policy.room.tokens, policy.actor.decoder.again = self.memory.memory, self.memory.again
            seed = runtime.derive(self.settings.seed, name)
            policy.improve(LearnedReward(reward, shaping=self._shaping()), self.settings.writes.steps, seed)
            worth = winning.reached(winning.graded(task, write, self.settings.report.episodes, self.test))
            if worth is not None:
                found[name] = worth
        return found


def signs_of(told: Mapping[str, float | None]) -> watch.Signs:
    """What a round's record says of over-optimisation."""
    gain, doubt, kl = (told.get(name) or 0.0 for name in ("gain", "doubt", "kl"))
    return watch.Signs(gain, doubt, kl, told.get("accuracy_high"))


def counting(task: TextTask, write: Write, each: int) -> Write:
    """The same, counted by the task: `each` responses for every one that is given."""

    def counted(prompts: Sequence[str], group: int, seed: int) -> Written:
        task.took(len(prompts) * group * each)
        return write(prompts, group, seed)

    return counted


def replies_of(evidence: Evidence) -> list[Reply]:
    """Its segments. Raises InputError where some are no replies."""
    replies = [segment for segment in evidence.segments if isinstance(segment, Reply)]
    if len(replies) < len(evidence.segments):
        raise InputError(
            f"{len(evidence.segments) - len(replies)} of {len(evidence.segments)} segments in the store are no "
            "replies: keep answers about them in a store of their own."
        )
    return replies


def readings_of(own: str) -> tuple[str, ...]:
    """How replies may be read here: the configured way, or one of a few."""
    if own:
        return (own,)
    try:
        sentences.minilm()
    except InputError:
        return COUNTED
    return EMBEDDED
