"""Few looks, each paid from alpha: published boundaries, and the error they promise."""

from dataclasses import replace
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.boundaries import MAX_LOOKS, boundaries, crossing
from experiments.evidence.compare import absolute_lift, normal, welch
from experiments.evidence.group_sequential import (
    GroupSequentialPlan,
    group_sequential,
    information_fractions,
)
from experiments.evidence.spending import Spending, spending_from
from experiments.evidence.stopped import final_estimate
from tests.rig.sizes import scaled

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
PLAN = GroupSequentialPlan()


def estimates(difference, variance, n=1_000):
    half = variance / 2
    return Estimates(1.0, 1.0 + difference, half, half, 0.0, variance, n // 2, n // 2, n - 2.0)


def looks_with(zs, fractions, *, final_variance=0.01):
    return [
        estimates(z * sqrt(final_variance / fraction), final_variance / fraction)
        for z, fraction in zip(zs, fractions, strict=True)
    ]


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # facts/statistics.md 2.6; the first line is in Jennison and Turnbull too.
        ("obrien_fleming", (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4102, 2.3966, 2.3860)),
        ({"power": 2}, (3.0902, 2.7141, 2.4728, 2.2799, 2.1140)),
        ({"power": 3}, (3.5401, 2.9743, 2.6045, 2.3064, 2.0455)),
    ],
)
def test_boundaries_are_the_published_ones(spending, published):
    function = spending_from(spending)

    found = boundaries(FIFTHS, spent=[function.spent(t, alpha=0.05) for t in FIFTHS])

    assert found == pytest.approx(published, abs=7e-5)


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"),
    # Jennison and Turnbull (2000), tables 2.1 and 2.3, two-sided alpha 0.05.
    [(2, 2.178, 1.977), (3, 2.289, 2.004), (5, 2.413, 2.040), (10, 2.555, 2.087)],
)
def test_the_classical_designs_spend_five_per_cent(looks, pocock, obrien_fleming):
    # Their constants have three decimals, hence the tolerance.
    times = [(i + 1) / looks for i in range(looks)]
    for bounds in ([pocock] * looks, [obrien_fleming / sqrt(t) for t in times]):
        left = crossing(times, lower=[-b for b in bounds], upper=bounds)

        assert sum(left.upper) + sum(left.lower) == pytest.approx(0.05, abs=1.5e-4)


def test_two_looks_equal_the_bivariate_normal_integral():
    # Independent of our recursion: scipy's bivariate normal, whose correlation is sqrt(t1 / t2).
    first, second = boundaries((0.3, 1.0), spent=(0.01, 0.05))
    inside = stats.multivariate_normal(cov=[[1, sqrt(0.3)], [sqrt(0.3), 1]])
    stays = inside.cdf([first, second], lower_limit=[-first, -second])

    assert first == pytest.approx(stats.norm.isf(0.005), abs=1e-9)
    assert 1 - stays == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(("freedom", "fixed_test"), [(inf, normal), (14.0, welch)])
def test_one_look_is_the_fixed_test(freedom, fixed_test):
    looks = [replace(it, degrees_of_freedom=freedom) for it in looks_with([2.2], [1.0])]
    read = group_sequential(looks, plan=PLAN, fractions=[1.0])
    fixed = fixed_test(looks[0], alpha=0.05)

    assert read.test.critical == pytest.approx(fixed.critical, abs=1e-9)
    assert read.test.pvalue == pytest.approx(fixed.pvalue, rel=1e-4)
    assert read.running_pvalue == read.test.pvalue
    final = final_estimate(looks, plan=PLAN, fractions=[1.0])
    plain = absolute_lift(looks[0], critical=fixed.critical)
    if freedom < inf:
        # What lies before the last look is by normal deviates, stretched to t where it stopped.
        assert final.effect.ci_lower == pytest.approx(plain.ci_lower, abs=0.01 * 0.1 * 2.2)
        assert final.pvalue == pytest.approx(fixed.pvalue, rel=1e-6)
        return
    assert final.effect.estimate == pytest.approx(plain.estimate, abs=1e-9)
    assert final.effect.ci_lower == pytest.approx(plain.ci_lower, abs=1e-9)
    assert final.pvalue == pytest.approx(fixed.pvalue)


