"""A segment on the clock sets timers only for those who follow it; else it is asked when read."""

from typing import Any

import pytest

from engine.core.conditions.followed import read_when_asked
from engine.core.model.campaigns import Campaign, EventTrigger, ScheduleTrigger, SegmentTrigger
from engine.core.model.conditions import (
    All,
    Comparison,
    Condition,
    EventCondition,
    EventMatch,
    Filter,
    LocalTimeCondition,
    Not,
    ScoreCondition,
    SegmentCondition,
)
from engine.core.model.effects import Emit
from engine.core.model.instants import NEVER
from engine.core.model.people import Score
from engine.core.model.steps import Delay, Duration, WaitFor
from tests.core.build import a_campaign, a_person, a_program, a_theatre, an_event, at, only

EVENING = LocalTimeCondition(1080, 1320)
SEGMENTS: dict[str, Condition] = {
    "evening": EVENING,
    "by-day": Not(SegmentCondition("evening")),
    "buyer": EventCondition(EventMatch("Order Completed")),
}
NAMES_EVENING = (Filter(("properties", "segment"), (Comparison("is", "evening"),)),)
HOLD = Delay("hold", Duration(exact=1))


def a_wait(match: EventMatch) -> WaitFor:
    return WaitFor("wait", match, Duration(exact=1))


@pytest.mark.parametrize(
    ("campaign", "asked"),
    [
        (None, {"evening", "by-day"}),
        (a_campaign(trigger=SegmentTrigger("evening")), {"by-day"}),
        (a_campaign(trigger=SegmentTrigger("by-day")), {"evening"}),
        (a_campaign(trigger=SegmentTrigger("evening"), state="draft"), {"evening", "by-day"}),
        (a_campaign(trigger=SegmentTrigger("evening"), state="paused"), {"by-day"}),
        (a_campaign(audience=SegmentCondition("evening")), {"evening", "by-day"}),
        (
            a_campaign(audience=SegmentCondition("evening"), is_continuous=True),
            {"evening", "by-day"},
        ),
        (
            a_campaign(
                trigger=ScheduleTrigger("0 19 * * *", "profile"),
                audience=SegmentCondition("evening"),
            ),
            {"evening", "by-day"},
        ),
        (a_campaign("w", a_wait(EventMatch("Segment Entered", NAMES_EVENING))), {"by-day"}),
        (a_campaign("w", a_wait(EventMatch("Segment Exited"))), set()),
        (a_campaign(trigger=EventTrigger(EventMatch("Segment Entered", NAMES_EVENING))),
         {"by-day"}),
    ],
)  # fmt: skip
def test_a_segment_on_the_clock_is_followed_by_whoever_reacts_to_its_border(
    campaign: Campaign | None, asked: set[str]
) -> None:
    program = a_program(*([campaign] if campaign else []), segments=SEGMENTS)

    assert read_when_asked(program) == asked


def test_a_segment_that_nobody_follows_keeps_no_members_and_arms_no_timer() -> None:
    theatre = a_theatre(segments=SEGMENTS)
    person = a_person(zone="Europe/Berlin")

    effects = theatre.play(
        person, an_event("Order Completed", "2026-03-02T10:00Z"), until="2026-03-09T10:00Z"
    )

    assert person.state.memberships.keys() == {"buyer"}
    assert person.state.armed_at == NEVER
    assert [each.properties["segment"] for each in only(effects, Emit)] == ["buyer"]


def test_a_segment_that_nobody_follows_answers_whoever_reads_it() -> None:
    theatre = a_theatre(segments=SEGMENTS)
    person = a_person(zone="Europe/Berlin")

    answers = [
        theatre.segments.evaluate("evening", {}, person.profile, now=at(f"2026-03-02T{hour}:00Z"))
        for hour in (16, 17)
    ]

    assert answers == [
        (False, at("2026-03-02T17:00Z")),
        (True, at("2026-03-02T21:00Z")),
    ]


