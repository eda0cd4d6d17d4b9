"""Quantiles: coverage on heavy tails and under clusters, and where nothing may be read."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError
from experiments.estimation.quantile import cautions, quantiles
from experiments.evidence.compare import welch
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import AT_OR_BELOW, CLUSTER_UNITS, design_effect
from tests.experiments.estimation_runs import quantile_coverage, quantile_sums
from tests.rig.sizes import scaled


def test_the_estimate_is_numpys_and_the_error_the_textbooks():
    # sqrt(q (1 - q) / n) / density, of a lognormal at its own quantile.
    rng = np.random.default_rng(1)
    law = stats.lognorm(1.0)
    values = law.rvs(200_000, random_state=rng)

    for q in (0.25, 0.5, 0.9):
        found = quantiles(quantile_sums(values, q=q), quantile_sums(values, q=q))

        assert found.control == pytest.approx(np.quantile(values, q), rel=1e-12)
        expected = sqrt(q * (1 - q) / len(values)) / law.pdf(law.ppf(q))
        # The distance of two order statistics some 750 values apart: known to 1 / sqrt(750).
        assert sqrt(found.control_variance) == pytest.approx(expected, rel=0.11)
        assert found.difference_variance == pytest.approx(2 * found.control_variance)


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_intervals_cover_the_difference_on_heavy_tails(q):
    rng = np.random.default_rng(2)

    absolute, relative = quantile_coverage(rng, runs=scaled(3_000), q=q)

    # 95 % +/- 1.5 %; binomial error of 3,000 runs is .004.
    assert absolute == pytest.approx(0.95, abs=0.015)
    assert relative == pytest.approx(0.95, abs=0.015)


def test_intervals_cover_under_clusters_once_the_design_effect_widens_them():
    rng = np.random.default_rng(3)
    runs, covered, naive = scaled(800), 0, 0
    n_clusters, size, q = 150, 10, 0.5

    for _ in range(runs):
        parts, plain = [], []
        for _ in range(2):
            level = rng.normal(0, 1, n_clusters)[:, None]
            values = np.exp(level + rng.normal(0, 1, (n_clusters, size)))
            median = np.quantile(values, q)
            clusters = Aggregates.from_columns(
                {
                    AT_OR_BELOW: (values <= median).sum(axis=1).astype(float),
                    CLUSTER_UNITS: np.full(n_clusters, float(size)),
                }
            )
            deff = design_effect(clusters, q=q)
            parts.append(quantile_sums(values.ravel(), q=q, deff=deff, n_clusters=n_clusters))
            plain.append(quantile_sums(values.ravel(), q=q))
        for kind, pair in (("deff", parts), ("plain", plain)):
            found = quantiles(*pair)
            critical = welch(found, alpha=0.05).critical
            gap = found.treatment - found.control
            inside = abs(gap) <= critical * sqrt(found.difference_variance)
            covered += inside and kind == "deff"
            naive += inside and kind == "plain"

    # Binomial error of 800 runs at .95 is .0077.
    assert covered / runs == pytest.approx(0.95, abs=0.023)
    assert naive / runs < 0.8


def test_rounding_ranks_outward_does_not_widen_the_error():
    # Evenly spread values: density 1, so the standard error is sqrt(q (1 - q) / n) exactly.
    values = np.arange(1, 801) / 801

    found = quantiles(quantile_sums(values, q=0.9), quantile_sums(values, q=0.9))

    assert sqrt(found.control_variance) == pytest.approx(sqrt(0.09 * 800) / 801, rel=1e-9)


def test_clusters_count_as_what_was_sampled():
    rng = np.random.default_rng(4)
    values = rng.gamma(2.0, 1.0, 5_000)

    found = quantiles(
        quantile_sums(values, q=0.5, deff=9.0, n_clusters=40),
        quantile_sums(values, q=0.5, deff=9.0, n_clusters=40),
    )

    assert found.degrees_of_freedom == pytest.approx(78)


@pytest.mark.parametrize(("n", "q"), [(20, 0.99), (5, 0.5), (1, 0.5), (40, 0.02)])
def test_a_sample_too_small_for_its_quantile_is_refused(n, q):
    rng = np.random.default_rng(5)
    fine, small = quantile_sums(rng.random(10_000), q=q), quantile_sums(rng.random(n), q=q)

    with pytest.raises(DataError, match=f"{n} units are too few for the {q:g} quantile"):
        quantiles(fine, small)


def test_different_quantiles_are_not_compared():
    values = np.random.default_rng(6).random(1_000)

    with pytest.raises(DataError, match="cannot be compared"):
        quantiles(quantile_sums(values, q=0.5), quantile_sums(values, q=0.9))


def test_a_quantile_among_equal_values_is_not_tested_and_said():
    # 99 % spend nothing: the median is 0 in both variants and cannot move a little.
    rng = np.random.default_rng(7)
    spend = np.where(rng.random(5_000) < 0.01, 50.0, 0.0)
    sums = quantile_sums(spend, q=0.5)

    found = quantiles(sums, sums)

    assert found.difference_variance == 0
    assert welch(found, alpha=0.05).pvalue is None
    assert "inside a run of equal values" in cautions(sums, sums)[0]


def test_steps_of_whole_numbers_are_said():
    rng = np.random.default_rng(8)
    smooth, steps = (
        quantile_sums(rng.random(2_000), q=0.5),
        quantile_sums(rng.poisson(3.1, 2_000), q=0.5),
    )

    assert cautions(smooth, smooth) == []
    assert "in steps" in cautions(smooth, steps)[0]
