"""Switchbacks against brute force: every assignment of a short horizon, weighted by its chance."""

from itertools import combinations, product
from math import nan, prod

import numpy as np
import pytest

from experiments.errors import DataError, PlanError
from experiments.estimation.switchback import Switchback, optimal_starts, switchback
from tests.rig.sizes import SCALE

STARTS, COINS = (0, 2, 3, 6, 8), (0.5, 0.3, 0.6, 0.5, 0.7)
N, ORDER = 10, 2


def spread(coins, starts, n):
    """The coins as one assignment per period."""
    ends = (*starts[1:], n)
    return [coin for coin, a, b in zip(coins, starts, ends, strict=True) for _ in range(b - a)]


def outcomes_of(treated, *, level, lags):
    """Each period's own level, plus what its treatment and the periods' before it add."""
    return [
        level[t] + sum(effect * treated[t - lag] for lag, effect in enumerate(lags) if t >= lag)
        for t in range(len(treated))
    ]


def read(outcomes, treated, **changes) -> Switchback:
    asked = {
        "starts": STARTS,
        "order": ORDER,
        "alpha": 0.05,
        "rng": np.random.default_rng(1),
        "probabilities": COINS,
    }
    return switchback(outcomes, treated, **{**asked, **changes})


def over_all_assignments(*, level, lags, order=ORDER):
    """(chance, result) of every assignment."""
    for coins in product((0, 1), repeat=len(STARTS)):
        treated = spread(coins, STARTS, N)
        chance = prod(p if coin else 1 - p for p, coin in zip(COINS, coins, strict=True))
        yield chance, read(outcomes_of(treated, level=level, lags=lags), treated, order=order)


def expected(rows, value):
    return sum(chance * value(result) for chance, result in rows)


def levels(seed, *, around=0.0):
    return np.random.default_rng(seed).normal(around, 1, N).tolist()


@pytest.mark.parametrize("order", [2, 3])
def test_over_all_assignments_the_mean_estimate_is_the_lag_effect(order):
    rows = list(over_all_assignments(level=levels(2, around=3), lags=(1, 0.5, 0.25), order=order))

    found = expected(rows, lambda row: row.effect.estimate)

    assert found == pytest.approx(1.75, abs=1e-12)


def test_planted_carry_over_biases_a_reading_at_order_0():
    rows = list(over_all_assignments(level=levels(3), lags=(1, 0.5, 0.25), order=0))

    found = expected(rows, lambda row: row.effect.estimate)

    # What lingers counts only where the same coin, or one that fell alike, was still treating.
    assert found < 1.75 - 0.2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("around", [0.0, 4.0])
@pytest.mark.parametrize("order", [0, 2, 4])
def test_the_mean_variance_estimate_is_never_below_the_true_variance(seed, around, order):
    level = levels(seed, around=around)
    rows = list(over_all_assignments(level=level, lags=(1,), order=order))

    mean = expected(rows, lambda row: row.effect.estimate)
    true = expected(rows, lambda row: (row.effect.estimate - mean) ** 2)
    of_arms = [
        expected(rows, lambda row, arm=arm: getattr(row.estimates, arm) ** 2)
        - expected(rows, lambda row, arm=arm: getattr(row.estimates, arm)) ** 2
        for arm in ("control", "treatment")
    ]

    assert expected(rows, lambda row: row.std_error**2) >= true - 1e-12
    assert min(row.std_error for _, row in rows) >= 0
    for arm, variance in zip(("control", "treatment"), of_arms, strict=True):
        estimate = expected(rows, lambda row, arm=arm: getattr(row.estimates, f"{arm}_variance"))
        assert estimate >= variance - 1e-12


def test_without_any_effect_and_one_level_the_arms_variances_are_unbiased():
    rows = list(over_all_assignments(level=[2.0] * N, lags=(0,)))

    for arm in ("control", "treatment"):
        square = expected(rows, lambda row, arm=arm: getattr(row.estimates, arm) ** 2)
        estimate = expected(rows, lambda row, arm=arm: getattr(row.estimates, f"{arm}_variance"))

        # Products of outcomes of one sign are never below 0: nothing is replaced by its bound.
        assert estimate == pytest.approx(square - 4.0, abs=1e-12)


def test_a_randomization_p_value_counts_every_assignment_with_its_chance():
    treated = spread((1, 0, 0, 1, 1), STARTS, N)
    outcomes = outcomes_of(treated, level=levels(5), lags=(2,))
    found = abs(read(outcomes, treated).effect.estimate)

    counted = 0.0
    for coins in product((0, 1), repeat=len(STARTS)):
        again = abs(read(outcomes, spread(coins, STARTS, N)).effect.estimate)
        chance = prod(p if coin else 1 - p for p, coin in zip(COINS, coins, strict=True))
        counted += chance * (again >= found - 1e-12)

    assert read(outcomes, treated).randomization_pvalue == pytest.approx(counted, abs=1e-12)


def test_a_p_value_is_at_most_alpha_exactly_when_the_interval_leaves_out_0():
    rows = [row for _, row in over_all_assignments(level=levels(6), lags=(4,), order=0)]

    verdicts = {
        (row.pvalue <= 0.05, row.effect.ci_lower > 0 or row.effect.ci_upper < 0) for row in rows
    }

    assert verdicts == {(True, True), (False, False)}


