"""Clusters: delta method on cluster sums, small-sample correction, randomization test."""

from itertools import combinations
from math import sqrt

import numpy as np
import pytest
import statsmodels.api as sm

from experiments.errors import DataError
from experiments.estimation.clusters import cautions, clustered
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.randomization import randomization_pvalue
from experiments.estimation.ratio import moments
from experiments.evidence.compare import welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS
from tests.experiments.estimation_runs import (
    SPEND,
    cluster_false_positives,
    town_rows,
    town_sums,
    towns,
)
from tests.rig.sizes import scaled


def test_means_are_those_of_units_and_errors_those_of_clustered_least_squares():
    rng = np.random.default_rng(1)
    arms = [towns(rng, 30), towns(rng, 45)]
    y = np.concatenate([value for _, value in arms])
    treated = np.repeat([0.0, 1.0], [len(value) for _, value in arms])
    groups = np.concatenate([arms[0][0], 1_000 + arms[1][0]])
    fit = sm.OLS(y, np.column_stack([1 - treated, treated])).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )

    found = clustered(town_sums(arms[0]), town_sums(arms[1]), metric=SPEND)

    assert (found.control, found.treatment) == pytest.approx(tuple(fit.params), rel=1e-9)
    # Without any correction the sandwich is ours times 1 - sum of squared shares of units.
    for variance, error, arm in zip(
        (found.control_variance, found.treatment_variance), fit.bse, arms, strict=True
    ):
        sizes = town_rows(arm)[:, 1]
        squared = ((sizes / sizes.sum()) ** 2).sum()
        assert variance * (1 - squared) == pytest.approx(error**2, rel=1e-9)
    assert (found.n_control, found.n_treatment) == tuple(len(value) for _, value in arms)


def cr2(arm):
    """Bell and McCaffrey's CR2 of one mean, by its matrices: (I - H)^(-1/2) for each cluster."""
    cluster, value = arm
    residuals = value - value.mean()
    total = 0.0
    for each in range(cluster.max() + 1):
        inside = cluster == each
        m = int(inside.sum())
        hat = np.full((m, m), 1 / len(value))
        eigenvalues, vectors = np.linalg.eigh(np.eye(m) - hat)
        root = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T
        total += (root @ residuals[inside]).sum() ** 2
    return total / len(value) ** 2


def test_the_correction_is_cr2_for_equal_clusters_and_close_to_it_for_ragged_ones():
    rng = np.random.default_rng(2)
    equal = [towns(rng, 8, ragged=False), towns(rng, 12, ragged=False)]
    ragged = [towns(rng, 25), towns(rng, 25)]

    found = clustered(town_sums(equal[0]), town_sums(equal[1]), metric=SPEND)
    rough = clustered(town_sums(ragged[0]), town_sums(ragged[1]), metric=SPEND)

    assert found.control_variance == pytest.approx(cr2(equal[0]), rel=1e-9)
    assert found.treatment_variance == pytest.approx(cr2(equal[1]), rel=1e-9)
    assert found.degrees_of_freedom <= 18
    assert rough.difference_variance == pytest.approx(cr2(ragged[0]) + cr2(ragged[1]), rel=0.05)


def test_clusters_of_one_unit_are_the_plain_means():
    rng = np.random.default_rng(3)
    arms = [(np.arange(n), rng.gamma(1.0, 3.0, n)) for n in (50, 70)]
    metric = Metric(name="spend")
    plain = [
        moments(Aggregates.from_columns({"spend": value}), metric, covariates=())
        for _, value in arms
    ]

    found, expected = clustered(*map(town_sums, arms), metric=metric), unadjusted(*plain)

    assert found.difference_variance == pytest.approx(expected.difference_variance, rel=1e-12)
    assert found.degrees_of_freedom == pytest.approx(expected.degrees_of_freedom, rel=1e-12)


@pytest.mark.parametrize("ragged", [False, True])
def test_false_positives_stay_at_five_per_cent_with_forty_clusters(ragged):
    rng = np.random.default_rng(4)

    found, naive = cluster_false_positives(rng, runs=scaled(2_000), ragged=ragged)

    # 5 % +/- 1.5 %; binomial error of 2,000 runs is .0049. Counting units as independent: 3 x that.
    assert found == pytest.approx(0.05, abs=0.015)
    assert naive > 0.15


@pytest.mark.parametrize("n_treatment", [5, 3])
def test_the_randomization_test_takes_every_assignment_of_few_clusters(n_treatment):
    rng = np.random.default_rng(5)
    n_control = 10 - n_treatment
    arms = [town_rows(towns(rng, n_control)), town_rows(towns(rng, n_treatment, effect=0.2))]
    table = np.vstack(arms)

    def t(picked):
        score, variance = 0.0, 0.0
        for sign, group in ((1, sorted(picked)), (-1, sorted(set(range(10)) - set(picked)))):
            top, below = table[group, 0], table[group, 1]
            ratio = top.sum() / below.sum()
            score += sign * ratio
            size = len(group)
            variance += ((top - ratio * below) ** 2).sum() * size / (size - 1) / below.sum() ** 2
        return abs(score) / sqrt(variance)

    observed = t(tuple(range(n_control, 10)))
    ways = [t(each) >= observed - 1e-12 for each in combinations(range(10), n_treatment)]

    found = randomization_pvalue(
        [tuple(row) for row in arms[0]], [tuple(row) for row in arms[1]], rng=rng
    )

    assert found == pytest.approx(np.mean(ways), abs=1e-12)
    assert found >= 1 / len(ways)  # The assignment that happened is one of them.


