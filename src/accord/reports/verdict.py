"""The result in one sentence, and verdicts that say so when a control does as well. Pure functions of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accord.reports.read import Estimate, Json, Run, at, banded, estimate, mapping_at, number_at, numbers_at
from accord.reports.words import Language, number, percent, say

Mark = Literal["good", "note", "caution", "bad", "none"]
NEAR = 0.9  # of the true reward's return: short of it is a note, further off a caution


@dataclass(frozen=True)
class Chip:
    """A verdict: a mark, a head of few words and the reason."""

    mark: Mark
    head: str
    why: str


@dataclass(frozen=True)
class Returns:
    """The true return of the policy and of its three controls; None where a control was not measured."""

    policy: Estimate | None
    random: Estimate | None
    constant: Estimate | None
    true: Estimate | None
    best: float | None  # the most the task can pay, where the record says so

    @classmethod
    def read(cls, result: Json) -> Returns:
        controls = mapping_at(result, "baselines")
        return cls(
            policy=estimate(result.get("true_return")),
            random=estimate(controls.get("start", controls.get("random", result.get("random_return")))),
            constant=estimate(controls.get("constant", result.get("constant_reward_return"))),
            true=estimate(controls.get("true", result.get("true_reward_return"))),
            best=number_at(result, "best_return"),
        )

    @property
    def true_beats_random(self) -> bool:
        return self.true is not None and self.random is not None and self.true.floor > self.random.ceiling

    @property
    def above_true(self) -> bool:
        """Clearly better than the run on the true reward, which is then no ceiling to take a share of."""
        return self.policy is not None and self.true is not None and self.policy.floor > self.true.ceiling

    @property
    def share(self) -> float | None:
        """Normalised return (R - random) / (true - random).

        None where the true reward does not beat random by more than the policy's own interval is wide: a share of next
        to nothing says nothing.
        """
        if self.policy is None or self.true is None or self.random is None or not self.true_beats_random:
            return None
        if self.true.mean - self.random.mean <= self.policy.ceiling - self.policy.floor:
            return None
        return (self.policy.mean - self.random.mean) / (self.true.mean - self.random.mean)


@dataclass(frozen=True)
class Wins:
    """How often the policy's responses beat the start model's, over so many prompts, and whether people said so."""

    share: float
    low: float
    high: float
    prompts: int
    by_people: bool

    @staticmethod
    def read(result: Json) -> Wins | None:
        """From `result.json`; None where it was not measured."""
        texts = mapping_at(result, "texts")
        share, ends = number_at(texts, "win_rate", "mean"), numbers_at(texts, "win_rate", "ci95")
        if share is None or len(ends) != 2:
            return None
        prompts = int(number_at(texts, "win_rate", "prompts") or 0)
        return Wins(share, min(ends), max(ends), prompts, at(texts, "judged_by") == "people")

    @property
    def told(self) -> dict[str, str]:
        """As sentences name them."""
        shares = {"share": self.share, "low": self.low, "high": self.high}
        return {**{name: percent(value) for name, value in shares.items()}, "n": str(self.prompts)}


def result_sentence(result: Json, lang: Language = "en", unit: Literal["comparisons", "labels"] = "labels") -> str:
    """The result in one sentence: labels and steps spent, true return with interval, and how near the true reward."""
    returns = Returns.read(result)
    policy = returns.policy
    if policy is None:
        return _preferred(result, lang, unit) or say("unmeasured", lang)
    digits = _digits(policy)
    parts = [_spent(result, lang, unit)]
    if returns.best is None:
        parts.append(say("reaches", lang, mean=number(policy.mean, digits)))
    else:
        best = number(returns.best, 0 if returns.best == int(returns.best) else digits)
        parts.append(say("reaches_of", lang, mean=number(policy.mean, digits), best=best))
    if policy.low is None or policy.high is None:
        parts.append(say("no_interval", lang))
    else:
        parts.append(say("interval", lang, low=number(policy.low, digits), high=number(policy.high, digits)))
    parts.append(_beside_true(returns, lang))
    return "".join(parts)


def _preferred(result: Json, lang: Language, unit: Literal["comparisons", "labels"]) -> str:
    """The win rate by people in one sentence; "" where they were not asked."""
    wins = Wins.read(result)
    if wins is None or not wins.by_people:
        return ""
    return "".join(
        [
            _spent(result, lang, unit),
            say("preferred", lang, **wins.told),
            say("interval", lang, **wins.told),
            say("stop", lang),
        ]
    )


def _digits(policy: Estimate) -> int:
    size = max(abs(x) for x in (policy.mean, policy.floor, policy.ceiling))
    return 0 if size >= 100 else 1 if size >= 10 else 2


def _spent(result: Json, lang: Language, unit: Literal["comparisons", "labels"]) -> str:
    labels, steps = number_at(result, "labels"), number_at(result, "env_steps")
    told = say("some_labels", lang) if labels is None else say(unit, lang, n=number(labels, 0))
    if steps is None:
        return say("after_labels", lang, labels=told)
    return say("after", lang, labels=told, steps=say("steps", lang, n=number(steps, 0)))


def _beside_true(returns: Returns, lang: Language) -> str:
    if returns.true is None:
        return say("stop", lang)
    share = returns.share
    if share is not None and returns.above_true:
        return say("above_true", lang, true=number(returns.true.mean, _digits(returns.true)))
    if share is not None:
        return say("share", lang, share=percent(share))
    true = number(returns.true.mean, _digits(returns.true))
    if returns.random is None or returns.true_beats_random:
        return say("beside_true", lang, true=true)
    return say("true_fails", lang, true=true, random=number(returns.random.mean, _digits(returns.random)))


def terminates(run: Run) -> bool | None:
    """Whether episodes of the task can end early, as no text can; None where the record does not say."""
    if at(run.configuration, "task", "kind") == "text":
        return False
    for value in (run.result.get("terminates"), at(run.configuration, "task", "terminates")):
        if isinstance(value, bool):
            return value
    return None


def unit_of(run: Run) -> Literal["comparisons", "labels"]:
    """Labels are called comparisons where every question was one."""
    kind = at(run.configuration, "feedback", "kind") or at(run.configuration, "feedback", "kinds")
    kinds = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list | tuple) else set()
    kinds = kinds or {at(each, "kind") for each in at(run.last("judge"), "examples") or ()}
    return "comparisons" if kinds == {"compare"} else "labels"


def verdicts(run: Run, lang: Language) -> tuple[Chip, ...]:
    """One verdict per yardstick, the failing ones first."""
    returns = Returns.read(run.result)
    chips = [_against_constant(returns, terminates(run), lang), _against_random(returns, lang)]
    chips += [_against_true(returns, lang), _accuracy(run, lang), *_of_texts(run, lang)]
    order: tuple[Mark, ...] = ("bad", "caution", "good", "note", "none")
    return tuple(sorted(chips, key=lambda chip: order.index(chip.mark)))


def _absent(yardstick: str, lang: Language) -> Chip:
    return Chip("none", say(f"{yardstick}_none", lang), say("unmeasured_why", lang))


def _value(control: Estimate) -> str:
    return number(control.mean, _digits(control))


def _against_constant(returns: Returns, ends: bool | None, lang: Language) -> Chip:
    policy, constant = returns.policy, returns.constant
    if policy is None or constant is None:
        return _absent("constant", lang)
    other = _value(constant)
    if policy.floor > constant.ceiling:
        return Chip("good", say("constant_good", lang), say("constant_good_why", lang, other=other))
    if constant.mean < policy.floor:
        return Chip("caution", say("constant_close", lang), say("constant_close_why", lang, other=other))
    why = {True: "constant_bad_leak", False: "constant_bad_plain", None: "constant_bad_unknown"}[ends]
    return Chip("bad", say("constant_bad", lang), say(why, lang, other=other))


def _against_random(returns: Returns, lang: Language) -> Chip:
    policy, random = returns.policy, returns.random
    if policy is None or random is None:
        return _absent("random", lang)
    mark, key = _place(policy, random)
    return Chip(mark, say(key, lang), say(f"{key}_why", lang, other=_value(random)))


def _place(policy: Estimate, random: Estimate) -> tuple[Mark, str]:
    if policy.floor > random.ceiling:
        return "good", "random_good"
    return ("bad", "random_bad") if policy.ceiling < random.floor else ("caution", "random_close")


def _against_true(returns: Returns, lang: Language) -> Chip:
    policy, true = returns.policy, returns.true
    if policy is None or true is None:
        return _absent("true", lang)
    if returns.above_true:
        return Chip("note", say("true_above", lang), say("true_above_why", lang, other=_value(true)))
    if policy.ceiling >= true.floor:
        return Chip("good", say("true_good", lang), say("true_good_why", lang, other=_value(true)))
    mark: Mark = "note" if (returns.share or 0.0) >= NEAR else "caution"
    return Chip(mark, say("true_close", lang), say("true_close_why", lang, other=_value(true)))


def accuracy_of(run: Run) -> Estimate | None:
    """Held-out accuracy of the final reward, from result.json, else from the last judge record."""
    mean = number_at(run.result, "reward", "heldout_accuracy")
    interval = numbers_at(run.result, "reward", "ci95")
    if mean is None:
        return banded(run.last("judge"), "accuracy")
    return Estimate(mean, min(interval), max(interval)) if len(interval) == 2 else Estimate(mean)


def judged(run: Run, key: str) -> float | None:
    """A figure of the final reward, from result.json, else from the last judge record."""
    final = number_at(mapping_at(run.result, "reward"), key)
    return number_at(run.last("judge"), key) if final is None else final


def _accuracy(run: Run, lang: Language) -> Chip:
    accuracy = accuracy_of(run)
    if accuracy is None or accuracy.low is None or accuracy.high is None:
        return _absent("accuracy", lang)
    told = {"accuracy": percent(accuracy.mean), "low": percent(accuracy.low), "high": percent(accuracy.high)}
    mark, key = ("good", "accuracy_good") if accuracy.low > 0.5 else ("bad", "accuracy_bad")
    return Chip(mark, say(key, lang), say("accuracy_good_why", lang, **told))


def _of_texts(run: Run, lang: Language) -> list[Chip]:
    """How often responses beat the start model's, and why a run ended early, where it is one of text."""
    found = []
    if (wins := Wins.read(run.result)) is not None:
        why = "won_people_why" if wins.by_people else "won_why"
        mark: Mark = "good" if wins.low > 0.5 else "bad" if wins.high < 0.5 else "caution"
        key = {"good": "won_good", "bad": "won_bad"}.get(mark, "won_close")
        found.append(Chip(mark, say(key, lang), say(why, lang, **wins.told)))
    if stopped := str(at(run.result, "texts", "stopped") or ""):
        found.append(Chip("note", say("stopped", lang), stopped[:1].upper() + stopped[1:]))
    return found
