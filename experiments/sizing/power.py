"""How many units, how small an effect, how many days: what to know before the start.

Normal approximation: with planned shares w of N units the difference has variance
(v_control / w_control + v_treatment / w_treatment) / N, and the test finds a difference d with the
wished power when d equals (critical + z_power) standard errors.
MDE: the minimum detectable effect.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from experiments.distributions import normal_quantile, normal_tail
from experiments.errors import PlanError
from experiments.evidence.sequential import critical_value, mixture_variance


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is known of a metric before the start, from the past.

    Attributes:
        mean: In the control, not 0 (lifts are relative to it).
        variance: Per unit.
        is_proportion: Whether the variance follows the mean, as p (1 - p) does.
    """

    mean: float
    variance: float
    is_proportion: bool = False

    def __post_init__(self) -> None:
        if self.mean == 0 or self.variance <= 0:
            raise PlanError(
                f"a mean of {self.mean} with variance {self.variance} cannot be planned for; both"
                " must differ from 0"
            )

    @classmethod
    def proportion(cls, share: float) -> "Outcome":
        """A conversion-like metric: `share` in (0, 1) of units convert without treatment."""
        if not 0 < share < 1:
            raise PlanError(f"a share of {share} is not between 0 and 1")
        return cls(mean=share, variance=share * (1 - share), is_proportion=True)

    def variance_at(self, lift: float) -> float:
        """Variance per unit in a treatment with this relative lift."""
        if not self.is_proportion:
            return self.variance
        share = self.mean * (1 + lift)
        if not 0 <= share <= 1:
            raise PlanError(f"a lift of {lift:+.0%} takes {self.mean:.1%} outside 0 to 100 %")
        return share * (1 - share)


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the experiment will be run and read.

    Attributes:
        control_share: Of the units of this comparison; the treatment has the rest.
        variance_reduction: Share of variance that covariates explain (CUPED), in [0, 1).
        method: `sequential` needs more units, for the right to look at any time.
        comparisons: How many share alpha (Bonferroni; Holm needs no more).
    """

    alpha: float = 0.05
    power: float = 0.8
    control_share: float = 0.5
    variance_reduction: float = 0.0
    method: Literal["fixed", "sequential"] = "fixed"
    comparisons: int = 1

    def __post_init__(self) -> None:
        for name in ("alpha", "power", "control_share"):
            if not 0 < getattr(self, name) < 1:
                raise PlanError(f"{name} {getattr(self, name)} is not between 0 and 1")
        if not 0 <= self.variance_reduction < 1:
            raise PlanError(f"variance_reduction {self.variance_reduction} is not in [0, 1)")
        if self.comparisons < 1:
            raise PlanError(f"{self.comparisons} comparisons leave nothing to plan")

    @property
    def critical(self) -> float:
        """Standard errors from 0 at which the test speaks."""
        alpha = self.alpha / self.comparisons
        if self.method == "fixed":
            return normal_quantile(1 - alpha / 2)
        # At the planned sample the width no longer depends on that sample.
        return critical_value(
            alpha=alpha, n=10**6, rho2=mixture_variance(alpha=alpha, planned_sample=10**6)
        )


@dataclass(frozen=True)
class SampleSize:
    """Units needed, per variant and together."""

    control: int
    treatment: int

    @property
    def total(self) -> int:
        """Both variants."""
        return self.control + self.treatment


def sample_size(outcome: Outcome, *, lift: float, design: Design) -> SampleSize:
    """Units that find a relative `lift` (0.1 is +10 %) with the design's power."""
    if lift == 0:
        raise PlanError(
            "no number of units detects a lift of 0; name the smallest one that matters"
        )
    reach = design.critical + normal_quantile(design.power)
    total = reach**2 * _unit_variance(outcome, lift, design) / (lift * outcome.mean) ** 2
    return SampleSize(
        control=ceil(total * design.control_share),
        treatment=ceil(total * (1 - design.control_share)),
    )


def minimum_detectable_lift(outcome: Outcome, *, n: int, design: Design) -> float:
    """The smallest positive relative lift that n units in both variants find (MDE).

    For a proportion the variance grows with the lift, so the lift solves an equation: iterated from
    the control's variance, which converges because the variance moves slowly.
    Raises:
        PlanError: If even the largest possible lift of a proportion needs more units.
    """
    if n < 2:
        raise PlanError(f"{n} units are too few to compare two variants")
    reach = design.critical + normal_quantile(design.power)
    lift = 0.0
    for _ in range(100):
        found = reach * sqrt(_unit_variance(outcome, lift, design) / n) / abs(outcome.mean)
        if outcome.is_proportion and outcome.mean * (1 + found) > 1:
            raise PlanError(f"{n:,} units are too few: no lift of {outcome.mean:.1%} would show")
        if abs(found - lift) <= 1e-12 * found:
            break
        lift = found
    return found


def achieved_power(outcome: Outcome, *, lift: float, n: int, design: Design) -> float:
    """The chance that n units in both variants find this relative lift."""
    error = sqrt(_unit_variance(outcome, lift, design) / n)
    shift = abs(lift * outcome.mean) / error
    return normal_tail(design.critical - shift) + normal_tail(design.critical + shift)


def days_needed(n: int, *, units_per_day: float) -> int:
    """Days until n units have arrived, rounded up to whole weeks so that weekdays balance."""
    if units_per_day <= 0:
        raise PlanError(f"with {units_per_day} units a day the sample is never reached")
    return 7 * ceil(n / units_per_day / 7)


def _unit_variance(outcome: Outcome, lift: float, design: Design) -> float:
    """Variance of the difference, times the number of units."""
    spread = outcome.variance / design.control_share + outcome.variance_at(lift) / (
        1 - design.control_share
    )
    return spread * (1 - design.variance_reduction)
