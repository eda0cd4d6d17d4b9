from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import moments
from experiments.evidence.compare import absolute_lift, relative_lift, ruled_out_beyond, welch
from experiments.metrics import Metric
from tests.experiments.data import a_shop, aggregates


def estimates(control, treatment, control_variance, treatment_variance, *, covariance=0.0):
    return Estimates(
        control=control,
        treatment=treatment,
        control_variance=control_variance,
        treatment_variance=treatment_variance,
        covariance=covariance,
        difference_variance=control_variance + treatment_variance - 2 * covariance,
        n_control=1_000,
        n_treatment=1_000,
        degrees_of_freedom=1_998.0,
    )


def rejects(found, lift, critical):
    """Whether the absolute test of "treatment - (1 + lift) |control|" rejects zero."""
    q = 1 + lift if found.control > 0 else 1 - lift
    gap = found.treatment - q * found.control
    variance = found.treatment_variance - 2 * q * found.covariance + q * q * found.control_variance
    return abs(gap) > critical * sqrt(variance)


positive = st.floats(0.01, 10)


@given(
    control=st.floats(0.5, 100) | st.floats(-100, -0.5),
    treatment=st.floats(-100, 100),
    variances=st.tuples(positive, positive),
    correlation=st.floats(-0.9, 0.9),
)
def test_fiellers_interval_inverts_the_absolute_test(control, treatment, variances, correlation):
    found = estimates(
        control, treatment, *variances, covariance=correlation * sqrt(variances[0] * variances[1])
    )
    critical = 1.96

    interval = relative_lift(found, critical=critical)

    assume(interval.is_bounded)
    width = interval.ci_upper - interval.ci_lower
    assume(width > 1e-6)
    for share in (0.001, 0.3, 0.7, 0.999):
        assert not rejects(found, interval.ci_lower + share * width, critical)
    for outside in (interval.ci_lower - 0.001 * width, interval.ci_upper + 0.001 * width):
        assert rejects(found, outside, critical)


@given(control=st.floats(0.5, 100), treatment=st.floats(-100, 100), variance=positive)
def test_sign_and_significance_agree_in_both_forms(control, treatment, variance):
    found = estimates(control, treatment, variance, variance)
    absolute = absolute_lift(found, critical=1.96)

    relative = relative_lift(found, critical=1.96)

    assume(relative.is_bounded)
    assume(min(abs(absolute.ci_lower), abs(absolute.ci_upper)) > 1e-6)
    assert (relative.ci_lower > 0) == (absolute.ci_lower > 0)
    assert (relative.ci_upper < 0) == (absolute.ci_upper < 0)
    assert relative.estimate * absolute.estimate >= 0


def test_fieller_is_unbounded_when_the_control_mean_may_be_zero():
    noisy = estimates(1.0, 2.0, 0.5, 0.5)  # 1.0 is only 1.4 standard errors from 0: g > 1.

    interval = relative_lift(noisy, critical=1.96)

    assert (interval.estimate, interval.ci_lower, interval.ci_upper) == (1.0, None, None)
    assert ruled_out_beyond(interval) == float("inf")


def test_without_a_control_mean_there_is_no_relative_lift():
    assert relative_lift(estimates(0.0, 1.0, 0.1, 0.1), critical=1.96).estimate is None


def test_a_rise_from_below_zero_is_a_positive_lift():
    found = relative_lift(estimates(-10.0, -8.0, 0.01, 0.01), critical=1.96)

    assert found.estimate == pytest.approx(0.2)
    assert 0 < found.ci_lower < 0.2 < found.ci_upper


def test_relative_intervals_cover_the_truth_as_often_as_they_say():
    # Dividing the absolute interval by the control mean covers .81 to .86 for a nominal .95
    # (measured on a well-known library); the control mean here is as noisy as it was there.
    rng = np.random.default_rng(11)
    n, truth, runs = 150, 1.5, 1_500
    control = rng.gamma(0.5, 2.0, (runs, n))
    treatment = rng.gamma(0.5, 2.0 * (1 + truth), (runs, n))
    covered = naive = 0

    for a, b in zip(control, treatment, strict=True):
        found = estimates(a.mean(), b.mean(), a.var(ddof=1) / n, b.var(ddof=1) / n)
        interval = relative_lift(found, critical=1.98)
        absolute = absolute_lift(found, critical=1.98)
        covered += not interval.is_bounded or interval.ci_lower <= truth <= interval.ci_upper
        naive += absolute.ci_lower / a.mean() <= truth <= absolute.ci_upper / a.mean()

    # Binomial error of 1,500 runs at .95 is .0056: three of them either way.
    assert 0.93 <= covered / runs <= 0.97
    assert naive / runs < 0.9


def test_relative_intervals_of_adjusted_means_cover_too():
    # Both adjusted means share the pooled covariate mean: without their covariance the relative
    # interval would be wrong even where the absolute one is right.
    rng = np.random.default_rng(12)
    n, truth, runs = 100, 0.3, 800
    metric = Metric(name="y", covariates=("x",))
    covered = 0

    for _ in range(runs):
        x = rng.gamma(2.0, 1.0, (2, n))
        y = np.array([1.0, 1.0 + truth])[:, None] * (0.5 * x + rng.normal(0, 0.5, (2, n)))
        parts = aggregates({"c": {"y": y[0], "x": x[0]}, "t": {"y": y[1], "x": x[1]}})
        arms = [moments(parts[name], metric, covariates=("x",)) for name in "ct"]
        total = moments(parts["c"].merge(parts["t"]), metric, covariates=("x",))
        found = adjusted(arms[0], arms[1], total=total, adjust="lin")
        interval = relative_lift(found, critical=welch(found, alpha=0.05).critical)
        covered += interval.ci_lower <= truth <= interval.ci_upper

    assert 0.925 <= covered / runs <= 0.975


def test_nothing_varies_so_nothing_is_tested():
    found = estimates(1.0, 1.0, 0.0, 0.0)

    assert welch(found, alpha=0.05).pvalue is None
    assert absolute_lift(found, critical=1.96).is_bounded is False


def test_one_constant_variant_leaves_the_other_to_decide():
    arms = aggregates({"c": {"y": [0.0] * 50}, "t": {"y": [0.0, 1.0] * 25}})
    metric = Metric(name="y", kind="proportion")

    found = unadjusted(*(moments(arms[name], metric, covariates=()) for name in "ct"))

    assert found.degrees_of_freedom == pytest.approx(49)
    assert welch(found, alpha=0.05).pvalue < 1e-6


def test_the_relative_interval_narrows_to_the_absolute_one_as_the_control_settles():
    arms = aggregates(a_shop(n=400))
    metric = Metric(name="spend")
    found = unadjusted(*(moments(arms[n], metric, covariates=()) for n in ("control", "treatment")))
    known = replace(found, control_variance=0.0, difference_variance=found.treatment_variance)

    relative, absolute = relative_lift(known, critical=2), absolute_lift(known, critical=2)

    assert relative.ci_lower == pytest.approx(absolute.ci_lower / known.control, rel=1e-9)
