"""Reading a bandit's log: by adaptively weighted scores, and batch by batch."""

from math import inf, sqrt

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.bandits.batched import batched_estimates, batched_statistic, compare_batches
from experiments.bandits.log import ArmSums, Batch, Decision, batches, by_version, mature
from experiments.bandits.weighted import (
    arm_values,
    past_guesses,
    unit_estimates,
    weighted_estimates,
)
from experiments.errors import DataError
from experiments.evidence.compare import relative_lift, welch, z_score
from experiments.evidence.sequential import always_valid

ARMS = ("a", "b", "c")
DAY = 100


def a_log(*, seed=1, n=600, n_versions=6, offset=0.0):
    """Decisions of a bandit whose vector changes at random, with a drift that hits all arms."""
    rng = np.random.default_rng(seed)
    vectors = [rng.dirichlet((2, 2, 2)) * 0.85 + 0.05 for _ in range(n_versions)]
    found = []
    for number in range(n):
        at = number * n_versions * DAY // n
        version = at // DAY + 1
        chances = dict(zip(ARMS, vectors[version - 1], strict=True))
        arm = str(rng.choice(ARMS, p=vectors[version - 1]))
        effect = {"a": 0.0, "b": 0.5, "c": 1.0}[arm]
        outcome = offset + at / 200 + effect + rng.gamma(2.0, 1.0)
        found.append(Decision(version, arm, chances, at, outcome))
    return found


@given(seed=st.integers(0, 50), offset=st.sampled_from([0.0, 100.0, -1e4]))
def test_sums_give_what_the_units_give(seed, offset):
    log = a_log(seed=seed, n=150, offset=offset)
    period = DAY // 2  # two cohorts a version

    by_sums = weighted_estimates(batches(log, period=period), control="a", treatment="c")
    by_units = unit_estimates(log, period=period, control="a", treatment="c")

    assert vars(by_sums) == pytest.approx(vars(by_units), rel=1e-9, abs=1e-9)


def test_a_large_common_mean_costs_the_difference_no_digits():
    plain = weighted_estimates(
        batches(a_log(), period=DAY), control="a", treatment="b", first_guess=0.0
    )
    far = weighted_estimates(
        batches(a_log(offset=1e8), period=DAY), control="a", treatment="b", first_guess=1e8
    )

    assert far.treatment - far.control == pytest.approx(plain.treatment - plain.control, abs=1e-6)
    assert far.difference_variance == pytest.approx(plain.difference_variance, rel=1e-6)


def test_the_difference_varies_as_its_parts_say():
    it = weighted_estimates(batches(a_log(), period=DAY), control="a", treatment="b")

    parts = it.control_variance + it.treatment_variance - 2 * it.covariance
    assert it.difference_variance == pytest.approx(parts)
    assert it.degrees_of_freedom == inf


def test_a_single_arm_is_weighted_by_the_root_of_its_chance_as_published():
    # Hadad et al. (2021): Q = sum h G / sum h, Var = sum h^2 (G - Q)^2 / (sum h)^2, h = sqrt(e).
    log = a_log()
    cohorts = batches(log, period=DAY)
    guesses = past_guesses(cohorts, ("b",), first_guess=0.0)
    guess_of = {it.version: guess["b"] for it, guess in zip(cohorts, guesses, strict=True)}
    e = np.array([it.probabilities["b"] for it in log])
    m = np.array([guess_of[it.version] for it in log])
    y = np.array([it.outcome for it in log])
    chosen = np.array([it.arm == "b" for it in log])
    gamma = m + chosen * (y - m) / e
    h = np.sqrt(e)
    expected = (h * gamma).sum() / h.sum()

    value = arm_values(cohorts, ["b"])["b"]

    assert value.mean == pytest.approx(expected)
    assert value.variance == pytest.approx((h**2 * (gamma - expected) ** 2).sum() / h.sum() ** 2)


def test_guesses_come_from_earlier_periods_only():
    chances = {"a": 0.5, "b": 0.5}
    cohorts = [
        Batch(1, 1, chances, {"a": ArmSums(4, 10.0)}),
        Batch(0, 1, chances, {"a": ArmSums(4, 30.0)}),  # the explored slice, at the same time
        Batch(2, 2, chances, {"b": ArmSums(8, 2.0)}),
        Batch(3, 3, chances, {"a": ArmSums(1, 99.0)}),
    ]

    guesses = past_guesses(cohorts, ("a", "b"), first_guess=7.0)

    assert guesses == [
        {"a": 7.0, "b": 7.0},
        {"a": 7.0, "b": 7.0},
        {"a": 20.0, "b": 20.0},  # nobody got b before: everybody's average
        {"a": 20.0, "b": 2.0},
    ]


