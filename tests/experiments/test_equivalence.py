"""Not worse by a margin, as good as equal, and what a guardrail may say."""

from functools import partial
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_ind

from experiments.errors import PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import (
    absolute_lift,
    normal_one_sided,
    relative_lift,
    welch,
    welch_one_sided,
)
from experiments.evidence.equivalence import (
    GuardrailWord,
    Margin,
    equivalence,
    guardrail,
    non_inferiority,
)
from experiments.evidence.sequential import always_valid_one_sided
from tests.rig.sizes import scaled


def estimates(control, treatment, *, error=0.05, covariance=0.0, n=400):
    variance = error**2
    return Estimates(
        control, treatment, variance, variance, covariance, 2 * variance - 2 * covariance,
        n, n, 2.0 * n - 2,
    )  # fmt: skip


def of(control, treatment):
    v_c, v_t = (np.var(x, ddof=1) / len(x) for x in (control, treatment))
    freedom = (v_c + v_t) ** 2 / (v_c**2 / (len(control) - 1) + v_t**2 / (len(treatment) - 1))
    return Estimates(
        float(np.mean(control)), float(np.mean(treatment)), v_c, v_t, 0.0, v_c + v_t,
        len(control), len(treatment), freedom,
    )  # fmt: skip


def test_two_one_sided_tests_equal_statsmodels():
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(10, 2, 80), rng.normal(10.2, 3, 60)

    found = equivalence(of(control, treatment), margin=Margin(1.2), alpha=0.05)
    expected = ttost_ind(treatment, control, -1.2, 1.2, usevar="unequal")

    assert found.pvalue == pytest.approx(expected[0], rel=1e-9)
    lower = non_inferiority(of(control, treatment), margin=Margin(1.2), alpha=0.05)
    assert lower.pvalue == pytest.approx(expected[1][1], rel=1e-9)


@given(treatment=st.floats(0.5, 1.5), margin=st.floats(0.02, 0.5))
def test_equivalence_is_shown_exactly_when_the_wider_interval_lies_inside(treatment, margin):
    found = estimates(1.0, treatment)
    critical = welch(found, alpha=0.1).critical

    for relative, lift in ((False, absolute_lift), (True, relative_lift)):
        interval = lift(found, critical=critical)
        if min(abs(margin - abs(b)) for b in (interval.ci_lower, interval.ci_upper)) < 1e-9:
            continue
        shown = equivalence(found, margin=Margin(margin, relative), alpha=0.05)
        assert shown.is_shown == (-margin < interval.ci_lower and interval.ci_upper < margin)
        assert shown.interval.ci_lower == pytest.approx(interval.ci_lower)
        assert shown.interval.ci_upper == pytest.approx(interval.ci_upper)


@given(
    treatment=st.floats(0.6, 1.4),
    margin=st.floats(0.02, 0.5),
    covariance=st.floats(-0.001, 0.001),
    sign=st.sampled_from([1, -1]),
    better=st.sampled_from(["higher", "lower"]),
)
def test_a_relative_margin_is_passed_exactly_where_fiellers_bound_passes_it(
    treatment, margin, covariance, sign, better
):
    found = estimates(sign * 1.0, sign * treatment, covariance=covariance)
    critical = welch_one_sided(found, alpha=0.05).critical
    interval = relative_lift(found, critical=critical)

    shown = non_inferiority(found, margin=Margin(margin, True), alpha=0.05, better=better)

    bound = interval.ci_lower if better == "higher" else -interval.ci_upper
    if abs(bound + margin) > 1e-9:
        assert shown.is_shown == (bound > -margin)


def test_the_margin_works_in_units_and_for_what_should_be_low():
    found = estimates(10.0, 10.1)

    assert non_inferiority(found, margin=Margin(0.3), alpha=0.05, better="lower").is_shown
    assert not non_inferiority(found, margin=Margin(0.15), alpha=0.05, better="lower").is_shown
    assert non_inferiority(found, margin=Margin(0.05), alpha=0.05, better="higher").is_shown


