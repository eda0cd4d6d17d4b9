"""The plan says in words what would change, and whose variant would not stay."""

from collections.abc import Mapping

from campaigns.compile import phase_digests
from campaigns.plan import Change, difference, phase_reasons, render_plan
from campaigns.workspace import Workspace
from tests.campaigns.build import CAMPAIGN, SEGMENT, SETTINGS, a_workspace
from tests.campaigns.test_compile import INLINE

EXPERIMENT = {"campaigns/nudge.yaml": INLINE}


def edited(old: str, new: str) -> Workspace:
    assert old in INLINE
    return a_workspace({"campaigns/nudge.yaml": INLINE.replace(old, new)})


def changes(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> list[Change]:
    return difference(a_workspace(old), a_workspace(new))


def test_nothing_differs_from_itself() -> None:
    assert difference(a_workspace(), a_workspace()) == []
    assert render_plan([]) == "Plan: 0 to add, 0 to change, 0 to remove."


def test_the_first_plan_adds_everything() -> None:
    found = difference(None, a_workspace(EXPERIMENT))

    assert {change.kind for change in found} == {"+"}
    assert [(change.construct, change.name) for change in found] == [
        ("settings", "antiphon.yaml"),
        ("event", "Order Completed"),
        ("event", "Product Added"),
        ("segment", "vip"),
        ("metric", "ordered-7d"),
        ("template", "email/code"),
        ("template", "email/remind"),
        ("template", "sms/code"),
        ("campaign", "nudge"),
        ("experiment", "cart"),
    ]


def test_a_changed_step_is_shown_before_and_after_with_the_new_version() -> None:
    (change,) = changes({}, {"campaigns/nudge.yaml": CAMPAIGN.replace("30m", "1h")})

    assert (change.kind, change.construct, change.name) == ("~", "campaign", "nudge")
    assert change.details[0] == "journey.settle.delay: 30m -> 1h"
    assert change.details[1].startswith("whoever is inside finishes on version ")
    assert len(change.version) == 12


def test_steps_that_come_and_go_are_told_from_steps_that_change() -> None:
    longer = CAMPAIGN.replace("  - send:", "  - update: {traits: {plan: pro}}\n  - send:")

    (added,) = changes({}, {"campaigns/nudge.yaml": longer})
    (removed,) = changes({"campaigns/nudge.yaml": longer}, {})

    assert added.details[0] == "journey.update: {update: {traits: {plan: pro}}} is new"
    assert removed.details[0] == "journey.update: {update: {traits: {plan: pro}}} is gone"


def test_words_alone_make_no_new_version() -> None:
    (change,) = changes({}, {"campaigns/nudge.yaml": CAMPAIGN + "title: Remember\n"})

    assert change.details == ("title: Remember is new",)
    assert change.version == ""


def test_what_goes_is_removed_and_what_comes_is_added() -> None:
    found = changes(
        {"segments/b.yaml": SEGMENT.replace("vip", "b")},
        {"segments/c.yaml": SEGMENT.replace("vip", "c")},
    )

    assert [(change.kind, change.name) for change in found] == [("-", "b"), ("+", "c")]
    assert render_plan(found) == (
        '- segment "b"\n+ segment "c"\nPlan: 1 to add, 0 to change, 1 to remove.'
    )


def test_settings_are_compared_key_by_key() -> None:
    (change,) = changes({}, {"antiphon.yaml": SETTINGS.replace("holdout: 5%", "holdout: 10%")})

    assert change.details == ("programmes.retention.holdout: 5% -> 10%",)


def test_a_template_changes_without_its_campaign() -> None:
    (change,) = changes(
        {}, {"templates/email/remind.html": "---\nsubject: Other\n---\n<p>Other</p>"}
    )

    assert (change.construct, change.name) == ("template", "email/remind")
    assert change.details == ("templates/email/remind.html changed",)


def test_another_design_opens_a_phase_and_says_why() -> None:
    old = a_workspace(EXPERIMENT)
    template = {"templates/email/remind.html": "---\nsubject: X\n---\n<p>X</p>"}

    def reasons(new: Workspace) -> str:
        return phase_reasons(old, new, "cart")[0]

    assert reasons(edited("weight: 2", "weight: 3")) == (
        'the weight of "remind" changes from 2 to 3'
    )
    assert reasons(edited("template: remind", "template: code")) == 'the steps of "remind" changed'
    assert reasons(a_workspace({**EXPERIMENT, **template})) == "the template email/remind changed"
    assert reasons(edited("coverage: 50%", "coverage: 40%")) == "coverage shrinks from 50% to 40%"
    assert reasons(edited("to: 50%", "to: 40%")) == "its place in a layer changed"
    assert reasons(edited("    layer", "    control: remind\n    layer")) == (
        'the control is "remind", no longer "control"'
    )


def test_more_coverage_or_other_metrics_keep_everyones_variant() -> None:
    old = a_workspace(EXPERIMENT)

    grown = difference(old, edited("coverage: 50%", "coverage: 100%"))
    judged = difference(old, edited("    layer", "    analysis: {alpha: 0.01}\n    layer"))

    for found, says in ((grown, "coverage grows from 50% to 100%"), (judged, "analysis changed")):
        change = next(change for change in found if change.construct == "experiment")
        assert not change.opens_phase
        assert change.details[0].startswith(says)
        assert change.details[-1] == "the phase and everyone's variant stay"


def test_another_order_of_variants_is_another_assignment() -> None:
    lines = INLINE.splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if "control:" in line)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    old, new = a_workspace(EXPERIMENT), a_workspace({"campaigns/nudge.yaml": "".join(lines)})

    assert phase_reasons(old, new, "cart")[0].startswith("the order of the variants changed")
    assert phase_digests(old) != phase_digests(new)


def test_what_becomes_of_the_people_inside_follows_the_migrate_of_the_file() -> None:
    def fate(migrate: str) -> str:
        text = CAMPAIGN.replace("30m", "1h") + migrate
        (change,) = changes({}, {"campaigns/nudge.yaml": text})
        return change.details[-1]

    assert fate("").startswith("whoever is inside finishes on version ")
    assert fate("migrate: {from: none}\n").startswith("whoever is inside finishes on version ")
    assert fate("migrate: {from: any}\n") == (
        "whoever is inside moves to this version (migrate: from any)"
    )


def test_a_migrate_alone_makes_no_new_version_and_is_still_a_change() -> None:
    (change,) = changes({}, {"campaigns/nudge.yaml": CAMPAIGN + "migrate: {from: any}\n"})

    assert change.details == ("migrate: {from: any} is new",)
    assert change.version == ""


def test_a_rollback_says_that_it_moves_nobody() -> None:
    old = a_workspace()
    new = a_workspace(
        {"campaigns/nudge.yaml": CAMPAIGN.replace("30m", "1h") + "migrate: {from: any}\n"}
    )

    (change,) = difference(old, new, may_move=False)

    assert change.details[-1].startswith("whoever is inside finishes on version ")


def test_notes_stand_under_the_change_they_are_about() -> None:
    found = changes(
        {"segments/b.yaml": SEGMENT.replace("vip", "b")},
        {"segments/c.yaml": SEGMENT.replace("vip", "c")},
    )

    assert render_plan(found, {("segment", "c"): ["3 people would enter"]}) == (
        '- segment "b"\n+ segment "c"\n    3 people would enter\n'
        "Plan: 1 to add, 0 to change, 1 to remove."
    )
