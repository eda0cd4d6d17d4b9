"""Who comes in, when again, and who must leave: triggers, audiences, re-entry, pauses, versions."""

import pytest

from engine.core.model.campaigns import EventTrigger, Reentry
from engine.core.model.conditions import (
    Comparison,
    EventCondition,
    EventMatch,
    Filter,
    TraitCondition,
    Window,
)
from engine.core.model.effects import Discard, Entered, Exited, SendMessage
from engine.core.model.instants import DAY, HOUR
from engine.core.model.steps import Delay, Duration, WaitFor
from tests.core.build import (
    DAY_ONE,
    Theatre,
    a_campaign,
    a_person,
    a_program,
    a_send,
    a_theatre,
    an_event,
    at,
    only,
)

IS_VIP = TraitCondition(Filter(("vip",), (Comparison("is", True),)))
BIG_CART = EventMatch("Product Added", (Filter(("properties", "value"), (Comparison("gte", 20),)),))
REST = Delay("rest", Duration(HOUR), "mail")


def entries(*batches):
    return [effect.at for effects in batches for effect in only(effects, Entered)]


def test_only_a_matching_event_starts_the_journey():
    theatre = a_theatre(a_campaign("cart", a_send(), trigger=EventTrigger(BIG_CART)))

    small = theatre.play(a_person(1), an_event("Product Added", DAY_ONE, value=19))
    big = theatre.play(a_person(2), an_event("Product Added", DAY_ONE, value=20))

    assert entries(small) == []
    assert entries(big) == [at(DAY_ONE)]


def test_each_key_has_its_own_enrollment():
    trigger = EventTrigger(EventMatch("Product Added"), key="properties.cart_id")
    theatre = a_theatre(a_campaign("cart", REST, a_send(), trigger=trigger))
    person = a_person()

    for number, cart in enumerate(["c1", "c2", "c1", 7]):
        when = at(DAY_ONE) + number
        theatre.play(person, an_event("Product Added", when, cart_id=cart))

    assert [enrollment.key for enrollment in person.enrollments] == ["c1", "c2", "7"]


@pytest.mark.parametrize("properties", [{}, {"cart_id": None}, {"cart_id": {"a": 1}}])
def test_an_event_without_the_key_starts_nothing_and_says_why(properties):
    trigger = EventTrigger(EventMatch("Product Added"), key="properties.cart_id")
    theatre = a_theatre(a_campaign("cart", a_send(), trigger=trigger))

    effects = theatre.play(a_person(), an_event("Product Added", DAY_ONE, **properties))

    (row,) = only(effects, Discard)
    assert (row.campaign, row.why) == ("cart", "no value for the key properties.cart_id")
    assert entries(effects) == []


def test_old_news_starts_no_journey_but_ends_one():
    cart = a_campaign("cart", REST, a_send(), exit_when=EventMatch("Order Completed"))
    theatre = a_theatre(cart)
    person = a_person()

    old_start = theatre.play(person, an_event("Product Added", DAY_ONE, is_old=True))
    start = theatre.play(person, an_event("Product Added", "2026-03-02T10:01Z"))
    old_end = theatre.play(person, an_event("Order Completed", "2026-03-02T10:02Z", is_old=True))

    assert entries(old_start) == []
    assert len(entries(start)) == 1
    assert [effect.why for effect in only(old_end, Exited)] == ["exit_when: Order Completed"]


@pytest.mark.parametrize("state", ["draft", "paused", "archived"])
def test_only_a_live_campaign_starts_anybody(state):
    theatre = a_theatre(a_campaign("cart", a_send(), state=state))

    assert entries(theatre.play(a_person(), an_event("Product Added", DAY_ONE))) == []


