"""How many units, how small an effect, how many days: what to know before the start.

Normal approximation: with planned shares w of N units the difference has variance
(v_control / w_control + v_treatment / w_treatment) / N, and the test finds a difference d with the
wished power when d equals (critical + z_power) standard errors.
MDE: the minimum detectable effect.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, Literal, get_args

from experiments.distributions import normal_quantile, normal_tail
from experiments.errors import PlanError
from experiments.evidence.sequential import (
    critical_value,
    mixture_variance,
    one_sided_critical_value,
)
from experiments.evidence.spending import Spending
from experiments.sizing.arms import dunnett_critical
from experiments.sizing.looks import (
    check_fractions,
    crossing_chances,
    drift_for,
    spent_boundaries,
)

Method = Literal["fixed", "sequential", "group_sequential"]
Sharing = Literal["bonferroni", "dunnett"]

OBRIEN_FLEMING = Spending()

LARGE = 10**6
"""At the planned sample a confidence sequence's width no longer depends on that sample."""


HALVINGS: Final = 60
"""More do not change a double."""
CERTAIN: Final = 1 - 1e-12
"""Of the largest lift of a proportion: a share past 1 by rounding is none."""


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
        design_effect: What clusters multiply the variance by (`design_effects`).
        method: `sequential` needs more units, for the right to look at any time;
            `group_sequential` a few more, for looks at planned shares of the sample.
        looks: Those shares, rising to 1.
        spending: How alpha is spent over them.
        comparisons: How many treatments share alpha.
        sharing: `bonferroni` (Holm needs no more), or `dunnett`, which knows that all share one
            control; for one look only.
        sided: `one` tests one direction at the whole alpha, as a margin is (`non_inferiority`).
    """

    alpha: float = 0.05
    power: float = 0.8
    control_share: float = 0.5
    variance_reduction: float = 0.0
    design_effect: float = 1.0
    method: Method = "fixed"
    looks: tuple[float, ...] = ()
    spending: Spending = OBRIEN_FLEMING
    comparisons: int = 1
    sharing: Sharing = "bonferroni"
    sided: Literal["two", "one"] = "two"

    def __post_init__(self) -> None:
        for name in ("alpha", "power", "control_share"):
            if not 0 < getattr(self, name) < 1:
                raise PlanError(f"{name} {getattr(self, name)} is not between 0 and 1")
        if not 0 <= self.variance_reduction < 1:
            raise PlanError(f"variance_reduction {self.variance_reduction} is not in [0, 1)")
        if self.design_effect <= 0:
            raise PlanError(f"design_effect {self.design_effect} is not above 0")
        if self.comparisons < 1:
            raise PlanError(f"{self.comparisons} comparisons leave nothing to plan")
        if self.method not in get_args(Method):
            raise PlanError(
                f"method {self.method!r} is unknown; allowed are {', '.join(get_args(Method))}"
            )
        if self.method == "group_sequential":
            check_fractions(self.looks)
        elif self.looks:
            raise PlanError("looks= belong to method=group_sequential only")
        if self.sharing == "dunnett" and (self.method != "fixed" or self.sided == "one"):
            raise PlanError("dunnett is for one two-sided look; else let the arms share alpha")

    @property
    def critical(self) -> float:
        """Standard errors from 0 at which the test speaks; under several looks, at the last."""
        alpha = self.alpha / self.comparisons
        sides = 2 if self.sided == "two" else 1
        match self.method:
            case "fixed" if self.sharing == "dunnett":
                return dunnett_critical(
                    alpha=self.alpha,
                    arms=self.comparisons,
                    control_weight=self.control_share,
                    arm_weight=1 - self.control_share,
                )
            case "fixed":
                return normal_quantile(1 - alpha / sides)
            case "sequential" if sides == 1:
                rho2 = mixture_variance(alpha=min(2 * alpha, 0.99), planned_sample=LARGE)
                return one_sided_critical_value(alpha=alpha, n=LARGE, rho2=rho2)
            case "sequential":
                rho2 = mixture_variance(alpha=alpha, planned_sample=LARGE)
                return critical_value(alpha=alpha, n=LARGE, rho2=rho2)
            case "group_sequential":
                return self._edges[-1]

    @property
    def reach(self) -> float:
        """Standard errors from 0 at which the truth must lie to be found with the power."""
        if self.method == "group_sequential":
            return drift_for(self.looks, self._edges, self.power)
        return self.critical + normal_quantile(self.power)

    def chance(self, shift: float) -> float:
        """Chance that the test speaks when the truth lies `shift` standard errors from 0."""
        if self.method == "group_sequential":
            return sum(crossing_chances(self.looks, self._edges, drift=shift))
        found = normal_tail(self.critical - shift)
        return found if self.sided == "one" else found + normal_tail(self.critical + shift)

    @property
    def _edges(self) -> tuple[float, ...]:
        """One direction at alpha has the boundary of two at twice alpha."""
        alpha = self.alpha / self.comparisons * (2 if self.sided == "one" else 1)
        return spent_boundaries(self.looks, spending=self.spending, alpha=min(alpha, 0.99))


@dataclass(frozen=True)
class SampleSize:
    """Units needed, per variant and together."""

    control: int
    treatment: int

    @property
    def total(self) -> int:
        """Both variants."""
        return self.control + self.treatment

    def total_of(self, arms: int) -> int:
        """One control and so many treatments of this size."""
        return self.control + arms * self.treatment


def sample_size(outcome: Outcome, *, lift: float, design: Design) -> SampleSize:
    """Units that find a relative `lift` (0.1 is +10 %) with the design's power."""
    if lift == 0:
        raise PlanError(
            "no number of units detects a lift of 0; name the smallest one that matters"
        )
    spread = unit_variance(outcome, lift, design)
    return divided(design.reach**2 * spread / (lift * outcome.mean) ** 2, design)


