"""Rules 2 and 3, and P9: assignment by hash, exposure at the step, the first exposure wins."""

from collections import Counter

from engine.core.model.campaigns import Experiment, Holdout, Reentry, TemplateFacts, Variant
from engine.core.model.conditions import Comparison, Filter, TraitCondition
from engine.core.model.effects import Expose, Ghost, SendMessage
from engine.core.model.instants import HOUR
from engine.core.model.people import Exposed
from engine.core.model.steps import Branch, Delay, Duration, ExperimentStep, Update
from tests.core.build import (
    DAY_ONE,
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    only,
)

VARIANTS = (Variant("control", 1), Variant("mail", 1), Variant("text", 2))
ARMS = {"control": None, "mail": "mail", "text": "text"}


def an_experiment(**changes):
    return Experiment(
        **{
            "name": "nudge",
            "campaign": "cart",
            "variants": VARIANTS,
            "seed": "nudge-1",
            **changes,
        }
    )


def a_tested_campaign(*before, arms=None, extra=(), **changes):
    steps = (
        *before,
        ExperimentStep("test", "nudge", arms or ARMS),
        a_send("mail"),
        a_send("text", channel="sms"),
        *extra,
    )
    return a_campaign("cart", *steps, **changes)


def a_tested_theatre(*phases, campaign=None, **rules):
    phases = phases or (an_experiment(),)
    return a_theatre(
        campaign or a_tested_campaign(),
        experiments={(each.name, each.phase): each for each in phases},
        phases={each.name: each.phase for each in phases},
        **rules,
    )


def added(person, theatre, when=DAY_ONE, **more):
    return theatre.play(person, an_event("Product Added", when), **more)


def test_every_arm_is_exposed_when_the_step_is_reached():
    theatre = a_tested_theatre()
    exposed, sent = Counter(), Counter()
    for number in range(1, 2_001):
        effects = added(a_person(number), theatre)
        (expose,) = only(effects, Expose)
        exposed[expose.variant, expose.probability] += 1
        sent[expose.variant] += len(only(effects, SendMessage))

    assert set(exposed) == {("control", 0.25), ("mail", 0.25), ("text", 0.5)}
    # Five standard deviations of a quarter of 2,000 are 97.
    assert abs(exposed["control", 0.25] - 500) < 98
    assert sent == {
        "control": 0,
        "mail": exposed["mail", 0.25],
        "text": exposed["text", 0.5],
    }


def test_the_gate_of_every_arm_is_stored_at_the_exposure():
    theatre = a_tested_theatre()
    person = a_person()
    del person.profile.addresses["sms"]

    (expose,) = only(added(person, theatre), Expose)

    assert expose.would_allow == {"mail": "allow", "text": "no phone number"}


def test_arms_by_one_channel_whose_templates_need_different_values_have_answers_of_their_own():
    arms = {"control": None, "mail": "mail", "text": "other"}
    theatre = a_tested_theatre(
        campaign=a_tested_campaign(arms=arms, extra=(a_send("other", template="needy"),)),
        templates={
            ("email", "hello"): TemplateFacts("h1"),
            ("email", "needy"): TemplateFacts("h2", requires=("profile.shoe_size",)),
        },
    )

    (expose,) = only(added(a_person(), theatre), Expose)

    assert expose.would_allow == {"mail": "allow", "text": "missing value: profile.shoe_size"}


def test_what_lies_behind_a_wait_is_not_guessed():
    arms = {"control": None, "mail": "rest", "text": "mark"}
    is_vip = TraitCondition(Filter(("vip",), (Comparison("is", True),)))
    extra = (
        Delay("rest", Duration(HOUR), "mail"),
        Update("mark", {"x": 1}, next="fork"),
        Branch("fork", ((is_vip, "mail"),), "text"),
    )
    theatre = a_tested_theatre(campaign=a_tested_campaign(arms=arms, extra=extra))
    person = a_person()
    person.profile.consent["sms"]["offers"] = False

    (expose,) = only(added(person, theatre), Expose)

    assert expose.would_allow == {"mail": None, "text": "no consent for offers by sms"}