def test_the_audience_is_asked_at_entry():
    theatre = a_theatre(a_campaign("cart", REST, a_send(), audience=IS_VIP))
    vip, other = a_person(1, traits={"vip": True}), a_person(2)

    came = theatre.play(vip, an_event("Product Added", DAY_ONE))
    stayed_out = theatre.play(other, an_event("Product Added", DAY_ONE))
    # Not continuous: leaving the audience later does not matter.
    sent = theatre.play(
        vip, an_event("Page", "2026-03-02T10:30Z", traits={"vip": False}), until="2026-03-02T11:00Z"
    )

    assert len(entries(came)) == 1
    assert entries(stayed_out) == []
    assert len(only(sent, SendMessage)) == 1


def test_leaving_a_continuous_audience_by_an_event_ends_the_journey():
    cart = a_campaign("cart", REST, a_send(), audience=IS_VIP, is_continuous=True)
    theatre = a_theatre(cart)
    person = a_person(traits={"vip": True})

    theatre.play(person, an_event("Product Added", DAY_ONE))
    effects = theatre.play(
        person,
        an_event("Page", "2026-03-02T10:30Z", traits={"vip": False}),
        until="2026-03-09T00:00Z",
    )

    assert [(e.at, e.why) for e in only(effects, Exited)] == [
        (at("2026-03-02T10:30Z"), "left the audience")
    ]
    assert not only(effects, SendMessage)


def test_leaving_a_continuous_audience_by_time_ends_the_journey_at_that_instant():
    is_recent = EventCondition(EventMatch("Page"), window=Window(within=HOUR))
    rest = Delay("rest", Duration(2 * HOUR), "mail")
    theatre = a_theatre(a_campaign("cart", rest, a_send(), audience=is_recent, is_continuous=True))

    effects = theatre.play(
        a_person(),
        an_event("Page", "2026-03-02T09:30Z"),
        an_event("Product Added", DAY_ONE),
        until="2026-03-09T00:00Z",
    )

    # An event within the last hour counts up to 60 minutes after it happened.
    (exit_,) = only(effects, Exited)
    assert exit_.why == "left the audience"
    assert abs(exit_.at - at("2026-03-02T10:30Z")) <= 1
    assert not only(effects, SendMessage)


def played(reentry, *hours, rest=HOUR):
    """When someone enters who adds to the cart at these hours after ten and rests in between."""
    cart = a_campaign("cart", Delay("rest", Duration(rest), "mail"), a_send(), reentry=reentry)
    theatre = a_theatre(cart)
    person = a_person()
    batches = [
        theatre.play(person, an_event("Product Added", at(DAY_ONE) + int(hour * HOUR)))
        for hour in hours
    ]
    return [(instant - at(DAY_ONE)) / HOUR for instant in entries(*batches)]


def test_reentry_never_lets_nobody_in_twice():
    assert played(Reentry(), 0, 0.5, 2, 1000) == [0]


def test_reentry_after_exit_lets_people_in_as_soon_as_they_are_out():
    assert played(Reentry(when="after_exit"), 0, 0.5, 1.5, 4) == [0, 1.5, 4]


def test_reentry_after_a_gap_counts_from_the_exit():
    # Out after one hour: the gap of 24 hours ends at 25.
    assert played(Reentry(when="after_gap", gap=DAY), 0, 24.5, 25, 30) == [0, 25]


def test_while_active_restart_begins_anew():
    reentry = Reentry(when="after_exit", while_active="restart")
    theatre = a_theatre(a_campaign("cart", REST, a_send(), reentry=reentry))
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    again = theatre.play(person, an_event("Product Added", "2026-03-02T10:30Z"))
    later = theatre.play(person, until="2026-03-09T00:00Z")

    assert [effect.why for effect in only(again, Exited)] == ["restarted"]
    assert [message.at for message in only(later, SendMessage)] == [at("2026-03-02T11:30Z")]


def test_while_active_parallel_runs_side_by_side():
    reentry = Reentry(when="after_exit", while_active="parallel")
    theatre = a_theatre(a_campaign("cart", REST, a_send(), reentry=reentry))
    person = a_person()

    theatre.play(person, an_event("Product Added", DAY_ONE))
    theatre.play(person, an_event("Product Added", "2026-03-02T10:30Z"))
    later = theatre.play(person, until="2026-03-09T00:00Z")

    assert [message.at for message in only(later, SendMessage)] == [
        at("2026-03-02T11:00Z"),
        at("2026-03-02T11:30Z"),
    ]


