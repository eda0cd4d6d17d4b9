"""Rule 7: two profiles turn out to be one person."""

from engine.core.merge import ASSIGNMENT_CONFLICT, merge_people
from engine.core.model.campaigns import Cap, Holdout, QuietHours, Reentry, SegmentTrigger
from engine.core.model.conditions import Comparison, EventCondition, EventMatch, Window
from engine.core.model.effects import Discard, Emit, Entered, Exited, Ghost, Hold, SendMessage, Wake
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Contact, Exposed
from engine.core.model.steps import Delay, Duration
from tests.core.build import (
    DAY_ONE,
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    only,
    person_held_by,
)

NOON = "2026-03-02T12:00Z"
REST = Delay("rest", Duration(HOUR), "more")
MORE = Delay("more", Duration(DAY), "mail")


def merged(theatre, winner, loser, now=NOON):
    return merge_people(
        winner, loser, program=theatre.program, segments=theatre.segments, now=at(now)
    )


def test_the_most_restrictive_consent_wins():
    winner, loser = a_person(1), a_person(2)
    winner.profile.consent = {"email": {"offers": True, "news": False}}
    loser.profile.consent = {
        "email": {"offers": False, "news": True, "tips": True},
        "sms": {"a": True},
    }
    loser.profile.addresses["email"] = Contact(withdrawn=frozenset({"tips"}))

    merged(a_theatre(), winner, loser)

    assert winner.profile.consent == {
        "email": {"offers": False, "news": False, "tips": True},
        "sms": {"a": True},
    }
    assert winner.profile.addresses["email"].withdrawn == {"tips"}


def test_the_winners_traits_stand_and_missing_ones_are_filled():
    winner = a_person(1, traits={"name": "Ada", "plan": None})
    loser = a_person(2, traits={"name": "A.", "plan": "pro", "city": "Bern"})

    merged(a_theatre(), winner, loser)

    assert winner.profile.traits == {"name": "Ada", "plan": None, "city": "Bern"}


def test_caps_count_the_messages_of_both():
    theatre = a_theatre(a_campaign("cart", a_send()), caps=(Cap(2, DAY),))
    winner, loser = a_person(1), a_person(2)
    theatre.play(winner, an_event("Product Added", "2026-03-02T10:00Z"))
    theatre.play(loser, an_event("Product Added", "2026-03-02T11:00Z"))
    winner.state.entries = loser.state.entries = {}

    merged(theatre, winner, loser)
    effects = theatre.play(winner, an_event("Product Added", NOON))

    assert [hold.until for hold in only(effects, Hold)] == [at("2026-03-03T10:00Z")]


def test_of_two_enrollments_the_one_further_along_stays():
    theatre = a_theatre(a_campaign("cart", REST, MORE, a_send()))
    winner, loser = a_person(1), a_person(2)
    theatre.play(loser, an_event("Product Added", DAY_ONE), until=NOON)
    theatre.play(winner, an_event("Product Added", "2026-03-02T11:30Z"), until=NOON)

    effects = merged(theatre, winner, loser)
    later = theatre.play(winner, floor=NOON, until="2026-03-09T00:00Z")

    assert [(e.campaign, e.why) for e in only(effects, Exited)] == [("cart", "merged")]
    assert [message.at for message in only(later, SendMessage)] == [at("2026-03-03T11:00Z")]
    assert loser.enrollments == []


def test_a_message_held_for_the_one_that_goes_leaves_a_row():
    night = QuietHours(21 * 60, 9 * 60)
    theatre = a_theatre(a_campaign("cart", a_send()), quiet_hours=night)
    winner, loser = a_person(1), a_person(2)
    held = {}
    for person, minute in ((winner, 0), (loser, 1)):
        effects = theatre.play(person, an_event("Product Added", f"2026-03-02T22:0{minute}Z"))
        held[person.profile.id] = only(effects, Hold)[0].message

    effects = merged(theatre, winner, loser, "2026-03-02T23:00Z")
    later = theatre.play(winner, floor="2026-03-02T23:00Z", until="2026-03-09T00:00Z")

    assert [(row.message, row.why) for row in only(effects, Discard)] == [(held[2], "merged")]
    assert [message.message for message in only(later, SendMessage)] == [held[1]]