@given(
    steps=st.lists(st.floats(0.02, 1), min_size=1, max_size=6),
    spending=st.sampled_from(["obrien_fleming", "pocock", {"power": 1.5}, {"hsd": -4}, {"hsd": 1}]),
)
@settings(max_examples=25, deadline=None)
def test_however_the_looks_fall_exactly_alpha_is_spent(steps, spending):
    times = [float(t) for t in np.cumsum(steps) / sum(steps)]
    times[-1] = 1.0
    plan = GroupSequentialPlan(spending=spending_from(spending))

    read = group_sequential(looks_with([0.0] * len(times), times), plan=plan, fractions=times)

    left = crossing(times, lower=[-c for c in read.criticals], upper=read.criticals)
    assert sum(left.upper) + sum(left.lower) == pytest.approx(0.05, abs=1e-6)
    assert read.spent[-1] == 0.05


@given(t=st.floats(0, 1), more=st.floats(0, 1))
def test_spending_starts_at_nothing_ends_at_alpha_and_never_falls(t, more):
    for value in ("obrien_fleming", "pocock", {"power": 3}, {"hsd": -4}, {"hsd": 2}):
        spending = spending_from(value)
        assert spending.spent(0, alpha=0.05) == 0
        assert spending.spent(1, alpha=0.05) == 0.05
        assert spending.spent(t, alpha=0.05) <= spending.spent(min(t + more, 1), alpha=0.05) <= 0.05


def test_information_is_one_over_variance():
    looks = [estimates(0.1, 0.04, 100), estimates(0.1, 0.0, 200), estimates(0.1, 0.01, 400)]

    assert information_fractions(looks, planned_variance=0.01) == (0.25, 0.0, 1.0)
    assert information_fractions(looks, planned_sample=400) == (0.25, 0.5, 1.0)
    with pytest.raises(PlanError, match="one of them"):
        information_fractions(looks)
    with pytest.raises(PlanError, match="planned variance is 0"):
        information_fractions(looks, planned_variance=0)


def test_a_look_with_nothing_new_spends_nothing_and_cannot_cross():
    times = (0.5, 0.45, 1.0)

    read = group_sequential(looks_with([9.0, 9.0, 9.0], times), plan=PLAN, fractions=times)

    assert read.criticals[1] == float("inf")
    assert read.spent[1] == read.spent[0]
    assert read.crossed_at == 1
    without = group_sequential(looks_with([9.0, 9.0], (0.5, 1.0)), plan=PLAN, fractions=(0.5, 1.0))
    assert (read.criticals[0], read.criticals[2]) == without.criticals


def test_more_information_than_planned_is_read_at_its_own_correlation():
    times = (0.5, 1.2)
    read = group_sequential(looks_with([0.0, 0.0], times), plan=PLAN, fractions=times)
    left = crossing(times, lower=[-c for c in read.criticals], upper=read.criticals)

    assert sum(left.upper) + sum(left.lower) == pytest.approx(0.05, abs=1e-7)
    assert read.conditional_power is None


def test_an_early_end_spends_what_is_left():
    times = (0.3, 0.7)

    early = group_sequential(looks_with([1, 2.1], times), plan=PLAN, fractions=times, is_final=True)
    running = group_sequential(looks_with([1, 2.1], times), plan=PLAN, fractions=times)

    assert early.spent[-1] == 0.05
    assert early.criticals[-1] < running.criticals[-1]
    assert early.crossed_at == 2
    assert running.crossed_at is None


def test_p_value_interval_and_boundary_agree():
    for z in np.linspace(0.5, 4.0, 15):
        times = (0.4, 0.8)
        looks = looks_with([1.0, z], times)
        read = group_sequential(looks, plan=PLAN, fractions=times)
        interval = absolute_lift(looks[-1], critical=read.test.critical)

        assert (read.test.pvalue <= 0.05) == (z >= read.test.critical) == (interval.ci_lower >= 0)
        assert read.running_pvalue <= read.test.pvalue


def test_conditional_power_is_the_chance_that_simulation_finds():
    fraction, z = 0.6, 1.3
    looks = looks_with([z], [fraction])
    read = group_sequential(looks, plan=PLAN, fractions=[fraction], planned_effect=0.35)
    last = boundaries([fraction, 1.0], spent=(*read.spent, 0.05))[-1]
    rng = np.random.default_rng(8)

    def simulated(effect):
        # In units of the final standard error 0.1: what is still to come, added to what is there.
        rest = rng.normal(effect / 0.1 * (1 - fraction), sqrt(1 - fraction), 400_000)
        return np.mean(z * sqrt(fraction) + rest > last)

    trend = looks[0].treatment - looks[0].control
    assert read.conditional_power == pytest.approx(simulated(trend), abs=0.004)
    assert read.conditional_power_planned == pytest.approx(simulated(0.35), abs=0.004)


