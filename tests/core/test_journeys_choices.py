"""first_possible and best_time: which way to reach someone, and at which hour."""

from collections import Counter

import pytest
from msgspec.structs import replace

from engine.core.clocktime import local_time
from engine.core.model.campaigns import Cap, Experiment, Holdout, QuietHours, Variant
from engine.core.model.effects import Discard, Expose, Ghost, Hold, SendMessage
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Contact
from engine.core.model.steps import BestTime, Delay, Duration, ExperimentStep, FirstPossible, Track
from tests.core.build import (
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    only,
    person_held_by,
)

ADDED = an_event("Product Added", "2026-03-02T10:00Z")


def reaching(**changes):
    """Push, else a text, else e-mail; and then a mark."""
    return a_campaign(
        "cart",
        FirstPossible("reach", ("push", "text", "mail"), "mark"),
        a_send("push", channel="push", next="mark"),
        a_send("text", channel="sms", next="mark"),
        a_send("mail", next="mark"),
        Track("mark", "Marked", {}),
        **changes,
    )


def test_the_first_send_that_address_consent_and_suppression_allow_is_taken():
    theatre = a_theatre(reaching())
    everything = a_person(1, channels=("push", "sms", "email"))
    no_push = a_person(2, channels=("sms", "email"))
    bounced = a_person(3, channels=("sms", "email"))
    bounced.profile.addresses["sms"] = Contact(suppressed="complaint")
    unwilling = a_person(4, channels=("sms", "email"))
    unwilling.profile.consent["sms"] = {"offers": False}

    channels = []
    for person in (everything, no_push, bounced, unwilling):
        (message,) = only(theatre.play(person, ADDED), SendMessage)
        channels.append(message.draft.channel)

    assert channels == ["push", "sms", "email", "email"]


def test_where_none_is_possible_one_row_names_each_channel_and_the_journey_goes_on():
    person = a_person(channels=("sms", "email"), consent=None)
    person.profile.addresses["sms"] = Contact(suppressed="hard bounce")

    effects = a_theatre(reaching()).play(person, ADDED)

    (row,) = only(effects, Discard)
    assert row.why == (
        "no channel is possible: push: consent for offers by push is unknown; "
        "sms: suppressed: hard bounce; email: consent for offers by email is unknown"
    )
    assert [each.event for each in effects if hasattr(each, "event")] == ["Marked"]


def test_a_cap_or_a_quiet_hour_does_not_send_the_person_to_another_channel():
    theatre = a_theatre(
        reaching(), quiet_hours=QuietHours(9 * 60, 12 * 60), caps=(Cap(1, DAY, channel="email"),)
    )
    person = a_person(channels=("push", "email"))

    effects = theatre.play(person, ADDED, until="2026-03-02T12:00Z")

    assert [hold.draft.channel for hold in only(effects, Hold)] == ["push"]
    assert [(m.draft.channel, m.at) for m in only(effects, SendMessage)] == [
        ("push", at("2026-03-02T12:00Z"))
    ]


def test_a_ghost_meets_the_same_choice():
    theatre = a_theatre(reaching(holdout=Holdout(0.5, "cart")))
    person = a_person(person_held_by(0.5, seed="cart"), channels=("sms", "email"))

    effects = theatre.play(person, ADDED)

    assert [ghost.draft.channel for ghost in only(effects, Ghost)] == ["sms"]


def test_an_experiment_asks_the_gate_about_the_send_that_would_be_chosen():
    campaign = reaching()
    steps = {
        "test": ExperimentStep("test", "nudge", {"control": None, "some": "reach"}),
        **campaign.steps,
    }
    experiment = Experiment("nudge", "cart", (Variant("control", 1), Variant("some", 1)), "n1")
    theatre = a_theatre(
        replace(campaign, steps=steps, first="test"),
        experiments={("nudge", 1): experiment},
        phases={"nudge": 1},
        caps=(Cap(0, DAY, channel="sms"),),
    )

    (exposed,) = only(theatre.play(a_person(channels=("sms", "email")), ADDED), Expose)

    assert exposed.would_allow == {"some": "cap: 0 text messages in 1 day"}


def timed(within=DAY, **changes):
    return a_campaign("cart", BestTime("hour", within, "mail"), a_send(), **changes)


def test_the_drawn_instants_are_uniform_over_the_window():
    theatre = a_theatre(timed())
    hours = Counter()

    for number in range(1, 2_401):
        person = a_person(number)
        (message,) = only(theatre.play(person, ADDED, until="2026-03-03T10:00Z"), SendMessage)
        assert ADDED.at <= message.at < ADDED.at + DAY
        hours[(message.at - ADDED.at) // HOUR] += 1

    # Chi-squared with 23 degrees of freedom: 49.7 is its 99.9th percentile.
    assert sum((hours[hour] - 100) ** 2 / 100 for hour in range(24)) < 49.7


@pytest.mark.parametrize(
    ("within", "zone", "total"),
    [(DAY, "UTC", 24), (6 * HOUR, "Europe/Berlin", 6), (7 * DAY, "Asia/Kolkata", 24)],
)
def test_what_was_drawn_is_logged_with_its_probability(within, zone, total):
    theatre = a_theatre(timed(within))
    found = {}

    for number in range(1, 300):
        person = a_person(number, zone=zone)
        effects = theatre.play(person, ADDED, until=ADDED.at + within)
        (drawn,) = [each for each in effects if getattr(each, "event", "") == "Send Time Explored"]
        (message,) = only(effects, SendMessage)
        assert drawn.properties["hour"] == local_time(message.at, zone).hour
        found[drawn.properties["hour"]] = drawn.properties["probability"]

    assert len(found) == total
    assert sum(found.values()) == pytest.approx(1)


def test_the_same_entry_draws_the_same_and_another_entry_another():
    theatre = a_theatre(timed())
    later = an_event("Product Added", "2026-03-02T10:00:00.000001Z")

    def drawn(event):
        person = a_person()
        theatre.play(person, event)
        return person.enrollments[0].due_at - event.at

    assert drawn(ADDED) == drawn(ADDED)
    assert drawn(ADDED) != drawn(later)


def test_nobody_held_out_is_part_of_the_exploration():
    theatre = a_theatre(timed(holdout=Holdout(0.5, "cart")))
    person = a_person(person_held_by(0.5, seed="cart"))

    effects = theatre.play(person, ADDED, until="2026-03-03T10:00Z")

    assert [type(each) for each in only(effects, Ghost)] == [Ghost]
    assert not [each for each in effects if getattr(each, "event", "") == "Send Time Explored"]


def test_a_best_time_before_the_first_send_counts_as_a_wait():
    campaign = a_campaign(
        "cart",
        ExperimentStep("test", "nudge", {"control": None, "some": "hour"}),
        BestTime("hour", DAY, "mail"),
        a_send(),
        Delay("unused", Duration(DAY)),
    )
    experiment = Experiment("nudge", "cart", (Variant("control", 1), Variant("some", 1)), "n1")
    theatre = a_theatre(campaign, experiments={("nudge", 1): experiment}, phases={"nudge": 1})

    (exposed,) = only(theatre.play(a_person(), ADDED), Expose)

    assert exposed.would_allow == {"some": None}
