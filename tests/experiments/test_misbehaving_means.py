"""One unit, no variation, nobody, one value beyond all measure: what each estimator does then."""

import numpy as np
import pytest

from experiments.errors import DataError
from experiments.estimation.cace import complier_effect
from experiments.estimation.clusters import clustered
from experiments.estimation.counts import counted
from experiments.estimation.covariates import usable
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.proportions import miettinen_nurminen, successes
from experiments.estimation.quantile import quantiles
from experiments.estimation.ratio import moments
from experiments.estimation.strata import post_stratified
from experiments.estimation.triggered import diluted
from experiments.evidence.compare import absolute_lift, relative_lift, welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS, QuantileSums

SPEND = Metric(name="spend")
ADJUSTED = Metric(name="spend", covariates=("past",))


def arm(spend, **columns):
    return Aggregates.from_columns({"spend": spend, **columns})


NOBODY = Aggregates.empty(("spend", "past", "did", CLUSTER_UNITS))
FINE = arm(
    [1.0, 2.0, 4.0, 3.0, 2.0, 5.0],
    past=[1.0, 2.0, 3.0, 3.0, 2.0, 6.0],
    did=[0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
    **{CLUSTER_UNITS: [1.0, 2.0, 2.0, 1.0, 2.0, 3.0]},
)
ONE = arm([3.0], past=[1.0], did=[1.0], **{CLUSTER_UNITS: [2.0]})


@pytest.mark.parametrize("part", [NOBODY, ONE], ids=["nobody", "one unit"])
def test_a_variance_takes_two_units_and_every_estimator_says_so(part):
    for refuse in (
        lambda: moments(part, SPEND, covariates=()),
        lambda: post_stratified({"a": FINE}, {"a": part}, metric=SPEND),
        lambda: clustered(FINE, part, metric=SPEND),
        lambda: complier_effect(FINE, part, outcome="spend", received="did", alpha=0.05),
    ):
        with pytest.raises(DataError, match=r"too few|fewer than two|at least 2"):
            refuse()


def test_nobody_has_neither_successes_nor_counts():
    with pytest.raises(DataError, match="impossible"):
        successes(NOBODY, "did")
    with pytest.raises(DataError, match="no unit was counted"):
        counted(NOBODY, "spend")


def test_one_unit_has_a_proportion_and_a_count_of_its_own():
    assert successes(ONE, "did").share == 1.0
    assert counted(ONE, "spend").variance == 0.0


def no_variation(value):
    return arm([value] * 5, past=[1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.mark.parametrize("values", [(2.0, 2.0), (2.0, 3.0), (0.0, 0.0)])
def test_without_variation_in_both_nothing_is_tested(values):
    # Even a difference: five times 2 against five times 3 leaves no doubt and no test.
    arms = [moments(no_variation(value), SPEND, covariates=()) for value in values]

    found = unadjusted(*arms)

    test = welch(found, alpha=0.05)
    assert found.treatment - found.control == values[1] - values[0]
    assert test.pvalue is None
    assert not absolute_lift(found, critical=test.critical).is_bounded
    assert not relative_lift(found, critical=test.critical).is_bounded


def test_without_variation_in_one_the_other_decides():
    arms = [moments(part, SPEND, covariates=()) for part in (no_variation(2.0), FINE)]

    found = unadjusted(*arms)

    assert found.difference_variance == pytest.approx(FINE.variance("spend") / 6)
    assert found.degrees_of_freedom == pytest.approx(5)
    assert 0 < welch(found, alpha=0.05).pvalue < 1


def test_a_covariate_that_explains_the_outcome_wholly_is_left_out():
    past = [float(k) for k in range(20)]
    parts = [arm([2 * x + shift for x in past], past=past) for shift in (0.0, 1.0)]
    arms = [moments(part, ADJUSTED, covariates=("past",)) for part in parts]
    total = moments(parts[0].merge(parts[1]), ADJUSTED, covariates=("past",))

    found = adjusted(*arms, total=total, adjust="lin")

    plain = [part.variance / part.n for part in arms]
    assert found.treatment - found.control == pytest.approx(1.0, rel=1e-9)
    assert found.difference_variance == pytest.approx(sum(plain), rel=1e-9)
    assert "explains the outcome entirely" in usable(("past",), *arms).note


def test_a_constant_outcome_with_a_covariate_is_not_tested_either():
    arms = [moments(no_variation(v), ADJUSTED, covariates=("past",)) for v in (2.0, 2.0)]
    total = moments(no_variation(2.0).merge(no_variation(2.0)), ADJUSTED, covariates=("past",))

    for adjust in ("lin", "pooled"):
        found = adjusted(*arms, total=total, adjust=adjust)

        assert (found.control, found.treatment) == (2.0, 2.0)
        assert welch(found, alpha=0.05).pvalue is None


def test_strata_without_variation_are_not_tested():
    found = post_stratified(
        {"a": no_variation(1.0), "b": no_variation(5.0)},
        {"a": no_variation(1.0), "b": no_variation(5.0)},
        metric=SPEND,
    ).estimates

    assert found.difference_variance == 0
    assert welch(found, alpha=0.05).pvalue is None
    # The means themselves still vary, by the mix of strata.
    assert found.control_variance == pytest.approx(4.0 / 20)


def test_a_complement_of_one_unit_dilutes_without_a_variance_of_its_own():
    triggered = unadjusted(*[moments(FINE, SPEND, covariates=()) for _ in range(2)])

    found = diluted(triggered, metric=Metric(name="y"), untriggered=None)

    assert found == triggered


def test_all_or_none_did_it_still_has_an_interval():
    everyone = successes(arm([0.0], did=[1.0]), "did")

    found = miettinen_nurminen(everyone, everyone, alpha=0.05)

    assert found.pvalue == pytest.approx(1.0)
    assert found.lift_abs.ci_lower < 0 < found.lift_abs.ci_upper


def test_values_that_are_no_numbers_never_reach_an_estimator():
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(DataError, match="not finite"):
            arm([1.0, bad])
        with pytest.raises(DataError, match="finite"):
            QuantileSums(10, 0.5, bad, bad, bad, 2, 9, 1.96)


def test_negative_money_is_a_number_like_any_other_to_an_estimator():
    # Refunds are real; whether they are allowed is the metric's to say (`negative: refuse`).
    parts = [arm([-5.0, -3.0, -4.0, -6.0]), arm([-1.0, 0.0, -2.0, 1.0])]

    found = unadjusted(*[moments(part, SPEND, covariates=()) for part in parts])
    lift = relative_lift(found, critical=2.0)

    assert lift.estimate == pytest.approx(8 / 9)  # From -4.5 to -0.5 is a rise.
    assert 0 < lift.ci_lower < lift.ci_upper


def test_quantiles_of_one_unit_are_refused():
    one = QuantileSums(1, 0.5, 3.0, 3.0, 3.0, 1, 1, 1.96, is_cut=True)

    with pytest.raises(DataError, match="1 units are too few"):
        quantiles(one, one)


def test_huge_offsets_cost_no_digit():
    # Milliseconds since 1970 with a spread of seconds.
    rng = np.random.default_rng(1)
    base = rng.normal(0, 1_000, 500)
    near, far = arm(base), arm(base + 1.7e12)

    for part in (near, far):
        found = moments(part, SPEND, covariates=())

        assert found.variance == pytest.approx(base.var(ddof=1), rel=1e-6)
