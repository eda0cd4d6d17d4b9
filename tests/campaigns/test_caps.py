"""Caps as written: one limit, or several that are tried; what each is refused for, and where."""

import pytest

from campaigns.compile import compile_workspace, phase_digests
from campaigns.experiment_changes import experiments_changed
from campaigns.load import load_bundle
from campaigns.problems import InvalidWorkspace
from campaigns.workspace import Workspace
from engine.core.model.campaigns import Cap
from engine.core.model.instants import DAY
from tests.campaigns.build import CAMPAIGN, SETTINGS, files

PLAN = "experiment: how-often\nmetrics: {primary: ordered-7d}\n"
TRIAL = "caps: [{name: how-often, channel: email, max: {try: [1, 2, 4]}, per: 7d}]\n"


def loaded(caps: str, plan: str | None = PLAN, **more: str) -> Workspace:
    others = {name.replace("__", "/") + ".yaml": text for name, text in more.items()}
    changed = {"antiphon.yaml": SETTINGS + caps, "experiments/how-often.yaml": plan, **others}
    return load_bundle(files(changed), environ={})


def refused(caps: str, plan: str | None = PLAN, **more: str) -> str:
    with pytest.raises(InvalidWorkspace) as caught:
        loaded(caps, plan, **more)
    return str(caught.value)


def compiled(workspace: Workspace):
    return compile_workspace(
        workspace, release=1, phases={}, templates={}, blind=lambda *given: "blind:"
    )


def test_a_cap_that_tries_compiles_to_limits_and_to_an_experiment_that_no_client_is_served():
    program = compiled(loaded(TRIAL))

    assert program.caps == (Cap(2, 7 * DAY, "email", None, "how-often", (1, 2, 4)),)
    it = program.experiments["how-often", 1]
    assert [(each.name, each.weight, each.value) for each in it.variants] == [
        ("max-1", 1, 1), ("max-2", 1, 2), ("max-4", 1, 4),
    ]  # fmt: skip
    assert (it.control, it.seed, it.campaign, it.is_cap) == ("max-2", "how-often", "", True)
    assert it.metrics["primary"] == ("ordered-7d",)


def test_a_cap_of_one_limit_is_no_experiment_and_may_keep_its_name():
    program = compiled(loaded("caps: [{name: how-often, max: 3, per: 7d}]\n", None))

    assert program.caps == (Cap(3, 7 * DAY, name="how-often"),)
    assert program.experiments == {}


@pytest.mark.parametrize(
    ("tried", "control"),
    [
        ("{try: [1, 2, 4]}", 2),
        ("{try: [4, 1, 2]}", 2),
        ("{try: [1, 2, 3, 8]}", 2),
        ("{try: [1, 6]}", 1),
        ("{try: [1, 2, 4], control: 4}", 4),
    ],
)
def test_the_control_is_the_middle_limit_of_two_the_lower_unless_one_is_named(tried, control):
    program = compiled(loaded(TRIAL.replace("{try: [1, 2, 4]}", tried)))

    assert program.experiments["how-often", 1].control == f"max-{control}"
    assert program.caps[0].max == control


def test_without_a_file_it_is_judged_by_the_goals_of_campaigns():
    goal = CAMPAIGN + "goal: {metric: ordered-7d}\n"

    program = compiled(loaded(TRIAL, None, campaigns__nudge=goal))

    assert program.experiments["how-often", 1].metrics["primary"] == ("ordered-7d",)


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        ("{try: [0, 2]}", "0 is too few; the least is 1"),
        ("{try: [-1, 2]}", "-1"),
        ("{try: [1.5, 2]}", "1.5 is not a whole number"),
        ("{try: [2]}", "from 2 to 6 limits can be compared, and here stand 1"),
        ("{try: []}", "here stand 0"),
        ("{try: [1, 2, 3, 4, 5, 6, 7]}", "here stand 7"),
        ("{try: [2, 4, 2]}", "the limit 2 stands there twice"),
        ("{try: 3}", 'a list is needed here, not "3"'),
        ("{try: [1, 2], control: 3}", "the control 3 is none of the limits: 1, 2"),
        ("{tries: [1, 2]}", 'unknown key "tries". Allowed: control, try'),
        ("[1, 2]", "a list stands here"),
        ("often", '"often"'),
    ],
)
def test_what_cannot_be_tried_is_refused_with_its_line(tried, words):
    said = refused(TRIAL.replace("{try: [1, 2, 4]}", tried))

    assert "antiphon.yaml:14:" in said
    assert words in said


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        (TRIAL.replace("name: how-often, ", ""), "a cap that tries limits needs a name"),
        (TRIAL.replace("email", "fax"), 'no kind of channel "fax"'),
        (TRIAL.replace("channel: email", "topic: orders"), "is transactional"),
        (
            "caps: [{name: how-often, max: {try: [1, 2]}, per: 7d}, "
            "{name: how-often, max: {try: [1, 2]}, per: 1d}]\n",
            'another cap that tries limits is called "how-often" already',
        ),
        (TRIAL.replace("how-often", "unjudged"), "is judged by nothing. Write experiments/unjud"),
    ],
)
def test_a_trial_that_nobody_could_read_is_refused(caps, words):
    assert words in refused(caps)


