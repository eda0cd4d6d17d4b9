"""Many variants against one control: scipy and the published table as oracles."""

import time

import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import welch
from experiments.evidence.dunnett import dunnett


def against(control, arm, *, variance=None, freedom=None):
    """Estimates of one arm; with the pooled variance of the classical test if given."""
    v_c = (np.var(control, ddof=1) if variance is None else variance) / len(control)
    v_t = (np.var(arm, ddof=1) if variance is None else variance) / len(arm)
    freedom = len(control) + len(arm) - 2.0 if freedom is None else freedom
    return Estimates(
        float(np.mean(control)), float(np.mean(arm)), v_c, v_t, 0.0, v_c + v_t,
        len(control), len(arm), freedom,
    )  # fmt: skip


def equal_arms(k, freedom):
    return [Estimates(0.0, 0.1, 0.01, 0.01, 0.0, 0.02, 50, 50, freedom)] * k


@pytest.mark.parametrize(
    ("k", "freedom", "published"),
    # Dunnett (1964), two-sided 5 %, equal group sizes.
    [(2, 5, 3.03), (3, 10, 2.76), (5, 20, 2.73), (2, float("inf"), 2.21), (9, float("inf"), 2.69)],
)
def test_critical_values_are_the_published_ones(k, freedom, published):
    found = dunnett(equal_arms(k, freedom), alpha=0.05)

    assert found[0].critical == pytest.approx(published, abs=0.005)


def test_one_variant_is_the_plain_t_test():
    for freedom in (1.0, 2.0, 7.5, 80.0, 5_000.0):
        (only,) = dunnett(equal_arms(1, freedom), alpha=0.05)
        plain = welch(equal_arms(1, freedom)[0], alpha=0.05)

        assert only.critical == pytest.approx(plain.critical, rel=1e-8)
        assert only.pvalue == pytest.approx(plain.pvalue, abs=1e-9)


def test_p_values_equal_scipys():
    rng = np.random.default_rng(1)
    control, *arms = (
        rng.normal(mean, 1, n) for mean, n in ((0, 20), (0.6, 15), (0.3, 18), (1.0, 12))
    )
    groups = [control, *arms]
    freedom = sum(map(len, groups)) - 4
    pooled = sum(((x - x.mean()) ** 2).sum() for x in groups) / freedom

    found = dunnett(
        [against(control, arm, variance=pooled, freedom=freedom) for arm in arms], alpha=0.05
    )
    expected = stats.dunnett(*arms, control=control, rng=np.random.default_rng(3))

    # scipy integrates by quasi-random draws, good to three digits.
    assert [test.pvalue for test in found] == pytest.approx(list(expected.pvalue), rel=2e-3)


def test_two_variants_equal_the_bivariate_normal_integral():
    # Shared control: correlation of the two differences is V_c / sqrt(d1 d2).
    first = Estimates(0.0, 0.2, 0.01, 0.03, 0.0, 0.04, 50, 50, float("inf"))
    second = Estimates(0.0, 0.3, 0.01, 0.01, 0.0, 0.02, 50, 50, float("inf"))
    inside = stats.multivariate_normal(
        cov=[[1, 0.01 / np.sqrt(0.04 * 0.02)], [0.01 / np.sqrt(0.04 * 0.02), 1]]
    )

    tests = dunnett([first, second], alpha=0.05)

    z = 0.3 / np.sqrt(0.02)
    assert tests[1].pvalue == pytest.approx(1 - inside.cdf([z, z], lower_limit=[-z, -z]), abs=1e-8)
    c = tests[0].critical
    assert inside.cdf([c, c], lower_limit=[-c, -c]) == pytest.approx(0.95, abs=1e-8)


def test_it_is_sharper_than_bonferroni_and_errs_together_as_promised():
    rng = np.random.default_rng(4)
    runs, k, n = 300, 4, 40
    critical = dunnett(equal_arms(k, n * (k + 1) - k - 1.0), alpha=0.05)[0].critical
    control = rng.normal(0, 1, (runs, n))
    arms = rng.normal(0, 1, (runs, k, n))
    pooled = (control.var(axis=1, ddof=1) + arms.var(axis=2, ddof=1).sum(axis=1)) / (k + 1)
    t = (arms.mean(axis=2) - control.mean(axis=1)[:, None]) / np.sqrt(2 * pooled / n)[:, None]

    assert critical < stats.t.isf(0.025 / k, n * (k + 1) - k - 1)
    assert np.mean(np.any(np.abs(t) > critical, axis=1)) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_ten_thousand_variants_take_seconds():
    rng = np.random.default_rng(5)
    arms = [
        Estimates(1.0, 1.0 + d, 0.01, v, 0.0, 0.01 + v, 100, 100, 190.0)
        for d, v in zip(rng.normal(0, 0.1, 10_000), rng.uniform(0.005, 0.02, 10_000), strict=True)
    ]
    before = time.process_time()

    found = dunnett(arms, alpha=0.05)

    assert time.process_time() - before < 20
    assert 0.02 / 10_000 < 2 * stats.t.sf(found[0].critical, 190) < 0.05 / 100
    assert all((test.pvalue <= 0.05) == (abs(z) > test.critical) for test, z in zip(
        found, [(a.treatment - a.control) / a.difference_variance**0.5 for a in arms], strict=True
    ))  # fmt: skip


def test_a_variant_where_nothing_varies_has_no_p_value_and_counts_for_nothing():
    flat = Estimates(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 50, 50, 98.0)

    with_it = dunnett([*equal_arms(2, 60.0), flat], alpha=0.05)
    without = dunnett(equal_arms(2, 60.0), alpha=0.05)

    assert with_it[2].pvalue is None
    assert with_it[:2] == without
    assert dunnett([flat], alpha=0.05)[0].critical == float("inf")
    with pytest.raises(DataError, match="no variant"):
        dunnett([], alpha=0.05)