def test_washout_periods_are_counted_and_their_outcomes_do_not_matter():
    treated = [0, 0, 0, 0, 1, 1, 1, 1]
    outcomes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    asked = {"starts": (0, 4), "order": 2, "probabilities": 0.5}

    result = read(outcomes, treated, **asked)
    other = read([99.0, 99.0, 3.0, 4.0, 99.0, 99.0, 7.0, 8.0], treated, **asked)

    # Periods 2 and 3 are untreated for three in a row, 6 and 7 treated: halves of six, doubled.
    assert (result.estimates.n_control, result.estimates.n_treatment, result.n_washout) == (2, 2, 4)
    assert result.effect.estimate == pytest.approx(2 * (15 - 7) / 6)
    assert other.effect == result.effect


def test_an_outcome_that_never_varies_is_cautioned_about():
    treated = spread((1, 0, 1, 0, 1), STARTS, N)
    constant = read([7.0] * N, treated)
    varying = read([7.0] * (N - 1) + [8.0], treated)

    assert any("nothing varies" in it for it in constant.cautions)
    assert not any("nothing varies" in it for it in varying.cautions)


def test_an_arm_never_seen_whole_is_cautioned_about():
    result = read([1.0] * N, [1] * N)

    assert result.estimates.n_control == 0
    assert "wholly untreated" in result.cautions[0]


@pytest.mark.parametrize(("n", "order"), [(5, 0), (6, 1), (8, 2), (10, 2), (12, 3)])
def test_the_optimal_starts_have_the_least_worst_case_variance_of_all(n, order):
    def worst(starts):
        # With all outcomes at one bound, by the theorem's lemma: 2**(shared coins + 1) a pair.
        spans = [
            {sum(start <= t for start in starts) for t in range(at - order, at + 1)}
            for at in range(order, n)
        ]
        shared = [len(one & other) for one in spans for other in spans]
        return sum(2 ** (count + 1) for count in shared if count)

    every = ((0, *later) for size in range(n) for later in combinations(range(1, n), size))

    assert worst(optimal_starts(n, order=order)) == min(map(worst, every))


def test_the_optimal_starts_are_those_of_the_paper():
    # Their example, T = 12 and m = 2, counts from 1: {1, 5, 7, 9}.
    assert optimal_starts(12, order=2) == (0, 4, 6, 8)


def test_alike_arms_are_told_apart_no_more_often_than_promised():
    runs, rng = int(400 * SCALE), np.random.default_rng(20)
    starts = optimal_starts(80, order=2)
    normal = exact = 0

    for _ in range(runs):
        treated = spread(rng.integers(0, 2, len(starts)).tolist(), starts, 80)
        outcomes = rng.normal(0, 1, 80).cumsum() * 0.2 + rng.normal(0, 1, 80)
        result = switchback(
            outcomes.tolist(), treated, starts=starts, order=2, alpha=0.05, rng=rng, draws=199
        )
        normal += result.pvalue <= 0.05
        exact += result.randomization_pvalue <= 0.05

    # Three standard errors of a share of 5 % above it.
    limit = 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert normal / runs <= limit
    assert 0.05 / 4 <= exact / runs <= limit


def test_drawn_assignments_give_the_p_value_of_all_of_them(monkeypatch):
    treated = spread((1, 0, 0, 1, 1), STARTS, N)
    outcomes = outcomes_of(treated, level=levels(5), lags=(2,))
    exact = read(outcomes, treated).randomization_pvalue

    monkeypatch.setattr("experiments.estimation.switchback.STARTS_ALL", 0)
    drawn = read(outcomes, treated, draws=20_000).randomization_pvalue

    assert drawn == pytest.approx(exact, abs=4 * (0.25 / 20_000) ** 0.5)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"order": -1}, PlanError, "below 0"),
        ({"order": N}, DataError, "too few"),
        ({"probabilities": 0.0}, PlanError, "nothing to chance"),
        ({"probabilities": (0.5, 0.5, 1.0, 0.5, 0.5)}, PlanError, "nothing to chance"),
        ({"probabilities": nan}, PlanError, "nothing to chance"),
        ({"probabilities": (0.5, 0.5)}, PlanError, "one for each"),
        ({"starts": (1, 2)}, PlanError, "rise from 0"),
        ({"starts": (0, 3, 3)}, PlanError, "rise from 0"),
        ({"starts": (0, N)}, PlanError, "rise from 0"),
        ({"alpha": 0.0}, PlanError, "alpha"),
        ({"draws": 0}, PlanError, "draws"),
        ({"outcomes": [1.0] * (N - 1) + [nan]}, DataError, "period 9"),
        ({"outcomes": [1e200] * N}, DataError, "period 0"),
        ({"outcomes": [1.0] * (N - 1)}, DataError, "one each"),
        ({"starts": range(N), "probabilities": 1e-5}, PlanError, "fewer coins"),
        ({"treated": [0, 1] + [0] * (N - 2)}, DataError, "period 1"),
        ({"treated": [2, 2] + [0] * (N - 2)}, DataError, "period 0"),
    ],
)
def test_what_no_switchback_can_be_is_refused(changes, error, says):
    asked = {"outcomes": [1.0] * N, "treated": [0] * N, **changes}

    with pytest.raises(error, match=says):
        read(**asked)


@pytest.mark.parametrize(
    ("n", "order", "says"), [(7, 2, "too few"), (11, 2, "plan 12"), (9, -1, "below 0")]
)
def test_no_starts_are_proposed_where_the_theorem_does_not_reach(n, order, says):
    with pytest.raises(PlanError, match=says):
        optimal_starts(n, order=order)
