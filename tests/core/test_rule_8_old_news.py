"""Rule 8: old news changes what is known and starts nobody."""

import pytest

from engine.core.model.campaigns import ScheduleTrigger, SegmentTrigger
from engine.core.model.conditions import (
    Comparison,
    EventCondition,
    EventMatch,
    SegmentCondition,
    Window,
)
from engine.core.model.effects import Entered
from engine.core.model.instants import DAY
from tests.core.build import DAY_ONE, a_campaign, a_person, a_send, a_theatre, an_event, at, only

TWICE = EventCondition(EventMatch("Page"), (Comparison("gte", 2),), Window(within=DAY))
SEGMENTS = {"visitor": TWICE}


def old(name, when=DAY_ONE, **more):
    return an_event(name, when, is_old=True, **more)


def test_it_moves_people_into_segments_but_starts_no_campaign_of_theirs():
    theatre = a_theatre(
        a_campaign("hello", a_send(), trigger=SegmentTrigger("visitor")), segments=SEGMENTS
    )
    person = a_person()

    effects = theatre.play(person, old("Page"), old("Page", at(DAY_ONE) + 1))

    assert person.state.memberships["visitor"].matches
    assert only(effects, Entered) == []


def test_a_new_event_after_old_ones_counts_them():
    theatre = a_theatre(
        a_campaign("hello", a_send(), trigger=SegmentTrigger("visitor")), segments=SEGMENTS
    )
    person = a_person()
    theatre.play(person, old("Page"))

    effects = theatre.play(person, an_event("Page", at(DAY_ONE) + 1))

    assert [entered.campaign for entered in only(effects, Entered)] == ["hello"]


def test_a_schedule_finds_those_whom_only_old_news_brought_in():
    theatre = a_theatre(
        a_campaign(
            "daily",
            a_send(),
            trigger=ScheduleTrigger("0 12 * * *", "UTC"),
            audience=SegmentCondition("visitor"),
        ),
        segments=SEGMENTS,
    )
    person = a_person()

    theatre.play(person, old("Page"), old("Page", at(DAY_ONE) + 1))
    effects = theatre.play(person, until=at(DAY_ONE) + 3 * 3_600_000_000)

    assert [entered.campaign for entered in only(effects, Entered)] == ["daily"]


@pytest.mark.parametrize("trait", ["gold", "silver"])
def test_the_traits_it_brings_are_set_before_it_is_evaluated(trait):
    theatre = a_theatre(a_campaign("hello", a_send(), trigger="Page"))
    person = a_person()

    theatre.play(person, old("Page", traits={"plan": trait}))

    assert person.profile.traits["plan"] == trait