def test_futility_is_advised_and_costs_no_alpha():
    plan = GroupSequentialPlan(futility_below=0.2)
    looks = looks_with([-0.8], [0.7])

    hopeless = group_sequential(looks, plan=plan, fractions=[0.7], planned_effect=0.2)
    good = group_sequential(looks, plan=plan, fractions=[0.7], planned_effect=-0.35, better="lower")

    assert hopeless.is_futile
    assert not good.is_futile
    assert good.conditional_power_planned > hopeless.conditional_power_planned
    assert hopeless.criticals == group_sequential(looks, plan=PLAN, fractions=[0.7]).criticals


@pytest.mark.parametrize("drift", [0.0, 2.5])
def test_errors_and_coverage_after_stopping_are_as_promised(drift):
    # Paths of a drifting sum, stopped at their boundary: alpha, median, and interval.
    rng = np.random.default_rng(21)
    runs = scaled(100)
    times = (0.3, 0.6, 1.0)
    increments = rng.normal(0, 1, (runs, 3)) * np.sqrt(np.diff((0, *times)))
    sums = increments.cumsum(axis=1) + drift * np.array(times)
    criticals = group_sequential(looks_with([0] * 3, times), plan=PLAN, fractions=times).criticals
    crossed = above = covered = naive = 0
    for path in sums / np.sqrt(times):
        stop = next((i for i in range(3) if abs(path[i]) >= criticals[i]), 2)
        looks = looks_with(path[: stop + 1], times[: stop + 1], final_variance=1.0)
        final = final_estimate(looks, plan=PLAN, fractions=times[: stop + 1])
        crossed += bool(np.any(np.abs(path) >= criticals))
        above += final.effect.estimate > drift
        naive += looks[-1].treatment - looks[-1].control > drift
        covered += final.effect.ci_lower <= drift <= final.effect.ci_upper

    error = 3.5 * sqrt(0.25 / runs)
    if drift == 0:
        assert crossed / runs <= 0.05 + 3.5 * sqrt(0.05 * 0.95 / runs)
    else:
        # Stopping early on a lucky path flatters the plain estimate; this one it does not.
        assert naive > above
    assert above / runs == pytest.approx(0.5, abs=error)
    assert covered / runs == pytest.approx(0.95, abs=3.5 * sqrt(0.05 * 0.95 / runs))


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(PlanError, match="allowed are obrien_fleming, pocock, power, hsd"):
        spending_from("obf")
    with pytest.raises(PlanError, match="power needs a number"):
        Spending("power")
    with pytest.raises(PlanError, match="must be above 0"):
        spending_from({"power": -1})
    with pytest.raises(PlanError, match="takes no parameter"):
        spending_from({"pocock": 2})
    with pytest.raises(PlanError, match="one kind"):
        spending_from({"power": 2, "hsd": 1})
    with pytest.raises(PlanError, match="is not between"):
        GroupSequentialPlan(alpha=0.6)
    with pytest.raises(PlanError, match="futility_below"):
        GroupSequentialPlan(futility_below=1.5)
    with pytest.raises(PlanError, match="it must grow"):
        boundaries((0.5, 0.5), spent=(0.01, 0.02))
    with pytest.raises(PlanError, match="may only grow"):
        boundaries((0.5, 1.0), spent=(0.02, 0.01))
    with pytest.raises(PlanError, match="use the sequential method"):
        boundaries([1 + i for i in range(MAX_LOOKS + 1)], spent=[0.0] * (MAX_LOOKS + 1))
    with pytest.raises(DataError, match="0 looks"):
        group_sequential([], plan=PLAN, fractions=[])
    with pytest.raises(DataError, match="no variance to judge by"):
        final_estimate([estimates(0.1, 0.0)], plan=PLAN, fractions=[0.0])


def test_a_look_where_nothing_varies_has_no_p_value():
    read = group_sequential([estimates(0.0, 0.0)], plan=PLAN, fractions=[0.5])

    assert read.test.pvalue is None
    assert read.crossed_at is None
    assert read.conditional_power is None
