"""p-values and intervals of several comparisons, corrected for having made several.

`holm` and `bonferroni` bound the chance of any false effect (for metrics that decide), `bh`
(Benjamini and Hochberg) and `by` (the same under any dependence) the share of false ones among
those found (for exploring). Many variants against one control have a sharper way: `dunnett`.
Sources: Holm (Scandinavian Journal of Statistics 6, 1979); Benjamini, Hochberg (JRSS B 57, 1995);
Benjamini, Yekutieli (Annals of Statistics 29, 2001); for intervals Benjamini, Yekutieli (JASA 100,
2005); for e-values Wang, Ramdas (JRSS B 84, 2022).
"""

from collections.abc import Sequence
from math import exp
from typing import Literal, get_args

from experiments.errors import PlanError

Correction = Literal["holm", "bh", "by", "bonferroni", "none"]


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
    ordered = [value for value, _ in present]
    result: list[float | None] = [None] * len(pvalues)
    for (_, place), value in zip(present, _corrected(ordered, correction), strict=True):
        result[place] = min(value, 1.0)
    return result


def adjusted_e_values(log_e_values: Sequence[float | None]) -> list[float | None]:
    """e-BH: p-values for evidence that is watched all the time, however the comparisons depend.

    Those at most alpha are found; the share of false ones among them is at most alpha at any
    stopping time.

    The same as `bh` on the p-values that `always_valid` gives at one look: those are 1/e.

    Args:
        log_e_values: Logarithms, as `sequential.log_e_value` gives them. Of the current look: the
            running maximum of an e-value is not one.
    """
    pvalues = [
        None if value is None else exp(-max(min(value, 700.0), 0.0)) for value in log_e_values
    ]
    # Benjamini and Hochberg's steps on 1/e; e-values need no further factor for dependence.
    return adjusted_pvalues(pvalues, correction="bh")


def interval_alphas(
    pvalues: Sequence[float | None], *, correction: Correction, alpha: float
) -> list[float]:
    """1 - confidence level for each comparison's adjusted interval.

    For `bonferroni` and `holm` alpha over their number: all intervals hold together. (Holm's steps
    have no simple intervals; a comparison found by Holm alone may show a Bonferroni interval that
    still holds 0.) For `bh` and `by` the false coverage rate: of the intervals of *selected*
    comparisons a share of at most alpha misses its truth. What was not selected has no such promise
    and keeps plain alpha.
    """
    adjusted = adjusted_pvalues(pvalues, correction=correction)
    m = sum(value is not None for value in adjusted)
    if m == 0 or correction == "none":
        return [alpha] * len(adjusted)
    if correction in ("bonferroni", "holm"):
        return [alpha / m] * len(adjusted)
    selected = [value is not None and value <= alpha for value in adjusted]
    level = sum(selected) * alpha / m
    if correction == "by":
        level /= _harmonic(m)
    return [level if chosen else alpha for chosen in selected]


def _corrected(ordered: list[float], correction: Correction) -> list[float]:
    """Corrections of p-values that rise, in one pass each: there may be thousands."""
    m = len(ordered)
    match correction:
        case "none":
            return ordered
        case "bonferroni":
            return [value * m for value in ordered]
        case "holm":
            return _running_max([(m - i) * value for i, value in enumerate(ordered)])
        case "bh" | "by":
            factor = _harmonic(m) if correction == "by" else 1.0
            scaled = [value * m * factor / (i + 1) for i, value in enumerate(ordered)]
            return [-value for value in _running_max([-value for value in scaled[::-1]])][::-1]


def _running_max(values: list[float]) -> list[float]:
    found: list[float] = []
    for value in values:
        found.append(max(value, found[-1]) if found else value)
    return found


def _harmonic(m: int) -> float:
    return sum(1 / i for i in range(1, m + 1))
