"""Rule 1: what resolves a wait, and when its clock starts."""

import pytest

from engine.core.model.conditions import Comparison, EventMatch, Filter
from engine.core.model.effects import SendMessage
from engine.core.model.instants import HOUR
from engine.core.model.steps import Delay, Duration, WaitFor
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


def a_waiting_campaign(counting_from="step", event="Checkout Started", rest=0, where=()):
    """Rest, then wait a day: "came" is sent on the event, "timeout" without it."""
    return a_campaign(
        "cart",
        Delay("rest", Duration(rest), "wait"),
        WaitFor(
            "wait",
            EventMatch(event, where),
            Duration(24 * HOUR),
            counting_from,
            then="came",
            on_timeout="timeout",
        ),
        a_send("came"),
        a_send("timeout"),
    )


def sent(effects):
    return [(message.step, message.at) for message in only(effects, SendMessage)]


def test_an_event_resolves_the_wait_when_it_comes():
    theatre = a_theatre(a_waiting_campaign())
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    effects = theatre.play(person, an_event("Checkout Started", "2026-03-02T12:00Z"))

    assert sent(effects) == [("came", at("2026-03-02T12:00Z"))]


def test_a_wait_without_its_event_times_out_once():
    theatre = a_theatre(a_waiting_campaign())
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    effects = theatre.play(
        person, an_event("Checkout Started", "2026-03-03T10:00:01Z"), until="2026-03-09T00:00Z"
    )

    assert sent(effects) == [("timeout", at("2026-03-03T10:00Z"))]


def test_at_the_same_instant_the_event_wins_over_the_timeout():
    theatre = a_theatre(a_waiting_campaign())
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    effects = theatre.play(person, an_event("Checkout Started", "2026-03-03T10:00Z"))

    assert sent(effects) == [("came", at("2026-03-03T10:00Z"))]


def test_an_event_that_does_not_pass_the_filter_resolves_nothing():
    where = (Filter(("properties", "cart_id"), (Comparison("is", "c1"),)),)
    theatre = a_theatre(a_waiting_campaign(where=where))
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    other = theatre.play(person, an_event("Checkout Started", "2026-03-02T11:00Z", cart_id="c2"))
    same = theatre.play(person, an_event("Checkout Started", "2026-03-02T12:00Z", cart_id="c1"))

    assert sent(other) == []
    assert sent(same) == [("came", at("2026-03-02T12:00Z"))]


@pytest.mark.parametrize("counting_from", ["entry", "ever"])
def test_an_event_since_entry_resolves_a_later_wait_at_once(counting_from):
    theatre = a_theatre(a_waiting_campaign(counting_from, rest=HOUR))
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    theatre.play(person, an_event("Checkout Started", "2026-03-02T10:30Z"))
    effects = theatre.play(person, until="2026-03-02T11:00Z")

    assert sent(effects) == [("came", at("2026-03-02T11:00Z"))]


def test_counting_from_the_step_an_earlier_event_resolves_nothing():
    theatre = a_theatre(a_waiting_campaign("step", rest=HOUR))
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    theatre.play(person, an_event("Checkout Started", "2026-03-02T10:30Z"))
    effects = theatre.play(person, until="2026-03-09T00:00Z")

    assert sent(effects) == [("timeout", at("2026-03-03T11:00Z"))]


def test_only_counting_from_ever_an_event_before_entry_resolves_the_wait():
    sends = {}
    for counting_from in ("entry", "step", "ever"):
        theatre = a_theatre(a_waiting_campaign(counting_from))
        person = a_person()
        theatre.play(person, an_event("Checkout Started", "2026-03-01T10:00Z"))
        effects = theatre.play(person, an_event("Product Added", DAY_ONE))
        sends[counting_from] = sent(effects)

    assert sends == {"entry": [], "step": [], "ever": [("came", at(DAY_ONE))]}


@pytest.mark.parametrize("counting_from", ["entry", "step", "ever"])
def test_the_trigger_itself_never_resolves_the_wait(counting_from):
    theatre = a_theatre(a_waiting_campaign(counting_from, event="Product Added", rest=HOUR))
    person = a_person()

    first = theatre.play(person, an_event("Product Added", DAY_ONE), until="2026-03-02T12:00Z")
    second = theatre.play(person, an_event("Product Added", "2026-03-02T13:00Z"))

    assert sent(first) == []
    assert sent(second) == [("came", at("2026-03-02T13:00Z"))]


def test_an_event_is_heard_even_if_the_wait_is_played_late():
    theatre = a_theatre(a_waiting_campaign("entry"))
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    # The owner was away: the event was accepted before the timeout and is played long after it.
    effects = theatre.play(
        person,
        an_event("Checkout Started", "2026-03-02T20:00Z"),
        floor="2026-03-05T00:00Z",
        until="2026-03-05T00:00Z",
    )

    assert sent(effects) == [("came", at("2026-03-05T00:00Z"))]
    assert person.state.heard == {}


def two_waits(counting_from):
    """Two waits in a row for the same event, then a message."""

    def wait(name, then):
        return WaitFor(name, EventMatch("Viewed"), Duration(24 * HOUR), counting_from, then=then)

    return a_theatre(a_campaign("cart", wait("one", "two"), wait("two", "mail"), a_send()))


def test_counting_from_the_step_one_event_does_not_end_two_waits_in_a_row():
    theatre, person = two_waits("step"), a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    first = theatre.play(person, an_event("Viewed", "2026-03-02T11:00Z"))
    second = theatre.play(person, an_event("Viewed", "2026-03-02T12:00Z"))

    assert sent(first) == []
    assert sent(second) == [("mail", at("2026-03-02T12:00Z"))]


def test_counting_from_entry_one_event_ends_every_wait_for_it():
    theatre, person = two_waits("entry"), a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    effects = theatre.play(person, an_event("Viewed", "2026-03-02T11:00Z"))

    assert sent(effects) == [("mail", at("2026-03-02T11:00Z"))]


def test_an_event_that_ends_the_journey_is_not_remembered_for_its_other_waits():
    """Nobody would ever forget it again: the state would grow with every journey."""
    day = Duration(24 * HOUR)
    theatre = a_theatre(
        a_campaign(
            "cart",
            WaitFor("one", EventMatch("Viewed"), day, "entry", then=None, on_timeout="two"),
            WaitFor("two", EventMatch("Viewed"), day, "entry", then=None, on_timeout=None),
        )
    )
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    theatre.play(person, an_event("Viewed", "2026-03-02T11:00Z"))

    assert person.enrollments == []
    assert person.state.heard == {}
