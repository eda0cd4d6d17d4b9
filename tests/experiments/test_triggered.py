"""Triggered effects diluted to everybody, and the two checks of a trigger."""

import numpy as np
import pytest

from experiments.errors import DataError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.estimation.strata import post_stratified
from experiments.estimation.triggered import diluted, validity
from experiments.evidence.compare import relative_lift, welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

SPEND = Metric(name="spend")


def moments_of(values):
    return moments(Aggregates.from_columns({"spend": values}), SPEND, covariates=())


def a_trial(rng, n, *, share=0.1, effect=1.0):
    """Per variant the spend of triggered and other units; triggered ones are another kind."""
    trial = []
    for treated in (0, 1):
        hit = rng.random(n) < share
        spend = np.where(hit, rng.gamma(2.0, 4.0, n), rng.gamma(1.0, 2.0, n))
        trial.append((spend[hit] + effect * treated, spend[~hit]))
    return trial


def dilute(trial):
    (hit_c, rest_c), (hit_t, rest_t) = trial
    triggered = unadjusted(moments_of(hit_c), moments_of(hit_t))
    return triggered, diluted(
        triggered, metric=Metric(name="y"), untriggered=moments_of(np.concatenate([rest_c, rest_t]))
    )


def test_the_effect_on_everybody_is_the_triggered_one_times_the_share_triggered():
    trial = a_trial(np.random.default_rng(1), 3_000)
    n_triggered = sum(len(hit) for hit, _ in trial)

    triggered, found = dilute(trial)

    share = n_triggered / 6_000
    effect = triggered.treatment - triggered.control
    assert found.treatment - found.control == pytest.approx(share * effect, rel=1e-9)
    assert found.difference_variance == pytest.approx(
        share**2 * triggered.difference_variance + effect**2 * share * (1 - share) / 6_000
    )
    together = found.control_variance + found.treatment_variance - 2 * found.covariance
    assert together == pytest.approx(found.difference_variance, rel=1e-9)
    assert found.n_control + found.n_treatment == pytest.approx(6_000, abs=1)


def test_it_is_stratification_by_trigger_with_no_effect_in_the_complement():
    rng = np.random.default_rng(2)
    (hit_c, rest), (hit_t, _) = a_trial(rng, 2_000)
    # The same complement in both variants: the stratified effect there is exactly 0.
    parts = [
        {
            "hit": Aggregates.from_columns({"spend": hit}),
            "rest": Aggregates.from_columns({"spend": rest}),
        }
        for hit in (hit_c, hit_t)
    ]

    stratified = post_stratified(parts[0], parts[1], metric=SPEND).estimates
    _, found = dilute([(hit_c, rest), (hit_t, rest)])

    assert found.control == pytest.approx(stratified.control, rel=1e-9)
    assert found.treatment == pytest.approx(stratified.treatment, rel=1e-9)
    # ... but its noise is not paid for.
    assert found.difference_variance < stratified.difference_variance


def test_diluted_intervals_cover_and_are_much_sharper_than_comparing_everybody():
    rng = np.random.default_rng(3)
    runs, covered, relative, sharper = 1_000, 0, 0, []
    share, effect = 0.1, 1.5
    base = share * 8 + (1 - share) * 2

    for _ in range(runs):
        trial = a_trial(rng, 1_000, share=share, effect=effect)
        _, found = dilute(trial)
        test = welch(found, alpha=0.05)
        gap = found.treatment - found.control - share * effect
        covered += abs(gap) <= test.critical * found.difference_variance**0.5
        interval = relative_lift(found, critical=test.critical)
        relative += interval.ci_lower <= share * effect / base <= interval.ci_upper
        everybody = unadjusted(*[moments_of(np.concatenate(parts)) for parts in trial])
        sharper.append(found.difference_variance / everybody.difference_variance)

    # Binomial error of 1,000 runs at .95 is .0069.
    assert covered / runs == pytest.approx(0.95, abs=0.02)
    assert relative / runs == pytest.approx(0.95, abs=0.02)
    assert np.mean(sharper) < 0.5


def test_when_all_are_triggered_nothing_is_diluted():
    trial = a_trial(np.random.default_rng(4), 200, share=1.1)
    triggered = unadjusted(*[moments_of(hit) for hit, _ in trial])

    assert diluted(triggered, metric=Metric(name="y"), untriggered=None) == triggered


WEIGHTS = {"control": 50, "treatment": 50}


def checked(trial):
    (hit_c, rest_c), (hit_t, rest_t) = trial
    return validity(
        triggered={"control": len(hit_c), "treatment": len(hit_t)},
        weights=WEIGHTS,
        control_rest=moments_of(rest_c),
        treatment_rest=moments_of(rest_t),
    )


def test_an_honest_trigger_passes():
    found = checked(a_trial(np.random.default_rng(5), 4_000))

    assert found.passed
    assert found.reasons == ()
    assert found.complement.ci_lower < 0 < found.complement.ci_upper


def test_a_trigger_moved_by_the_treatment_is_caught_by_the_sample_ratio():
    (hit_c, rest_c), (hit_t, rest_t) = a_trial(np.random.default_rng(6), 8_000)

    found = checked([(hit_c[: len(hit_c) * 3 // 4], rest_c), (hit_t, rest_t)])

    assert not found.passed
    assert "sample ratio mismatch among the triggered" in found.reasons[0]


def test_a_trigger_that_misses_units_is_caught_by_its_complement():
    (hit_c, rest_c), (hit_t, rest_t) = a_trial(np.random.default_rng(7), 4_000)

    found = checked([(hit_c, rest_c), (hit_t, rest_t + 0.4)])

    assert not found.passed
    assert found.complement_pvalue < 0.01
    assert "misses units" in found.reasons[0]


def test_a_complement_without_variation_differs_or_does_not():
    (hit_c, _), (hit_t, _) = a_trial(np.random.default_rng(8), 2_000)

    same = checked([(hit_c, np.zeros(50)), (hit_t, np.zeros(50))])
    apart = checked([(hit_c, np.zeros(50)), (hit_t, np.ones(50))])

    assert same.passed
    assert same.complement_pvalue is None
    assert not apart.passed
    assert "no variation at all" in apart.reasons[0]


def test_false_alarms_are_as_rare_as_declared():
    rng = np.random.default_rng(9)

    found = sum(not checked(a_trial(rng, 500)).passed for _ in range(400))

    # One per cent for the complement, a tenth of one for the sample ratio.
    assert found / 400 <= 0.03


def test_nobody_triggered_is_refused():
    with pytest.raises(DataError, match="nothing to compare"):
        validity(
            triggered={"control": 0, "treatment": 0},
            weights=WEIGHTS,
            control_rest=None,
            treatment_rest=None,
        )
