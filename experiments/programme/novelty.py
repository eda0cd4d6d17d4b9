"""Does an effect wear off, or grow, with the time since exposure?

Early users of something new react to its being new. To see it, follow a *fixed* cohort: units whose
whole horizon has passed, each day since exposure compared between the same units. Comparing days
over whoever is there mixes novelty with who came when; that is why cohorts that entered in
different weeks are read apart (`novelty_by_cohort`) and share only a slope.

Effects of neighbouring days come from the same units and are correlated, so slopes are found by
generalized least squares (GLS, Aitken 1935) with the covariance the sums themselves carry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from experiments.distributions import chi_square_tail, normal_quantile, normal_tail
from experiments.errors import DataError
from experiments.evidence.compare import Interval
from experiments.sums.aggregates import Aggregates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

UNITS_PER_AGE = 10
"""Units needed in each variant per age; with fewer their covariance matrix is mostly noise."""

CONDITION_MAX = 1e10
"""Beyond this a correlation matrix is singular but for rounding."""


@dataclass(frozen=True)
class Trend:
    """A number that should be 0 if nothing changes with age, and how sure it is.

    Attributes:
        interval: The slope (per unit of age) or the difference early - late.
        pvalue: Of 0; None when nothing varies.
    """

    interval: Interval
    std_error: float
    pvalue: float | None


@dataclass(frozen=True)
class Novelty:
    """The effect by age of one fixed cohort.

    Attributes:
        ages: Midpoints, in days since exposure, of those that were analysed.
        effects: treatment - control at each age, with its interval.
        level: The effect at the cohort's mean age, by GLS.
        slope: Change per day; below 0 a positive effect wears off.
        early_against_late: Mean effect of the first half of the ages less that of the second.
        misfit_pvalue: Of a straight line being enough; None for two ages.
        n_control, n_treatment: Units, the same at every age.
        notes: Ages that were left out, and why.
    """

    ages: tuple[float, ...]
    effects: tuple[Interval, ...]
    level: Trend
    slope: Trend
    early_against_late: Trend
    misfit_pvalue: float | None
    n_control: int
    n_treatment: int
    notes: tuple[str, ...] = ()


def novelty(
    control: Aggregates,
    treatment: Aggregates,
    *,
    ages: Mapping[str, float],
    alpha: float = 0.05,
) -> Novelty:
    """Test for a trend with age in a fixed, matured cohort.

    Args:
        control, treatment: One column per age: what each unit did at that age, and 0 if nothing.
        ages: Column -> its age in days (the middle of its span).
    Raises:
        DataError: If there are fewer than two ages that vary, or too few units for so many ages.
    """
    columns, notes = _varying(control, treatment, ages)
    for side, part in (("control", control), ("treatment", treatment)):
        if part.n < UNITS_PER_AGE * len(columns):
            raise DataError(
                f"{part.n} units of the {side} are too few for {len(columns)} ages; at least"
                f" {UNITS_PER_AGE} units per age are needed. Use longer ages, such as weeks"
            )
    days = tuple(ages[name] for name in columns)
    effects, covariance = _effects(control, treatment, columns)
    line = _line(days, effects, covariance, alpha=alpha)
    return Novelty(
        ages=days,
        effects=tuple(
            _trend(effect, variance, alpha).interval
            for effect, variance in zip(effects, covariance.diagonal(), strict=True)
        ),
        level=line.level,
        slope=line.slope,
        early_against_late=_early_against_late(effects, covariance, alpha),
        misfit_pvalue=line.misfit_pvalue,
        n_control=control.n,
        n_treatment=treatment.n,
        notes=notes,
    )


@dataclass(frozen=True)
class CohortNovelty:
    """Cohorts by when they entered, each with its own level and a slope they share.

    Attributes:
        cohorts: Each cohort's own reading.
        slope: The shared change per day since exposure, from within cohorts only: what the calendar
            does to a cohort as a whole cannot pass for novelty.
        slopes_differ_pvalue: Of the cohorts having one slope; None for one cohort.
        levels_differ_pvalue: Of the cohorts having one level: low if the effect depends on when
            people came.
        left_out: Cohorts that could not be read, and why.
    """

    cohorts: Mapping[str, Novelty]
    slope: Trend
    slopes_differ_pvalue: float | None
    levels_differ_pvalue: float | None
    left_out: Mapping[str, str]


def novelty_by_cohort(
    cohorts: Mapping[str, tuple[Aggregates, Aggregates]],
    *,
    ages: Mapping[str, float],
    alpha: float = 0.05,
) -> CohortNovelty:
    """Cohort x age: (control, treatment) per cohort, each over the ages it has lived through.

    Raises:
        DataError: If no cohort can be read.
    """
    read: dict[str, Novelty] = {}
    left_out: dict[str, str] = {}
    for name, (control, treatment) in cohorts.items():
        lived = {column: age for column, age in ages.items() if column in control.columns}
        try:
            read[name] = novelty(control, treatment, ages=lived, alpha=alpha)
        except DataError as error:
            left_out[name] = str(error)
    if not read:
        raise DataError(f"no cohort can be read: {next(iter(left_out.values()), 'none was given')}")
    slope, slopes_q = _combined([it.slope for it in read.values()], alpha)
    _, levels_q = _combined([it.level for it in read.values()], alpha)
    return CohortNovelty(read, slope, slopes_q, levels_q, left_out)


@dataclass(frozen=True)
class _Line:
    level: Trend
    slope: Trend
    misfit_pvalue: float | None


def _varying(
    control: Aggregates, treatment: Aggregates, ages: Mapping[str, float]
) -> tuple[list[str], tuple[str, ...]]:
    """Columns at whose age something happened, by age."""
    ordered = sorted(ages, key=lambda name: ages[name])
    kept = [it for it in ordered if control.variance(it) > 0 or treatment.variance(it) > 0]
    if len(kept) < 2 or ages[kept[0]] == ages[kept[-1]]:
        raise DataError(
            f"only {len(kept)} of {len(ordered)} ages vary; a trend needs two different ones at"
            " least"
        )
    silent = [name for name in ordered if name not in kept]
    if not silent:
        return kept, ()
    return kept, (f"{', '.join(silent)}: nothing varies at this age, so it is left out",)


def _effects(
    control: Aggregates, treatment: Aggregates, columns: Sequence[str]
) -> "tuple[Floats, Floats]":
    """Differences of means by age, and their covariance matrix."""
    import numpy as np

    effects = np.array([treatment.mean(name) - control.mean(name) for name in columns])
    covariance = sum(
        np.array([[part.covariance(one, other) for other in columns] for one in columns]) / part.n
        for part in (control, treatment)
    )
    return effects, np.asarray(covariance)


def _line(days: Sequence[float], effects: "Floats", covariance: "Floats", *, alpha: float) -> _Line:
    """GLS of the effects on 1 and the centred age."""
    import numpy as np

    centred = np.array(days) - sum(days) / len(days)
    design = np.column_stack([np.ones(len(days)), centred])
    # Scaled to unit diagonal first: ages differ much in how often anything happens at them.
    scale = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(scale, scale)
    if np.linalg.cond(correlation) > CONDITION_MAX:
        raise DataError(
            "two ages hold the same outcome for every unit, so a trend cannot be told; measure each"
            " age apart, not from the exposure on"
        )
    precision = np.linalg.inv(correlation) / np.outer(scale, scale)
    variance = np.linalg.inv(design.T @ precision @ design)
    found = variance @ design.T @ precision @ effects
    residual = effects - design @ found
    misfit = float(residual @ precision @ residual)
    freedom = len(days) - 2
    return _Line(
        level=_trend(float(found[0]), float(variance[0, 0]), alpha),
        slope=_trend(float(found[1]), float(variance[1, 1]), alpha),
        misfit_pvalue=chi_square_tail(misfit, degrees_of_freedom=freedom) if freedom else None,
    )


def _early_against_late(effects: "Floats", covariance: "Floats", alpha: float) -> Trend:
    """First half of the ages against the second; a middle one counts for neither."""
    import numpy as np

    half = len(effects) // 2
    weights = np.zeros(len(effects))
    weights[:half], weights[-half:] = 1 / half, -1 / half
    return _trend(float(weights @ effects), float(weights @ covariance @ weights), alpha)


def _combined(trends: Sequence[Trend], alpha: float) -> tuple[Trend, float | None]:
    """Independent cohorts' trends, weighted by precision, and the p-value of their being one."""
    weights = [1 / trend.std_error**2 for trend in trends]
    values = [trend.interval.estimate or 0.0 for trend in trends]
    total = sum(weights)
    mean = sum(w * value for w, value in zip(weights, values, strict=True)) / total
    q = sum(w * (value - mean) ** 2 for w, value in zip(weights, values, strict=True))
    pvalue = chi_square_tail(q, degrees_of_freedom=len(trends) - 1) if len(trends) > 1 else None
    return _trend(mean, 1 / total, alpha), pvalue


def _trend(estimate: float, variance: float, alpha: float) -> Trend:
    estimate, variance = float(estimate), float(variance)
    if variance <= 0:
        return Trend(Interval(estimate, None, None), 0.0, None)
    error = sqrt(variance)
    radius = normal_quantile(1 - alpha / 2) * error
    interval = Interval(estimate, estimate - radius, estimate + radius)
    return Trend(interval, error, 2 * normal_tail(abs(estimate) / error))
