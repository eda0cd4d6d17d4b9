"""Rule 3: the gates, their order and their words."""

import pytest

from engine.core.model.campaigns import Cap, QuietHours, Topic
from engine.core.model.gates import Allow, Defer, Draft, Drop
from engine.core.model.instants import DAY, HOUR, NEVER
from engine.core.model.people import Contact, LedgerEntry
from engine.core.policy import gate
from tests.core.build import DAY_ONE, a_person, a_program, at

OFFERS = Topic("offers")
ORDERS = Topic("orders", is_transactional=True)


def a_draft(**changes):
    return Draft(
        **{
            "campaign": "cart",
            "channel": "email",
            "template": "hello",
            "topic": OFFERS,
            "priority": 50,
            **changes,
        }
    )


def ask(draft, person, *, now=DAY_ONE, ghost=False, values=None, **rules):
    return gate(draft, person, program=a_program(**rules), now=at(now), ghost=ghost, values=values)


def test_a_reachable_consenting_person_may_be_sent_to():
    assert ask(a_draft(), a_person()) == Allow()


def test_a_suppressed_address_stops_everything_even_transactional_messages():
    person = a_person()
    person.profile.addresses["email"] = Contact(suppressed="hard bounce")

    answers = [ask(a_draft(topic=topic), person) for topic in (OFFERS, ORDERS)]

    assert answers == [Drop("suppressed: hard bounce")] * 2


def test_a_room_is_written_to_whatever_address_the_person_has_and_only_about_what_they_allow():
    nowhere, suppressed = a_person(channels=()), a_person(channels=("push",))
    suppressed.profile.addresses["push"] = Contact(suppressed="hard bounce")
    draft = a_draft(channel="push", account="alerts", topic=ORDERS)

    for person in (nowhere, suppressed):
        assert ask(draft, person, rooms=frozenset({"alerts"})) == Allow()
        assert isinstance(ask(draft, person), Drop)
    offer = a_draft(channel="push", account="alerts")
    answer = ask(offer, nowhere, rooms=frozenset({"alerts"}))
    assert answer == Drop("consent for offers by push is unknown")


def test_refused_consent_stops_marketing_but_not_transactional_messages():
    person = a_person(consent=False)

    assert ask(a_draft(), person) == Drop("no consent for offers by email")
    assert ask(a_draft(topic=ORDERS), person) == Allow()


@pytest.mark.parametrize(
    ("rule", "answer"),
    [("refuse", Drop("consent for offers by email is unknown")), ("allow", Allow())],
)
def test_unknown_consent_is_what_the_workspace_says(rule, answer):
    assert ask(a_draft(), a_person(consent=None), consent_unknown=rule) == answer


@pytest.mark.parametrize("withdrawn", ["offers", "*"])
def test_an_address_withdrawn_from_a_topic_outweighs_consent(withdrawn):
    person = a_person(consent=True)
    person.profile.addresses["email"] = Contact(withdrawn=frozenset({withdrawn}))

    assert ask(a_draft(), person) == Drop("unsubscribed from offers by email")
    assert ask(a_draft(topic=ORDERS), person) == Allow()


def test_consent_on_one_channel_says_nothing_about_another():
    person = a_person(channels=("email",))
    person.profile.addresses["sms"] = Contact()

    assert ask(a_draft(channel="sms"), person) == Drop("consent for offers by sms is unknown")


@pytest.mark.parametrize(
    ("channel", "why"), [("email", "no email address"), ("sms", "no phone number")]
)
def test_without_an_address_the_reason_names_what_is_missing(channel, why):
    person = a_person()
    del person.profile.addresses[channel]

    assert ask(a_draft(channel=channel), person) == Drop(why)


@pytest.mark.parametrize("traits", [{}, {"first_name": None}, {"first_name": " "}])
def test_a_value_that_would_print_as_a_hole_is_missing(traits):
    draft = a_draft(requires=("profile.first_name",))

    assert ask(draft, a_person(traits=traits)) == Drop("missing value: profile.first_name")


@pytest.mark.parametrize("value", [0, False, "Ada"])
def test_zero_and_false_are_values(value):
    draft = a_draft(requires=("profile.first_name", "event.total"))
    person = a_person(traits={"first_name": value})

    assert ask(draft, person, values={"event": {"total": 0}}) == Allow()


def test_a_missing_event_value_is_named():
    draft = a_draft(requires=("event.cart.total",))

    assert ask(draft, a_person(), values={"event": {"cart": {}}}) == Drop(
        "missing value: event.cart.total"
    )


def test_an_expired_message_is_dropped_at_the_instant_it_expires():
    draft = a_draft(expires_at=at(DAY_ONE))

    assert ask(draft, a_person()) == Drop("expired")
    assert ask(draft, a_person(), now="2026-03-02T09:59:59Z") == Allow()


def with_ledger(*entries):
    person = a_person()
    person.state.ledger = [LedgerEntry(at(when), *rest) for when, *rest in entries]
    return person


THREE_A_WEEK = (Cap(3, 7 * DAY, channel="email"),)


