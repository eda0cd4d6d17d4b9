from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.errors import PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import normal
from experiments.evidence.sequential import (
    always_valid,
    critical_value,
    log_e_value,
    mixture_variance,
    running_pvalue,
)


def estimates(difference, variance, n):
    return Estimates(0.0, difference, variance / 2, variance / 2, 0.0, variance, n // 2, n // 2, n)


def test_the_half_width_is_the_published_one():
    # arXiv 2103.06476 eq. 9, typed once more in its own shape: radius / sigma at n, rho.
    n, rho, alpha = 700, 0.07, 0.05
    boundary = sqrt(2 * (n * rho**2 + 1) / (n**2 * rho**2) * log(sqrt(n * rho**2 + 1) / alpha))

    assert critical_value(alpha=alpha, n=n, rho2=rho**2) / sqrt(n) == pytest.approx(boundary)


def test_the_e_value_is_the_mixture_likelihood_ratio():
    # Johari et al.: sqrt(V/(V+tau2)) exp(tau2 d^2 / (2 V (V+tau2))), tau2 = rho2 * n * V.
    d, variance, n, rho2 = 0.3, 0.01, 400, 0.005
    tau2 = rho2 * n * variance
    expected = sqrt(variance / (variance + tau2)) * exp(
        tau2 * d**2 / (2 * variance * (variance + tau2))
    )

    assert exp(log_e_value(d / sqrt(variance), n=n, rho2=rho2)) == pytest.approx(expected)


@given(z=st.floats(-8, 8), n=st.integers(10, 10**6), alpha=st.sampled_from([0.01, 0.05, 0.1]))
def test_interval_and_p_value_always_agree(z, n, alpha):
    rho2 = mixture_variance(alpha=alpha, planned_sample=5_000)
    critical = critical_value(alpha=alpha, n=n, rho2=rho2)

    pvalue = running_pvalue([log_e_value(z, n=n, rho2=rho2)])

    if abs(abs(z) - critical) > 1e-9:
        assert (pvalue <= alpha) == (abs(z) > critical)


def test_the_interval_is_tightest_near_the_planned_sample():
    rho2 = mixture_variance(alpha=0.05, planned_sample=10_000)
    widths = {
        n: critical_value(alpha=0.05, n=n, rho2=rho2) for n in (100, 1_000, 10_000, 10**5, 10**6)
    }

    assert min(widths, key=widths.__getitem__) == 10_000


def test_looking_two_hundred_times_keeps_the_promise_where_a_fixed_test_breaks_it():
    rng = np.random.default_rng(5)
    runs, n, looks = 400, 4_000, 200
    noise = rng.normal(0, 1, (runs, 2, n)).cumsum(axis=2)
    fooled = naive = 0

    for run in noise:
        ends = np.linspace(40, n, looks).astype(int)
        ever = ever_naive = False
        for m in ends:
            found = estimates((run[1, m - 1] - run[0, m - 1]) / m, 2 / m, 2 * m)
            ever = ever or always_valid(found, alpha=0.05, planned_sample=4_000).pvalue <= 0.05
            ever_naive = ever_naive or normal(found, alpha=0.05).pvalue <= 0.05
        fooled += ever
        naive += ever_naive

    assert fooled / runs <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs)
    assert naive / runs > 0.25


def test_evidence_once_seen_is_kept():
    assert running_pvalue([log(50), log(2)]) == pytest.approx(0.02)
    assert running_pvalue([-3.0]) == 1.0
    assert running_pvalue([]) == 1.0


def test_a_plan_without_units_is_refused():
    with pytest.raises(PlanError, match="too small"):
        mixture_variance(alpha=0.05, planned_sample=1)