def test_any_kind_of_evidence_will_do():
    found = estimates(1.0, 1.0, error=0.01)
    sequential = partial(always_valid_one_sided, planned_sample=800)

    pvalues = [
        non_inferiority(found, margin=Margin(0.05), alpha=0.05, one_sided_test=test).pvalue
        for test in (normal_one_sided, welch_one_sided, sequential)
    ]

    assert pvalues == sorted(pvalues)
    z = 0.05 / sqrt(2 * 0.01**2)
    direct = sequential(estimates(0.0, z, error=1 / sqrt(2)), alpha=0.05, alternative="greater")
    assert pvalues[2] == pytest.approx(direct.pvalue)


def test_guardrail_words():
    margin = Margin(0.1, relative=True)

    def word(treatment, **options):
        return guardrail(estimates(1.0, treatment, error=0.02), alpha=0.05, **options)

    assert word(0.8, margin=margin).word is GuardrailWord.HARM
    assert word(1.0, margin=margin).word is GuardrailWord.SAFE
    assert word(0.9, margin=margin).word is GuardrailWord.HARM
    assert word(0.93, margin=margin).word is GuardrailWord.HARM
    assert word(1.0).word is GuardrailWord.UNCLEAR
    assert "without a margin" in word(1.0).rule
    assert word(0.8).word is GuardrailWord.HARM
    assert word(1.2, better="lower").word is GuardrailWord.HARM
    assert word(1.0, margin=Margin(0.01)).rule == "harm of the margin's size is not ruled out"
    tolerated = word(0.94, margin=Margin(0.5))
    assert tolerated.word is GuardrailWord.SAFE
    assert tolerated.rule == "worse, but by less than the margin"


def test_a_share_of_nothing_is_no_margin():
    lost = guardrail(estimates(0.05, 0.02), alpha=0.05, margin=Margin(0.1, relative=True))

    assert lost.word is GuardrailWord.UNCLEAR
    assert "cannot be told from 0" in lost.rule
    flat = guardrail(estimates(1.0, 1.0, error=0.0), alpha=0.05, margin=Margin(0.1))
    assert flat.word is GuardrailWord.UNCLEAR
    assert "does not vary" in flat.rule
    both = equivalence(estimates(0.05, 0.02), margin=Margin(0.1, relative=True), alpha=0.05)
    assert both.pvalue is None
    assert not both.is_shown
    for size in (0, -1, float("nan"), float("inf")):
        with pytest.raises(PlanError, match="tolerates nothing"):
            Margin(size)
    with pytest.raises(PlanError, match="losing all of it"):
        Margin(10, relative=True)


def test_a_treatment_as_bad_as_the_margin_passes_one_time_in_twenty_at_any_look():
    rng = np.random.default_rng(3)
    runs, n, looks = scaled(200), 2_000, 40
    passed_fixed = passed_ever = 0
    arms = rng.normal(1.0, 0.5, (runs, 2, n)).cumsum(axis=2)
    test = partial(always_valid_one_sided, planned_sample=2 * n)
    for run in arms:
        ever = False
        for m in np.linspace(n // looks, n, looks).astype(int):
            mean_c, mean_t = run[0, m - 1] / m, 0.9 * run[1, m - 1] / m
            found = Estimates(
                mean_c, mean_t, 0.25 / m, 0.81 * 0.25 / m, 0.0, 1.81 * 0.25 / m, m, m, 2.0 * m - 2
            )
            ever = (
                ever
                or non_inferiority(
                    found, margin=Margin(0.1, relative=True), alpha=0.05, one_sided_test=test
                ).is_shown
            )
        passed_ever += ever
        passed_fixed += non_inferiority(
            found, margin=Margin(0.1, relative=True), alpha=0.05
        ).is_shown

    error = 3.5 * sqrt(0.05 * 0.95 / runs)
    assert passed_ever / runs <= 0.05 + error
    assert passed_fixed / runs == pytest.approx(0.05, abs=error)
