"""Campaigns that a call of the API starts, and who may come in again under every rule."""

from itertools import product

import pytest

from engine.core.model.campaigns import ApiTrigger, EventTrigger, Reentry
from engine.core.model.conditions import EventMatch
from engine.core.model.effects import Discard, Entered, Exited, SendMessage
from engine.core.model.instants import HOUR
from engine.core.model.people import Event
from engine.core.model.steps import Delay, Duration
from tests.core.build import (
    a_campaign,
    a_person,
    a_send,
    a_theatre,
    an_event,
    at,
    but_wakes,
    only,
)


def called(when, campaign="receipt", *, seq=None, is_ours=True, **properties):
    instant = at(when)
    return Event(
        instant if seq is None else seq,
        "Campaign Triggered",
        instant,
        instant,
        {"campaign": campaign, "properties": properties},
        is_ours=is_ours,
    )


def receipt(**changes):
    trigger = changes.pop("trigger", ApiTrigger())
    return a_campaign("receipt", a_send(topic="orders"), trigger=trigger, **changes)


def test_every_call_is_an_enrollment_of_its_own_and_its_template_reads_what_it_brought():
    theatre, person = a_theatre(receipt()), a_person()

    effects = theatre.play(
        person,
        called("2026-03-02T10:00Z", order_id="o1"),
        called("2026-03-02T10:00:01Z", order_id="o2"),
    )

    assert [m.context["event"] for m in only(effects, SendMessage)] == [
        {"order_id": "o1"},
        {"order_id": "o2"},
    ]
    assert person.state.entries == {}


def test_with_a_key_the_reentry_rule_decides():
    theatre = a_theatre(receipt(trigger=ApiTrigger("properties.order_id")))
    person = a_person()

    effects = theatre.play(
        person,
        called("2026-03-02T10:00Z", order_id="o1"),
        called("2026-03-02T10:00:01Z", order_id="o1"),
        called("2026-03-02T10:00:02Z", order_id="o2"),
        called("2026-03-02T10:00:03Z"),
    )

    assert len(only(effects, SendMessage)) == 2
    assert [row.why for row in only(effects, Discard)] == [
        "no value for the key properties.order_id"
    ]


def test_an_event_of_that_name_from_outside_starts_nothing():
    effects = a_theatre(receipt()).play(a_person(), called("2026-03-02T10:00Z", is_ours=False))

    assert but_wakes(effects) == []


@pytest.mark.parametrize("state", ["draft", "paused", "archived"])
def test_a_call_to_a_campaign_that_is_not_live_leaves_its_reason(state):
    effects = a_theatre(receipt(state=state)).play(a_person(), called("2026-03-02T10:00Z"))

    (row,) = only(effects, Discard)
    assert row.why == f"triggered by the API while it is {state}"


def test_a_call_to_another_campaign_does_not_start_this_one():
    effects = a_theatre(receipt()).play(a_person(), called("2026-03-02T10:00Z", campaign="other"))

    assert but_wakes(effects) == []


# --- re-entry: three rules, three ways while inside, with and without a key ---------------------

INSIDE, OUT, LATER = "2026-03-02T10:30Z", "2026-03-02T12:00Z", "2026-03-02T20:00Z"
"""A second trigger while the first journey (an hour from ten) is under way, after it, and hours
after it, when the gap of six hours has passed."""

ENTRIES = {
    ("never", "ignore"): [1, 0, 0, 0],
    ("never", "restart"): [1, 1, 0, 0],
    ("never", "parallel"): [1, 1, 0, 0],
    ("after_exit", "ignore"): [1, 0, 1, 1],
    ("after_exit", "restart"): [1, 1, 1, 1],
    ("after_exit", "parallel"): [1, 1, 1, 1],
    ("after_gap", "ignore"): [1, 0, 0, 1],
    ("after_gap", "restart"): [1, 1, 0, 1],
    ("after_gap", "parallel"): [1, 1, 0, 1],
}
"""Entries at each of the four triggers. While someone is inside, `while_active` decides alone."""


@pytest.mark.parametrize(
    ("when", "while_active", "key"), [(*rule, key) for rule, key in product(ENTRIES, (None, "c1"))]
)
def test_each_rule_lets_in_exactly_when_its_row_says(when, while_active, key):
    path = "properties.cart_id" if key else None
    campaign = a_campaign(
        "cart",
        Delay("rest", Duration(HOUR)),
        trigger=EventTrigger(EventMatch("Product Added"), path),
        reentry=Reentry(when, 6 * HOUR if when == "after_gap" else 0, while_active),
    )
    theatre, person = a_theatre(campaign), a_person()

    found = []
    for number, instant in enumerate(("2026-03-02T10:00Z", INSIDE, OUT, LATER), start=1):
        event = an_event("Product Added", instant, seq=number, cart_id=key)
        found.append(len(only(theatre.play(person, event), Entered)))

    assert found == ENTRIES[when, while_active]


@pytest.mark.parametrize("while_active", ["ignore", "restart", "parallel"])
def test_another_key_is_another_journey_under_every_rule(while_active):
    campaign = a_campaign(
        "cart",
        Delay("rest", Duration(HOUR)),
        trigger=EventTrigger(EventMatch("Product Added"), "properties.cart_id"),
        reentry=Reentry(while_active=while_active),
    )
    theatre, person = a_theatre(campaign), a_person()

    effects = theatre.play(
        person,
        an_event("Product Added", "2026-03-02T10:00Z", cart_id="c1"),
        an_event("Product Added", "2026-03-02T10:10Z", cart_id="c2"),
    )

    assert len(only(effects, Entered)) == 2
    assert only(effects, Exited) == []
    assert sorted(each.key for each in person.enrollments) == ["c1", "c2"]


def test_parallel_journeys_of_one_key_run_side_by_side_and_restart_closes_the_first():
    def inside(while_active):
        campaign = a_campaign(
            "cart", Delay("rest", Duration(HOUR)), reentry=Reentry(while_active=while_active)
        )
        theatre, person = a_theatre(campaign), a_person()
        effects = theatre.play(
            person,
            an_event("Product Added", "2026-03-02T10:00Z"),
            an_event("Product Added", "2026-03-02T10:10Z"),
        )
        return len(person.enrollments), [each.why for each in only(effects, Exited)]

    assert inside("parallel") == (2, [])
    assert inside("restart") == (1, ["restarted"])
    assert inside("ignore") == (1, [])