def test_what_reentry_remembers_of_keys_does_not_grow_where_it_is_not_needed():
    trigger = EventTrigger(EventMatch("Product Added"), key="properties.cart_id")
    sizes = {}
    for when in ("never", "after_exit", "after_gap"):
        reentry = Reentry(when=when, gap=DAY)
        theatre = a_theatre(a_campaign("cart", a_send(), trigger=trigger, reentry=reentry))
        person = a_person()
        for day in range(30):
            event = an_event("Product Added", at(DAY_ONE) + day * DAY, cart_id=f"c{day}")
            theatre.play(person, event)
        sizes[when] = len(person.state.entries)

    assert sizes == {"never": 30, "after_exit": 0, "after_gap": 1}


def test_in_a_paused_campaign_people_hold_and_go_on_when_it_resumes():
    cart = a_campaign("cart", REST, a_send())
    live = Theatre(a_program(cart))
    paused = Theatre(a_program(a_campaign("cart", REST, a_send(), state="paused"), release=2))
    resumed = Theatre(a_program(cart, release=3))
    person = a_person()

    live.play(person, an_event("Product Added", DAY_ONE))
    during = paused.play(person, floor="2026-03-02T10:10Z", until="2026-03-05T00:00Z")
    after = resumed.play(person, floor="2026-03-06T00:00Z", until="2026-03-06T00:00Z")

    assert not only(during, SendMessage, Exited)
    assert [message.at for message in only(after, SendMessage)] == [at("2026-03-06T00:00Z")]


def test_a_wait_whose_event_comes_during_a_pause_goes_on_by_the_event():
    steps = (
        WaitFor("wait", EventMatch("Page"), Duration(DAY), then="came", on_timeout="late"),
        a_send("came"),
        a_send("late"),
    )
    live = Theatre(a_program(a_campaign("cart", *steps)))
    paused = Theatre(a_program(a_campaign("cart", *steps, state="paused"), release=2))
    resumed = Theatre(a_program(a_campaign("cart", *steps), release=3))
    person = a_person()

    live.play(person, an_event("Product Added", DAY_ONE))
    paused.play(person, an_event("Page", "2026-03-02T11:00Z"), floor="2026-03-02T10:10Z")
    after = resumed.play(person, floor="2026-03-06T00:00Z", until="2026-03-06T00:00Z")

    assert [message.step for message in only(after, SendMessage)] == ["came"]


def test_people_inside_finish_on_the_version_they_entered():
    first = a_campaign("cart", REST, a_send())
    second = a_campaign("cart", REST, a_send(template="other"), version="v2")
    before = Theatre(a_program(first))
    after = Theatre(a_program(second, pinned={("cart", "v1"): first}, release=2))
    old, new = a_person(1), a_person(2)

    before.play(old, an_event("Product Added", DAY_ONE))
    old_effects = after.play(old, floor="2026-03-02T10:30Z", until="2026-03-09T00:00Z")
    after.play(new, an_event("Product Added", "2026-03-02T10:30Z"))
    new_effects = after.play(new, until="2026-03-09T00:00Z")

    assert [message.draft.template for message in only(old_effects, SendMessage)] == ["hello"]
    assert [message.draft.template for message in only(new_effects, SendMessage)] == ["other"]


def test_an_enrollment_whose_version_is_gone_is_closed_with_its_reason():
    before = Theatre(a_program(a_campaign("cart", REST, a_send())))
    after = Theatre(a_program(release=2))
    person = a_person()

    before.play(person, an_event("Product Added", DAY_ONE))
    effects = after.play(person, floor="2026-03-02T10:30Z", until="2026-03-09T00:00Z")

    assert [effect.why for effect in only(effects, Exited)] == ["its campaign version is gone"]
