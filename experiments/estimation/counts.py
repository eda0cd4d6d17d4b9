"""Counts per unit (orders, visits): spread wider than chance, and sometimes very rare.

A mean of counts is compared as any mean, by its sample variance: people differ, so counts are
over-dispersed, and a Poisson test would find effects in noise. A rate per time at risk is a ratio
metric over the exposure column, for the same reason. Only when there are too few events for any
variance to be known does the exact conditional test take over, and it says what it assumes.
"""

from dataclasses import dataclass
from math import isfinite

from experiments.errors import DataError
from experiments.evidence.compare import Interval
from experiments.sums.aggregates import Aggregates

EVENTS_MANY = 20
"""Fewer events than this in a variant leave its variance unknown."""

DISPERSION_WIDE = 1.5
"""Variance over mean from which events visibly come in bunches; Poisson's is 1."""


@dataclass(frozen=True)
class Counted:
    """One variant's counts.

    Attributes:
        total: Events of all units.
        dispersion: Variance over mean: 1 for Poisson counts, more when units differ; None when
            there is no event.
    """

    n: int
    total: float
    mean: float
    variance: float
    dispersion: float | None


@dataclass(frozen=True)
class Events:
    """Events of one variant and the time they could occur in (or units, if all were watched alike).

    Attributes:
        exposure: In any unit, the same for both variants.
    """

    count: int
    exposure: float

    def __post_init__(self) -> None:
        if self.count < 0 or not isfinite(self.exposure) or self.exposure <= 0:
            raise DataError(
                f"{self.count} events in an exposure of {self.exposure:g}: at least 0 events and an"
                " exposure above 0 are needed"
            )


@dataclass(frozen=True)
class RateRatio:
    """The ratio of two rates, less 1, with its exact interval and the p-value that agrees."""

    lift_rel: Interval
    pvalue: float
    method: str


def counted(aggregates: Aggregates, column: str) -> Counted:
    """What one variant's counts look like.

    Raises:
        DataError: If there is no unit, or the mean is below 0.
    """
    if aggregates.n == 0:
        raise DataError(f"column {column!r}: no unit was counted")
    mean, variance = aggregates.mean(column), aggregates.variance(column)
    if mean < 0:
        raise DataError(f"column {column!r} is {mean:g} on average; counts are not negative")
    return Counted(
        n=aggregates.n,
        total=mean * aggregates.n,
        mean=mean,
        variance=variance,
        dispersion=variance / mean if mean > 0 else None,
    )


def is_rare(control: Counted, treatment: Counted) -> bool:
    """Whether `exact_rate_ratio` is to be read instead of Welch's test.

    Few events in a variant, and none of them in bunches that the exact test would mistake for many.
    """
    arms = (control, treatment)
    return min(arm.total for arm in arms) < EVENTS_MANY and all(
        arm.dispersion is None or arm.dispersion <= DISPERSION_WIDE for arm in arms
    )


def cautions(control: Counted, treatment: Counted) -> list[str]:
    """What a reader must know before trusting an interval of these counts."""
    least = min(control.total, treatment.total)
    if least >= EVENTS_MANY:
        return []
    said = [f"only {least:.0f} events in a variant: the interval is a rough approximation"]
    widest = max(arm.dispersion or 0.0 for arm in (control, treatment))
    if widest > DISPERSION_WIDE:
        said.append(
            f"events come in bunches (variance {widest:.1f} times the mean), so the exact test of"
            " rare counts would be too sure as well"
        )
    return said


def exact_rate_ratio(control: Events, treatment: Events, *, alpha: float) -> RateRatio:
    """Conditional test of two rare rates; assumes that events occur independently of each other.

    Given how many events there were in all, those of the treatment are binomial. The two tails are
    doubled, so that the p-value agrees with the Clopper-Pearson interval.
    Sources: Przyborowski, Wilenski (Biometrika 31, 1940); Clopper, Pearson (Biometrika 26, 1934);
    Fay (Biostatistics 11, 2010) for the doubling.
    """
    from scipy import special

    x, total = treatment.count, control.count + treatment.count
    relative = treatment.exposure / control.exposure
    method = "exact conditional test"
    if total == 0:
        return RateRatio(Interval(None, None, None), 1.0, method)
    null = treatment.exposure / (control.exposure + treatment.exposure)
    at_most = float(special.bdtr(x, total, null))
    at_least = 1.0 if x == 0 else float(special.bdtrc(x - 1, total, null))
    lower = upper = None
    share = 0.0 if x == 0 else float(special.betaincinv(x, total - x + 1, alpha / 2))
    lower = share / (1 - share) / relative - 1
    if x < total:
        share = float(special.betaincinv(x + 1, total - x, 1 - alpha / 2))
        upper = share / (1 - share) / relative - 1
    estimate = x / control.count / relative - 1 if control.count else None
    return RateRatio(Interval(estimate, lower, upper), min(2 * min(at_most, at_least), 1.0), method)