def test_a_person_is_exposed_once_and_keeps_the_variant_on_reentry():
    campaign = a_tested_campaign(reentry=Reentry(when="after_exit"))
    theatre = a_tested_theatre(campaign=campaign)
    for number in range(1, 51):
        person = a_person(number)
        batches = [added(person, theatre, f"2026-03-0{day}T10:00Z") for day in (2, 3, 4)]

        assert [len(only(effects, Expose)) for effects in batches] == [1, 0, 0]
        assert len({tuple(m.variant for m in only(e, SendMessage)) for e in batches}) == 1


def test_a_new_phase_moves_nobody_who_was_exposed():
    campaign = a_tested_campaign(reentry=Reentry(when="after_exit"))
    first = a_tested_theatre(campaign=campaign)
    second = a_tested_theatre(
        an_experiment(), an_experiment(phase=2, seed="nudge-2"), campaign=campaign, release=2
    )
    n_moved_newcomers = 0
    for number in range(1, 201):
        person, newcomer = a_person(number), a_person(number)
        (before,) = only(added(person, first), Expose)
        again = added(person, second, "2026-03-05T10:00Z", floor="2026-03-05T10:00Z")
        (fresh,) = only(added(newcomer, second, "2026-03-05T10:00Z"), Expose)

        assert not only(again, Expose)
        assert person.state.exposures["nudge"] == Exposed(before.variant, 1, at(DAY_ONE))
        assert [m.variant for m in only(again, SendMessage)] == (
            [] if before.variant == "control" else [before.variant]
        )
        assert fresh.phase == 2
        n_moved_newcomers += fresh.variant != before.variant

    assert n_moved_newcomers > 50  # The new seed draws anew for those never exposed.


def test_outside_the_coverage_people_take_the_controls_path_unexposed():
    arms = {**ARMS, "control": "mail"}
    theatre = a_tested_theatre(an_experiment(coverage=0.0), campaign=a_tested_campaign(arms=arms))

    effects = added(a_person(), theatre)

    assert not only(effects, Expose)
    assert [(m.step, m.variant) for m in only(effects, SendMessage)] == [("mail", "")]


def test_growing_coverage_moves_nobody():
    some, all_of_them = (a_tested_theatre(an_experiment(coverage=c)) for c in (0.3, 1.0))
    n_covered = 0
    for number in range(1, 501):
        early = only(added(a_person(number), some), Expose)
        late = only(added(a_person(number), all_of_them), Expose)
        n_covered += len(early)
        assert [e.variant for e in early] in ([], [late[0].variant])

    assert 100 < n_covered < 200


def test_experiments_on_disjoint_slices_of_a_layer_share_nobody():
    halves = [an_experiment(layer=("layer", start, start + 0.5)) for start in (0.0, 0.5)]
    theatres = [a_tested_theatre(each) for each in halves]

    for number in range(1, 301):
        n_exposures = [len(only(added(a_person(number), t), Expose)) for t in theatres]
        assert sum(n_exposures) == 1


def test_the_held_out_hear_their_variants_ghost_but_are_not_exposed_to_the_experiment():
    campaign = a_tested_campaign(holdout=Holdout(1.0, "all"))
    theatre = a_tested_theatre(campaign=campaign)
    heard = Counter()
    for number in range(1, 101):
        open_ = added(a_person(number), a_tested_theatre())
        held = added(a_person(number), theatre)

        (variant,) = (e.variant for e in only(open_, Expose))
        assert [g.variant for g in only(held, Ghost)] == [
            m.variant for m in only(open_, SendMessage)
        ]
        assert {e.experiment for e in only(held, Expose)} <= {"holdout:cart"}
        heard[variant] += 1

    assert set(heard) == {"control", "mail", "text"}
