"""A few looks, each at a price paid from alpha: for programmes that are read weekly.

Narrower than the always-valid sequence when looks are few, and valid at the looks counted only.
What each look may spend depends on the share of the planned information that is in, so looks need
not be planned, and information may arrive unevenly. Futility is advice (non-binding): ignoring it
costs no alpha.
Sources: Lan, DeMets (Biometrika 70, 1983); Jennison, Turnbull, Group Sequential Methods (2000),
chapters 7 to 9 (repeated intervals) and 10 (conditional power). After stopping see `stopped`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt

from experiments.distributions import normal_tail
from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.boundaries import boundaries
from experiments.evidence.compare import Test, in_standard_errors, normal_score
from experiments.evidence.spending import OBRIEN_FLEMING, Spending

LARGEST_PVALUE = 0.9
"""Above it boundaries meet at zero; such a p-value is given as 1."""


@dataclass(frozen=True, kw_only=True)
class GroupSequentialPlan:
    """What was fixed before the start.

    Attributes:
        futility_below: Stopping for lack of prospects is advised once the conditional power falls
            under this; None for no advice.
    """

    alpha: float = 0.05
    spending: Spending = OBRIEN_FLEMING
    futility_below: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise PlanError(f"alpha {self.alpha} is not between 0 and 0.5")
        if self.futility_below is not None and not 0 < self.futility_below < 1:
            raise PlanError(f"futility_below {self.futility_below} is not between 0 and 1")


@dataclass(frozen=True)
class GroupSequentialTest:
    """All looks so far, read at the last.

    Attributes:
        test: Of the last look: its boundary as critical value (as Student's t, where units or
            clusters are few), which makes repeated intervals, and its repeated p-value, the alpha
            at which this look would just have crossed.
        running_pvalue: The alpha at which any look so far would just have crossed.
        fractions, criticals, spent: Per look: information, boundary (infinite where no alpha had
            come free), and alpha spent up to there.
        crossed_at: Number of the first look beyond its boundary, from 1; None if none.
        conditional_power: The chance to cross at the planned end in the good direction if things go
            on as they did; None once the planned information is in.
        conditional_power_planned: The same if the planned effect is true; None if none was given.
        is_futile: Whether the advice is to stop, by the plan's `futility_below`.
    """

    test: Test
    running_pvalue: float | None
    fractions: tuple[float, ...]
    criticals: tuple[float, ...]
    spent: tuple[float, ...]
    crossed_at: int | None
    conditional_power: float | None
    conditional_power_planned: float | None
    is_futile: bool


def information_fractions(
    looks: Sequence[Estimates],
    *,
    planned_variance: float | None = None,
    planned_sample: int | None = None,
) -> tuple[float, ...]:
    """The share of the planned information at each look; above 1 if more is in than planned.

    Args:
        planned_variance: Of the difference at the planned end: information is one over variance.
        planned_sample: Units in both variants instead, if no variance was planned.
    Raises:
        PlanError: Unless exactly one of the two is given, and above 0.
    """
    if (planned_variance is None) == (planned_sample is None):
        raise PlanError("give planned_variance or planned_sample, one of them")
    if planned_sample is not None:
        if planned_sample < 2:
            raise PlanError(f"a planned sample of {planned_sample} units is too small")
        return tuple((look.n_control + look.n_treatment) / planned_sample for look in looks)
    assert planned_variance is not None
    if not 0 < planned_variance < inf:
        raise PlanError(f"the planned variance is {planned_variance}; it must be above 0")
    # Nothing varied yet: nothing is known, rather than everything.
    return tuple(
        planned_variance / look.difference_variance if look.difference_variance > 0 else 0.0
        for look in looks
    )


def group_sequential(
    looks: Sequence[Estimates],
    *,
    plan: GroupSequentialPlan,
    fractions: Sequence[float],
    is_final: bool = False,
    better: str = "higher",
    planned_effect: float | None = None,
) -> GroupSequentialTest:
    """Read the last of these looks at its boundary.

    Args:
        looks: All data up to each look, oldest first.
        fractions: From `information_fractions`. A look without more information than the one before
            spends nothing.
        is_final: The last look ends the experiment short of the planned information and spends all
            that is left.
        planned_effect: treatment - control that the experiment was sized for.
    Raises:
        DataError: Without looks, or without as many fractions.
        PlanError: With more looks than `boundaries` takes.
    """
    if not looks or len(looks) != len(fractions):
        raise DataError(f"{len(looks)} looks and {len(fractions)} information fractions")
    zs = [normal_score(look) for look in looks]
    criticals = critical_values(fractions, plan, plan.alpha, is_final)
    spent = _spent(fractions, plan, plan.alpha, is_final)
    crossed_at = first_crossing(zs, criticals)
    z = zs[-1]
    last = running = None
    if z is not None:
        last = smallest_alpha(
            lambda alpha: abs(z) >= critical_values(fractions, plan, alpha, is_final)[-1]
        )
        running = smallest_alpha(
            lambda alpha: any(
                each is not None and abs(each) >= critical
                for each, critical in zip(
                    zs, critical_values(fractions, plan, alpha, is_final), strict=True
                )
            )
        )
    trend, planned = _conditional_powers(
        looks[-1], plan, fractions, is_final, better, planned_effect
    )
    relevant = trend if planned is None else planned
    futile = (
        plan.futility_below is not None and relevant is not None and relevant < plan.futility_below
    )
    last_look = in_standard_errors(criticals[-1], degrees_of_freedom=looks[-1].degrees_of_freedom)
    return GroupSequentialTest(
        test=Test(last_look, last, f"group sequential ({plan.spending.kind} spending)"),
        running_pvalue=running,
        fractions=tuple(fractions),
        criticals=criticals,
        spent=spent,
        crossed_at=crossed_at,
        conditional_power=trend,
        conditional_power_planned=planned,
        is_futile=futile and crossed_at is None,
    )


def first_crossing(zs: Sequence[float | None], criticals: Sequence[float]) -> int | None:
    """Number of the first look at or beyond its boundary, from 1."""
    for place, (z, critical) in enumerate(zip(zs, criticals, strict=True), start=1):
        if z is not None and abs(z) >= critical:
            return place
    return None


def _spent(
    fractions: Sequence[float], plan: GroupSequentialPlan, alpha: float, is_final: bool
) -> tuple[float, ...]:
    """Alpha spent up to each look; information that seems to shrink gives nothing back."""
    known, spent = 0.0, []
    for fraction in fractions:
        known = max(known, fraction)
        spent.append(plan.spending.spent(known, alpha=alpha))
    if is_final:
        spent[-1] = alpha
    return tuple(spent)


def informative(fractions: Sequence[float]) -> list[int]:
    """Places of the looks that hold more information than every look before them."""
    places, known = [], 0.0
    for place, fraction in enumerate(fractions):
        if fraction > known * (1 + 1e-9):
            places.append(place)
            known = fraction
    return places


def critical_values(
    fractions: Sequence[float], plan: GroupSequentialPlan, alpha: float, is_final: bool
) -> tuple[float, ...]:
    """The boundary at every look; infinite where there was no new information."""
    spent = _spent(fractions, plan, alpha, is_final)
    places = informative(fractions)
    found = [inf] * len(fractions)
    if places:
        bounds = boundaries(
            [fractions[place] for place in places], spent=[spent[place] for place in places]
        )
        for place, bound in zip(places, bounds, strict=True):
            found[place] = bound
    return tuple(found)


def smallest_alpha(crosses: Callable[[float], bool]) -> float:
    """The p-value: where crossing begins, to five digits."""
    high, low = log(LARGEST_PVALUE), log(1e-12)
    if not crosses(exp(high)):
        return 1.0
    if crosses(exp(low)):
        return exp(low)
    while high - low > 1e-5:
        middle = (low + high) / 2
        if crosses(exp(middle)):
            high = middle
        else:
            low = middle
    return exp(high)


def _conditional_powers(
    look: Estimates,
    plan: GroupSequentialPlan,
    fractions: Sequence[float],
    is_final: bool,
    better: str,
    planned_effect: float | None,
) -> tuple[float | None, float | None]:
    """The chance to cross at the planned end: by the trend, and under the planned effect."""
    fraction, z = fractions[-1], normal_score(look)
    if is_final or z is None or not 0 < fraction < 1:
        return None, None
    sign = 1 if better == "higher" else -1
    last = critical_values([*fractions, 1.0], plan, plan.alpha, False)[-1]
    done = sign * z * sqrt(fraction)

    def power(drift: float) -> float:
        missing = last - done - drift * (1 - fraction)
        return normal_tail(missing / sqrt(1 - fraction))

    planned = None
    if planned_effect is not None:
        planned = power(sign * planned_effect / sqrt(look.difference_variance * fraction))
    return power(done / fraction), planned
