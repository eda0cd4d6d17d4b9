"""Post-stratification against the saturated regression by statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm

from experiments.errors import DataError
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.ratio import moments
from experiments.estimation.strata import post_stratified
from experiments.evidence.compare import relative_lift, welch
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates, merged

SPEND = Metric(name="spend")


def a_market(seed, *, sizes=(400, 250, 60), effects=(1.0, 3.0, 0.0), n_columns=False):
    """Countries of different size, level, spread and effect; chance decides who is where."""
    rng = np.random.default_rng(seed)
    rows = {"control": {}, "treatment": {}}
    for place, (size, effect) in enumerate(zip(sizes, effects, strict=True)):
        treated = rng.random(size) < 0.4
        base = rng.gamma(2.0, 5.0 * (place + 1), size)
        columns = {
            "spend": base + rng.normal(0, 1, size) + effect * treated,
            "orders": 1.0 + rng.poisson(place + 1, size),
            "history": base + rng.normal(0, 3, size),
        }
        for arm, mask in (("control", ~treated), ("treatment", treated)):
            rows[arm][f"country {place}"] = {name: c[mask] for name, c in columns.items()}
    return rows


def sums(rows):
    return {
        arm: {name: Aggregates.from_columns(columns) for name, columns in strata.items()}
        for arm, strata in rows.items()
    }


def stratified(rows, metric=SPEND, **options):
    parts = sums(rows)
    return post_stratified(parts["control"], parts["treatment"], metric=metric, **options)


def saturated(rows, column="spend"):
    """Effect and HC2 error of the regression on centred indicators and their interactions."""
    y, treated, place = [], [], []
    for arm, strata in rows.items():
        for name, columns in strata.items():
            y.append(columns[column])
            treated.append(np.full(len(columns[column]), arm == "treatment", float))
            place.append(np.full(len(columns[column]), int(name[-1])))
    y, treated, place = map(np.concatenate, (y, treated, place))
    indicators = np.column_stack([place == k for k in np.unique(place)[1:]]).astype(float)
    centred = indicators - indicators.mean(axis=0)
    design = np.column_stack([np.ones_like(y), treated, centred, treated[:, None] * centred])
    fit = sm.OLS(y, design).fit(cov_type="HC2")
    return fit.params[1], fit.bse[1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_equals_the_regression_with_indicators_and_interactions(seed):
    rows = a_market(seed)

    found = stratified(rows)
    effect, error = saturated(rows)

    estimates = found.estimates
    assert estimates.treatment - estimates.control == pytest.approx(effect, rel=1e-9)
    # HC2 takes the mix of strata as known; that it was sampled adds the spread of their effects.
    n = estimates.n_control + estimates.n_treatment
    spread = sum(
        share
        * (rows["treatment"][name]["spend"].mean() - rows["control"][name]["spend"].mean() - effect)
        ** 2
        for name, share in found.shares.items()
    )
    assert estimates.difference_variance == pytest.approx(error**2 + spread / n, rel=1e-9)
    together = estimates.control_variance + estimates.treatment_variance - 2 * estimates.covariance
    assert together == pytest.approx(estimates.difference_variance, rel=1e-9)


def test_lins_regression_on_indicators_is_the_same_estimate_by_other_code():
    rows = a_market(4)
    for strata in rows.values():
        for name, columns in strata.items():
            for place in (1, 2):
                columns[f"is {place}"] = np.full(
                    len(columns["spend"]), float(name[-1] == str(place))
                )
    parts = {arm: merged(each.values()) for arm, each in sums(rows).items()}
    names = ("is 1", "is 2")
    arms = [moments(parts[arm], SPEND, covariates=names) for arm in ("control", "treatment")]
    total = moments(parts["control"].merge(parts["treatment"]), SPEND, covariates=names)

    lin = adjusted(arms[0], arms[1], total=total, adjust="lin")
    found = stratified(rows).estimates

    assert found.control == pytest.approx(lin.control, rel=1e-9)
    assert found.treatment == pytest.approx(lin.treatment, rel=1e-9)
    # Stratum by stratum against one residual variance for all.
    assert found.difference_variance == pytest.approx(lin.difference_variance, rel=0.1)


def test_one_stratum_is_no_stratification():
    rows = {arm: {"all": strata["country 0"]} for arm, strata in a_market(5).items()}
    parts = sums(rows)

    found = stratified(rows)
    plain = unadjusted(
        *[moments(parts[arm]["all"], SPEND, covariates=()) for arm in ("control", "treatment")]
    )

    assert found.estimates == plain
    assert found.shares == {"all": 1.0}
    assert found.notes == ()


def test_a_ratio_is_that_of_the_mixed_sums_and_its_error_by_the_jackknife():
    rows = a_market(6, sizes=(300, 200, 90))
    metric = Metric(name="per order", kind="ratio", numerator="spend", denominator="orders")

    found = stratified(rows, metric).estimates

    def mixed(rows):
        n = {name: sum(len(rows[arm][name]["spend"]) for arm in rows) for name in rows["control"]}
        total = sum(n.values())
        sides = {}
        for arm, strata in rows.items():
            top = sum(n[k] / total * strata[k]["spend"].mean() for k in strata)
            below = sum(n[k] / total * strata[k]["orders"].mean() for k in strata)
            sides[arm] = top / below
        return sides["control"], sides["treatment"]

    assert (found.control, found.treatment) == pytest.approx(mixed(rows), rel=1e-12)
    differences = []
    for arm, strata in rows.items():
        for name, columns in strata.items():
            for i in range(len(columns["spend"])):
                fewer = {c: np.delete(values, i) for c, values in columns.items()}
                c, t = mixed({**rows, arm: {**strata, name: fewer}})
                differences.append(t - c)
    differences = np.array(differences)
    jackknife = (len(differences) - 1) * ((differences - differences.mean()) ** 2).mean()
    assert found.difference_variance == pytest.approx(jackknife, rel=0.03)


def test_covariates_sharpen_within_strata():
    rows = a_market(7, sizes=(2_000, 1_500, 800))

    plain = stratified(rows).estimates
    sharper = stratified(rows, covariates=("history",)).estimates

    assert sharper.difference_variance < 0.7 * plain.difference_variance
    gap = (sharper.treatment - sharper.control) - (plain.treatment - plain.control)
    assert abs(gap) < 3 * plain.difference_variance**0.5


def test_a_stratum_that_one_variant_lacks_is_collapsed_and_noted():
    rows = a_market(8)
    del rows["control"]["country 2"]

    found = stratified(rows)

    assert list(found.shares) == ["country 0", "country 2 + country 1"]
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.notes == (
        "strata country 2, country 1 are compared as one: country 2 has fewer than 2 units in a"
        " variant",
    )
    # Nobody is lost by it.
    assert found.estimates.n_control == sum(len(c["spend"]) for c in rows["control"].values())
    assert found.estimates.n_treatment == sum(len(c["spend"]) for c in rows["treatment"].values())


def test_poor_strata_join_each_other_first():
    rows = a_market(9, sizes=(300, 200, 100))
    one = {name: values[:1] for name, values in rows["control"]["country 0"].items()}
    for k in (3, 4, 5):
        rows["control"][f"country {k}"] = dict(one)
        rows["treatment"][f"country {k}"] = dict(one)

    found = stratified(rows)

    assert list(found.shares) == [
        "country 0", "country 1", "country 2", "country 3 + country 4 + country 5",
    ]  # fmt: skip


def test_a_variant_without_units_is_refused():
    rows = a_market(10)
    one = {name: values[:1] for name, values in rows["control"]["country 0"].items()}

    with pytest.raises(DataError, match="fewer than two units"):
        stratified({**rows, "control": {"country 0": one}})


def test_intervals_hold_where_chance_put_more_big_spenders_into_one_variant():
    # True effect .5 in every stratum; strata explain nearly everything.
    rng = np.random.default_rng(11)
    runs, covered, relative_covered, wide = 2_000, 0, 0, 0
    truth, levels = 0.5, (1.0, 5.0, 20.0)
    mix = np.array([0.5, 0.4, 0.1])
    base = float(mix @ levels)

    for _ in range(runs):
        rows = {"control": {}, "treatment": {}}
        for arm, size in (("control", 150), ("treatment", 60)):
            counts = rng.multinomial(size, mix)
            for k, count in enumerate(counts):
                spend = levels[k] + rng.normal(0, 1, count) + truth * (arm == "treatment")
                rows[arm][f"country {k}"] = {"spend": spend}
        found = stratified(rows).estimates
        critical = welch(found, alpha=0.05).critical
        radius = critical * found.difference_variance**0.5
        covered += abs(found.treatment - found.control - truth) <= radius
        interval = relative_lift(found, critical=critical)
        relative_covered += interval.ci_lower <= truth / base <= interval.ci_upper
        wide += found.control_variance > 2 * found.difference_variance

    # Binomial error of 2,000 runs at .95 is .0049: three of them either way.
    assert 0.935 <= covered / runs <= 0.965
    assert 0.935 <= relative_covered / runs <= 0.965
    assert wide > 0.9 * runs  # The mix varies each mean far more than their difference.
