"""Rules 3, 5 and 9: from a send step to a message, a deferral or a reason."""

from msgspec import structs

from engine.core.model.campaigns import Cap, QuietHours, TemplateFacts
from engine.core.model.conditions import EventMatch
from engine.core.model.effects import Discard, Exited, Hold, SendMessage
from engine.core.model.instants import DAY, HOUR, MINUTE
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
)

NIGHT = QuietHours(21 * 60, 9 * 60)
ONE_A_DAY = (Cap(1, DAY),)


def test_a_message_carries_what_the_outbox_needs():
    theatre = a_theatre(a_campaign("cart", a_send(), title="Win back carts"))
    person = a_person()

    effects = theatre.play(person, an_event("Product Added", DAY_ONE, cart_id="c1"))

    (message,) = only(effects, SendMessage)
    assert message.template_hash == "h1"
    assert message.draft.topic.name == "offers"
    assert message.context == {
        "now": "2026-03-02T10:00:00Z",
        "event": {"cart_id": "c1"},
        "campaign": {"name": "cart", "title": "Win back carts"},
        "variants": {},
    }
    assert (message.step, message.visit, message.at) == ("mail", 0, at(DAY_ONE))


def test_a_message_expires_counted_from_when_each_person_reached_it():
    theatre = a_theatre(a_campaign("cart", a_send(expires=HOUR)))
    later = "2026-03-02T17:30Z"

    drafts = [
        only(theatre.play(a_person(n), an_event("Product Added", when)), SendMessage)[0].draft
        for n, when in ((1, DAY_ONE), (2, later))
    ]

    assert [draft.expires_at for draft in drafts] == [at(DAY_ONE) + HOUR, at(later) + HOUR]


def test_a_version_that_shares_a_step_with_a_newer_one_keeps_its_own_topic():
    old = a_campaign("cart", Delay("rest", Duration(HOUR), "mail"), a_send(), topic="orders")
    new = structs.replace(old, version="v2", topic="offers")
    person, stranger = a_person(1), a_person(2)
    a_theatre(old).play(person, an_event("Product Added", DAY_ONE))
    theatre = a_theatre(new, release=2, pinned={("cart", "v1"): old})

    theatre.play(stranger, an_event("Product Added", DAY_ONE))
    sent = [theatre.play(each, until="2026-03-02T11:00Z") for each in (person, stranger)]

    topics = [message.draft.topic.name for some in sent for message in only(some, SendMessage)]
    assert topics == ["orders", "offers"]


def test_a_deferred_message_keeps_its_id_and_goes_out_when_the_gate_opens():
    theatre = a_theatre(a_campaign("cart", a_send()), quiet_hours=NIGHT)
    person = a_person()

    held = theatre.play(person, an_event("Product Added", "2026-03-02T22:00Z"))
    sent = theatre.play(person, until="2026-03-03T09:00Z")

    (hold,) = only(held, Hold)
    (message,) = only(sent, SendMessage)
    assert (hold.until, hold.why) == (
        at("2026-03-03T09:00Z"),
        "quiet hours until 2026-03-03T09:00:00Z",
    )
    assert message.message == hold.message
    assert message.at == at("2026-03-03T09:00Z")


def test_a_deferred_message_whose_journey_ends_leaves_a_row_that_says_why():
    exit_when = EventMatch("Order Completed")
    theatre = a_theatre(a_campaign("cart", a_send(), exit_when=exit_when), quiet_hours=NIGHT)
    person = a_person()

    held = theatre.play(person, an_event("Product Added", "2026-03-02T22:00Z"))
    ended = theatre.play(
        person, an_event("Order Completed", "2026-03-02T23:00Z"), until="2026-03-09T00:00Z"
    )

    (row,) = only(ended, Discard)
    assert row.message == only(held, Hold)[0].message
    assert row.why == "exit_when: Order Completed"
    assert not only(ended, SendMessage)


def test_a_message_expires_counted_from_when_its_step_was_reached():
    theatre = a_theatre(a_campaign("cart", a_send(expires=12 * HOUR)), caps=ONE_A_DAY)
    person = a_person()
    theatre.play(person, an_event("Product Added", "2026-03-01T18:00Z"))
    person.state.entries = {}

    effects = theatre.play(person, an_event("Product Added", "2026-03-02T10:00Z"))
    late = theatre.play(person, until="2026-03-05T00:00Z")

    # The cap opens at 18:00, before 22:00 when the second message would expire.
    assert [hold.until for hold in only(effects, Hold)] == [at("2026-03-02T18:00Z")]
    assert [message.at for message in only(late, SendMessage)] == [at("2026-03-02T18:00Z")]


