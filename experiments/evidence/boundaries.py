"""Boundaries that a test statistic crosses with a given chance, look by look.

The statistic after each look is normal with mean `drift` times the root of the information, and its
increments are independent. Its density among paths that have not crossed is carried from look to
look by numerical integration.
Source: Armitage, McPherson, Rowe (JRSS A 132, 1969); the grid is the one of Jennison and Turnbull,
Group Sequential Methods (2000), chapter 19.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from experiments.errors import PlanError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.float64]

MAX_LOOKS = 200
"""Beyond it the sequential method, which costs nothing per look, is the right one."""

FINENESS = 24
"""Grid points per look are about 12 times this; doubling it moves boundaries by under 1e-6."""

LEAST_SPENT = 1e-14
"""A smaller chance gives no boundary: double precision could not place it."""


@dataclass(frozen=True)
class Crossing:
    """The chance to leave through either boundary at each look, and not before.

    Attributes:
        upper, lower: One per look.
    """

    upper: tuple[float, ...]
    lower: tuple[float, ...]


class Continuing:
    """The density of the statistic among paths still inside, after the looks so far."""

    def __init__(self, *, drift: float = 0.0) -> None:
        self.drift = drift
        self.information = 0.0
        self._points: Any = None
        self._weighted: Any = None

    def above(self, z: float, *, information: float) -> float:
        """The chance to be inside until now and above z at this look."""
        return self._tail(z, information, sign=1)

    def below(self, z: float, *, information: float) -> float:
        """The chance to be inside until now and below z at this look."""
        return self._tail(z, information, sign=-1)

    def proceed(self, lower: float, upper: float, *, information: float) -> None:
        """Look with these boundaries, and keep the paths between them."""
        import numpy as np

        points, weights = _grid(lower, upper, centre=self.drift * sqrt(information))
        if self._points is None:
            density = _normal_density(points - self.drift * sqrt(information))
        else:
            added = information - self.information
            scale = sqrt(information / added)
            # From s = z * sqrt(information) before to the same now, in units of the new z.
            moved = (
                points[:, None] * sqrt(information)
                - self._points[None, :] * sqrt(self.information)
                - self.drift * added
            ) / sqrt(added)
            density = (_normal_density(moved) @ self._weighted) * scale
        self.information = information
        self._points, self._weighted = points, np.asarray(density * weights)

    def _tail(self, z: float, information: float, *, sign: int) -> float:
        from scipy import special

        if z == sign * inf:
            return 0.0
        if self._points is None:
            return float(special.ndtr(-sign * (z - self.drift * sqrt(information))))
        added = information - self.information
        moved = (
            z * sqrt(information) - self._points * sqrt(self.information) - self.drift * added
        ) / sqrt(added)
        return float(special.ndtr(-sign * moved) @ self._weighted)


def boundaries(information: Sequence[float], *, spent: Sequence[float]) -> tuple[float, ...]:
    """Two-sided symmetric critical values, in standard errors; infinite where nothing is spent.

    Args:
        information: At each look, in any unit: fractions will do. Strictly increasing.
        spent: Of alpha, both sides together, up to and including each look. Never falling.
    Raises:
        PlanError: If either is out of order, or there are more than MAX_LOOKS.
    """
    checked(information)
    _check_spent(information, spent, what="alpha")
    inside = Continuing()
    found: list[float] = []
    before = 0.0
    for now, total in zip(information, spent, strict=True):
        critical = _critical(inside, now, (total - before) / 2, floor=0.0)
        inside.proceed(-critical, critical, information=now)
        found.append(critical)
        before = total
    return tuple(found)


def upper_boundaries(information: Sequence[float], *, spent: Sequence[float]) -> tuple[float, ...]:
    """One-sided critical values: only what lies above stops, and nothing is ever given up.

    Args:
        information, spent: As for `boundaries`; all of alpha is on the one side.
    Raises:
        PlanError: As `boundaries` does.
    """
    checked(information)
    _check_spent(information, spent, what="alpha")
    inside = Continuing()
    found: list[float] = []
    before = 0.0
    for now, total in zip(information, spent, strict=True):
        critical = _critical(inside, now, total - before, floor=-40.0)
        inside.proceed(-inf, critical, information=now)
        found.append(critical)
        before = total
    return tuple(found)


def lower_boundaries(
    information: Sequence[float], *, upper: Sequence[float], spent: Sequence[float], drift: float
) -> tuple[float, ...]:
    """Where to give up: below these with the chances in `spent`, if the effect is as planned.

    The upper ones are given and not moved: giving up stays advice, which may be ignored.

    Args:
        spent: Of beta, up to and including each look. Never falling.
        drift: Expected statistic at information 1, under the planned effect.
    Returns:
        Critical values, at most the upper ones; minus infinity where nothing is spent.
    Raises:
        PlanError: As `boundaries` does.
    """
    checked(information)
    _check_spent(information, spent, what="beta")
    inside = Continuing(drift=drift)
    found: list[float] = []
    before = 0.0
    for now, total, high in zip(information, spent, upper, strict=True):
        low = _given_up(inside, now, total - before, below=high)
        inside.proceed(low, high, information=now)
        found.append(low)
        before = total
    return tuple(found)


def _check_spent(information: Sequence[float], spent: Sequence[float], *, what: str) -> None:
    if len(spent) != len(information):
        raise PlanError(f"{len(information)} looks, but {what} spent at {len(spent)}")
    for before, total in zip((0.0, *spent), spent, strict=False):
        if total < before or not 0 <= total < 1:
            raise PlanError(
                f"{what} spent goes from {before:g} to {total:g}; it may only grow to 1"
            )


def crossing(
    information: Sequence[float],
    *,
    lower: Sequence[float],
    upper: Sequence[float],
    drift: float = 0.0,
) -> Crossing:
    """The chance to leave at each look.

    Args:
        drift: Expected statistic at information 1.
    """
    checked(information)
    inside = Continuing(drift=drift)
    up, down = [], []
    for now, low, high in zip(information, lower, upper, strict=True):
        up.append(inside.above(high, information=now))
        down.append(inside.below(low, information=now))
        inside.proceed(low, high, information=now)
    return Crossing(tuple(up), tuple(down))


def checked(information: Sequence[float]) -> None:
    """Refuse looks out of order.

    Raises:
        PlanError: If the information does not strictly grow from above 0, or there are too many.
    """
    if not 1 <= len(information) <= MAX_LOOKS:
        raise PlanError(
            f"{len(information)} looks; between 1 and {MAX_LOOKS} are possible. To look more often"
            " use the sequential method"
        )
    for place, (before, now) in enumerate(zip((0.0, *information), information, strict=False)):
        if not before < now < inf:
            raise PlanError(
                f"look {place + 1} has information {now:g} after {before:g}; it must grow"
            )


def _critical(inside: Continuing, information: float, chance: float, *, floor: float) -> float:
    """z that is exceeded with this chance at this look, at least `floor`."""
    if chance < LEAST_SPENT:
        return inf
    from scipy import optimize

    if inside.above(floor, information=information) <= chance:
        return floor
    return float(
        optimize.brentq(
            lambda z: inside.above(z, information=information) - chance, floor, 40.0, xtol=1e-12
        )
    )


def _given_up(inside: Continuing, information: float, chance: float, *, below: float) -> float:
    """z that is fallen short of with this chance at this look, at most `below`."""
    if chance < LEAST_SPENT:
        return -inf
    from scipy import optimize

    high = min(below, 40.0)
    if inside.below(high, information=information) <= chance:
        return high
    return float(
        optimize.brentq(
            lambda z: inside.below(z, information=information) - chance, -40.0, high, xtol=1e-12
        )
    )


def _grid(lower: float, upper: float, *, centre: float) -> "tuple[Grid, Grid]":
    """Simpson's rule, dense around the centre and sparse in the tails, cut at the boundaries."""
    import numpy as np

    r = FINENESS
    i = np.arange(1, 6 * r, dtype=float)
    knots = np.where(
        i < r,
        -3 - 4 * np.log(r / i),
        np.where(i <= 5 * r, -3 + 3 * (i - r) / (2 * r), 3 + 4 * np.log(r / (6 * r - i))),
    )
    knots = centre + knots
    low = max(lower, float(knots[0]))
    high = min(upper, float(knots[-1]))
    if low >= high:  # The boundaries lie in a far tail: nothing of weight is inside.
        low, high = (lower, upper) if lower < upper else (lower - 1e-9, lower + 1e-9)
        low, high = max(low, high - 1.0), high
    knots = np.concatenate([[low], knots[(knots > low) & (knots < high)], [high]])
    points = np.empty(2 * len(knots) - 1)
    points[0::2] = knots
    points[1::2] = (knots[:-1] + knots[1:]) / 2
    widths = np.diff(knots)
    weights = np.zeros_like(points)
    weights[0:-1:2] += widths / 6
    weights[2::2] += widths / 6
    weights[1::2] += 4 * widths / 6
    return points, weights


def _normal_density(z: "Grid") -> "Grid":
    import numpy as np

    density: Grid = np.exp(-z * z / 2) / sqrt(2 * np.pi)
    return density
