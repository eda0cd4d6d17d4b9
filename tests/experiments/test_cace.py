"""Complier effects against two-stage least squares by statsmodels; their intervals cover."""

import numpy as np
import pytest
from statsmodels.sandbox.regression.gmm import IV2SLS

from experiments.errors import DataError
from experiments.estimation.cace import complier_effect
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.evidence.compare import absolute_lift, welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


def people(rng, n, *, assigned, effect=2.0, share=0.4, always=0.0):
    """Compliers differ from the rest before anything is sent: a naive subset would mislead."""
    kind = rng.random(n)
    complier, eager = kind < share, kind > 1 - always
    received = (complier & assigned) | eager
    past = rng.gamma(2.0, 1.0, n) + 3 * complier
    spend = past + rng.normal(0, 1, n) + effect * received
    return {"spend": spend, "received": received.astype(float), "past": past}


def arms(rng, n, m, **options):
    return people(rng, n, assigned=False, **options), people(rng, m, assigned=True, **options)


def effect_of(pair, **options):
    control, treatment = (Aggregates.from_columns(columns) for columns in pair)
    return complier_effect(
        control, treatment, outcome="spend", received="received", alpha=0.05, **options
    )


def joined(pair, name):
    return np.concatenate([columns[name] for columns in pair])


@pytest.mark.parametrize("always", [0.0, 0.2])
def test_it_is_two_stage_least_squares(always):
    pair = arms(np.random.default_rng(1), 700, 400, always=always)
    y, d = joined(pair, "spend"), joined(pair, "received")
    z = np.repeat([0.0, 1.0], [700, 400])
    one = np.ones_like(y)
    fit = IV2SLS(y, np.column_stack([one, d]), np.column_stack([one, z])).fit()

    found = effect_of(pair)

    assert found.effect.estimate == pytest.approx(fit.params[1], rel=1e-9)
    # Robust error: of each variant's y - value * d, over the share of compliers.
    residual = y - found.effect.estimate * d
    expected = sum(residual[z == k].var(ddof=1) / (z == k).sum() for k in (0, 1)) ** 0.5
    assert found.std_error == pytest.approx(expected / found.compliers_share, rel=1e-9)
    assert found.compliers_share == pytest.approx(d[z == 1].mean() - d[z == 0].mean(), rel=1e-12)


def test_the_first_stage_f_is_the_squared_robust_t():
    pair = arms(np.random.default_rng(2), 300, 300, always=0.1)
    d = [columns["received"] for columns in pair]

    found = effect_of(pair)

    variance = sum(column.var(ddof=1) / len(column) for column in d)
    assert found.first_stage_f == pytest.approx((d[1].mean() - d[0].mean()) ** 2 / variance)


@pytest.mark.parametrize("always", [0.0, 0.3])
def test_covariates_adjust_both_stages_as_two_stage_least_squares_would(always):
    pair = arms(np.random.default_rng(3), 900, 500, always=always)
    y, d, x = (joined(pair, name) for name in ("spend", "received", "past"))
    z = np.repeat([0.0, 1.0], [900, 500])
    x = x - x.mean()
    # Interacted in both stages: effect of assignment on each, by least squares, then the ratio.
    design = np.column_stack([np.ones_like(y), z, x, z * x])
    top, below = (np.linalg.lstsq(design, side, rcond=None)[0][1] for side in (y, d))

    found, plain = effect_of(pair, covariates=("past",)), effect_of(pair)

    assert found.effect.estimate == pytest.approx(top / below, rel=1e-9)
    assert found.std_error < plain.std_error


def test_the_covariance_of_both_stages_is_not_lost_to_scale():
    rng = np.random.default_rng(4)
    pair = arms(rng, 500, 500, always=0.2)
    huge = [{**columns, "spend": columns["spend"] * 1e9} for columns in pair]

    found, scaled = effect_of(pair), effect_of(huge)

    assert scaled.std_error == pytest.approx(found.std_error * 1e9, rel=1e-9)
    assert scaled.effect.ci_lower == pytest.approx(found.effect.ci_lower * 1e9, rel=1e-9)


