"""Few conversions, watched all the time: exact at any count."""

from functools import cache
from math import exp, log, sqrt

import numpy as np
import pytest
from scipy import integrate, stats

from experiments.errors import DataError, PlanError
from experiments.evidence.conversions import FEW_CONVERSIONS, exact_conversions
from tests.rig.sizes import scaled


@cache  # Simulated paths meet at the same counts again and again.
def read(control, treatment, *, share=0.5, alpha=0.05, planned=100):
    return exact_conversions(
        control, treatment, treatment_share=share, alpha=alpha, planned_conversions=planned
    )


def test_the_evidence_is_the_beta_mixture_of_coins_against_the_fair_one():
    # The same mixture, integrated by scipy instead of in closed form.
    hit, missed, share, alpha = 14, 5, 0.4, 0.05
    weight = 100 / (-2 * log(alpha) + log(-2 * log(alpha) + 1))

    def likelihood(bias):
        prior = stats.beta.pdf(bias, weight * share, weight * (1 - share))
        return prior * bias**hit * (1 - bias) ** missed

    expected = integrate.quad(likelihood, 0, 1)[0] / (share**hit * (1 - share) ** missed)
    found = read((missed, 300), (hit, 200), share=share)

    assert exp(found.log_e_value) == pytest.approx(expected, rel=1e-8)
    assert found.pvalue == pytest.approx(min(1, 1 / expected))


def test_the_e_values_expectation_under_no_effect_is_one():
    # Over all ways the conversions could have fallen: exactly one, so that Ville's bound holds.
    n, share = 30, 0.3
    total = sum(
        stats.binom.pmf(hit, n, share)
        * exp(read((n - hit, 1_000), (hit, 1_000), share=share).log_e_value)
        for hit in range(n + 1)
    )

    assert total == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize("counts", [(5, 15), (0, 9), (9, 0), (40, 44), (300, 380), (1, 1)])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_interval_holds_exactly_the_lifts_that_are_not_refuted(counts, share):
    alpha, planned = 0.05, 100
    missed, hit = counts
    weight = planned / (-2 * log(alpha) + log(-2 * log(alpha) + 1))
    found = read((missed, 10_000), (hit, 10_000), share=share).relative

    def is_refuted(lift):
        bias = (1 + lift) * share / ((1 + lift) * share + 1 - share)
        a, b = weight * bias, weight * (1 - bias)
        evidence = (
            stats.betabinom.logpmf(hit, hit + missed, a, b)
            - stats.binom.logpmf(hit, hit + missed, bias)
        )  # fmt: skip
        return evidence >= -log(alpha)

    for log_ratio in np.linspace(-6, 6, 241):
        lift = exp(log_ratio) - 1
        above = found.ci_lower is None or lift > found.ci_lower
        below = found.ci_upper is None or lift < found.ci_upper
        assert is_refuted(lift) != (above and below)


def test_p_value_and_both_intervals_agree_on_the_sign():
    for hit in range(60):
        found = read((20, 1_000), (hit, 1_000))
        excluded = found.pvalue <= 0.05

        for interval in (found.relative, found.absolute):
            lower = -1 if interval.ci_lower is None else interval.ci_lower
            upper = 99 if interval.ci_upper is None else interval.ci_upper
            assert (lower > 0 or upper < 0) == excluded


def test_no_conversion_rules_nothing_out():
    found = read((0, 10), (0, 10))

    assert found.pvalue == 1.0
    assert found.relative.ci_upper is None
    assert found.relative.estimate is None
    assert found.absolute.ci_lower is None


def test_looking_after_every_conversion_keeps_the_promise_at_tiny_counts():
    rng = np.random.default_rng(12)
    runs, n = scaled(300), 60
    fooled = 0
    for flips in rng.random((runs, n)) < 0.5:
        hits = flips.cumsum()
        fooled += any(
            read((place + 1 - int(hits[place]), 10**6), (int(hits[place]), 10**6)).pvalue <= 0.05
            for place in range(0, n, 2)
        )

    assert fooled / runs <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs)


def test_the_true_lift_stays_inside_over_all_looks():
    rng = np.random.default_rng(13)
    share, lift, runs = 0.3, 0.8, scaled(120)
    bias = (1 + lift) * share / ((1 + lift) * share + 1 - share)
    missed_ever = 0
    for _ in range(runs):
        hits = (rng.random(FEW_CONVERSIONS * 2) < bias).cumsum()
        for place in range(4, len(hits), 8):
            hit = int(hits[place])
            found = read((place + 1 - hit, 10**6), (hit, 10**6), share=share).relative
            if not found.ci_lower <= lift <= (found.ci_upper or 1e9):
                missed_ever += 1
                break

    assert missed_ever / runs <= 0.05 + 3 * sqrt(0.05 * 0.95 / runs)


def test_impossible_counts_and_plans_are_refused():
    with pytest.raises(DataError, match="treatment: 11 conversions of 10 units"):
        read((1, 10), (11, 10))
    with pytest.raises(DataError, match="control: -1 conversions"):
        read((-1, 10), (1, 10))
    with pytest.raises(PlanError, match="treatment_share 1"):
        read((1, 10), (1, 10), share=1)
    with pytest.raises(PlanError, match="alpha 0"):
        read((1, 10), (1, 10), alpha=0)
    with pytest.raises(PlanError, match="planned_conversions is 0"):
        read((1, 10), (1, 10), planned=0)
