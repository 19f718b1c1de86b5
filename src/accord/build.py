"""The composition root: from a configuration to concrete parts, a run, and its result. Only it knows them all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from accord import checkpoints, config, loop, measure, records, runtime
from accord.allocate import Auto, AutoConfig
from accord.feedback.demonstrator import Demonstrator
from accord.feedback.person import Person
from accord.feedback.probes import repeated
from accord.feedback.queries import Candidates, compose
from accord.feedback.recall import recalled
from accord.feedback.store import Store
from accord.feedback.teachers import Teacher
from accord.policies.control.offpolicy import OffPolicyConfig
from accord.policies.control.ppo import PPO
from accord.policies.control.sac import SAC, SACConfig
from accord.policies.control.sb3 import SB3Config
from accord.policies.control.td3 import TD3, TD3Config
from accord.policies.portfolio import portfolio
from accord.progress import Progress, Silent
from accord.reports.run import write as write_report
from accord.rewards.augment import PAIRS
from accord.rewards.candidates import panel
from accord.rewards.choice import Choice, choose, only
from accord.rewards.crossval import Reading
from accord.rewards.entropy import StateEntropy
from accord.rewards.fit import fit
from accord.rewards.fitted import FittedReward
from accord.rewards.fixed import Constant, TrueReward
from accord.rewards.nets import module_class
from accord.rewards.settings import check_kind
from accord.sinks import open_sinks
from accord.tasks import clip, demonstrations, drive
from accord.tasks.collect import collect, evaluate, explore, random_actions
from accord.tasks.control import ControlConfig, ControlTask
from accord.tasks.pictures import Picture, coarse
from accord.types import (
    Annotator,
    Answer,
    Collected,
    Evidence,
    Given,
    InputError,
    LearnedReward,
    Policy,
    Query,
    Reward,
    Segment,
    Shaping,
    Signal,
    Steps,
    TaskSpec,
    segment_id,
)
from accord.written import Writing

POOL = 8  # segments cut for each label due: enough to choose from, few enough to score in milliseconds
POOL_LEAST = 200
COPIES = 8  # for an on-policy algorithm of stable-baselines3; rl-zoo's usual number
COPIES_OF_ALL = 4  # for on-policy and off-policy algorithms in one run
EXPLORED = 1_000  # random steps, of all copies together
UNLABELLED = 2_000  # segments at most that the reward may label itself
ROUND_EPISODES = 20  # by the truth after each round: the learning curve


def run(
    settings: config.RunConfig, out: Path, resume: bool = False, progress: Progress | None = None
) -> records.Result:
    """The whole loop: from an empty folder (or a stopped run) to `result.json` and the report."""
    runtime.set_up()
    began = time.perf_counter()
    tree = config.dump(settings)
    sinks = open_sinks(settings.report.sinks, out, tree)
    log = records.open_run(out, tree, settings.seed, resume, sinks)
    if log.finished:
        if not (out / records.REPORT).is_file():  # killed between the two
            write_report(out)
        return records.read_result(out)
    store = Store(settings.feedback.store or f"sqlite:///{out / records.STORE}")
    watched = progress or Silent()
    try:
        made = _made(settings, store, out, watched)
        state = made.restore() if resume else loop.State()
        with runtime.flushed():
            with asking(settings, store, out, watched):
                state = loop.run(made.parts(), made.plan, state, log, watched)
                if isinstance(made, Writing):
                    made.consult(state, watched)
            result = made.finish(state, watched, time.perf_counter() - began)
    finally:
        store.close()
    log.finish(result)
    write_report(out)
    return result


def _made(settings: config.RunConfig, store: Store, out: Path, progress: Progress) -> Made | Writing:
    if not isinstance(settings.task, config.TextSection):
        return Made(settings, store, out)
    writing = Writing(settings, store, out)
    if not writing.policy.actor.decoder.own:
        progress.announce(f"Transformers runs {settings.text.model}, slower than the families that accord runs itself.")
    if writing.memory is not None:
        progress.announce(writing.memory.sentence())
    return writing


@contextmanager
def asking(settings: config.RunConfig, store: Store, out: Path, progress: Progress) -> Iterator[None]:
    """Serves the annotation page while a run needs people, and says where it is."""
    if settings.feedback.annotator != "web":
        yield
        return
    from accord.web.serve import serving  # a run with a teacher need not know it

    page = settings.feedback
    at = {"host": page.host, "port": page.port or None, "least": page.least_seconds}
    with serving(store, out / records.SECRET, browser=True, folder=out, **at) as link:
        progress.announce(f"Answer here: {link}")
        yield


class Made:
    """The concrete parts of one control run."""

    def __init__(self, settings: config.RunConfig, store: Store, out: Path) -> None:
        self.settings, self.store, self.out = settings, store, out
        seed, feedback = settings.seed, settings.feedback
        self.task = ControlTask(copies(self.settings), filmed=feedback.annotator == "web")
        check_kind(settings.reward, self.task.spec.picture)
        if feedback.pretrain and self.task.spec.picture is not None:
            raise InputError(
                f"feedback.pretrain is {feedback.pretrain} and {self.task.spec.id} shows pictures, whose distances say "
                "little of what is new: set it to 0."
            )
        self.policy = policy_of(self.task, settings, runtime.derive(seed, "policy"))
        self.annotator = self._annotator()
        self.plan = self._plan()
        own = module_class(settings.reward.kind) if settings.reward.kind.startswith("module:") else None
        self.checkpoints = checkpoints.Checkpoints(
            out / records.CHECKPOINTS, self.task, self.policy, self.task.recent, own
        )

    def _annotator(self) -> Annotator:
        """Recorded demonstrations where they are given, else a teacher."""
        feedback, spec, seed = self.settings.feedback, self.task.spec, runtime.derive(self.settings.seed, "teacher")
        if feedback.annotator == "web":
            if feedback.queries.kind in ("demonstrate", "correct"):
                drive.check(spec.id, feedback.queries.kind)
            return Person()
        if not feedback.demonstrations:
            return Teacher(self.store, feedback.teacher, seed)
        episodes = demonstrations.read(Path(feedback.demonstrations), spec)
        rng = np.random.default_rng(seed)
        shown = demonstrations.cut(episodes, feedback.labels, feedback.segment, rng, task=spec.id, seed=seed)
        return Demonstrator(self.store, shown, seed)

    def _plan(self) -> loop.Plan:
        feedback, policy = self.settings.feedback, self.settings.policy
        rounds = min(feedback.rounds, feedback.labels)
        explored = explore_ticks(self.settings, self.task.spec) * self.task.spec.envs + feedback.pretrain
        if policy.steps <= explored:
            raise InputError(
                f"policy.steps is {policy.steps}; the first segments take {explored}: raise it, or lower task.envs or "
                "feedback.pretrain."
            )
        labels = loop.spread(feedback.labels, rounds, feedback.first, feedback.falling)
        steps = loop.paced(policy.steps, explored, rounds, feedback.growth)
        return loop.Plan(self.settings.seed, labels, steps, ahead=feedback.ahead)

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
            count=self.count,
            signal=self.signal,
        )

    def signal(self, reward: Reward) -> Signal:
        """What the policy improves on."""
        return LearnedReward(reward, shaping=Shaping(pessimism=self.settings.reward.pessimism))

    def restore(self) -> loop.State:
        """Where a stopped run goes on."""
        return self.checkpoints.restore()

    def collect(self, round: int, seed: int) -> list[Collected]:
        """Segments near the policy: cut from the last improvement's steps, at first from random ones."""
        if round == 0:
            explore(self.task, explore_ticks(self.settings, self.task.spec), seed)
            self._pretrain(seed)
        due = self.plan.labels[round] - (self.plan.labels[round - 1] if round else 0)
        return self._cut(max(POOL_LEAST, POOL * due), round, seed)

    def _pretrain(self, seed: int) -> None:
        """States that are worth a look, before anybody says what they are worth."""
        if self.settings.feedback.pretrain:
            self.policy.improve(LearnedReward(StateEntropy()), self.settings.feedback.pretrain, seed)
            self.checkpoints.keep_policy(checkpoints.BEFORE)

    def count(self, answers: Sequence[Answer]) -> None:
        """Steps that people took to answer are the task's too; what they threw away is counted nowhere."""
        given = [answer.value.segment for answer in answers if isinstance(answer.value, Given)]
        made = zip(self.store.segments(given), self.store.provenance(given), strict=True)
        for segment, origin in made:
            if isinstance(segment, Steps) and origin.policy_version == drive.BY_HAND:
                self.task.add("drive", int(segment.valid.sum()))

    def _cut(self, n: int, round: int, seed: int) -> list[Collected]:
        rng = np.random.default_rng(seed)
        length, version = self.settings.feedback.segment, self.policy.version
        return collect(self.task, n, length, rng, round=round, policy_version=version, seed=seed)

    def ask(self, state: loop.State, due: int, seed: int) -> list[Query]:
        """This round's queries, by the configured rule."""
        round, reward, rng = state.round, state.reward, np.random.default_rng(seed)
        before = [query for query in self.store.queries() if query.round < round]  # a resumed round asks the same again
        pool = recalled(self.store, state.pool, before, state.undecided, rng)
        segments = [made.segment for made in pool]
        values = reward.value(segments) if isinstance(reward, FittedReward) else np.zeros((0, len(pool)))
        ids = tuple(segment_id(segment) for segment in segments)
        features = np.stack([_mean_step(segment, self.task.spec.picture) for segment in segments])
        episodes = np.array([made.provenance.episode for made in pool])  # numbered in the order in which they began
        candidates = Candidates(ids, values, episodes, features)
        again = repeated(before, self._repeats(due), round, rng)
        return [*compose(candidates, due, self.settings.feedback.queries, rng, round, before), *again]

    def _repeats(self, due: int) -> int:
        """How many questions people are asked a second time, beside those that are due."""
        feedback = self.settings.feedback
        return loop.round_half(feedback.repeats * due) if feedback.annotator == "web" else 0

    def fit(
        self, evidence: Evidence, before: Sequence[Reward], version: int, seed: int
    ) -> tuple[list[Reward], dict[str, object]]:
        """One reward: the configured one, or the one that answers prefer by now; warm from the round before."""
        last = before[0] if before and isinstance(before[0], FittedReward) else None
        spec = self.task.spec
        choice = self._choice(evidence, last, runtime.derive(seed, "choice"))
        warm = last if last is not None and last.chosen in ("", choice.candidate.name) else None
        fitted = fit(
            evidence,
            choice.candidate.config,
            discrete=spec.action.discrete,
            terminates=spec.terminates,
            seed=seed,
            warm=warm,
            version=version,
            unlabelled=self._unlabelled(evidence, seed),
            picture=spec.picture,
        )
        same = last is not None and last.chosen == choice.candidate.name
        why = last.why if last is not None and same else choice.why
        record = {**measure.fit_record(fitted), "choice": choice.record()}
        return [replace(fitted, chosen=choice.candidate.name, why=why)], record

    def _choice(self, evidence: Evidence, last: FittedReward | None, seed: int) -> Choice:
        """Among the panel, where the configuration leaves it to the answers."""
        candidates = panel(self.settings.reward, self.task.spec.picture)
        kept = next((one for one in candidates if last is not None and one.name == last.chosen), candidates[0])
        if self.settings.reward.select == "fixed" or len(candidates) < 2:
            return Choice(kept, "configured", {})
        reading = Reading(self.task.spec.action.discrete, self.task.spec.picture)
        return choose(evidence, candidates, kept, {"": reading}, seed, 0 if last is None else last.report.answers)

    def _chosen(self, reward: Reward | None) -> dict[str, object]:
        """The configuration that the last reward was fitted with, and why that one."""
        if not isinstance(reward, FittedReward):
            return self.settings.reward.record()
        known = {one.name: one.config for one in panel(self.settings.reward, self.task.spec.picture)}
        config = known.get(reward.chosen, self.settings.reward)
        return {**config.record(), "why": reward.why or "configured"}

    def _unlabelled(self, evidence: Evidence, seed: int) -> list[Segment]:
        """Segments that nobody was asked about, where the reward may label them."""
        if not self.settings.reward.gate:
            return []
        return [made.segment for made in self._cut(min(UNLABELLED, 2 * PAIRS * evidence.answers), 0, seed)]

    def judge(self, state: loop.State) -> dict[str, object]:
        """The round's figures for the record."""
        if not isinstance(state.reward, FittedReward):
            return {}
        seed = runtime.derive(self.settings.seed, "judge", state.round)
        returns = evaluate(self._judged(ROUND_EPISODES), self.policy.acting(), seed)
        fresh = self._cut(measure.FRESH, state.round, seed)
        return {
            **measure.return_record(returns),
            **measure.reward_record(state, state.reward, fresh),
            "examples": measure.examples(self.store, state, state.reward),
        }

    def _judged(self, episodes: int) -> ControlTask:
        return self.task.sibling(episodes)

    def finish(self, state: loop.State, progress: Progress, seconds: float) -> records.Result:
        """The final figures: the policy by the truth, beside the baselines."""
        settings, test = self.settings, runtime.derive(self.settings.seed, "test")
        progress.stage("judge", self.plan.rounds, self.plan.rounds)
        judged = self._judged(settings.report.episodes)
        returns = evaluate(judged, self.policy.acting(), test)
        steps = self.task.steps()
        baselines = self._baselines(test) if settings.report.baselines else {}
        self.checkpoints.finish(self.out / records.REWARD, self.out / records.POLICY)
        chosen = records.Chosen(self._chosen(state.reward), asdict(settings.policy))
        beside = {name: measure.measured(each) for name, each in baselines.items()}
        reached = measure.measured(returns)
        found = measure.result(self.task.spec.id, settings.seed, state, steps, seconds, reached, beside, chosen)
        return replace(found, clip=self._clip())

    def _clip(self) -> records.Clip | records.NoClip:
        """One episode of the final policy to look at; not the best, but the one that the seed gives."""
        if not self.settings.report.clip:
            return records.NoClip("off")
        return clip.write(
            self.task, self.policy.acting(), runtime.derive(self.settings.seed, "clip"), self.out / records.CLIP
        )

    def _baselines(self, test: int) -> dict[str, np.ndarray]:
        """Returns of a random policy, and of the same algorithm on a constant and on the true reward."""
        rng = np.random.default_rng(test)
        apart = ControlTask(replace(self.settings.control, envs=self.settings.report.episodes, cut=None))
        found = {"random": evaluate(apart, random_actions(apart, rng), test)}
        for name in ("constant", "true"):
            task = ControlTask(copies(self.settings))
            task.truth.start(0)
            reward = Constant() if name == "constant" else TrueReward(task.truth.at)
            policy = policy_of(task, self.settings, runtime.derive(self.settings.seed, "policy"))
            policy.improve(LearnedReward(reward), self.settings.policy.steps, runtime.derive(self.settings.seed, name))
            found[name] = evaluate(apart, policy.acting(), test)
        return found


