"""Clusters and ratios vary more than loose units would."""

import numpy as np
import pytest
import statsmodels.formula.api as smf

from experiments.errors import DataError, PlanError
from experiments.metrics import Metric
from experiments.sizing.design_effects import (
    cluster_correlation,
    cluster_effect,
    ratio_outcome,
)
from experiments.sizing.power import Design, Outcome, achieved_power, sample_size
from experiments.sums.aggregates import Aggregates


def clustered(rng: np.random.Generator, sizes: list[int], correlation: float) -> list[np.ndarray]:
    return [
        5 + rng.normal(0, np.sqrt(correlation)) + rng.normal(0, np.sqrt(1 - correlation), n)
        for n in sizes
    ]


def test_the_effect_is_kishs_for_equal_and_eldridges_for_unequal_sizes() -> None:
    assert cluster_effect(size_mean=20, correlation=0.05) == pytest.approx(1 + 19 * 0.05)
    # Eldridge, Ashby, Kerry (2006): cv .65, ICC .05, 20 per cluster.
    found = cluster_effect(size_mean=20, size_cv=0.65, correlation=0.05)
    assert found == pytest.approx(1 + ((0.65**2 + 1) * 20 - 1) * 0.05)


def test_the_correlation_within_clusters_is_that_of_the_analysis_of_variance() -> None:
    import pandas as pd

    rng = np.random.default_rng(1)
    sizes = list(rng.integers(2, 9, 60))
    groups = clustered(rng, sizes, 0.3)

    found = cluster_correlation([Aggregates.from_columns({"y": it}) for it in groups], column="y")

    frame = pd.DataFrame(
        {"y": np.concatenate(groups), "g": np.repeat(np.arange(60).astype(str), sizes)}
    )
    table = smf.ols("y ~ C(g)", frame).fit()
    within = table.mse_resid
    between = table.mse_model
    size = (sum(sizes) - sum(n * n for n in sizes) / sum(sizes)) / 59
    expected = (between - within) / (between + (size - 1) * within)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_plan_with_the_design_effect_keeps_its_power_under_clustering() -> None:
    rng = np.random.default_rng(2)
    size, correlation, lift = 10, 0.2, 0.06
    effect = cluster_effect(size_mean=size, correlation=correlation)
    outcome, design = Outcome(mean=5, variance=1.0), Design(design_effect=effect)
    n = sample_size(outcome, lift=lift, design=design)
    clusters = round(n.control / size)

    found = 0
    for _ in range(800):
        sides = [
            level + rng.normal(0, np.sqrt(correlation), clusters)
            + rng.normal(0, np.sqrt((1 - correlation) / size), clusters)
            for level in (5.0, 5.0 * (1 + lift))
        ]  # fmt: skip
        error = np.sqrt(sum(it.var(ddof=1) / clusters for it in sides))
        found += abs(sides[1].mean() - sides[0].mean()) / error > 1.96

    assert found / 800 == pytest.approx(0.8, abs=0.045)
    blind = achieved_power(outcome, lift=lift, n=n.total, design=Design())
    assert blind > 0.99  # what a plan that ignores clusters would believe


def test_a_ratio_is_planned_by_its_variance_per_unit() -> None:
    rng = np.random.default_rng(3)
    orders = 1 + rng.poisson(2, 5_000)
    revenue = orders * rng.gamma(2, 10, 5_000)
    past = Aggregates.from_columns({"revenue": revenue, "orders": orders})
    metric = Metric(name="basket", kind="ratio", numerator="revenue", denominator="orders")

    found = ratio_outcome(past, metric)

    ratio = revenue.sum() / orders.sum()
    linear = (revenue - ratio * orders) / orders.mean()
    assert found.mean == pytest.approx(ratio, rel=1e-12)
    assert found.variance == pytest.approx(linear.var(ddof=1), rel=1e-9)
    with pytest.raises(PlanError, match="is no ratio"):
        ratio_outcome(past, Metric(name="revenue"))


def test_what_says_nothing_of_clusters_is_refused() -> None:
    single = Aggregates.from_columns({"y": [1.0]})
    still = Aggregates.from_columns({"y": [1.0, 1.0]})

    with pytest.raises(DataError, match="say nothing"):
        cluster_correlation([single, single], column="y")
    with pytest.raises(DataError, match="same value"):
        cluster_correlation([still, still], column="y")
    with pytest.raises(PlanError, match="not in"):
        cluster_effect(size_mean=3, correlation=1.5)
    with pytest.raises(PlanError, match="at least 1"):
        cluster_effect(size_mean=0.5, correlation=0.1)
    with pytest.raises(PlanError, match="design_effect"):
        Design(design_effect=0)
