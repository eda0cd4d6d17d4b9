"""Counts: robust variance where people differ, the exact test where events are rare."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from experiments.errors import DataError
from experiments.estimation.counts import Events, cautions, counted, exact_rate_ratio, is_rare
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from tests.experiments.estimation_runs import bunched, count_false_positives
from tests.rig.sizes import scaled


def test_a_rate_per_exposure_time_has_the_robust_error_of_a_poisson_regression():
    # Poisson regression with an offset and sandwich errors, on the log scale.
    rng = np.random.default_rng(1)
    days = rng.uniform(1, 30, 3_000)
    y = rng.poisson(0.1 * days * rng.gamma(0.5, 2.0, 3_000)).astype(float)
    treated = (rng.random(3_000) < 0.4).astype(float)
    fit = sm.GLM(
        y,
        np.column_stack([1 - treated, treated]),
        family=sm.families.Poisson(),
        offset=np.log(days),
    ).fit(cov_type="HC0")
    metric = Metric(name="rate", kind="ratio", numerator="orders", denominator="days")
    arms = [
        Aggregates.from_columns({"orders": y[treated == arm], "days": days[treated == arm]})
        for arm in (0, 1)
    ]

    found = unadjusted(*[moments(arm, metric, covariates=()) for arm in arms])

    rates = np.exp(fit.params)
    assert (found.control, found.treatment) == pytest.approx(tuple(rates), rel=1e-9)
    # HC0 divides by n where a sample variance divides by n - 1.
    errors = fit.bse * rates * np.sqrt([arm.n / (arm.n - 1) for arm in arms])
    assert found.control_variance**0.5 == pytest.approx(errors[0], rel=1e-7)
    assert found.treatment_variance**0.5 == pytest.approx(errors[1], rel=1e-7)


def test_bunched_counts_without_an_effect_seldom_look_like_one():
    rng = np.random.default_rng(2)

    robust, poisson = count_false_positives(rng, runs=scaled(600))

    # Binomial error of 600 runs at .05 is .009. The Poisson test believes four times the data.
    assert robust < 0.08
    assert poisson > 0.25


def test_the_exact_test_is_the_doubled_binomial_tail():
    for x, y, exposure in ((2, 9, 1.5), (0, 6, 1.0), (7, 7, 0.2), (1, 0, 1.0), (30, 50, 1.0)):
        share = exposure / (1 + exposure)
        tails = (
            stats.binom.cdf(y, x + y, share),
            stats.binom.sf(y - 1, x + y, share),
        )

        found = exact_rate_ratio(Events(x, 1.0), Events(y, exposure), alpha=0.05)

        assert found.pvalue == pytest.approx(min(2 * min(tails), 1.0), rel=1e-9)
        limits = stats.binomtest(y, x + y).proportion_ci(0.95, method="exact")
        lower = limits.low / (1 - limits.low) / exposure - 1
        assert found.lift_rel.ci_lower == pytest.approx(lower, rel=1e-9)
        if x:
            upper = limits.high / (1 - limits.high) / exposure - 1
            assert found.lift_rel.ci_upper == pytest.approx(upper, rel=1e-9)
            assert found.lift_rel.estimate == pytest.approx(y / exposure / x - 1)
        else:
            assert (found.lift_rel.estimate, found.lift_rel.ci_upper) == (None, None)


def test_the_exact_test_and_its_interval_always_say_the_same():
    for x in range(14):
        for y in range(14):
            for exposure in (0.3, 1.0, 4.0):
                found = exact_rate_ratio(Events(x, 1.0), Events(y, exposure), alpha=0.05)

                lower, upper = found.lift_rel.ci_lower, found.lift_rel.ci_upper
                outside = (lower is not None and lower > 0) or (upper is not None and upper < 0)

                assert (found.pvalue < 0.05) == outside, (x, y, exposure)


def test_no_event_at_all_says_nothing():
    found = exact_rate_ratio(Events(0, 10.0), Events(0, 12.0), alpha=0.05)

    assert found.pvalue == 1.0
    assert (found.lift_rel.ci_lower, found.lift_rel.ci_upper) == (None, None)


@pytest.mark.parametrize(("count", "exposure"), [(-1, 1.0), (3, 0.0), (3, -2.0), (3, float("nan"))])
def test_impossible_events_are_refused(count, exposure):
    with pytest.raises(DataError, match="needed"):
        Events(count, exposure)


def test_dispersion_is_one_for_poisson_and_more_where_people_differ():
    rng = np.random.default_rng(3)
    plain = Aggregates.from_columns({"orders": rng.poisson(0.7, 20_000).astype(float)})
    wide = Aggregates.from_columns({"orders": bunched(rng, 20_000)})

    assert counted(plain, "orders").dispersion == pytest.approx(1.0, rel=0.05)
    assert counted(wide, "orders").dispersion == pytest.approx(4.0, rel=0.15)
    assert counted(Aggregates.from_columns({"orders": [0.0, 0.0]}), "orders").dispersion is None


def test_few_events_are_said_and_bunches_too():
    def counts(values):
        return counted(Aggregates.from_columns({"orders": values}), "orders")

    many = counts([1.0] * 500 + [0.0] * 500)
    few = counts([1.0] * 9 + [0.0] * 991)
    bunch = counts([9.0] + [0.0] * 999)

    assert cautions(many, many) == []
    assert cautions(many, few) == [
        "only 9 events in a variant: the interval is a rough approximation"
    ]
    assert "bunches (variance 9.0 times the mean)" in cautions(bunch, many)[1]


def test_the_exact_test_takes_over_only_where_events_are_few_and_single():
    def counts(values):
        return counted(Aggregates.from_columns({"orders": values}), "orders")

    many, few = counts([1.0] * 500 + [0.0] * 500), counts([1.0] * 9 + [0.0] * 991)
    bunch, none = counts([9.0] + [0.0] * 999), counts([0.0] * 1_000)

    assert not is_rare(many, many)
    assert is_rare(many, few)
    assert is_rare(none, none)
    assert not is_rare(bunch, few)


def test_negative_counts_and_empty_variants_are_refused():
    with pytest.raises(DataError, match="not negative"):
        counted(Aggregates.from_columns({"orders": [-1.0, 0.0]}), "orders")
    with pytest.raises(DataError, match="no unit"):
        counted(Aggregates.empty(("orders",)), "orders")
