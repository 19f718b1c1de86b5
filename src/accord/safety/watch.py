"""Over-optimisation, watched for: when is another improvement likelier to harm than to help? Pure.

Three signs, none of which needs the truth: the policy is farther from its reference than the budget of KL allows; the
reward rises where its members disagree ever more, in two rounds on end, for answers about what one round found may
settle it (Coste et al., arXiv:2310.02743, look at the same disagreement); it foretells the newest answers, which it had
not seen, worse than a coin. They end a run early; they are no proof, and a run that shows none of them may have gone too
far all the same (Gao et al., arXiv:2210.10760).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DOUBT = 2.0  # times the disagreement on the start model's responses


@dataclass(frozen=True)
class Signs:
    """A round in four numbers."""

    gain: float  # of the reward's mean over the start model's, in deviations of the latter
    doubt: float  # the ensemble's disagreement on the policy's responses over that on the start model's
    kl: float  # nats a response
    accuracy_high: float | None = None  # upper end of the interval of the accuracy on the newest answers


def why_stop(now: Signs, before: Sequence[Signs], kl_budget: float | None) -> str:
    """The reason to end improvement, in a sentence; "" where there is none."""
    if kl_budget is not None and now.kl > kl_budget:
        return f"KL is {now.kl:.1f} nats a response, beyond policy.kl_budget ({kl_budget:g})."
    if now.accuracy_high is not None and now.accuracy_high < 0.5:
        return f"the reward foretold the newest answers worse than a coin (at most {now.accuracy_high:.0%} right)."
    last = before[-1] if before else Signs(0.0, 1.0, 0.0)
    if now.gain > last.gain and now.doubt > last.doubt > DOUBT:
        return (
            f"the reward rose to {now.gain:.1f} deviations above the start while its members disagree {now.doubt:.1f} "
            "times as much as there."
        )
    return ""
