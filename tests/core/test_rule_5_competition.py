"""Rule 5: messages of one profile compete by priority, then due instant, then id."""

import pytest

from engine.core.model.campaigns import Cap, Holdout, QuietHours, TemplateFacts
from engine.core.model.effects import Discard, Displace, Ghost, Hold, SendMessage
from engine.core.model.instants import DAY, HOUR, MINUTE
from engine.core.model.people import Contact
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

ONE_A_DAY = (Cap(1, DAY, channel="email"),)


def by_campaign(effects, kind):
    return [(effect.draft.campaign, effect.at) for effect in only(effects, kind)]


# --- collect ------------------------------------------------------------------------------------


def test_within_the_collect_span_the_more_important_message_takes_the_room_though_it_came_later():
    theatre = a_theatre(
        a_campaign("early", a_send(), trigger="Page", priority=20),
        a_campaign("late", a_send(), trigger="Product Added", priority=80),
        caps=ONE_A_DAY,
        collect=5 * MINUTE,
    )
    person = a_person()

    effects = theatre.play(
        person,
        an_event("Page", DAY_ONE),
        an_event("Product Added", at(DAY_ONE) + 4 * MINUTE),
        until=at(DAY_ONE) + HOUR,
    )

    meeting = at(DAY_ONE) + 5 * MINUTE
    assert by_campaign(effects, SendMessage) == [("late", meeting)]
    assert by_campaign(effects, Hold) == [("early", meeting)]


def test_beyond_the_collect_span_the_first_one_goes():
    theatre = a_theatre(
        a_campaign("early", a_send(), trigger="Page", priority=20),
        a_campaign("late", a_send(), trigger="Product Added", priority=80),
        caps=ONE_A_DAY,
        collect=5 * MINUTE,
    )
    person = a_person()

    effects = theatre.play(
        person,
        an_event("Page", DAY_ONE),
        an_event("Product Added", at(DAY_ONE) + 6 * MINUTE),
        until=at(DAY_ONE) + HOUR,
    )

    assert [name for name, _ in by_campaign(effects, SendMessage)] == ["early"]


def test_a_transactional_message_waits_for_nobody():
    theatre = a_theatre(a_campaign("receipt", a_send(), topic="orders"), collect=5 * MINUTE)

    effects = theatre.play(a_person(), an_event("Product Added", DAY_ONE))

    assert by_campaign(effects, SendMessage) == [("receipt", at(DAY_ONE))]


def test_the_loser_is_dropped_where_its_campaign_says_so():
    theatre = a_theatre(
        a_campaign("weak", a_send(), trigger="Page", priority=20, when_capped="drop"),
        a_campaign("strong", a_send(), trigger="Page", priority=80),
        caps=ONE_A_DAY,
    )

    effects = theatre.play(a_person(), an_event("Page", DAY_ONE))

    (lost,) = only(effects, Discard)
    assert lost.draft.campaign == "weak"
    assert lost.why.startswith("cap: 1 email in 1 day")


def test_of_equal_priority_the_one_due_first_goes_and_of_equal_instants_the_lower_id():
    theatre = a_theatre(
        a_campaign("b", Delay("rest", Duration(MINUTE), "mail"), a_send(), trigger="Page"),
        a_campaign("a", Delay("rest", Duration(2 * MINUTE), "mail"), a_send(), trigger="Page"),
        caps=ONE_A_DAY,
        collect=5 * MINUTE,
    )

    effects = theatre.play(a_person(), an_event("Page", DAY_ONE), until=at(DAY_ONE) + HOUR)

    assert [name for name, _ in by_campaign(effects, SendMessage)] == ["b"]


# --- displacement -------------------------------------------------------------------------------


def queued_first(theatre, person):
    """A weak message has gone to the queue; its id."""
    first = theatre.play(person, an_event("Page", DAY_ONE))
    (message,) = only(first, SendMessage)
    return message.message


def a_rivalry(**changes):
    return a_theatre(
        a_campaign("weak", a_send(), trigger="Page", priority=20),
        a_campaign("strong", a_send(), trigger="Product Added", priority=80),
        **{"caps": ONE_A_DAY, **changes},
    )