def divided(total: float, design: Design) -> SampleSize:
    """So many units, as the design shares them."""
    return SampleSize(
        control=ceil(total * design.control_share),
        treatment=ceil(total * (1 - design.control_share)),
    )


def minimum_detectable_lift(outcome: Outcome, *, n: int, design: Design) -> float:
    """The smallest positive relative lift that n units in both variants find (MDE).

    The variance of a proportion moves with the lift, so the lift solves an equation: the interval
    from none to certainty is halved until it is found.

    Raises:
        PlanError: If even the largest possible lift of a proportion needs more units.
    """
    if n < 2:
        raise PlanError(f"{n} units are too few to compare two variants")

    def needed(lift: float) -> float:
        error = sqrt(unit_variance(outcome, lift, design) / n)
        return design.reach * error / abs(outcome.mean)

    if not outcome.is_proportion:
        return needed(0.0)
    low, high = 0.0, (1 / outcome.mean - 1) * CERTAIN
    if needed(high) > high:
        raise PlanError(f"{n:,} units are too few: no lift of {needed(0.0):.1%} would show")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) > middle else (low, middle)
    return high


def achieved_power(outcome: Outcome, *, lift: float, n: int, design: Design) -> float:
    """The chance that n units in both variants find this relative lift."""
    error = sqrt(unit_variance(outcome, lift, design) / n)
    return design.chance(abs(lift * outcome.mean) / error)


def days_needed(n: int, *, units_per_day: float) -> int:
    """Days until n units have arrived, rounded up to whole weeks so that weekdays balance."""
    if units_per_day <= 0:
        raise PlanError(f"with {units_per_day} units a day the sample is never reached")
    return 7 * ceil(n / units_per_day / 7)


def unit_variance(outcome: Outcome, lift: float, design: Design) -> float:
    """Variance of the difference, times the number of units."""
    spread = outcome.variance / design.control_share + outcome.variance_at(lift) / (
        1 - design.control_share
    )
    return spread * (1 - design.variance_reduction) * design.design_effect