def test_a_first_guess_moves_no_estimate_by_more_than_its_noise_and_sharpens_it():
    cohorts = batches(a_log(n=3_000, offset=50.0), period=DAY)

    blind = weighted_estimates(cohorts, control="a", treatment="c")
    told = weighted_estimates(cohorts, control="a", treatment="c", first_guess=52.0)

    assert told.difference_variance < blind.difference_variance / 2
    shift = (told.treatment - told.control) - (blind.treatment - blind.control)
    assert abs(shift) < 3 * sqrt(blind.difference_variance)


def test_traffic_that_follows_the_days_does_not_pass_for_an_effect():
    """Simpson's trap: b is better by 0.1 on both days, and worse by plain averages."""
    early, late = {"a": 0.9, "b": 0.1}, {"a": 0.1, "b": 0.9}
    cohorts = [
        Batch(1, 1, early, {"a": _share(9_000, 0.6), "b": _share(1_000, 0.7)}),
        Batch(2, 2, late, {"a": _share(1_000, 0.1), "b": _share(9_000, 0.2)}),
    ]

    readings = [
        weighted_estimates(cohorts, control="a", treatment="b"),
        batched_estimates(cohorts, control="a", treatment="b"),
        batched_estimates(cohorts, control="a", treatment="b", is_stationary=True),
    ]

    plain = (1_000 * 0.7 + 9_000 * 0.2 - 9_000 * 0.6 - 1_000 * 0.1) / 10_000
    assert plain == pytest.approx(-0.3)
    for it in readings:
        assert it.treatment - it.control == pytest.approx(0.1, abs=0.02)


def _share(n, mean):
    return ArmSums(n, mean, n * mean * (1 - mean))


# --- batch by batch -----------------------------------------------------------------------------


def test_one_batch_is_a_welch_test():
    log = [it for it in a_log() if it.version == 1]
    outcomes = {arm: [it.outcome for it in log if it.arm == arm] for arm in ARMS}

    it = batched_estimates(batches(log, period=DAY), control="a", treatment="b")

    expected = stats.ttest_ind(outcomes["b"], outcomes["a"], equal_var=False)
    test = welch(it, alpha=0.05)
    assert z_score(it) == pytest.approx(expected.statistic)
    assert test.pvalue == pytest.approx(expected.pvalue)
    assert it.degrees_of_freedom == pytest.approx(expected.df)


@pytest.mark.parametrize("n_versions", [1, 6])
def test_the_published_statistic_is_that_of_a_regression_per_batch(n_versions):
    # Zhang, Janson, Murphy: per batch an OLS of the outcome on the arm; the noise variance shared.
    log = [it for it in a_log(n_versions=n_versions) if it.arm in ("a", "b")]
    residuals, freedom, fits = 0.0, 0, []
    for version in range(1, n_versions + 1):
        rows = [it for it in log if it.version == version]
        x = np.array([float(it.arm == "b") for it in rows])
        fit = sm.OLS([it.outcome for it in rows], sm.add_constant(x)).fit()
        residuals, freedom = residuals + fit.ssr, freedom + int(fit.df_resid)
        fits.append((fit.params[1], len(x) / (x.sum() * (len(x) - x.sum()))))
    scores = [slope / sqrt(residuals / freedom * scale) for slope, scale in fits]
    expected = sum(scores) / sqrt(n_versions)

    cohorts = batches(log, period=DAY)
    it = batched_estimates(
        cohorts, control="a", treatment="b", is_stationary=True, equal_variances=True
    )

    assert batched_statistic(cohorts, control="a", treatment="b") == pytest.approx(expected)
    assert z_score(it) == pytest.approx(expected)


def test_the_epoch_weighted_effect_is_the_average_of_the_batches_by_their_units():
    cohorts = batches(a_log(), period=DAY)

    it = batched_estimates(cohorts, control="a", treatment="c")

    compared = compare_batches(cohorts, control="a", treatment="c").compared
    n = sum(batch.n for batch in compared)
    assert it.treatment - it.control == pytest.approx(
        sum(batch.n / n * batch.difference for batch in compared)
    )


