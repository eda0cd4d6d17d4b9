"""A triggered readout says what its effect comes to among everybody, and proves its trigger."""

import json

import jsonschema
import numpy as np
import pytest

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.collected import Collected
from experiments.analysis.decision import Choice
from experiments.analysis.readout import Word
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.estimation.triggered import diluted
from experiments.evidence.compare import welch
from experiments.metrics import Metric
from experiments.reporting import report
from experiments.sums.aggregates import Aggregates
from tests.experiments.test_report_faces import strict

NAMES = ("control", "reminder")
SPEND = Metric(name="y", title="revenue")
RATIO = Metric(name="r", kind="ratio", numerator="y", denominator="d", role="secondary")


def a_plan(**changes):
    values = {
        "name": "nudge",
        "control": "control",
        "weights": {"control": 1, "reminder": 1},
        "metrics": (SPEND, RATIO),
        "method": "fixed",
        "correction": "none",
        **changes,
    }
    return ExperimentPlan(**values)


def arms_of(n, *, lift, seed):
    rng = np.random.default_rng(seed)
    return {
        name: Aggregates.from_columns(
            {
                "y": rng.normal(10 + shift, 3, n).tolist(),
                "d": rng.integers(1, 5, n).astype(float).tolist(),
            }
        )
        for name, shift in zip(NAMES, (0.0, lift), strict=True)
    }


def a_readout(*, rest_lift=0.0, n_rest=1500, plan=None):
    triggered = arms_of(500, lift=2.0, seed=1)
    rest = arms_of(n_rest, lift=rest_lift, seed=3)
    collected = Collected(untriggered=rest, is_at_end=True)
    return triggered, rest, analyze(plan or a_plan(), triggered, collected=collected)


def test_the_effect_on_everybody_is_the_share_triggered_of_the_triggered_one():
    triggered, rest, readout = a_readout()

    entry = readout.of("y", "reminder")

    found = entry.diluted
    assert found.share == pytest.approx(0.25)
    assert found.why_not == ""
    assert found.effect.lift_abs.estimate == pytest.approx(0.25 * entry.effect.lift_abs.estimate)
    # The variance by the formula: r**2 Var + Delta**2 r (1 - r) / N.
    r, n, gap = 0.25, 4000, entry.effect.lift_abs.estimate
    variance = r**2 * entry.effect.std_error**2 + gap**2 * r * (1 - r) / n
    assert found.effect.std_error == pytest.approx(variance**0.5, rel=1e-9)
    # The same by hand: all sums at hand, read by the plan's own test.
    pair = [moments(triggered[name], SPEND, covariates=()) for name in NAMES]
    others = moments(rest["control"].merge(rest["reminder"]), SPEND, covariates=())
    whole = diluted(unadjusted(*pair), metric=SPEND, untriggered=others)
    assert found.effect.pvalue == pytest.approx(welch(whole, alpha=0.05).pvalue, rel=1e-12)
    # And one that touches everybody's sums alone gives nearly the same, only noisier.
    everybody = [triggered[name].merge(rest[name]).mean("y") for name in NAMES]
    gap_of_all = everybody[1] - everybody[0]
    assert abs(found.effect.lift_abs.estimate - gap_of_all) < 0.3


def test_a_ratio_is_refused_with_the_reason():
    _, _, readout = a_readout()

    found = readout.of("r", "reminder").diluted

    assert found.effect is None
    assert "a ratio of everybody is not a mix" in found.why_not


def test_an_effect_among_the_others_refutes_the_trigger():
    _, _, readout = a_readout(rest_lift=1.0)

    found = readout.of("y", "reminder").diluted

    assert found.effect is None
    assert found.validity.complement_pvalue < 0.01
    assert "the trigger misses units that the change reaches" in found.why_not
    assert "the trigger misses units" in report.text(readout)


def test_a_refuted_trigger_withholds_the_verdict_on_those_triggered_too():
    _, _, readout = a_readout(rest_lift=1.0)

    assert readout.of("y", "reminder").verdict.word is Word.WITHHELD
    assert readout.decision.choice is Choice.WITHHELD
    assert "the trigger misses units" in readout.decision.reason
    assert "withheld; units that were not triggered differ" in report.text(readout)


@pytest.mark.parametrize("n_rest", [0, 1])
def test_with_hardly_any_others_no_check_is_claimed(n_rest):
    triggered = arms_of(500, lift=2.0, seed=1)
    some = Aggregates.from_columns({"y": [9.0] * n_rest, "d": [1.0] * n_rest})
    collected = Collected(untriggered=dict.fromkeys(NAMES, some), is_at_end=True)

    entry = analyze(a_plan(), triggered, collected=collected).of("y", "reminder")

    assert entry.diluted.validity.complement_pvalue is None
    gap = entry.effect.lift_abs.estimate * entry.diluted.share
    assert entry.diluted.effect.lift_abs.estimate == pytest.approx(gap)


@pytest.mark.parametrize("method", ["sequential", "bayesian"])
def test_every_kind_of_evidence_reads_it(method):
    _, _, readout = a_readout(plan=a_plan(method=method, planned_sample=4000))

    entry = readout.of("y", "reminder")

    lift = entry.diluted.effect.lift_abs
    assert lift.estimate == pytest.approx(0.25 * entry.effect.lift_abs.estimate)
    assert 0 < lift.ci_lower < lift.estimate < lift.ci_upper


def test_where_everybody_is_compared_nothing_is_diluted():
    readout = analyze(a_plan(), arms_of(500, lift=2.0, seed=1))

    assert readout.of("y", "reminder").diluted is None


def test_every_face_shows_it():
    _, _, readout = a_readout()
    page = report.html([report.Section(readout=readout)], title="r").partition("</style>")[2]

    said = json.loads(json.dumps(report.as_json(readout)))["metrics"]["y"]["reminder"]["diluted"]

    assert said["share"] == pytest.approx(0.25)
    assert said["effect"]["lift_abs"]["estimate"] > 0
    assert said["sample_ratio_pvalue"] == pytest.approx(1.0)
    for face in (report.text(readout), report.markdown(readout), page):
        assert "on everybody, of whom 25 % could be reached" in face.replace("\xa0", " ")


def test_what_is_shown_is_valid_by_the_published_schema():
    validator = jsonschema.Draft202012Validator(strict(report.json_schema()))

    for lift in (0.0, 1.0):  # Carried over, and refused.
        shown = report.as_json(a_readout(rest_lift=lift)[2])
        validator.validate(json.loads(json.dumps(shown, allow_nan=False)))
