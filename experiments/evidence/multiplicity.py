"""p-values of several comparisons, corrected for having made several.

`holm` and `bonferroni` bound the chance of any false effect (for metrics that decide), `bh`
(Benjamini and Hochberg) the share of false ones among those found (for exploring).
Sources: Holm (Scandinavian Journal of Statistics 6, 1979); Benjamini, Hochberg (JRSS B 57, 1995).
"""

from collections.abc import Sequence
from typing import Literal, get_args

from experiments.errors import PlanError

Correction = Literal["holm", "bh", "bonferroni", "none"]


def adjusted_pvalues(
    pvalues: Sequence[float | None], *, correction: Correction
) -> list[float | None]:
    """Corrected p-values in the given order; a missing one stays missing and is not counted.

    >>> adjusted_pvalues([0.01, 0.04, None], correction="holm")
    [0.02, 0.04, None]
    """
    if correction not in get_args(Correction):
        raise PlanError(
            f"correction {correction!r} is unknown; allowed are {', '.join(get_args(Correction))}"
        )
    present = sorted((value, place) for place, value in enumerate(pvalues) if value is not None)
    m = len(present)
    ordered = [value for value, _ in present]
    match correction:
        case "none":
            corrected = ordered
        case "bonferroni":
            corrected = [value * m for value in ordered]
        case "holm":
            corrected = [max((m - j) * ordered[j] for j in range(i + 1)) for i in range(m)]
        case "bh":
            corrected = [min(ordered[j] * m / (j + 1) for j in range(i, m)) for i in range(m)]
    result: list[float | None] = [None] * len(pvalues)
    for (_, place), value in zip(present, corrected, strict=True):
        result[place] = min(value, 1.0)
    return result