def test_a_segment_that_is_followed_is_entered_and_left_by_the_clock_alone() -> None:
    theatre = a_theatre(
        a_campaign("offer", HOLD, trigger=SegmentTrigger("evening")), segments=SEGMENTS
    )
    person = a_person(zone="Europe/Berlin")
    theatre.play(person, an_event("Order Completed", "2026-03-02T10:00Z"))

    effects = theatre.play(person, until="2026-03-03T10:00Z")

    crossings = [(each.event, each.at) for each in only(effects, Emit)]
    assert crossings == [
        ("Segment Entered", at("2026-03-02T17:00Z")),
        ("Segment Exited", at("2026-03-02T21:00Z")),
    ]


def test_an_audience_on_the_clock_is_asked_at_the_fire() -> None:
    def entries(cron: str) -> int:
        campaign = a_campaign(
            "offer",
            HOLD,
            trigger=ScheduleTrigger(cron, "profile"),
            audience=SegmentCondition("evening"),
        )
        theatre = a_theatre(campaign, segments=SEGMENTS)
        person = a_person(zone="Europe/Berlin")
        theatre.play(person, an_event("Order Completed", "2026-03-02T10:00Z"))
        effects = theatre.play(person, until="2026-03-03T09:00Z")
        return sum(type(each).__name__ == "Entered" for each in effects)

    assert (entries("0 19 * * *"), entries("0 23 * * *")) == (1, 0)


def test_who_stands_in_a_journey_for_the_evening_leaves_with_the_evening() -> None:
    campaign = a_campaign(
        "offer",
        Delay("hold", Duration(exact=86_400_000_000)),
        audience=SegmentCondition("evening"),
        is_continuous=True,
    )
    theatre = a_theatre(campaign, segments=SEGMENTS)
    person = a_person(zone="Europe/Berlin")

    effects: list[Any] = theatre.play(person, an_event("Product Added", "2026-03-02T18:00Z"))
    effects += theatre.play(person, until="2026-03-03T09:00Z")

    ((left_at, why),) = [(each.at, each.why) for each in effects if type(each).__name__ == "Exited"]
    assert (left_at, why) == (at("2026-03-02T21:00Z"), "left the audience")


def test_a_release_that_stops_following_drops_the_members() -> None:
    before = a_theatre(a_campaign(trigger=SegmentTrigger("evening")), segments=SEGMENTS)
    after = a_theatre(segments=SEGMENTS, release=2)
    person = a_person(zone="Europe/Berlin")
    before.play(person, an_event("Order Completed", "2026-03-02T10:00Z"))
    known = set(person.state.memberships)

    after.play(person, until="2026-03-03T10:00Z", floor="2026-03-03T10:00Z")

    assert (known, set(person.state.memberships)) == ({"evening", "buyer"}, {"buyer"})


def test_an_event_that_touches_a_segment_on_the_clock_gives_it_no_members_either() -> None:
    late_buyer = All((EventCondition(EventMatch("Order Completed")), EVENING))
    theatre = a_theatre(segments={"late-buyer": late_buyer})
    person = a_person(zone="Europe/Berlin")

    effects = theatre.play(
        person, an_event("Order Completed", "2026-03-02T18:00Z"), until="2026-03-04T10:00Z"
    )

    assert person.state.memberships == {}
    assert only(effects, Emit) == []
    assert theatre.segments.touched_by(an_event("Order Completed", "2026-03-02T18:00Z")) == set()


def test_news_that_come_alone_arm_the_timer_of_what_they_make_possible() -> None:
    segments: dict[str, Condition] = {
        "risky-tonight": All((ScoreCondition("churn", (Comparison("gte", 0.5),)), EVENING))
    }
    theatre = a_theatre(
        a_campaign("offer", HOLD, trigger=SegmentTrigger("risky-tonight")), segments=segments
    )
    person = a_person(zone="Europe/Berlin")
    theatre.play(person, an_event("Order Completed", "2026-03-02T10:00Z"))
    unarmed = person.state.armed_at

    person.profile.scores = {"churn": Score(0.9, run=1)}
    theatre.play(person, until="2026-03-02T11:00Z", floor="2026-03-02T11:00Z")
    armed = person.state.armed_at
    effects = theatre.play(person, until="2026-03-02T18:00Z")

    assert (unarmed, armed) == (NEVER, at("2026-03-02T17:00Z"))
    assert [each.at for each in only(effects, Emit)] == [at("2026-03-02T17:00Z")]