def test_a_name_that_a_journey_has_already_is_refused_with_its_place():
    step = CAMPAIGN.replace(
        "  - delay: 30m\n    id: settle\n",
        "  - experiment: how-often\n    id: fork\n    variants:\n"
        "      control: {weight: 1, do: []}\n      more: {weight: 1, do: []}\n",
    )

    said = refused(TRIAL, campaigns__nudge=step)

    assert 'the experiment "how-often" already runs at campaigns/nudge.yaml:5' in said


@pytest.mark.parametrize(
    "line",
    [
        "control: max-1",
        "unit: user",
        "layer: {name: cart}",
        "variants: {a: {weight: 1}}",
        "audience: {segment: vip}",
        "seed: x",
        "forced: {u1: max-1}",
    ],
)
def test_its_file_says_how_it_is_judged_and_nothing_of_who_gets_what(line):
    said = refused(TRIAL, f"{PLAN}{line}\n")

    assert f'"{line.partition(":")[0]}" does not fit: "how-often" is a cap' in said


def test_a_winner_is_one_of_the_limits():
    won = compiled(loaded(TRIAL, f"{PLAN}state: stopped\nwinner: max-4\n"))

    assert won.experiments["how-often", 1].winner == "max-4"
    assert 'Did you mean "max-4"?' in refused(TRIAL, f"{PLAN}state: stopped\nwinner: max-5\n")


# --- phases -------------------------------------------------------------------------------------


def test_other_caps_the_order_of_limits_and_the_metrics_open_no_phase():
    before = phase_digests(loaded(TRIAL))
    other = TRIAL.replace("[{", "[{max: 9, per: 1d}, {", 1)

    assert phase_digests(loaded(other)) == before
    assert phase_digests(loaded(TRIAL.replace("1, 2, 4", "4, 2, 1"))) == before
    plan = f"{PLAN}analysis: {{alpha: 0.1}}\n"
    assert phase_digests(loaded(TRIAL, plan)) == before


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("4]", "5]"), 'variant "max-5" is new'),
        (("7d", "14d"), "what the cap counts changed"),
        (("channel: email, ", ""), "what the cap counts changed"),
        (("4]}", "4], control: 1}"), 'the control is "max-1", no longer "max-2"'),
    ],
)
def test_another_trial_opens_a_phase_and_the_plan_says_why(edit, words):
    old, new = loaded(TRIAL), loaded(TRIAL.replace(*edit))

    (change,) = experiments_changed(old, new)

    assert (change.construct, change.name, change.opens_phase) == ("cap", "how-often", True)
    assert any(words in detail for detail in change.details)


def test_a_workspace_without_trials_keeps_the_digests_that_it_had():
    plain = loaded("caps: [{channel: email, max: 3, per: 7d}]\n", None)

    assert phase_digests(plain) == {}
    assert compiled(plain).caps[0].tries == ()


# --- notices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "is_noted"),
    [
        ("{channel: email, max: 3, per: 7d}", True),
        ("{max: 3, per: 30d}", True),
        ("{channel: email, max: 4, per: 7d}", False),
        ("{channel: sms, max: 1, per: 7d}", False),
        ("{channel: email, max: 1, per: 1d}", False),
        ("{topic: offers, max: 1, per: 7d}", False),
    ],
)
def test_a_cap_beside_it_that_lets_fewer_through_is_noted(beside, is_noted):
    notices = loaded(TRIAL.replace("[{", f"[{beside}, {{", 1)).notices

    said = [it.message for it in notices if "tries at most 4" in it.message]
    assert bool(said) is is_noted
