"""How well a ranking sorts units by their effect: the Qini curve and its area, with an interval.

Going down the ranking, the curve counts what the treated did beyond what as many untreated ones
did. A ranking that knows nothing climbs straight; the area between curve and line is the Qini
coefficient. Units with the same score enter together, so the order of ties cannot flatter anybody.
Source: Radcliffe (Direct Marketing Analytics Journal 1, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from experiments.errors import DataError
from experiments.evidence.compare import Interval
from experiments.uplift.units import Units

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DRAWS: Final = 400
_CELLS: Final = 2_000_000
"""Of a block of bootstrap draws: its memory stays at some 100 MB whatever the number of units."""


@dataclass(frozen=True, eq=False)
class Qini:
    """A ranking's curve.

    Attributes:
        shares: Of the units, highest scores first; from 0 to 1, one entry for each distinct score.
        gained: Outcome gained per unit of all, if those were treated; the last is the average
            effect.
        area: Between the curve and the straight line to its end, with a percentile interval.
    """

    shares: Array
    gained: Array
    area: Interval


def qini(
    units: Units,
    scores: Any,
    *,
    rng: np.random.Generator,
    alpha: float = 0.05,
    draws: int = DRAWS,
) -> Qini:
    """The curve of a ranking on units that it was not learnt from.

    Args:
        scores: One per unit; higher is treated first.
        draws: Of the bootstrap, over units.
    Raises:
        DataError: If scores are missing or not finite.
    """
    import numpy as np

    given = np.asarray(scores, dtype=float)
    if given.shape != units.outcome.shape or not np.isfinite(given).all():
        raise DataError(f"scores of shape {given.shape} must be {units.n} finite numbers")
    order = np.argsort(-given, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(given[order])), units.n - 1)
    sums = _sums(units.rows(order))
    shares, gained = _curve(sums, np.ones((1, units.n)), ends)
    area = float(_area(shares, gained)[0])
    drawn: list[float] = []
    block = max(1, _CELLS // units.n)
    while len(drawn) < draws:
        n_draws = min(block, draws - len(drawn))
        counts = np.empty((n_draws, units.n))
        for row in counts:
            row[:] = np.bincount(rng.integers(units.n, size=units.n), minlength=units.n)
        drawn += _area(*_curve(sums, counts, ends)).tolist()
    lower, upper = np.quantile(drawn, (alpha / 2, 1 - alpha / 2))
    return Qini(shares[0], gained[0], Interval(area, float(lower), float(upper)))


def _sums(ordered: Units) -> Array:
    """Per unit: weight and weighted outcome if treated, and the same if not.

    A unit counts by the average chance of its arm over its own, so that where chances differed both
    arms stand for the same people; with one chance for all the weights are 1.
    """
    import numpy as np

    w, e = ordered.treated, ordered.chance
    mean = float(e.mean())
    weight = np.where(w, mean / e, (1 - mean) / (1 - e))
    return np.array([w * weight, w * weight * ordered.outcome, ~w * weight,
                     ~w * weight * ordered.outcome])  # fmt: skip


def _curve(sums: Array, counts: Array, ends: Any) -> tuple[Array, Array]:
    """Shares and gains of each row of counts, with the start at 0."""
    import numpy as np

    n_treated, of_treated, n_rest, of_rest = (
        np.cumsum(counts * each, axis=1)[:, ends] for each in sums
    )
    ratio = np.divide(n_treated, n_rest, out=np.zeros_like(n_rest), where=n_rest > 0)
    every = np.cumsum(counts, axis=1)[:, ends]
    start = np.zeros((len(counts), 1))
    # All sums of the treated are over n e; divided by its last entry the end is the effect.
    gained = (of_treated - of_rest * ratio) / n_treated[:, -1:]
    return np.hstack([start, every / every[:, -1:]]), np.hstack([start, gained])


def _area(shares: Array, gained: Array) -> Array:
    """By trapezoids, less the triangle under the straight line; per row."""
    import numpy as np

    steps = np.diff(shares, axis=1)
    under = (steps * (gained[:, 1:] + gained[:, :-1]) / 2).sum(axis=1)
    found: Array = under - gained[:, -1] / 2
    return found
