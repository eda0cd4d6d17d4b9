"""What the right to look several times costs in sample, under group-sequential boundaries.

The statistic at information fraction t is N(drift * sqrt(t), 1), with independent increments;
`evidence.boundaries` integrates it. The drift that reaches the wished power, squared and divided by
that of a single look, is the inflation of the largest sample. On average less is used, because one
stops early.
Source: Jennison, Turnbull (2000), chapter 2; its tables 2.2 and 2.4 are the check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from experiments.distributions import normal_quantile
from experiments.errors import PlanError
from experiments.evidence.boundaries import boundaries, crossing
from experiments.evidence.spending import Spending

STEPS = 50
"""Halvings of the drift: to 1e-14."""


@dataclass(frozen=True)
class LooksCost:
    """A group-sequential design beside a single look at the end.

    Attributes:
        drift: Expected value of the statistic at the last look.
        inflation: Largest sample, as a multiple of a single look's.
        expected_share: Of the largest sample, used on average if the effect is as planned.
        expected_share_if_none: The same if there is no effect at all.
        stop_chances: Of crossing at each look and not before, if the effect is as planned.
    """

    drift: float
    inflation: float
    expected_share: float
    expected_share_if_none: float
    stop_chances: tuple[float, ...]


def spent_boundaries(
    fractions: Sequence[float], *, spending: Spending, alpha: float
) -> tuple[float, ...]:
    """Two-sided critical values at planned looks, the last at 1, that spend alpha as told."""
    check_fractions(fractions)
    spent = [spending.spent(fraction, alpha=alpha) for fraction in fractions]
    return _boundaries(tuple(fractions), tuple(spent))


def looks_cost(
    fractions: Sequence[float], critical: Sequence[float], *, alpha: float, power: float
) -> LooksCost:
    """The cost of two-sided boundaries.

    Args:
        fractions: Share of the information at each look, rising, the last 1.
        critical: Standard errors at which each look stops for an effect.
        alpha: What the boundaries spend in all; a single look's test uses it too.
    Raises:
        PlanError: If the looks do not rise to 1, or numbers do not match.
    """
    check_fractions(fractions)
    if len(critical) != len(fractions):
        raise PlanError(f"{len(fractions)} looks with {len(critical)} boundaries; give one each")
    looks, edges = tuple(fractions), tuple(critical)
    drift = drift_for(looks, edges, power)
    chances = crossing_chances(looks, edges, drift=drift)
    idle = crossing_chances(looks, edges, drift=0.0)
    single = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return LooksCost(
        drift,
        (drift / single) ** 2,
        _expected(looks, chances),
        _expected(looks, idle),
        chances,
    )


def crossing_chances(
    fractions: Sequence[float], critical: Sequence[float], *, drift: float
) -> tuple[float, ...]:
    """Chance of crossing for the first time at each look, on either side."""
    found = crossing(fractions, lower=[-c for c in critical], upper=critical, drift=drift)
    return tuple(up + down for up, down in zip(found.upper, found.lower, strict=True))


@lru_cache(maxsize=64)
def drift_for(fractions: tuple[float, ...], critical: tuple[float, ...], power: float) -> float:
    """The drift at which the boundaries are crossed with this chance, which rises with it."""
    if not 0 < power < 1:
        raise PlanError(f"power {power} is not between 0 and 1")
    low, high = 0.0, 20.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if sum(crossing_chances(fractions, critical, drift=middle)) < power:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def check_fractions(fractions: Sequence[float]) -> None:
    """Refuse planned looks that do not rise from above 0 to 1."""
    rising = all(a < b for a, b in zip([0.0, *fractions], fractions, strict=False))
    if not fractions or not rising or abs(fractions[-1] - 1) > 1e-9:
        shown = ", ".join(f"{fraction:g}" for fraction in fractions) or "nothing"
        raise PlanError(f"looks at {shown} of the information: they must rise, and end at 1")


@lru_cache(maxsize=64)
def _boundaries(fractions: tuple[float, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    return boundaries(fractions, spent=spent)


def _expected(fractions: Sequence[float], chances: Sequence[float]) -> float:
    """Mean share of the sample at the end; whoever never crosses uses all of it."""
    early = sum(t * chance for t, chance in zip(fractions, chances, strict=True))
    return early + 1 - sum(chances)
