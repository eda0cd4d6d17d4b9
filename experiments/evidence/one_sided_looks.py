"""A few looks at one direction: better is claimed, or it is given up, and worse is never claimed.

All of alpha is spent above. Giving up is spent from beta, the chance to miss the planned effect: at
each look a boundary below which going on is not worth while. It is advice (non-binding): the upper
boundary is computed as if nobody followed it, so ignoring it costs no alpha, and following it makes
the test only more careful. For an experiment that would not be shipped if it is worse or the same,
one side at alpha / 2 claims as much as two sides at alpha.
Sources: Lan, DeMets (Biometrika 70, 1983); Pampallona, Tsiatis, Kim (Drug Information Journal 35,
2001) for spending beta; Jennison, Turnbull, Group Sequential Methods (2000), chapters 4 and 7.
Read next: `group_sequential`, both sides; `spending`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from experiments.distributions import normal_quantile
from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.boundaries import crossing, lower_boundaries, upper_boundaries
from experiments.evidence.compare import Alternative, Test, in_standard_errors, normal_score
from experiments.evidence.group_sequential import informative, smallest_alpha
from experiments.evidence.spending import OBRIEN_FLEMING, Spending

DRIFT_MAX = 20.0


@dataclass(frozen=True, kw_only=True)
class OneSidedPlan:
    """What was fixed before the start.

    Attributes:
        alpha: All on the one side; 0.025 claims as much as both sides at 0.05.
        power: Wished at the planned effect; what is left of 1 is beta.
        futility: How beta is spent; None for no advice to give up.
        planned_looks: Shares of the planned information, rising to 1, that it is sized for.
        alternative: The direction that would be claimed.
    """

    planned_looks: tuple[float, ...]
    alpha: float = 0.025
    power: float = 0.9
    spending: Spending = OBRIEN_FLEMING
    futility: Spending | None = None
    alternative: Alternative = "greater"

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise PlanError(f"alpha {self.alpha} is not between 0 and 0.5")
        if not 0.5 < self.power < 1:
            raise PlanError(f"power {self.power} is not between 0.5 and 1")
        rising = all(
            a < b for a, b in zip((0.0, *self.planned_looks), self.planned_looks, strict=False)
        )
        if not self.planned_looks or not rising or self.planned_looks[-1] != 1:
            raise PlanError(f"looks {self.planned_looks} must rise from above 0 to 1")


@dataclass(frozen=True)
class OneSidedDesign:
    """Boundaries at the planned looks, and what they cost.

    Attributes:
        upper: Better is claimed at or above, in standard errors.
        lower: Giving up is advised below; the last one is the upper one. Empty without futility.
        alpha_spent, beta_spent: Up to each look.
        drift: Expected statistic at the end, if the effect is as planned.
        inflation: Largest sample, as a multiple of a single look's of the same power.
        expected_share, expected_share_if_none: Of the largest sample, used on average under the
            planned effect and under none, if the advice is followed.
    """

    upper: tuple[float, ...]
    lower: tuple[float, ...]
    alpha_spent: tuple[float, ...]
    beta_spent: tuple[float, ...]
    drift: float
    inflation: float
    expected_share: float
    expected_share_if_none: float


@dataclass(frozen=True)
class OneSidedLooks:
    """All looks so far, read at the last.

    Attributes:
        test: Of the last look: its boundary, and the repeated one-sided p-value. The bound that
            goes with it: `one_sided(absolute_lift(…, critical=test.critical))`.
        running_pvalue: The alpha at which any look so far would just have crossed.
        upper, lower: Per look; lower is empty without futility.
        crossed_at, futile_at: The first look beyond either, from 1; futility counts before a
            crossing only.
    """

    test: Test
    running_pvalue: float | None
    upper: tuple[float, ...]
    lower: tuple[float, ...]
    crossed_at: int | None
    futile_at: int | None


@lru_cache(maxsize=64)
def one_sided_design(plan: OneSidedPlan) -> OneSidedDesign:
    """Boundaries at the planned looks.

    Raises:
        PlanError: If so much of beta is spent early that the power cannot be reached.
    """
    looks = plan.planned_looks
    alpha_spent = _spent(plan.spending, plan.alpha, looks)
    upper = upper_boundaries(looks, spent=alpha_spent)
    beta_spent: tuple[float, ...] = ()
    lower: tuple[float, ...] = ()
    if plan.futility is not None:
        beta_spent = _spent(plan.futility, 1 - plan.power, looks)

    def given_up(drift: float) -> tuple[float, ...]:
        if not beta_spent:
            return (-inf,) * len(looks)
        return lower_boundaries(looks, upper=upper, spent=beta_spent, drift=drift)

    # The last lower boundary is the upper one: nothing is left undecided, and beta comes out.
    drift = _solved(lambda it: _power(looks, upper, given_up(it), it) - plan.power)
    if beta_spent:
        lower = (*given_up(drift)[:-1], upper[-1])
    below = lower or (-inf,) * len(looks)
    single = normal_quantile(1 - plan.alpha) + normal_quantile(plan.power)
    return OneSidedDesign(
        upper=upper,
        lower=lower,
        alpha_spent=alpha_spent,
        beta_spent=beta_spent,
        drift=drift,
        inflation=(drift / single) ** 2,
        expected_share=_expected(looks, upper, below, drift),
        expected_share_if_none=_expected(looks, upper, below, 0.0),
    )


def one_sided_group_sequential(
    looks: Sequence[Estimates],
    *,
    plan: OneSidedPlan,
    fractions: Sequence[float],
    is_final: bool = False,
) -> OneSidedLooks:
    """Read the last of these looks at its boundary; looks may fall on other days than planned.

    Args:
        looks: All data up to each look, oldest first.
        fractions: From `information_fractions`. A look without more information than the one before
            spends nothing.
        is_final: The last look ends the experiment short of the planned information and spends all
            that is left.
    Raises:
        DataError: Without looks, or without as many fractions.
    """
    if not looks or len(looks) != len(fractions):
        raise DataError(f"{len(looks)} looks and {len(fractions)} information fractions")
    sign = 1.0 if plan.alternative == "greater" else -1.0
    zs = [None if (z := normal_score(look)) is None else sign * z for look in looks]
    upper = _upper(plan, fractions, plan.alpha, is_final)
    lower = _lower(plan, fractions, upper)
    crossed_at = _first(z is not None and z >= c for z, c in zip(zs, upper, strict=True))
    futile_at = _first(z is not None and z < c for z, c in zip(zs, lower, strict=False))
    last = running = None
    final = zs[-1]
    if final is not None:
        last = smallest_alpha(lambda a: final >= _upper(plan, fractions, a, is_final)[-1])
        running = smallest_alpha(
            lambda a: any(
                z is not None and z >= c
                for z, c in zip(zs, _upper(plan, fractions, a, is_final), strict=True)
            )
        )
    if crossed_at is not None and futile_at is not None and futile_at > crossed_at:
        futile_at = None
    critical = in_standard_errors(upper[-1], degrees_of_freedom=looks[-1].degrees_of_freedom)
    return OneSidedLooks(
        test=Test(critical, last, f"one-sided group sequential ({plan.spending.kind} spending)"),
        running_pvalue=running,
        upper=upper,
        lower=lower,
        crossed_at=crossed_at,
        futile_at=futile_at,
    )


# --- below: what is spent, and what it gives ------------------------------------------------------


def _spent(spending: Spending, total: float, fractions: Sequence[float]) -> tuple[float, ...]:
    """Spent up to each look; information that seems to shrink gives nothing back."""
    known, found = 0.0, []
    for fraction in fractions:
        known = max(known, fraction)
        found.append(spending.spent_on_one_side(known, alpha=total))
    return tuple(found)


def _upper(
    plan: OneSidedPlan, fractions: Sequence[float], alpha: float, is_final: bool
) -> tuple[float, ...]:
    spent = [*_spent(plan.spending, alpha, fractions)]
    if is_final:
        spent[-1] = alpha
    places = informative(fractions)
    found = [inf] * len(fractions)
    if places:
        bounds = upper_boundaries(
            [fractions[place] for place in places], spent=[spent[place] for place in places]
        )
        for place, bound in zip(places, bounds, strict=True):
            found[place] = bound
    return tuple(found)


def _lower(
    plan: OneSidedPlan, fractions: Sequence[float], upper: Sequence[float]
) -> tuple[float, ...]:
    if plan.futility is None:
        return ()
    spent = _spent(plan.futility, 1 - plan.power, fractions)
    places = [place for place in informative(fractions) if fractions[place] < 1]
    found = [-inf] * len(fractions)
    if places:
        bounds = lower_boundaries(
            [fractions[place] for place in places], upper=[upper[place] for place in places],
            spent=[spent[place] for place in places], drift=one_sided_design(plan).drift,
        )  # fmt: skip
        for place, bound in zip(places, bounds, strict=True):
            found[place] = bound
    for place, fraction in enumerate(fractions):
        if fraction >= 1:  # The end decides: what is not above is given up.
            found[place] = upper[place]
    return tuple(found)


def _power(
    looks: Sequence[float], upper: Sequence[float], lower: Sequence[float], drift: float
) -> float:
    return sum(crossing(looks, lower=lower, upper=upper, drift=drift).upper)


def _solved(excess: Callable[[float], float]) -> float:
    """The drift at which the power is as wished."""
    from scipy import optimize

    if excess(DRIFT_MAX) < 0:
        raise PlanError("no effect is large enough for this power; spend less of beta early")
    return float(optimize.brentq(excess, 0.0, DRIFT_MAX, xtol=1e-10))


def _first(held: Iterable[bool]) -> int | None:
    return next((place for place, it in enumerate(held, start=1) if it), None)


def _expected(
    looks: Sequence[float], upper: Sequence[float], lower: Sequence[float], drift: float
) -> float:
    left = crossing(looks, lower=lower, upper=upper, drift=drift)
    chances = [up + down for up, down in zip(left.upper, left.lower, strict=True)]
    early = sum(t * chance for t, chance in zip(looks[:-1], chances[:-1], strict=True))
    return early + 1 - sum(chances[:-1])
