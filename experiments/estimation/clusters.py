"""Randomized by cluster (household, shop, city), measured per unit: variance between clusters.

Units of a cluster resemble each other, so the number of clusters, not of units, says how sure we
are. The mean per unit is a ratio of two sums over clusters (Deng, Knoblich, Lu, KDD 2018), whose
residuals are a little too small because they were fitted: corrected as CR2 is, in expectation under
a working model of independent units (Bell and McCaffrey, Survey Methodology 28, 2002; Imbens and
Kolesar, REStat 98, 2016), with degrees of freedom of effective clusters (Carter, Schnepel,
Steigerwald, REStat 99, 2017). Few clusters: see `randomization`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from experiments.errors import DataError
from experiments.estimation.covariates import independent
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates, satterthwaite
from experiments.estimation.ratio import Moments, linearized
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS

CLUSTERS_MANY = 40
"""From here on in both variants together the delta method holds without a caution."""

CLUSTERS_FEW = 12
"""Below this even Student's t is a guess: read the randomization test."""

GIANT_ABOVE = 0.9
"""Sum of squared shares from which a variant is one cluster in all but name."""


def clustered(
    control: Aggregates,
    treatment: Aggregates,
    *,
    metric: Metric,
    covariates: tuple[str, ...] = (),
    adjust: Literal["lin", "pooled"] = "lin",
) -> Estimates:
    """Means per unit (or ratios) of two variants whose clusters were randomized.

    Args:
        control, treatment: Over the clusters' sums: one row a cluster, the metric's value columns
            and covariates summed over its units, and `CLUSTER_UNITS`. Their n counts clusters.
        covariates: Adjusted for as means per unit, with one coefficient for whole clusters.
    Returns:
        Estimates with the degrees of freedom of clusters, at most G - 2; their n are units.
    Raises:
        DataError: If a variant has fewer than two clusters, or one that dwarfs all others.
    """
    for part in (control, treatment):
        if part.n < 2:
            raise DataError(
                f"{part.n} clusters in a variant; how clusters vary takes at least 2 in each"
            )
    pair = (control, treatment)
    arms = [_moments(part, metric, covariates) for part in pair]
    if covariates:
        both = control.merge(treatment)
        total = _moments(both, metric, covariates)
        found = adjusted(arms[0], arms[1], total=total, adjust=adjust)
        spent = len(independent(arms)[0])
    else:
        found, spent = unadjusted(arms[0], arms[1]), 0
    # Equal clusters give n - 1 each; one giant among dwarfs counts for little more than itself.
    effective = [1 / _squared_shares(part, _sides(metric)[1]) - 1 - spent for part in pair]
    variances = [found.control_variance, found.treatment_variance]
    freedom = min(satterthwaite(variances, effective), control.n + treatment.n - 2.0 - 2 * spent)
    return replace(
        found,
        n_control=_units(control),
        n_treatment=_units(treatment),
        degrees_of_freedom=max(freedom, 1.0),
    )


def cautions(control: Aggregates, treatment: Aggregates) -> list[str]:
    """What a reader must know of so few clusters; both over clusters' sums."""
    total = control.n + treatment.n
    if total < CLUSTERS_FEW:
        return [f"only {total} clusters: trust the randomization test, not the interval"]
    if total < CLUSTERS_MANY:
        return [f"{total} clusters are few: the interval uses Student's t and is approximate"]
    return []


def _sides(metric: Metric) -> tuple[str, str]:
    """Columns whose ratio is compared."""
    if metric.kind == "quantile":
        raise DataError(f"metric {metric.name!r}: a quantile's clusters enter by their deff")
    if metric.kind == "ratio":
        return metric.value_columns[0], metric.value_columns[1]
    return metric.value_columns[0], CLUSTER_UNITS


def _moments(clusters: Aggregates, metric: Metric, covariates: tuple[str, ...]) -> Moments:
    """Moments over clusters of what is linearized, freed of what fitting the ratio took."""
    pairs = [_sides(metric), *((name, CLUSTER_UNITS) for name in covariates)]
    lines = [_line(clusters, above, below) for above, below in pairs]
    squared = _squared_shares(clusters, pairs[0][1])
    correction = (1 - 1 / clusters.n) / (1 - squared)

    def covariance(one: Line, other: Line) -> float:
        return correction * sum(
            a * b * clusters.covariance(left, right)
            for left, a in one.weights
            for right, b in other.weights
        )

    outcome, past = lines[0], lines[1:]
    return Moments(
        n=clusters.n,
        mean=outcome.mean,
        variance=max(covariance(outcome, outcome), 0.0),
        covariate_means=tuple(line.mean for line in past),
        outcome_covariances=tuple(covariance(outcome, line) for line in past),
        covariate_covariances=tuple(
            tuple(covariance(one, other) for other in past) for one in past
        ),
    )


@dataclass(frozen=True)
class Line:
    """A ratio of sums as a mean of (above - mean x below) / mean(below)."""

    mean: float
    weights: tuple[tuple[str, float], ...]


def _line(clusters: Aggregates, above: str, below: str) -> Line:
    metric = Metric(name=above, kind="ratio", numerator=above, denominator=below)
    mean, weights = linearized({name: clusters.mean(name) for name in (above, below)}, metric)
    return Line(mean, tuple(weights.items()))


def _units(clusters: Aggregates) -> int:
    """Units in all clusters; clusters where units were not counted."""
    if CLUSTER_UNITS not in clusters.columns:
        return clusters.n
    return round(clusters.mean(CLUSTER_UNITS) * clusters.n)


def _squared_shares(clusters: Aggregates, column: str) -> float:
    """sum((denominator / sum of denominators) ** 2): 1 / G for equal clusters, 1 for a giant."""
    mean = clusters.mean(column)
    spread = clusters.variance(column) * (clusters.n - 1) / clusters.n
    squared = (1 + spread / (mean * mean)) / clusters.n
    if squared > GIANT_ABOVE:
        raise DataError(
            f"one of {clusters.n} clusters holds nearly all of {column!r} in its variant; there is"
            " no second cluster to compare it with"
        )
    return squared
