"""Rule 4: consent is per channel and topic, suppression per address, and blocks everything."""

from engine.core.model.campaigns import Program, Topic
from engine.core.model.effects import Discard, SendMessage
from engine.core.model.gates import Allow, Draft, Drop
from engine.core.model.instants import NEVER
from engine.core.model.people import Contact, Person, Profile, State
from engine.core.model.steps import Track
from engine.core.policy import gate
from tests.core.build import a_campaign, a_person, a_send, a_theatre, an_event, only

BOTH = (a_send("mail", next="text"), a_send("text", channel="sms"))


def outcomes(effects):
    """What became of each channel's message."""
    sent = {effect.draft.channel: "sent" for effect in only(effects, SendMessage)}
    return sent | {effect.draft.channel: effect.why for effect in only(effects, Discard)}


def test_withdrawing_on_one_channel_leaves_the_other():
    theatre, person = a_theatre(a_campaign("cart", *BOTH)), a_person()
    person.profile.consent["email"] = {"offers": False}

    effects = theatre.play(person, an_event("Product Added", "2026-03-02T10:00Z"))

    assert outcomes(effects) == {"email": "no consent for offers by email", "sms": "sent"}


def test_withdrawing_from_one_topic_leaves_the_other():
    theatre = a_theatre(
        a_campaign("cart", a_send("mail")),
        a_campaign("news", a_send("text", channel="sms", topic="orders")),
    )
    person = a_person(consent=False)

    effects = theatre.play(person, an_event("Product Added", "2026-03-02T10:00Z"))

    assert outcomes(effects) == {"email": "no consent for offers by email", "sms": "sent"}


def test_an_unsubscribe_stands_on_the_address_whatever_the_profile_says():
    theatre, person = a_theatre(a_campaign("cart", *BOTH)), a_person()
    person.profile.addresses["email"] = Contact(withdrawn=frozenset({"offers"}))

    effects = theatre.play(person, an_event("Product Added", "2026-03-02T10:00Z"))

    assert outcomes(effects) == {"email": "unsubscribed from offers by email", "sms": "sent"}


def test_suppression_blocks_the_address_for_every_topic_and_no_other_address():
    theatre = a_theatre(a_campaign("cart", *BOTH, topic="orders"))
    person = a_person()
    person.profile.addresses["email"] = Contact(suppressed="complaint")

    effects = theatre.play(person, an_event("Product Added", "2026-03-02T10:00Z"))

    assert outcomes(effects) == {"email": "suppressed: complaint", "sms": "sent"}


def test_who_may_not_be_written_to_still_walks_the_journey():
    theatre = a_theatre(a_campaign("cart", a_send("mail", next="note"), Track("note", "Noted", {})))

    effects = theatre.play(a_person(consent=False), an_event("Product Added", "2026-03-02T10:00Z"))

    assert [type(effect).__name__ for effect in effects if type(effect).__name__ == "Emit"]


def test_a_topic_that_asks_twice_takes_neither_silence_nor_a_yes_to_all_for_a_yes():
    draft = Draft(
        "news", "email", "t", Topic("offers", is_double=True), priority=0, expires_at=NEVER
    )
    program = Program(release=1, zone="UTC", campaigns={}, consent_unknown="allow")
    said = {"silence": {}, "to all": {"*": True}, "to it": {"offers": True}}

    answers = {}
    for name, topics in said.items():
        profile = Profile(1, "UTC", consent={"email": topics}, addresses={"email": Contact()})
        answers[name] = gate(draft, Person(profile, State()), program=program, now=1, ghost=False)

    not_yet = Drop("consent for offers by email is not confirmed")
    assert answers == {"silence": not_yet, "to all": not_yet, "to it": Allow()}
