"""Covariates that are empty for some units: the pooled mean stands in, after the sums were made.

The pooled mean is known only when everything was summed. So the sums take a provisional value for
an empty cell, and an indicator column says where; with x the provisional column and m its
indicator, the final one is x + c m for one constant c, and its moments follow from theirs.
Source: Zhao and Ding (2022), imputation by the mean with a missingness indicator.
"""

from collections.abc import Iterable

from experiments.errors import DataError
from experiments.sums.aggregates import Aggregates
from experiments.sums.unit_sums import missing_column


def pooled_mean(parts: Iterable[tuple[Aggregates, float]], covariate: str) -> float:
    """Mean of a covariate over the units that have it, all parts together.

    Args:
        parts: Sums, and what an empty cell counted as in them.
    Raises:
        DataError: If no unit has it.
    """
    found = list(parts)
    n_there = sum(
        part.n - round(part.mean(missing_column(covariate)) * part.n) for part, _ in found
    )
    if n_there == 0:
        raise DataError(f"covariate {covariate!r} is empty for every unit; leave it out")
    middle = found[0][1]
    # Around a value near the mean, so that an offset costs no digits.
    total = sum(
        (part.mean(covariate) - provisional) * part.n
        + (provisional - middle) * (part.n - part.mean(missing_column(covariate)) * part.n)
        for part, provisional in found
    )
    return middle + total / n_there


def moved(part: Aggregates, covariate: str, *, by: float) -> Aggregates:
    """The same with empty cells of a covariate `by` higher than they were summed."""
    place = part.columns.index(covariate)
    indicator = part.columns.index(missing_column(covariate))
    means = list(part.means)
    means[place] += by * part.means[indicator]
    moments = [list(row) for row in part.moments]
    both, alone = part.moments[place][indicator], part.moments[indicator][indicator]
    own = part.moments[place][place]
    for other in range(len(means)):
        if other == place:
            continue
        here, there = part.moments[place][other], part.moments[indicator][other]
        value = None if here is None or there is None else here + by * there
        moments[place][other] = moments[other][place] = value
    if own is not None and both is not None and alone is not None:
        moments[place][place] = max(own + 2 * by * both + by * by * alone, 0.0)
    return Aggregates(part.n, part.columns, tuple(means), tuple(map(tuple, moments)))
