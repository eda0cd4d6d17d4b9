"""Segments in the loop: borders crossed at the exact instant, new definitions taken silently."""

from engine.core.model.campaigns import ScheduleTrigger, SegmentTrigger
from engine.core.model.conditions import (
    Comparison,
    EventCondition,
    EventMatch,
    Filter,
    Not,
    SegmentCondition,
    TraitCondition,
    Window,
)
from engine.core.model.effects import Emit, Entered, SendMessage, Wake
from engine.core.model.instants import DAY, HOUR, NEVER
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
    has_done,
    only,
)

VIEWED = EventCondition(EventMatch("Product Viewed"), window=Window(within=2 * HOUR))
IS_VIP = TraitCondition(Filter(("vip",), (Comparison("is", True),)))


def crossings(effects):
    return [(e.event, e.properties["segment"], e.at) for e in only(effects, Emit)]


def test_a_person_enters_by_an_event_and_leaves_when_its_window_ends():
    theatre = a_theatre(segments={"viewed": VIEWED})
    person = a_person()

    entered = theatre.play(person, an_event("Product Viewed", DAY_ONE))
    left = theatre.play(person, until="2026-03-03T00:00Z")

    assert crossings(entered) == [("Segment Entered", "viewed", at(DAY_ONE))]
    ((name, segment, instant),) = crossings(left)
    assert (name, segment) == ("Segment Exited", "viewed")
    assert abs(instant - at("2026-03-02T12:00Z")) <= 1
    assert person.state.memberships["viewed"].until == NEVER


def test_a_segment_trigger_starts_journeys_on_entering_and_on_leaving():
    hello = a_campaign("hello", a_send(), trigger=SegmentTrigger("viewed"))
    bye = a_campaign("bye", a_send(), trigger=SegmentTrigger("viewed", on="exit"))
    theatre = a_theatre(hello, bye, segments={"viewed": VIEWED})

    effects = theatre.play(
        a_person(), an_event("Product Viewed", DAY_ONE), until="2026-03-03T00:00Z"
    )

    assert [message.draft.campaign for message in only(effects, SendMessage)] == ["hello", "bye"]


def test_nobody_can_forge_a_crossing():
    hello = a_campaign("hello", a_send(), trigger=SegmentTrigger("viewed"))
    theatre = a_theatre(hello, segments={"viewed": VIEWED})

    effects = theatre.play(a_person(), an_event("Segment Entered", DAY_ONE, segment="viewed"))

    assert not only(effects, Entered)


def test_a_crossing_can_be_waited_for_like_any_event():
    hello = a_campaign("hello", a_send(), trigger="Segment Entered")
    theatre = a_theatre(hello, segments={"viewed": VIEWED})

    effects = theatre.play(a_person(), an_event("Product Viewed", DAY_ONE))

    assert len(only(effects, SendMessage)) == 1


def test_a_new_person_starts_outside_of_every_segment():
    theatre = a_theatre(segments={"quiet": Not(has_done("Order Completed"))})

    effects = theatre.play(a_person(), an_event("Page", DAY_ONE))

    assert crossings(effects) == [("Segment Entered", "quiet", at(DAY_ONE))]


def test_a_new_definition_takes_its_verdict_silently():
    before = Theatre(a_program())
    campaign = a_campaign("hello", a_send(), trigger=SegmentTrigger("vip"))
    after = Theatre(a_program(campaign, segments={"vip": IS_VIP}, release=2))
    person = a_person(traits={"vip": True})

    before.play(person, an_event("Page", DAY_ONE))
    effects = after.play(person, floor="2026-03-02T11:00Z", until="2026-03-02T11:00Z")

    assert effects == []
    assert person.state.memberships["vip"].matches


def test_a_backfill_enrolls_those_now_inside_once():
    before = Theatre(a_program())
    trigger = SegmentTrigger("vip", backfill="current")
    campaign = a_campaign("hello", a_send(), trigger=trigger)
    after = Theatre(a_program(campaign, segments={"vip": IS_VIP}, release=2))
    later = Theatre(a_program(campaign, segments={"vip": IS_VIP}, release=3))
    inside, outside = a_person(1, traits={"vip": True}), a_person(2)

    for person in (inside, outside):
        before.play(person, an_event("Page", DAY_ONE))
    sent = [
        len(only(after.play(p, floor="2026-03-02T11:00Z", until="2026-03-02T11:00Z"), SendMessage))
        for p in (inside, outside)
    ]
    again = later.play(inside, floor="2026-03-02T12:00Z", until="2026-03-02T12:00Z")

    assert sent == [1, 0]
    assert not only(again, Entered)


