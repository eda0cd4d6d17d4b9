"""Regression with several covariates, against ordinary least squares by statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.errors import DataError
from experiments.estimation.covariates import usable
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.missing import filled
from experiments.estimation.ratio import moments
from experiments.evidence.compare import welch
from experiments.metrics import Metric
from tests.experiments.data import aggregates, hillstrom
from tests.experiments.estimation_runs import row_moments


def arms_of(columns):
    parts = aggregates(columns)
    return parts["control"], parts["treatment"]


def lin(columns, names, adjust="lin"):
    metric = Metric(name="y", covariates=tuple(names))
    control, treatment = arms_of(columns)
    both = [moments(part, metric, covariates=metric.covariates) for part in (control, treatment)]
    total = moments(control.merge(treatment), metric, covariates=metric.covariates)
    return adjusted(*both, total=total, adjust=adjust)


def interacted(columns, names):
    """Effect and standard error of least squares on all units with interactions (HC2)."""
    y = np.concatenate([columns[arm]["y"] for arm in ("control", "treatment")])
    treated = np.concatenate(
        [np.full(len(columns[arm]["y"]), arm == "treatment", float) for arm in columns]
    )
    x = np.column_stack(
        [np.concatenate([columns[a][name] for a in ("control", "treatment")]) for name in names]
    )
    # Brought to unit spread for the oracle's own sake: its least squares mind the scale.
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    design = np.column_stack([np.ones_like(y), treated, x, treated[:, None] * x])
    fit = sm.OLS(y, design).fit(cov_type="HC2")
    # HC2 takes the covariates' mean as known; it was sampled with the units, which matters where
    # slopes differ: (theta_t - theta_c)' S (theta_t - theta_c) / N.
    slopes = fit.params[2 + x.shape[1] :]
    spread = np.atleast_2d(np.cov(x, rowvar=False))
    return fit.params[1], float(np.sqrt(fit.bse[1] ** 2 + slopes @ spread @ slopes / len(y)))


def people(rng, n, *, effect=1.0):
    """A skewed outcome and five covariates that go together, in very different units."""
    base = rng.gamma(2.0, 1.0, n)
    columns = {
        "a": base + rng.normal(0, 0.5, n),
        "b": 1e6 * (base + rng.normal(0, 1.0, n)),
        "c": rng.normal(0, 1e-3, n),
        "d": (rng.random(n) < 0.3).astype(float),
        "e": 1e8 + rng.normal(0, 1, n),
    }
    columns["y"] = effect * base + 300 * columns["c"] + columns["d"] + rng.gamma(1.0, 1.0, n)
    return columns


def shop(seed, n=4_000):
    rng = np.random.default_rng(seed)
    return {"control": people(rng, n), "treatment": people(rng, n // 3, effect=1.4)}


@pytest.mark.parametrize("names", ["a", "ab", "abcd", "abcde"])
def test_the_estimate_is_that_of_least_squares_with_interactions(names):
    columns = shop(1)

    found, expected = lin(columns, names), interacted(columns, names)

    assert found.treatment - found.control == pytest.approx(expected[0], rel=1e-9)
    assert found.difference_variance**0.5 == pytest.approx(expected[1], rel=3e-3)


def test_the_standard_error_is_that_of_hc2_on_hillstroms_experiment():
    real = hillstrom()
    columns = {
        arm: {
            "y": real[name]["spend"],
            "history": real[name]["history"],
            "root": np.sqrt(real[name]["history"]),
            "big": (real[name]["history"] > 500).astype(float),
        }
        for arm, name in (("control", "No E-Mail"), ("treatment", "Mens E-Mail"))
    }

    found = lin(columns, ("history",))
    expected = interacted(columns, ("history",))
    several = lin(columns, ("history", "root", "big"))
    expected_of_several = interacted(columns, ("history", "root", "big"))

    assert found.difference_variance**0.5 == pytest.approx(expected[1], rel=5e-4)
    assert several.treatment - several.control == pytest.approx(expected_of_several[0], rel=1e-9)
    assert several.difference_variance**0.5 == pytest.approx(expected_of_several[1], rel=5e-4)


def test_covariates_that_follow_from_others_change_nothing():
    columns = shop(2)
    for arm in columns.values():
        arm["a in cents"] = 100 * arm["a"]
        arm["a and d"] = arm["a"] - 3 * arm["d"]

    plain = lin(columns, "ad")
    found = lin(columns, ("a", "a in cents", "d", "a and d"))

    assert found == plain


def test_what_is_left_out_is_named_with_its_reason():
    columns = shop(3)
    for part, name in ((columns["control"], "control"), (columns["treatment"], "treatment")):
        part["twice"] = 2 * part["a"] + 7
        part["new here"] = np.zeros(len(part["y"]))
        if name == "treatment":
            part["new here"][:5] = 1.0
    names = ("a", "twice", "new here", "b")
    both = [moments(part, Metric(name="y"), covariates=names) for part in arms_of(columns)]

    found = usable(names, *both)

    assert found.kept == ("a", "b")
    assert found.dropped == {
        "twice": "follows from the covariates before it",
        "new here": "has the same value for every unit of a variant",
    }
    assert found.note.startswith("twice follows from the covariates before it; new here has")


def test_a_covariate_that_is_constant_in_one_variant_is_left_out_of_both():
    columns = shop(4)
    columns["control"]["d"] = np.zeros_like(columns["control"]["d"])

    for adjust in ("lin", "pooled"):
        assert lin(columns, "ad", adjust) == lin(columns, "a", adjust)


def test_a_large_constant_is_constant_in_spite_of_rounding():
    columns = shop(5)
    for part in columns.values():
        part["constant"] = np.full(len(part["y"]), 0.1 + 0.2) * 1e9

    assert lin(columns, ("constant", "a")) == lin(columns, "a")


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_more_covariates_than_units_are_cut_to_what_the_units_can_carry(n):
    rng = np.random.default_rng(6)
    names = tuple(f"x{i}" for i in range(12))
    columns = {
        arm: {name: rng.normal(0, 1, n) for name in ("y", *names)}
        for arm in ("control", "treatment")
    }
    both = [moments(part, Metric(name="y"), covariates=names) for part in arms_of(columns)]

    found = lin(columns, names)

    kept = max(n - 3, 0)
    assert usable(names, *both).kept == names[:kept]
    assert "is one too many for a variant of" in usable(names, *both).note
    if kept == 0:
        assert found == unadjusted(*[moments(p, Metric(name="y"), covariates=()) for p in
                                     arms_of(columns)])  # fmt: skip
    else:
        assert found == lin(columns, names[:kept])
    assert found.difference_variance > 0
    assert found.degrees_of_freedom >= 1


@pytest.mark.parametrize("adjust", ["lin", "pooled"])
@pytest.mark.parametrize(("n", "k"), [(8, 4), (20, 15)])
def test_many_covariates_on_few_units_raise_no_false_alarms(n, k, adjust):
    rng = np.random.default_rng(12)
    runs, found = 600, 0

    for _ in range(runs):
        arms = [row_moments(rng.normal(0, 1, (n, k + 1))) for _ in range(2)]
        total = row_moments(rng.normal(0, 1, (2 * n, k + 1)))
        found += welch(adjusted(*arms, total=total, adjust=adjust), alpha=0.05).pvalue < 0.05

    # Binomial error of 600 runs at .05 is .009.
    assert found / runs <= 0.08


def test_a_readout_says_which_covariates_it_used():
    columns = shop(8, n=300)
    plan = ExperimentPlan(
        name="e",
        control="control",
        weights={"control": 3, "treatment": 1},
        metrics=[Metric(name="y", covariates=("a", "d"))],
        method="fixed",
    )

    comparison = analyze(plan, aggregates(columns)).comparisons[0]

    expected = interacted(columns, "ad")
    assert comparison.effect.lift_abs.estimate == pytest.approx(expected[0], rel=1e-9)


def with_gaps(seed):
    rng = np.random.default_rng(seed)
    columns = shop(seed, n=900)
    for part in columns.values():
        gone = rng.random(len(part["y"])) < 0.3
        part["a"] = np.where(gone, np.nan, part["a"])
        part["y"] = part["y"] + 2 * gone
    return columns


def test_a_gap_is_filled_by_the_pooled_mean_and_marked():
    columns = with_gaps(9)
    known = np.concatenate([part["a"][~np.isnan(part["a"])] for part in columns.values()])

    found = filled("a", {arm: part["a"] for arm, part in columns.items()})

    assert found.covariates == ("a", "a missing")
    for arm, part in columns.items():
        gone = np.isnan(part["a"])
        whole = np.array(found.columns[arm]["a"])
        assert whole[gone] == pytest.approx(known.mean(), rel=1e-12)
        assert (whole[~gone] == part["a"][~gone]).all()
        assert (np.array(found.columns[arm]["a missing"]) == gone).all()
        assert found.n_missing[arm] == gone.sum()


@pytest.mark.parametrize("filling", [0.0, -40.0, 1e4])
def test_with_the_dummy_it_does_not_matter_what_fills_a_gap(filling):
    columns = with_gaps(10)
    whole = filled("a", {arm: part["a"] for arm, part in columns.items()})
    ours = {arm: {"y": columns[arm]["y"], **whole.columns[arm]} for arm in columns}
    other = {
        arm: {
            "y": part["y"],
            "a": np.where(np.isnan(part["a"]), filling, part["a"]),
            "a missing": np.isnan(part["a"]).astype(float),
        }
        for arm, part in columns.items()
    }

    found, same = lin(ours, whole.covariates), lin(other, whole.covariates)
    expected = interacted(ours, whole.covariates)

    assert found.treatment - found.control == pytest.approx(expected[0], rel=1e-9)
    assert same.treatment - same.control == pytest.approx(found.treatment - found.control, rel=1e-9)
    assert same.difference_variance == pytest.approx(found.difference_variance, rel=1e-7)


def test_a_covariate_without_gaps_needs_no_dummy():
    found = filled("x", {"c": [1.0, 2.0], "t": [3.0, 4.0]})

    assert found.covariates == ("x",)
    assert found.columns == {"c": {"x": [1.0, 2.0]}, "t": {"x": [3.0, 4.0]}}


@pytest.mark.parametrize(
    ("values", "word"), [([None, None], "missing for every unit"), ([1.0, np.inf], "not finite")]
)
def test_a_covariate_that_says_nothing_or_too_much_is_refused(values, word):
    with pytest.raises(DataError, match=word):
        filled("x", {"c": values, "t": [np.nan, np.nan]})
