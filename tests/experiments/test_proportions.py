"""Small-sample intervals of two proportions, against statsmodels and the published examples."""

from itertools import product
from math import comb, isinf, log, log1p, sqrt

import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats import proportion as oracle

from experiments.errors import DataError
from experiments.estimation.proportions import (
    Successes,
    agresti_caffo,
    miettinen_nurminen,
    newcombe,
    replaces_welch,
    successes,
)
from experiments.sums.aggregates import Aggregates

METHODS = (miettinen_nurminen, newcombe, agresti_caffo)

TABLES = [(3, 20, 9, 25), (0, 15, 4, 18), (10, 10, 7, 10), (56, 70, 48, 80), (1, 400, 9, 380)]
"""(events, units) of control, then of treatment."""


def arms(control_events, control_n, treatment_events, treatment_n):
    return Successes(control_n, control_events), Successes(treatment_n, treatment_events)


def ends(interval):
    return interval.ci_lower, interval.ci_upper


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize(
    ("method", "name"), [(newcombe, "newcomb"), (agresti_caffo, "agresti-caffo")]
)
def test_differences_are_those_of_statsmodels(table, alpha, method, name):
    control, treatment = arms(*table)

    found = method(control, treatment, alpha=alpha).lift_abs
    expected = oracle.confint_proportions_2indep(
        treatment.events, treatment.n, control.events, control.n,
        method=name, compare="diff", alpha=alpha,
    )  # fmt: skip

    assert ends(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.estimate == treatment.share - control.share


def restricted_score(control, treatment, delta):
    """z of "treatment - control = delta", the restricted likelihood maximized by brute force.

    The score of statsmodels 0.15 for differences is taken beside that maximum (by up to a tenth for
    these tables), so it serves as an oracle of ratios, and at a difference of 0.
    """

    def likelihood(share):
        return sum(
            arm.events * log(p) * (arm.events > 0)
            + (arm.n - arm.events) * log1p(-p) * (arm.events < arm.n)
            for arm, p in ((control, share), (treatment, share + delta))
        )

    bounds = (max(0.0, -delta) + 1e-13, min(1.0, 1 - delta) - 1e-13)
    share = minimize_scalar(
        lambda p: -likelihood(p), bounds=bounds, method="bounded", options={"xatol": 1e-12}
    ).x
    total = control.n + treatment.n
    variance = sum(p * (1 - p) / arm.n for arm, p in ((control, share), (treatment, share + delta)))
    gap = treatment.share - control.share - delta
    return gap / sqrt(variance * total / (total - 1))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_score_limits_are_where_the_restricted_score_is_critical(table, alpha):
    control, treatment = arms(*table)
    critical = norm.isf(alpha / 2)

    found = miettinen_nurminen(control, treatment, alpha=alpha).lift_abs

    # A flat maximum is found to about half the digits.
    for bound, expected in ((found.ci_lower, critical), (found.ci_upper, -critical)):
        if abs(bound) < 1 - 1e-9:
            assert restricted_score(control, treatment, bound) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("table", TABLES)
def test_ratio_limits_are_where_the_score_of_statsmodels_is_critical(table, alpha):
    # Its own limits come from a loosely stopped root finder; its statistic is exact.
    control, treatment = arms(*table)
    found = miettinen_nurminen(control, treatment, alpha=alpha)
    critical = norm.isf(alpha / 2)

    def score(value, compare):
        return oracle.score_test_proportions_2indep(
            treatment.events, treatment.n, control.events, control.n,
            value=value, compare=compare, correction=True, return_results=False,
        )[0]  # fmt: skip

    interval = found.lift_rel
    for bound, expected in ((interval.ci_lower, critical), (interval.ci_upper, -critical)):
        if bound is not None:
            assert score(bound + 1, "ratio") == pytest.approx(expected, rel=1e-8)
    for value, compare in ((0, "diff"), (1, "ratio")):
        assert 2 * norm.sf(abs(score(value, compare))) == pytest.approx(found.pvalue, rel=1e-9)


def test_newcombes_own_examples():
    # Newcombe (1998), table II: 95 % limits of 56/70 - 48/80 and of 10/10 - 0/20 by method 10
    # (hybrid) and method 5 (Mee; without the factor N / (N - 1) that Miettinen-Nurminen has).
    first = newcombe(Successes(80, 48), Successes(70, 56), alpha=0.05).lift_abs
    second = newcombe(Successes(20, 0), Successes(10, 10), alpha=0.05).lift_abs

    assert ends(first) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert ends(second) == pytest.approx((0.6791, 1.0), abs=5e-5)
    score = miettinen_nurminen(Successes(80, 48), Successes(70, 56), alpha=0.05).lift_abs
    assert ends(score) == pytest.approx((0.0528, 0.3382), abs=5e-4)


@pytest.mark.parametrize("method", METHODS)
def test_pvalue_and_both_intervals_always_say_the_same(method):
    alpha = 0.05
    for n, m in ((5, 7), (12, 9)):
        for x, y in product(range(n + 1), range(m + 1)):
            found = method(Successes(n, x), Successes(m, y), alpha=alpha)
            lower, upper = ends(found.lift_abs)

            significant = found.pvalue < alpha

            assert significant == (lower > 0 or upper < 0), (n, x, m, y)
            assert -1 <= lower <= upper <= 1
            relative = found.lift_rel
            below, above = relative.ci_lower, relative.ci_upper
            # Agresti-Caffo's ratio may be unbounded where the control's rate may be 0.
            if relative.is_bounded:
                assert significant == (below > 0 or above < 0), (n, x, m, y)
                assert below <= above
            elif below is not None:
                assert significant == (below > 0), (n, x, m, y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("table", TABLES)
def test_the_interval_at_the_pvalues_own_level_touches_zero(method, table):
    control, treatment = arms(*table)
    found = method(control, treatment, alpha=0.05)

    touching = method(control, treatment, alpha=found.pvalue).lift_abs

    nearer = touching.ci_lower if touching.estimate > 0 else touching.ci_upper
    assert nearer == pytest.approx(0, abs=1e-9)


def coverage(method, n, m, p, q, *, alpha=0.05):
    """Exact: the chance of every table, summed over those whose interval holds the truth."""
    total = 0.0
    for x, y in product(range(n + 1), range(m + 1)):
        chance = comb(n, x) * p**x * (1 - p) ** (n - x) * comb(m, y) * q**y * (1 - q) ** (m - y)
        lower, upper = ends(method(Successes(n, x), Successes(m, y), alpha=alpha).lift_abs)
        total += chance * (lower <= q - p <= upper)
    return total


@pytest.mark.parametrize("method", METHODS)
def test_coverage_holds_where_welch_would_fail(method):
    # Ten or so units and few events: exact coverage, no simulation. Agresti and Caffo (2000) find
    # theirs at .93 and above; single points oscillate because counts are whole.
    found = [coverage(method, 12, 15, p, q) for p, q in ((0.05, 0.05), (0.1, 0.3), (0.5, 0.6))]

    assert min(found) > 0.93
    assert max(found) < 0.999


def test_no_event_at_all_is_no_effect_and_no_ratio():
    for method in METHODS:
        found = method(Successes(10, 0), Successes(12, 0), alpha=0.05)

        lower, upper = ends(found.lift_abs)
        assert lower < 0 < upper
        assert found.pvalue > 0.5
        assert found.lift_rel.estimate is None
        assert found.lift_rel.ci_upper is None


def test_without_an_event_in_control_the_ratio_has_a_lower_bound_only():
    for method in (miettinen_nurminen, newcombe):
        found = method(Successes(30, 0), Successes(30, 12), alpha=0.05)

        assert found.lift_rel.estimate is None
        assert found.lift_rel.ci_lower > 0
        assert found.lift_rel.ci_upper is None
        assert found.pvalue < 0.05


def test_one_unit_a_variant_says_nothing_but_something_finite():
    for method in METHODS:
        found = method(Successes(1, 0), Successes(1, 1), alpha=0.05)

        assert found.lift_abs.ci_lower < 0 < found.lift_abs.ci_upper
        assert not isinf(found.pvalue)
        assert found.pvalue > 0.05


@pytest.mark.parametrize(("n", "events"), [(0, 0), (3, 4), (3, -1)])
def test_impossible_counts_are_refused(n, events):
    with pytest.raises(DataError, match="impossible"):
        Successes(n, events)


def test_small_samples_and_few_events_replace_welch():
    plenty = Successes(5_000, 300)

    assert not replaces_welch(plenty, plenty)
    assert replaces_welch(plenty, Successes(999, 300))
    assert replaces_welch(plenty, Successes(5_000, 19))
    assert replaces_welch(Successes(5_000, 4_990), plenty)


def test_successes_are_counted_from_moments_and_nothing_else_passes():
    column = {"did": [0.0, 1.0, 1.0, 0.0, 0.0], "spend": [0.0, 2.0, 0.0, 0.0, 1.0]}
    sums = Aggregates.from_columns(column)

    assert successes(sums, "did") == Successes(5, 2)
    with pytest.raises(DataError, match="other values than 0 and 1"):
        successes(sums, "spend")


def test_in_large_samples_all_agree_with_each_other():
    control, treatment = Successes(40_000, 4_000), Successes(40_000, 4_200)

    found = [method(control, treatment, alpha=0.05) for method in METHODS]

    for other in found[1:]:
        assert ends(other.lift_abs) == pytest.approx(ends(found[0].lift_abs), rel=1e-2)
        assert ends(other.lift_rel) == pytest.approx(ends(found[0].lift_rel), rel=1e-2)
        assert other.pvalue == pytest.approx(found[0].pvalue, rel=2e-2)