def test_a_more_important_message_takes_the_place_of_one_that_is_still_queued():
    theatre, person = a_rivalry(), a_person()
    weak = queued_first(theatre, person)

    effects = theatre.play(person, an_event("Product Added", at(DAY_ONE) + MINUTE), queued=[weak])

    assert only(effects, Displace) == [
        Displace(weak, at(DAY_ONE) + MINUTE, "displaced by strong, priority 80")
    ]
    assert [name for name, _ in by_campaign(effects, SendMessage)] == ["strong"]
    assert len(person.state.ledger) == 1, "what will not go out counts towards no cap"


def test_one_that_is_attempted_keeps_its_place():
    theatre, person = a_rivalry(), a_person()
    queued_first(theatre, person)

    effects = theatre.play(person, an_event("Product Added", at(DAY_ONE) + MINUTE), queued=[])

    assert only(effects, Displace) == []
    assert [name for name, _ in by_campaign(effects, Hold)] == ["strong"]


@pytest.mark.parametrize("priority", [10, 20])
def test_nothing_as_important_is_displaced(priority):
    theatre = a_theatre(
        a_campaign("first", a_send(), trigger="Page", priority=20),
        a_campaign("second", a_send(), trigger="Product Added", priority=priority),
        caps=ONE_A_DAY,
    )
    person = a_person()
    first = queued_first(theatre, person)

    effects = theatre.play(person, an_event("Product Added", at(DAY_ONE) + MINUTE), queued=[first])

    assert only(effects, Displace) == []


def test_nothing_is_displaced_in_vain():
    """A second cap, that no displacement opens, keeps the stronger one back anyway."""
    theatre = a_theatre(
        a_campaign("weak", a_send(), trigger="Page", priority=20),
        a_campaign("other", a_send(channel="sms"), trigger="Checkout Started", priority=90),
        a_campaign("strong", a_send(), trigger="Product Added", priority=80),
        caps=(*ONE_A_DAY, Cap(1, HOUR)),
    )
    person = a_person()
    weak = queued_first(theatre, person)
    theatre.play(person, an_event("Checkout Started", at(DAY_ONE) + HOUR), queued=[])

    effects = theatre.play(
        person, an_event("Product Added", at(DAY_ONE) + HOUR + MINUTE), queued=[weak]
    )

    assert only(effects, Displace) == []
    assert [name for name, _ in by_campaign(effects, Hold)] == ["strong"]


def test_a_ghost_displaces_nobody():
    held = Holdout(0.5, "strong")
    theatre = a_theatre(
        a_campaign("weak", a_send(), trigger="Page", priority=20),
        a_campaign("strong", a_send(), trigger="Product Added", priority=80, holdout=held),
        caps=ONE_A_DAY,
    )
    person = a_person(person_held_by(0.5, seed="strong"))
    weak = queued_first(theatre, person)

    effects = theatre.play(person, an_event("Product Added", at(DAY_ONE) + MINUTE), queued=[weak])

    assert only(effects, Displace, Ghost) == []
    assert [name for name, _ in by_campaign(effects, Hold)] == ["strong"]


@pytest.mark.parametrize("why", ["consent", "suppressed", "missing value", "quiet hours"])
def test_what_another_gate_keeps_back_displaces_nobody(why):
    """Room under the cap would not help it: the weaker message would be lost for nothing."""
    templates = {
        ("email", "hello"): TemplateFacts("h1"),
        ("email", "named"): TemplateFacts("h2", ("profile.name",)),
    }
    strong = a_campaign(
        "strong",
        a_send(template="named" if why == "missing value" else "hello"),
        priority=80,
        topic="news" if why == "consent" else "offers",
    )
    quiet = QuietHours(10 * 60 + 1, 12 * 60) if why == "quiet hours" else None
    theatre = a_theatre(
        a_campaign("weak", a_send(), trigger="Page", priority=20),
        strong,
        caps=ONE_A_DAY,
        quiet_hours=quiet,
        templates=templates,
    )
    person = a_person()
    weak = queued_first(theatre, person)
    if why == "suppressed":
        person.profile.addresses["email"] = Contact("hard bounce")

    effects = theatre.play(person, an_event("Product Added", at(DAY_ONE) + MINUTE), queued=[weak])

    assert only(effects, Displace, SendMessage) == []
    assert len(only(effects, Hold, Discard)) == 1
    assert [entry.message for entry in person.state.ledger] == [weak]
