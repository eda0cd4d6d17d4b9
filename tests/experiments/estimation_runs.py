"""Seeded simulations of the estimators: what their tests and the table of the docs share.

Each gives the share of runs in which something held or was falsely found, beside the same for the
common shortcut.
"""

from functools import partial
from math import sqrt

import numpy as np

from experiments.estimation.clusters import clustered
from experiments.estimation.counts import Events, exact_rate_ratio
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates, satterthwaite
from experiments.estimation.quantile import quantiles
from experiments.estimation.ratio import Moments, moments
from experiments.estimation.strata import post_stratified
from experiments.evidence.compare import absolute_lift, relative_lift, welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS, QuantileSums, ranks
from tests.experiments.simulation import Simulation

SPEND = Metric(name="spend")
Z = 1.959963984540054

BUYERS_SHARE = 0.01
MEAN_LOG, SPREAD_LOG = 4.4, 0.85
"""Of a buyer's spend: its mean and its tail are Hillstrom's."""


def sparse_spend(rng, runs, n, *, lift):
    """Mean and variance of spend per run, drawn without the zeros; one row a run."""
    buyers = rng.binomial(n, BUYERS_SHARE, runs)
    spends = rng.lognormal(MEAN_LOG, SPREAD_LOG, buyers.sum()) * (1 + lift)
    run = np.repeat(np.arange(runs), buyers)
    total = np.bincount(run, weights=spends, minlength=runs)
    squares = np.bincount(run, weights=spends**2, minlength=runs)
    mean = total / n
    return np.column_stack([mean, (squares - n * mean**2) / (n - 1)])


def plain_estimates(control, treatment, n_control, n_treatment):
    """Estimates of two (mean, variance)."""
    variances = control[1] / n_control, treatment[1] / n_treatment
    return Estimates(
        control=control[0],
        treatment=treatment[0],
        control_variance=variances[0],
        treatment_variance=variances[1],
        covariance=0.0,
        difference_variance=sum(variances),
        n_control=n_control,
        n_treatment=n_treatment,
        degrees_of_freedom=satterthwaite(variances, (n_control - 1, n_treatment - 1)),
    )


def relative_coverage(rng, *, runs, n_control, n_treatment, lift):
    """Runs whose interval holds the true lift: Fieller's, and "absolute over control mean"."""
    control = sparse_spend(rng, runs, n_control, lift=0.0)
    treatment = sparse_spend(rng, runs, n_treatment, lift=lift)
    fieller = naive = 0
    for one, other in zip(control, treatment, strict=True):
        found = plain_estimates(one, other, n_control, n_treatment)
        critical = welch(found, alpha=0.05).critical
        interval = relative_lift(found, critical=critical)
        fieller += not interval.is_bounded or interval.ci_lower <= lift <= interval.ci_upper
        absolute = absolute_lift(found, critical=critical)
        naive += absolute.ci_lower / one[0] <= lift <= absolute.ci_upper / one[0]
    return fieller / runs, naive / runs


def towns(rng, n, *, correlation=0.1, size=20.0, effect=0.0, ragged=True):
    """Cluster of each unit and its value, with a given correlation within clusters."""
    sizes = 1 + rng.poisson(size * rng.gamma(2.0, 0.5, n)) if ragged else np.full(n, round(size))
    cluster = np.repeat(np.arange(n), sizes)
    level = rng.normal(0, sqrt(correlation), n)
    own = rng.normal(0, sqrt(1 - correlation), len(cluster))
    return cluster, 10 + effect + level[cluster] + own


def town_rows(arm):
    """Total and units of each cluster."""
    cluster, value = arm
    return np.column_stack([np.bincount(cluster, weights=value), np.bincount(cluster)])


def town_sums(arm):
    """Aggregates over the clusters' sums."""
    table = town_rows(arm)
    return Aggregates.from_columns({"spend": table[:, 0], CLUSTER_UNITS: table[:, 1]})


