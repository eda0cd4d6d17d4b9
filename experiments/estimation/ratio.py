"""An outcome and its covariates as moments per variant; ratios by the delta method.

A ratio of sums is not a mean of units' ratios: its units carry different weight, and its variance
must come from the unit of randomization. To first order a ratio behaves like the mean of
(y - R d) / mean(d), whose moments follow from the aggregates.
Source: Deng, Knoblich, Lu (KDD 2018), arXiv 1803.06336.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


@dataclass(frozen=True)
class Moments:
    """One variant's outcome beside its covariates.

    Attributes:
        n: Units.
        mean, variance: Of the outcome; for a ratio, the ratio and its linearized variance.
        covariate_means: One per covariate.
        outcome_covariances: Of the outcome with each covariate.
        covariate_covariances: Of the covariates with each other.
    """

    n: int
    mean: float
    variance: float
    covariate_means: tuple[float, ...] = ()
    outcome_covariances: tuple[float, ...] = ()
    covariate_covariances: tuple[tuple[float, ...], ...] = ()


def moments(aggregates: Aggregates, metric: Metric, *, covariates: tuple[str, ...]) -> Moments:
    """Moments of a metric within one variant, with the covariates asked for.

    Raises:
        DataError: If a ratio's denominator has a mean of 0, or there are fewer than two units.
    """
    if aggregates.n < 2:
        raise DataError(f"metric {metric.name!r}: {aggregates.n} units are too few for a variance")
    means = {column: aggregates.mean(column) for column in metric.value_columns}
    mean, weights = linearized(means, metric)
    return weighted(aggregates, weights, mean=mean, covariates=covariates)


def weighted(
    aggregates: Aggregates,
    weights: Mapping[str, float],
    *,
    mean: float,
    covariates: tuple[str, ...],
) -> Moments:
    """Moments of a weighted sum of columns, whose mean is already known."""

    def with_outcome(column: str) -> float:
        return sum(weight * aggregates.covariance(name, column) for name, weight in weights.items())

    variance = sum(weight * with_outcome(name) for name, weight in weights.items())
    return Moments(
        n=aggregates.n,
        mean=mean,
        variance=max(variance, 0.0),
        covariate_means=tuple(map(aggregates.mean, covariates)),
        outcome_covariances=tuple(map(with_outcome, covariates)),
        covariate_covariances=tuple(
            tuple(aggregates.covariance(one, other) for other in covariates) for one in covariates
        ),
    )


def linearized(means: Mapping[str, float], metric: Metric) -> tuple[float, dict[str, float]]:
    """The point estimate, and the outcome as a weighted sum of columns around it.

    Args:
        means: Of the metric's value columns.
    Raises:
        DataError: If a ratio's denominator has a mean of 0.
    """
    if metric.kind != "ratio":
        (column,) = metric.value_columns
        return means[column], {column: 1.0}
    numerator, denominator = metric.value_columns
    below = means[denominator]
    if below == 0:
        raise DataError(
            f"metric {metric.name!r}: the denominator {denominator!r} is 0 on average, so the ratio"
            " does not exist"
        )
    ratio = means[numerator] / below
    return ratio, {numerator: 1 / below, denominator: -ratio / below}
