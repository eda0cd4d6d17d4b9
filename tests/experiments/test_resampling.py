"""Power by resampling the past, beside the formula."""

import numpy as np
import pytest

from experiments.errors import DataError, PlanError
from experiments.sizing.power import Design, Outcome, SampleSize, achieved_power, sample_size
from experiments.sizing.resampling import doubts, resampled_power


def test_where_the_formula_is_right_the_simulation_agrees() -> None:
    rng = np.random.default_rng(1)
    past = rng.normal(50, 20, 5_000)
    outcome = Outcome(mean=float(past.mean()), variance=float(past.var(ddof=1)))
    size = sample_size(outcome, lift=0.1, design=Design())

    found = resampled_power(past, lift=0.1, size=size, design=Design(), rng=rng)

    # The formula takes the variance as unchanged; a lift of 10 % scales the treatment's by 1.21.
    assert found.power == pytest.approx(0.78, abs=4 * found.std_error)
    assert found.false_alarm_share == pytest.approx(0.05, abs=0.025)
    assert doubts(past, size=size, is_proportion=False).reasons == ()


def test_a_proportion_turns_people_instead_of_scaling_them() -> None:
    rng = np.random.default_rng(2)
    past = (rng.random(20_000) < 0.1).astype(float)
    design = Design(control_share=0.3)
    size = sample_size(Outcome.proportion(float(past.mean())), lift=0.3, design=design)

    up = resampled_power(past, lift=0.3, size=size, design=design, rng=rng, is_proportion=True)
    down = resampled_power(past, lift=-0.3, size=size, design=design, rng=rng, is_proportion=True)

    assert up.power == pytest.approx(0.8, abs=4 * up.std_error)
    assert down.power > up.power  # the smaller share varies less


def test_a_heavy_tail_raises_doubts_and_both_answers_differ() -> None:
    rng = np.random.default_rng(3)
    past = np.where(rng.random(20_000) < 0.01, rng.lognormal(3, 1.6, 20_000), 0.0)
    outcome = Outcome(mean=float(past.mean()), variance=float(past.var(ddof=1)))
    size = SampleSize(1_000, 1_000)
    lift = 3.0

    formula = achieved_power(outcome, lift=lift, n=size.total, design=Design())
    found = resampled_power(past, lift=lift, size=size, design=Design(), rng=rng, runs=600)
    said = doubts(past, size=size, is_proportion=False)

    assert len(said.reasons) == 2
    assert said.skewness > 10
    assert abs(found.power - formula) > 0.1
    assert found.false_alarm_share < 0.04  # the test itself is off: it hardly ever speaks


def test_a_covariate_gives_the_power_that_the_formula_promises_for_it() -> None:
    rng = np.random.default_rng(4)
    before = rng.gamma(4, 5, 8_000)
    past = before + rng.normal(0, 5, 8_000)
    explained = float(np.corrcoef(before, past)[0, 1] ** 2)
    outcome = Outcome(mean=float(past.mean()), variance=float(past.var(ddof=1)))
    design = Design(variance_reduction=explained)
    size = sample_size(outcome, lift=0.03, design=design)

    with_it = resampled_power(past, lift=0.03, size=size, design=design, rng=rng, covariate=before)
    without = resampled_power(past, lift=0.03, size=size, design=design, rng=rng)

    assert with_it.power == pytest.approx(0.8, abs=0.05)
    assert without.power < 0.6


def test_the_sequential_critical_value_is_the_one_used() -> None:
    rng = np.random.default_rng(5)
    past = rng.normal(10, 5, 4_000)
    size = SampleSize(500, 500)

    found = [
        resampled_power(past, lift=0.1, size=size, design=Design(method=it), rng=rng).power
        for it in ("fixed", "sequential")
    ]

    assert found[0] > found[1] + 0.1


def test_the_same_seed_gives_the_same_answer() -> None:
    past = np.random.default_rng(6).gamma(1, 5, 1_000)

    found = [
        resampled_power(
            past, lift=0.2, size=SampleSize(200, 200), design=Design(),
            rng=np.random.default_rng(7), runs=200,
        )
        for _ in range(2)
    ]  # fmt: skip

    assert found[0] == found[1]


def test_what_cannot_be_simulated_is_refused() -> None:
    rng = np.random.default_rng(8)
    past = rng.gamma(1, 5, 100)
    size = SampleSize(50, 50)

    with pytest.raises(DataError, match="not finite"):
        resampled_power([1.0, np.nan], lift=0.1, size=size, design=Design(), rng=rng)
    with pytest.raises(DataError, match="0 and 1 only"):
        resampled_power(past, lift=0.1, size=size, design=Design(), rng=rng, is_proportion=True)
    with pytest.raises(DataError, match="100 outcomes, but 3"):
        resampled_power(past, lift=0.1, size=size, design=Design(), rng=rng, covariate=np.ones(3))
    with pytest.raises(PlanError, match="outside 0 to 100"):
        resampled_power(
            [0.0, 1.0, 1.0], lift=1.0, size=size, design=Design(), rng=rng, is_proportion=True
        )
    with pytest.raises(PlanError, match="too many to simulate"):
        resampled_power(past, lift=0.1, size=SampleSize(10**7, 10**7), design=Design(), rng=rng)
    with pytest.raises(PlanError, match="simulate one look"):
        resampled_power(
            past, lift=0.1, size=size, rng=rng,
            design=Design(method="group_sequential", looks=(0.5, 1.0)),
        )  # fmt: skip
    with pytest.raises(DataError, match="all alike"):
        doubts(np.ones(10), size=size, is_proportion=False)
