import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from experiments.errors import PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import z_score
from experiments.evidence.multiplicity import (
    adjusted_e_values,
    adjusted_pvalues,
    interval_alphas,
)
from experiments.evidence.sequential import always_valid, log_e_value, mixture_variance


@given(pvalues=st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=30)
def test_corrections_equal_statsmodels(pvalues):
    for ours, theirs in (
        ("holm", "holm"),
        ("bh", "fdr_bh"),
        ("by", "fdr_by"),
        ("bonferroni", "bonferroni"),
    ):
        expected = multipletests(pvalues, method=theirs)[1]
        assert adjusted_pvalues(pvalues, correction=ours) == pytest.approx(list(expected))


def test_a_missing_p_value_is_no_comparison():
    assert adjusted_pvalues([None, 0.04], correction="bonferroni") == [None, 0.04]
    assert adjusted_pvalues([], correction="holm") == []
    assert adjusted_pvalues([0.2, 0.01], correction="none") == [0.2, 0.01]


def test_an_unknown_correction_is_refused():
    with pytest.raises(PlanError, match="allowed are holm, bh, by, bonferroni, none"):
        adjusted_pvalues([0.1], correction="sidak")


def test_ten_thousand_comparisons_are_corrected_in_one_pass():
    pvalues = list(np.random.default_rng(1).random(10_000))

    for correction, theirs in (("holm", "holm"), ("by", "fdr_by")):
        expected = multipletests(pvalues, method=theirs)[1]
        assert adjusted_pvalues(pvalues, correction=correction) == pytest.approx(list(expected))


@given(log_e_values=st.lists(st.floats(-5, 12), min_size=1, max_size=15))
def test_e_bh_finds_those_whose_evidence_is_large_enough_among_all(log_e_values):
    # Wang and Ramdas 2022: the k largest, for the largest k with e_(k) >= m / (k alpha).
    alpha, m = 0.1, len(log_e_values)
    ordered = sorted(log_e_values, reverse=True)
    k = max((i for i in range(1, m + 1) if ordered[i - 1] >= np.log(m / (i * alpha))), default=0)

    adjusted = adjusted_e_values(log_e_values)

    assert sum(pvalue <= alpha * (1 + 1e-9) for pvalue in adjusted) == k
    assert adjusted_e_values([None, 900.0]) == [None, pytest.approx(0, abs=1e-300)]


def test_e_bh_is_bh_on_the_always_valid_p_values_of_one_look():
    looks = [
        Estimates(1.0, 1.0 + lift, 0.01, 0.01, 0.0, 0.02, 500, 500, 998.0)
        for lift in (0.0, 0.3, 0.5, 0.62, 0.9)
    ]
    tests = [always_valid(each, alpha=0.05, planned_sample=1_000) for each in looks]
    rho2 = mixture_variance(alpha=0.05, planned_sample=1_000)

    found = adjusted_e_values([log_e_value(z_score(each), n=1_000, rho2=rho2) for each in looks])

    expected = adjusted_pvalues([test.pvalue for test in tests], correction="bh")
    assert found == pytest.approx(expected)


def test_false_discoveries_by_e_bh_stay_under_alpha_however_tests_depend():
    # All comparisons share one control, as variants of one experiment do.
    rng = np.random.default_rng(2)
    runs, m, n = 400, 10, 200
    shares = []
    for _ in range(runs):
        noise = (rng.normal(0, 1, m) - rng.normal()) / np.sqrt(2)
        z = noise + np.where(np.arange(m) < 3, 4.5, 0)
        log_e = [float(each**2 * n / (2 * (n + 20)) - np.log(n / 20 + 1) / 2) for each in z]
        found = [pvalue <= 0.1 for pvalue in adjusted_e_values(log_e)]
        shares.append(sum(found[3:]) / max(sum(found), 1))

    assert np.mean(shares) <= 0.1


def test_intervals_for_the_selected_are_as_wide_as_their_number_asks():
    pvalues = [0.001, 0.01, 0.5, None, 0.9]

    # Two of four are found by BH: each interval at 1 - 2 * .05 / 4.
    assert interval_alphas(pvalues, correction="bh", alpha=0.05) == pytest.approx(
        [0.025, 0.025, 0.05, 0.05, 0.05]
    )
    assert interval_alphas(pvalues, correction="by", alpha=0.05) == pytest.approx(
        [0.025 / (25 / 12), 0.025 / (25 / 12), 0.05, 0.05, 0.05]
    )
    assert interval_alphas(pvalues, correction="holm", alpha=0.05) == [0.0125] * 5
    assert interval_alphas(pvalues, correction="none", alpha=0.05) == [0.05] * 5
    assert interval_alphas([None], correction="bh", alpha=0.05) == [0.05]


def test_of_the_intervals_of_what_was_selected_few_miss_where_plain_ones_miss_many():
    rng = np.random.default_rng(3)
    runs, m = 400, 40
    truth = np.where(np.arange(m) < 6, 2.0, 0.0)
    plain, adjusted = [], []
    for _ in range(runs):
        z = truth + rng.normal(0, 1, m)
        pvalues = list(2 * stats.norm.sf(np.abs(z)))
        selected = np.array(adjusted_pvalues(pvalues, correction="bh")) <= 0.05
        alphas = np.array(interval_alphas(pvalues, correction="bh", alpha=0.05))
        misses = np.abs(z - truth) > stats.norm.isf(alphas / 2)
        naive = np.abs(z - truth) > stats.norm.isf(0.025)
        adjusted.append(sum(misses & selected) / max(sum(selected), 1))
        plain.append(sum(naive & selected) / max(sum(selected), 1))

    assert np.mean(adjusted) <= 0.05
    assert np.mean(plain) > 0.1
