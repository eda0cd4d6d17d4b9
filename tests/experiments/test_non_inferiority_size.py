"""Units that show "not worse"."""

import numpy as np
import pytest

from experiments.distributions import normal_quantile
from experiments.errors import PlanError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import Moments
from experiments.evidence.compare import relative_lift
from experiments.sizing.non_inferiority import (
    power_within_margin,
    sample_size_within_margin,
    smallest_margin,
)
from experiments.sizing.power import Design, Outcome

ONE_SIDE = Design(alpha=0.025)


def test_the_size_is_the_textbook_formula_with_the_controls_share_of_the_margin() -> None:
    outcome = Outcome(mean=50.0, variance=400.0)

    found = sample_size_within_margin(outcome, margin=0.05, design=ONE_SIDE)

    # (z_.975 + z_.8)**2 (v_t + .95**2 v_c) / 2.5**2, one half of the units each side.
    expected = (1.959964 + 0.841621) ** 2 * (400 + 0.95**2 * 400) / 2.5**2
    assert found.treatment == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("better", "lift"), [("higher", 0.0), ("higher", 0.01), ("lower", 0.0)])
def test_simulated_tests_of_that_size_show_it_as_often_as_promised(better, lift: float) -> None:
    rng = np.random.default_rng(1)
    outcome = Outcome(mean=10.0, variance=9.0)
    size = sample_size_within_margin(
        outcome, margin=0.04, design=ONE_SIDE, lift=lift, better=better
    )
    critical = normal_quantile(0.975)
    runs = 3_000
    a = rng.normal(10, 3 / np.sqrt(size.control), runs)
    b = rng.normal(10 * (1 + lift), 3 / np.sqrt(size.treatment), runs)

    shown = 0
    for mean_c, mean_t in zip(a, b, strict=True):
        estimates = unadjusted(
            Moments(size.control, float(mean_c), 9.0), Moments(size.treatment, float(mean_t), 9.0)
        )
        interval = relative_lift(estimates, critical=critical)
        shown += interval.ci_lower > -0.04 if better == "higher" else interval.ci_upper < 0.04

    assert shown / runs == pytest.approx(0.8, abs=0.025)


def test_size_power_and_margin_answer_each_other() -> None:
    outcome = Outcome.proportion(0.2)
    size = sample_size_within_margin(outcome, margin=0.05, design=ONE_SIDE)

    power = power_within_margin(outcome, margin=0.05, n=size.total, design=ONE_SIDE)
    margin = smallest_margin(outcome, n=size.total, design=ONE_SIDE)

    assert power == pytest.approx(0.8, abs=1e-3)
    assert margin == pytest.approx(0.05, abs=1e-4)


def test_looking_at_any_time_costs_here_too() -> None:
    outcome = Outcome.proportion(0.2)

    once = sample_size_within_margin(outcome, margin=0.05, design=ONE_SIDE).total
    any_time = sample_size_within_margin(
        outcome, margin=0.05, design=Design(alpha=0.025, method="sequential")
    ).total

    assert 1.3 * once < any_time < 2.5 * once


def test_margins_that_make_no_sense_are_refused() -> None:
    outcome = Outcome.proportion(0.2)

    with pytest.raises(PlanError, match="margin 2 is not between 0 and 1"):
        sample_size_within_margin(outcome, margin=2, design=ONE_SIDE)
    with pytest.raises(PlanError, match="opposite of the truth"):
        sample_size_within_margin(outcome, margin=0.02, lift=-0.03, design=ONE_SIDE)
    with pytest.raises(PlanError, match="too few"):
        smallest_margin(outcome, n=4, design=ONE_SIDE)
    with pytest.raises(PlanError, match="too few"):
        power_within_margin(outcome, margin=0.02, n=1, design=ONE_SIDE)
