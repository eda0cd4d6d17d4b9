"""Two proportions in small samples, where the normal approximation of Welch's test strains.

Three intervals, for the difference and for the ratio (as a relative lift), each pair inverting one
test: a p-value is under alpha exactly when the difference's interval excludes 0, and then the
relative one does too.

- `miettinen_nurminen` (the default): score test with restricted maximum likelihood; the best
  coverage of the three. Source: Miettinen, Nurminen (Statistics in Medicine 4, 1985).
- `newcombe`: from each proportion's own Wilson interval. Sources: Newcombe (Statistics in Medicine
  17, 1998), method 10; the ratio by Donner, Zou (Stat. Methods in Medical Research 21, 2012).
- `agresti_caffo`: one success and one failure more in each variant, then as always. Source:
  Agresti, Caffo (The American Statistician 54, 2000); the ratio is Fieller's of the same numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt

from experiments.distributions import normal_quantile, normal_tail
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.estimation.score import difference_score, ratio_score, solved
from experiments.evidence.compare import Interval, relative_lift
from experiments.sums.aggregates import Aggregates

UNITS_MANY = 1_000
"""From so many units a variant on, Welch's test with the sample variance is as good."""

RATIO_LEAST, RATIO_MOST = 1e-12, 1e12
"""Where a ratio of proportions is searched."""

EVENTS_MANY = 20
"""... if there are so many successes and so many failures in each variant."""


@dataclass(frozen=True)
class Successes:
    """How many of one variant's units did it."""

    n: int
    events: int

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.events <= self.n:
            raise DataError(
                f"{self.events} successes of {self.n} units are impossible; 0 to n of n >= 1 are"
                " allowed"
            )

    @property
    def share(self) -> float:
        """Successes over units."""
        return self.events / self.n


@dataclass(frozen=True)
class SmallSample:
    """Both lifts and their common p-value.

    Attributes:
        lift_abs: Difference of the proportions.
        lift_rel: Ratio of the proportions, less 1; a bound of None is unbounded.
        method: For people: "Miettinen-Nurminen score".
    """

    lift_abs: Interval
    lift_rel: Interval
    pvalue: float
    method: str


def successes(aggregates: Aggregates, column: str) -> Successes:
    """A column of zeros and ones, counted again from its moments.

    Raises:
        DataError: If it holds anything but zeros and ones.
    """
    n = aggregates.n
    events = aggregates.mean(column) * n
    spread = aggregates.variance(column) * (n - 1)
    # Of zeros and ones, sum((x - mean)**2) is n p (1 - p); any other whole number adds to it.
    expected = events * (1 - aggregates.mean(column))
    rounding = 1e-6 + 1e-9 * n
    if abs(events - round(events)) > rounding or abs(spread - expected) > rounding:
        raise DataError(f"column {column!r} holds other values than 0 and 1; it is no proportion")
    return Successes(n, round(events))


def replaces_welch(control: Successes, treatment: Successes) -> bool:
    """Whether the sample is so small that these intervals are to be read instead of Welch's."""
    return any(
        arm.n < UNITS_MANY or min(arm.events, arm.n - arm.events) < EVENTS_MANY
        for arm in (control, treatment)
    )


def miettinen_nurminen(control: Successes, treatment: Successes, *, alpha: float) -> SmallSample:
    """Score intervals, and the score test that they invert."""
    critical = normal_quantile(1 - alpha / 2)

    def by_difference(delta: float) -> float:
        return difference_score(control.n, control.events, treatment.n, treatment.events, delta)

    def by_ratio(ratio: float) -> float:
        return ratio_score(control.n, control.events, treatment.n, treatment.events, ratio)

    estimate = treatment.share - control.share
    lower = solved(by_difference, critical, between=(-1.0, estimate))
    upper = solved(by_difference, -critical, between=(estimate, 1.0))
    z = by_difference(0.0)
    return SmallSample(
        Interval(estimate, lower, upper),
        _score_lift(control, treatment, by_ratio, critical),
        2 * normal_tail(abs(z)),
        "Miettinen-Nurminen score",
    )


