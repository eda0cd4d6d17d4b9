"""What is known of units before exposure, as the matrix that CUPAC's model learns from.

Numbers go in as they are and as the logarithm of their size (money and counts have long tails, and
a straight line fits their logarithms better), with a mark where they are missing; texts as one
column for each of their common values. Read next: `cupac`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from experiments.estimation.cupac import FOLDS, out_of_fold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVELS_MAX: Final = 30
"""Values of a text that have a column of their own; rarer ones share the rest."""
UNITS_A_FOLD_MIN: Final = 10
"""With fewer units than this in a fold nothing is predicted: every unit gets the same number."""


def predicted_name(source: str) -> str:
    """What the prediction of an outcome's column is called in a readout."""
    return f"{source}, predicted"


def encoded(known: Mapping[str, Any], *, n: int) -> Array:
    """Units x features, finite everywhere; what is the same for everyone is left out.

    Args:
        known: By name: numbers with NaN, or texts with "", for what is unknown; one a unit.
        n: How many units, also where nothing is known of them.
    """
    import numpy as np

    columns: list[Any] = []
    for values in known.values():
        given = np.asarray(values)
        if given.dtype.kind in "US":
            common = sorted(
                level for level, _ in Counter(given.tolist()).most_common(LEVELS_MAX) if level
            )
            columns += [(given == level).astype(float) for level in common]
            continue
        numbers = given.astype(float)
        is_known = np.isfinite(numbers)
        filled = np.where(is_known, numbers, numbers[is_known].mean() if is_known.any() else 0.0)
        columns += [filled, np.sign(filled) * np.log1p(np.abs(filled))]
        if not is_known.all():
            columns.append((~is_known).astype(float))
    varying = [column for column in columns if n and column.min() < column.max()]
    return np.column_stack(varying) if varying else np.zeros((n, 0))


def predictions(
    known: Mapping[str, Any], outcomes: Sequence[Any], *, rng: np.random.Generator
) -> list[Array]:
    """Of each outcome a prediction per unit, always by a model that never saw the unit.

    Too few units to learn from, or an outcome that is missing somewhere, are predicted by 0 for
    everyone, which adjusts nothing; so are units of which nothing tells one from another.
    """
    import numpy as np

    found = []
    for outcome in outcomes:
        target = np.asarray(outcome, dtype=float)
        features = encoded(known, n=len(target))
        is_enough = len(target) >= FOLDS * UNITS_A_FOLD_MIN and features.shape[1] > 0
        if not is_enough or not np.isfinite(target).all():
            found.append(np.zeros(len(target)))
            continue
        found.append(out_of_fold(features, target, rng=rng))
    return found