def test_a_full_cap_defers_to_the_instant_the_window_has_room_again():
    person = with_ledger(
        ("2026-02-24T09:00Z", "email", "offers"),
        ("2026-02-25T09:00Z", "email", "offers"),
        ("2026-03-02T09:00Z", "email", "offers"),
    )

    full = ask(a_draft(), person, caps=THREE_A_WEEK)
    opened = ask(a_draft(), person, now="2026-03-03T09:00Z", caps=THREE_A_WEEK)

    # The first of the three leaves its seven days on 3 March at nine.
    assert full == Defer(
        at("2026-03-03T09:00Z"), "cap: 3 emails in 7 days, next opening 2026-03-03T09:00:00Z"
    )
    assert opened == Allow()


def test_the_cap_that_opens_last_decides():
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers"))
    caps = (Cap(1, HOUR), Cap(1, 2 * DAY, topic="offers"))

    answer = ask(a_draft(), person, now="2026-03-02T09:30Z", caps=caps)

    assert answer == Defer(
        at("2026-03-04T09:00Z"),
        "cap: 1 message about offers in 2 days, next opening 2026-03-04T09:00:00Z",
    )


@pytest.mark.parametrize("cap", [Cap(1, DAY, channel="sms"), Cap(1, DAY, topic="news")])
def test_a_cap_counts_only_what_it_is_about(cap):
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers"))

    assert ask(a_draft(), person, caps=(cap,)) == Allow()


def test_a_campaign_that_drops_when_capped_is_not_deferred():
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers"))

    answer = ask(a_draft(when_capped="drop"), person, caps=(Cap(1, DAY),))

    assert answer == Drop("cap: 1 message in 1 day, next opening 2026-03-03T09:00:00Z")


def test_a_message_that_would_expire_before_the_opening_is_dropped_now():
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers"))

    answer = ask(a_draft(expires_at=at("2026-03-03T09:00Z")), person, caps=(Cap(1, DAY),))

    assert isinstance(answer, Drop)
    assert answer.why.endswith("after it expires")


def test_a_cap_of_none_drops_for_good():
    assert ask(a_draft(), a_person(), caps=(Cap(0, DAY),)) == Drop("cap: 0 messages in 1 day")


def test_a_ghost_counts_real_messages_and_its_own_campaigns_ghosts_only():
    caps = (Cap(1, DAY),)
    own = with_ledger(("2026-03-02T09:00Z", "email", "offers", "cart"))
    foreign = with_ledger(("2026-03-02T09:00Z", "email", "offers", "welcome"))
    real = with_ledger(("2026-03-02T09:00Z", "email", "offers"))

    answers = [type(ask(a_draft(), p, ghost=True, caps=caps)) for p in (own, foreign, real)]

    assert answers == [Defer, Allow, Defer]


def test_a_ghost_takes_no_room_from_a_real_message():
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers", "cart"))

    assert ask(a_draft(), person, caps=(Cap(1, DAY),)) == Allow()


NIGHT = QuietHours(21 * 60, 9 * 60)


def test_quiet_hours_defer_to_their_end_in_the_profiles_zone():
    person = a_person(zone="America/New_York")  # 10:00 UTC is five in the morning there.

    answer = ask(a_draft(), person, quiet_hours=NIGHT)

    assert answer == Defer(at("2026-03-02T14:00Z"), "quiet hours until 2026-03-02T14:00:00Z")
    assert ask(a_draft(), person, now="2026-03-02T14:00Z", quiet_hours=NIGHT) == Allow()


def test_quiet_hours_drop_what_would_expire_before_they_end():
    person = a_person(zone="America/New_York")

    answer = ask(a_draft(expires_at=at("2026-03-02T12:00Z")), person, quiet_hours=NIGHT)

    assert answer == Drop("quiet hours until 2026-03-02T14:00:00Z, after it expires")


def test_a_transactional_message_skips_caps_and_quiet_hours():
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers"))
    person.profile.zone = "America/New_York"

    answer = ask(a_draft(topic=ORDERS), person, caps=(Cap(1, DAY),), quiet_hours=NIGHT)

    assert answer == Allow()


def test_the_first_gate_that_refuses_gives_the_reason():
    person = with_ledger(("2026-03-02T09:00Z", "email", "offers"))
    person.profile.addresses["email"] = Contact("complaint", frozenset({"*"}))
    person.profile.zone = "America/New_York"
    draft = a_draft(requires=("profile.first_name",))
    rules = {"caps": (Cap(1, DAY),), "quiet_hours": NIGHT}
    reasons = []

    def note():
        reasons.append(getattr(ask(draft, person, **rules), "why", "allow").split(",")[0])

    note()
    person.profile.addresses["email"] = Contact(None, frozenset({"*"}))
    note()
    del person.profile.addresses["email"]
    note()
    person.profile.addresses["email"] = Contact()
    note()
    person.profile.traits["first_name"] = "Ada"
    note()
    person.state.ledger = []
    note()

    assert reasons == [
        "suppressed: complaint",
        "unsubscribed from offers by email",
        "no email address",
        "missing value: profile.first_name",
        "cap: 1 message in 1 day",
        "quiet hours until 2026-03-02T14:00:00Z",
    ]
    assert draft.expires_at == NEVER