def test_it_is_significant_exactly_when_assignment_is():
    rng = np.random.default_rng(5)

    for _ in range(100):
        pair = arms(rng, 200, 200, effect=1.0, always=0.1)
        found = effect_of(pair)
        itt = unadjusted(
            *[
                moments(Aggregates.from_columns(c), Metric(name="spend"), covariates=())
                for c in pair
            ]
        )
        test = welch(itt, alpha=0.05)
        plain = absolute_lift(itt, critical=test.critical)

        assert found.pvalue == test.pvalue
        assert (found.effect.ci_lower > 0) == (plain.ci_lower > 0)
        assert (found.effect.ci_upper < 0) == (plain.ci_upper < 0)


@pytest.mark.parametrize("always", [0.0, 0.25])
def test_the_intervals_ends_are_the_effects_that_assignment_just_fails_to_reject(always):
    # Fieller: b is inside exactly when "spend - b x received" is the same in both variants.
    pair = arms(np.random.default_rng(10), 120, 90, always=always)
    found = effect_of(pair)
    plain = [
        moments(Aggregates.from_columns(columns), Metric(name="spend"), covariates=())
        for columns in pair
    ]
    critical = welch(unadjusted(*plain), alpha=0.05).critical

    for end in (found.effect.ci_lower, found.effect.ci_upper):
        rest = [columns["spend"] - end * columns["received"] for columns in pair]
        error = sum(column.var(ddof=1) / len(column) for column in rest) ** 0.5

        assert abs(rest[1].mean() - rest[0].mean()) == pytest.approx(critical * error, rel=1e-9)


def test_intervals_cover_the_effect_on_compliers_where_the_naive_subset_does_not():
    rng = np.random.default_rng(6)
    runs, covered, naive = 1_000, 0, 0

    for _ in range(runs):
        pair = arms(rng, 250, 250, effect=0.5, share=0.3, always=0.1)
        found = effect_of(pair).effect
        covered += found.ci_lower <= 0.5 <= found.ci_upper
        got, rest = pair[1]["spend"][pair[1]["received"] == 1], pair[0]["spend"]
        gap = got.mean() - rest.mean()
        error = (got.var(ddof=1) / len(got) + rest.var(ddof=1) / len(rest)) ** 0.5
        naive += abs(gap - 0.5) < 1.97 * error

    # Binomial error of 1,000 runs at .95 is .0069.
    assert covered / runs == pytest.approx(0.95, abs=0.02)
    assert naive / runs < 0.1


def test_a_weak_first_stage_is_refused_with_its_strength():
    rng = np.random.default_rng(7)

    with pytest.raises(DataError, match=r"first-stage F = \d"):
        effect_of(arms(rng, 100, 100, share=0.01))
    with pytest.raises(DataError, match="at least F = 10 upwards"):
        effect_of(arms(rng, 500, 500)[::-1])  # Assignment made receiving rarer.
    nobody = arms(rng, 50, 50, share=0.0)
    with pytest.raises(DataError, match=r"F = 0\.0"):
        effect_of(nobody)


def test_perfect_compliance_is_the_effect_of_assignment():
    pair = arms(np.random.default_rng(8), 100, 120, share=1.0)
    itt = joined(pair, "spend")[100:].mean() - joined(pair, "spend")[:100].mean()

    found = effect_of(pair)

    assert found.effect.estimate == pytest.approx(itt, rel=1e-12)
    assert found.first_stage_f == float("inf")
    assert found.effect.ci_lower < itt < found.effect.ci_upper


def test_receiving_must_be_zero_or_one_and_variants_not_empty():
    control, treatment = arms(np.random.default_rng(9), 50, 50)

    with pytest.raises(DataError, match="other values than 0 and 1"):
        effect_of((control, {**treatment, "received": treatment["received"] * 2}))
    with pytest.raises(DataError, match="too few for a variance"):
        effect_of((control, {name: column[:1] for name, column in treatment.items()}))
