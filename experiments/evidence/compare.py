"""Treatment against control: absolute and relative effect, one p-value for both.

The relative interval is Fieller's: it contains a lift exactly when the absolute test does not
reject it. Dividing the absolute interval by the control mean instead ignores that mean's own noise,
and testing the relative effect separately gives a second p-value that can disagree with the first.
Source: Fieller (JRSS B 16, 1954).
"""

from dataclasses import dataclass
from math import copysign, inf, isfinite, isinf, sqrt
from typing import Literal

from experiments.distributions import (
    normal_quantile,
    normal_tail,
    t_quantile,
    t_tail,
)
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates

Alternative = Literal["greater", "less"]
"""What a one-sided test would show of the treatment against the control."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the values the data do not rule out; a bound of None is unbounded."""

    estimate: float | None
    ci_lower: float | None
    ci_upper: float | None

    @property
    def is_bounded(self) -> bool:
        """Whether both ends exist."""
        return self.ci_lower is not None and self.ci_upper is not None


@dataclass(frozen=True)
class Test:
    """How far from zero is too far.

    Attributes:
        critical: The estimate differs from a value when it is more than this many standard errors
            away.
        pvalue: Of no difference; None when nothing varies within the variants.
        method: For people: "Welch t-test".
    """

    __test__ = False  # Not for pytest, in spite of the name.

    critical: float
    pvalue: float | None
    method: str


def welch(estimates: Estimates, *, alpha: float) -> Test:
    """Student's t with Satterthwaite's degrees of freedom, two-sided.

    Source: Welch (Biometrika 34, 1947).
    """
    freedom = estimates.degrees_of_freedom
    critical = t_quantile(1 - alpha / 2, degrees_of_freedom=freedom)
    z = z_score(estimates)
    pvalue = None if z is None else 2 * t_tail(abs(z), degrees_of_freedom=freedom)
    return Test(critical, pvalue, "Welch t-test")


def normal(estimates: Estimates, *, alpha: float) -> Test:
    """The normal approximation, two-sided: a flat-prior posterior has the same interval."""
    z = z_score(estimates)
    pvalue = None if z is None else 2 * normal_tail(abs(z))
    return Test(normal_quantile(1 - alpha / 2), pvalue, "normal approximation")


def welch_one_sided(
    estimates: Estimates, *, alpha: float, alternative: Alternative = "greater"
) -> Test:
    """Welch's test of one direction: all of alpha on one side. See `one_sided` for its bound."""
    freedom = estimates.degrees_of_freedom
    z = z_score(estimates)
    pvalue = None if z is None else t_tail(_toward(z, alternative), degrees_of_freedom=freedom)
    return Test(t_quantile(1 - alpha, degrees_of_freedom=freedom), pvalue, "one-sided Welch t-test")


def normal_one_sided(
    estimates: Estimates, *, alpha: float, alternative: Alternative = "greater"
) -> Test:
    """The normal approximation of one direction."""
    z = z_score(estimates)
    pvalue = None if z is None else normal_tail(_toward(z, alternative))
    return Test(normal_quantile(1 - alpha), pvalue, "one-sided normal approximation")


def _toward(z: float, alternative: Alternative) -> float:
    return z if alternative == "greater" else -z


def z_score(estimates: Estimates) -> float | None:
    """The difference in standard errors; None when nothing varies.

    Raises:
        DataError: If a mean or the variance is not a number, or the variance is below 0.
    """
    difference, variance = estimates.treatment - estimates.control, estimates.difference_variance
    if not isfinite(difference) or not 0 <= variance < inf:
        raise DataError(
            f"a difference of {difference:g} with variance {variance:g} is no estimate; look for"
            " missing or infinite values in the data"
        )
    return None if variance == 0 else difference / sqrt(variance)


def normal_score(estimates: Estimates) -> float | None:
    """The difference as the normal deviate that is as rare as its Student's t; None if none varies.

    What boundaries of normal deviates take, where few units or clusters make the variance a guess:
    each look keeps its nominal level. Source: Pocock (Biometrika 64, 1977), for unknown variances.
    """
    z, freedom = z_score(estimates), estimates.degrees_of_freedom
    if z is None or isinf(freedom):
        return z
    tail = t_tail(abs(z), degrees_of_freedom=freedom)
    # A tail that has no number any more is as rare as can be, by either law.
    return copysign(-normal_quantile(tail), z) if tail > 0 else z


def in_standard_errors(critical: float, *, degrees_of_freedom: float) -> float:
    """The t that is as rare as this normal deviate: where `normal_score` reaches it."""
    if not isfinite(critical) or isinf(degrees_of_freedom):
        return critical
    tail = normal_tail(abs(critical))
    if tail <= 0:
        return critical
    return copysign(-t_quantile(tail, degrees_of_freedom=degrees_of_freedom), critical)


def absolute_lift(estimates: Estimates, *, critical: float) -> Interval:
    """treatment - control with its interval; unbounded when nothing varies."""
    estimate = estimates.treatment - estimates.control
    if estimates.difference_variance == 0 or not isfinite(critical):
        return Interval(estimate, None, None)
    radius = critical * sqrt(estimates.difference_variance)
    return Interval(estimate, estimate - radius, estimate + radius)


def relative_lift(estimates: Estimates, *, critical: float) -> Interval:
    """(treatment - control) / |control| with Fieller's interval, as a share.

    A lift r is inside exactly when the test of "treatment - (1 + r) control = 0" at the same
    critical value does not reject. Unbounded when the control mean itself cannot be told from 0
    (g >= 1 in Fieller's notation); no estimate when it is 0.
    """
    control, treatment = estimates.control, estimates.treatment
    if control == 0:
        return Interval(None, None, None)
    sign = 1.0 if control > 0 else -1.0  # Below zero, "more" still reads as a positive lift.
    estimate = sign * (treatment / control - 1)
    if not isfinite(critical):
        return Interval(estimate, None, None)
    squared = critical * critical
    g = squared * estimates.control_variance / (control * control)
    if g >= 1 or estimates.difference_variance == 0:
        return Interval(estimate, None, None)
    # The roots of a q**2 - 2 b q + c = 0, where q = 1 + r; everything in units of the control mean.
    ratio = treatment / control
    shared = squared * estimates.covariance / (control * control)
    own = squared * estimates.treatment_variance / (control * control)
    a, b = 1 - g, ratio - shared
    half = sqrt(max(b * b - a * (ratio * ratio - own), 0.0))
    lower, upper = (b - half) / a - 1, (b + half) / a - 1
    if sign < 0:
        lower, upper = -upper, -lower
    return Interval(estimate, lower, upper)


def one_sided(interval: Interval, *, alternative: Alternative = "greater") -> Interval:
    """The half of an interval that a one-sided test's critical value vouches for.

    "greater" keeps the lower bound (the treatment is at least so much above), "less" the upper.
    """
    if alternative == "greater":
        return Interval(interval.estimate, interval.ci_lower, None)
    return Interval(interval.estimate, None, interval.ci_upper)


def ruled_out_beyond(interval: Interval) -> float:
    """The largest absolute value inside an interval; infinite if unbounded."""
    if interval.ci_lower is None or interval.ci_upper is None:
        return inf
    return max(abs(interval.ci_lower), abs(interval.ci_upper))