def test_enrollments_with_other_keys_all_come_along():
    theatre = a_theatre(
        a_campaign("cart", REST, MORE, a_send()),
        a_campaign("page", REST, MORE, a_send(), trigger="Page"),
    )
    winner, loser = a_person(1), a_person(2)
    theatre.play(winner, an_event("Product Added", DAY_ONE))
    theatre.play(loser, an_event("Page", DAY_ONE))

    effects = merged(theatre, winner, loser)

    assert not only(effects, Exited)
    assert {each.campaign for each in winner.enrollments} == {"cart", "page"}


def test_reentry_remembers_the_entries_of_both():
    theatre = a_theatre(a_campaign("cart", a_send()))
    winner, loser = a_person(1), a_person(2)
    theatre.play(loser, an_event("Product Added", DAY_ONE))

    merged(theatre, winner, loser)
    effects = theatre.play(winner, an_event("Product Added", NOON), floor=NOON)

    assert not only(effects, Entered)


def test_who_is_held_out_on_either_side_is_held_out_after():
    cart = a_campaign(
        "cart", a_send(), holdout=Holdout(0.5, "seed"), reentry=Reentry(when="after_exit")
    )
    theatre = a_theatre(cart)
    treated = a_person(person_held_by(0.5, seed="seed", is_held=False))
    held = a_person(person_held_by(0.5, seed="seed"))
    for person in (treated, held):
        theatre.play(person, an_event("Product Added", DAY_ONE))

    effects = merged(theatre, treated, held)
    later = theatre.play(treated, an_event("Product Added", "2026-03-05T10:00Z"), floor=NOON)

    assert [e.properties for e in only(effects, Emit) if e.event == ASSIGNMENT_CONFLICT] == [
        {"experiment": "holdout:cart", "kept": "held_out", "dropped": "treated"}
    ]
    assert len(only(later, Ghost)) == 1
    assert not only(later, SendMessage)


def test_an_enrollment_in_flight_falls_silent_when_its_other_half_was_held_out():
    theatre = a_theatre(a_campaign("cart", REST, MORE, a_send(), holdout=Holdout(0.5, "seed")))
    treated = a_person(person_held_by(0.5, seed="seed", is_held=False))
    held = a_person(person_held_by(0.5, seed="seed"))
    for person in (treated, held):
        theatre.play(person, an_event("Product Added", DAY_ONE))

    merged(theatre, treated, held)
    later = theatre.play(treated, floor=NOON, until="2026-03-09T00:00Z")

    assert len(only(later, Ghost)) == 1
    assert not only(later, SendMessage)


def test_the_earliest_exposure_wins_and_a_difference_is_said_aloud():
    winner, loser = a_person(1), a_person(2)
    winner.state.exposures = {"nudge": Exposed("mail", 2, at(NOON))}
    loser.state.exposures = {"nudge": Exposed("control", 1, at(DAY_ONE))}

    effects = merged(a_theatre(), winner, loser)

    assert winner.state.exposures == {"nudge": Exposed("control", 1, at(DAY_ONE))}
    assert only(effects, Emit) == [
        Emit(
            ASSIGNMENT_CONFLICT,
            {"experiment": "nudge", "kept": "control", "dropped": "mail"},
            at(NOON),
        )
    ]


def test_what_both_did_together_is_judged_by_the_next_play():
    twice = EventCondition(EventMatch("Page"), (Comparison("gte", 2),), Window(within=DAY))
    hello = a_campaign("hello", a_send(), trigger=SegmentTrigger("keen"))
    theatre = a_theatre(hello, segments={"keen": twice})
    winner, loser = a_person(1), a_person(2)
    theatre.play(winner, an_event("Page", "2026-03-02T10:00Z"))
    theatre.play(loser, an_event("Page", "2026-03-02T11:00Z"))

    effects = merged(theatre, winner, loser)
    next_play = theatre.play(winner, floor=NOON, until=NOON)
    left = theatre.play(winner, until="2026-03-04T00:00Z")

    assert effects == [Wake(at(NOON))]
    assert [e.at for e in only(next_play, SendMessage)] == [at(NOON)]
    assert [e.event for e in only(left, Emit)] == ["Segment Exited"]
    assert loser.state.memberships == {}
