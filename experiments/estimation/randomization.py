"""The randomization test: nothing is random but the assignment, so reassign and look.

For clusters too few for any approximation. Exact whatever the distribution; it gives a p-value and
no interval. Source: Fisher, The Design of Experiments (1935).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, Any

from experiments.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ASSIGNMENTS_ALL = 20_000
"""Up to so many ways to assign the clusters, the randomization test takes every one."""


def randomization_pvalue(
    control: Sequence[tuple[float, float]],
    treatment: Sequence[tuple[float, float]],
    *,
    rng: np.random.Generator,
    draws: int = 9_999,
) -> float:
    """How often a reassignment of the clusters would show as large a difference, two-sided.

    Exact whatever the distribution: nothing but the assignment is random. The difference is divided
    by its standard error each time, so that it also holds when the variants' spreads differ.
    Source: Fisher (1935); Chung and Romano (Annals of Statistics 41, 2013) for the division.

    Args:
        control, treatment: (total, units) of each cluster; for a ratio (numerator, denominator).
        rng: Draws assignments when there are too many to take all.
    Raises:
        DataError: If a variant has fewer than two clusters, or one without units.
    """
    import numpy as np

    if min(len(control), len(treatment)) < 2:
        raise DataError("a randomization test takes at least two clusters in each variant")
    rows = np.array([*control, *treatment], dtype=float)
    if not np.isfinite(rows).all() or (rows[:, 1] <= 0).any():
        raise DataError("every cluster needs a finite total and more than 0 units")
    size, some = len(rows), len(treatment)
    observed = np.zeros((1, size), dtype=bool)
    observed[0, len(control) :] = True
    found = _studentized(rows, observed)[0]
    batch = max(1_000_000 // size, 1)  # A few dozen megabytes at a time.
    ways = comb(size, some)
    if ways <= ASSIGNMENTS_ALL:
        as_large = total = 0
        every = combinations(range(size), some)
        while chunk := list(islice(every, batch)):
            picked = np.zeros((len(chunk), size), dtype=bool)
            np.put_along_axis(picked, np.array(chunk), True, axis=1)
            as_large += int((_studentized(rows, picked) >= found * (1 - 1e-12)).sum())
            total += len(chunk)
        return as_large / total
    as_large = 0
    for start in range(0, draws, batch):
        order = rng.random((min(batch, draws - start), size)).argsort(axis=1)
        as_large += int((_studentized(rows, order < some) >= found * (1 - 1e-12)).sum())
    return (as_large + 1) / (draws + 1)  # The assignment that happened is one of them.


def _studentized(rows: NDArray[Any], picked: NDArray[Any]) -> NDArray[Any]:
    """|difference of ratios| over its standard error, for each row of `picked` (the treatment)."""
    import numpy as np

    gap = np.zeros(len(picked))
    variance = np.zeros(len(picked))
    for sign, group in ((1.0, picked), (-1.0, ~picked)):
        member = group.astype(float)
        n = member.sum(axis=1)
        top, below = member @ rows[:, 0], member @ rows[:, 1]
        ratio = top / below
        residuals = (rows[:, 0] - ratio[:, None] * rows[:, 1]) * member
        gap += sign * ratio
        variance += (residuals**2).sum(axis=1) * n / (n - 1) / below**2
    # No spread at all within both groups: any difference is as large as can be.
    tiny = np.finfo(float).tiny
    scores: NDArray[Any] = np.abs(gap) / np.sqrt(np.maximum(variance, tiny))
    return scores
