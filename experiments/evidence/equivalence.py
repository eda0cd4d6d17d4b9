"""Not worse by more than a margin, and as good as equal: what "no harm" and "no effect" must show.

A difference that is not significant shows neither. Each claim here is a one-sided test against a
shifted control: the margin moves the control (its mean, and with a relative margin its noise too),
and any one-sided test of the shifted `Estimates` will do. For a relative margin this is exactly
where Fieller's bound passes it.
Sources: Schuirmann (J. Pharmacokinetics and Biopharmaceutics 15, 1987) for the two one-sided tests;
Fieller (JRSS B 16, 1954) for the margin as a share of the control.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Protocol

from experiments.errors import PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import (
    Alternative,
    Interval,
    Test,
    absolute_lift,
    one_sided,
    relative_lift,
    welch_one_sided,
)


class OneSidedTest(Protocol):
    """A test of one direction: `welch_one_sided`, or `always_valid_one_sided` with its plan."""

    def __call__(
        self, estimates: Estimates, *, alpha: float, alternative: Alternative
    ) -> Test: ...  # pragma: no cover


@dataclass(frozen=True)
class Margin:
    """The largest difference that is tolerated.

    Attributes:
        size: Above 0; in the metric's units, or a share of the control mean (0.1 is 10 %).
    """

    size: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.size < inf:
            raise PlanError(f"a margin of {self.size} tolerates nothing; it must be above 0")
        if self.relative and self.size >= 1:
            raise PlanError(
                f"a margin of {self.size:.0%} of the control would tolerate losing all of it; write"
                " a share under 100 %, like 10%"
            )


@dataclass(frozen=True)
class Shown:
    """Whether a claim about a margin is shown.

    Attributes:
        is_shown: Whether its p-value is at most alpha.
        pvalue: Of the claim's opposite; None when the data cannot tell.
        interval: The lift with the bounds that decided, in the margin's terms.
        why_not: What stands in the way, when there is no p-value.
    """

    is_shown: bool
    pvalue: float | None
    interval: Interval
    why_not: str = ""


class GuardrailWord(StrEnum):
    """What is known of a metric that must not suffer."""

    HARM = "harm"
    SAFE = "safe"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Guardrail:
    """The reading of one guardrail.

    Attributes:
        rule: Which rule fired, as a sentence without its full stop.
        harm: Of "the treatment is worse"; a small p-value shows harm.
        non_inferiority: Of "not worse by the margin or more"; None without a margin.
    """

    word: GuardrailWord
    rule: str
    harm: Test
    non_inferiority: Shown | None


def non_inferiority(
    estimates: Estimates,
    *,
    margin: Margin,
    alpha: float,
    better: str = "higher",
    one_sided_test: OneSidedTest = welch_one_sided,
) -> Shown:
    """Is the treatment worse than the control by less than the margin?

    Args:
        alpha: One-sided; the bound is that of a two-sided interval at twice alpha.
    """
    alternative: Alternative = "greater" if better == "higher" else "less"
    return _within(estimates, margin, alpha, alternative, one_sided_test)


def equivalence(
    estimates: Estimates,
    *,
    margin: Margin,
    alpha: float,
    one_sided_test: OneSidedTest = welch_one_sided,
) -> Shown:
    """Is the difference within the margin on both sides? Two one-sided tests (TOST), each at alpha.

    Shown exactly when the two-sided interval at twice alpha lies within the margin.
    """
    above = _within(estimates, margin, alpha, "greater", one_sided_test)
    below = _within(estimates, margin, alpha, "less", one_sided_test)
    interval = Interval(above.interval.estimate, above.interval.ci_lower, below.interval.ci_upper)
    if above.pvalue is None or below.pvalue is None:
        return Shown(False, None, interval, above.why_not or below.why_not)
    return Shown(above.is_shown and below.is_shown, max(above.pvalue, below.pvalue), interval)


def guardrail(
    estimates: Estimates,
    *,
    alpha: float,
    better: str = "higher",
    margin: Margin | None = None,
    one_sided_test: OneSidedTest = welch_one_sided,
) -> Guardrail:
    """Harm, safe or unclear. Without a margin nothing can be shown safe.

    Guardrails need no correction for their number: each must be safe by itself before shipping, and
    a false alarm among them costs a second look.
    """
    worse: Alternative = "less" if better == "higher" else "greater"
    harm = one_sided_test(estimates, alpha=alpha, alternative=worse)
    shown = None
    if margin is not None:
        shown = non_inferiority(
            estimates, margin=margin, alpha=alpha, better=better, one_sided_test=one_sided_test
        )
    word, rule = _read(harm, shown, alpha)
    return Guardrail(word, rule, harm, shown)


def _read(harm: Test, shown: Shown | None, alpha: float) -> tuple[GuardrailWord, str]:
    is_worse = harm.pvalue is not None and harm.pvalue <= alpha
    if shown is not None and shown.is_shown:
        if is_worse:
            return GuardrailWord.SAFE, "worse, but by less than the margin"
        return GuardrailWord.SAFE, "any harm of the margin's size is ruled out"
    if is_worse:
        return GuardrailWord.HARM, "worse than the control"
    if harm.pvalue is None:
        return GuardrailWord.UNCLEAR, "the metric does not vary within the variants"
    if shown is None:
        return GuardrailWord.UNCLEAR, "no harm found, but without a margin safety cannot be shown"
    if shown.pvalue is None:
        return GuardrailWord.UNCLEAR, shown.why_not
    return GuardrailWord.UNCLEAR, "harm of the margin's size is not ruled out"


def _within(
    estimates: Estimates,
    margin: Margin,
    alpha: float,
    alternative: Alternative,
    one_sided_test: OneSidedTest,
) -> Shown:
    """Whether the treatment stays on the right side of the control moved by the margin."""
    shifted = _shifted(estimates, margin, alternative)
    test = one_sided_test(shifted, alpha=alpha, alternative=alternative)
    lift = relative_lift if margin.relative else absolute_lift
    interval = one_sided(lift(estimates, critical=test.critical), alternative=alternative)
    if test.pvalue is None:
        return Shown(False, None, interval, "the metric does not vary within the variants")
    noise = test.critical**2 * estimates.control_variance
    if margin.relative and noise >= estimates.control**2:
        return Shown(
            False, None, interval,
            "the control's mean cannot be told from 0, so a share of it is no margin",
        )  # fmt: skip
    return Shown(test.pvalue <= alpha, test.pvalue, interval)


def _shifted(estimates: Estimates, margin: Margin, alternative: Alternative) -> Estimates:
    """The same estimates with the control moved to the edge of what is tolerated."""
    down = -1 if alternative == "greater" else 1
    if not margin.relative:
        return replace(estimates, control=estimates.control + down * margin.size)
    factor = 1 + down * margin.size * (1 if estimates.control >= 0 else -1)
    # Var(t - f c) = Var(t - c) + (f**2 - 1) Var(c) - 2 (f - 1) Cov, without cancelling f = 1.
    moved = (
        estimates.difference_variance
        + (factor**2 - 1) * estimates.control_variance
        - 2 * (factor - 1) * estimates.covariance
    )
    return replace(
        estimates,
        control=factor * estimates.control,
        control_variance=factor**2 * estimates.control_variance,
        covariance=factor * estimates.covariance,
        difference_variance=max(moved, 0.0),
    )
