"""A comparison followed through its looks: what holds at each, and what all of them leave."""

from functools import partial
from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import (
    absolute_lift,
    normal,
    normal_one_sided,
    one_sided,
    relative_lift,
    welch,
    welch_one_sided,
)
from experiments.evidence.looks import confidence_sequence, intersection, is_empty
from experiments.evidence.sequential import (
    always_valid,
    always_valid_one_sided,
    mixture_variance,
    one_sided_critical_value,
    one_sided_pvalue,
)


def estimates(difference, variance, n, *, control=1.0):
    half = variance / 2
    return Estimates(
        control, control + difference, half, half, 0.0, variance, n // 2, n // 2, n - 2.0
    )


def an_a_a_stream(rng, *, n, looks, lift=0.0):
    """Estimates of one stream of normal outcomes, from all units up to each look."""
    arms = rng.normal(1.0, 1.0, (2, n)).cumsum(axis=1)
    ends = np.linspace(n // looks, n, looks).astype(int)
    return [estimates(arms[1, m - 1] / m - arms[0, m - 1] / m + lift, 2 / m, 2 * m) for m in ends]


def test_the_one_sided_bound_is_the_published_one():
    # arXiv 2103.06476 eq. 134, in its own shape: distance / sigma at t with rho.
    t, rho, alpha = 900, 0.06, 0.05
    bound = sqrt(
        2 * (t * rho**2 + 1) / (t**2 * rho**2) * np.log(1 + sqrt(t * rho**2 + 1) / (2 * alpha))
    )

    assert one_sided_critical_value(alpha=alpha, n=t, rho2=rho**2) / sqrt(t) == pytest.approx(bound)


def test_beyond_the_one_sided_bound_the_half_normal_mixture_exceeds_one_over_alpha():
    # The bound is derived from this mixture; the integral is done by scipy, not by us.
    rho2 = mixture_variance(alpha=0.1, planned_sample=2_000)
    for n in (50, 2_000, 100_000):
        z = one_sided_critical_value(alpha=0.05, n=n, rho2=rho2)

        def likelihood_ratio(effect, z=z, n=n):
            prior = 2 * stats.norm.pdf(effect, 0, sqrt(rho2))
            return prior * exp(effect * z * sqrt(n) - n * effect * effect / 2)

        peak = z / sqrt(n)
        mixture = integrate.quad(
            likelihood_ratio, 0, peak + 12 / sqrt(n), points=[peak], limit=200
        )[0]

        assert 1 / 0.05 <= mixture < 1.15 / 0.05


@given(z=st.floats(-8, 40), n=st.integers(10, 10**6), alpha=st.sampled_from([0.01, 0.05, 0.1]))
def test_one_sided_bound_and_p_value_always_agree(z, n, alpha):
    rho2 = mixture_variance(alpha=2 * alpha, planned_sample=5_000)
    critical = one_sided_critical_value(alpha=alpha, n=n, rho2=rho2)

    pvalue = one_sided_pvalue(z, n=n, rho2=rho2)

    if abs(z - critical) > 1e-9:
        assert (pvalue <= alpha) == (z > critical)


def test_one_side_is_tightest_near_the_plan_and_tighter_than_two():
    rho2 = mixture_variance(alpha=0.1, planned_sample=10_000)
    best = optimize.minimize_scalar(
        lambda other: one_sided_critical_value(alpha=0.05, n=10_000, rho2=exp(other)),
        bounds=(-14, -2),
        method="bounded",
    )
    found = estimates(0.1, 4e-4, 10_000)

    one = always_valid_one_sided(found, alpha=0.05, planned_sample=10_000)
    two = always_valid(found, alpha=0.05, planned_sample=10_000)

    assert one_sided_critical_value(alpha=0.05, n=10_000, rho2=rho2) < best.fun * 1.01
    assert one.critical < two.critical
    assert one.pvalue < two.pvalue


def test_the_other_direction_mirrors():
    up, down = estimates(0.3, 0.01, 800), estimates(-0.3, 0.01, 800)

    for test, options in (
        (always_valid_one_sided, {"planned_sample": 1_000}),
        (welch_one_sided, {}),
        (normal_one_sided, {}),
    ):
        greater = test(up, alpha=0.05, alternative="greater", **options)
        less = test(down, alpha=0.05, alternative="less", **options)
        wrong = test(up, alpha=0.05, alternative="less", **options)
        assert greater == less
        assert wrong.pvalue > 0.99


def test_one_sided_tests_are_half_the_two_sided_ones():
    found = estimates(0.3, 0.02, 60)

    assert welch_one_sided(found, alpha=0.05).pvalue == pytest.approx(
        welch(found, alpha=0.1).pvalue / 2
    )
    assert welch_one_sided(found, alpha=0.05).critical == pytest.approx(
        welch(found, alpha=0.1).critical
    )
    assert normal_one_sided(found, alpha=0.05).critical == pytest.approx(
        normal(found, alpha=0.1).critical
    )
    half = one_sided(absolute_lift(found, critical=1.0), alternative="less")
    assert (half.ci_lower, half.ci_upper) == (None, pytest.approx(0.3 + sqrt(0.02)))


def test_the_running_p_value_never_rises_and_the_intersection_never_grows():
    looks = an_a_a_stream(np.random.default_rng(4), n=2_000, looks=40, lift=0.15)

    found = confidence_sequence(looks, alpha=0.05, planned_sample=2_000)

    pvalues = [look.running_pvalue for look in found.looks]
    assert pvalues == sorted(pvalues, reverse=True)
    assert pvalues[-1] < 0.05
    lowers = [look.absolute_so_far.ci_lower for look in found.looks]
    uppers = [look.absolute_so_far.ci_upper for look in found.looks]
    assert lowers == sorted(lowers)
    assert uppers == sorted(uppers, reverse=True)
    assert lowers[-1] == max(look.absolute.ci_lower for look in found.looks)
    assert uppers[-1] == min(look.absolute.ci_upper for look in found.looks)
    assert not found.contradicts_itself


@given(lift=st.floats(-0.9, 0.9), relative=st.floats(0.01, 0.2), n=st.integers(50, 10**6))
def test_the_relative_interval_is_fieller_at_the_sequences_own_critical_value(lift, relative, n):
    # Whatever lift is inside must not be refuted by the sequential test of that very lift.
    variance = relative**2
    found = Estimates(1.0, 1.0 + lift, variance, variance, 0.0, 2 * variance, n, n, 2.0 * n)
    look = confidence_sequence([found], alpha=0.05, planned_sample=2 * n).last
    half_width = look.absolute.ci_upper - look.absolute.estimate
    z = half_width / sqrt(found.difference_variance)

    assert look.test.critical == pytest.approx(z)
    assert look.relative == relative_lift(found, critical=look.test.critical)
    if look.relative.ci_lower is None:
        assert z * z * variance >= 1
        return
    for bound, inwards in ((look.relative.ci_lower, 1), (look.relative.ci_upper, -1)):
        for step, is_inside in ((inwards * 1e-6, True), (-inwards * 1e-6, False)):
            tested = 1 + bound + step
            contrast = found.treatment - tested * found.control
            error = sqrt(found.treatment_variance + tested**2 * found.control_variance)
            assert (abs(contrast) <= look.test.critical * error) == is_inside


def test_zero_is_in_the_absolute_interval_exactly_when_it_is_in_the_relative_one():
    for difference in np.linspace(0, 0.5, 26):
        look = confidence_sequence(
            [estimates(float(difference), 0.004, 900)], alpha=0.05, planned_sample=900
        ).last

        assert (look.absolute.ci_lower <= 0) == (look.relative.ci_lower <= 0)
        assert (look.absolute.ci_lower > 0) == (look.test.pvalue < 0.05)


def test_looks_that_cannot_all_be_true_are_called_out():
    looks = [estimates(1.0, 0.001, 1_000), estimates(-1.0, 0.001, 2_000)]

    found = confidence_sequence(looks, alpha=0.05, planned_sample=2_000)

    assert found.contradicts_itself
    assert found.last.absolute_so_far.ci_lower is None
    assert found.last.absolute.is_bounded


def test_looks_before_anything_varies_are_unbounded_and_prove_nothing():
    looks = [estimates(0.0, 0.0, 4), estimates(0.4, 0.01, 400)]

    found = confidence_sequence(looks, alpha=0.05, planned_sample=400)

    assert found.looks[0].running_pvalue == 1.0
    assert found.looks[0].absolute_so_far.ci_lower is None
    assert found.last.absolute_so_far == found.last.absolute
    assert is_empty(intersection(found.last.absolute, absolute_lift(looks[1], critical=-9)))


def test_looks_out_of_order_are_refused():
    with pytest.raises(DataError, match="at least one look"):
        confidence_sequence([], alpha=0.05, planned_sample=100)
    with pytest.raises(DataError, match="look 2 has 100 units, the one before it 200"):
        confidence_sequence(
            [estimates(0, 1, 200), estimates(0, 1, 100)], alpha=0.05, planned_sample=100
        )


def test_an_infinite_critical_value_has_no_interval():
    found = estimates(0.3, 0.01, 800)

    assert not absolute_lift(found, critical=float("inf")).is_bounded
    assert not relative_lift(found, critical=float("inf")).is_bounded


def test_what_is_no_number_is_refused_by_every_test():
    nan, infinite = float("nan"), float("inf")
    for broken in (
        estimates(nan, 0.01, 800),
        estimates(0.1, nan, 800),
        estimates(0.1, infinite, 800),
        estimates(0.1, -0.01, 800),
    ):
        for test in (
            welch,
            normal,
            welch_one_sided,
            normal_one_sided,
            partial(always_valid, planned_sample=1_000),
            partial(always_valid_one_sided, planned_sample=1_000),
        ):
            with pytest.raises(DataError, match="is no estimate"):
                test(broken, alpha=0.05)
    with pytest.raises(PlanError, match="alpha 1"):
        always_valid(estimates(0.1, 0.1, 800), alpha=1, planned_sample=1_000)
