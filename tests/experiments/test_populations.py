"""Sample ratios watched over time, and of named populations."""

import time

import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError, PlanError
from experiments.evidence.populations import Population, sample_ratios
from experiments.evidence.srm import sample_ratio
from tests.rig.sizes import scaled

EVEN = {"a": 1, "b": 1}


def split(n, share):
    return {"a": round(n * share), "b": n - round(n * share)}


def test_the_evidence_is_the_dirichlet_mixture_as_scipy_computes_it():
    observed, weights = {"a": 140, "b": 215, "c": 90}, {"a": 3, "b": 5, "c": 2}
    shares = np.array([0.3, 0.5, 0.2])
    counts = np.array(list(observed.values()))

    found = sample_ratio(observed, weights=weights)

    expected = stats.dirichlet_multinomial.logpmf(counts, 3 * shares, counts.sum())
    expected -= stats.multinomial.logpmf(counts, counts.sum(), shares)
    assert found.log_e_value == pytest.approx(expected, rel=1e-9)


def test_a_mismatch_once_proved_stays_proved():
    bad, good = split(4_000, 0.40), split(40_000, 0.5)

    later = sample_ratio(good, weights=EVEN, earlier=[bad], watched=True)
    forgetful = sample_ratio(good, weights=EVEN, watched=True)

    assert not later.passed
    assert later.anytime_pvalue == sample_ratio(bad, weights=EVEN).anytime_pvalue
    assert forgetful.passed
    assert later.log_e_value == forgetful.log_e_value
    assert later.deciding_pvalue == later.anytime_pvalue
    assert (
        sample_ratio(good, weights=EVEN).deciding_pvalue == sample_ratio(good, weights=EVEN).pvalue
    )


def test_a_plan_of_the_sample_makes_watching_more_powerful():
    # The example of the house's error messages: 5,212 against 4,788.
    found = {"a": 5_212, "b": 4_788}

    planned = sample_ratio(found, weights=EVEN, watched=True, planned_sample=10_000)
    unplanned = sample_ratio(found, weights=EVEN, watched=True)

    assert not planned.passed
    assert unplanned.passed
    assert planned.decided_by == "e-value"


def test_watched_at_every_hundred_units_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(11)
    runs, alarm = scaled(400), 0.05
    fooled = fooled_fixed = 0
    for flips in rng.random((runs, 4_000)) < 0.5:
        a = flips.cumsum()
        looks = [{"a": int(a[m - 1]), "b": int(m - a[m - 1])} for m in range(100, 4_001, 100)]
        options = {"weights": EVEN, "alarm_below": alarm}
        fooled += not sample_ratio(
            looks[-1], earlier=looks[:-1], watched=True, planned_sample=4_000, **options
        ).passed
        fooled_fixed += any(not sample_ratio(look, **options).passed for look in looks)

    assert fooled / runs <= alarm + 3 * (alarm * (1 - alarm) / runs) ** 0.5
    assert fooled_fixed / runs > 2 * alarm


def test_few_expected_units_are_judged_by_the_exact_evidence():
    rare = sample_ratio({"a": 96, "b": 4}, weights={"a": 97, "b": 3})

    assert rare.decided_by == "e-value"
    assert rare.passed
    assert sample_ratio({"a": 40, "b": 60}, weights={"a": 97, "b": 3}).passed is False


def test_ten_thousand_variants_are_read_in_a_moment_and_one_leak_among_them_is_found():
    rng = np.random.default_rng(1)
    names = [f"v{i}" for i in range(10_000)]
    weights = dict.fromkeys(names, 1)
    counts = rng.multinomial(200_000, [1 / 10_000] * 10_000)
    fair = dict(zip(names, map(int, counts), strict=True))
    before = time.process_time()

    passed = sample_ratio(fair, weights=weights)
    watched = sample_ratio(fair, weights=weights, watched=True, planned_sample=200_000)
    leaking = sample_ratio({**fair, "v7": 400}, weights=weights)

    assert time.process_time() - before < 2
    assert passed.passed
    assert watched.passed
    assert not leaking.passed


def test_the_population_that_leaks_is_named_and_the_others_are_not():
    populations = [
        Population("everyone", "everyone", [split(9_000, 0.5), split(20_000, 0.49)]),
        Population("api", "source", [split(10_000, 0.5)]),
        Population("import", "source", [split(10_000, 0.45)]),
        Population("csv", "source", [{"a": 0, "b": 0}]),
        Population("triggered", "triggered", [split(5_000, 0.501)]),
        Population("delivered", "delivered", [split(8_000, 0.4)]),
    ]

    found = sample_ratios(populations, weights=EVEN, planned_sample=20_000)

    by_name = {entry.population.name: entry for entry in found}
    assert [name for name, entry in by_name.items() if not entry.passed] == ["import", "delivered"]
    assert by_name["csv"].ratio is None
    assert by_name["import"].ratio.alarm_below == pytest.approx(0.001 / 3)
    assert by_name["import"].vetoes
    # Delivery comes after the assignment: the treatment may move it, so it only informs.
    assert not by_name["delivered"].vetoes


def test_a_dimension_of_many_levels_alarms_no_more_often_than_one_test():
    rng = np.random.default_rng(2)
    runs, levels, alarm = scaled(150), 20, 0.05
    fooled = 0
    for counts in rng.binomial(500, 0.5, (runs, levels)):
        populations = [
            Population(str(day), "day", [{"a": int(n), "b": 500 - int(n)}])
            for day, n in enumerate(counts)
        ]
        found = sample_ratios(populations, weights=EVEN, watched=False, alarm_below=alarm)
        fooled += any(not entry.passed for entry in found)

    assert fooled / runs <= alarm + 3 * (alarm * (1 - alarm) / runs) ** 0.5


def test_impossible_populations_are_refused():
    with pytest.raises(DataError, match="day '1' is given twice"):
        sample_ratios([Population("1", "day", [split(10, 0.5)])] * 2, weights=EVEN)
    with pytest.raises(DataError, match="'1' has no look"):
        sample_ratios([Population("1", "day", [])], weights=EVEN)
    with pytest.raises(DataError, match="cannot be negative"):
        sample_ratio({"a": -1, "b": 4}, weights=EVEN)
    with pytest.raises(PlanError, match="weight -1"):
        sample_ratio({"a": 1, "b": 4}, weights={"a": 1, "b": -1})
    with pytest.raises(DataError, match="were planned"):
        sample_ratio({"a": 1, "b": 4}, weights=EVEN, earlier=[{"a": 1}])
