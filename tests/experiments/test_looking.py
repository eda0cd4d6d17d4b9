"""Before a look is due nothing of an effect may be seen; afterwards it is the planned look's."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.collected import Collected
from experiments.analysis.decision import Choice
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.evidence.group_sequential import GroupSequentialPlan, group_sequential
from experiments.evidence.spending import Spending
from experiments.metrics import Metric
from experiments.reporting import report
from experiments.sums.aggregates import Aggregates, merged

END = datetime(2026, 4, 1, tzinfo=UTC)
METRIC = Metric(name="y", title="revenue")


def a_plan(**changes):
    values = {
        "name": "nudge",
        "control": "control",
        "weights": {"control": 1, "reminder": 1},
        "metrics": (METRIC,),
        "method": "fixed",
        **changes,
    }
    return ExperimentPlan(**values)


def days_of(n_days, *, per_day=100, lift=0.3, seed=5):
    rng = np.random.default_rng(seed)
    return {
        f"2026-03-{day:02d}": {
            name: Aggregates.from_columns({"y": rng.normal(10 + shift, 5, per_day).tolist()})
            for name, shift in (("control", 0.0), ("reminder", lift))
        }
        for day in range(1, n_days + 1)
    }


def whole(days):
    return {name: merged(arms[name] for arms in days.values()) for name in ("control", "reminder")}


@pytest.mark.parametrize("method", ["fixed", "bayesian"])
def test_before_its_end_no_face_shows_any_number_of_an_effect(method):
    days = days_of(9, lift=3.21)
    plan = a_plan(method=method, ends_at=END)
    collected = Collected(
        as_of=END - timedelta(days=3), window=timedelta(days=7), days=days,
        dimensions={"day": days}, ages=whole(days), received=whole(days),
    )  # fmt: skip

    readout = analyze(plan, whole(days), collected=collected)

    assert readout.comparisons == ()
    assert (readout.over_time, readout.segments, readout.compliers, readout.wear) == ((),) * 4
    assert readout.decision.choice is Choice.WAIT
    # Three days to the end and seven for the last unit's window.
    assert "numbers come on 2026-04-08" in readout.awaited
    assert "in 10 days" in readout.awaited
    assert report.as_json(readout)["metrics"] == {}
    shown = " ".join(
        [
            report.text(readout),
            report.markdown(readout),
            report.html([report.Section(readout=readout)], title="r").partition("</style>")[2],
            json.dumps(report.as_json(readout)),
        ]
    )
    assert "3.2" not in shown
    assert "32 %" not in shown
    assert "Sample ratio: 900 / 900" in shown


def test_at_its_end_the_fixed_method_shows_its_numbers():
    days = days_of(9)
    collected = Collected(as_of=END + timedelta(days=7), window=timedelta(days=7), days=days)

    readout = analyze(a_plan(ends_at=END), whole(days), collected=collected)

    assert readout.awaited == ""
    assert readout.comparisons[0].method == "Welch t-test"


def test_a_planned_sample_alone_is_an_end_too():
    few = analyze(a_plan(planned_sample=2_000), whole(days_of(9)))
    enough = analyze(a_plan(planned_sample=1_800), whole(days_of(9)))

    assert "numbers come at 2,000 units, there are 1,800" in few.awaited
    assert enough.awaited == ""


def test_the_sequential_method_may_be_seen_at_any_time():
    readout = analyze(
        a_plan(method="sequential", planned_sample=90_000, ends_at=END),
        whole(days_of(3)),
        collected=Collected(as_of=END - timedelta(days=20)),
    )

    assert readout.awaited == ""
    assert readout.comparisons


def test_a_group_sequential_reading_is_of_the_data_as_of_its_last_planned_look():
    days = days_of(14)
    plan = a_plan(method="group_sequential", looks=(0.25, 0.5, 1.0), planned_sample=4_000)

    readout = analyze(plan, whole(days), collected=Collected(days=days))

    # 200 units a day: looks at 1,000 (day 5) and 2,000 (day 10); days 11 to 14 are not read yet.
    until = [dict(list(days.items())[:last]) for last in (5, 10)]
    looks = [
        unadjusted(*(moments(whole(it)[name], METRIC, covariates=())
                     for name in ("control", "reminder")))
        for it in until
    ]  # fmt: skip
    expected = group_sequential(
        looks,
        plan=GroupSequentialPlan(alpha=0.05, spending=Spending()),
        fractions=[0.25, 0.5],
    ).test
    found = readout.comparisons[0]
    assert found.effect.pvalue == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.effect.lift_abs.estimate == pytest.approx(looks[1].treatment - looks[1].control)
    assert any("Look 2 of 3" in note for note in readout.notes)


def test_a_bare_file_read_as_the_last_look_pays_for_the_earlier_ones():
    plan = a_plan(method="group_sequential", looks=(0.5, 1.0), planned_sample=1_000)
    once = a_plan(method="group_sequential", looks=(1.0,), planned_sample=1_000)

    found = analyze(plan, whole(days_of(5))).comparisons[0].effect
    alone = analyze(once, whole(days_of(5))).comparisons[0].effect

    # O'Brien-Fleming-type boundaries at 1/2 and 1 are 2.9626 and 1.9686 (Jennison and Turnbull);
    # a t of so many units is as rare a little further out.
    def as_t(deviate):
        return stats.t.isf(stats.norm.sf(deviate), freedom)

    freedom = analyze(plan, whole(days_of(5))).comparisons[0].estimates.degrees_of_freedom
    assert freedom > 900
    radius = (found.lift_abs.ci_upper - found.lift_abs.ci_lower) / 2
    assert radius / found.std_error == pytest.approx(as_t(1.9686), abs=1e-4)
    radius = (alone.lift_abs.ci_upper - alone.lift_abs.ci_lower) / 2
    assert radius / alone.std_error == pytest.approx(as_t(1.95996), abs=1e-5)


def test_before_its_first_look_a_group_sequential_reading_is_awaited():
    plan = a_plan(method="group_sequential", looks=(0.5, 1.0), planned_sample=4_000)

    readout = analyze(plan, whole(days_of(5)), collected=Collected(days=days_of(5)))

    assert "first look is due at 2,000 units; there are 1,000" in readout.awaited
    assert readout.comparisons == ()


def test_a_day_that_passes_two_looks_is_one_look():
    days = days_of(2, per_day=700)  # 1,400 then 2,800 of 2,800: passes 25 % and 50 % on day 1.
    plan = a_plan(method="group_sequential", looks=(0.25, 0.5, 1.0), planned_sample=2_800)

    found = analyze(plan, whole(days), collected=Collected(days=days)).comparisons[0]

    looks = [
        unadjusted(*(moments(arms[name], METRIC, covariates=())
                     for name in ("control", "reminder")))
        for arms in (days["2026-03-01"], whole(days))
    ]  # fmt: skip
    expected = group_sequential(
        looks,
        plan=GroupSequentialPlan(alpha=0.05, spending=Spending()),
        fractions=[0.5, 1.0],
        is_final=True,
    ).test
    assert found.effect.pvalue == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_curve_over_days_is_what_each_day_alone_would_have_shown():
    days = days_of(6)
    plan = a_plan(method="sequential", planned_sample=1_200)

    readout = analyze(plan, whole(days), collected=Collected(days=days))

    (track,) = readout.over_time
    for place, moment in enumerate(track.moments, start=1):
        then = whole(dict(list(days.items())[:place]))
        alone = analyze(plan, then).comparisons[0].effect
        assert moment.lift_rel.ci_lower == pytest.approx(alone.lift_rel.ci_lower, rel=1e-9)
        assert moment.lift_rel.ci_upper == pytest.approx(alone.lift_rel.ci_upper, rel=1e-9)
        gained = alone.lift_abs.estimate * then["reminder"].n
        assert moment.gained.estimate == pytest.approx(gained, rel=1e-9)
    smallest = [moment.pvalue for moment in track.moments]
    assert smallest == sorted(smallest, reverse=True)