def cluster_false_positives(rng, *, runs, n_clusters=40, correlation=0.1, ragged=True):
    """Runs without an effect that look like one: by clusters, and by units as if independent."""
    found = naive = 0
    for _ in range(runs):
        arms = [
            towns(rng, n_clusters // 2, correlation=correlation, ragged=ragged) for _ in range(2)
        ]
        estimates = clustered(*map(town_sums, arms), metric=SPEND)
        found += welch(estimates, alpha=0.05).pvalue < 0.05
        means = [value.mean() for _, value in arms]
        variance = sum(value.var(ddof=1) / len(value) for _, value in arms)
        naive += abs(means[1] - means[0]) > Z * sqrt(variance)
    return found / runs, naive / runs


def quantile_sums(values, *, q, deff=1.0, n_clusters=None):
    """What `sums` reads off the data, done here by sorting."""
    ordered = np.sort(np.asarray(values, dtype=float))
    found = ranks(len(ordered), q=q, z=Z, deff=deff)
    below, above = ordered[found.below - 1], ordered[found.above - 1]
    return QuantileSums(
        n=len(ordered),
        q=q,
        value=float(below + found.weight * (above - below)),
        lower=float(ordered[found.lower - 1]),
        upper=float(ordered[found.upper - 1]),
        rank_lower=found.lower,
        rank_upper=found.upper,
        z=Z,
        deff=deff,
        n_clusters=n_clusters,
        is_cut=found.is_cut,
    )


def quantile_coverage(rng, *, runs, q, n_control=1_200, n_treatment=800, lift=0.2):
    """Runs whose interval holds the truth, absolute and relative, on Pareto values of shape 1.5.

    Their variance is infinite: a comparison of means would be hopeless.
    """
    truth = lift * (1 - q) ** (-1 / 1.5)
    absolute = relative = 0
    for _ in range(runs):
        control = (1 - rng.random(n_control)) ** (-1 / 1.5)
        treatment = (1 + lift) * (1 - rng.random(n_treatment)) ** (-1 / 1.5)
        found = quantiles(quantile_sums(control, q=q), quantile_sums(treatment, q=q))
        critical = welch(found, alpha=0.05).critical
        gap = found.treatment - found.control - truth
        absolute += abs(gap) <= critical * sqrt(found.difference_variance)
        interval = relative_lift(found, critical=critical)
        relative += interval.ci_lower <= lift <= interval.ci_upper
    return absolute / runs, relative / runs


def bunched(rng, n, *, mean=0.5, dispersion=4.0):
    """Negative binomial counts: variance is `dispersion` times the mean."""
    return rng.negative_binomial(mean / (dispersion - 1), 1 / dispersion, n).astype(float)


def count_false_positives(rng, *, runs, n=400):
    """Runs without an effect that look like one: by sample variance, and by a Poisson test."""
    robust = poisson = 0
    for _ in range(runs):
        arms = [Aggregates.from_columns({"orders": bunched(rng, n)}) for _ in range(2)]
        found = unadjusted(*[moments(a, Metric(name="orders"), covariates=()) for a in arms])
        robust += welch(found, alpha=0.05).pvalue < 0.05
        totals = [round(arm.mean("orders") * arm.n) for arm in arms]
        exact = exact_rate_ratio(Events(totals[0], n), Events(totals[1], n), alpha=0.05)
        poisson += exact.pvalue < 0.05
    return robust / runs, poisson / runs


def stratified_coverage(rng, *, runs):
    """Runs whose relative interval holds the truth, strata explaining nearly everything."""
    truth, levels, mix = 0.5, (1.0, 5.0, 20.0), np.array([0.5, 0.4, 0.1])
    covered = 0
    for _ in range(runs):
        arms = []
        for size, effect in ((300, 0.0), (150, truth)):
            values = [
                level + effect + rng.normal(0, 1, count)
                for level, count in zip(levels, rng.multinomial(size, mix), strict=True)
            ]
            arms.append(
                {
                    f"country {k}": Aggregates.from_columns({"spend": each})
                    for k, each in enumerate(values)
                }
            )
        found = post_stratified(arms[0], arms[1], metric=SPEND).estimates
        interval = relative_lift(found, critical=welch(found, alpha=0.05).critical)
        covered += interval.ci_lower <= truth / float(mix @ levels) <= interval.ci_upper
    return covered / runs


def crowded_false_positives(rng, *, runs, n=20, k=15):
    """Runs without an effect that look like one, with k covariates for n units a variant."""
    found = 0
    for _ in range(runs):
        rows = rng.normal(0, 1, (3, n, k + 1))
        arms = [row_moments(each) for each in rows]
        total = row_moments(np.vstack(rows[:2]))
        estimates = adjusted(arms[0], arms[1], total=total, adjust="lin")
        found += welch(estimates, alpha=0.05).pvalue < 0.05
    return found / runs


def row_moments(rows):
    """Moments of rows whose first column is the outcome and the others covariates."""
    means, spread = rows.mean(axis=0), np.cov(rows, rowvar=False)
    return Moments(
        n=len(rows),
        mean=means[0],
        variance=spread[0, 0],
        covariate_means=tuple(means[1:]),
        outcome_covariances=tuple(spread[0, 1:]),
        covariate_covariances=tuple(map(tuple, spread[1:, 1:])),
    )


def _first(pair, rng, runs, **options):
    """What the library does."""
    return pair(rng, runs=runs, **options)[0]


def _second(pair, rng, runs, **options):
    """What the shortcut does."""
    return pair(rng, runs=runs, **options)[1]


def _share(single, rng, runs, **options):
    return single(rng, runs=runs, **options)


_sparse = {"n_control": 21_000, "n_treatment": 21_000}

SIMULATIONS = (
    *(
        Simulation(
            "relative", f"Fieller holds a lift of {lift:.0%} of spend with 99 % zeros", 0.94, 0.96,
            2_000, partial(_first, relative_coverage, lift=lift, **_sparse),
        )
        for lift in (0.0, 0.5, 1.0)
    ),
    Simulation(
        "relative", "absolute interval over control mean holds a lift of 100%", 0.0, 0.89, 2_000,
        partial(_second, relative_coverage, lift=1.0, **_sparse), is_shortcut=True,
    ),
    Simulation(
        "relative", "post-stratified, few units in the richest stratum", 0.935, 0.965, 500,
        partial(_share, stratified_coverage),
    ),
    Simulation(
        "regression", "A/A with 15 covariates on 20 units a variant", 0.035, 0.065, 500,
        partial(_share, crowded_false_positives),
    ),
    Simulation(
        "clusters", "A/A of 40 ragged clusters, correlation .1 within", 0.035, 0.065, 1_000,
        partial(_first, cluster_false_positives),
    ),
    Simulation(
        "clusters", "the same, units as if independent", 0.15, 1, 1_000,
        partial(_second, cluster_false_positives), is_shortcut=True,
    ),
    *(
        Simulation(
            "quantiles", f"{name}s of Pareto tails, difference held", 0.935, 0.965, 1_000,
            partial(_first, quantile_coverage, q=q),
        )
        for name, q in (("median", 0.5), ("90th percentile", 0.9))
    ),
    Simulation(
        "counts", "A/A of counts with four times Poisson's variance", 0.035, 0.055, 300,
        partial(_first, count_false_positives),
    ),
    Simulation(
        "counts", "the same, by a Poisson test", 0.2, 1, 300,
        partial(_second, count_false_positives), is_shortcut=True,
    ),
)  # fmt: skip
