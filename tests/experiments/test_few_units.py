"""Few units: methods that take a variance for known wait, and say so."""

import numpy as np
import pytest
from scipy import stats

from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected
from experiments.analysis.decision import Choice
from experiments.analysis.few_clusters import randomized
from experiments.analysis.few_units import FEW_UNITS
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Word
from experiments.evidence.sequential import critical_value, mixture_variance
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS
from tests.rig.sizes import scaled

METHODS = {
    "fixed": {},
    "bayesian": {},
    "sequential": {"planned_sample": 200},
    "group_sequential": {"planned_sample": 4, "looks": (0.5, 1.0)},
}


def read(control, treatment, *, method, collected=None, **changes):
    plan = ExperimentPlan(
        name="x", control="a", metrics=(Metric(name="y"),), method=method,
        **{"weights": {"a": 1, "b": 1}, **METHODS[method], **changes},
    )  # fmt: skip
    arms = {"a": control, "b": treatment}
    return analyze(plan, arms, collected=collected or Collected())


def arm(values):
    return Aggregates.from_columns({"y": [float(value) for value in values]})


@pytest.mark.parametrize("method", ["bayesian", "sequential", "group_sequential"])
def test_two_units_a_variant_are_no_effect_however_close_they_lie(method):
    found = read(arm([1.0, 1.1]), arm([2.0, 2.1]), method=method)

    compared = found.of("y", "b")
    assert compared.effect.pvalue == compared.pvalue_adjusted == 1.0
    assert not compared.effect.lift_abs.is_bounded
    assert not compared.effect.lift_rel.is_bounded
    assert compared.posterior is None
    assert compared.verdict.word is Word.INCONCLUSIVE
    assert any("only 2 units" in note for note in compared.notes)
    assert found.decision.choice is not Choice.SHIP


def test_students_t_bears_two_units_but_not_two_that_are_alike():
    fair = read(arm([1.0, 1.1]), arm([2.0, 2.1]), method="fixed").of("y", "b")
    alike = read(
        arm([0.0, 0.0, 0.0]), arm([0, 1] * 500), method="fixed", weights={"a": 3, "b": 997}
    )
    alike = alike.of("y", "b")

    assert fair.effect.pvalue == pytest.approx(0.00496, abs=1e-5)  # scipy.stats.ttest_ind
    assert alike.effect.pvalue == 1.0
    assert alike.verdict.word is Word.INCONCLUSIVE


def test_few_clusters_are_few_units_to_a_method_that_knows_no_t():
    rng = np.random.default_rng(3)
    many = [arm(rng.normal(10 + up, 1, 60)) for up in (0, 3)]
    clusters = {
        name: Aggregates.from_columns({"y": (20 * rng.normal(10 + up, 0.1, 3)).tolist(),
                                       CLUSTER_UNITS: [20.0] * 3})
        for name, up in (("a", 0), ("b", 3))
    }  # fmt: skip

    found = read(*many, method="sequential", collected=Collected(clusters=clusters)).of("y", "b")

    assert found.effect.pvalue == 1.0
    assert any("too few independent units or clusters" in note for note in found.notes)


def false_alarms(*, planned, first, runs=600, last=300, seed=7):
    """Share of experiments without effect that a look after every pair of units would believe."""
    rng = np.random.default_rng(seed)
    n = np.arange(first, last + 1)
    rho2 = mixture_variance(alpha=0.05, planned_sample=planned)
    criticals = np.array([critical_value(alpha=0.05, n=2 * k, rho2=rho2) for k in n])
    alarms = 0
    for _ in range(runs):
        means, variances = [], []
        for _ in range(2):
            values = rng.normal(0, 1, last)
            k = np.arange(1, last + 1)
            mean = np.cumsum(values) / k
            spread = (np.cumsum(values**2) - k * mean**2) / np.maximum(k - 1, 1)
            means.append(mean[n - 1])
            variances.append(spread[n - 1] / n)
        z = np.abs(means[1] - means[0]) / np.sqrt(variances[0] + variances[1])
        alarms += bool((z > criticals).any())
    return alarms / runs


def test_from_ten_units_on_a_sequence_keeps_its_promise_and_from_two_it_does_not():
    assert false_alarms(planned=10, first=2) > 0.10
    for planned in (10, 40, 200):
        # Binomial error of 600 runs at .05 is .009.
        assert false_alarms(planned=planned, first=FEW_UNITS) <= 0.05 + 2 * 0.009


# --- few clusters, by every kind of evidence ------------------------------------------------------


def shops(rng, n_clusters, *, per_cluster, effect=0.0):
    """Sums over so many units of each shop; shops differ as much as their units do."""
    level = rng.normal(10 + effect, 1, n_clusters)
    walks = level[:, None] * np.array(per_cluster) + rng.normal(
        0, np.sqrt(np.diff([0, *per_cluster])), (n_clusters, len(per_cluster))
    ).cumsum(axis=1)
    return [
        Aggregates.from_columns({"y": walks[:, i].tolist(),
                                 CLUSTER_UNITS: [float(n)] * n_clusters})
        for i, n in enumerate(per_cluster)
    ]  # fmt: skip


