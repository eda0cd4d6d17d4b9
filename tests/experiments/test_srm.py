import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError
from experiments.evidence.srm import sample_ratio


def test_the_p_value_is_the_chi_square_tests():
    found = sample_ratio({"a": 5_212, "b": 4_788}, weights={"a": 1, "b": 1})

    assert found.pvalue == pytest.approx(stats.chisquare([5_212, 4_788]).pvalue, rel=1e-10)
    assert not found.passed
    assert found.expected == {"a": 5_000, "b": 5_000}


def test_unequal_plans_are_judged_by_their_weights():
    fair = sample_ratio(
        {"held out": 2_990, "treated": 7_010}, weights={"held out": 3, "treated": 7}
    )
    broken = sample_ratio(
        {"held out": 2_800, "treated": 7_200}, weights={"held out": 3, "treated": 7}
    )

    assert fair.passed
    assert not broken.passed


def test_a_variant_of_weight_zero_costs_no_degree_of_freedom():
    # A well-known library keeps arms - 1 here and so misses mismatches.
    with_it = sample_ratio({"a": 520, "b": 480, "off": 0}, weights={"a": 1, "b": 1, "off": 0})
    without = sample_ratio({"a": 520, "b": 480}, weights={"a": 1, "b": 1})

    assert with_it.pvalue == without.pvalue


def test_one_unit_where_nobody_was_planned_is_a_mismatch():
    found = sample_ratio({"a": 500, "b": 500, "off": 1}, weights={"a": 1, "b": 1, "off": 0})

    assert not found.passed


def test_false_alarms_are_one_in_a_thousand_and_rarer_still_when_watched():
    rng = np.random.default_rng(9)
    alarms = watched = 0
    runs = 2_000
    for n in rng.binomial(2_000, 0.5, runs):
        found = sample_ratio({"a": int(n), "b": 2_000 - int(n)}, weights={"a": 1, "b": 1})
        alarms += not found.passed
        watched += found.anytime_pvalue < 0.001

    assert alarms <= 8  # 2 expected.
    assert watched <= alarms


def test_watching_all_the_time_stays_honest_and_still_finds_a_leak():
    rng = np.random.default_rng(10)

    def ever(share, *, units=5_000, every=100):
        a = np.cumsum(rng.random(units) < share)
        return any(
            sample_ratio(
                {"a": int(a[m - 1]), "b": int(m - a[m - 1])}, weights={"a": 1, "b": 1}
            ).anytime_pvalue
            < 0.05
            for m in range(every, units + 1, every)
        )

    runs = 200
    assert sum(ever(0.5) for _ in range(runs)) / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert sum(ever(0.55) for _ in range(20)) == 20


def test_nothing_to_compare_is_refused():
    with pytest.raises(DataError, match="nothing to compare"):
        sample_ratio({"a": 10, "b": 0}, weights={"a": 1, "b": 0})
    with pytest.raises(DataError, match="were planned"):
        sample_ratio({"a": 10}, weights={"a": 1, "b": 1})
