"""Two rankings made one by their ranks: scores of different kinds have no common unit.

Reciprocal rank fusion, `sum of weight / (60 + rank)` (Cormack, Clarke, Buettcher, SIGIR 2009).
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K: Final = 60
DEPTH: Final = 500
"""Ranks that are told apart; what lies below adds next to nothing."""

WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of content, tried on validation."""


def fused(
    collaborative: "NDArray[np.floating]", content: "NDArray[np.floating]", *, weight: float
) -> "NDArray[np.float64]":
    """Fused scores; minus infinity where neither has a word.

    Args:
        weight: Of content, in [0, 1]; the rest is collaborative's.
    """
    import numpy as np

    total = np.zeros(len(collaborative))
    for scores, part in ((collaborative, 1 - weight), (content, weight)):
        if part > 0:
            ranked = _best(scores)
            total[ranked] += part / (K + 1 + np.arange(len(ranked)))
    return np.where(total > 0, total, -np.inf)


def _best(scores: "NDArray[np.floating]") -> "NDArray[np.int64]":
    """The first DEPTH items of a ranking, ties by number."""
    import numpy as np

    told = np.flatnonzero(scores > -np.inf)
    found = scores[told]
    if len(told) > DEPTH:
        is_near = found >= np.partition(found, len(found) - DEPTH)[len(found) - DEPTH]
        told, found = told[is_near], found[is_near]
    return told[np.lexsort((told, -found))][:DEPTH]
