"""A frozen plan rules: what the files say later is shown and changes nothing of the reading."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected
from experiments.analysis.plan import (
    ExperimentPlan,
    PriorBelief,
    canonical,
    digest,
    frozen,
    held_to,
)
from experiments.errors import PlanError
from experiments.evidence.equivalence import Margin
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates

END = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


def a_plan(**changes):
    values = {
        "name": "nudge",
        "control": "control",
        "weights": {"control": 1, "reminder": 1},
        "metrics": (Metric(name="revenue"), Metric(name="spam", role="guardrail", better="lower")),
        "planned_sample": 4_000,
        "smallest_lift": 0.02,
        "ends_at": END,
        "margins": {"spam": Margin(0.1, relative=True)},
        "dimensions": ("country",),
        **changes,
    }
    return ExperimentPlan(**values)


def an_arm(mean, *, n=2_000, deviation=10.0):
    columns = ("revenue", "spam", "late")
    moment = deviation**2 * (n - 1)
    cross = tuple(
        tuple(moment if i == j else 0.0 for j in range(len(columns))) for i in range(len(columns))
    )
    return Aggregates(n, columns, (mean, 1.0, mean), cross)


def test_a_plan_survives_being_frozen_and_read_again_with_the_same_hash():
    plan = a_plan(
        method="group_sequential", looks=(0.5, 1.0), spending="power", spending_parameter=2.0
    )

    again, record = held_to(frozen(plan), plan)

    assert again == plan
    assert record.is_frozen
    assert record.changes == ()
    assert record.digest == digest(frozen(plan))
    assert frozen(again) == frozen(plan)


def test_the_hash_does_not_depend_on_the_order_of_keys_but_on_every_setting():
    plan = a_plan()
    turned = a_plan(weights={"reminder": 1, "control": 1})
    changed = [
        a_plan(alpha=0.1), a_plan(planned_sample=5_000), a_plan(smallest_lift=0.03),
        a_plan(ends_at=END + timedelta(days=1)), a_plan(margins={}), a_plan(dimensions=()),
        a_plan(adjust="pooled"), a_plan(weights={"control": 1, "reminder": 2}),
        a_plan(metrics=(Metric(name="revenue", cap_share=0.99), a_plan().metrics[1])),
    ]  # fmt: skip

    assert digest(frozen(plan)) == digest(frozen(turned))
    assert len({digest(frozen(it)) for it in (plan, *changed)}) == len(changed) + 1


def test_a_field_at_its_default_is_left_out_so_that_new_fields_keep_old_hashes_true():
    content = canonical(a_plan())

    assert "spending" not in content
    assert "prior" not in content
    assert "q" not in content["metrics"]["revenue"]


def test_what_was_edited_after_the_start_is_shown_and_not_followed():
    kept = frozen(a_plan())

    held, record = held_to(
        kept, a_plan(alpha=0.2, correction="none", smallest_lift=0.3, ends_at=END - timedelta(9))
    )

    assert (held.alpha, held.correction, held.smallest_lift, held.ends_at) == (
        0.05, "holm", 0.02, END,
    )  # fmt: skip
    shown = {it.what: (it.frozen, it.now) for it in record.changes}
    assert shown["alpha"] == ("0.05", "0.2")
    assert shown["correction"] == ("holm", "none")
    assert set(shown) == {"alpha", "correction", "smallest_lift", "ends_at"}
    assert not any(it.is_used for it in record.changes)


def test_a_metric_that_came_late_is_read_as_exploratory_whatever_role_it_claims():
    kept = frozen(a_plan())
    late = Metric(name="late", role="primary")

    held, record = held_to(kept, a_plan(metrics=(late, *a_plan().metrics)))

    assert {it.name: it.role for it in held.metrics} == {
        "late": "exploratory", "revenue": "primary", "spam": "guardrail",
    }  # fmt: skip
    assert held.deciding.name == "revenue"
    assert [(it.what, it.is_used) for it in record.changes if "late" in it.what] == [
        ("metrics late", True)
    ]


def test_a_guardrail_promoted_after_the_start_keeps_its_planned_role():
    promoted = replace(a_plan().metrics[1], role="primary")

    held, record = held_to(frozen(a_plan()), a_plan(metrics=(a_plan().metrics[0], promoted)))

    assert [it.role for it in held.metrics] == ["primary", "guardrail"]
    assert [it.what for it in record.changes] == ["metrics spam role"]


def test_a_metric_measured_otherwise_than_planned_is_exploratory():
    capped = replace(a_plan().metrics[0], cap_share=0.95)

    held, _ = held_to(frozen(a_plan()), a_plan(metrics=(capped, a_plan().metrics[1])))

    assert held.metrics[0].role == "exploratory"
    assert not any(it.role == "primary" for it in held.metrics)


def test_an_exploratory_metric_carries_its_watermark_and_never_decides():
    kept = frozen(a_plan(ends_at=None))
    late = Metric(name="late", role="primary")
    plan = a_plan(ends_at=None, metrics=(*a_plan().metrics, late))

    readout = analyze(
        plan,
        {"control": an_arm(50.0), "reminder": an_arm(56.0)},
        collected=Collected(kept_plan=kept),
    )

    found = readout.of("late", "reminder")
    assert any("Exploratory" in note for note in found.notes)
    assert readout.decision.metric == "revenue"


def test_without_a_frozen_plan_the_readout_says_that_todays_was_taken():
    _, record = held_to(None, a_plan())

    assert not record.is_frozen
    assert record.digest == digest(frozen(a_plan()))


def test_what_is_frozen_is_canonical_json():
    text = frozen(a_plan())

    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"looks": (0.5, 0.4, 1.0)}, "must rise"),
        ({"looks": (0.5,)}, "must rise"),
        ({"method": "group_sequential"}, "needs its looks"),
        ({"method": "group_sequential", "looks": (1.0,), "planned_sample": None}, "planned_sample"),
        ({"ends_at": datetime(2026, 4, 1)}, "no zone"),
        ({"smallest_lift": 2.0}, "between 0"),
        ({"planned_sample": 1}, "compares nothing"),
        ({"margins": {"typo": Margin(0.1)}}, "'typo', which is not among the metrics"),
        ({"spending": "linear"}, "allowed are obrien_fleming"),
        ({"horizon_weeks": 0}, "over before it begins"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(PlanError, match=message):
        a_plan(**changes)


def test_a_prior_needs_a_width():
    with pytest.raises(PlanError, match="deviation above 0"):
        PriorBelief(0.0, 0.0)
