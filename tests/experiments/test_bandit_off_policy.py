"""What another policy would have been worth, and when the log cannot say."""

from math import sqrt

import numpy as np
import pytest

from experiments.bandits.off_policy import Logged, policy_estimates, policy_value, positivity
from experiments.errors import DataError
from experiments.evidence.compare import normal
from tests.rig.sizes import scaled

RATES = np.array([0.10, 0.20, 0.30])


def a_log(*, rng, n=4_000, floor=0.1):
    """Units of two kinds, decided by chances that depend on the kind, as a bandit's would."""
    kind = rng.integers(0, 2, n)
    vectors = np.array([[1 - 2 * floor, floor, floor], [floor, 1 - 2 * floor, floor]])
    chances = vectors[kind]
    chosen = (rng.random(n)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    outcomes = (rng.random(n) < RATES[chosen] + 0.2 * kind).astype(float)
    return Logged.of(chosen, outcomes, chances), kind


def truth(target):
    return float(RATES @ np.asarray(target)) + 0.1


def test_each_estimator_is_its_published_sum():
    rng = np.random.default_rng(1)
    logged, _ = a_log(rng=rng, n=500)
    target, guessed = [0.2, 0.3, 0.5], rng.random((500, 3))
    weights, direct = [], []
    for unit in range(500):  # the definitions, spelled out
        arm = logged.chosen[unit]
        weights.append(target[arm] / logged.propensities[unit][arm])
        model = sum(target[a] * guessed[unit][a] for a in range(3))
        direct.append(model + weights[-1] * (logged.outcomes[unit] - guessed[unit][arm]))
    weights = np.array(weights)

    ipw = policy_value(logged, target, method="ipw")
    normalised = policy_value(logged, target)
    robust = policy_value(logged, target, method="doubly_robust", predictions=guessed)

    assert ipw.mean == pytest.approx((weights * logged.outcomes).mean(), abs=1e-12)
    assert ipw.variance == pytest.approx((weights * logged.outcomes).var(ddof=1) / 500)
    assert normalised.mean == pytest.approx(
        (weights * logged.outcomes).sum() / weights.sum(), abs=1e-12
    )
    assert robust.mean == pytest.approx(np.mean(direct), abs=1e-12)


def test_the_policy_that_decided_is_worth_what_it_earned():
    logged, _ = a_log(rng=np.random.default_rng(2))

    for method in ("ipw", "self_normalised"):
        it = policy_value(logged, logged.propensities, method=method)

        assert it.mean == pytest.approx(logged.outcomes.mean())
        assert it.positivity.max_weight == pytest.approx(1)
        assert it.positivity.effective_sample == pytest.approx(4_000)


@pytest.mark.parametrize("method", ["ipw", "self_normalised", "doubly_robust"])
def test_intervals_hold_the_value_of_another_policy(method):
    rng = np.random.default_rng(3)
    target, n_runs, held = [0.0, 0.2, 0.8], scaled(200), 0
    for _ in range(n_runs):
        logged, kind = a_log(rng=rng, n=2_000)
        wrong_on_purpose = np.tile([0.3, 0.3, 0.3], (2_000, 1)) + 0.1 * kind[:, None]
        it = policy_value(logged, target, method=method, predictions=wrong_on_purpose)
        held += abs(it.mean - truth(target)) <= 1.96 * sqrt(it.variance)

    assert held / n_runs >= 0.95 - 4 * sqrt(0.05 * 0.95 / n_runs)


def test_two_policies_are_compared_on_the_same_units():
    rng = np.random.default_rng(4)
    n_runs, held, sharper = scaled(100), 0, 0
    for _ in range(n_runs):
        logged, _ = a_log(rng=rng, n=2_000)
        it = policy_estimates(logged, [0, 0.5, 0.5], against=[0.5, 0.0, 0.5])
        error = it.treatment - it.control - (truth([0, 0.5, 0.5]) - truth([0.5, 0, 0.5]))
        held += abs(error) <= normal(it, alpha=0.05).critical * sqrt(it.difference_variance)
        sharper += it.difference_variance < it.control_variance + it.treatment_variance
        parts = it.control_variance + it.treatment_variance - 2 * it.covariance
        assert it.difference_variance == pytest.approx(parts)

    assert held / n_runs >= 0.95 - 4 * sqrt(0.05 * 0.95 / n_runs)
    assert sharper / n_runs > 0.9


# --- what is refused ----------------------------------------------------------------------------


def test_a_target_beyond_the_log_is_refused_with_its_share():
    n = 1_000
    logged = Logged.of([0, 1] * (n // 2), [1.0, 0.0] * (n // 2), [[0.5, 0.5, 0.0]] * n)

    found = positivity(logged, [0.4, 0.3, 0.3])

    assert found.unsupported_share == pytest.approx(0.3)
    with pytest.raises(DataError, match=r"30\.0% of the target's decisions are on arms"):
        policy_value(logged, [0.4, 0.3, 0.3])


def test_a_target_that_hardly_ever_happened_is_refused():
    rng = np.random.default_rng(5)
    n = 5_000
    chosen = (rng.random(n) < 0.004).astype(int)
    logged = Logged.of(chosen, rng.random(n), [[0.996, 0.004]] * n)

    found = positivity(logged, [0.0, 1.0])

    assert found.max_weight == pytest.approx(250)
    assert found.effective_sample == pytest.approx(chosen.sum())
    with pytest.raises(DataError, match=r"worth \d+ under the target; at least 100"):
        policy_value(logged, [0.0, 1.0])


def test_a_unit_that_decides_everything_is_refused():
    chances = [[0.5, 0.5]] * 4_999 + [[1 - 1e-4, 1e-4]]
    logged = Logged.of([0, 1] * 2_499 + [0, 1], [0.5] * 5_000, chances)

    assert positivity(logged, [0.5, 0.5]).max_weight == pytest.approx(5_000)
    with pytest.raises(DataError, match="cannot be judged"):
        policy_value(logged, [0.5, 0.5])


@pytest.mark.parametrize(
    ("chosen", "outcomes", "chances", "why"),
    [
        ([], [], [], "no probability vectors were logged"),
        ([0], [1.0, 2.0], [[0.5, 0.5]], "one of each per unit"),
        ([0], [float("nan")], [[0.5, 0.5]], "not finite"),
        ([0], [1.0], [[0.5, 0.4]], "does not sum to 1"),
        ([0], [1.0], [[1.5, -0.5]], "at least 0"),
        ([1], [1.0], [[1.0, 0.0]], "logged chance is 0"),
        ([2], [1.0], [[0.5, 0.5]], "an arm outside"),
    ],
)
def test_a_log_that_is_none_is_refused(chosen, outcomes, chances, why):
    with pytest.raises(DataError, match=why):
        Logged.of(chosen, outcomes, chances)


def test_predictions_must_be_there_and_fit():
    logged, _ = a_log(rng=np.random.default_rng(6))

    with pytest.raises(DataError, match="needs predictions"):
        policy_value(logged, [0.2, 0.4, 0.4], method="doubly_robust")
    with pytest.raises(DataError, match="one per unit and arm"):
        policy_value(logged, [0.2, 0.4, 0.4], method="doubly_robust", predictions=[[0.0] * 3] * 3)
    with pytest.raises(DataError, match="one chance per arm"):
        policy_value(logged, [0.5, 0.5])