def test_a_message_that_the_engine_reaches_too_late_is_dropped_as_expired():
    theatre = a_theatre(a_campaign("cart", a_send(expires=12 * HOUR)), quiet_hours=NIGHT)
    person = a_person()

    theatre.play(person, an_event("Product Added", "2026-03-02T22:00Z"))
    effects = theatre.play(person, floor="2026-03-03T10:00Z", until="2026-03-03T10:00Z")

    assert [row.why for row in only(effects, Discard)] == ["expired"]


def test_a_dropped_message_leaves_its_reason_and_the_journey_goes_on():
    steps = (a_send(next="text"), a_send("text", channel="sms"))
    theatre = a_theatre(a_campaign("cart", *steps))
    person = a_person()
    del person.profile.addresses["email"]

    effects = theatre.play(person, an_event("Product Added", DAY_ONE))

    assert [row.why for row in only(effects, Discard)] == ["no email address"]
    assert [message.step for message in only(effects, SendMessage)] == ["text"]


def test_the_templates_values_are_checked_against_the_trigger():
    templates = {("email", "hello"): TemplateFacts("h1", ("event.cart_value",))}
    theatre = a_theatre(a_campaign("cart", a_send()), templates=templates)

    without = theatre.play(a_person(1), an_event("Product Added", DAY_ONE))
    with_it = theatre.play(a_person(2), an_event("Product Added", DAY_ONE, cart_value=20))

    assert [row.why for row in only(without, Discard)] == ["missing value: event.cart_value"]
    assert len(only(with_it, SendMessage)) == 1


def test_of_messages_due_at_one_instant_the_more_important_campaign_goes_first():
    low = a_campaign("a-low", a_send(), priority=10)
    high = a_campaign("z-high", a_send(), priority=90)
    theatre = a_theatre(low, high, caps=ONE_A_DAY)

    effects = theatre.play(a_person(), an_event("Product Added", DAY_ONE))

    assert [message.draft.campaign for message in only(effects, SendMessage)] == ["z-high"]
    assert [hold.draft.campaign for hold in only(effects, Hold)] == ["a-low"]


def test_a_timer_and_an_event_of_one_instant_compete_as_equals():
    # The less important one is triggered by the event, which comes before the timer.
    high = a_campaign("high", Delay("rest", Duration(HOUR), "mail"), a_send(), priority=90)
    low = a_campaign("low", a_send(), trigger="Page", priority=10)
    theatre = a_theatre(high, low, caps=ONE_A_DAY)

    effects = theatre.play(
        a_person(),
        an_event("Product Added", DAY_ONE),
        an_event("Page", "2026-03-02T11:00Z"),
    )

    assert [message.draft.campaign for message in only(effects, SendMessage)] == ["high"]
    assert [hold.draft.campaign for hold in only(effects, Hold)] == ["low"]


def test_the_held_message_goes_out_at_the_opening_and_counts_then():
    low = a_campaign("low", a_send(), priority=10)
    high = a_campaign("high", a_send(), priority=90)
    theatre = a_theatre(low, high, caps=ONE_A_DAY)
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    effects = theatre.play(person, until="2026-03-10T00:00Z")

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-03T10:00Z")]


def test_transactional_messages_do_not_count_towards_caps():
    order = a_campaign("order", a_send(), topic="orders", trigger="Order Completed")
    theatre = a_theatre(order, a_campaign("cart", a_send()), caps=ONE_A_DAY)
    person = a_person()

    first = theatre.play(person, an_event("Order Completed", DAY_ONE))
    second = theatre.play(person, an_event("Product Added", "2026-03-02T11:00Z"))

    assert len(only(first, SendMessage)) == len(only(second, SendMessage)) == 1


def test_the_ledger_forgets_what_no_cap_can_see():
    from engine.core.model.campaigns import Reentry

    reentry = Reentry(when="after_exit")
    theatre = a_theatre(a_campaign("cart", a_send(), reentry=reentry), caps=(Cap(9, HOUR),))
    person = a_person()

    for minute in range(0, 24 * 60, 20):
        theatre.play(person, an_event("Product Added", at(DAY_ONE) + minute * MINUTE))

    assert len(person.state.ledger) == 3


def test_exit_when_at_the_instant_of_a_send_is_in_time():
    cart = a_campaign(
        "cart",
        Delay("rest", Duration(HOUR), "mail"),
        a_send(),
        exit_when=EventMatch("Order Completed"),
    )
    theatre = a_theatre(cart)

    effects = theatre.play(
        a_person(),
        an_event("Product Added", DAY_ONE),
        an_event("Order Completed", "2026-03-02T11:00Z"),
        until="2026-03-09T00:00Z",
    )

    assert not only(effects, SendMessage)
    assert [effect.why for effect in only(effects, Exited)] == ["exit_when: Order Completed"]