def newcombe(control: Successes, treatment: Successes, *, alpha: float) -> SmallSample:
    """Hybrid score intervals from the variants' own Wilson limits."""
    critical = normal_quantile(1 - alpha / 2)
    lower, upper = _hybrid(control, treatment, critical)
    estimate = treatment.share - control.share

    def bound_next_to_zero(z: float) -> float:
        ends = _hybrid(control, treatment, z)
        return ends[0] if estimate > 0 else -ends[1]

    # The width grows with z: where the near bound meets 0 is the p-value's z.
    z = 0.0 if estimate == 0 else solved(bound_next_to_zero, 0.0, between=(0.0, 40.0))
    return SmallSample(
        Interval(estimate, lower, upper),
        _hybrid_lift(control, treatment, critical),
        2 * normal_tail(z),
        "Newcombe hybrid score",
    )


def agresti_caffo(control: Successes, treatment: Successes, *, alpha: float) -> SmallSample:
    """The usual interval after adding one success and one failure to each variant."""
    critical = normal_quantile(1 - alpha / 2)
    arms = [(arm.events + 1) / (arm.n + 2) for arm in (control, treatment)]
    variances = [
        share * (1 - share) / (arm.n + 2)
        for share, arm in zip(arms, (control, treatment), strict=True)
    ]
    deviation = sqrt(sum(variances))
    shifted = arms[1] - arms[0]
    fieller = relative_lift(
        Estimates(
            control=arms[0],
            treatment=arms[1],
            control_variance=variances[0],
            treatment_variance=variances[1],
            covariance=0.0,
            difference_variance=sum(variances),
            n_control=control.n,
            n_treatment=treatment.n,
            degrees_of_freedom=inf,
        ),
        critical=critical,
    )
    return SmallSample(
        Interval(
            treatment.share - control.share,
            max(shifted - critical * deviation, -1.0),
            min(shifted + critical * deviation, 1.0),
        ),
        Interval(_ratio_lift(control, treatment), fieller.ci_lower, fieller.ci_upper),
        2 * normal_tail(abs(shifted) / deviation),
        "Agresti-Caffo",
    )


def _ratio_lift(control: Successes, treatment: Successes) -> float | None:
    return treatment.share / control.share - 1 if control.events else None


def _score_lift(
    control: Successes,
    treatment: Successes,
    score: Callable[[float], float],
    critical: float,
) -> Interval:
    """The ratio's score interval, searched outward from the observed ratio."""
    estimate = _ratio_lift(control, treatment)
    if control.events == 0 and treatment.events == 0:
        return Interval(None, None, None)  # Any ratio of two rates near 0 could give this.
    observed = None if estimate is None else 1 + estimate
    lower, upper = -1.0, None
    if treatment.events > 0:
        lower = solved(score, critical, between=(RATIO_LEAST, observed or RATIO_MOST)) - 1
    if observed is not None:
        upper = solved(score, -critical, between=(max(observed, RATIO_LEAST), RATIO_MOST)) - 1
    return Interval(estimate, lower, upper)


def _wilson(arm: Successes, z: float) -> tuple[float, float]:
    """Limits of one proportion. Source: Wilson (JASA 22, 1927)."""
    n, share = arm.n, arm.share
    centre = share + z * z / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and at n successes one limit is the proportion itself, whatever rounding says.
    lower = 0.0 if arm.events == 0 else (centre - half) / scale
    upper = 1.0 if arm.events == n else (centre + half) / scale
    return lower, upper


def _hybrid(control: Successes, treatment: Successes, z: float) -> tuple[float, float]:
    (low_c, high_c), (low_t, high_t) = _wilson(control, z), _wilson(treatment, z)
    c, t = control.share, treatment.share
    return t - c - sqrt((t - low_t) ** 2 + (high_c - c) ** 2), t - c + sqrt(
        (high_t - t) ** 2 + (c - low_c) ** 2
    )


def _hybrid_lift(control: Successes, treatment: Successes, z: float) -> Interval:
    """Ratios R at which the hybrid interval of "treatment - R control" just touches 0."""
    (low_c, high_c), (low_t, high_t) = _wilson(control, z), _wilson(treatment, z)
    c, t = control.share, treatment.share
    if control.events == 0 and treatment.events == 0:
        return Interval(None, None, None)
    b = c * t

    # (t - R c)**2 = own**2 + (R other)**2, of which the smaller root: written without cancellation.
    a, rest = high_c * (2 * c - high_c), low_t * (2 * t - low_t)
    lower = rest / (b + sqrt(max(b * b - a * rest, 0.0))) if rest > 0 else 0.0
    a, rest = low_c * (2 * c - low_c), high_t * (2 * t - high_t)
    upper = (b + sqrt(max(b * b - a * rest, 0.0))) / a if a > 0 else None
    return Interval(
        _ratio_lift(control, treatment), lower - 1, None if upper is None else upper - 1
    )
