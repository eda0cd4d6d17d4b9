"""Caps that try several limits: drawn by lot, kept, exposed once, never exceeded."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.core.caps import drawn, limit_of
from engine.core.model.campaigns import Cap, Experiment, Holdout, Reentry, Variant
from engine.core.model.effects import Displace, Expose, Ghost, Hold, Misreport, SendMessage
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.core.model.people import Exposed
from engine.core.roster import roster_of
from experiments.assignment import assign
from tests.core.build import (
    DAY_ONE,
    a_campaign,
    a_person,
    a_program,
    a_send,
    a_theatre,
    an_event,
    at,
    only,
    person_held_by,
)

WEEK = 7 * DAY


def a_trial(*limits, control=None, name="how-often", seed=None, **changes):
    """What a program has of one cap on email that tries these limits."""
    limits = limits or (1, 2, 4)
    control = control or limits[(len(limits) - 1) // 2]
    phase = changes.pop("phase", 1)
    experiment = Experiment(
        **{
            "name": name,
            "campaign": "",
            "variants": tuple(Variant(f"max-{it}", 1, it) for it in limits),
            "seed": seed or name,
            "phase": phase,
            "control": f"max-{control}",
            "is_cap": True,
            **changes,
        }
    )
    return {
        "caps": (Cap(control, WEEK, "email", None, name, limits),),
        "experiments": {(name, phase): experiment},
        "phases": {name: phase},
    }


def who_drew(limit, *limits, **changes):
    """The first profile whose limit is this."""
    program = a_program(**a_trial(*limits, **changes))
    return next(
        number
        for number in range(1, 10_000)
        if limit_of(program.caps[0], a_person(number), program=program) == limit
    )


def pages(*hours):
    return [an_event("Page", at(DAY_ONE) + hour * HOUR) for hour in hours]


def a_mailer(**changes):
    """Every page brings an email, unless something keeps it back."""
    return a_campaign(
        "mailer", a_send(), trigger="Page",
        **{"when_capped": "drop", "reentry": Reentry("after_exit"), **changes},
    )  # fmt: skip


# --- the draw -----------------------------------------------------------------------------------


def test_the_limits_are_drawn_in_equal_shares():
    program = a_program(**a_trial(1, 2, 4))

    drew = Counter(
        limit_of(program.caps[0], a_person(number), program=program) for number in range(1, 9_001)
    )

    assert set(drew) == {1, 2, 4}
    assert stats.chisquare(list(drew.values())).pvalue > 0.001


def test_the_draw_is_the_hash_of_the_profile_under_the_seed_of_its_phase_and_says_its_chance():
    program = a_program(**a_trial(1, 2, 4, seed="how-often#3", phase=3))

    for number in range(1, 200):
        found = drawn(program.caps[0], a_person(number), program=program)
        expected = assign(
            str(number),
            seed="how-often#3",
            variants=("max-1", "max-2", "max-4"),
            weights=(1, 1, 1),
        )
        assert found.variant == expected.variant
        assert found.probability == pytest.approx(1 / 3, abs=1e-3)


def test_other_caps_before_or_after_it_move_nobody():
    alone = a_trial(1, 2, 4)
    other = a_trial(1, 3, name="on-texts")
    both = {
        "caps": (*other["caps"], Cap(9, DAY), *alone["caps"]),
        "experiments": {**other["experiments"], **alone["experiments"]},
        "phases": {**other["phases"], **alone["phases"]},
    }
    before, after = a_program(**alone), a_program(**both)

    for number in range(1, 300):
        person = a_person(number)
        (was,) = before.caps
        limit = limit_of(was, person, program=before)
        assert limit_of(after.caps[2], person, program=after) == limit


def test_two_caps_draw_independently_of_each_other():
    first, second = a_trial(1, 2, name="on-email"), a_trial(1, 2, name="on-texts")
    program = a_program(
        caps=(*first["caps"], *second["caps"]),
        experiments={**first["experiments"], **second["experiments"]},
        phases={**first["phases"], **second["phases"]},
    )

    table = Counter(
        tuple(limit_of(cap, a_person(number), program=program) for cap in program.caps)
        for number in range(1, 4_001)
    )

    square = [[table[a, b] for b in (1, 2)] for a in (1, 2)]
    assert stats.chi2_contingency(square).pvalue > 0.001


def test_who_was_exposed_keeps_the_limit_in_a_new_phase_and_others_draw_anew():
    program = a_program(**a_trial(1, 2, 4, phase=2, seed="how-often#2"))
    moved = next(
        number
        for number in range(1, 1_000)
        if limit_of(program.caps[0], a_person(number), program=program) == 4
    )
    exposed, fresh = a_person(moved), a_person(moved)
    exposed.state.exposures["how-often"] = Exposed("max-1", 1, 0)

    assert limit_of(program.caps[0], exposed, program=program) == 1
    assert limit_of(program.caps[0], fresh, program=program) == 4


def test_a_limit_that_is_tried_no_more_becomes_the_controls():
    program = a_program(**a_trial(1, 2, 3, phase=2))
    person = a_person()
    person.state.exposures["how-often"] = Exposed("max-4", 1, 0)

    assert limit_of(program.caps[0], person, program=program) == 2


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"state": "draft"}, 2),
        ({"state": "stopped"}, 2),
        ({"state": "stopped", "winner": "max-4"}, 4),
        ({"coverage": 0.0003}, 2),
    ],
)
def test_whoever_is_not_drawn_has_the_controls_limit_or_the_winners(changes, limit):
    program = a_program(**a_trial(1, 2, 4, **changes))

    for number in range(1, 50):
        found = drawn(program.caps[0], a_person(number), program=program)
        assert (found.variant, found.limit) == ("", limit)


# --- what it lets through -----------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    number=st.integers(1, 400),
    hours=st.lists(st.integers(0, 21 * 24), min_size=1, max_size=25),
    limits=st.sets(st.integers(1, 6), min_size=2, max_size=4),
)
def test_nobody_ever_gets_more_than_they_drew_in_any_window(number, hours, limits):
    trial = a_trial(*sorted(limits))
    theatre = a_theatre(a_mailer(), **trial)
    person = a_person(number)

    effects = theatre.play(person, *pages(*sorted(hours)))

    limit = limit_of(theatre.program.caps[0], a_person(number), program=theatre.program)
    sent = [it.at for it in only(effects, SendMessage)]
    for instant in sent:
        assert sum(instant - WEEK < other <= instant for other in sent) <= limit


def test_each_gets_as_many_as_they_drew_and_the_reason_names_the_trial():
    for limit in (1, 2, 4):
        theatre = a_theatre(a_mailer(when_capped="defer"), **a_trial(1, 2, 4))

        effects = theatre.play(a_person(who_drew(limit)), *pages(0, 1, 2, 3, 4, 5))

        assert len(only(effects, SendMessage)) == limit
        held = only(effects, Hold)[0]
        many = "email" if limit == 1 else "emails"
        assert held.why.startswith(
            f"cap: {limit} {many} in 7 days (how-often tries 1, 2, 4), next opening "
        )


def test_the_drawn_limit_decides_whether_a_stronger_message_displaces_a_weaker_one():
    for limit, displaced in ((1, 1), (2, 0)):
        theatre = a_theatre(
            a_campaign("weak", a_send(), trigger="Page", priority=20),
            a_campaign("strong", a_send(), trigger="Product Added", priority=80),
            **a_trial(1, 2),
        )
        person = a_person(who_drew(limit, 1, 2))
        (first,) = only(theatre.play(person, *pages(0)), SendMessage)

        event = an_event("Product Added", at(DAY_ONE) + HOUR)
        effects = theatre.play(person, event, queued=[first.message])

        assert len(only(effects, SendMessage)) == 1
        assert len(only(effects, Displace)) == displaced


# --- exposure -----------------------------------------------------------------------------------


def test_the_first_draft_that_the_cap_is_asked_about_exposes_and_no_later_one():
    number = who_drew(1)
    theatre = a_theatre(a_mailer(), **a_trial(1, 2, 4))
    person = a_person(number)

    effects = theatre.play(person, *pages(0, 1, 200))

    (exposed,) = only(effects, Expose)
    assert (exposed.experiment, exposed.variant, exposed.at) == ("how-often", "max-1", at(DAY_ONE))
    assert exposed.probability == pytest.approx(1 / 3, abs=1e-3)
    assert person.state.exposures["how-often"] == Exposed("max-1", 1, at(DAY_ONE))
    assert only(theatre.play(person, *pages(400)), Expose) == []


def test_the_instant_of_exposure_is_the_same_under_every_limit():
    instants = set()
    for limit in (1, 2, 4):
        theatre = a_theatre(a_mailer(), **a_trial(1, 2, 4))
        effects = theatre.play(a_person(who_drew(limit)), *pages(3, 4, 5, 6, 7))
        instants.add(only(effects, Expose)[0].at)

    assert instants == {at(DAY_ONE) + 3 * HOUR}


def test_the_held_out_are_exposed_at_the_same_instant_as_the_treated():
    held = Holdout(0.5, "holdout:campaign:mailer")
    found = {}
    for is_held, kind in ((True, Ghost), (False, SendMessage)):
        number = person_held_by(0.5, seed=held.seed, is_held=is_held)
        theatre = a_theatre(a_mailer(holdout=held), **a_trial(1, 2, 4))
        effects = theatre.play(a_person(number), *pages(0))
        assert len(only(effects, kind)) == 1
        found[is_held] = [
            (it.experiment, it.at) for it in only(effects, Expose) if it.experiment == "how-often"
        ]

    assert found[True] == found[False] == [("how-often", at(DAY_ONE))]


@pytest.mark.parametrize(
    ("person", "campaign"),
    [
        (a_person(consent=False), {}),
        (a_person(channels=("sms",)), {}),
        (a_person(), {"topic": "orders"}),
    ],
    ids=["no consent", "no address", "transactional"],
)
def test_a_draft_that_no_cap_is_asked_about_exposes_nobody(person, campaign):
    theatre = a_theatre(a_mailer(**campaign), **a_trial(1, 2, 4))

    effects = theatre.play(person, *pages(0))

    assert only(effects, Expose) == []


def test_a_cap_on_another_channel_is_not_asked():
    mailer = a_campaign("texts", a_send(channel="sms"), trigger="Page")
    theatre = a_theatre(mailer, **a_trial(1, 2, 4))

    assert only(theatre.play(a_person(), *pages(0)), Expose) == []


@pytest.mark.parametrize("state", ["draft", "stopped"])
def test_a_trial_that_does_not_run_exposes_nobody(state):
    theatre = a_theatre(a_mailer(), **a_trial(1, 2, 4, state=state))

    assert only(theatre.play(a_person(), *pages(0)), Expose) == []


def test_no_client_can_say_what_somebody_drew():
    theatre = a_theatre(a_mailer(), **a_trial(1, 2, 4))
    person = a_person()
    event = an_event("Experiment Viewed", DAY_ONE, experiment_id="how-often", variation_id="max-4")

    effects = theatre.play(person, event, until=at(DAY_ONE) + MINUTE)

    assert [it.why for it in only(effects, Misreport)] == ["exposed by its cap"]
    assert person.state.exposures == {}


def test_a_trial_is_not_served_to_clients():
    theatre = a_theatre(a_mailer(), **a_trial(1, 2, 4))

    assert roster_of(theatre.program).served == frozenset()


def test_a_cap_without_a_trial_is_what_it_was():
    plain = a_theatre(a_mailer(), caps=(Cap(2, WEEK, "email"),))
    tried = a_theatre(a_mailer(), **a_trial(1, 2, 4))
    number = who_drew(2)

    was = only(plain.play(a_person(number), *pages(0, 1, 2, 3)), SendMessage)
    now = only(tried.play(a_person(number), *pages(0, 1, 2, 3)), SendMessage)

    assert [it.at for it in was] == [it.at for it in now]
    assert msgspec.structs.asdict(plain.program.caps[0])["tries"] == ()
