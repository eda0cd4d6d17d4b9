"""Few units: methods that take a variance for known wait, and say so."""

import numpy as np
import pytest

from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected
from experiments.analysis.decision import Choice
from experiments.analysis.few_units import FEW_UNITS
from experiments.analysis.plan import ExperimentPlan
from experiments.analysis.readout import Word
from experiments.evidence.sequential import critical_value, mixture_variance
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS

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