def copies(settings: config.RunConfig) -> ControlConfig:
    """One copy of the environment for an algorithm that updates after every step, unless the user says more."""
    task, policy = settings.control, settings.acts
    if isinstance(policy, SB3Config):  # whose copies have to reset in the call that ends them
        return replace(task, envs=task.envs or (1 if policy.off_policy() else COPIES), vectorised=False)
    if isinstance(policy, AutoConfig):
        return replace(task, envs=task.envs or COPIES_OF_ALL)
    return replace(task, envs=task.envs or 1) if isinstance(policy, OffPolicyConfig) else task


def explore_ticks(settings: config.RunConfig, spec: TaskSpec) -> int:
    """Random steps of each copy before the first question: two segments' worth, all together a thousand."""
    return max(2 * min(settings.feedback.segment, spec.horizon), EXPLORED // spec.envs)


def policy_of(task: ControlTask, settings: config.RunConfig, seed: int) -> Policy:
    """The algorithm that `policy.algorithm` names."""
    match settings.acts:
        case SACConfig() as config:
            return SAC(task, config, seed)
        case TD3Config() as config:
            return TD3(task, config, seed)
        case AutoConfig() as auto:
            return Auto(task, auto, portfolio(task.spec, auto.arms, auto.steps, auto.gamma), seed)
        case SB3Config() as config:
            from accord.policies.control.sb3_policy import SB3  # an extra: imported where it is wanted

            return SB3(task, config, seed)
        case config:
            return PPO(task, config, seed)


def _mean_step(segment: Segment, picture: Picture | None) -> np.ndarray:
    """A segment as one row: the mean of its observations (of pictures, coarse ones) and actions."""
    if not isinstance(segment, Steps):
        raise InputError(f"control asks about steps, and this is a {type(segment).__name__}.")
    seen = segment.observation if picture is None else coarse(segment.observation, picture)
    return np.concatenate([seen, segment.action], axis=1)[segment.valid].mean(0, dtype=np.float64)
