import numpy as np
import pytest

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.errors import DataError, PlanError
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.ratio import moments
from experiments.metrics import Metric, nonzero_cap
from tests.experiments.data import aggregates


def correlated(rng, n, *, slope, shift=0.0, rho_noise=1.0):
    x = rng.normal(10, 3, n)
    return {"y": 5 + slope * x + shift + rng.normal(0, rho_noise, n), "x": x}


def pair(arms, metric, adjust="lin"):
    parts = aggregates(arms)
    both = [moments(parts[name], metric, covariates=metric.covariates) for name in ("c", "t")]
    total = moments(parts["c"].merge(parts["t"]), metric, covariates=metric.covariates)
    return unadjusted(*both), adjusted(*both, total=total, adjust=adjust)


@pytest.mark.parametrize("adjust", ["lin", "pooled"])
def test_variance_falls_by_the_squared_correlation(adjust):
    rng = np.random.default_rng(2)
    arms = {name: correlated(rng, 20_000, slope=1.0) for name in ("c", "t")}

    plain, better = pair(arms, Metric(name="y", covariates=("x",)), adjust)

    # Var(y) = 9 + 1, of which x explains 9: rho squared is .9.
    assert better.difference_variance / plain.difference_variance == pytest.approx(0.1, rel=0.03)


def test_unequal_variants_with_unequal_slopes_never_lose_by_lins_adjustment():
    # Freedman's example: one pooled slope can be worse than none when sizes and slopes differ.
    rng = np.random.default_rng(3)
    arms = {
        "c": correlated(rng, 4_000, slope=0.1),
        "t": correlated(rng, 36_000, slope=2.0),
    }
    metric = Metric(name="y", covariates=("x",))

    plain, lin = pair(arms, metric, "lin")
    _, pooled = pair(arms, metric, "pooled")

    assert lin.difference_variance < plain.difference_variance
    assert lin.difference_variance < pooled.difference_variance


def test_intervals_cover_the_truth_with_unequal_slopes_and_sizes():
    rng = np.random.default_rng(4)
    metric = Metric(name="y", covariates=("x",))
    covered, runs = 0, 600

    for _ in range(runs):
        arms = {
            "c": correlated(rng, 60, slope=0.2),
            "t": correlated(rng, 180, slope=1.5, shift=1.0 - 1.3 * 10),
        }
        _, found = pair(arms, metric)
        gap = found.treatment - found.control - 1.0
        covered += abs(gap) <= 1.98 * found.difference_variance**0.5

    assert 0.925 <= covered / runs <= 0.975


def test_small_variants_pay_for_every_covariate_they_fit():
    # Noise of variance 1 and covariates that explain nothing: twelve units and three coefficients
    # leave eight degrees of freedom; dividing by eleven would understate the noise by a quarter.
    rng = np.random.default_rng(14)
    names = ("a", "b", "d")
    metric = Metric(name="y", covariates=names)
    found = []

    for _ in range(400):
        arms = {arm: {name: rng.normal(0, 1, 12) for name in ("y", *names)} for arm in ("c", "t")}
        _, lin = pair(arms, metric)
        found.append(lin.control_variance + lin.treatment_variance - 2 * lin.covariance)

    # 2/12 for the noise, and a little for slopes that differ by chance.
    assert 2 / 12 <= np.mean(found) <= 1.35 * 2 / 12


def test_several_covariates_equal_one_made_of_their_best_sum():
    rng = np.random.default_rng(5)

    def arm(n):
        a, b = rng.normal(0, 1, n), rng.normal(0, 2, n)
        return {"y": a + 2 * b + rng.normal(0, 1, n), "a": a, "b": b, "best": a + 2 * b}

    arms = {"c": arm(5_000), "t": arm(5_000)}
    _, both = pair(arms, Metric(name="y", covariates=("a", "b")))
    _, best = pair(arms, Metric(name="y", covariates=("best",)))

    assert both.difference_variance == pytest.approx(best.difference_variance, rel=1e-3)


def test_a_covariate_given_twice_in_other_units_changes_nothing():
    rng = np.random.default_rng(6)
    arms = {name: correlated(rng, 500, slope=1.0) for name in ("c", "t")}
    for columns in arms.values():
        columns["cents"] = columns["x"] * 100

    _, once = pair(arms, Metric(name="y", covariates=("x",)), "pooled")
    _, twice = pair(arms, Metric(name="y", covariates=("x", "cents")), "pooled")

    assert twice.treatment - twice.control == pytest.approx(once.treatment - once.control)
    assert twice.difference_variance == pytest.approx(once.difference_variance)


def readout(arms, **plan):
    return analyze(
        ExperimentPlan(name="e", control="c", weights={"c": 1, "t": 1}, method="fixed", **plan),
        aggregates(arms),
    )


def test_a_covariate_that_does_not_vary_is_skipped_and_said():
    rng = np.random.default_rng(7)
    arms = {name: {"y": rng.normal(0, 1, 50), "x": np.full(50, 3.0)} for name in ("c", "t")}

    found = readout(arms, metrics=[Metric(name="y", covariates=("x",))]).comparisons[0]

    assert not found.cuped.applied
    assert "same value for every unit" in found.cuped.note
    assert found.effect == found.unadjusted


def test_the_unadjusted_effect_is_always_beside_the_adjusted_one():
    rng = np.random.default_rng(8)
    arms = {name: correlated(rng, 300, slope=1.0) for name in ("c", "t")}
    metric = Metric(name="y", covariates=("x",))

    with_it = readout(arms, metrics=[metric]).comparisons[0]
    without = readout(arms, metrics=[metric], adjust="none").comparisons[0]

    assert with_it.unadjusted == without.effect
    assert with_it.effect.std_error < without.effect.std_error
    assert with_it.cuped.variance_reduction == pytest.approx(0.9, abs=0.05)
    # The means shown are the plain ones: what was measured.
    assert (with_it.control, with_it.treatment) == (without.control, without.treatment)


def test_a_metric_that_is_its_own_covariate_is_refused():
    with pytest.raises(PlanError, match="both outcome and covariate"):
        Metric(name="spend", covariates=("spend",))


def test_a_cap_over_all_values_would_be_zero_so_zeros_do_not_count():
    # 99 % of people spend nothing, so the plain 99th percentile is 0 and the metric would vanish.
    spend = [0.0] * 990 + [float(x) for x in range(1, 11)]

    assert np.quantile(spend, 0.99) == pytest.approx(0, abs=0.02)
    assert nonzero_cap(spend, share=0.99) == pytest.approx(np.quantile(range(1, 11), 0.99))
    assert nonzero_cap([0.0, 0.0], share=0.99) is None


def test_a_ratio_without_a_denominator_is_refused():
    arms = aggregates({"c": {"a": [1.0, 2.0], "b": [0.0, 0.0]}})

    with pytest.raises(DataError, match="0 on average"):
        moments(
            arms["c"],
            Metric(name="r", kind="ratio", numerator="a", denominator="b"),
            covariates=(),
        )
