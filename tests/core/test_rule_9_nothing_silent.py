"""Rule 9: whatever does not happen leaves a row that says why; nothing just advances."""

import pytest

from engine.core.model.campaigns import Cap, EventTrigger, QuietHours, TemplateFacts
from engine.core.model.conditions import EventMatch, LocalTimeCondition
from engine.core.model.effects import Discard, Hold
from engine.core.model.instants import DAY, HOUR
from engine.core.model.people import Contact
from engine.core.model.steps import Expression, FirstPossible, Track, Update
from tests.core.build import a_campaign, a_person, a_send, a_theatre, an_event, only

MORNING, NIGHT = "2026-03-02T10:00Z", "2026-03-02T23:00Z"
QUIET = QuietHours(21 * 60, 9 * 60)


def lost(effects):
    """The reasons of everything held back or refused."""
    return [effect.why for effect in only(effects, Hold, Discard)]


@pytest.mark.parametrize(
    ("rules", "changes", "when", "reason"),
    [
        ({"caps": (Cap(0, DAY),)}, {}, MORNING, "cap: 0 messages in 1 day"),
        ({"quiet_hours": QUIET}, {}, NIGHT, "quiet hours until 2026-03-03T09:00:00Z"),
        (
            {"quiet_hours": QUIET},
            {"expires": HOUR},
            NIGHT,
            "quiet hours until 2026-03-03T09:00:00Z, after it expires",
        ),
        (
            {"templates": {("email", "hello"): TemplateFacts("h", ("profile.name",))}},
            {},
            MORNING,
            "missing value: profile.name",
        ),
        (
            {},
            {"send_window": LocalTimeCondition(11 * 60, 12 * 60)},
            MORNING,
            "send window opens 2026-03-02T11:00:00Z",
        ),
        ({}, {"channel": "push"}, MORNING, "consent for offers by push is unknown"),
    ],
)
def test_a_gate_that_says_no_leaves_its_reason(rules, changes, when, reason):
    theatre = a_theatre(a_campaign("cart", a_send(**changes)), **rules)

    effects = theatre.play(a_person(), an_event("Product Added", when))

    assert lost(effects) == [reason]


def test_an_address_that_is_missing_is_named():
    theatre = a_theatre(a_campaign("cart", a_send()))
    person = a_person()
    del person.profile.addresses["email"]

    effects = theatre.play(person, an_event("Product Added", MORNING))

    assert lost(effects) == ["no email address"]


@pytest.mark.parametrize(
    "step",
    [
        Update("set", {"plan": Expression("event.plan")}),
        Track("say", "Said", {"plan": Expression("event.plan")}),
    ],
)
def test_a_value_that_a_step_cannot_compute_is_named(step):
    theatre = a_theatre(a_campaign("cart", step))

    effects = theatre.play(a_person(), an_event("Product Added", MORNING))

    assert lost(effects) == ["missing value: event.plan"]


def test_of_several_channels_each_says_why_it_was_not_possible():
    theatre = a_theatre(
        a_campaign(
            "cart",
            FirstPossible("first", ("mail", "text")),
            a_send("mail"),
            a_send("text", channel="sms"),
        )
    )
    person = a_person()
    person.profile.addresses = {"email": Contact(suppressed="complaint")}

    effects = theatre.play(person, an_event("Product Added", MORNING))

    assert lost(effects) == [
        "no channel is possible: email: suppressed: complaint; sms: no phone number"
    ]


def test_an_event_without_its_key_says_so():
    theatre = a_theatre(
        a_campaign(
            "cart", a_send(), trigger=EventTrigger(EventMatch("Product Added"), "properties.cart")
        )
    )

    effects = theatre.play(a_person(), an_event("Product Added", MORNING))

    assert lost(effects) == ["no value for the key properties.cart"]