def claims(method, n_each, *, runs, seed, effect=0.0):
    """Share of experiments that claim an effect at any look; units come in, shops do not."""
    rng = np.random.default_rng(seed)
    sizes = [200] if method in ("bayesian", "fixed") else [10, 25, 50, 100, 200]
    units = arm(rng.normal(10, 1, 20))  # What is compared are the clusters.
    changes = {"planned_sample": 400 * n_each} if METHODS[method] else {}
    found = 0
    for _ in range(runs):
        arms = [shops(rng, n_each, per_cluster=sizes, effect=up) for up in (0.0, effect)]
        for pair in zip(*arms, strict=True):
            clusters = dict(zip("ab", pair, strict=True))
            read_so_far = read(
                units, units, method=method, collected=Collected(clusters=clusters), **changes
            ).of("y", "b")
            interval = read_so_far.effect.lift_abs
            if interval.is_bounded and not interval.ci_lower <= 0 <= interval.ci_upper:
                found += 1
                break
    return found / runs


@pytest.mark.parametrize("method", ["fixed", "sequential", "bayesian"])
@pytest.mark.parametrize("n_each", [4, 8])
def test_few_clusters_are_claimed_no_more_often_than_promised(method, n_each):
    """Of eight clusters in all normal theory would be wrong in a tenth of experiments."""
    runs = scaled(400)

    found = claims(method, n_each, runs=runs, seed=10 + n_each)

    assert found <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_normal_theory_would_claim_twice_as_often_with_eight_clusters():
    rng = np.random.default_rng(4)
    runs, wrong = 4_000, 0
    for _ in range(runs):
        one, two = rng.normal(0, 1, (2, 4))
        wrong += abs(two.mean() - one.mean()) > 1.96 * np.sqrt(
            (one.var(ddof=1) + two.var(ddof=1)) / 4
        )
    assert wrong / runs > 0.085


def test_sixteen_clusters_are_believed_by_students_t():
    rng = np.random.default_rng(5)
    units = arm(rng.normal(10, 1, 20))
    clusters = {"a": shops(rng, 8, per_cluster=[200])[0],
                "b": shops(rng, 8, per_cluster=[200], effect=1.0)[0]}  # fmt: skip

    found = read(units, units, method="bayesian", collected=Collected(clusters=clusters))

    it = found.of("y", "b")
    law = stats.t(it.estimates.degrees_of_freedom, it.effect.lift_abs.estimate, it.effect.std_error)
    assert it.estimates.degrees_of_freedom <= 14
    assert it.effect.lift_abs.ci_lower == pytest.approx(law.ppf(0.025), rel=1e-9)
    assert it.posterior.p_better == pytest.approx(law.sf(0), rel=1e-9)
    assert it.posterior.credible.ci_upper == pytest.approx(law.ppf(0.975), rel=1e-9)


def test_a_belief_about_few_clusters_is_no_surer_than_assigning_them_anew():
    rng = np.random.default_rng(6)
    units = arm(rng.normal(10, 1, 20))
    clusters = {"a": shops(rng, 3, per_cluster=[200])[0],
                "b": shops(rng, 3, per_cluster=[200], effect=9.0)[0]}  # fmt: skip
    rows = {
        name: {"y": tuple(level * 200 for level in levels), CLUSTER_UNITS: (200.0,) * 3}
        for name, levels in (("a", (9.0, 10.0, 11.0)), ("b", (18.0, 19.0, 20.0)))
    }
    plan = ExperimentPlan(
        name="x", control="a", weights={"a": 1, "b": 1}, metrics=(Metric(name="y"),),
        method="bayesian",
    )  # fmt: skip

    told = randomized(plan, rows, rng=rng)
    found = read(units, units, method="bayesian",
                 collected=Collected(clusters=clusters, randomized=told)).of("y", "b")  # fmt: skip

    assert told == {("y", "b"): pytest.approx(0.1)}  # Two of the twenty ways.
    assert found.effect.pvalue == 1.0
    assert found.randomization_pvalue == pytest.approx(0.1)
    assert found.posterior is None
    assert any("this method waits for more" in note for note in found.notes)


@pytest.mark.parametrize("method", ["sequential", "group_sequential"])
def test_watched_methods_say_where_few_clusters_can_be_read(method):
    rng = np.random.default_rng(7)
    units = arm(rng.normal(10, 1, 20))
    clusters = {name: shops(rng, 4, per_cluster=[200], effect=9.0 * (name == "b"))[0]
                for name in "ab"}  # fmt: skip

    found = read(units, units, method=method, collected=Collected(clusters=clusters)).of("y", "b")

    assert found.effect.pvalue == 1.0
    assert found.randomization_pvalue is None
    assert any("the randomization test of the fixed method" in note for note in found.notes)