def test_someone_who_comes_in_later_enters_a_backfilled_campaign_once():
    trigger = SegmentTrigger("vip", backfill="current")
    theatre = a_theatre(a_campaign("hello", a_send(), trigger=trigger), segments={"vip": IS_VIP})

    effects = theatre.play(a_person(traits={"vip": True}), an_event("Page", DAY_ONE))

    assert len(only(effects, Entered)) == 1


def test_definitions_that_are_gone_leave_no_state():
    before = Theatre(a_program(segments={"viewed": VIEWED}))
    after = Theatre(a_program(release=2))
    person = a_person()

    before.play(person, an_event("Product Viewed", DAY_ONE))
    effects = after.play(person, floor="2026-03-02T11:00Z", until="2026-03-05T00:00Z")

    assert effects == []
    assert person.state.memberships == {}
    assert person.state.features == {}


def test_the_timer_is_armed_lazily_and_only_ever_earlier():
    theatre = a_theatre(segments={"viewed": VIEWED})
    person = a_person()

    first = theatre.play(person, an_event("Product Viewed", DAY_ONE))
    second = theatre.play(person, an_event("Product Viewed", "2026-03-02T11:00Z"))
    fired = theatre.play(person, until=only(first, Wake)[0].at)

    assert abs(only(first, Wake)[0].at - at("2026-03-02T12:00Z")) <= 1
    assert not only(second, Wake)  # 13:00 is later than the armed 12:00, which may fire in vain.
    assert abs(only(fired, Wake)[0].at - at("2026-03-02T13:00Z")) <= 1
    assert fired[-1] == only(fired, Wake)[0]


MONDAYS = ScheduleTrigger("0 9 * * mon", "profile")


def test_a_schedule_fires_at_its_wall_time_in_each_profiles_zone():
    theatre = a_theatre(a_campaign("news", a_send(), trigger=MONDAYS))
    sent = {}
    for number, zone in enumerate(("Europe/Berlin", "America/New_York"), start=1):
        person = a_person(number, zone=zone)
        effects = theatre.play(person, an_event("Page", DAY_ONE), until="2026-03-17T00:00Z")
        sent[zone] = [message.at for message in only(effects, SendMessage)]

    assert sent == {
        "Europe/Berlin": [at("2026-03-09T08:00Z"), at("2026-03-16T08:00Z")],
        # New York is at UTC-5 on 2 March and at UTC-4 from 8 March on.
        "America/New_York": [
            at("2026-03-02T14:00Z"), at("2026-03-09T13:00Z"), at("2026-03-16T13:00Z"),
        ],
    }  # fmt: skip


def test_missed_fires_count_as_one():
    theatre = a_theatre(a_campaign("news", a_send(), trigger=MONDAYS))
    person = a_person()

    theatre.play(person, an_event("Page", DAY_ONE))
    effects = theatre.play(person, floor="2026-04-01T00:00Z", until="2026-04-01T00:00Z")

    assert [message.at for message in only(effects, SendMessage)] == [at("2026-04-01T00:00Z")]
    assert person.state.schedules == {"news": at("2026-04-06T09:00Z")}


def test_a_schedule_is_armed_only_while_the_person_is_in_its_audience():
    news = a_campaign("news", a_send(), trigger=MONDAYS, audience=SegmentCondition("vip"))
    theatre = a_theatre(news, segments={"vip": IS_VIP})
    person = a_person()

    theatre.play(person, an_event("Page", DAY_ONE))
    before = dict(person.state.schedules)
    theatre.play(person, an_event("Page", "2026-03-03T10:00Z", traits={"vip": True}))
    inside = dict(person.state.schedules)
    theatre.play(person, an_event("Page", "2026-03-04T10:00Z", traits={"vip": False}))

    assert before == {}
    assert inside == {"news": at("2026-03-09T09:00Z")}
    assert person.state.schedules == {}


def test_any_other_audience_of_a_schedule_is_asked_when_it_fires():
    news = a_campaign("news", a_send(), trigger=MONDAYS, audience=IS_VIP)
    theatre = a_theatre(news)
    person = a_person()

    none = theatre.play(person, an_event("Page", DAY_ONE), until="2026-03-10T00:00Z")
    some = theatre.play(
        person,
        an_event("Page", "2026-03-10T10:00Z", traits={"vip": True}),
        until=at("2026-03-10T10:00Z") + 7 * DAY,
    )

    assert not only(none, SendMessage)
    assert len(only(some, SendMessage)) == 1
