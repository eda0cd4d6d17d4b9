"""Whether the effect differs between kinds of units."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

from experiments.errors import DataError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import Moments
from experiments.programme.heterogeneity import heterogeneity


def a_level(rng: np.random.Generator, *, n: int = 400, effect: float = 0.5) -> Estimates:
    sides = [rng.normal(10, 2, n), rng.normal(10 + effect, 2, n)]
    return unadjusted(*(Moments(n, float(it.mean()), float(it.var(ddof=1))) for it in sides))


def a_single_group(values: np.ndarray) -> Estimates:
    """A level whose "effect" is one group's mean, for oracles of one-way analysis of variance."""
    error = float(values.var(ddof=1)) / len(values)
    return Estimates(0.0, float(values.mean()), 0, error, 0, error, 2, len(values), len(values) - 1)


def test_the_interaction_test_is_welchs_analysis_of_variance() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(0, sd, n) for sd, n in ((1, 8), (3, 12), (0.5, 30), (2, 9))]

    (found,) = heterogeneity(
        {"device": {f"{i}": a_single_group(it) for i, it in enumerate(groups)}},
        declared=["device"],
    )

    oracle = anova_oneway(groups, use_var="unequal")
    assert found.pvalue == pytest.approx(oracle.pvalue, rel=1e-9)


def test_two_levels_are_compared_by_welchs_t() -> None:
    rng = np.random.default_rng(2)
    groups = [rng.normal(0, 1, 7), rng.normal(1, 3, 15)]

    (found,) = heterogeneity(
        {"device": {f"{i}": a_single_group(it) for i, it in enumerate(groups)}},
        declared=["device"],
    )

    expected = stats.ttest_ind(*groups, equal_var=False).pvalue
    assert found.pvalue == pytest.approx(expected, rel=1e-9)


def test_cochrans_q_is_the_weighted_spread_of_the_effects() -> None:
    rng = np.random.default_rng(3)
    levels = {f"{i}": a_level(rng, n=50 + 50 * i) for i in range(4)}

    (found,) = heterogeneity({"country": levels}, declared=["country"])

    effects = np.array([it.treatment - it.control for it in levels.values()])
    weights = np.array([1 / it.difference_variance for it in levels.values()])
    centre = (weights * effects).sum() / weights.sum()
    q = (weights * (effects - centre) ** 2).sum()
    assert found.q == pytest.approx(q, rel=1e-12)
    assert found.q_pvalue == pytest.approx(stats.chi2.sf(q, 3), rel=1e-9)


def test_levels_that_do_not_differ_are_called_different_as_rarely_as_promised() -> None:
    rng = np.random.default_rng(4)
    found = [
        heterogeneity(
            {"country": {f"{i}": a_level(rng, n=12) for i in range(6)}}, declared=["country"]
        )[0]
        for _ in range(600)
    ]

    assert np.mean([it.pvalue < 0.05 for it in found]) == pytest.approx(0.05, abs=0.025)
    # Small levels fool the chi-square, which takes their variances for known.
    assert np.mean([it.q_pvalue < 0.05 for it in found]) > 0.055


def test_a_real_difference_is_found_and_levels_move_towards_each_other() -> None:
    rng = np.random.default_rng(5)
    levels = {"new": a_level(rng, effect=1.5), "old": a_level(rng, effect=0.0)}

    (found,) = heterogeneity({"customer": levels}, declared=["customer"])

    assert found.differs
    new, old = found.levels
    assert old.lift_abs.estimate < old.pulled.estimate < new.pulled.estimate < new.lift_abs.estimate
    assert 0 < new.kept_share < 1


def test_what_was_not_declared_is_marked_and_costs_the_plan_nothing() -> None:
    rng = np.random.default_rng(6)
    strong = {"new": a_level(rng, effect=2.0), "old": a_level(rng, effect=0.0)}
    dimensions = {"customer": strong, **{f"idea {i}": strong for i in range(9)}}

    found = heterogeneity(dimensions, declared=["customer"])

    declared, *others = found
    assert declared.differs
    assert declared.pvalue_adjusted == declared.pvalue
    assert declared.watermark == ""
    assert not any(it.differs for it in others)
    assert all("not declared" in it.watermark for it in others)


def test_dimensions_are_corrected_for_their_number() -> None:
    rng = np.random.default_rng(7)
    dimensions = {
        f"dimension {i}": {f"{j}": a_level(rng, effect=0.1 * i * j) for j in range(3)}
        for i in range(4)
    }

    found = heterogeneity(dimensions, declared=list(dimensions))

    expected = stats.false_discovery_control([it.pvalue for it in found])
    assert [it.pvalue_adjusted for it in found] == pytest.approx(list(expected))


def test_levels_that_cannot_be_read_are_named() -> None:
    rng = np.random.default_rng(8)
    still = Estimates(1, 1, 0, 0, 0, 0.0, 10, 10, 18)
    single = Estimates(1, 2, 0, 0, 0, 1.0, 1, 10, 9)
    levels = {"a": a_level(rng), "b": a_level(rng), "still": still, "single": single}

    (found,) = heterogeneity({"country": levels}, declared=[])

    assert found.left_out == {
        "still": "nothing varies among its units",
        "single": "fewer than 2 units in a variant",
    }
    with pytest.raises(DataError, match=r"'country' has 0 levels that vary.*still: nothing"):
        heterogeneity({"country": {"still": still}}, declared=[])
