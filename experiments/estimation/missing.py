"""Covariates with gaps: the pooled mean stands in, and a dummy says where.

Dropping units whose past is unknown would change who is compared; filling alone would treat "new"
like "average". With the dummy the choice of the filling is immaterial to the regression, and the
gap itself, known before exposure, explains outcome too.
Source: Zhao and Ding, "To adjust or not to adjust? Estimating the average treatment effect in
randomized experiments with missing covariates" (JASA 2022), arXiv 2108.00152.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite, isnan

from experiments.errors import DataError
from experiments.sums.unit_sums import missing_column


@dataclass(frozen=True)
class Filled:
    """A covariate without gaps, per variant.

    Attributes:
        columns: variant -> column name -> value per unit: the covariate, and its dummy if any value
            is missing. All variants have the same columns.
        covariates: The names to adjust by.
        n_missing: Per variant. Very different shares mean that the gaps came after assignment.
    """

    columns: dict[str, dict[str, list[float]]]
    covariates: tuple[str, ...]
    n_missing: dict[str, int]


def filled(name: str, values: Mapping[str, Sequence[float | None]]) -> Filled:
    """A covariate with None or NaN for what is unknown, made whole.

    Args:
        values: Per variant, one value a unit.
    Raises:
        DataError: If a value is infinite, or nothing is known of any unit.
    """
    read = {variant: [_known(value) for value in column] for variant, column in values.items()}
    known = [value for column in read.values() for value in column if value is not None]
    if not all(map(isfinite, known)):
        raise DataError(f"covariate {name!r} holds values that are not finite")
    if not known:
        raise DataError(f"covariate {name!r} is missing for every unit; leave it out")
    pooled = fsum(known) / len(known)
    gaps = {variant: [float(value is None) for value in column] for variant, column in read.items()}
    whole = {
        variant: [pooled if value is None else value for value in column]
        for variant, column in read.items()
    }
    n_missing = {variant: round(sum(flags)) for variant, flags in gaps.items()}
    if not any(n_missing.values()):
        return Filled({v: {name: column} for v, column in whole.items()}, (name,), n_missing)
    dummy = missing_column(name)
    columns = {v: {name: column, dummy: gaps[v]} for v, column in whole.items()}
    return Filled(columns, (name, dummy), n_missing)


def _known(value: float | None) -> float | None:
    return None if value is None or isnan(value) else float(value)
