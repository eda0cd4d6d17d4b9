"""Rule 3: the send window is the last gate before the holdout forks."""

import pytest

from engine.core.model.campaigns import Holdout, QuietHours
from engine.core.model.conditions import LocalTimeCondition
from engine.core.model.effects import Discard, Ghost, Hold, SendMessage
from engine.core.model.instants import HOUR
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

OFFICE = LocalTimeCondition(9 * 60, 17 * 60, (0, 1, 2, 3, 4))
"""Monday to Friday, nine to five."""
MONDAY_EVENING, FRIDAY_EVENING = "2026-03-02T18:00Z", "2026-03-06T18:00Z"


@pytest.mark.parametrize(
    ("reached", "opens"),
    [
        (MONDAY_EVENING, "2026-03-03T09:00Z"),
        (FRIDAY_EVENING, "2026-03-09T09:00Z"),
        ("2026-03-02T09:00Z", "2026-03-02T09:00Z"),
        ("2026-03-02T17:00Z", "2026-03-03T09:00Z"),
    ],
)
def test_a_message_waits_for_the_window_of_its_campaign(reached, opens):
    theatre = a_theatre(a_campaign("cart", a_send(), send_window=OFFICE))

    effects = theatre.play(
        a_person(), an_event("Product Added", reached), until="2026-03-10T00:00Z"
    )

    (message,) = only(effects, SendMessage)
    assert message.at == at(opens)
    for hold in only(effects, Hold):
        assert hold.why == f"send window opens {opens.replace('Z', ':00Z')}"


def test_the_window_of_a_send_goes_before_that_of_its_campaign():
    night = LocalTimeCondition(22 * 60, 2 * 60)
    theatre = a_theatre(a_campaign("cart", a_send(send_window=night), send_window=OFFICE))

    effects = theatre.play(
        a_person(), an_event("Product Added", MONDAY_EVENING), until="2026-03-04T00:00Z"
    )

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-02T22:00Z")]


def test_the_window_is_of_the_profiles_own_zone():
    theatre = a_theatre(a_campaign("cart", a_send(), send_window=OFFICE))
    person = a_person(zone="America/New_York")

    effects = theatre.play(
        person, an_event("Product Added", "2026-03-02T11:00Z"), until="2026-03-03T00:00Z"
    )

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-02T14:00Z")]


def test_a_message_that_expires_before_the_window_opens_is_dropped_with_both_reasons():
    theatre = a_theatre(a_campaign("cart", a_send(expires=2 * HOUR), send_window=OFFICE))

    effects = theatre.play(a_person(), an_event("Product Added", MONDAY_EVENING))

    (lost,) = only(effects, Discard)
    assert lost.why == "send window opens 2026-03-03T09:00:00Z, after it expires"


def test_quiet_hours_and_window_both_hold_until_both_allow():
    theatre = a_theatre(
        a_campaign("cart", a_send(), send_window=LocalTimeCondition(6 * 60, 20 * 60)),
        quiet_hours=QuietHours(21 * 60, 8 * 60),
    )

    effects = theatre.play(
        a_person(), an_event("Product Added", "2026-03-02T20:30Z"), until="2026-03-03T12:00Z"
    )

    assert [hold.why for hold in only(effects, Hold)] == [
        "send window opens 2026-03-03T06:00:00Z",
        "quiet hours until 2026-03-03T08:00:00Z",
    ]
    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-03T08:00Z")]


def test_a_ghost_waits_for_the_window_as_the_message_would_have():
    held = Holdout(0.5, "cart")
    theatre = a_theatre(a_campaign("cart", a_send(), send_window=OFFICE, holdout=held))
    person = a_person(person_held_by(0.5, seed="cart"))

    effects = theatre.play(
        person, an_event("Product Added", MONDAY_EVENING), until="2026-03-04T00:00Z"
    )

    assert [ghost.at for ghost in only(effects, Ghost)] == [at("2026-03-03T09:00Z")]


def test_a_transactional_message_keeps_to_the_window_its_author_asked_for():
    theatre = a_theatre(a_campaign("cart", a_send(), topic="orders", send_window=OFFICE))

    effects = theatre.play(
        a_person(), an_event("Product Added", MONDAY_EVENING), until="2026-03-04T00:00Z"
    )

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-03-03T09:00Z")]