def test_many_clusters_are_drawn_and_the_same_rng_gives_the_same_answer():
    rng = np.random.default_rng(6)
    same, shifted = town_rows(towns(rng, 30)), town_rows(towns(rng, 30, effect=0.5))
    arms = [[tuple(row) for row in table] for table in (same, shifted)]

    first, again = (
        randomization_pvalue(*arms, rng=np.random.default_rng(7), draws=999) for _ in range(2)
    )

    assert first == again
    assert 1 / 1_000 <= first < 0.05


def test_the_randomization_test_is_exact_for_six_clusters():
    rng = np.random.default_rng(8)
    runs, found = 400, 0

    for _ in range(runs):
        arms = [[tuple(r) for r in town_rows(towns(rng, 3, correlation=0.5))] for _ in range(2)]
        found += randomization_pvalue(*arms, rng=rng) <= 0.1

    # Twenty assignments, in mirrored pairs: .1 is one pair of ten. Binomial error .015.
    assert found / runs == pytest.approx(0.1, abs=0.045)


def with_past(rng, n, *, effect=0.0, size=20.0):
    """Cluster sums whose level was already there in the months before."""
    cluster, value = towns(rng, n, effect=effect, size=size)
    level = rng.normal(0, 1, n)[cluster]
    past = 5 + level + rng.normal(0, 1, len(cluster))
    table = [np.bincount(cluster, weights=column) for column in (value + level, past)]
    return Aggregates.from_columns(
        {"spend": table[0], "past": table[1], CLUSTER_UNITS: np.bincount(cluster).astype(float)}
    )


@pytest.mark.parametrize("adjust", ["lin", "pooled"])
def test_a_covariate_of_the_clusters_sharpens_and_stays_honest(adjust):
    rng = np.random.default_rng(10)
    runs, false, reductions = scaled(1_000), 0, []

    for _ in range(runs):
        arms = [with_past(rng, 20) for _ in range(2)]
        plain = clustered(*arms, metric=SPEND)
        found = clustered(*arms, metric=SPEND, covariates=("past",), adjust=adjust)
        false += welch(found, alpha=0.05).pvalue < 0.05
        reductions.append(found.difference_variance / plain.difference_variance)

    # Binomial error of 1,000 runs at .05 is .0069. Of 1.1 between clusters the past explains most.
    assert false / runs == pytest.approx(0.05, abs=0.02)
    assert np.median(reductions) < 0.3
    assert found.degrees_of_freedom <= 36


def test_a_covariate_of_clusters_of_one_unit_is_plain_regression():
    rng = np.random.default_rng(11)
    columns = [{"spend": x + rng.normal(0, 1, 60), "past": x} for x in rng.normal(0, 1, (2, 60))]
    units = [Aggregates.from_columns(c) for c in columns]
    metric = Metric(name="spend", covariates=("past",))
    arms = [moments(part, metric, covariates=("past",)) for part in units]
    total = moments(units[0].merge(units[1]), metric, covariates=("past",))
    expected = adjusted(*arms, total=total, adjust="lin")

    found = clustered(
        *[Aggregates.from_columns({**c, CLUSTER_UNITS: np.ones(60)}) for c in columns],
        metric=SPEND,
        covariates=("past",),
    )

    for name in ("control", "treatment", "difference_variance", "covariance", "n_control"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_few_clusters_come_with_a_caution():
    def arm(n):
        return Aggregates.from_columns({"spend": [1.0] * n, CLUSTER_UNITS: [1.0] * n})

    assert cautions(arm(25), arm(25)) == []
    assert "few" in cautions(arm(15), arm(15))[0]
    assert "randomization test" in cautions(arm(4), arm(5))[0]


def test_a_ratio_needs_no_count_of_units():
    rng = np.random.default_rng(9)
    tables = [town_rows(towns(rng, 20)) for _ in range(2)]
    parts = [Aggregates.from_columns({"spend": t[:, 0], "orders": t[:, 1]}) for t in tables]
    metric = Metric(name="per order", kind="ratio", numerator="spend", denominator="orders")

    found = clustered(*parts, metric=metric)

    assert found.control == pytest.approx(tables[0][:, 0].sum() / tables[0][:, 1].sum())


def test_one_cluster_or_a_giant_among_dwarfs_is_refused():
    def arm(sizes):
        values = np.array(sizes, dtype=float)
        return Aggregates.from_columns({"spend": 2 * values, CLUSTER_UNITS: values})

    fine = arm([10, 12, 9])

    with pytest.raises(DataError, match="at least 2 in each"):
        clustered(fine, arm([50]), metric=SPEND)
    with pytest.raises(DataError, match="nearly all"):
        clustered(arm([10_000, 1, 2]), fine, metric=SPEND)
    with pytest.raises(DataError, match="deff"):
        clustered(fine, fine, metric=Metric(name="spend", kind="quantile", q=0.5))
    with pytest.raises(DataError, match="at least two clusters"):
        randomization_pvalue([(1.0, 1.0)], [(1.0, 1.0), (2.0, 1.0)], rng=np.random.default_rng(1))
    with pytest.raises(DataError, match="more than 0 units"):
        randomization_pvalue(
            [(1.0, 1.0), (1.0, 0.0)], [(1.0, 1.0), (2.0, 1.0)], rng=np.random.default_rng(1)
        )


def test_clusters_that_do_not_vary_are_not_tested():
    same = Aggregates.from_columns({"spend": [10.0] * 6, CLUSTER_UNITS: [5.0] * 6})

    found = clustered(same, same, metric=SPEND)

    assert found.difference_variance == 0
    assert welch(found, alpha=0.05).pvalue is None