def test_cohorts_of_one_version_are_one_batch():
    log = a_log()

    halves = batched_estimates(batches(log, period=DAY // 4), control="a", treatment="b")
    whole = batched_estimates(batches(log, period=DAY), control="a", treatment="b")

    assert vars(halves) == pytest.approx(vars(whole))


def test_batches_that_cannot_be_compared_are_counted():
    chances = {"a": 0.99, "b": 0.01}
    thin = Batch(1, 1, chances, {"a": _share(99, 0.5), "b": ArmSums(1, 1.0)})
    full = Batch(2, 2, {"a": 0.5, "b": 0.5}, {"a": _share(50, 0.5), "b": _share(50, 0.6)})

    found = compare_batches([thin, full], control="a", treatment="b")

    assert found.n_left_out == 100
    assert found.n == 100


def test_a_batch_without_any_conversion_still_counts():
    """Leaving it out would look at outcomes, and raise every rate."""
    chances = {"a": 0.5, "b": 0.5}
    none = Batch(1, 1, chances, {"a": _share(50, 0.0), "b": _share(50, 0.0)})
    some = Batch(2, 2, chances, {"a": _share(50, 0.1), "b": _share(50, 0.2)})

    it = batched_estimates([none, some], control="a", treatment="b")

    assert it.control == pytest.approx(0.05)
    assert it.treatment - it.control == pytest.approx(0.05)


# --- every kind of evidence ---------------------------------------------------------------------


@pytest.mark.parametrize("read", [weighted_estimates, batched_estimates])
def test_intervals_of_every_kind_work_on_both_readings(read):
    it = read(batches(a_log(n=3_000), period=DAY), control="a", treatment="c")

    fixed = welch(it, alpha=0.05)
    lasting = always_valid(it, alpha=0.05, planned_sample=2_000)
    lift = relative_lift(it, critical=fixed.critical)

    assert lasting.critical > fixed.critical
    assert fixed.pvalue is not None
    assert fixed.pvalue < 0.001
    assert lift.ci_lower is not None
    assert lift.ci_lower > 0


# --- what is refused ----------------------------------------------------------------------------


def test_a_decision_without_its_vector_is_refused():
    with pytest.raises(DataError, match="no probability vector was logged"):
        batches([Decision(1, "a", {}, 0, 1.0)], period=DAY)


@pytest.mark.parametrize(
    ("probabilities", "why"),
    [
        ({"a": 0.5, "b": 0.4}, "sum to 0.9"),
        ({"a": 1.0, "b": 0.0}, "must be above 0"),
        ({"a": float("nan"), "b": 1.0}, "must be above 0"),
        ({"b": 1.0}, '"a" is not in its vector'),
    ],
)
def test_a_vector_that_is_none_is_refused(probabilities, why):
    with pytest.raises(DataError, match=why):
        batches([Decision(1, "a", probabilities, 0, 1.0)], period=DAY)


def test_two_vectors_under_one_version_are_refused():
    one = Decision(1, "a", {"a": 0.5, "b": 0.5}, 0, 1.0)
    other = Decision(1, "a", {"a": 0.6, "b": 0.4}, 1, 1.0)

    with pytest.raises(DataError, match="a new vector is a new version"):
        batches([one, other], period=DAY)
    with pytest.raises(DataError, match="two probability vectors"):
        by_version([*batches([one], period=DAY), *batches([other], period=DAY)])


@pytest.mark.parametrize("outcome", [None, float("nan"), float("inf")])
def test_an_open_window_is_no_outcome(outcome):
    with pytest.raises(DataError, match="window has closed"):
        batches([Decision(1, "a", {"a": 0.5, "b": 0.5}, 0, outcome)], period=DAY)


def test_a_cohort_counts_once_its_last_unit_could_have_converted():
    chances = {"a": 0.5, "b": 0.5}
    log = [Decision(1, "a", chances, at, 0.0) for at in (0, 99, 100, 150)]

    assert len(mature(log, window=50, as_of=149, period=DAY)) == 0
    assert len(mature(log, window=50, as_of=150, period=DAY)) == 2
    assert len(mature(log, window=50, as_of=249, period=DAY)) == 2
    assert len(mature(log, window=50, as_of=250, period=DAY)) == 4


def test_arms_without_units_or_unknown_are_refused_by_name():
    cohorts = [Batch(1, 1, {"a": 0.5, "b": 0.5}, {"a": _share(50, 0.5), "b": ArmSums(1, 0.0)})]

    with pytest.raises(DataError, match='too few units in "b" whose window has closed: 1'):
        weighted_estimates(cohorts, control="a", treatment="b")
    with pytest.raises(DataError, match="no version of the bandit has 2 units"):
        batched_estimates(cohorts, control="a", treatment="b")
    with pytest.raises(DataError, match='arm "z" is not in the vector'):
        weighted_estimates(cohorts, control="a", treatment="z")
    with pytest.raises(DataError, match="compared with itself"):
        batched_estimates(cohorts, control="a", treatment="a")
    with pytest.raises(DataError, match="too few units"):
        weighted_estimates([], control="a", treatment="b")


def test_an_outcome_that_never_varies_gives_no_interval():
    cohorts = [Batch(1, 1, {"a": 0.5, "b": 0.5}, {"a": ArmSums(50, 0.0), "b": ArmSums(50, 0.0)})]

    for it in (
        weighted_estimates(cohorts, control="a", treatment="b"),
        batched_estimates(cohorts, control="a", treatment="b"),
    ):
        assert welch(it, alpha=0.05).pvalue is None


def test_impossible_sums_are_refused():
    with pytest.raises(DataError, match="cannot be"):
        ArmSums(3, 1.0, -1.0)
    with pytest.raises(DataError, match="does not name"):
        Batch(1, 1, {"a": 0.5, "b": 0.5}, {"z": ArmSums(1)})
