"""How much more an estimate varies than independent units would make it: plan with the truth.

A design effect multiplies the variance, and so the sample. Clusters (accounts, shops, households)
are randomized whole, and their members resemble each other; a ratio's denominator varies too.
Sources: Kish (1965); Eldridge, Ashby, Kerry (Int. J. Epidemiology 35, 2006) for unequal sizes;
Donner, Koval (Biometrics 36, 1980) for the analysis-of-variance estimate; Deng, Knoblich, Lu
(KDD 2018) for ratios.
"""

from collections.abc import Sequence

from experiments.errors import DataError, PlanError
from experiments.estimation.ratio import moments
from experiments.metrics import Metric
from experiments.sizing.power import Outcome
from experiments.sums.aggregates import Aggregates


def cluster_effect(*, size_mean: float, size_cv: float = 0.0, correlation: float) -> float:
    """1 + ((cv**2 + 1) m - 1) rho: variance with clusters over variance with as many loose units.

    Args:
        size_mean: Units per cluster, at least 1.
        size_cv: Standard deviation of the cluster sizes over their mean.
        correlation: Within clusters (ICC), in [0, 1].
    """
    if size_mean < 1 or size_cv < 0:
        raise PlanError(
            f"clusters of {size_mean:g} units, varying by {size_cv:g}: a cluster has at least 1"
            " unit, and sizes vary by 0 or more"
        )
    if not 0 <= correlation <= 1:
        raise PlanError(f"a correlation within clusters of {correlation:g} is not in [0, 1]")
    return 1 + ((size_cv**2 + 1) * size_mean - 1) * correlation


def cluster_correlation(clusters: Sequence[Aggregates], *, column: str) -> float:
    """How alike units of one cluster are (ICC), from each past cluster's sums.

    The analysis-of-variance estimate for unequal sizes, at least 0.
    Raises:
        DataError: If there are fewer than two clusters, no cluster of two, or nothing varies.
    """
    filled = [it for it in clusters if it.n]
    n = sum(it.n for it in filled)
    k = len(filled)
    if k < 2 or n == k:
        raise DataError(f"{k} clusters of {n} units in all say nothing about likeness within them")
    mean = sum(it.n * it.mean(column) for it in filled) / n
    between = sum(it.n * (it.mean(column) - mean) ** 2 for it in filled) / (k - 1)
    within = sum((it.n - 1) * it.variance(column) for it in filled) / (n - k)
    size = (n - sum(it.n**2 for it in filled) / n) / (k - 1)
    total = between + (size - 1) * within
    if total <= 0:
        raise DataError(f"column {column!r} has the same value in every unit of every cluster")
    return max(0.0, (between - within) / total)


def ratio_outcome(past: Aggregates, metric: Metric) -> Outcome:
    """A ratio metric as an outcome to plan by: the ratio, and its variance per randomized unit."""
    if metric.kind != "ratio":
        raise PlanError(f"metric {metric.name!r} is no ratio; plan it by its mean and variance")
    found = moments(past, metric, covariates=())
    return Outcome(mean=found.mean, variance=found.variance)
