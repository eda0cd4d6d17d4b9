"""Once a group sequential test has stopped, the readout adds an estimate that luck did not pick."""

import json

import jsonschema
import numpy as np
import pytest

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.collected import Collected
from experiments.evidence.group_sequential import GroupSequentialPlan
from experiments.evidence.spending import Spending
from experiments.evidence.stopped import final_estimate
from experiments.metrics import Metric
from experiments.reporting import report
from experiments.sums.aggregates import Aggregates, merged
from tests.experiments.test_report_faces import strict

NAMES = ("control", "reminder")


def a_plan(**changes):
    values = {
        "name": "nudge",
        "control": "control",
        "weights": {"control": 1, "reminder": 1},
        "metrics": (Metric(name="y", title="revenue"),),
        "method": "group_sequential",
        "planned_sample": 2000,
        "looks": (0.25, 0.5, 1.0),
        "spending": "pocock",
        **changes,
    }
    return ExperimentPlan(**values)


def days_of(n_days, *, lift, seed=5):
    rng = np.random.default_rng(seed)
    return {
        f"2026-03-{day:02d}": {
            name: Aggregates.from_columns({"y": rng.normal(10 + shift, 5, 100).tolist()})
            for name, shift in zip(NAMES, (0.0, lift), strict=True)
        }
        for day in range(1, n_days + 1)
    }


def whole(days):
    return {name: merged(arms[name] for arms in days.values()) for name in NAMES}


def a_readout(days, *, plan=None, **beside):
    collected = Collected(days=days, **beside)
    return analyze(plan or a_plan(), whole(days), collected=collected)


def faces(readout):
    page = report.html([report.Section(readout=readout)], title="r").partition("</style>")[2]
    return report.text(readout), report.markdown(readout), page


def test_a_test_that_stops_early_is_given_a_smaller_estimate_than_the_lucky_one():
    # Given a strong start: the boundary of the first look is crossed.
    readout = a_readout(days_of(3, lift=2.0))

    entry = readout.of("y", "reminder")

    lucky = entry.effect.lift_abs
    assert entry.final.stopped_at == 1
    # At the first look nothing was passed over: there is nothing to correct yet.
    assert entry.final.effect.estimate == pytest.approx(lucky.estimate)
    # Given one that crosses at the second look only, the luck of stopping is taken off again.
    later = a_readout(days_of(6, lift=0.7, seed=4)).of("y", "reminder")
    assert later.final.stopped_at == 2
    assert 0 < later.final.effect.estimate < later.effect.lift_abs.estimate


def test_the_estimate_is_that_of_the_looks_as_they_stood():
    days = days_of(10, lift=0.6)

    entry = a_readout(days, plan=a_plan(spending="obrien_fleming")).of("y", "reminder")

    looks = []
    for n_days in (3, 5, 10):  # 500 units are there at the end of day 3.
        arms = whole(dict(list(days.items())[:n_days]))
        looks.append(_means(arms))
    oracle = final_estimate(
        looks,
        plan=GroupSequentialPlan(alpha=0.05, spending=Spending("obrien_fleming")),
        fractions=[0.3, 0.5, 1.0],
    )
    assert entry.final == oracle


def _means(arms):
    from experiments.estimation.cuped import unadjusted
    from experiments.estimation.ratio import moments

    metric = Metric(name="y")
    return unadjusted(*(moments(arms[name], metric, covariates=()) for name in NAMES))


def test_no_final_estimate_is_given_while_the_test_goes_on():
    days = days_of(6, lift=0.0)

    running = a_readout(days).of("y", "reminder")
    ended = a_readout(days, is_at_end=True).of("y", "reminder")

    assert running.final is None
    assert ended.final.stopped_at == 2


@pytest.mark.parametrize("method", ["fixed", "sequential", "bayesian"])
def test_other_methods_have_no_looks_to_correct_for(method):
    plan = a_plan(method=method)

    assert a_readout(days_of(10, lift=2.0), plan=plan).of("y", "reminder").final is None


def test_looks_whose_sums_are_not_known_give_no_final_estimate():
    days = days_of(6, lift=2.0)

    without_days = analyze(a_plan(), whole(days)).of("y", "reminder")

    assert without_days.final is None


def test_a_guardrail_and_a_metric_that_does_not_vary_have_none():
    flat = Aggregates.from_columns({"y": [1.0] * 500})
    metrics = (Metric(name="y"), Metric(name="g", column="y", role="guardrail"))
    plan = a_plan(metrics=metrics)
    days = {"2026-03-01": {"control": flat, "reminder": flat}}

    readout = a_readout(days, plan=plan)
    moving = a_readout(days_of(3, lift=2.0), plan=plan)

    assert readout.of("y", "reminder").final is None
    assert moving.of("y", "reminder").final is not None
    assert moving.of("g", "reminder").final is None


def test_every_face_shows_it_beside_the_plain_one_and_says_why():
    readout = a_readout(days_of(6, lift=0.7, seed=4))
    final = readout.of("y", "reminder").final

    said = json.loads(json.dumps(report.as_json(readout)))["metrics"]["y"]["reminder"]

    assert said["final"] == {
        "lift_abs": {
            "estimate": final.effect.estimate,
            "ci_lower": final.effect.ci_lower,
            "ci_upper": final.effect.ci_upper,
        },
        "pvalue": final.pvalue,
        "stopped_at": 2,
    }
    for face in faces(readout):
        assert "median-unbiased" in face
        assert "stopping early favours lucky estimates" in face


def test_what_is_shown_is_valid_by_the_published_schema():
    validator = jsonschema.Draft202012Validator(strict(report.json_schema()))

    shown = report.as_json(a_readout(days_of(6, lift=0.7, seed=4)))

    validator.validate(json.loads(json.dumps(shown, allow_nan=False)))
