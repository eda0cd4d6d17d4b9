"""Which of many variants is best, as probabilities that add up to one.

P(k is best) is the integral of its density times every other one's distribution function. All of
them are integrated on one grid that is fine wherever any of them bends: a Gauss-Hermite rule around
each variant in turn (tried first) misses by a per cent when another one is ten times as certain.
"""

from collections.abc import Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING

from experiments.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

_BENDS = (-9.0, -6.0, -4.0, -2.5, -1.25, 0.0, 1.25, 2.5, 4.0, 6.0, 9.0)
"""Where one grid piece ends and the next begins, in deviations around each mean."""

_POINTS_PER_PIECE = 16

_NUMBERS_AT_ONCE = 2_000_000
"""Variants times points held in memory together."""


def chances_of_being_best(
    means: Sequence[float], deviations: Sequence[float], *, better: str = "higher"
) -> tuple[float, ...]:
    """The probability of each variant to have the best true mean, under independent posteriors.

    Args:
        means, deviations: Of each variant's posterior; under a flat prior its mean and standard
            error. The control is one of them.
    Raises:
        DataError: If there are none, or one does not vary.
    """
    import numpy as np
    from scipy import special

    if not means or len(means) != len(deviations):
        raise DataError(f"{len(means)} means and {len(deviations)} deviations; give one of each")
    if not all(map(isfinite, means)) or not all(0 < d < inf for d in deviations):
        raise DataError("every variant needs a finite mean and a deviation above 0")
    centre = np.asarray(means, dtype=float) * (1 if better == "higher" else -1)
    scale = np.asarray(deviations, dtype=float)
    edges = _edges(centre, scale)
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS_PER_PIECE)
    chances = np.zeros(len(centre))
    n_pieces_at_once = max(_NUMBERS_AT_ONCE // (len(centre) * _POINTS_PER_PIECE), 1)
    for start in range(0, len(edges) - 1, n_pieces_at_once):
        part = edges[start : start + n_pieces_at_once + 1]
        half, middle = np.diff(part) / 2, (part[:-1] + part[1:]) / 2
        points = (middle[:, None] + half[:, None] * nodes[None, :]).ravel()
        z = (points[None, :] - centre[:, None]) / scale[:, None]
        log_below = special.log_ndtr(z)
        others = log_below.sum(axis=0)[None, :] - log_below
        density = np.exp(-z * z / 2 + others) / scale[:, None]
        chances += density @ (half[:, None] * weights[None, :]).ravel()
    return tuple(float(each) for each in chances / chances.sum())


def _edges(centre: "Numbers", scale: "Numbers") -> "Numbers":
    """Where the grid's pieces meet, from the highest floor (below it nobody is best) to the top."""
    import numpy as np

    floor, top = float(np.max(centre - 9 * scale)), float(np.max(centre + 9 * scale))
    n_even = int((top - floor) / (1.25 * float(scale.min()))) + 1
    if n_even <= len(centre) * len(_BENDS):
        return np.linspace(floor, top, n_even + 1)
    # Some are far more certain than others: bends instead of the finest step everywhere.
    edges = np.unique((centre[:, None] + scale[:, None] * np.array(_BENDS)[None, :]).ravel())
    kept: Numbers = np.unique(np.append(edges[edges > floor], floor))
    return kept
