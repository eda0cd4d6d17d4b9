import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from experiments.errors import PlanError
from experiments.sizing.power import (
    Design,
    Outcome,
    achieved_power,
    days_needed,
    minimum_detectable_lift,
    sample_size,
)


def test_equal_variants_agree_with_statsmodels():
    outcome = Outcome(mean=50.0, variance=400.0)

    found = sample_size(outcome, lift=0.05, design=Design())

    expected = NormalIndPower().solve_power(2.5 / 20, alpha=0.05, power=0.8, ratio=1)
    assert found.control == pytest.approx(expected, rel=1e-4, abs=1)


@given(
    share=st.floats(0.02, 0.6),
    control_share=st.floats(0.1, 0.9),
    lift=st.floats(0.05, 0.5),
    reduction=st.floats(0, 0.8),
)
@example(share=0.59765625, control_share=0.75, lift=0.5, reduction=0.0)  # close to certainty
def test_size_detectable_lift_and_power_answer_each_other(share, control_share, lift, reduction):
    outcome = Outcome.proportion(share)
    design = Design(control_share=control_share, variance_reduction=reduction)

    n = sample_size(outcome, lift=lift, design=design).total

    assert achieved_power(outcome, lift=lift, n=n, design=design) == pytest.approx(0.8, abs=0.03)
    assert minimum_detectable_lift(outcome, n=n, design=design) == pytest.approx(lift, rel=0.1)


def test_simulated_experiments_of_the_planned_size_find_the_effect_as_often_as_promised():
    rng = np.random.default_rng(4)
    outcome, lift = Outcome.proportion(0.1), 0.3
    size = sample_size(outcome, lift=lift, design=Design(control_share=0.3))
    runs = 4_000
    a = rng.binomial(size.control, 0.1, runs) / size.control
    b = rng.binomial(size.treatment, 0.13, runs) / size.treatment
    error = np.sqrt(a * (1 - a) / size.control + b * (1 - b) / size.treatment)

    found = (np.abs(b - a) / error > 1.96).mean()

    assert found == pytest.approx(0.8, abs=0.025)


def test_looking_at_any_time_and_several_comparisons_cost_units():
    outcome = Outcome.proportion(0.1)

    once = sample_size(outcome, lift=0.2, design=Design()).total
    any_time = sample_size(outcome, lift=0.2, design=Design(method="sequential")).total
    four = sample_size(outcome, lift=0.2, design=Design(comparisons=4)).total

    assert 1.4 * once < any_time < 2.5 * once
    assert once < four < any_time


def test_explained_variance_saves_its_share_of_units():
    outcome = Outcome(mean=10, variance=100)

    plain = sample_size(outcome, lift=0.1, design=Design()).total
    less = sample_size(outcome, lift=0.1, design=Design(variance_reduction=0.5)).total

    assert less == pytest.approx(plain / 2, abs=2)


def test_days_are_whole_weeks():
    assert days_needed(1_000, units_per_day=100) == 14
    assert days_needed(700, units_per_day=100) == 7


def test_impossible_plans_are_refused():
    with pytest.raises(PlanError, match="lift of 0"):
        sample_size(Outcome.proportion(0.1), lift=0, design=Design())
    with pytest.raises(PlanError, match="outside 0 to 100"):
        sample_size(Outcome.proportion(0.6), lift=1.0, design=Design())
    with pytest.raises(PlanError, match="too few"):
        minimum_detectable_lift(Outcome.proportion(0.5), n=4, design=Design())
    with pytest.raises(PlanError, match="alpha"):
        Design(alpha=0)
    with pytest.raises(PlanError, match="never reached"):
        days_needed(10, units_per_day=0)
